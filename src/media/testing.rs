//! What the tests of this module share: clips of the shared folder and clips made on the spot.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::OpenOptions;

/// So many threads, five minutes.
pub(super) fn options(decode_threads: usize) -> OpenOptions {
    OpenOptions {
        decode_threads,
        deadline: Instant::now() + Duration::from_mins(5),
    }
}

/// The shared videos, or none with a line saying so.
pub(super) fn shared_videos() -> Option<PathBuf> {
    let shared = std::env::var_os("FRAMEWRIGHT_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    );
    let folder = shared.join("videos");
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: no folder {}", folder.display());
    None
}

/// A clip made by the `ffmpeg` command from those arguments, or none with a line saying so.
pub(super) fn make_clip(folder: &Path, name: &str, arguments: &str) -> Option<PathBuf> {
    let path = folder.join(name);
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y"])
        .args(arguments.split_whitespace())
        .arg(&path)
        .status();
    match made {
        Ok(status) if status.success() => Some(path),
        other => {
            println!("skipped: ffmpeg made no {name}: {other:?}");
            None
        }
    }
}
