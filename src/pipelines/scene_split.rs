//! A file for each scene: names that do not collide, and publishing what `media` writes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::core::{ErrorKind, FatalError, ItemError, SceneList, contain};
use crate::media::{Clip, ClipMode, ClipOptions, ClipSink, clip_container, write_clips};
use crate::store::{Existing, PendingFile, list};

/// Longest time without progress on one file.
const PATIENCE: Duration = Duration::from_mins(5);

/// A clip that was written.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WrittenClip {
    /// Number of its scene, from 0.
    pub scene: usize,
    /// Where it is.
    pub file: PathBuf,
    /// Frames, in packets if they were copied.
    pub frames: u64,
    /// Where it begins in the source, seconds.
    pub start_secs: f64,
    /// Where it ends in the source, seconds.
    pub end_secs: f64,
    /// What is not as one may expect.
    pub notes: Vec<String>,
}

/// Writes the scenes of several files into one folder.
#[derive(Debug)]
pub struct SceneSplitter {
    dir: PathBuf,
    mode: ClipMode,
    existing: Existing,
    stems: BTreeMap<PathBuf, String>,
}

impl SceneSplitter {
    /// Gives each file its name in the folder.
    ///
    /// # Errors
    /// Refused where clips of that name are there and must stay; Disk where the folder cannot be
    /// read.
    pub fn new(
        dir: &Path,
        mode: ClipMode,
        existing: Existing,
        files: &[PathBuf],
    ) -> Result<Self, FatalError> {
        let stems = stems(files);
        if existing == Existing::Keep {
            let there = list(dir)?;
            let is_clip = |path: &&PathBuf| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let mut names = stems.values();
                names.any(|stem| name.starts_with(&format!("{stem}-scene-")))
            };
            if let Some(clip) = there.iter().find(is_clip) {
                return Err(FatalError::Refused(format!(
                    "{}: there are clips of that name already; choose another folder, remove them \
                     or add --overwrite",
                    clip.display()
                )));
            }
        }
        Ok(Self {
            dir: dir.to_owned(),
            mode,
            existing,
            stems,
        })
    }

    /// Writes a file for each scene of `path`, and gives what was written even if a later one
    /// failed.
    ///
    /// # Errors
    /// Disk where a clip cannot be written; what is wrong with the video is the second part of the
    /// result.
    pub fn split(
        &self,
        path: &Path,
        scenes: &SceneList,
    ) -> Result<(Vec<WrittenClip>, Option<ItemError>), FatalError> {
        let options = ClipOptions {
            decode_threads: 0,
            patience: PATIENCE,
        };
        let container = match clip_container(path, &scenes.info, self.mode, &options) {
            Ok(container) => container,
            Err(error) => return Ok((Vec::new(), Some(error))),
        };
        let stem = self.stems.get(path).cloned();
        let mut folder = Folder {
            dir: &self.dir,
            stem: stem.unwrap_or_else(|| stem_of(path)),
            extension: container.extension(),
            existing: self.existing,
            open: None,
            written: Vec::new(),
            failed: None,
        };
        let info = &scenes.info;
        let result =
            contain(|| write_clips(path, info, &scenes.scenes, self.mode, &options, &mut folder))
                .unwrap_or_else(|words| Err(ItemError::new(ErrorKind::Bug, words)));
        match folder.failed {
            Some(error) => Err(error),
            None => Ok((folder.written, result.err())),
        }
    }
}

/// The clips of one file.
struct Folder<'a> {
    dir: &'a Path,
    stem: String,
    extension: &'static str,
    existing: Existing,
    open: Option<PendingFile>,
    written: Vec<WrittenClip>,
    failed: Option<FatalError>,
}

impl Folder<'_> {
    fn path(&self, scene: usize) -> PathBuf {
        let name = format!("{}-scene-{:04}.{}", self.stem, scene + 1, self.extension);
        self.dir.join(name)
    }

    /// Keeps the error for the caller; what `media` gets only ends its work.
    fn keep<T>(&mut self, result: Result<T, FatalError>) -> Result<T, ItemError> {
        result.map_err(|error| {
            let shown = ItemError::new(ErrorKind::Unreadable, error.to_string());
            self.failed = Some(error);
            shown
        })
    }
}

impl ClipSink for Folder<'_> {
    fn open(&mut self, scene: usize) -> Result<File, ItemError> {
        let made = PendingFile::create(&self.path(scene), self.existing)
            .and_then(|file| Ok((file.handle()?, file)));
        let (handle, file) = self.keep(made)?;
        self.open = Some(file);
        Ok(handle)
    }

    fn close(&mut self, scene: usize, clip: Clip) -> Result<(), ItemError> {
        let published = self.open.take().map_or(Ok(()), PendingFile::publish);
        self.keep(published)?;
        let file = self.path(scene);
        self.written.push(WrittenClip {
            scene,
            file,
            frames: clip.frames,
            start_secs: clip.start_secs,
            end_secs: clip.end_secs,
            notes: clip.notes,
        });
        Ok(())
    }
}

/// Longest part of a file's name that its clips keep, bytes: file systems take 255 in all.
const MAX_STEM_BYTES: usize = 160;

/// The file's name without its ending, without letters that steer a terminal.
fn stem_of(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut clean: String = stem
        .chars()
        .map(|c| if c.is_control() { '_' } else { c })
        .collect();
    clean.truncate(clean.floor_char_boundary(MAX_STEM_BYTES));
    if clean.is_empty() {
        "video".into()
    } else {
        clean
    }
}

/// A name for each file, no two the same, also where capitals do not count.
fn stems(files: &[PathBuf]) -> BTreeMap<PathBuf, String> {
    let (mut stems, mut taken) = (BTreeMap::new(), BTreeSet::new());
    for file in files {
        if stems.contains_key(file) {
            continue;
        }
        let stem = stem_of(file);
        let mut name = stem.clone();
        let mut number = 1;
        while !taken.insert(name.to_lowercase()) {
            number += 1;
            name = format!("{stem}-{number}");
        }
        stems.insert(file.clone(), name);
    }
    stems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_one_name_get_different_stems() {
        let files = ["a/x.mp4", "b/x.mp4", "b/X.mkv", "x-2.mp4", "b/x.mp4", ".."];
        let stems = stems(&files.map(PathBuf::from));
        let of = |file: &str| stems[Path::new(file)].as_str();
        assert_eq!(of("a/x.mp4"), "x");
        assert_eq!(of("b/x.mp4"), "x-2");
        assert_eq!(of("b/X.mkv"), "X-3");
        assert_eq!(of("x-2.mp4"), "x-2-2");
        assert_eq!(of(".."), "video");
        assert_eq!(stems.len(), 5);
    }

    #[test]
    fn names_of_clips_fit_into_any_folder() {
        let long = format!("{}.mp4", "ä".repeat(120));
        let (other, odd) = (format!("b/{long}"), "a\n\u{1b}[2Jb.mp4");
        let stems = stems(&[long.as_str(), &other, odd, "a/-rf.mp4"].map(PathBuf::from));
        assert_eq!(stems[Path::new(&long)], "ä".repeat(80));
        assert_eq!(stems[Path::new(&other)], format!("{}-2", "ä".repeat(80)));
        assert_eq!(stems[Path::new(odd)], "a__[2Jb");
        let folder = tempfile::tempdir().unwrap();
        for stem in stems.values() {
            let path = folder.path().join(format!("{stem}-scene-99999.webm"));
            let file = PendingFile::create(&path, Existing::Keep).unwrap();
            file.publish().unwrap();
        }
    }

    #[test]
    fn clips_that_are_there_are_noticed_before_any_work() {
        let folder = tempfile::tempdir().unwrap();
        crate::store::publish_bytes(&folder.path().join("x-scene-0007.mp4"), b"old").unwrap();
        let files = [PathBuf::from("x.mp4")];
        let make = |existing| {
            SceneSplitter::new(folder.path(), ClipMode::Exact, existing, &files).map(drop)
        };
        let error = make(Existing::Keep).unwrap_err().to_string();
        assert!(
            error.contains("x-scene-0007.mp4: there are clips"),
            "{error}"
        );
        make(Existing::Replace).unwrap();
    }
}
