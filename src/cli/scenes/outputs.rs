//! What `scenes` makes besides the list: clips, scores and the page of scores.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::cli::warn;
use crate::core::{FatalError, ItemError};
use crate::io::{ListedFile, PlotFile, SCORE_COLUMNS, scores_csv};
use crate::media::ClipMode;
use crate::pipelines::{SceneSplitter, WrittenClip, plot_file, publish_plot};
use crate::store::{Existing, PendingFile};

/// How `--split` cuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SplitMode {
    /// Every frame of the scene and no other, encoded anew
    Exact,
    /// Without encoding, from the key frame at or before the scene's start
    Copy,
}

/// The arguments for them.
#[derive(Args, Debug)]
pub(super) struct OutputArgs {
    /// Draw the score of every frame and the frames at each cut into one HTML page
    #[arg(long, value_name = "FILE.html")]
    plot: Option<PathBuf>,
    /// Write the score of every frame as CSV
    #[arg(long, value_name = "FILE.csv")]
    scores: Option<PathBuf>,
    /// Write a video file for each scene into this folder
    #[arg(long, value_name = "DIR")]
    split: Option<PathBuf>,
    /// How --split cuts: exact frames encoded anew, or a fast copy from the key frame before
    #[arg(long, value_enum, value_name = "MODE", default_value_t = SplitMode::Exact, requires = "split")]
    split_mode: SplitMode,
    /// Let --split replace clips that are there already
    #[arg(long, requires = "split")]
    overwrite: bool,
}

impl OutputArgs {
    /// Whether scores of every frame are needed.
    pub(super) fn wants_scores(&self) -> bool {
        self.plot.is_some() || self.scores.is_some()
    }

    /// Opens what is asked for, before any video is.
    pub(super) fn open(self, files: &[PathBuf]) -> Result<Outputs, FatalError> {
        let (mode, existing) = (self.split_mode, self.overwrite);
        let mode = match mode {
            SplitMode::Exact => ClipMode::Exact,
            SplitMode::Copy => ClipMode::Copy,
        };
        let existing = if existing {
            Existing::Replace
        } else {
            Existing::Keep
        };
        let splitter = self
            .split
            .map(|dir| SceneSplitter::new(&dir, mode, existing, files));
        let scores = self.scores.map(|path| {
            let file = PendingFile::create(&path, Existing::Replace)?;
            let mut scores = ScoreFile { path, file };
            scores.write(SCORE_COLUMNS)?;
            Ok::<_, FatalError>(scores)
        });
        Ok(Outputs {
            splitter: splitter.transpose()?,
            scores: scores.transpose()?,
            plot: self.plot.map(|path| (path, Vec::new())),
        })
    }
}

/// A file of scores that grows from video to video.
struct ScoreFile {
    path: PathBuf,
    file: PendingFile,
}

impl ScoreFile {
    fn write(&mut self, text: &str) -> Result<(), FatalError> {
        self.file
            .write_all(text.as_bytes())
            .map_err(|error| FatalError::disk(&self.path, error))
    }
}

/// What became of one file besides its list.
pub(super) struct Made {
    /// Its clips; none without `--split`.
    pub(super) clips: Option<Vec<WrittenClip>>,
    /// What went wrong with the video.
    pub(super) errors: Vec<ItemError>,
}

/// The outputs while videos go by.
pub(super) struct Outputs {
    splitter: Option<SceneSplitter>,
    scores: Option<ScoreFile>,
    plot: Option<(PathBuf, Vec<PlotFile>)>,
}

impl Outputs {
    /// Makes what one file is to give.
    pub(super) fn add(&mut self, path: &Path, file: &ListedFile) -> Result<Made, FatalError> {
        let mut errors = Vec::new();
        if let Some(scores) = &mut self.scores {
            scores.write(&scores_csv(&file.file, &file.list)?)?;
        }
        if let Some((_, files)) = &mut self.plot {
            match plot_file(path, file) {
                Ok(drawn) => files.push(drawn),
                Err(error) => errors.push(error),
            }
        }
        let mut clips = None;
        if let Some(splitter) = &self.splitter {
            let (written, error) = splitter.split(path, &file.list)?;
            clips = Some(written);
            errors.extend(error);
        }
        Ok(Made { clips, errors })
    }

    /// Publishes what was gathered from all files.
    pub(super) fn finish(self) -> Result<(), FatalError> {
        if let Some(scores) = self.scores {
            scores.file.publish()?;
        }
        if let Some((path, files)) = self.plot {
            publish_plot(&path, &files)?;
        }
        Ok(())
    }
}

/// A line for each clip, and each note once.
pub(super) fn clip_lines(clips: &[WrittenClip]) -> Vec<String> {
    let line = |clip: &WrittenClip| {
        format!(
            "{}: {:.3} to {:.3} s, {} frames",
            clip.file.display(),
            clip.start_secs,
            clip.end_secs,
            clip.frames
        )
    };
    clips.iter().map(line).collect()
}

/// Says each note once.
pub(super) fn warn_notes(path: &Path, clips: &[WrittenClip]) {
    let notes: BTreeSet<&String> = clips.iter().flat_map(|clip| &clip.notes).collect();
    for note in notes {
        warn(format!("{}: {note}", path.display()));
    }
}
