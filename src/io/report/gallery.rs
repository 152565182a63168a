//! Pairs for the page, spread evenly over all rows: before, after, and where they differ.

use arrow_array::RecordBatch;
use base64::Engine as _;
use image::codecs::jpeg::JpegEncoder;
use serde::Serialize;

use super::ReportInput;
use crate::core::{FatalError, ItemError, Rgb8};
use crate::io::{arrays, tables};

const MAX_SIDE_PX: u32 = 360;
const JPEG_QUALITY: u8 = 78;
const COLUMNS: [&str; 20] = [
    "sample_id",
    "task",
    "instruction",
    "instruction_writer",
    "input_images",
    "output_image",
    "input_captions",
    "output_caption",
    "video_id",
    "video_uri",
    "license",
    "source",
    "scene_index",
    "scene_start_secs",
    "scene_end_secs",
    "input_pts",
    "output_pts",
    "time_base_num",
    "time_base_den",
    "judge_reason",
];

/// One row as the page shows it. Images are data addresses made here; texts are not trusted.
#[derive(Debug, Serialize)]
pub(super) struct Pair {
    sample_id: String,
    task: String,
    instruction: String,
    writer: String,
    before: Option<String>,
    after: Option<String>,
    difference: Option<String>,
    judge_reason: Option<String>,
    scores: Vec<(String, String)>,
    origin: Vec<(String, String)>,
}

/// Up to `max` pairs.
pub(super) fn pairs(
    input: &ReportInput<'_>,
    total: u64,
    max: usize,
) -> Result<Vec<Pair>, FatalError> {
    let count = (max as u64).min(total);
    let mut wanted = (0..count).map(|n| n * total / count).peekable();
    let (mut first, mut pairs) = (0, Vec::new());
    for shard in input.shards {
        let end = first + tables::num_rows(shard)?;
        let mut rows = Vec::new();
        while let Some(row) = wanted.next_if(|row| *row < end) {
            rows.push(row - first);
        }
        first = end;
        if rows.is_empty() {
            continue;
        }
        let wants = |name: &str| {
            let is_number = name.starts_with("score_") || name.starts_with("judge_");
            COLUMNS.contains(&name) || is_number
        };
        tables::pick(shard, &rows, wants, |batch| {
            pairs.push(pair(batch, input));
            Ok(())
        })?;
    }
    Ok(pairs)
}

fn pair(batch: &RecordBatch, input: &ReportInput<'_>) -> Pair {
    let text = |name: &str| arrays::get_text(batch, name, 0).unwrap_or("").to_owned();
    let before =
        arrays::get_images(batch, "input_images", 0).and_then(|images| thumbnail(images.first()?));
    let after = arrays::get_image(batch, "output_image", 0).and_then(thumbnail);
    let difference = before.as_ref().zip(after.as_ref());
    let difference = difference
        .filter(|(a, b)| (a.width(), a.height()) == (b.width(), b.height()))
        .and_then(|(a, b)| (input.heat_map)(a, b).ok());
    Pair {
        sample_id: text("sample_id").chars().take(12).collect(),
        task: text("task"),
        instruction: text("instruction"),
        writer: text("instruction_writer"),
        before: before.as_ref().and_then(data_address),
        after: after.as_ref().and_then(data_address),
        difference: difference.as_ref().and_then(data_address),
        judge_reason: arrays::get_text(batch, "judge_reason", 0).map(str::to_owned),
        scores: scores(batch),
        origin: origin(batch),
    }
}

fn scores(batch: &RecordBatch) -> Vec<(String, String)> {
    let mut scores = Vec::new();
    for field in batch.schema().fields() {
        let name = field.name();
        let short = name
            .strip_prefix("score_")
            .map(str::to_owned)
            .or_else(|| Some(format!("judge: {}", name.strip_prefix("judge_")?)));
        if let (Some(short), Some(score)) = (short, arrays::get_f32(batch, name, 0)) {
            scores.push((short.replace('_', " "), number(f64::from(score))));
        }
    }
    scores
}

/// A number with about three digits that matter.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    let text = if size >= 100.0 || value == value.trunc() {
        format!("{value:.0}")
    } else if size >= 1.0 {
        format!("{value:.2}")
    } else if size >= 0.001 {
        format!("{value:.4}")
    } else {
        format!("{value:.2e}")
    };
    if text.contains('.') && !text.contains('e') {
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    text
}

fn origin(batch: &RecordBatch) -> Vec<(String, String)> {
    let text = |name: &str| arrays::get_text(batch, name, 0).map(str::to_owned);
    let secs = |name: &str| arrays::get_f64(batch, name, 0).unwrap_or(0.0);
    let tick = |name: &str| f64::from(arrays::get_i32(batch, name, 0).unwrap_or(1));
    let tick_secs = tick("time_base_num") / tick("time_base_den");
    let frame = |pts: Option<i64>| {
        pts.map_or_else(
            || "generated".to_owned(),
            |pts| format!("{:.3} s (pts {pts})", pts as f64 * tick_secs),
        )
    };
    let from = arrays::get_numbers(batch, "input_pts", 0).and_then(|pts| pts.first().copied());
    let to = arrays::get_i64(batch, "output_pts", 0);
    let scene = format!(
        "#{} · {:.2}–{:.2} s",
        arrays::get_u32(batch, "scene_index", 0).unwrap_or(0),
        secs("scene_start_secs"),
        secs("scene_end_secs"),
    );
    let captions = arrays::get_list(batch, "input_captions", 0).and_then(|captions| {
        use arrow_array::cast::AsArray as _;
        let texts = captions.as_string_opt::<i32>()?;
        texts.iter().next().flatten().map(str::to_owned)
    });
    let rows = [
        ("video", text("video_uri")),
        ("scene", Some(scene)),
        ("before", Some(frame(from.flatten()))),
        ("after", Some(frame(to))),
        ("caption before", captions),
        ("caption after", text("output_caption")),
        (
            "licence",
            Some(text("license").unwrap_or_else(|| "not stated".to_owned())),
        ),
        ("source", text("source")),
    ];
    let rows = rows.into_iter();
    rows.filter_map(|(label, value)| Some((label.to_owned(), value?)))
        .collect()
}

/// A small copy; none when the bytes are no picture.
fn thumbnail(bytes: &[u8]) -> Option<Rgb8> {
    let image = image::load_from_memory(bytes).ok()?;
    let image = if image.width().max(image.height()) > MAX_SIDE_PX {
        image.thumbnail(MAX_SIDE_PX, MAX_SIDE_PX)
    } else {
        image
    };
    let image = image.into_rgb8();
    let (width, height) = image.dimensions();
    let made: Result<Rgb8, ItemError> = Rgb8::new(width, height, image.into_raw());
    made.ok()
}

fn data_address(image: &Rgb8) -> Option<String> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY)
        .encode(
            image.data(),
            image.width(),
            image.height(),
            image::ExtendedColorType::Rgb8,
        )
        .ok()?;
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    Some(format!("data:image/jpeg;base64,{text}"))
}
