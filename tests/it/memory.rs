//! Memory does not grow with the length of a video.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::clips::clips;
use crate::program::{peak_memory_bytes, program};

/// A video ten times as long may take so much more memory.
const MAX_GROWTH: f64 = 1.1;

/// 20 seconds and 200 seconds of the same pictures.
fn short_and_long(folder: &Path) -> Option<[PathBuf; 2]> {
    clips()?;
    let ffmpeg = |arguments: &str| {
        let status = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-y"])
            .args(arguments.split_whitespace())
            .current_dir(folder)
            .status()
            .unwrap();
        assert!(status.success(), "ffmpeg {arguments}: {status}");
    };
    // Another picture every five seconds, so that there are cuts.
    ffmpeg(
        "-f lavfi -i testsrc2=size=320x180:rate=15:duration=20 -vf hue=h=floor(t/5)*90 -c:v libx264 \
         -preset ultrafast -g 15 -pix_fmt yuv420p short.mp4",
    );
    ffmpeg("-stream_loop 9 -i short.mp4 -c copy long.mp4");
    Some(["short.mp4", "long.mp4"].map(|name| folder.join(name)))
}

/// Most memory that `scenes` takes for a file, bytes.
fn peak_of_scenes(path: &Path, detector: &str) -> u64 {
    let mut child = program()
        .args(["scenes", "--json", "--detector", detector])
        .arg(path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut peak_bytes = 0;
    let status = loop {
        peak_bytes = peak_memory_bytes(child.id()).unwrap_or(0).max(peak_bytes);
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(status.success(), "{status}");
    peak_bytes
}

#[test]
fn scenes_takes_no_more_memory_for_a_longer_video() {
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let Some([short, long]) = short_and_long(folder.path()) else {
        return;
    };
    for detector in ["content", "adaptive"] {
        let (before, after) = (
            peak_of_scenes(&short, detector),
            peak_of_scenes(&long, detector),
        );
        let growth = after as f64 / before as f64;
        println!("{detector}: {} and {} KiB", before >> 10, after >> 10);
        assert!(
            before > 0 && growth <= MAX_GROWTH,
            "{detector}: {growth:.3}"
        );
    }
}
