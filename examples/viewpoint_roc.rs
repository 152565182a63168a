//! How well each viewpoint score tells a still camera from a moving one, on clips of known motion.
//!
//! `FRAMEWRIGHT_SHARED=<folder with videos/> cargo run --example viewpoint_roc [pictures-folder]`
//! prints the tables of `docs/viewpoint-roc.md`. With a folder it also draws what
//! `measure_changes` says about some pairs. Needs the `ffmpeg` command.
#![expect(clippy::print_stdout, reason = "a study prints its tables")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use framewright::core::Rgb8;
use framewright::models::caption::template::template_instruction;
use framewright::vision::{
    ChangeSketch, Viewpoint, heat_map, measure_changes, sketch_difference, viewpoint,
};

const STILL: [&str; 9] = [
    "real/opencv_vtest.avi",
    "real/sam2_04_coffee.mp4",
    "real/intel_one-by-one-person-detection.mp4",
    "real/intel_car-detection.mp4",
    "real/intel_bottle-detection.mp4",
    "real/sam2_02_cups.mp4",
    "real/moviepy_chaplin.mp4",
    "real/intel_people-detection.gif",
    "derived/cam_static.mp4",
];
/// The camera pans for a part of its length only: shown, but not counted.
const PARTLY_MOVING: &str = "real/moviepy_video_with_failing_audio.mp4";
const MOVING: [&str; 4] = [
    "real/moviepy_fire2.mp4",
    "derived/cam_pan_right.mp4",
    "derived/cam_zoom_in.mp4",
    "derived/cam_shake.mp4",
];
/// Degrees, zoom and shift in px of a 512 px wide frame.
const WARPS: [(&str, f32, f32, f32); 6] = [
    ("turn 1.5", 1.5, 1.0, 0.0),
    ("turn 4", 4.0, 1.0, 0.0),
    ("zoom 1.03", 0.0, 1.03, 0.0),
    ("zoom 1.10", 0.0, 1.1, 0.0),
    ("shift 1.5 %", 0.0, 1.0, 9.0),
    ("shift 5 %", 0.0, 1.0, 29.0),
];

struct Case {
    group: String,
    is_still: bool,
    seen: Viewpoint,
}

fn main() -> Result<()> {
    let shared = std::env::var("FRAMEWRIGHT_SHARED").context("set FRAMEWRIGHT_SHARED")?;
    let videos = Path::new(&shared).join("videos");
    if let Some(folder) = std::env::args().nth(1) {
        return draw(&videos, Path::new(&folder));
    }
    let mut cases = Vec::new();
    for clip in STILL {
        let frames = decode(&videos.join(clip), 2.0, 24)?;
        for (a, b) in pairs(&frames, &[1, 2, 6]) {
            push(&mut cases, clip, true, &crop(a), &crop(b))?;
        }
        for (n, (a, b)) in pairs(&frames, &[2]).enumerate() {
            let (name, turn, zoom, shift) = WARPS[n % WARPS.len()];
            push(
                &mut cases,
                name,
                false,
                &crop(a),
                &crop(&warp(b, turn, zoom, shift)),
            )?;
        }
    }
    for clip in MOVING {
        let is_derived = clip.starts_with("derived");
        let frames = decode(&videos.join(clip), if is_derived { 8.0 } else { 2.0 }, 24)?;
        for (a, b) in pairs(&frames, &[1, 2, 6]) {
            push(&mut cases, clip, false, &crop(a), &crop(b))?;
        }
    }
    let counted = cases.len();
    let frames = decode(&videos.join(PARTLY_MOVING), 2.0, 24)?;
    for (a, b) in pairs(&frames, &[1, 2, 6]) {
        push(&mut cases, PARTLY_MOVING, false, &crop(a), &crop(b))?;
    }
    print_groups(&cases)?;
    print_roc(&cases[..counted]);
    Ok(())
}

fn push(cases: &mut Vec<Case>, group: &str, is_still: bool, a: &Rgb8, b: &Rgb8) -> Result<()> {
    cases.push(Case {
        group: group.rsplit('/').next().unwrap_or(group).to_owned(),
        is_still,
        seen: viewpoint(a, b)?,
    });
    Ok(())
}

fn pairs<'a>(frames: &'a [Rgb8], gaps: &'a [usize]) -> impl Iterator<Item = (&'a Rgb8, &'a Rgb8)> {
    gaps.iter()
        .flat_map(move |gap| frames.iter().zip(frames.iter().skip(*gap)))
}

type Read = fn(&Viewpoint) -> f32;
/// Name, how to read it, whether a still camera scores high, and the default limit.
const SCORES: [(&str, Read, bool, f32); 9] = [
    ("viewpoint_blocks_8", |v| v.block_match_ratio_8, true, 0.6),
    ("viewpoint_blocks_16", |v| v.block_match_ratio_16, true, 0.6),
    ("homography_inliers", |v| v.inlier_ratio, true, 0.3),
    (
        "border still (not a filter)",
        |v| v.border_still_ratio,
        true,
        0.7,
    ),
    ("camera_rotation", |v| v.rotation_degrees, false, 0.5),
    ("camera_zoom", |v| v.scale_change_ratio, false, 0.015),
    ("camera_shift", |v| v.translation_ratio, false, 0.01),
    ("warp_residual", |v| v.residual_luma, false, 12.0),
    (
        "turn, zoom and shift, each over its limit",
        motion_over_limits,
        false,
        1.0,
    ),
];

fn motion_over_limits(v: &Viewpoint) -> f32 {
    let turn = v.rotation_degrees / 0.5;
    turn.max(v.scale_change_ratio / 0.015)
        .max(v.translation_ratio / 0.01)
}

fn print_groups(cases: &[Case]) -> Result<()> {
    println!(
        "| clip or warp | still | pairs | blocks 8 | blocks 16 | inliers | border still | turn ° | zoom | shift | residual | over limits |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    let mut names: Vec<&str> = Vec::new();
    for case in cases {
        if !names.contains(&case.group.as_str()) {
            names.push(&case.group);
        }
    }
    for name in names {
        let group: Vec<&Case> = cases.iter().filter(|case| case.group == name).collect();
        let mut line = format!("| {name} | {} | {} |", group[0].is_still, group.len());
        for (_, read, ..) in SCORES {
            let mut values: Vec<f32> = group.iter().map(|case| read(&case.seen)).collect();
            values.sort_by(f32::total_cmp);
            let at = |share: f32| values[((values.len() - 1) as f32 * share).round() as usize];
            let (low, middle, high) = (at(0.05), at(0.5), at(0.95));
            write!(line, " {middle:.3} ({low:.3}–{high:.3}) |")?;
        }
        println!("{line}");
    }
    Ok(())
}

fn print_roc(cases: &[Case]) {
    println!(
        "\n| score | AUC | default | still kept | moving kept | best limit | still kept | moving kept |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (name, read, high, limit) in SCORES {
        let sign = if high { 1.0 } else { -1.0 };
        let values = |still: bool| -> Vec<f32> {
            let group = cases.iter().filter(|case| case.is_still == still);
            group.map(|case| sign * read(&case.seen)).collect()
        };
        let (still, moving) = (values(true), values(false));
        let kept = |list: &[f32], limit: f32| {
            list.iter().filter(|value| **value >= limit).count() as f32 / list.len() as f32
        };
        let best = still
            .iter()
            .chain(&moving)
            .copied()
            .max_by(|a, b| {
                let gain = |limit: f32| kept(&still, limit) - kept(&moving, limit);
                gain(*a).total_cmp(&gain(*b))
            })
            .unwrap_or(0.0);
        println!(
            "| {name} | {:.3} | {limit} | {:.3} | {:.3} | {:.3} | {:.3} | {:.3} |",
            auc(&still, &moving),
            kept(&still, sign * limit),
            kept(&moving, sign * limit),
            best.abs(),
            kept(&still, best),
            kept(&moving, best),
        );
    }
    let all = |case: &&Case| {
        SCORES
            .iter()
            .filter(|score| !score.0.starts_with("border"))
            .all(|(_, read, high, limit)| {
                let value = read(&case.seen);
                if *high {
                    value >= *limit
                } else {
                    value <= *limit
                }
            })
    };
    for (still, name) in [(true, "still"), (false, "moving")] {
        let group: Vec<&Case> = cases.iter().filter(|case| case.is_still == still).collect();
        let kept = group.iter().filter(|case| all(case)).count();
        println!(
            "\n{name}: all defaults together keep {kept} of {}",
            group.len()
        );
    }
    for case in cases.iter().filter(|case| !case.is_still && all(case)) {
        println!("kept though moving: {} {:?}", case.group, case.seen);
    }
}

/// Chance that a still pair scores above a moving one; ties count half.
fn auc(still: &[f32], moving: &[f32]) -> f32 {
    let mut wins = 0.0;
    for s in still {
        for m in moving {
            wins += match s.total_cmp(m) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            };
        }
    }
    wins / (still.len() * moving.len()) as f32
}

fn decode(path: &Path, fps: f32, most: usize) -> Result<Vec<Rgb8>> {
    let probe = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-select_streams",
            "v:0",
            "-show_entries",
            "stream=width,height",
            "-of",
            "csv=p=0",
        ])
        .arg(path)
        .output()
        .context("running ffprobe")?;
    let text = String::from_utf8(probe.stdout)?;
    let mut sides = text.trim().split(',').map(str::parse::<u32>);
    let (Some(Ok(w)), Some(Ok(h))) = (sides.next(), sides.next()) else {
        bail!("{}: no size in {text:?}", path.display());
    };
    let (width, height) = (512, (h * 512).div_ceil(w) / 2 * 2);
    let out = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(path)
        .args([
            "-vf",
            &format!("fps={fps},scale={width}:{height}:flags=area,format=rgb24"),
        ])
        .args(["-frames:v", &most.to_string(), "-f", "rawvideo", "-"])
        .output()
        .context("running ffmpeg")?;
    let bytes = (width * height * 3) as usize;
    let frames = out
        .stdout
        .chunks_exact(bytes)
        .map(|chunk| Rgb8::new(width, height, chunk.to_vec()));
    Ok(frames.collect::<Result<_, _>>()?)
}

/// The middle, so that warps need no pixels from outside the frame and all cases are alike.
fn crop(image: &Rgb8) -> Rgb8 {
    let (w, h) = (image.width(), image.height());
    image.crop(w / 10, h / 10, w * 8 / 10, h * 8 / 10)
}

fn warp(image: &Rgb8, turn_degrees: f32, zoom: f32, shift_px: f32) -> Rgb8 {
    let (sin, cos) = turn_degrees.to_radians().sin_cos();
    let (w, h) = (image.width() as f32, image.height() as f32);
    Rgb8::from_fn(image.width(), image.height(), |px, py| {
        let (x, y) = ((px as f32 - w / 2.0) / zoom, (py as f32 - h / 2.0) / zoom);
        let sx = (x * cos - y * sin + w / 2.0 + shift_px).clamp(0.0, w - 1.001);
        let sy = (x * sin + y * cos + h / 2.0).clamp(0.0, h - 1.001);
        let (x0, y0) = (sx as u32, sy as u32);
        let (fx, fy) = (sx - x0 as f32, sy - y0 as f32);
        std::array::from_fn(|n| {
            let at = |x, y| f32::from(image.pixel(x, y)[n]);
            let top = at(x0, y0) * (1.0 - fx) + at(x0 + 1, y0) * fx;
            let low = at(x0, y0 + 1) * (1.0 - fx) + at(x0 + 1, y0 + 1) * fx;
            (top * (1.0 - fy) + low * fy).round() as u8
        })
    })
}

/// Draws before, after and heat map side by side with the boxes of the measured changes.
fn draw(videos: &Path, folder: &Path) -> Result<()> {
    for clip in STILL {
        let frames = decode(&videos.join(clip), 1.5, 30)?;
        let name = clip
            .rsplit('/')
            .next()
            .unwrap_or(clip)
            .split('.')
            .next()
            .unwrap_or(clip);
        let picks = [
            (1, 3),
            (4, 5),
            (8, 12),
            (14, 16),
            (20, 28),
            (2, 4),
            (6, 9),
            (10, 11),
            (17, 18),
            (22, 23),
            (24, 26),
        ];
        for (a, b) in picks {
            let (Some(from), Some(to)) = (frames.get(a), frames.get(b)) else {
                continue;
            };
            let report = measure_changes(from, to)?;
            let text = template_instruction(&report, from.width(), from.height())
                .map_or_else(|| "-".to_owned(), |one| one.text);
            let sketch = sketch_difference(&ChangeSketch::new(from), &ChangeSketch::new(to));
            println!(
                "{name}_{a}_{b}: {text}\n  changed {:.3} largest {:.2} regions {} noise {:.1} gain {:.2} camera {:.3}; {sketch:?}",
                report.changed_ratio,
                report.largest_region_ratio,
                report.region_count,
                report.noise_level,
                report.lighting_gain,
                report.camera_shift_ratio
            );
            for change in report.changes.iter().take(5) {
                println!(
                    "  {} {:?} -> {:?} {:?}",
                    change.kind,
                    change.from_box_px.map(|b| b.center()),
                    change.to_box_px.map(|b| b.center()),
                    change.numbers
                );
            }
            let path: PathBuf = folder.join(format!("{name}_{a}_{b}.png"));
            picture(from, to, &report.changes)?.save(&path)?;
        }
    }
    Ok(())
}

fn picture(
    from: &Rgb8,
    to: &Rgb8,
    changes: &[framewright::core::Change],
) -> Result<image::RgbImage> {
    let heat = heat_map(from, to, 512)?;
    let (w, h) = (from.width(), from.height());
    let mut out = image::RgbImage::new(w * 3, h);
    for (n, part) in [from, to, &heat].into_iter().enumerate() {
        for y in 0..h {
            for x in 0..w {
                out.put_pixel(n as u32 * w + x, y, image::Rgb(part.pixel(x, y)));
            }
        }
    }
    for change in changes {
        let color = match change.kind.as_str() {
            "entered" => [0, 255, 0],
            "left" => [255, 0, 0],
            "moved" => [255, 255, 0],
            "recolored" => [255, 0, 255],
            _ => [0, 255, 255],
        };
        for (n, place) in [change.from_box_px, change.to_box_px]
            .into_iter()
            .enumerate()
        {
            let Some(place) = place else { continue };
            let (x0, x1) = (place.x0 as u32, (place.x1 as u32).clamp(1, w) - 1);
            let (y0, y1) = (place.y0 as u32, (place.y1 as u32).clamp(1, h) - 1);
            for x in x0..=x1 {
                out.put_pixel(n as u32 * w + x, y0, image::Rgb(color));
                out.put_pixel(n as u32 * w + x, y1, image::Rgb(color));
            }
            for y in y0..=y1 {
                out.put_pixel(n as u32 * w + x0, y, image::Rgb(color));
                out.put_pixel(n as u32 * w + x1, y, image::Rgb(color));
            }
        }
    }
    Ok(out)
}
