//! The table of scenes, for people.

use std::path::Path;

use crate::cli::say;
use crate::core::SceneList;

pub(super) fn print(path: &Path, list: &SceneList) -> anyhow::Result<()> {
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
