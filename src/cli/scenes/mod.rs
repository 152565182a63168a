//! scenes: cut detection alone.

mod outputs;
mod table;

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use self::outputs::{OutputArgs, Outputs, clip_lines, warn_notes};
use super::{Exit, say, say_json, say_text, warn};
use crate::core::{FatalError, SceneList};
use crate::io::{ListedFile, scenes_csv, scenes_edl, scenes_otio};
use crate::pipelines::{SceneRequest, WrittenClip, find_scenes};

/// Arguments of `scenes`.
#[derive(Args, Debug)]
pub(crate) struct Scenes {
    /// Video files
    #[arg(required = true, value_name = "VIDEO")]
    videos: Vec<PathBuf>,
    /// combined, transitions, transnet_v2, adaptive, content, hash, histogram or threshold
    #[arg(short, long, value_name = "NAME")]
    detector: Option<String>,
    /// Decode only what may hold a cut; for hard cuts, several times as fast
    #[arg(long)]
    fast: bool,
    /// Files looked at at once; as many as there are cores if left out
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Change one value, such as `--set split.content.threshold=30`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    outputs: OutputArgs,
}

/// How the list is printed; a table without any of them.
#[derive(Args, Clone, Copy, Debug)]
#[group(multiple = false)]
struct FormatArgs {
    /// Print one JSON list with an object per file
    #[arg(long)]
    json: bool,
    /// Print CSV with a row per scene, for spreadsheets and scripts
    #[arg(long)]
    csv: bool,
    /// Print an OpenTimelineIO timeline with a track per file, for editing programs
    #[arg(long)]
    otio: bool,
    /// Print a CMX 3600 edit decision list with an event per scene
    #[arg(long)]
    edl: bool,
}

impl FormatArgs {
    fn is_table(self) -> bool {
        !(self.json || self.csv || self.otio || self.edl)
    }
}

impl Scenes {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let mut sets = self.sets;
        sets.extend(self.detector.map(|name| format!("split.detector={name}")));
        if self.fast {
            sets.push("split.fast=true".to_owned());
        }
        let request = SceneRequest {
            pipeline: "edit-pairs".into(),
            sets,
            files: self.videos,
            jobs: self.jobs.map(usize::from),
            keep_scores: self.outputs.wants_scores(),
        };
        let mut printer = Printer {
            format: self.format,
            outputs: self.outputs.open(&request.files)?,
            objects: Vec::new(),
            files: Vec::new(),
            exit: Exit::Done,
            fatal: None,
        };
        find_scenes(&request, &mut |path, found| match found {
            Ok(list) => printer.found(path, list),
            Err(error) => {
                warn(format!("{}: {error}", path.display()));
                printer.exit = Exit::SomeFailed;
                let file = path.to_string_lossy();
                let object = json!({ "file": file, "error": error, "scenes": [] });
                printer.objects.push(object);
            }
        })?;
        printer.finish()
    }
}

/// Prints lists as they come, or gathers them.
struct Printer {
    format: FormatArgs,
    outputs: Outputs,
    objects: Vec<Value>,
    files: Vec<ListedFile>,
    exit: Exit,
    /// Why nothing more can be written.
    fatal: Option<FatalError>,
}

impl Printer {
    fn found(&mut self, path: &Path, list: SceneList) {
        if self.fatal.is_some() {
            return;
        }
        let file = path.to_string_lossy().into_owned();
        let mut file = ListedFile { file, list };
        let made = match self.outputs.add(path, &file) {
            Ok(made) => made,
            Err(error) => {
                self.fatal = Some(error);
                return;
            }
        };
        for error in made.errors {
            warn(format!("{}: {}", path.display(), error.without_path(path)));
            self.exit = Exit::SomeFailed;
        }
        let clips = made.clips.unwrap_or_default();
        warn_notes(path, &clips);
        if self.format.is_table() {
            let printed = table::print(path, &file.list)
                .and_then(|()| clip_lines(&clips).iter().try_for_each(say));
            if let Err(error) = printed {
                tracing::debug!("stdout: {error}");
            }
        } else if self.format.json {
            self.objects.push(to_json(&file, &clips));
        } else {
            clip_lines(&clips).iter().for_each(warn);
            // Many frames, and only the other outputs want them.
            file.list.scores = Vec::new();
            self.files.push(file);
        }
    }

    fn finish(self) -> anyhow::Result<Exit> {
        if let Some(error) = self.fatal {
            return Err(error.into());
        }
        self.outputs.finish()?;
        let text = match self.format {
            format if format.json => return say_json(&self.objects).map(|()| self.exit),
            format if format.csv => scenes_csv(&self.files)?,
            format if format.otio => scenes_otio(&self.files)?,
            format if format.edl => scenes_edl(&self.files),
            _ => return Ok(self.exit),
        };
        say_text(text.trim_end())?;
        Ok(self.exit)
    }
}

/// One object; clips are in it if any were written.
fn to_json(file: &ListedFile, clips: &[WrittenClip]) -> Value {
    let mut value = json!(file.list);
    value["file"] = json!(file.file);
    if !clips.is_empty() {
        value["clips"] = json!(clips);
    }
    value
}
