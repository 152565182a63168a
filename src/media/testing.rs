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

/// How many frames of one stream `ffprobe` decodes, or none with a line saying so.
pub(super) fn counted_frames(path: &Path, stream: u32) -> Option<u32> {
    let probed = Command::new("ffprobe")
        .args(["-v", "quiet", "-count_frames", "-of", "csv=p=0"])
        .args(["-show_entries", "stream=nb_read_frames"])
        .args(["-select_streams", &stream.to_string()])
        .arg(path)
        .output();
    let text = probed.map(|probed| String::from_utf8_lossy(&probed.stdout).into_owned());
    // A program (as in a transport stream) repeats the line.
    let count = text.as_ref().ok().and_then(|text| {
        text.lines()
            .find_map(|line| line.trim_matches(',').parse().ok())
    });
    if count.is_none() {
        println!(
            "skipped: ffprobe did not count {}: {text:?}",
            path.display()
        );
    }
    count
}

/// One file out of the bytes of several.
pub(super) fn join_files(parts: &[PathBuf], path: &Path) {
    let bytes: Vec<u8> = parts
        .iter()
        .flat_map(|part| std::fs::read(part).unwrap())
        .collect();
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .open(path)
        .unwrap();
    std::io::Write::write_all(&mut file, &bytes).unwrap();
}
