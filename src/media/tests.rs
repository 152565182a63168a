//! Whole files through probe and both readers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::testing::{make_clip, options, shared_videos};
use super::{FrameReader, LowResReader, probe};
use crate::core::{ErrorKind, FrameRef, ItemError, Rgb8, SizeRule, VideoInfo};

const FULL: SizeRule = SizeRule::MaxSide(u32::MAX);

/// Files whose count differs from what `ffprobe` counted in their first video stream.
const KNOWN: &[(&str, u32, &str)] = &[
    (
        "torchcodec_nasa_13013.mp4",
        390,
        "the better of its two video streams is not the first",
    ),
    (
        "mp4parse_no_timescale.mp4",
        168,
        "two frames are not later than the ones before them",
    ),
];

struct Pass {
    info: VideoInfo,
    frames: u32,
    damage: String,
    sampled: Vec<(FrameRef, Rgb8)>,
}

fn pass(path: &Path, every: u32) -> Result<Pass, ItemError> {
    let options = options();
    let info = probe(path, &options, true)?;
    let mut reader = LowResReader::open(path, &info, &options)?;
    let (mut frames, mut sampled) = (0, Vec::new());
    while let Some(stamp) = reader.next_frame()? {
        assert_eq!(stamp.index.0, frames);
        let image = reader.picture(if frames % every == 0 {
            FULL
        } else {
            SizeRule::MaxWidth(64)
        })?;
        if frames % every == 0 {
            assert_eq!((image.width(), image.height()), (info.width, info.height));
            let at = FrameRef {
                pts: stamp.pts,
                index: stamp.index,
            };
            sampled.push((at, image));
        }
        frames += 1;
    }
    let damage = format!("{:?}", reader.damage());
    Ok(Pass {
        info,
        frames,
        damage,
        sampled,
    })
}

/// Compares every sampled frame, last first so that each one needs a seek, then in rising order.
fn compare(path: &Path, pass: &Pass) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut reader = FrameReader::open(path, &pass.info, &options()).unwrap();
    let backward = pass.sampled.iter().rev().take(12);
    let forward = pass.sampled.iter().take(12);
    for (order, (at, expected)) in backward
        .map(|s| ("backward", s))
        .chain(forward.map(|s| ("forward", s)))
    {
        match reader.frame(*at) {
            Ok(image) if image == *expected => (),
            Ok(_) => wrong.push(format!("{order} frame {} differs", at.index.0)),
            Err(error) => wrong.push(format!("{order} frame {}: {error}", at.index.0)),
        }
    }
    wrong
}

fn manifest(folder: &Path) -> BTreeMap<PathBuf, Option<u64>> {
    let text = std::fs::read_to_string(folder.join("manifest.json")).unwrap();
    let entries: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let root = folder.parent().unwrap();
    entries
        .iter()
        .map(|entry| {
            let path = root.join(entry["path"].as_str().unwrap());
            (path, entry["frames"].as_u64())
        })
        .collect()
}

#[test]
fn every_shared_video_is_counted_right_and_read_again_bit_for_bit() {
    let Some(folder) = shared_videos() else {
        return;
    };
    let mut wrong = Vec::new();
    let mut files = manifest(&folder);
    for entry in std::fs::read_dir(folder.join("derived")).unwrap() {
        files.entry(entry.unwrap().path()).or_insert(None);
    }
    let only = std::env::var("FRAMEWRIGHT_ONLY").unwrap_or_default();
    for (path, expected) in &files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.contains(&only) {
            continue;
        }
        let started = std::time::Instant::now();
        match pass(path, 10) {
            Ok(pass) => {
                let known = KNOWN.iter().find(|(known, ..)| *known == name);
                let expected = known.map(|(_, n, _)| u64::from(*n)).or(*expected);
                if expected.is_some_and(|n| n != u64::from(pass.frames)) {
                    wrong.push(format!(
                        "{name}: {} frames, expected {expected:?}",
                        pass.frames
                    ));
                }
                let passed = started.elapsed();
                wrong.extend(compare(path, &pass).iter().map(|w| format!("{name}: {w}")));
                println!(
                    "{name}: {} frames {}x{} {} {} {} rot {} sar {:?} crop {:?} il {} {:.1}+{:.1}s {}",
                    pass.frames,
                    pass.info.width,
                    pass.info.height,
                    pass.info.container,
                    pass.info.codec,
                    pass.info.pixel_format,
                    pass.info.rotation_degrees,
                    pass.info.sample_aspect,
                    pass.info.crop_in_coded,
                    pass.info.is_interlaced,
                    passed.as_secs_f32(),
                    (started.elapsed() - passed).as_secs_f32(),
                    pass.damage,
                );
            }
            Err(error) => {
                println!("{name}: {error}");
                if expected.is_some_and(|n| n > 0) {
                    wrong.push(format!("{name}: {error}"));
                }
                assert!(error.kind != ErrorKind::Bug && error.kind != ErrorKind::Timeout);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn letterbox_is_cut_in_both_readers() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = [
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=320x180:rate=10:duration=4",
        "-vf",
        "pad=320:240:0:30",
        "-g",
        "8",
        "-pix_fmt",
        "yuv420p",
    ];
    let Some(path) = make_clip(folder.path(), "a.mp4", &arguments) else {
        return;
    };
    let pass = pass(&path, 5).unwrap();
    assert_eq!((pass.info.width, pass.info.height), (320, 180));
    assert_eq!(
        (pass.info.crop_in_coded.y0, pass.info.crop_in_coded.y1),
        (30.0, 210.0)
    );
    assert_eq!(compare(&path, &pass), Vec::<String>::new());
}
