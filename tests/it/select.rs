//! `select`: other ranges over stored scores, against runs with those ranges.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use framewright::store::{create_dir, publish_bytes, remove};
use serde_json::Value;
use tempfile::TempDir;

use crate::clips::good_manifest;
use crate::program::{Ran, call, program, run};
use crate::run_folder::{
    Row, changed_at, digests, files, reasons, rejects, report, samples, shared_folder, text,
};
use crate::verify::copy_folder;

/// Two manifest rows a chunk, so that five videos make three.
const SMALL_CHUNKS: [&str; 2] = ["--set", "output.chunk_rows=2"];

/// The good clips, once with filters that reject and once with filters that only record.
struct Runs {
    manifest: PathBuf,
    drop: PathBuf,
    score: PathBuf,
}

fn runs() -> Option<&'static Runs> {
    static RUNS: OnceLock<Option<Runs>> = OnceLock::new();
    let made = RUNS.get_or_init(|| {
        let folder = shared_folder("select");
        let manifest = good_manifest(&folder)?;
        let (drop, score) = (folder.join("drop"), folder.join("score"));
        run(&manifest, &drop, &SMALL_CHUNKS).expect(0);
        let more = [&SMALL_CHUNKS[..], &["--set", "output.mode=score"]].concat();
        run(&manifest, &score, &more).expect(0);
        Some(Runs {
            manifest,
            drop,
            score,
        })
    });
    made.as_ref()
}

fn folder() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn select(dir: &Path, out: &Path, more: &[&str]) -> Ran {
    let (dir, out) = (dir.to_str().unwrap(), out.to_str().unwrap());
    call([&["select", dir, "--out", out], more].concat())
}

fn ids(rows: &[Row]) -> Vec<&str> {
    rows.iter().map(|row| text(row, "sample_id")).collect()
}

/// Ranges under which some scenes and some pairs of the run go, as `--set` arguments.
fn tighter(drop: &Path) -> Vec<String> {
    let rows = samples(drop);
    let mut motion: Vec<f64> = rows
        .iter()
        .map(|row| row["score_motion"].as_f64().unwrap())
        .collect();
    motion.sort_by(f64::total_cmp);
    let (low, high) = (motion[0], motion[motion.len() - 1]);
    assert!(low < high, "all scenes move alike");
    let between = f64::midpoint(low, high);
    let sets = [
        format!("filters.motion.max={between}"),
        "filters.gap.max=2.0".to_owned(),
    ];
    let sets = sets
        .iter()
        .flat_map(|set| ["--set".to_owned(), set.clone()]);
    sets.collect()
}

fn borrowed(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

#[test]
fn tighter_ranges_give_what_a_run_with_them_gives() {
    let Some(runs) = runs() else { return };
    let folder = folder();
    let (fresh, selected) = (folder.path().join("fresh"), folder.path().join("selected"));
    let sets = tighter(&runs.drop);
    let sets = borrowed(&sets);
    run(&runs.manifest, &fresh, &[&SMALL_CHUNKS[..], &sets].concat()).expect(0);
    let before = digests(&runs.drop);
    let ran = select(&runs.drop, &selected, &sets).expect(0);
    assert_eq!(digests(&runs.drop), before, "the old data set was touched");

    let (expected, found) = (samples(&fresh), samples(&selected));
    assert!(!found.is_empty() && found.len() < samples(&runs.drop).len());
    assert_eq!(ids(&found), ids(&expected));
    for (found, expected) in found.iter().zip(&expected) {
        for (column, value) in expected {
            // Rows keep the config of the run that made them.
            if !["config_hash", "lineage_hash"].contains(&column.as_str()) {
                assert_eq!(&found[column], value, "{column}");
            }
        }
        assert_ne!(found["config_hash"], expected["config_hash"]);
    }
    let ends = |out: &Path| -> Vec<[Value; 6]> {
        let columns = [
            "item_path",
            "outcome",
            "stage",
            "reason",
            "score",
            "video_uri",
        ];
        let of = |row: Row| columns.map(|column| row[column].clone());
        rejects(out).into_iter().map(of).collect()
    };
    assert_eq!(ends(&selected), ends(&fresh));
    let moved = reasons(&selected, "rejected");
    assert!(
        moved["screen_scenes/motion"] > 0 && moved["screen_pairs/gap"] > 0,
        "{moved:?}"
    );
    // All scores that were measured stay with what is rejected now.
    let pairs = rejects(&selected);
    let by_gap = pairs
        .iter()
        .filter(|row| row["reason"] == "screen_pairs/gap");
    assert!(
        by_gap
            .clone()
            .any(|row| row["score_warp_residual"].is_f64())
    );

    let status = |out: &Path| {
        call(["status", "--json", out.to_str().unwrap()])
            .expect(0)
            .json()
    };
    assert_eq!(status(&selected), status(&fresh));
    assert_eq!(report(&selected)["stages"], report(&fresh)["stages"]);
    assert!(ran.out.contains("changed  filters.gap.max"), "{}", ran.out);
    call(["verify", "--frames", selected.to_str().unwrap()]).expect(0);
    for name in ["report.html", "report.md", "dataset_card.md"] {
        assert!(selected.join(name).is_file(), "{name}");
    }

    let refused = run(&runs.manifest, &selected, &SMALL_CHUNKS).expect(1);
    assert!(
        refused.err.contains("framewright select"),
        "{}",
        refused.err
    );
    call(["verify", selected.to_str().unwrap()]).expect(0);
}

#[test]
fn equal_ranges_give_equal_bytes() {
    let Some(runs) = runs() else { return };
    let folder = folder();
    let out = folder.path().join("same");
    select(&runs.drop, &out, &[]).expect(0);
    let tables = |out: &Path| {
        let mut digests = digests(out);
        digests.retain(|name, _| name.ends_with(".parquet"));
        digests
    };
    assert_eq!(tables(&out), tables(&runs.drop));
}

#[test]
fn every_range_can_be_decided_after_a_run_that_only_records() {
    let Some(runs) = runs() else { return };
    let folder = folder();
    let out = folder.path().join("out");
    let ran = select(&runs.score, &out, &["--json"]).expect(0).json();
    let (found, expected) = (samples(&out), samples(&runs.drop));
    let all: BTreeSet<&str> = ids(&expected).into_iter().collect();
    let kept: BTreeSet<&str> = ids(&found).into_iter().collect();
    assert!(kept.is_subset(&all) && !kept.is_empty());
    // A run that drops first compares fewer pairs: what was a duplicate of a dropped one stays.
    let freed = ran["moves"]["freed_duplicates"].as_u64().unwrap();
    assert_eq!((all.len() - kept.len()) as u64, freed, "{ran}");
    assert_eq!(ran["moves"]["undecided"], serde_json::json!({}));
    let of_screens = |out: &Path| {
        let mut reasons = reasons(out, "rejected");
        reasons.retain(|reason, _| reason.starts_with("screen_"));
        reasons
    };
    assert_eq!(of_screens(&out), of_screens(&runs.drop));
    call(["verify", out.to_str().unwrap()]).expect(0);

    // Looser than the recipe, which a run that drops could not do without decoding.
    let loose = folder.path().join("loose");
    let sets = [
        "--set",
        "filters.camera_shift.max=10",
        "--set",
        "filters.camera_rotation.max=90",
    ];
    let ran = select(&runs.score, &loose, &[&sets[..], &["--json"]].concat()).expect(0);
    assert_eq!(ran.json()["moves"]["undecided"], serde_json::json!({}));
    assert!(samples(&loose).len() >= found.len());
    let again = folder.path().join("again");
    select(&loose, &again, &["--set", "filters.camera_shift.max=0"]).expect(0);
    call(["verify", again.to_str().unwrap()]).expect(0);
}

#[test]
fn looser_ranges_count_what_is_missing_and_name_the_command() {
    let Some(runs) = runs() else { return };
    let folder = folder();
    let copy = folder.path().join("copy");
    copy_folder(&runs.drop, &copy);
    let out = folder.path().join("out");
    let rejected = reasons(&copy, "rejected");
    let name = rejected
        .keys()
        .find_map(|reason| reason.strip_prefix("screen_pairs/"));
    let name = name.expect("no pair was rejected by a filter").to_owned();
    let count = rejected[&format!("screen_pairs/{name}")];
    let (low, high) = (
        format!("filters.{name}.min=-1000000"),
        format!("filters.{name}.max=1000000"),
    );
    let sets = ["--set", low.as_str(), "--set", high.as_str()];
    let found = select(&copy, &out, &[&sets[..], &["--json"]].concat())
        .expect(0)
        .json();
    assert_eq!(
        found["moves"]["undecided"],
        serde_json::json!({ name.clone(): count })
    );
    assert_eq!(ids(&samples(&out)), ids(&samples(&copy)));
    call(["verify", out.to_str().unwrap()]).expect(0);
    let shown = select(&copy, &out, &sets).expect(0);
    let command = shown.err.lines().last().unwrap();
    let words = command.strip_prefix("framewright:   framewright ").unwrap();
    assert!(
        words.contains(&low) && words.contains("output.chunk_rows=2"),
        "{words}"
    );

    let cuts = changed_at(&copy.join("cache/split"));
    let ran: Ran = program().args(words.split(' ')).output().unwrap().into();
    ran.expect(0);
    assert_eq!(
        changed_at(&copy.join("cache/split")),
        cuts,
        "cuts were found anew"
    );
    assert!(!reasons(&copy, "rejected").contains_key(&format!("screen_pairs/{name}")));
}

#[test]
fn what_scores_cannot_decide_is_refused() {
    let Some(runs) = runs() else { return };
    let folder = folder();
    let out = folder.path().join("out");
    for (set, word) in [
        ("split.detector=hash", "framewright run"),
        ("output.chunk_rows=7", "framewright run"),
        ("filters.gap.enabled=false", "framewright run"),
        ("filters.similarity_window.min=0.1", "was not measured"),
        ("judge.min=1", "nobody gave points"),
        ("filters.moton.max=1", "did you mean `motion`"),
        ("filters.motion.max=fast", "expected number"),
        ("filters.gap.max=0.001", "above max"),
    ] {
        let ran = select(
            &runs.drop,
            &out,
            &["--set", set, "--set", "filters.gap.min=0.1"],
        );
        let ran = ran.expect(1);
        assert!(ran.err.contains(word), "{set}: {}", ran.err);
    }
    assert!(!out.exists(), "something was written");
    let ran = select(&runs.drop, &runs.drop, &[]).expect(1);
    assert!(ran.err.contains("folder of its own"), "{}", ran.err);
    let ran = select(&runs.drop, &runs.score, &[]).expect(1);
    assert!(ran.err.contains("holds a run"), "{}", ran.err);
    create_dir(&out).unwrap();
    publish_bytes(&out.join("notes.txt"), b"mine").unwrap();
    let ran = select(&runs.drop, &out, &[]).expect(1);
    assert!(ran.err.contains("is not empty"), "{}", ran.err);
    let ran = select(folder.path(), &out, &[]).expect(1);
    assert!(ran.err.contains("holds no run"), "{}", ran.err);
}

/// Takes the commit line of a chunk away, as if the run had ended before it.
fn forget_chunk(out: &Path, chunk: u32) {
    for path in files(&out.join("ledger")) {
        let text = std::fs::read_to_string(&path).unwrap();
        let is_other = |line: &&str| {
            let of_chunk = line.starts_with("{\"kind\":\"chunk\"")
                && line.contains(&format!("\"chunk\":{chunk},"));
            !of_chunk
        };
        let lines: Vec<&str> = text.lines().filter(is_other).collect();
        publish_bytes(&path, format!("{}\n", lines.join("\n")).as_bytes()).unwrap();
    }
}

#[test]
fn a_partial_run_is_selected_as_far_as_it_is_finished_and_a_killed_selection_goes_on() {
    let Some(runs) = runs() else { return };
    let folder = folder();
    let [whole, out, partial] = ["whole", "out", "partial"].map(|name| folder.path().join(name));
    let sets = tighter(&runs.drop);
    let sets = borrowed(&sets);
    select(&runs.drop, &whole, &sets).expect(0);

    copy_folder(&runs.drop, &partial);
    forget_chunk(&partial, 2);
    remove(&partial.join("shards/edit_pairs-00002.parquet")).unwrap();
    let ran = select(&partial, &out, &sets).expect(0);
    assert!(ran.err.contains("only 2 of 3 chunks"), "{}", ran.err);
    call(["verify", out.to_str().unwrap()]).expect(0);
    let first = changed_at(&out.join("shards"));
    // The run was continued in the meantime.
    select(&runs.drop, &out, &sets).expect(0);
    assert_eq!(digests(&out), digests(&whole));
    for (path, time) in &first {
        assert_eq!(
            changed_at(&out.join("shards")).get(path),
            Some(time),
            "made again"
        );
    }

    // As if it had been killed after a shard and before its line.
    forget_chunk(&out, 1);
    remove(&out.join("report.html")).unwrap();
    let found = call(["verify", "--json", out.to_str().unwrap()]).json();
    let note = found["notes"][0].as_str().unwrap();
    assert!(note.starts_with("1 of 3 chunks are finished"), "{note}");
    select(&runs.drop, &out, &sets).expect(0);
    assert_eq!(digests(&out), digests(&whole));

    let other = select(&runs.drop, &out, &[]).expect(1);
    assert!(other.err.contains("other ranges"), "{}", other.err);
}
