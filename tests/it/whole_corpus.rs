//! All shared videos, damaged ones too, in one run.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;

use crate::clips::shared_videos;
use crate::program::{Ran, call, peak_memory_bytes, run_command};
use crate::run_folder::{files, rejects, samples, text};

/// Most memory that the worker process may ever have taken.
const MAX_MEMORY_BYTES: u64 = 3 << 29;

fn is_video(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| !["json", "md", "txt"].contains(&ending))
}

#[test]
#[ignore = "minutes; run by `make test-slow`"]
fn every_shared_video_is_accounted_for_in_bounded_memory() {
    let Some(videos) = shared_videos() else {
        return;
    };
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let videos: Vec<_> = files(&videos)
        .into_iter()
        .filter(|path| is_video(path))
        .collect();
    let lines = videos
        .iter()
        .map(|path| serde_json::json!({ "uri": path }).to_string());
    let lines: Vec<String> = lines.collect();
    let manifest = crate::clips::publish_text(folder.path(), "all.jsonl", &lines.join("\n"));
    let out = folder.path().join("out");

    let mut command = run_command(&manifest, &out, &["-j", "2"]);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let id = child.id();
    let mut peak_bytes = 0;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        let children = format!("/proc/{id}/task/{id}/children");
        let children = std::fs::read_to_string(children).unwrap_or_default();
        for worker in children
            .split_whitespace()
            .filter_map(|text| text.parse().ok())
        {
            peak_bytes = peak_memory_bytes(worker).unwrap_or(0).max(peak_bytes);
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    assert_eq!(status.code(), Some(3));
    assert!(
        !out.join("strikes.jsonl").exists(),
        "the worker process died"
    );
    println!("{} videos, {} MiB at most", videos.len(), peak_bytes >> 20);
    assert!(
        peak_bytes > 0 && peak_bytes <= MAX_MEMORY_BYTES,
        "{peak_bytes} bytes"
    );

    let status: Ran = call(["status", "--json", out.to_str().unwrap()]).expect(0);
    let status = status.json();
    assert_eq!(status["videos_done"].as_u64(), Some(videos.len() as u64));
    let (rows, left) = (samples(&out), rejects(&out));
    assert!(!rows.is_empty());
    for path in &videos {
        let uri = path.to_str().unwrap();
        let found = rows
            .iter()
            .chain(&left)
            .any(|row| text(row, "video_uri") == uri);
        assert!(found, "{uri} left no trace");
    }
    let is_damaged = |name: &str| {
        name.starts_with("bad_") || name.starts_with("mp4parse_") || name == "decord_corrupted.mp4"
    };
    for path in &videos {
        let name = path.file_name().unwrap().to_str().unwrap();
        let has_failed = left
            .iter()
            .any(|row| text(row, "video_uri").ends_with(name) && row["outcome"] == "failed");
        if is_damaged(name) && !has_failed {
            println!("{name} is damaged and did not fail");
        }
    }
    for row in left.iter().filter(|row| row["outcome"] == "failed") {
        assert_ne!(text(row, "reason"), "bug", "{row:?}");
        assert!(!text(row, "message").is_empty(), "{row:?}");
    }
}
