//! Mutated videos, made from a seed, through the whole program: none may kill a process, hang, take
//! absurd memory, be called our mistake or leave no trace.
//!
//! `FRAMEWRIGHT_MUTATIONS` is how many (100), `FRAMEWRIGHT_SEED` from which seed (1), and
//! `FRAMEWRIGHT_MUTATION` one alone, by its number.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use framewright::store::publish_bytes;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::clips::{clips, publish_text};
use crate::program::{Ran, call, peak_memory_bytes, program, run_command};
use crate::run_folder::{rejects, samples, text};

/// Videos of one run.
const BATCH: u64 = 100;
/// Time for one video in one stage, seconds.
const ITEM_SECS: u64 = 20;
/// Time for a whole batch, seconds; a machine may be busy.
const BATCH_SECS: u64 = 400;
/// Most memory that any process may take.
const MAX_MEMORY_BYTES: u64 = 3 << 29;

/// Name, and how it is encoded.
const SOURCES: [(&str, &str); 22] = [
    ("h264.mp4", "-c:v libx264 -g 12 -bf 2"),
    ("front.mp4", "-c:v libx264 -g 12 -movflags +faststart"),
    (
        "fragments.mp4",
        "-c:v libx264 -g 12 -movflags +frag_keyframe+empty_moov",
    ),
    ("h264.mkv", "-c:v libx264 -g 12"),
    ("h264.ts", "-c:v libx264 -g 12"),
    ("h264.flv", "-c:v libx264 -g 12"),
    ("raw.h264", "-c:v libx264 -g 12"),
    (
        "hevc.mp4",
        "-c:v libx265 -x265-params log-level=none:pools=1",
    ),
    ("vp9.webm", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8"),
    ("vp8.webm", "-c:v libvpx -deadline realtime"),
    ("av1.mkv", "-c:v libaom-av1 -usage realtime -cpu-used 8"),
    ("mpeg4.avi", "-c:v mpeg4"),
    ("mjpeg.avi", "-c:v mjpeg -pix_fmt yuvj420p"),
    ("huffyuv.avi", "-c:v huffyuv -pix_fmt yuv422p"),
    ("mpeg2.mpg", "-c:v mpeg2video -g 12"),
    ("mpeg2.ts", "-c:v mpeg2video -g 12"),
    ("mpeg2.mxf", "-c:v mpeg2video -g 12 -r 25"),
    ("prores.mov", "-c:v prores -pix_fmt yuv422p10le"),
    ("wmv.asf", "-c:v wmv2"),
    ("theora.ogv", "-c:v libtheora"),
    ("ffv1.mkv", "-c:v ffv1 -level 3"),
    ("pictures.gif", "-f gif"),
];

/// The sources' bytes; none, with a line saying so, where there is no `ffmpeg`.
fn sources() -> Option<Vec<(&'static str, Vec<u8>)>> {
    clips()?;
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let made = SOURCES.iter().map(|(name, arguments)| {
        let pixels = if name.ends_with("gif") {
            ""
        } else {
            "-pix_fmt yuv420p"
        };
        let status = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-y"])
            .args(
                "-f lavfi -i testsrc2=s=96x64:r=12:d=2 -f lavfi -i color=red:s=96x64:r=12:d=1"
                    .split(' '),
            )
            .args([
                "-filter_complex",
                "[0][1]concat=n=2,noise=alls=6:allf=t:all_seed=3",
            ])
            .args(pixels.split_whitespace())
            .args(["-threads", "1"])
            .args(arguments.split_whitespace())
            .arg(name)
            .current_dir(folder.path())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        // A build of ffmpeg may lack an encoder.
        let bytes = std::fs::read(folder.path().join(name)).ok();
        if !status.success() {
            println!("skipped: ffmpeg does not make {name}");
        }
        (
            *name,
            bytes.filter(|bytes| status.success() && !bytes.is_empty()),
        )
    });
    Some(
        made.filter_map(|(name, bytes)| Some((name, bytes?)))
            .collect(),
    )
}

/// Numbers that follow from a seed.
struct Dice(blake3::OutputReader);

impl Dice {
    fn new(seed: u64, number: u64) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes());
        hasher.update(&number.to_le_bytes());
        Self(hasher.finalize_xof())
    }
    /// A number below `end`.
    fn below(&mut self, end: usize) -> usize {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        (u64::from_le_bytes(bytes) % end.max(1) as u64) as usize
    }
    /// A place, every second one among the first 4 KiB, where containers say what they are.
    fn place(&mut self, length: usize) -> usize {
        if self.below(2) == 0 {
            self.below(length.min(4096))
        } else {
            self.below(length)
        }
    }
    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.place(length);
        let most = if self.below(2) == 0 { 512 } else { length };
        start..(start + self.below(most)).min(length)
    }
}

/// One mutated video and what was done to it.
struct Mutated {
    name: String,
    story: String,
    bytes: Vec<u8>,
}

fn mutated(sources: &[(&str, Vec<u8>)], seed: u64, number: u64) -> Mutated {
    let mut dice = Dice::new(seed, number);
    let (name, bytes) = &sources[number as usize % sources.len()];
    let (mut bytes, mut story) = (bytes.clone(), (*name).to_owned());
    for _ in 0..=dice.below(3) {
        let length = bytes.len();
        if length < 8 {
            break;
        }
        let step = match dice.below(10) {
            0 | 1 => {
                let count = 1 << dice.below(9);
                for _ in 0..count {
                    let at = dice.place(length);
                    bytes[at] ^= 1 << dice.below(8);
                }
                format!("{count} bits flipped")
            }
            2 => {
                let count = 1 + dice.below(4);
                for _ in 0..count {
                    let at = dice.place(length - 4);
                    let number = [0, 1, 0x7FFF_FFFF, 0x8000_0000, u32::MAX, 0xFFFF_FF00, 65536];
                    let number: u32 = number[dice.below(7)];
                    let number = if dice.below(2) == 0 {
                        number.to_be_bytes()
                    } else {
                        number.to_le_bytes()
                    };
                    bytes[at..at + 4].copy_from_slice(&number);
                }
                format!("{count} numbers replaced")
            }
            3 => {
                bytes.truncate(dice.below(length));
                format!("cut to {} bytes", bytes.len())
            }
            4 => {
                let range = dice.range(length);
                let story = format!("{range:?} zeroed");
                bytes[range].fill(0);
                story
            }
            5 => {
                let range = dice.range(length);
                let story = format!("{range:?} removed");
                bytes.drain(range);
                story
            }
            6 => {
                let range = dice.range(length);
                let story = format!("{range:?} doubled");
                let again = bytes[range.clone()].to_vec();
                bytes.splice(range.end..range.end, again);
                story
            }
            7 => {
                // The head of one file, the tail of another.
                let (other, tail) = &sources[dice.below(sources.len())];
                let (at, from) = (dice.place(length), dice.place(tail.len()));
                bytes.truncate(at);
                bytes.extend(&tail[from..]);
                format!("{at} bytes, then {other} from {from}")
            }
            8 => {
                // The header of another file over this one's body.
                let (other, head) = &sources[dice.below(sources.len())];
                let many = (16 << dice.below(9)).min(head.len()).min(length);
                bytes[..many].copy_from_slice(&head[..many]);
                format!("first {many} bytes of {other}")
            }
            _ => {
                let range = dice.range(length);
                let story = format!("{range:?} noise");
                let mut noise = vec![0; range.len()];
                dice.0.fill(&mut noise);
                bytes[range].copy_from_slice(&noise);
                story
            }
        };
        story = format!("{story}; {step}");
    }
    Mutated {
        name: format!("{number:05}-{name}"),
        story,
        bytes,
    }
}

/// Whatever became of the videos, the program itself is sound and took little memory.
#[track_caller]
fn ended_well(verb: &str, ran: &Ran, videos: usize, peak_bytes: u64) {
    assert!(
        matches!(ran.code, Some(0 | 3)),
        "{:?}\n{}",
        ran.code,
        ran.err
    );
    assert!(!ran.err.contains("panic"), "{}", ran.err);
    println!("{verb}: {videos} videos, {} MiB at most", peak_bytes >> 20);
    assert!(
        peak_bytes > 0 && peak_bytes <= MAX_MEMORY_BYTES,
        "{peak_bytes} bytes"
    );
}

/// How a process and its children ended, and the most memory that one of them took.
fn watched(mut command: Command, folder: &Path) -> (Ran, u64) {
    let (out, err) = (folder.join("stdout"), folder.join("stderr"));
    for path in [&out, &err] {
        publish_bytes(path, b"").unwrap();
    }
    let open = |path: &Path| std::fs::OpenOptions::new().append(true).open(path).unwrap();
    let mut child = command
        .stdout(open(&out))
        .stderr(open(&err))
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let (begin, id, mut peak_bytes) = (Instant::now(), child.id(), 0);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        let children = children.unwrap_or_default();
        let processes = children
            .split_whitespace()
            .filter_map(|text| text.parse().ok());
        for process in processes.chain([id]) {
            peak_bytes = peak_memory_bytes(process).unwrap_or(0).max(peak_bytes);
        }
        if begin.elapsed() > Duration::from_secs(BATCH_SECS) {
            child.kill().unwrap();
            let err = std::fs::read_to_string(&err).unwrap();
            panic!("{command:?} does not end: {err}");
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let ran = Ran {
        code: status.code(),
        out: std::fs::read_to_string(out).unwrap(),
        err: String::from_utf8_lossy(&std::fs::read(err).unwrap()).into_owned(),
    };
    (ran, peak_bytes)
}

fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable)
        .ok()
        .map(|text| text.parse().unwrap())
}

#[test]
fn mutated_videos_are_accounted_for_in_bounded_time_and_memory() {
    let Some(sources) = sources() else { return };
    let seed = number_from("FRAMEWRIGHT_SEED").unwrap_or(1);
    let count = number_from("FRAMEWRIGHT_MUTATIONS").unwrap_or(100);
    let numbers: Vec<u64> = match number_from("FRAMEWRIGHT_MUTATION") {
        Some(one) => vec![one],
        None => (0..count).collect(),
    };
    let mut kinds = std::collections::BTreeMap::new();
    for (batch, numbers) in numbers.chunks(BATCH as usize).enumerate() {
        let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let videos: Vec<Mutated> = numbers
            .iter()
            .map(|n| mutated(&sources, seed, *n))
            .collect();
        for video in &videos {
            publish_bytes(
                &folder.path().join("videos").join(&video.name),
                &video.bytes,
            )
            .unwrap();
        }
        let mine = mine_all(folder.path(), &videos);
        let list = list_all(folder.path(), &videos, batch % 2 == 0);
        for kind in mine.into_iter().chain(list) {
            *kinds.entry(kind).or_insert(0) += 1;
        }
    }
    println!("seed {seed}, {} videos: {kinds:?}", numbers.len());
}

/// Tells what was done to a video, to repeat it.
fn told(videos: &[Mutated], uri: &str) -> String {
    let video = videos.iter().find(|video| uri.ends_with(&video.name));
    video.map_or_else(
        || uri.to_owned(),
        |video| format!("{}: {}", video.name, video.story),
    )
}

/// `run` on all of them; the kinds of failures.
fn mine_all(folder: &Path, videos: &[Mutated]) -> Vec<String> {
    let lines: Vec<String> = videos
        .iter()
        .map(|video| json!({ "uri": format!("videos/{}", video.name) }).to_string())
        .collect();
    let manifest = publish_text(folder, "mutated.jsonl", &lines.join("\n"));
    let out = folder.join("out");
    let item_secs = format!("limits.item_secs={ITEM_SECS}");
    let more = [
        "-j",
        "2",
        "--set",
        "limits.max_failed_ratio=1.0",
        "--set",
        &item_secs,
    ];
    let (ran, peak_bytes) = watched(run_command(&manifest, &out, &more), folder);
    let strikes = std::fs::read_to_string(out.join("strikes.jsonl")).unwrap_or_default();
    assert_eq!(strikes, "", "a worker process died: {}", ran.err);
    ended_well("run", &ran, videos.len(), peak_bytes);

    let status = call(["status", "--json", out.to_str().unwrap()])
        .expect(0)
        .json();
    assert_eq!(status["videos_done"], videos.len() as u64);
    let stages = status["funnel"]["stages"].as_array().unwrap();
    let ingest = &stages[0][1];
    let failed: u64 = ingest["failed"]
        .as_object()
        .map_or(0, |kinds| kinds.values().map(|n| n.as_u64().unwrap()).sum());
    assert_eq!(ingest["received"], videos.len() as u64);
    assert_eq!(
        ingest["passed"].as_u64().unwrap() + failed,
        videos.len() as u64
    );

    let (rows, left) = (samples(&out), rejects(&out));
    for video in videos {
        let is_it = |row: &crate::run_folder::Row| text(row, "video_uri").ends_with(&video.name);
        assert!(
            rows.iter().chain(&left).any(is_it),
            "no trace of {}: {}",
            video.name,
            video.story
        );
    }
    let failures = left.iter().filter(|row| row["outcome"] == "failed");
    let kind = |row: &crate::run_folder::Row| {
        let reason = text(row, "reason");
        let told = told(videos, text(row, "video_uri"));
        assert!(
            !["bug", "timeout", "crash"].contains(&reason),
            "{told}\n{row:?}"
        );
        assert!(!text(row, "message").is_empty(), "{told}\n{row:?}");
        format!("run {reason}")
    };
    failures.map(kind).collect()
}

/// `scenes` on all of them, with clips; the kinds of failures.
fn list_all(folder: &Path, videos: &[Mutated], is_exact: bool) -> Vec<String> {
    let mut command = program();
    let item_secs = format!("limits.item_secs={ITEM_SECS}");
    command
        .args([
            "scenes",
            "--json",
            "--detector",
            "content",
            "-j",
            "2",
            "--set",
            &item_secs,
        ])
        .args([
            "--split-mode",
            if is_exact { "exact" } else { "copy" },
            "--split",
        ])
        .arg(folder.join("clips"))
        .args(if is_exact { &[][..] } else { &["--fast"][..] });
    let paths: Vec<PathBuf> = videos
        .iter()
        .map(|v| folder.join("videos").join(&v.name))
        .collect();
    command.args(&paths);
    let (ran, peak_bytes) = watched(command, folder);
    ended_well("scenes", &ran, videos.len(), peak_bytes);
    let Value::Array(lists) = ran.json() else {
        panic!("{}", ran.out);
    };
    assert_eq!(lists.len(), videos.len());
    let kind = |list: &Value| {
        let kind = list["error"]["kind"].as_str()?;
        let told = told(videos, list["file"].as_str().unwrap());
        assert!(
            !["bug", "timeout", "crash"].contains(&kind),
            "{told}\n{list}"
        );
        Some(format!("scenes {kind}"))
    };
    lists.iter().filter_map(kind).collect()
}
