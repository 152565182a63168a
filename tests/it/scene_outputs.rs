//! What `scenes` gives besides its table: lists for other programs, the page of scores, clips.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use framewright::core::{FrameIndex, FrameRef, Pts, Rgb8, VideoInfo};
use framewright::media::{FrameReader, LowResReader, OpenOptions, probe};
use framewright::store::publish_bytes;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::clips::{CUT_AT, clip, shared_videos};
use crate::program::{Ran, call, program};

fn folder() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn options() -> OpenOptions {
    OpenOptions {
        decode_threads: 1,
        deadline: Instant::now() + Duration::from_mins(2),
    }
}

/// `scenes` with the content detector.
fn scenes(videos: &[&Path], more: &[&str]) -> Ran {
    let mut command = program();
    command
        .args(["scenes", "-d", "content"])
        .args(more)
        .args(videos);
    command.output().unwrap().into()
}

fn info(path: &Path) -> VideoInfo {
    probe(path, &options(), false).unwrap()
}

/// Times of all frames, seconds.
fn times(path: &Path) -> Vec<f64> {
    let info = info(path);
    let mut reader = LowResReader::open(path, &info, &options()).unwrap();
    let mut times = Vec::new();
    while let Some(stamp) = reader.next_frame().unwrap() {
        times.push(info.time_base.secs(stamp.pts));
    }
    assert!(
        !reader.damage().is_any(),
        "{}: {}",
        path.display(),
        reader.damage()
    );
    times
}

fn picture(path: &Path, index: u64, pts: i64) -> Rgb8 {
    let mut reader = FrameReader::open(path, &info(path), &options()).unwrap();
    let index = FrameIndex(u32::try_from(index).unwrap());
    reader
        .frame(FrameRef {
            pts: Pts(pts),
            index,
        })
        .unwrap()
}

/// Mean absolute difference of two pictures of one size, 0–255.
fn difference(a: &Rgb8, b: &Rgb8) -> f64 {
    assert_eq!((a.width(), a.height()), (b.width(), b.height()));
    let pairs = a.data().iter().zip(b.data());
    let sum: f64 = pairs.map(|(a, b)| f64::from(a.abs_diff(*b))).sum();
    sum / a.data().len() as f64
}

/// Copies a clip under another name.
fn copied(from: &Path, to: PathBuf) -> PathBuf {
    publish_bytes(&to, &std::fs::read(from).unwrap()).unwrap();
    to
}

fn files_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.unwrap().file_name().into_string().unwrap()
    };
    let mut names: Vec<String> = entries.map(name).collect();
    names.sort();
    names
}

fn clip_files(list: &Value) -> Vec<PathBuf> {
    let clips = list["clips"].as_array().unwrap();
    clips
        .iter()
        .map(|clip| clip["file"].as_str().unwrap().into())
        .collect()
}

#[test]
fn exact_clips_hold_every_frame_of_their_scene_and_no_other() {
    let Some(cut) = clip("cut.mp4") else { return };
    let folder = folder();
    let dir = folder.path().to_str().unwrap();
    let list = &scenes(&[&cut], &["--json", "--split", dir])
        .expect(0)
        .json()[0];
    assert_eq!(
        files_in(folder.path()),
        ["cut-scene-0001.mp4", "cut-scene-0002.mp4"]
    );
    let clips = clip_files(list);
    let counts: Vec<u64> = clips.iter().map(|clip| times(clip).len() as u64).collect();
    assert_eq!(counts, [CUT_AT.0, CUT_AT.1 - CUT_AT.0]);
    let source = times(&cut);
    for (number, clip) in clips.iter().enumerate() {
        let scene = &list["scenes"][number];
        let (first, pts) = (
            scene["start_frame"].as_u64().unwrap(),
            scene["start_pts"].as_i64(),
        );
        let of_source = picture(&cut, first, pts.unwrap());
        let of_clip = picture(clip, 0, 0);
        let off = difference(&of_source, &of_clip);
        assert!(off < 4.0, "first frame of {}: {off}", clip.display());
        let start = source[first as usize];
        for (frame, secs) in times(clip).iter().enumerate() {
            let expected = source[first as usize + frame] - start;
            assert!(
                (secs - expected).abs() < 1e-3,
                "frame {frame}: {secs} for {expected}"
            );
        }
    }
    // The other side of a cut looks altogether different, so the comparison above can fail.
    let other = difference(&picture(&clips[0], 0, 0), &picture(&clips[1], 0, 0));
    assert!(other > 20.0, "{other}");
}

#[test]
fn clips_that_are_there_stay_unless_told_otherwise() {
    let Some(cut) = clip("cut.mp4") else { return };
    let folder = folder();
    let old = folder.path().join("cut-scene-0002.mp4");
    publish_bytes(&old, b"mine").unwrap();
    let dir = folder.path().to_str().unwrap();
    let ran = scenes(&[&cut], &["--split", dir]).expect(1);
    assert!(ran.err.contains("--overwrite"), "{}", ran.err);
    assert_eq!(std::fs::read(&old).unwrap(), b"mine");
    assert_eq!(files_in(folder.path()), ["cut-scene-0002.mp4"]);
    scenes(&[&cut], &["--split", dir, "--overwrite"]).expect(0);
    assert_eq!(times(&old).len() as u64, CUT_AT.1 - CUT_AT.0);
}

#[test]
fn files_of_one_name_do_not_collide() {
    let Some(cut) = clip("cut.mp4") else { return };
    let folder = folder();
    let again = copied(&cut, folder.path().join("in/cut.mp4"));
    let out = folder.path().join("out");
    let dir = out.to_str().unwrap();
    scenes(&[&cut, &again], &["--split", dir, "--split-mode", "copy"]).expect(0);
    let expected = [
        "cut-2-scene-0001.mp4",
        "cut-2-scene-0002.mp4",
        "cut-scene-0001.mp4",
        "cut-scene-0002.mp4",
    ];
    assert_eq!(files_in(&out), expected);
}

#[test]
fn copied_clips_begin_at_a_key_frame_and_say_so() {
    let Some(cut) = clip("cut.mp4") else { return };
    let folder = folder();
    // One key frame for all: the second scene has none of its own.
    let source = folder.path().join("long.mp4");
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-i"])
        .arg(&cut)
        .args([
            "-f", "lavfi", "-i", "sine=d=5", "-c:a", "aac", "-c:v", "libx264",
        ])
        .args(["-x264-params", "scenecut=0:keyint=1000:min-keyint=1000"])
        .arg(&source)
        .status()
        .unwrap();
    assert!(made.success());
    for (name, source, is_from_start) in [("own", &cut, false), ("one", &source, true)] {
        let out = folder.path().join(name);
        let dir = out.to_str().unwrap();
        let ran = scenes(
            &[source],
            &["--json", "--split", dir, "--split-mode", "copy"],
        )
        .expect(0);
        let list = &ran.json()[0];
        for (clip, path) in list["clips"]
            .as_array()
            .unwrap()
            .iter()
            .zip(clip_files(list))
        {
            let scene = &list["scenes"][clip["scene"].as_u64().unwrap() as usize];
            let secs = |of: &Value, key: &str| of[key].as_f64().unwrap();
            let late = secs(clip, "start_secs") - secs(scene, "start_secs");
            assert!(late < 1e-6, "{clip} begins behind {scene}");
            assert!(
                secs(clip, "end_secs") >= secs(scene, "end_secs") - 1e-6,
                "{clip} {scene}"
            );
            assert_eq!(
                json!(times(&path).len()),
                clip["frames"],
                "{}",
                path.display()
            );
            if is_from_start {
                assert_eq!(secs(clip, "start_secs"), 0.0);
            }
        }
    }
    let one = folder.path().join("one/long-scene-0001.mp4");
    let bytes = std::fs::read(one).unwrap();
    assert!(
        bytes.windows(4).any(|name| name == b"mp4a"),
        "the audio is gone"
    );
}

#[test]
fn turn_and_variable_rate_survive_exact_cutting() {
    let Some(videos) = shared_videos() else {
        return;
    };
    let folder = folder();
    let dir = folder.path().to_str().unwrap();
    let [turned, variable] =
        ["odd_rotated90.mp4", "odd_vfr.mp4"].map(|n| videos.join("derived").join(n));
    scenes(&[&turned, &variable], &["--split", dir]).expect(0);
    let made = folder.path().join("odd_rotated90-scene-0001.mp4");
    assert_ne!(info(&turned).rotation_degrees, 0);
    assert_eq!(info(&made).rotation_degrees, info(&turned).rotation_degrees);
    assert_eq!(
        (info(&made).width, info(&made).height),
        (info(&turned).width, info(&turned).height)
    );
    let made = times(&folder.path().join("odd_vfr-scene-0001.mp4"));
    let source = times(&variable);
    assert_eq!(made.len(), source.len());
    let steps: Vec<f64> = source.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(
        steps.iter().any(|step| (step - steps[0]).abs() > 0.005),
        "the rate is constant"
    );
    for (made, source_secs) in made.iter().zip(&source) {
        assert!(
            (made - (source_secs - source[0])).abs() < 1e-3,
            "{made} for {source_secs}"
        );
    }
}

#[test]
fn every_list_tells_the_same_scenes() {
    let Some(cut) = clip("cut.mp4") else { return };
    let list = &scenes(&[&cut], &["--json"]).expect(0).json()[0];
    let expected = list["scenes"].as_array().unwrap();
    assert_eq!(expected.len(), 2);

    let text = scenes(&[&cut], &["--csv"]).expect(0).out;
    let mut rows = csv::Reader::from_reader(text.as_bytes());
    let names = rows.headers().unwrap().clone();
    let rows: Vec<csv::StringRecord> = rows.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 2);
    for (row, scene) in rows.iter().zip(expected) {
        for name in [
            "start_frame",
            "end_frame",
            "start_pts",
            "end_pts",
            "start_secs",
            "end_secs",
        ] {
            let at = names.iter().position(|column| column == name).unwrap();
            let (csv, json): (f64, f64) = (row[at].parse().unwrap(), scene[name].as_f64().unwrap());
            assert!((csv - json).abs() < 1e-5, "{name}: {csv} {json}");
        }
    }

    let timeline = scenes(&[&cut], &["--otio"]).expect(0).json();
    let clips = timeline["tracks"]["children"][0]["children"]
        .as_array()
        .unwrap();
    assert_eq!(clips.len(), 2);
    for (clip, scene) in clips.iter().zip(expected) {
        let value = |key: &str| clip["source_range"][key]["value"].as_f64().unwrap();
        let (start, length) = (value("start_time"), value("duration"));
        assert_eq!(start, scene["start_frame"].as_f64().unwrap());
        assert_eq!(start + length, scene["end_frame"].as_f64().unwrap());
    }

    // 12 frames a second.
    let text = scenes(&[&cut], &["--edl"]).expect(0).out;
    let events: Vec<&str> = text
        .lines()
        .filter(|line| line.contains(" V     C "))
        .collect();
    assert_eq!(
        events,
        [
            "001  CUT      V     C        00:00:00:00 00:00:02:06 00:00:00:00 00:00:02:06",
            "002  CUT      V     C        00:00:02:06 00:00:05:00 00:00:02:06 00:00:05:00"
        ]
    );
}

#[test]
fn scores_have_a_row_for_each_frame_and_the_page_a_curve_for_each_file() {
    let Some(cut) = clip("cut.mp4") else { return };
    let folder = folder();
    let odd = copied(&cut, folder.path().join("a<b>&\"c.mp4"));
    let (page, scores) = (
        folder.path().join("scores.html"),
        folder.path().join("scores.csv"),
    );
    let more = [
        "--plot",
        page.to_str().unwrap(),
        "--scores",
        scores.to_str().unwrap(),
    ];
    scenes(&[&cut, &odd], &more).expect(0);

    let page = std::fs::read_to_string(page).unwrap();
    assert_eq!(page.matches("<svg").count(), 2);
    assert_eq!(
        page.matches("<img src=\"data:image/jpeg;base64,").count(),
        4
    );
    assert!(!page.contains("://"), "the page names the network");
    assert!(!page.contains("a<b>"), "a name is not escaped");
    assert!(
        page.contains("a&lt;b&gt;&amp;&quot;c.mp4"),
        "a name is missing"
    );

    let mut rows = csv::Reader::from_path(scores).unwrap();
    let rows: Vec<csv::StringRecord> = rows.records().map(Result::unwrap).collect();
    assert_eq!(rows.len() as u64, 2 * CUT_AT.1);
    let best = rows[..CUT_AT.1 as usize].iter().max_by(|a, b| {
        let score = |row: &csv::StringRecord| row[4].parse::<f64>().unwrap();
        score(a).total_cmp(&score(b))
    });
    assert_eq!(best.unwrap()[1], CUT_AT.0.to_string());
}

#[test]
fn lists_exclude_each_other_and_split_needs_its_folder() {
    for words in [["--json", "--csv"], ["--otio", "--edl"], ["--csv", "--edl"]] {
        let ran = call(["scenes", words[0], words[1], "a.mp4"]).expect(2);
        assert!(ran.err.contains("cannot be used with"), "{}", ran.err);
    }
    call(["scenes", "--split-mode", "copy", "a.mp4"]).expect(2);
    call(["scenes", "--overwrite", "a.mp4"]).expect(2);
}

#[test]
fn a_bad_file_leaves_the_other_clips_and_rows() {
    let (Some(cut), Some(bad)) = (clip("cut.mp4"), clip("text.mp4")) else {
        return;
    };
    let folder = folder();
    let dir = folder.path().to_str().unwrap();
    let ran = scenes(
        &[&bad, &cut],
        &["--csv", "--split", dir, "--split-mode", "copy"],
    )
    .expect(3);
    assert_eq!(ran.out.lines().count(), 3);
    assert_eq!(files_in(folder.path()).len(), 2);
    assert!(ran.err.contains("text.mp4"), "{}", ran.err);
}
