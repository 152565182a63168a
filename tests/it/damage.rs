//! Damaged files: each damage is named, and what is whole around it is kept.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::clips::clip;
use crate::program::call;

use framewright::store::publish_bytes;

/// Frames of each of the three scenes of [`whole`], and of the file.
const SCENE_FRAMES: u64 = 40;
const FRAMES: u64 = 3 * SCENE_FRAMES;

/// Files of one test, in a folder of their own.
struct Files {
    folder: TempDir,
}

impl Files {
    /// None, with a line saying so, where there is no `ffmpeg`.
    fn new() -> Option<Self> {
        static HAS_FFMPEG: OnceLock<bool> = OnceLock::new();
        let has_ffmpeg = *HAS_FFMPEG.get_or_init(|| clip("move.mp4").is_some());
        has_ffmpeg.then(|| Self {
            folder: TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap(),
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn make(&self, name: &str, arguments: &str) -> PathBuf {
        let status = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-y"])
            .args(arguments.split_whitespace())
            .arg(name)
            .current_dir(self.folder.path())
            .status()
            .unwrap();
        assert!(status.success(), "{name}: {status}");
        self.path(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        publish_bytes(&self.path(name), bytes).unwrap();
        self.path(name)
    }

    /// Three scenes of 40 frames at 20 frames a second, with moving noise: red, green and blue.
    fn whole(&self, name: &str, more: &str) -> PathBuf {
        let scene = |color: &str| format!("-f lavfi -i color={color}:s=160x96:r=20:d=2");
        let inputs = ["0xF03030", "0x106010", "0x9090F0"].map(scene).join(" ");
        let graph = "[0][1][2]concat=n=3,noise=alls=6:allf=t:all_seed=3";
        let arguments = format!(
            "{inputs} -filter_complex {graph} -c:v libx264 -threads 1 -g 20 -bf 2 -sc_threshold 0 \
             -pix_fmt yuv420p {more}"
        );
        self.make(name, &arguments)
    }
}

/// What `scenes` says of one file, which it finds damaged or not.
#[track_caller]
fn scenes(path: &Path, code: i32) -> Value {
    let path = path.to_str().unwrap();
    let ran = call(["scenes", "--json", "--detector", "content", path]).expect(code);
    let Value::Array(mut lists) = ran.json() else {
        panic!("{}", ran.out);
    };
    assert_eq!(lists.len(), 1);
    lists.remove(0)
}

/// First frame and first frame after, of each scene.
fn spans(list: &Value) -> Vec<(u64, u64)> {
    let number = |scene: &Value, name: &str| scene[name].as_u64().unwrap();
    let scenes = list["scenes"].as_array().unwrap().iter();
    scenes
        .map(|scene| (number(scene, "start_frame"), number(scene, "end_frame")))
        .collect()
}

/// Spans must tile the decoded frames, and times must rise with them.
#[track_caller]
fn check_tiles(list: &Value) {
    let mut frame = 0;
    let mut secs = f64::MIN;
    for scene in list["scenes"].as_array().unwrap() {
        assert_eq!(scene["start_frame"], frame, "{list}");
        frame = scene["end_frame"].as_u64().unwrap();
        let start = scene["start_secs"].as_f64().unwrap();
        assert!(start >= secs, "{list}");
        secs = scene["end_secs"].as_f64().unwrap();
        assert!(secs > start, "{list}");
    }
    assert_eq!(list["frames"], frame, "{list}");
}

#[track_caller]
fn has_reason(list: &Value, reason: &str) -> bool {
    let reasons = list["damage"]["reasons"].as_array();
    reasons.is_some_and(|reasons| reasons.contains(&json!(reason)))
}

const WHOLE_SPANS: [(u64, u64); 3] = [
    (0, SCENE_FRAMES),
    (SCENE_FRAMES, 2 * SCENE_FRAMES),
    (2 * SCENE_FRAMES, FRAMES),
];

#[test]
fn a_whole_file_has_no_damage_under_any_name() {
    let Some(files) = Files::new() else { return };
    let whole = files.whole("whole.mkv", "");
    let renamed = files.write("renamed.mp4", &std::fs::read(&whole).unwrap());
    for path in [whole, renamed] {
        let list = scenes(&path, 0);
        assert_eq!(list["damage"], Value::Null);
        assert_eq!(spans(&list), WHOLE_SPANS);
    }
}

#[test]
fn a_truncated_tail_is_named_and_the_scenes_before_it_are_kept() {
    let Some(files) = Files::new() else { return };
    for (name, more) in [
        ("a.mp4", "-movflags +faststart"),
        ("a.mkv", ""),
        ("a.avi", ""),
    ] {
        let whole = std::fs::read(files.whole(name, more)).unwrap();
        let cut = files.write(&format!("cut-{name}"), &whole[..whole.len() * 6 / 10]);
        let list = scenes(&cut, 0);
        assert_eq!(list["damage"]["reasons"][0], "truncated_tail", "{list}");
        assert_eq!(list["damage"]["is_loss"], true);
        assert!(list["damage"]["text"].as_str().unwrap().contains("shorter"));
        check_tiles(&list);
        assert_eq!(spans(&list)[0], WHOLE_SPANS[0]);
        let frames = list["frames"].as_u64().unwrap();
        assert!(
            (FRAMES / 2..FRAMES * 7 / 10).contains(&frames),
            "{name}: {frames} frames"
        );
        assert!(list["damage"]["first_after_pts"].is_i64(), "{list}");
    }
}

#[test]
fn flipped_bits_are_named_and_scenes_on_both_sides_are_kept() {
    let Some(files) = Files::new() else { return };
    let mut bytes = std::fs::read(files.whole("a.mp4", "-movflags +faststart")).unwrap();
    // In the middle of the second scene, a little every few hundred bytes.
    let (from, to) = (bytes.len() * 45 / 100, bytes.len() * 52 / 100);
    for at in (from..to).step_by(211) {
        bytes[at] ^= 0x5A;
        bytes[at + 1] ^= 0xFF;
    }
    let list = scenes(&files.write("flipped.mp4", &bytes), 0);
    assert!(
        has_reason(&list, "corrupt_packets") || has_reason(&list, "repaired_frames"),
        "{list}"
    );
    assert!(!has_reason(&list, "truncated_tail"), "{list}");
    check_tiles(&list);
    let found = spans(&list);
    assert_eq!(found[0], WHOLE_SPANS[0]);
    let (last, frames) = (found.last().unwrap(), list["frames"].as_u64().unwrap());
    assert_eq!((last.1 - last.0, last.1), (SCENE_FRAMES, frames), "{list}");
    let first_after = list["damage"]["first_after_pts"].as_i64().unwrap();
    let start_pts = |scene: usize| list["scenes"][scene]["start_pts"].as_i64().unwrap();
    assert!((start_pts(1)..start_pts(found.len() - 1)).contains(&first_after));
}

#[test]
fn files_of_which_nothing_can_be_had_say_why() {
    let Some(files) = Files::new() else { return };
    let whole = std::fs::read(files.whole("a.mp4", "")).unwrap();
    let audio = "-f lavfi -i sine=duration=2 -c:a aac";
    let video = std::fs::read(files.whole("a.mkv", "")).unwrap();
    let cases = [
        // The index stands at the end of a file that is not made for streaming.
        (
            files.write("no_index.mp4", &whole[..whole.len() * 8 / 10]),
            "corrupt",
            "missing_moov",
        ),
        (files.make("audio.mp4", audio), "missing", "no_video_stream"),
        (files.write("empty.mp4", b""), "corrupt", "empty_file"),
        (
            files.write("text.mp4", b"this is no video\n"),
            "corrupt",
            "not_a_video",
        ),
        (
            files.write("head.mkv", &video[..60]),
            "unreadable",
            "broken_header",
        ),
    ];
    for (path, kind, reason) in cases {
        let list = scenes(&path, 3);
        let error = &list["error"];
        assert_eq!(
            (&error["kind"], &error["reason"]),
            (&json!(kind), &json!(reason)),
            "{list}"
        );
        assert!(!error["what"].as_str().unwrap().is_empty());
        assert_eq!(list["scenes"], json!([]));
    }
    let missing = scenes(&files.path("missing.mp4"), 3);
    assert_eq!(missing["error"]["kind"], "missing");
    assert!(missing["error"].get("reason").is_none());
}

#[test]
fn jumps_in_time_are_notes_and_lose_nothing() {
    let Some(files) = Files::new() else { return };
    let first = std::fs::read(files.whole("first.ts", "-output_ts_offset 50")).unwrap();
    let earlier = std::fs::read(files.whole("earlier.ts", "")).unwrap();
    let later = std::fs::read(files.whole("later.ts", "-output_ts_offset 5000")).unwrap();
    for (name, second) in [("back.ts", earlier), ("ahead.ts", later)] {
        let path = files.write(name, &[&first[..], &second].concat());
        let list = scenes(&path, 0);
        assert_eq!(list["damage"]["reasons"], json!(["pts_jump"]), "{list}");
        assert_eq!(list["damage"]["is_loss"], false);
        check_tiles(&list);
        let twice = WHOLE_SPANS.map(|(start, end)| (start + FRAMES, end + FRAMES));
        assert_eq!(spans(&list), [WHOLE_SPANS, twice].concat());
    }
}

#[test]
fn a_picture_shown_long_is_no_damage() {
    let Some(files) = Files::new() else { return };
    let still = "-f lavfi -i testsrc2=s=160x96:r=10:d=4 -vf settb=1/1000,setpts=100*N+90000*gte(N\\,20) \
                 -vsync passthrough -enc_time_base 1/1000 -pix_fmt yuv420p";
    let list = scenes(&files.make("still.mkv", still), 0);
    assert_eq!(list["damage"], Value::Null, "{list}");
    assert_eq!(list["frames"], 40);
}
