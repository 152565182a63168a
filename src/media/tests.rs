//! Whole files through probe and both readers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::testing::{make_clip, options, shared_videos};
use super::{Damage, FrameReader, LowResReader, probe};
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
    damage: Damage,
    sampled: Vec<(FrameRef, Rgb8)>,
}

fn pass(path: &Path, every: u32, threads: usize) -> Result<Pass, ItemError> {
    let options = options(threads);
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
    let damage = reader.damage().clone();
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
    let mut reader = FrameReader::open(path, &pass.info, &options(2)).unwrap();
    let backward = pass.sampled.iter().rev().take(6);
    let forward = pass.sampled.iter().take(6);
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
        match pass(path, 10, 2) {
            Ok(pass) => {
                let known = KNOWN.iter().find(|(known, ..)| *known == name);
                let expected = known.map(|(_, n, _)| u64::from(*n)).or(*expected);
                if expected.is_some_and(|n| n != u64::from(pass.frames)) {
                    wrong.push(format!("{} frames, expected {expected:?}", pass.frames));
                }
                wrong.extend(compare(path, &pass));
                println!("{name}: {} frames {:?}", pass.frames, pass.damage);
            }
            Err(error) => {
                println!("{name}: {error}");
                let is_typed = !matches!(error.kind, ErrorKind::Bug | ErrorKind::Timeout);
                if expected.is_some_and(|n| n > 0) || !is_typed {
                    wrong.push(error.to_string());
                }
            }
        }
        assert!(wrong.is_empty(), "{name}: {}", wrong.join("\n"));
    }
}

#[test]
fn damage_gives_the_same_pixels_with_any_number_of_threads() {
    let Some(folder) = shared_videos() else {
        return;
    };
    let path = folder.join("derived/bad_bitflips.mp4");
    let one = pass(&path, 5, 1).unwrap();
    let four = pass(&path, 5, 4).unwrap();
    assert!(one.damage.is_any());
    assert_eq!(one.damage, four.damage);
    assert!(one.sampled == four.sampled);
}

#[test]
fn letterbox_is_cut_in_both_readers() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = "-f lavfi -i testsrc2=size=320x180:rate=10:duration=4 -vf pad=320:240:0:30 \
                     -g 8 -pix_fmt yuv420p";
    let Some(path) = make_clip(folder.path(), "a.mp4", arguments) else {
        return;
    };
    let pass = pass(&path, 5, 2).unwrap();
    let crop = pass.info.crop_in_coded;
    assert_eq!((pass.info.width, pass.info.height), (320, 180));
    assert_eq!((crop.y0, crop.y1), (30.0, 210.0));
    assert_eq!(compare(&path, &pass), Vec::<String>::new());
}

#[test]
fn a_name_that_is_no_utf8_is_opened() {
    use std::os::unix::ffi::OsStrExt;

    let folder = tempfile::tempdir().unwrap();
    let arguments = "-f lavfi -i testsrc2=size=64x64:rate=10:duration=1 -pix_fmt yuv420p";
    let Some(path) = make_clip(folder.path(), "a.mp4", arguments) else {
        return;
    };
    for name in [&b"caf\xe9 %d:[x].mp4"[..], b"http:--x%03d.mp4"] {
        let odd = folder.path().join(std::ffi::OsStr::from_bytes(name));
        std::fs::copy(&path, &odd).unwrap();
        assert_eq!(pass(&odd, 5, 2).unwrap().frames, 10);
    }
}

/// Mean difference of rows that far apart. Combing makes neighbours differ most.
fn row_difference(image: &Rgb8, apart: u32) -> f64 {
    let (luma, width) = (image.luma(), image.width() as usize);
    let pairs = luma.iter().zip(&luma[width * apart as usize..]);
    let sum: u64 = pairs.map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / f64::from(image.width() * (image.height() - apart))
}

#[test]
fn interlaced_frames_come_out_without_combing() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = "-f lavfi -i testsrc2=size=320x240:rate=50:duration=2 -vf scroll=h=0.05,interlace=lowpass=0 \
                     -c:v mpeg2video -flags +ildct+ilme -q:v 2 -g 6 -pix_fmt yuv420p";
    let Some(path) = make_clip(folder.path(), "a.ts", arguments) else {
        return;
    };
    let pass = pass(&path, 4, 2).unwrap();
    assert!(pass.info.is_interlaced);
    for (at, image) in &pass.sampled {
        let (near, far) = (row_difference(image, 1), row_difference(image, 2));
        assert!(near < far, "frame {}: {near} {far}", at.index.0);
    }
    assert_eq!(compare(&path, &pass), Vec::<String>::new());
}

#[test]
fn a_playlist_opens_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = "-f lavfi -i testsrc2=size=64x64:rate=10:duration=1 -pix_fmt yuv420p";
    if make_clip(folder.path(), "a.mp4", arguments).is_none() {
        return;
    }
    let lists = [
        ("list.mp4", "ffconcat version 1.0\nfile a.mp4\n"),
        (
            "list.m3u8",
            "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\na.mp4\n#EXT-X-ENDLIST\n",
        ),
    ];
    for (name, text) in lists {
        let path = folder.path().join(name);
        let mut file = std::fs::OpenOptions::new()
            .create_new(true)
            .write(true)
            .open(&path)
            .unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        let error = probe(&path, &options(2), true).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
    }
}

#[test]
fn a_deadline_that_is_over_is_a_timeout() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = "-f lavfi -i testsrc2=size=64x64:rate=10:duration=1 -pix_fmt yuv420p";
    let Some(path) = make_clip(folder.path(), "a.mp4", arguments) else {
        return;
    };
    let info = probe(&path, &options(2), true).unwrap();
    let mut over = options(2);
    over.deadline = std::time::Instant::now();
    assert_eq!(
        probe(&path, &over, true).unwrap_err().kind,
        ErrorKind::Timeout
    );
    let mut reader = FrameReader::open(&path, &info, &options(2)).unwrap();
    reader.set_deadline(std::time::Instant::now());
    let at = FrameRef {
        pts: crate::core::Pts(0),
        index: crate::core::FrameIndex(0),
    };
    assert_eq!(reader.frame(at).unwrap_err().kind, ErrorKind::Timeout);
    reader.set_deadline(options(2).deadline);
    assert!(reader.frame(at).is_ok());
}
