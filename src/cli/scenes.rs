//! scenes: cut detection alone.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{Exit, say, say_json, warn};
use crate::core::SceneList;
use crate::pipelines::{SceneRequest, find_scenes};

/// Arguments of `scenes`.
#[derive(Args, Debug)]
pub(crate) struct Scenes {
    /// Video files
    #[arg(required = true, value_name = "VIDEO")]
    videos: Vec<PathBuf>,
    /// transnet_v2, adaptive or content
    #[arg(short, long, value_name = "NAME")]
    detector: Option<String>,
    /// Change one value, such as `--set split.content.threshold=30`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Print one JSON list with an object per file
    #[arg(long)]
    json: bool,
}

impl Scenes {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let mut sets = self.sets;
        sets.extend(self.detector.map(|name| format!("split.detector={name}")));
        let request = SceneRequest {
            pipeline: "edit-pairs".into(),
            sets,
            files: self.videos,
            keep_scores: false,
        };
        let mut exit = Exit::Done;
        let mut lists = Vec::new();
        find_scenes(&request, &mut |path, found| match found {
            Ok(list) if self.json => lists.push(to_json(path, &list)),
            Ok(list) => {
                if let Err(error) = print(path, &list) {
                    tracing::debug!("stdout: {error}");
                }
            }
            Err(error) => {
                warn(format!("{}: {error}", path.display()));
                exit = Exit::SomeFailed;
                if self.json {
                    let file = path.to_string_lossy();
                    lists.push(json!({ "file": file, "error": error, "scenes": [] }));
                }
            }
        })?;
        if self.json {
            say_json(&lists)?;
        }
        Ok(exit)
    }
}

fn print(path: &std::path::Path, list: &SceneList) -> anyhow::Result<()> {
    say(format!(
        "{}: {} frames, {:.3} fps, {} scenes",
        path.display(),
        list.frames,
        list.fps,
        list.scenes.len()
    ))?;
    say(format!(
        "{:>6}{:>10}{:>10}{:>12}{:>12}{:>9}",
        "scene", "start", "end", "start s", "end s", "score"
    ))?;
    for (n, scene) in list.scenes.iter().enumerate() {
        let score = scene
            .start_score
            .map_or("-".to_owned(), |score| format!("{score:.3}"));
        say(format!(
            "{n:>6}{:>10}{:>10}{:>12.3}{:>12.3}{score:>9}",
            scene.start_frame, scene.end_frame, scene.start_secs, scene.end_secs
        ))?;
    }
    if let Some(damage) = &list.damage {
        say(format!("damage: {}", damage.text))?;
    }
    Ok(())
}

fn to_json(path: &std::path::Path, list: &SceneList) -> serde_json::Value {
    let mut value = json!(list);
    value["file"] = json!(path.to_string_lossy());
    value
}
