//! Shows what the weight-free writer says about pairs of pictures, to judge it by eye.
//!
//! `cargo run --example describe_pairs pairs.tsv out-folder` reads lines `name TAB before TAB after`
//! (picture files), prints one line of JSON a pair and writes `name.png`: before, after and heat
//! map side by side with the boxes of the measured changes.
#![expect(clippy::print_stdout, reason = "a study prints its findings")]

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use framewright::core::{BoxPx, Change, Rgb8};
use framewright::models::caption::template::template_instruction;
use framewright::vision::{ChangeSketch, heat_map, measure_changes, sketch_difference, viewpoint};

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let list = args.next().context("name the list of pairs")?;
    let folder = args.next().context("name the folder for pictures")?;
    std::fs::create_dir_all(&folder)?;
    for line in std::fs::read_to_string(&list)?.lines() {
        let parts: Vec<&str> = line.split('\t').collect();
        let [name, before, after] = parts[..] else {
            continue;
        };
        let (from, to) = (read(before)?, read(after)?);
        let start = std::time::Instant::now();
        let report = measure_changes(&from, &to)?;
        let spent = start.elapsed().as_millis() as u64;
        let written = template_instruction(&report, from.width(), from.height());
        let sketch = sketch_difference(&ChangeSketch::new(&from), &ChangeSketch::new(&to));
        let changes: Vec<String> = report.changes.iter().take(6).map(brief).collect();
        let seen = viewpoint(&from, &to)?;
        let found = serde_json::json!({
            "name": name,
            "text": written.map(|one| one.text),
            "regions": report.region_count,
            "changed_ratio": report.changed_ratio,
            "largest_region_ratio": report.largest_region_ratio,
            "noise": report.noise_level,
            "changes": changes,
            "changed_area": sketch.changed_ratio,
            "focus": sketch.largest_component_ratio,
            "border": sketch.border_changed_ratio,
            "viewpoint": format!("{seen:?}"),
            "ms": spent,
        });
        println!("{found}");
        picture(&from, &to, &report.changes)?
            .save(Path::new(&folder).join(format!("{name}.png")))?;
    }
    Ok(())
}

fn read(path: &str) -> Result<Rgb8> {
    let image = image::open(path)
        .with_context(|| path.to_owned())?
        .to_rgb8();
    Ok(Rgb8::new(image.width(), image.height(), image.into_raw())?)
}

fn brief(change: &Change) -> String {
    let mut text = change.kind.clone();
    for (name, value) in &change.numbers {
        if !name.starts_with("from_") && !name.starts_with("to_") {
            let _ = write!(text, " {name}={value:.2}");
        }
    }
    text
}

fn picture(from: &Rgb8, to: &Rgb8, changes: &[Change]) -> Result<image::RgbImage> {
    let heat = heat_map(from, to, from.width().max(from.height()))?;
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
            "changed" => [255, 255, 255],
            _ => [0, 255, 255],
        };
        for (n, place) in [change.from_box_px, change.to_box_px]
            .into_iter()
            .enumerate()
        {
            if let Some(place) = place {
                frame(&mut out, n as u32 * w, [w, h], place, color);
            }
        }
    }
    Ok(out)
}

fn frame(out: &mut image::RgbImage, left: u32, [w, h]: [u32; 2], place: BoxPx, color: [u8; 3]) {
    let (x0, x1) = (place.x0 as u32, (place.x1 as u32).clamp(1, w) - 1);
    let (y0, y1) = (place.y0 as u32, (place.y1 as u32).clamp(1, h) - 1);
    for x in x0..=x1 {
        out.put_pixel(left + x, y0, image::Rgb(color));
        out.put_pixel(left + x, y1, image::Rgb(color));
    }
    for y in y0..=y1 {
        out.put_pixel(left + x0, y, image::Rgb(color));
        out.put_pixel(left + x1, y, image::Rgb(color));
    }
}
