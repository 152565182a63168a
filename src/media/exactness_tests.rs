//! Frame-exact and pts-exact: over generated files of many kinds, the frame fetched for a pts is bit
//! for bit the one that the sequential pass saw, in any order and with any number of threads.
//!
//! Every picture carries its number in the source as black and white blocks, so that a frame that is
//! missing, doubled or in the wrong place shows.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tempfile::TempDir;

use super::testing::{counted_frames, join_files, make_clip, options};
use super::{Damage, FrameReader, LowResReader, probe};
use crate::core::{DamageReason, FrameRef, Rgb8, SizeRule};

const FULL: SizeRule = SizeRule::MaxSide(u32::MAX);
/// Bits of the number in a picture, and the width of each, pixels.
const BITS: (u32, u32) = (8, 8);
/// A row of pixels inside the number.
const BITS_ROW_PX: u32 = 44;

/// 64x48 pixels, the number in the bottom rows, for so many seconds.
fn source(fps: &str, secs: u32, more: &str) -> String {
    let number = "geq=lum='if(gt(Y,39),235*mod(floor(N/pow(2,floor(X/8))),2),lum(X,Y))':\
                  cb='if(gt(Y,39),128,cb(X,Y))':cr='if(gt(Y,39),128,cr(X,Y))'";
    let first = format!("testsrc2=size=64x48:rate={fps}:duration={secs}");
    format!("-f lavfi -i {first},{number}{more}")
}

fn number_of(image: &Rgb8) -> u32 {
    let bit =
        |at: u32| u32::from(image.pixel(at * BITS.1 + BITS.1 / 2, BITS_ROW_PX)[1] > 128) << at;
    (0..BITS.0).map(bit).sum()
}

struct Pass {
    frames: Vec<(FrameRef, Rgb8)>,
    damage: Damage,
}

/// All frames in order, with what is wrong with their numbers and times.
fn pass(path: &Path, info: &crate::core::VideoInfo, threads: usize) -> Result<Pass, String> {
    let mut reader = LowResReader::open(path, info, &options(threads)).map_err(|e| e.what)?;
    let mut frames: Vec<(FrameRef, Rgb8)> = Vec::new();
    while let Some(stamp) = reader.next_frame().map_err(|e| e.what)? {
        let at = FrameRef {
            pts: stamp.pts,
            index: stamp.index,
        };
        if at.index.0 as usize != frames.len() {
            return Err(format!("{at:?} came after {} frames", frames.len()));
        }
        if let Some((before, _)) = frames.last()
            && before.pts >= at.pts
        {
            return Err(format!("{at:?} came after {before:?}"));
        }
        let image = reader.picture(FULL).map_err(|e| e.what)?;
        if image.width() != BITS.0 * BITS.1 {
            return Err("this is another stream".to_owned());
        }
        frames.push((at, image));
    }
    Ok(Pass {
        frames,
        damage: reader.damage().clone(),
    })
}

/// Fetches frames in that order and compares them.
fn fetch(
    path: &Path,
    info: &crate::core::VideoInfo,
    pass: &Pass,
    order: impl IntoIterator<Item = usize>,
    threads: usize,
) -> Result<(), String> {
    let mut reader = FrameReader::open(path, info, &options(threads)).map_err(|e| e.what)?;
    for number in order {
        let (at, expected) = &pass.frames[number % pass.frames.len()];
        let what = match reader.frame(*at) {
            Ok(image) if image == *expected => continue,
            Ok(image) => format!("shows number {}", number_of(&image)),
            Err(error) => error.what,
        };
        return Err(format!("{at:?}, number {}: {what}", number_of(expected)));
    }
    Ok(())
}

/// What is checked of a file besides that fetched frames are the right ones.
struct Expected<'a> {
    /// Whether each picture's number is higher than the one before.
    do_numbers_rise: bool,
    /// Frames that `ffprobe` counts and the pass leaves out.
    left_out: u32,
    reasons: &'a [DamageReason],
}

const WHOLE: Expected<'_> = Expected {
    do_numbers_rise: true,
    left_out: 0,
    reasons: &[],
};

fn check(
    path: &Path,
    expected: &Expected<'_>,
    order: &[usize],
    threads: usize,
) -> Result<(), String> {
    let info = probe(path, &options(1), false).map_err(|e| e.what)?;
    let one = pass(path, &info, 1)?;
    let counted = counted_frames(path, info.stream_index);
    let frames = one.frames.len() as u32 + expected.left_out;
    if counted.is_some_and(|counted| counted != frames) {
        return Err(format!("{frames} frames, ffprobe counts {counted:?}"));
    }
    if one.damage.reasons() != expected.reasons {
        return Err(format!("damage: {:?}", one.damage));
    }
    let numbers: Vec<u32> = one
        .frames
        .iter()
        .map(|(_, image)| number_of(image))
        .collect();
    if expected.do_numbers_rise && !numbers.is_sorted_by(|a, b| a < b) {
        return Err(format!("numbers {numbers:?}"));
    }
    let several = pass(path, &info, threads)?;
    if several.frames != one.frames || several.damage != one.damage {
        return Err(format!("{threads} threads see something else"));
    }
    let count = one.frames.len();
    let named = |how: &str| {
        let how = how.to_owned();
        move |error| format!("{how}: {error}")
    };
    fetch(path, &info, &one, order.iter().copied(), threads).map_err(named("any order"))?;
    fetch(path, &info, &one, (0..count).rev().step_by(5), 1).map_err(named("backward"))?;
    fetch(path, &info, &one, (0..count).step_by(3), 2).map_err(named("forward"))
}

/// How a file is made: names and arguments of the files before it and of itself. `SOURCE` stands for
/// two seconds of numbered pictures, `IN/` for the folder; `JOIN` puts files one behind the other.
type Steps = &'static [(&'static str, &'static str)];

const B_FRAMES: (&str, &str) = ("in.mp4", "SOURCE -c:v libx264 -bf 3 -g 12 -sc_threshold 0");

const FILES: &[Steps] = &[
    &[("no_b.mp4", "SOURCE -c:v libx264 -bf 0 -g 10")],
    &[("b.mp4", "SOURCE -c:v libx264 -bf 3 -g 12")],
    &[("b.flv", "SOURCE -c:v libx264 -bf 3 -g 12")],
    &[("b.avi", "SOURCE -c:v libx264 -bf 3 -g 12")],
    &[("b.h264", "SOURCE -c:v libx264 -bf 3 -g 12")],
    &[(
        "open.mp4",
        "SOURCE -c:v libx264 -bf 3 -g 12 -x264-params open-gop=1",
    )],
    &[(
        "open.ts",
        "SOURCE -c:v libx264 -bf 3 -g 12 -x264-params open-gop=1",
    )],
    &[(
        "refresh.mkv",
        "SOURCE -c:v libx264 -bf 0 -g 15 -x264-params intra-refresh=1",
    )],
    &[(
        "refresh.ts",
        "SOURCE -c:v libx264 -bf 0 -g 15 -x264-params intra-refresh=1",
    )],
    &[(
        "hevc_open.mp4",
        "SOURCE -c:v libx265 -x265-params log-level=none:open-gop=1:keyint=12:min-keyint=12:bframes=4",
    )],
    &[(
        "hevc_open.ts",
        "SOURCE -c:v libx265 -x265-params log-level=none:open-gop=1:keyint=12:min-keyint=12:bframes=4",
    )],
    &[(
        "alt_ref.webm",
        "SOURCE -c:v libvpx-vp9 -auto-alt-ref 1 -lag-in-frames 16 -g 20 -cpu-used 8 -b:v 300k",
    )],
    &[(
        "alt_ref_8.webm",
        "SOURCE -c:v libvpx -auto-alt-ref 1 -lag-in-frames 16 -g 20 -cpu-used 8 -b:v 300k",
    )],
    &[(
        "alt_ref.ivf",
        "SOURCE -c:v libvpx-vp9 -auto-alt-ref 1 -lag-in-frames 16 -g 20 -cpu-used 8 -b:v 300k",
    )],
    &[(
        "av1.mp4",
        "SOURCE -c:v libaom-av1 -cpu-used 8 -lag-in-frames 10 -g 20 -b:v 300k",
    )],
    &[("mpeg2.ts", "SOURCE -c:v mpeg2video -bf 2 -g 12 -q:v 2")],
    &[("mpeg2.mpg", "SOURCE -c:v mpeg2video -bf 2 -g 12 -q:v 2")],
    &[("mpeg4.avi", "SOURCE -c:v mpeg4 -bf 2 -g 12 -q:v 2")],
    &[("mpeg4.mkv", "SOURCE -c:v mpeg4 -bf 2 -g 12 -q:v 2")],
    &[("mjpeg.avi", "SOURCE -c:v mjpeg -q:v 2 -pix_fmt yuvj420p")],
    &[("theora.ogv", "SOURCE -c:v libtheora -g 12 -q:v 9")],
    &[("mpeg4.asf", "SOURCE -c:v mpeg4 -g 12 -q:v 2")],
    &[("all_key.mkv", "SOURCE -c:v ffv1")],
    &[(
        "no_duration.mkv",
        "SOURCE -c:v libx264 -bf 2 -g 12 -f matroska -live 1",
    )],
    &[(
        "fragments.mp4",
        "SOURCE -c:v libx264 -bf 2 -g 12 -movflags frag_keyframe+empty_moov+default_base_moof",
    )],
    &[(
        "offset.mkv",
        "SOURCE -c:v libx264 -bf 2 -g 12 -output_ts_offset 5",
    )],
    &[(
        "offset.mp4",
        "SOURCE -c:v libx264 -bf 2 -g 12 -output_ts_offset 5",
    )],
    &[(
        "offset.ts",
        "SOURCE -c:v libx264 -bf 2 -g 12 -output_ts_offset 5",
    )],
    &[(
        "negative.mkv",
        "SOURCE -c:v libx264 -bf 2 -g 12 -output_ts_offset -1 -avoid_negative_ts disabled",
    )],
    &[(
        "negative.mp4",
        "SOURCE -c:v libx264 -bf 2 -g 12 -output_ts_offset -1 -avoid_negative_ts disabled",
    )],
    &[(
        "negative.ts",
        "SOURCE -c:v libx264 -bf 2 -g 12 -output_ts_offset -1 -avoid_negative_ts disabled -muxdelay 0",
    )],
    &[(
        "wrap.ts",
        "SOURCE -c:v libx264 -bf 2 -g 12 -output_ts_offset 95441",
    )],
    &[(
        "two.mkv",
        "-f lavfi -i testsrc2=size=32x24:rate=10:duration=2 SOURCE -map 0 -map 1 -disposition:v:0 0 -disposition:v:1 default -c:v libx264 -g 12",
    )],
    &[(
        "two.mp4",
        "-f lavfi -i testsrc2=size=32x24:rate=10:duration=2 SOURCE -map 0 -map 1 -disposition:v:0 0 -disposition:v:1 default -c:v libx264 -g 12",
    )],
    &[(
        "uneven.mkv",
        "VARIABLE -vsync passthrough -enc_time_base 1/1000 -c:v libx264 -bf 3 -g 12",
    )],
    &[(
        "uneven.mp4",
        "VARIABLE -vsync passthrough -enc_time_base 1/1000 -c:v libx264 -bf 3 -g 12",
    )],
    &[(
        "uneven.webm",
        "VARIABLE -vsync passthrough -enc_time_base 1/1000 -c:v libvpx-vp9 -g 12 -cpu-used 8 -b:v 300k",
    )],
    &[("dropped.mp4", "DROPPED -vsync vfr -c:v libx264 -bf 3 -g 12")],
    &[(
        "gap.mkv",
        "GAP -vsync passthrough -enc_time_base 1/1000 -c:v libx264 -bf 2 -g 12",
    )],
    &[B_FRAMES, ("list_start.mp4", "-ss 0.5 -i IN/in.mp4 -c copy")],
    &[
        B_FRAMES,
        ("list_middle.mp4", "-ss 0.37 -t 1.1 -i IN/in.mp4 -c copy"),
    ],
    &[
        B_FRAMES,
        ("list_empty.mp4", "-itsoffset 1.5 -i IN/in.mp4 -c copy"),
    ],
    &[
        B_FRAMES,
        ("list_start.mov", "-ss 0.77 -i IN/in.mp4 -c copy"),
    ],
    &[B_FRAMES, ("copied.ts", "-ss 0.5 -i IN/in.mp4 -c copy")],
    &[B_FRAMES, ("copied.mkv", "-ss 0.5 -i IN/in.mp4 -c copy")],
];

/// Files in which time jumps; the numbers of their pictures do not rise.
const JUMPS: &[Steps] = &[
    &[
        ("a.ts", "SOURCE -c:v libx264 -bf 2 -g 12"),
        ("back.ts", "JOIN a.ts a.ts"),
    ],
    &[
        ("a.ts", "SOURCE -c:v libx264 -bf 2 -g 12"),
        ("c.ts", "SOURCE -c:v libx264 -g 12 -output_ts_offset 3600"),
        ("ahead.ts", "JOIN a.ts c.ts"),
    ],
    &[
        (
            "a.ts",
            "SOURCE -c:v mpeg2video -bf 2 -g 12 -q:v 2 -output_ts_offset 100",
        ),
        ("b.ts", "SOURCE -c:v mpeg2video -bf 2 -g 12 -q:v 2"),
        ("there_and_back.ts", "JOIN a.ts b.ts a.ts"),
    ],
];

/// Makes the file of the last step.
fn make(folder: &Path, steps: Steps) -> Option<PathBuf> {
    let uneven = ",settb=1/1000,setpts=40*N+7*mod(N*N\\,5)+20*floor(N/11)";
    let gap = ",settb=1/1000,setpts=40*N+60000*gte(N\\,20)";
    let dropped = ",select='not(between(mod(n,7),2,4))'";
    let mut path = None;
    for (name, arguments) in steps {
        let made = if let Some(parts) = arguments.strip_prefix("JOIN ") {
            let parts: Vec<PathBuf> = parts.split(' ').map(|part| folder.join(part)).collect();
            join_files(&parts, &folder.join(name));
            folder.join(name)
        } else {
            let arguments = arguments
                .replace("SOURCE", &source("25", 2, ""))
                .replace("VARIABLE", &source("25", 2, uneven))
                .replace("DROPPED", &source("25", 2, dropped))
                .replace("GAP", &source("25", 2, gap))
                .replace("IN/", &format!("{}/", folder.display()));
            let format = if arguments.contains("pix_fmt") {
                ""
            } else {
                " -pix_fmt yuv420p"
            };
            let copies = arguments.contains("-c copy");
            let format = if copies { "" } else { format };
            make_clip(folder, name, &format!("{arguments}{format} -threads 1"))?
        };
        path = Some(made);
    }
    path
}

fn scattered(count: usize) -> Vec<usize> {
    (0..count).map(|number| number * 37 + number % 3).collect()
}

#[test]
fn frames_of_every_kind_of_file_are_fetched_as_the_pass_saw_them() {
    let folder = TempDir::new().unwrap();
    let mut wrong = Vec::new();
    let only = std::env::var("FRAMEWRIGHT_ONLY").unwrap_or_default();
    for (number, steps) in FILES.iter().enumerate() {
        let name = steps[steps.len() - 1].0;
        let wanted = name.contains(&only);
        let Some(path) = wanted.then(|| make(folder.path(), steps)).flatten() else {
            continue;
        };
        let threads = 2 + number % 3;
        if let Err(error) = check(&path, &WHOLE, &scattered(20), threads) {
            wrong.push(format!("{name}: {error}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn frames_on_both_sides_of_a_jump_in_time_are_kept_and_fetched() {
    let folder = TempDir::new().unwrap();
    let jumps = Expected {
        do_numbers_rise: false,
        left_out: 0,
        reasons: &[DamageReason::PtsJump],
    };
    let mut wrong = Vec::new();
    for steps in JUMPS {
        let name = steps[steps.len() - 1].0;
        let Some(path) = make(folder.path(), steps) else {
            return;
        };
        if let Err(error) = check(&path, &jumps, &scattered(20), 3) {
            wrong.push(format!("{name}: {error}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A file by chance.
#[derive(Clone, Debug)]
struct Random {
    codec: &'static str,
    container: &'static str,
    fps: &'static str,
    gop: u32,
    b_frames: u32,
    dropped_of_ten: u32,
    offset_secs: f64,
    order: Vec<usize>,
    threads: usize,
}

/// Codecs and containers of random files.
const KINDS: &[(&str, &str)] = &[
    ("libx264", "mp4"),
    ("libx264", "mkv"),
    ("libx264", "ts"),
    ("libx264 -x264-params open-gop=1", "mov"),
    ("libx265 -x265-params log-level=none", "mkv"),
    ("mpeg2video -q:v 2", "ts"),
    ("mpeg4 -q:v 2", "avi"),
    ("libvpx-vp9 -cpu-used 8 -b:v 300k", "webm"),
];

fn random() -> impl Strategy<Value = Random> {
    let pictures = (
        prop::sample::select(KINDS),
        prop::sample::select(&["24", "25", "30000/1001", "50"][..]),
        1_u32..26,
        0_u32..4,
        0_u32..8,
    );
    let reading = (
        prop::sample::select(&[0.0, 0.7, 5.0, -0.4][..]),
        prop::collection::vec(0_usize..200, 12),
        1_usize..5,
    );
    (pictures, reading).prop_map(
        |((kind, fps, gop, b_frames, dropped_of_ten), (offset_secs, order, threads))| Random {
            codec: kind.0,
            container: kind.1,
            fps,
            gop,
            b_frames: if kind.0.contains("vpx") { 0 } else { b_frames },
            dropped_of_ten,
            offset_secs,
            order,
            threads,
        },
    )
}

#[test]
fn frames_of_random_files_are_fetched_as_the_pass_saw_them() {
    let folder = TempDir::new().unwrap();
    let config = Config {
        cases: 16,
        max_shrink_iters: 24,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new(config);
    let result = runner.run(&random(), |file| {
        let dropped = format!(",select='gte(mod(n*7,10),{})'", file.dropped_of_ten);
        // A container of constant rate repeats frames where some are missing.
        let more = if file.container == "avi" {
            ""
        } else {
            &dropped
        };
        let arguments = format!(
            "{} -vsync vfr -c:v {} -g {} -bf {} -output_ts_offset {} -pix_fmt yuv420p",
            source(file.fps, 1, more),
            file.codec,
            file.gop,
            file.b_frames,
            file.offset_secs
        );
        let arguments = arguments.replace(" -bf 0", "");
        let name = format!("a.{}", file.container);
        let Some(path) = make_clip(folder.path(), &name, &arguments) else {
            return Ok(());
        };
        check(&path, &WHOLE, &file.order, file.threads).map_err(TestCaseError::fail)
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
