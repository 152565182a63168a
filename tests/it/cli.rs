//! The command line: help, checks, plans, settings, scenes, shards, pipes.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::clips::{CUT_AT, clip, clips, good_manifest, publish_text};
use crate::program::{NO_WEIGHTS, Ran, call, has_weights, program, program_with_weights, run};
use crate::run_folder::{changed_at, digests};

fn folder() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

#[test]
fn every_verb_has_help_with_every_argument_explained() {
    let verbs = [
        "run",
        "plan",
        "check",
        "status",
        "verify",
        "select",
        "scenes",
        "inspect",
        "models",
        "config",
        "completions",
    ];
    let top = call(["--help"]).expect(0).out;
    for verb in verbs {
        assert!(
            top.contains(&format!("  {verb} ")),
            "{verb} is not in the list of verbs"
        );
        let help = call([verb, "--help"]).expect(0).out;
        assert!(help.contains("Usage: framewright"), "{help}");
        assert!(!help.contains("--worker"), "an inner switch is shown");
    }
    for (verb, inner) in [
        ("models", ["list", "pull", "verify", "import"].as_slice()),
        ("config", &["show", "schema"]),
    ] {
        for name in inner {
            call([verb, name, "--help"]).expect(0);
        }
    }
    assert!(
        call(["--version"])
            .expect(0)
            .out
            .contains(env!("CARGO_PKG_VERSION"))
    );
    call(["mine"]).expect(2);
}

#[test]
fn check_names_every_problem_at_once() {
    let folder = folder();
    let text = "seed = 'x'\n[split]\ndetectr = 'adaptive'\n[filters.motoin]\nmin = 0.1\n";
    let pipeline = publish_text(folder.path(), "mine.toml", text);
    let manifest = publish_text(
        folder.path(),
        "videos.jsonl",
        "{\"uri\": \"gone.mp4\"}\n{\"licence\": \"none\"}\nnot json\n",
    );
    let ran = call([
        "check",
        pipeline.to_str().unwrap(),
        "--set",
        "split.detector=adaptiv",
        "--manifest",
        manifest.to_str().unwrap(),
    ])
    .expect(1);
    for part in [
        "mine.toml:1: seed: expected integer, got string",
        "mine.toml:3: split.detectr: unknown key `detectr`, did you mean `detector`?",
        "mine.toml:4: filters.motoin: unknown filter `motoin`, did you mean `motion`?",
        "--set split.detector: unknown value `adaptiv`, did you mean `adaptive`?",
        "videos.jsonl:2: no uri",
        "videos.jsonl:3: ",
        "gone.mp4",
    ] {
        assert!(ran.err.contains(part), "{part:?} is not in\n{}", ran.err);
    }
    let fine = program().arg("check").args(NO_WEIGHTS).output().unwrap();
    assert!(Ran::from(fine).expect(0).out.contains("no problem found"));
    let network = ["check", "--set", "split.detector=transnet_v2"];
    let missing = call(network).expect(1);
    assert!(
        missing.err.contains("framewright models pull transnet_v2"),
        "{}",
        missing.err
    );
}

#[test]
fn plan_shows_stages_and_changes_nothing() {
    let folder = folder();
    let Some(manifest) = good_manifest(folder.path()) else {
        return;
    };
    let out = folder.path().join("out");
    let plan = |verb: &[&str]| {
        let mut command = program();
        command
            .args(verb)
            .args(NO_WEIGHTS)
            .arg("-m")
            .arg(&manifest)
            .arg("-o")
            .arg(&out);
        Ran::from(command.arg("--json").output().unwrap()).expect(0)
    };
    let shown = plan(&["plan"]).json();
    assert!(!out.exists(), "plan made the output folder");
    assert_eq!(
        (&shown["videos"], &shown["videos_done"]),
        (&json!(5), &json!(0))
    );
    let stages = shown["stages"].as_array().unwrap();
    let names: Vec<&str> = stages
        .iter()
        .map(|stage| stage["name"].as_str().unwrap())
        .collect();
    let chain = [
        "ingest",
        "split",
        "screen_scenes",
        "propose_pairs",
        "screen_pairs",
        "fetch_frames",
        "instruct",
        "judge",
        "encode",
    ];
    assert_eq!(names, chain);
    assert_eq!(plan(&["run", "--dry-run"]).json(), shown);
    assert!(!out.exists(), "run --dry-run made the output folder");

    run(&manifest, &out, &[]).expect(0);
    let (bytes, times) = (digests(&out), changed_at(&out));
    let shown = plan(&["plan"]).json();
    assert_eq!(shown["videos_done"], json!(5));
    assert_eq!((digests(&out), changed_at(&out)), (bytes, times));
}

#[test]
fn plan_works_without_weights_and_names_them() {
    let Some(video) = clip("move.mp4") else {
        return;
    };
    let ran = call(["plan", "-m", video.to_str().unwrap(), "-o", "nowhere"]).expect(0);
    assert!(
        ran.out.contains("missing  efficientnet_lite0"),
        "{}",
        ran.out
    );
    assert!(!Path::new("nowhere").exists());
}

#[test]
fn settings_show_their_origin() {
    let folder = folder();
    let pipeline = publish_text(folder.path(), "mine.toml", "seed = 9\n");
    let pipeline = pipeline.to_str().unwrap();
    let sets = ["--set", "filters.gap.max=2.5"];
    let shown = call([&["config", "show", pipeline, "--origins"], &sets[..]].concat())
        .expect(0)
        .out;
    for line in [
        "seed = 9  # file",
        "filters.gap.max = 2.5  # --set",
        "output.chunk_rows = 256  # default",
    ] {
        assert!(
            shown.lines().any(|shown| shown == line),
            "{line:?} is not in\n{shown}"
        );
    }
    let json = call([&["config", "show", pipeline, "--json"], &sets[..]].concat())
        .expect(0)
        .json();
    assert_eq!(json["config"]["seed"], 9);
    let filters = json["filters"].as_array().unwrap();
    let gap = filters
        .iter()
        .find(|filter| filter["name"] == "gap")
        .unwrap();
    assert_eq!(gap["range"]["max"], json!(2.5));
}

#[test]
fn the_schema_describes_the_recipe() {
    let schema = call(["config", "schema"]).expect(0).json();
    let sections: BTreeSet<&String> = schema["properties"].as_object().unwrap().keys().collect();
    let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/edit-pairs.toml");
    let recipe: toml::Table = std::fs::read_to_string(recipe).unwrap().parse().unwrap();
    for key in recipe.keys() {
        assert!(sections.contains(key), "{key} is not in the schema");
    }
}

#[test]
fn completions_are_printed_for_each_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let script = call(["completions", shell]).expect(0).out;
        assert!(
            script.contains("framewright") && script.contains("inspect"),
            "{shell}"
        );
    }
}

/// `(start, end)` of every scene in frames.
fn spans(list: &Value) -> Vec<(u64, u64)> {
    let scenes = list["scenes"].as_array().unwrap().iter();
    let number = |value: &Value| value.as_u64().unwrap();
    scenes
        .map(|scene| (number(&scene["start_frame"]), number(&scene["end_frame"])))
        .collect()
}

#[test]
fn scenes_end_where_the_next_begins_at_the_exact_cut() {
    let Some(clips) = clips() else { return };
    let (cut, whole) = (clips.join("cut.mp4"), clips.join("move.mp4"));
    let (cut, whole) = (cut.to_str().unwrap(), whole.to_str().unwrap());
    let (at, frames) = CUT_AT;
    for detector in ["content", "adaptive"] {
        let lists = call(["scenes", "--json", "--detector", detector, cut, whole])
            .expect(0)
            .json();
        let lists = lists.as_array().unwrap();
        assert_eq!(lists.len(), 2);
        assert_eq!(
            (&lists[0]["file"], &lists[1]["file"]),
            (&json!(cut), &json!(whole))
        );
        assert_eq!(lists[0]["frames"], json!(frames));
        assert_eq!(lists[0]["fps"], json!(12.0));
        assert_eq!(lists[0]["detector"], detector);
        assert_eq!(spans(&lists[0]), [(0, at), (at, frames)], "{detector}");
        assert_eq!(spans(&lists[1]), [(0, 72)], "{detector}");
        let base = [0, 1].map(|n| lists[0]["time_base"][n].as_f64().unwrap());
        let scenes = lists[0]["scenes"].as_array().unwrap();
        for scene in scenes {
            for side in ["start", "end"] {
                let pts = scene[format!("{side}_pts")].as_f64().unwrap();
                let secs = scene[format!("{side}_secs")].as_f64().unwrap();
                let by_frames = scene[format!("{side}_frame")].as_f64().unwrap() / 12.0;
                assert!((pts * base[0] / base[1] - secs).abs() < 1e-9);
                assert!((secs - by_frames).abs() < 1e-6, "{secs} is not {by_frames}");
            }
        }
        assert_eq!(scenes[0]["end_pts"], scenes[1]["start_pts"]);
        assert!(scenes[0]["start_score"].is_null() && scenes[1]["start_score"].is_f64());
    }
}

#[test]
fn the_network_finds_the_cut_too() {
    let Some(cut) = clip("cut.mp4") else { return };
    if !has_weights() {
        return;
    }
    let mut command = program_with_weights();
    let ran = command
        .args(["scenes", "--json", "-d", "transnet_v2"])
        .arg(&cut)
        .output()
        .unwrap();
    let lists = Ran::from(ran).expect(0).json();
    assert_eq!(lists[0]["detector"], "transnet_v2");
    assert_eq!(spans(&lists[0]), [(0, CUT_AT.0), (CUT_AT.0, CUT_AT.1)]);
}

#[test]
fn a_bad_file_among_good_ones_is_named_and_the_rest_is_done() {
    let Some(clips) = clips() else { return };
    let (bad, good) = (clips.join("text.mp4"), clips.join("cut.mp4"));
    let (bad, good) = (bad.to_str().unwrap(), good.to_str().unwrap());
    let ran = call(["scenes", "--json", "-d", "content", bad, good]).expect(3);
    let lists = ran.json();
    assert_eq!(lists[0]["scenes"], json!([]));
    assert_eq!(lists[0]["error"]["kind"], "corrupt");
    assert_eq!(lists[1]["scenes"].as_array().unwrap().len(), 2);
    assert!(ran.err.contains("text.mp4"), "{}", ran.err);
}

#[test]
fn inspect_shows_columns_and_rows_of_shards_and_rejects() {
    let folder = folder();
    let Some(manifest) = good_manifest(folder.path()) else {
        return;
    };
    let out = folder.path().join("out");
    run(&manifest, &out, &[]).expect(0);
    let shard = out.join("shards/edit_pairs-00000.parquet");
    let shard = shard.to_str().unwrap();
    let view = call(["inspect", "--json", shard, "2"]).expect(0).json();
    assert_eq!(view["rows"].as_array().unwrap().len(), 2);
    let columns = view["columns"].as_array().unwrap();
    assert!(columns.iter().any(|column| column["name"] == "score_gap"));
    let table = call(["inspect", shard]).expect(0).out;
    assert!(
        table.contains("instruction") && table.contains("row 0"),
        "{table}"
    );
    let rejects = out.join("rejects/00000.parquet");
    assert!(
        call(["inspect", rejects.to_str().unwrap()])
            .expect(0)
            .out
            .contains("outcome")
    );
    let nothing = call(["inspect", "no-such.parquet"]).expect(1);
    assert!(nothing.err.contains("no-such.parquet"), "{}", nothing.err);
    let status = call(["status", folder.path().to_str().unwrap()]).expect(1);
    assert!(status.err.contains("holds no run"), "{}", status.err);
}

#[test]
fn an_unknown_pipeline_is_an_error_that_lists_the_known_ones() {
    let ran = call(["run", "edit-pears", "-m", "x", "-o", "nowhere"]).expect(1);
    assert!(
        ran.err.contains("edit-pears") && ran.err.contains("edit-pairs"),
        "{}",
        ran.err
    );
    assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
    assert!(!Path::new("nowhere").exists());
}

#[test]
fn models_are_listed_without_weights() {
    let models = call(["models", "list", "--json"]).expect(0).json();
    let models = models.as_array().unwrap();
    assert!(models.iter().any(|model| model["name"] == "transnet_v2"));
    for model in models {
        assert_eq!(model["state"], "missing");
        assert!(!model["license"].as_str().unwrap().is_empty());
    }
    assert!(
        call(["models", "list"])
            .expect(0)
            .out
            .contains("efficientnet_lite0")
    );
    call(["models", "verify"]).expect(0);
    let unknown = call(["models", "pull", "transnet"]).expect(1);
    assert!(unknown.err.contains("transnet_v2"), "{}", unknown.err);
}

/// Runs with a stdout that nobody reads.
fn call_unread(command: &mut Command) -> Ran {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    command
        .stdout(writer)
        .stdin(Stdio::null())
        .output()
        .unwrap()
        .into()
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let mut calls: Vec<Vec<String>> = [
        &["config", "show"][..],
        &["config", "schema"],
        &["completions", "bash"],
        &["models", "list"],
        &["--help"],
    ]
    .map(|words| words.iter().map(ToString::to_string).collect())
    .to_vec();
    if let Some(cut) = clip("cut.mp4") {
        let words = ["scenes", "-d", "content", cut.to_str().unwrap()];
        calls.push(words.map(str::to_owned).to_vec());
    }
    for words in calls {
        let ran = call_unread(program().args(&words));
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{words:?}");
    }
}

#[test]
fn a_run_does_not_need_someone_who_reads() {
    let folder = folder();
    let Some(manifest) = good_manifest(folder.path()) else {
        return;
    };
    let out = folder.path().join("out");
    let mut command = crate::program::run_command(&manifest, &out, &[]);
    let ran = call_unread(&mut command);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert!(out.join("report.json").is_file());
}
