//! The classical detectors against PySceneDetect on the same pixels: the same cuts, scores within
//! [`TOLERANCE`].
//!
//! Raw frames come from the `ffmpeg` command. What PySceneDetect said of them is kept in
//! `tests/golden/scenes`, with a hash of the frames, since another `ffmpeg` may draw other ones.
//! Where a Python with `scenedetect` is there (`FRAMEWRIGHT_PYSCENEDETECT` names it, else
//! `python3`), it is asked anew; with `FRAMEWRIGHT_BLESS` its answers become the golden ones.

use std::path::{Path, PathBuf};
use std::process::Command;

use framewright::core::{FrameIndex, Rgb8};
use framewright::models::scene::{
    AdaptiveDetector, AdaptiveOptions, ContentDetector, ContentOptions, ContentWeights, FadeTo,
    FlashFilter, HashDetector, HashOptions, HistogramDetector, HistogramOptions, ThresholdDetector,
    ThresholdOptions,
};
use framewright::models::{Detections, SceneDetector};
use framewright::store::{create_dir, publish_bytes};
use serde_json::Value;

/// Largest difference of a score. Ours are f32, and PySceneDetect's are rounded to 6 digits.
const TOLERANCE: f64 = 1e-4;

/// The release that the golden answers come from.
const PEER_VERSION: &str = "0.7.2";

struct Clip {
    name: &'static str,
    width: u32,
    height: u32,
    source: Source,
}

enum Source {
    /// A demo clip, see `scripts/demo_clips.sh`.
    Demo(&'static str),
    /// A filter graph.
    Drawn(&'static str),
}

const CLIPS: [Clip; 5] = [
    Clip {
        name: "bunny",
        width: 256,
        height: 144,
        source: Source::Demo("bigbuckbunny.mp4"),
    },
    // A height that no side of a hash divides.
    Clip {
        name: "bikes",
        width: 256,
        height: 109,
        source: Source::Demo("bikes.mp4"),
    },
    Clip {
        name: "cuts",
        width: 256,
        height: 144,
        source: Source::Drawn(
            "testsrc2=s=256x144:r=25:d=1.4[a];smptebars=s=256x144:r=25:d=1.2[b];\
             testsrc2=s=256x144:r=25:d=1,hue=h=90,hflip[c];rgbtestsrc=s=256x144:r=25:d=0.3[d];\
             testsrc=s=256x144:r=25:d=0.4[e];testsrc=s=256x144:r=25:d=1.2,negate,vflip[f];\
             [a][b][c][d][e][f]concat=n=6",
        ),
    },
    // White frames, a strobe of white frames, and black ones.
    Clip {
        name: "flashes",
        width: 256,
        height: 144,
        source: Source::Drawn(
            "testsrc2=s=256x144:r=25:d=5,\
             drawbox=color=white:t=fill:enable='between(n,30,31)+eq(n,45)+between(n,64,90)*mod(n,2)',\
             drawbox=color=black:t=fill:enable='eq(n,50)+eq(n,105)'",
        ),
    },
    // In from black, through black, through white, black at once, and a black end.
    Clip {
        name: "fades",
        width: 256,
        height: 144,
        source: Source::Drawn(
            "testsrc2=s=256x144:r=25:d=6,fade=t=in:s=0:n=12:enable='lt(n,12)',\
             fade=t=out:s=20:n=12:enable='between(n,20,36)',\
             fade=t=in:s=37:n=12:enable='between(n,37,48)',\
             fade=t=out:s=60:n=8:color=white:enable='between(n,60,76)',\
             fade=t=in:s=77:n=9:color=white:enable='between(n,77,85)',\
             drawbox=color=black:t=fill:enable='between(n,100,100)+between(n,120,123)',\
             fade=t=out:s=130:n=10:enable='gte(n,130)'",
        ),
    },
];

/// The detector that a case of `tests/peers/pyscenedetect_golden.py` stands for.
fn detector(case: &str) -> Box<dyn SceneDetector> {
    let content = ContentOptions::default();
    let weights = |hue, saturation, luma, edges, edge_px| ContentWeights {
        hue,
        saturation,
        luma,
        edges,
        edge_px,
    };
    let fades = ThresholdOptions::default();
    let as_class = ThresholdOptions {
        add_final_scene: false,
        min_out_frames: 0,
        ..fades
    };
    let with_content =
        |options| -> Box<dyn SceneDetector> { Box::new(ContentDetector::new(options)) };
    match case {
        "content" => with_content(content),
        "content_all_cuts" => with_content(ContentOptions {
            min_scene_frames: 0,
            ..content
        }),
        "content_suppress" => with_content(ContentOptions {
            flash_filter: FlashFilter::Suppress,
            ..content
        }),
        "content_edges" => with_content(ContentOptions {
            weights: weights(1.0, 0.5, 1.0, 0.2, 0),
            ..content
        }),
        "content_wide_edges" => with_content(ContentOptions {
            weights: weights(0.0, 0.0, 0.0, 1.0, 9),
            ..content
        }),
        "adaptive" => Box::new(AdaptiveDetector::new(AdaptiveOptions::default())),
        "hash" => Box::new(HashDetector::new(HashOptions::default()).unwrap()),
        "hash_16" => {
            let options = HashOptions {
                threshold: 0.395,
                side: 16,
                ..HashOptions::default()
            };
            Box::new(HashDetector::new(options).unwrap())
        }
        "histogram" => Box::new(HistogramDetector::new(HistogramOptions::default())),
        "histogram_100" => Box::new(HistogramDetector::new(HistogramOptions {
            threshold: 0.05,
            bins: 100,
            ..HistogramOptions::default()
        })),
        "threshold" => Box::new(ThresholdDetector::new(fades)),
        "threshold_class" => Box::new(ThresholdDetector::new(as_class)),
        "threshold_biased" => Box::new(ThresholdDetector::new(ThresholdOptions {
            fade_bias: -0.5,
            ..as_class
        })),
        "threshold_white" => Box::new(ThresholdDetector::new(ThresholdOptions {
            threshold: 240.0,
            fade_to: FadeTo::White,
            min_scene_frames: 5,
            ..as_class
        })),
        _ => panic!("no detector for the case {case}"),
    }
}

fn golden_path(clip: &Clip) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/scenes")
        .join(format!("{}.json", clip.name))
}

/// The clip's frames, one after the other; none, with a line, where they cannot be had.
fn raw_frames(clip: &Clip) -> Option<Vec<u8>> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin"]);
    match clip.source {
        Source::Demo(file) => {
            let path = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("out/demo-clips")
                .join(file);
            if !path.is_file() {
                println!("skipped: the demo clip {file} is not there");
                return None;
            }
            let scale = format!("scale={}:{}:flags=area", clip.width, clip.height);
            command.arg("-i").arg(path).args(["-vf", &scale]);
        }
        Source::Drawn(graph) => {
            command.args(["-f", "lavfi", "-i", graph]);
        }
    }
    command.args(["-pix_fmt", "rgb24", "-f", "rawvideo", "-"]);
    let Ok(output) = command.output() else {
        println!("skipped: no ffmpeg command on this machine");
        return None;
    };
    assert!(output.status.success(), "{}: {output:?}", clip.name);
    Some(output.stdout)
}

fn detect(detector: &mut dyn SceneDetector, clip: &Clip, raw: &[u8]) -> Detections {
    let mut out = Detections::default();
    let bytes = (clip.width * clip.height * 3) as usize;
    for (n, frame) in raw.chunks_exact(bytes).enumerate() {
        let image = Rgb8::new(clip.width, clip.height, frame.to_vec()).unwrap();
        detector
            .push(FrameIndex(n as u32), &image, &mut out)
            .unwrap();
    }
    detector.finish(&mut out).unwrap();
    out
}

/// Everything in which our detectors differ from PySceneDetect's answers.
fn differences(clip: &Clip, raw: &[u8], answers: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for (case, answer) in answers["cases"].as_object().unwrap() {
        let ours = detect(&mut *detector(case), clip, raw);
        let cuts: Vec<u64> = ours.cuts.iter().map(|c| c.scene_start.0.into()).collect();
        let wanted: Vec<u64> = serde_json::from_value(answer["cuts"].clone()).unwrap();
        if cuts != wanted {
            found.push(format!(
                "{} {case}: cuts {cuts:?}, not {wanted:?}",
                clip.name
            ));
        }
        let scores: Vec<Option<f64>> = serde_json::from_value(answer["scores"].clone()).unwrap();
        assert_eq!(scores.len(), ours.scores.len(), "{} {case}", clip.name);
        let mut largest = (0.0, 0);
        for ((index, ours), theirs) in ours.scores.iter().zip(&scores) {
            let theirs = match theirs {
                Some(correlation) if case.starts_with("histogram") => 1.0 - correlation,
                Some(score) => *score,
                None => 0.0,
            };
            let difference = (f64::from(*ours) - theirs).abs();
            if difference > largest.0 {
                largest = (difference, index.0);
            }
        }
        println!("{} {case}: scores within {:.1e}", clip.name, largest.0);
        if largest.0 > TOLERANCE {
            found.push(format!(
                "{} {case}: a score differs by {} at frame {}",
                clip.name, largest.0, largest.1
            ));
        }
    }
    found
}

/// A Python that has `scenedetect`.
fn python() -> Option<PathBuf> {
    let named = std::env::var_os("FRAMEWRIGHT_PYSCENEDETECT").map(PathBuf::from);
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/pyscenedetect/bin/python");
    let candidates = named.into_iter().chain([made, "python3".into()]);
    let has_it = |python: &PathBuf| {
        let known = format!("import scenedetect as s; assert s.__version__ == '{PEER_VERSION}'");
        let output = Command::new(python).args(["-c", &known]).output();
        output.is_ok_and(|output| output.status.success())
    };
    let found = candidates.into_iter().find(has_it);
    if found.is_none() {
        println!("skipped: no Python with scenedetect {PEER_VERSION} on this machine");
    }
    found
}

fn ask(python: &Path, clip: &Clip, raw: &[u8]) -> Value {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("scene_parity");
    create_dir(&folder).unwrap();
    let path = folder.join(format!("{}.rgb", clip.name));
    publish_bytes(&path, raw).unwrap();
    let output = Command::new(python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/pyscenedetect_golden.py"))
        .arg(&path)
        .args([clip.width.to_string(), clip.height.to_string()])
        .output()
        .unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(output.status.success(), "{}: {output:?}", clip.name);
    serde_json::from_slice(&output.stdout).unwrap()
}

fn bless(clip: &Clip, raw: &[u8], mut answers: Value) {
    answers["frames_blake3"] = blake3::hash(raw).to_hex().to_string().into();
    let text = serde_json::to_string(&answers).unwrap();
    // One line a case keeps changes readable.
    let text = text.replace("},\"", "},\n\"") + "\n";
    publish_bytes(&golden_path(clip), text.as_bytes()).unwrap();
}

#[test]
fn detectors_equal_the_golden_answers() {
    let mut found = Vec::new();
    for clip in &CLIPS {
        let Some(raw) = raw_frames(clip) else {
            continue;
        };
        let text = std::fs::read_to_string(golden_path(clip)).unwrap();
        let golden: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(golden["scenedetect"], PEER_VERSION);
        if golden["frames_blake3"] != blake3::hash(&raw).to_hex().as_str() {
            println!("skipped: this ffmpeg draws other frames of {}", clip.name);
            continue;
        }
        found.extend(differences(clip, &raw, &golden));
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn detectors_equal_pyscenedetect_itself() {
    let Some(python) = python() else { return };
    let mut found = Vec::new();
    for clip in &CLIPS {
        let Some(raw) = raw_frames(clip) else {
            continue;
        };
        let answers = ask(&python, clip, &raw);
        found.extend(differences(clip, &raw, &answers));
        if std::env::var_os("FRAMEWRIGHT_BLESS").is_some() {
            bless(clip, &raw, answers);
        }
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}
