//! A run from manifest to shards, by the real program, on made clips.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use framewright::store::publish_bytes;
use serde_json::Value;
use tempfile::TempDir;

use crate::clips::{GOOD, clips, demo_clips, good_manifest, mixed_manifest, publish_text};
use crate::program::{Ran, call, has_weights, program_with_weights, run};
use crate::run_folder::{
    changed_at, digests, output_images, reasons, rejects, report, samples, shared_folder, text,
};

/// Four rows a shard, so that nine videos make three.
const SMALL_SHARDS: [&str; 2] = ["--set", "output.chunk_rows=4"];

/// One run that several tests look at: the mixed manifest in one worker a stage.
struct Mixed {
    out: PathBuf,
    manifest: PathBuf,
    ran: Ran,
}

fn folder() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn mixed() -> Option<&'static Mixed> {
    static RUN: OnceLock<Option<Mixed>> = OnceLock::new();
    let made = RUN.get_or_init(|| {
        let folder = shared_folder("mixed");
        let manifest = mixed_manifest(&folder)?;
        let out = folder.join("out");
        let ran = run_mixed(&manifest, &out, &["-j", "1"]);
        Some(Mixed { out, manifest, ran })
    });
    made.as_ref()
}

fn run_mixed(manifest: &Path, out: &Path, more: &[&str]) -> Ran {
    run(manifest, out, &[&SMALL_SHARDS, more].concat())
}

#[test]
fn threads_do_not_change_a_byte() {
    let Some(mixed) = mixed() else { return };
    for more in [&["-j", "4"][..], &["--sequential"]] {
        let folder = folder();
        let out = folder.path().join("out");
        run_mixed(&mixed.manifest, &out, more).expect(3);
        assert_eq!(digests(&out), digests(&mixed.out), "{more:?}");
    }
}

#[test]
fn every_video_and_every_item_is_accounted_for() {
    let Some(mixed) = mixed() else { return };
    let out = mixed.out.clone();
    assert_eq!(mixed.ran.code, Some(3), "{}", mixed.ran.err);
    let status = call(["status", "--json", out.to_str().unwrap()])
        .expect(0)
        .json();
    assert_eq!(
        (&status["videos"], &status["videos_done"]),
        (&9.into(), &9.into())
    );
    assert_eq!(status["is_running"], false);

    let stages = status["funnel"]["stages"].as_array().unwrap();
    let count = |stage: &Value, what: &str| match &stage[1][what] {
        Value::Object(by_reason) => by_reason.values().map(|n| n.as_u64().unwrap()).sum(),
        number => number.as_u64().unwrap_or(0),
    };
    assert_eq!(count(&stages[0], "received"), 9);
    for pair in stages.windows(2) {
        let (emitted, received) = (count(&pair[0], "emitted"), count(&pair[1], "received"));
        assert_eq!(emitted, received, "{} to {}", pair[0][0], pair[1][0]);
    }
    for stage in stages {
        let ended = count(stage, "rejected") + count(stage, "failed");
        // A video may give scenes and fail in its damaged part.
        let consumed = count(stage, "passed") + ended;
        assert!(consumed >= count(stage, "received"), "{stage}");
    }
    let sum = |what: &str| stages.iter().map(|stage| count(stage, what)).sum::<u64>();
    let (rejected, failed) = (sum("rejected"), sum("failed"));
    let rows = samples(&out);
    assert!(rows.len() >= 5, "only {} rows", rows.len());
    assert_eq!(status["rows"].as_u64().unwrap(), rows.len() as u64);
    let last = stages.last().unwrap();
    assert_eq!(count(last, "emitted"), rows.len() as u64);

    let left = rejects(&out);
    let of = |outcome: &str| left.iter().filter(|row| row["outcome"] == outcome).count() as u64;
    assert_eq!((of("rejected"), of("failed")), (rejected, failed));
    let report = report(&out);
    assert_eq!(report["samples"].as_u64().unwrap(), rows.len() as u64);
    assert_eq!(report["rejected"].as_u64().unwrap(), rejected);
    assert_eq!(report["failed"].as_u64().unwrap(), failed);

    let all = std::fs::read_to_string(&mixed.manifest).unwrap();
    for line in all.lines() {
        let uri = serde_json::from_str::<Value>(line).unwrap()["uri"].clone();
        let found = rows.iter().chain(&left).any(|row| row["video_uri"] == uri);
        assert!(found, "{uri} left no trace");
    }
}

#[test]
fn damaged_videos_fail_by_kind_and_keep_what_was_whole() {
    let Some(mixed) = mixed() else { return };
    let left = rejects(&mixed.out);
    let failure = |name: &str| {
        let of = left.iter().filter(|row| row["outcome"] == "failed");
        let mut of = of.filter(|row| text(row, "video_uri").ends_with(name));
        let row = of.next().unwrap_or_else(|| panic!("{name} did not fail"));
        assert!(of.next().is_none(), "{name} failed twice");
        assert!(!text(row, "message").is_empty());
        (text(row, "stage"), text(row, "reason"))
    };
    assert_eq!(failure("missing.mp4"), ("ingest", "missing"));
    assert_eq!(failure("text.mp4"), ("ingest", "corrupt"));
    assert_eq!(failure("empty.mp4"), ("ingest", "corrupt"));
    assert_eq!(failure("truncated.mp4"), ("split", "corrupt"));
    let rows = samples(&mixed.out);
    let kept = left.iter().filter(|row| row["outcome"] == "rejected");
    let scene_of_truncated = rows
        .iter()
        .chain(kept)
        .any(|row| text(row, "video_uri").ends_with("truncated.mp4"));
    assert!(
        scene_of_truncated,
        "the whole part of truncated.mp4 gave nothing"
    );
}

#[test]
fn exit_codes_tell_done_some_failed_and_could_not_run() {
    let folder = folder();
    let Some(good) = good_manifest(folder.path()) else {
        return;
    };
    let out = folder.path().join("out");
    run(&good, &out, &[]).expect(0);
    // The mixed manifest's code 3 is seen in the other tests.
    let nowhere = folder.path().join("nowhere");
    let refused = run(&good, &nowhere, &["--set", "split.detektor=adaptive"]).expect(1);
    assert!(
        refused.err.contains("did you mean `detector`"),
        "{}",
        refused.err
    );
    let refused = run(&folder.path().join("none.jsonl"), &nowhere, &[]).expect(1);
    assert!(
        refused.err.contains("none.jsonl: no such file"),
        "{}",
        refused.err
    );
    let twice = std::fs::read_to_string(&good).unwrap().repeat(2);
    let twice = publish_text(folder.path(), "twice.jsonl", &twice.replace("}{", "}\n{"));
    let refused = run(&twice, &nowhere, &[]).expect(1);
    assert!(refused.err.contains("already named"), "{}", refused.err);
    assert!(
        !nowhere.exists(),
        "a run that could not start made a folder"
    );
    call(["run"]).expect(2);
}

#[test]
fn the_same_command_again_does_nothing_new() {
    let folder = folder();
    let Some(manifest) = good_manifest(folder.path()) else {
        return;
    };
    let out = folder.path().join("out");
    let first = run_mixed(&manifest, &out, &[]).expect(0);
    let (bytes, ledger) = (digests(&out), changed_at(&out.join("ledger")));
    let (shards, cache) = (
        changed_at(&out.join("shards")),
        changed_at(&out.join("cache")),
    );
    let second = run_mixed(&manifest, &out, &["-j", "3"]).expect(0);
    assert_eq!(second.out, first.out);
    assert_eq!(digests(&out), bytes);
    assert_eq!(changed_at(&out.join("shards")), shards);
    assert_eq!(changed_at(&out.join("cache")), cache);
    assert_eq!(changed_at(&out.join("ledger")), ledger);
}

#[test]
fn a_longer_manifest_keeps_what_is_done() {
    let folder = folder();
    let Some(manifest) = good_manifest(folder.path()) else {
        return;
    };
    let all = std::fs::read_to_string(&manifest).unwrap();
    let few: Vec<&str> = all.lines().take(2).collect();
    let growing = publish_text(folder.path(), "growing.jsonl", &few.join("\n"));
    let out = folder.path().join("out");
    let sized = ["--set", "output.chunk_rows=2"];
    run(&growing, &out, &sized).expect(0);
    let first_shard = changed_at(&out.join("shards"));
    publish_text(folder.path(), "growing.jsonl", &all);
    run(&growing, &out, &sized).expect(0);
    let shards = changed_at(&out.join("shards"));
    for (path, time) in &first_shard {
        assert_eq!(
            shards.get(path),
            Some(time),
            "{} was made again",
            path.display()
        );
    }
    let whole = folder.path().join("whole");
    run(&growing, &whole, &sized).expect(0);
    assert_eq!(digests(&out), digests(&whole));
}

#[test]
fn the_folder_of_another_pipeline_is_refused() {
    let folder = folder();
    let Some(manifest) = good_manifest(folder.path()) else {
        return;
    };
    let out = folder.path().join("out");
    run(&manifest, &out, &[]).expect(0);
    let path = out.join("run.json");
    let mut info: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    info["pipeline"] = "ic_pairs".into();
    publish_bytes(&path, info.to_string().as_bytes()).unwrap();
    let before = digests(&out);
    let refused = run(&manifest, &out, &[]).expect(1);
    assert!(
        refused.err.contains("ic_pairs") && refused.err.contains("--out"),
        "{}",
        refused.err
    );
    assert_eq!(digests(&out), before);
}

#[test]
fn another_threshold_decides_anew_without_detecting_anew() {
    let folder = folder();
    let Some(manifest) = good_manifest(folder.path()) else {
        return;
    };
    let out = folder.path().join("out");
    run(&manifest, &out, &[]).expect(0);
    let (loose, cuts) = (samples(&out).len(), changed_at(&out.join("cache/split")));
    assert_eq!(cuts.len(), GOOD.len());
    let strict = ["--set", "filters.gap.max=2.0"];
    run(&manifest, &out, &strict).expect(0);
    assert_eq!(changed_at(&out.join("cache/split")), cuts);
    let rows = samples(&out);
    assert!(
        rows.len() < loose && !rows.is_empty(),
        "{} of {loose}",
        rows.len()
    );
    assert!(
        rows.iter()
            .all(|row| row["score_gap"].as_f64().unwrap() <= 2.0)
    );

    // What the folder held before leaves no mark, and going back makes the first result again.
    let fresh = folder.path().join("fresh");
    run(&manifest, &fresh, &strict).expect(0);
    assert_eq!(digests(&out), digests(&fresh));
    run(&manifest, &out, &[]).expect(0);
    assert_eq!(samples(&out).len(), loose);
    // Another detector's cuts are not taken from the memo.
    run(&manifest, &out, &["--set", "split.adaptive.threshold=4.0"]).expect(0);
    assert_eq!(changed_at(&out.join("cache/split")).len(), 2 * GOOD.len());
}

#[test]
fn score_mode_keeps_what_filters_would_reject() {
    let folder = folder();
    let Some(manifest) = good_manifest(folder.path()) else {
        return;
    };
    let (drop, score) = (folder.path().join("drop"), folder.path().join("score"));
    run(&manifest, &drop, &[]).expect(0);
    run(&manifest, &score, &["--set", "output.mode=score"]).expect(0);
    let of_screens = |out: &Path| {
        let reasons = reasons(out, "rejected");
        reasons
            .keys()
            .filter(|reason| reason.starts_with("screen_"))
            .count()
    };
    assert!(
        of_screens(&drop) > 0,
        "the clips show nothing if no filter rejects"
    );
    assert_eq!(of_screens(&score), 0);
    let (kept, all) = (samples(&drop), samples(&score));
    assert!(all.len() >= kept.len());
    let pairs = |rows: &[crate::run_folder::Row]| {
        let pair = |row: &crate::run_folder::Row| {
            format!(
                "{} {} {}",
                row["video_id"], row["input_pts"], row["output_pts"]
            )
        };
        rows.iter()
            .map(pair)
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert!(pairs(&all).is_superset(&pairs(&kept)));
    for row in &all {
        for column in ["score_motion", "score_camera_shift", "score_warp_residual"] {
            assert!(!row[column].is_null(), "{column} was not measured");
        }
    }
}

#[test]
fn licence_and_source_travel_with_every_row() {
    let Some(mixed) = mixed() else { return };
    let rows = samples(&mixed.out);
    assert!(!rows.is_empty());
    for row in rows {
        let name = text(&row, "video_uri").rsplit('/').next().unwrap();
        assert_eq!(row["license"], format!("licence of {name}"));
        assert_eq!(row["source"], format!("source of {name}"));
        assert_eq!(text(&row, "video_id").len(), 64);
    }
    let card = std::fs::read_to_string(mixed.out.join("dataset_card.md")).unwrap();
    assert!(card.contains("licence of move.mp4"), "{card}");
}

#[test]
fn rows_name_two_moments_of_one_scene() {
    let Some(mixed) = mixed() else { return };
    for row in samples(&mixed.out) {
        let secs = |ticks: &Value| {
            ticks.as_f64().unwrap() * row["time_base_num"].as_f64().unwrap()
                / row["time_base_den"].as_f64().unwrap()
        };
        let (from, to) = (secs(&row["input_pts"][0]), secs(&row["output_pts"]));
        let start = row["scene_start_secs"].as_f64().unwrap();
        let end = row["scene_end_secs"].as_f64().unwrap();
        assert!(
            start <= from && from < to && to < end,
            "{start} {from} {to} {end}"
        );
        assert!((to - from - row["score_gap"].as_f64().unwrap()).abs() < 1e-4);
        assert!(
            text(&row, "instruction").ends_with('.'),
            "{}",
            row["instruction"]
        );
        assert_eq!(row["instruction_writer"], "template");
        assert!(row["judge_faithful"].is_null(), "nobody judged");
    }
}

#[test]
fn images_are_whole_files_of_the_chosen_format_and_size() {
    let folder = folder();
    let Some(clips) = clips() else { return };
    let manifest = clips.join("move.mp4");
    let (png, jpeg) = (folder.path().join("png"), folder.path().join("jpeg"));
    run(&manifest, &png, &[]).expect(0);
    let small = [
        "--set",
        "output.image_format=jpeg",
        "--set",
        "output.image_max_px=36864",
    ];
    run(&manifest, &jpeg, &small).expect(0);
    let (png, jpeg) = (output_images(&png), output_images(&jpeg));
    assert!(!png.is_empty() && png.len() == jpeg.len());
    for (large, small) in png.iter().zip(&jpeg) {
        assert_eq!(image::guess_format(large).unwrap(), image::ImageFormat::Png);
        assert_eq!(
            image::guess_format(small).unwrap(),
            image::ImageFormat::Jpeg
        );
        let large = image::load_from_memory(large).unwrap();
        let small = image::load_from_memory(small).unwrap();
        assert_eq!((large.width(), large.height()), (512, 288));
        assert_eq!((small.width(), small.height()), (256, 144));
    }
}

#[test]
fn the_default_recipe_runs_with_weights() {
    let folder = folder();
    let Some(manifest) = good_manifest(folder.path()) else {
        return;
    };
    if !has_weights() {
        return;
    }
    let outs = ["-j1", "-j4"].map(|jobs| {
        let out = folder.path().join(jobs);
        let mut command = program_with_weights();
        command
            .args(["run", jobs, "--set", "split.detector=combined"])
            .arg("--manifest")
            .arg(&manifest)
            .arg("--out")
            .arg(&out);
        Ran::from(command.output().unwrap()).expect(0);
        out
    });
    assert_eq!(digests(&outs[0]), digests(&outs[1]));
    let rows = samples(&outs[0]);
    assert!(!rows.is_empty());
    for row in &rows {
        assert!(row["score_similarity_window"].is_f64(), "{row:?}");
        let models = row["models"].to_string();
        assert!(models.contains("transnet_v2@") && models.contains("efficientnet_lite0@"));
    }
}

#[test]
fn missing_weights_are_named_with_what_helps() {
    let folder = folder();
    let Some(clips) = clips() else { return };
    let out = folder.path().join("out");
    let manifest = clips.join("move.mp4");
    let ran = call([
        "run",
        "-m",
        manifest.to_str().unwrap(),
        "-o",
        out.to_str().unwrap(),
    ])
    .expect(1);
    assert!(
        ran.err
            .contains("framewright models pull efficientnet_lite0"),
        "{}",
        ran.err
    );
}

#[test]
fn the_demo_clips_give_pairs() {
    let Some(clips) = demo_clips() else { return };
    let folder = folder();
    let out = folder.path().join("out");
    run(&clips, &out, &[]).expect(0);
    assert!(!samples(&out).is_empty());
}
