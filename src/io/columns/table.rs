//! The table itself: one entry a column.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int32Array, Int64Array, UInt32Array};
use arrow_schema::{DataType, Field};

use super::super::arrays;
use super::super::lineage::evidence;
use super::{Cell, Column, Row, ScoreColumn};

fn of(
    name: &str,
    kind: DataType,
    nullable: bool,
    about: &str,
    make: fn(&Row<'_>) -> ArrayRef,
) -> Column {
    Column {
        name: name.to_owned(),
        kind,
        nullable,
        about: about.to_owned(),
        cell: Cell::Of(make),
    }
}

fn empty(name: &str, kind: DataType, nullable: bool, about: &str) -> Column {
    Column {
        name: name.to_owned(),
        kind,
        nullable,
        about: about.to_owned(),
        cell: Cell::Empty,
    }
}

fn f64_cell(value: f64) -> ArrayRef {
    Arc::new(Float64Array::from(vec![value]))
}
fn u32_cell(value: u32) -> ArrayRef {
    Arc::new(UInt32Array::from(vec![value]))
}

/// All columns, in order: content, source, scores, judge, origin.
pub(super) fn table(scores: &[ScoreColumn], judge_axes: &[&str]) -> Vec<Column> {
    let mut columns = content_columns();
    columns.extend(source_columns());
    columns.extend(scores.iter().map(|score| Column {
        name: format!("score_{}", score.name),
        kind: DataType::Float32,
        nullable: true,
        about: format!("{} ({})", score.about, score.unit),
        cell: Cell::Score(score.name.clone()),
    }));
    columns.extend(judge_axes.iter().map(|axis| Column {
        name: format!("judge_{axis}"),
        kind: DataType::Float32,
        nullable: true,
        about: format!("the judge's points for {}, 0 to 5", axis.replace('_', " ")),
        cell: Cell::Judge((*axis).to_owned()),
    }));
    columns.extend(origin_columns());
    columns
}

fn content_columns() -> Vec<Column> {
    use DataType::{Dictionary, Float32, Int8, Int32, UInt16, Utf8};
    let subject = arrays::struct_of(&[
        ("subject_id", UInt16),
        ("label", Utf8),
        ("image", Int8),
        (
            "box_px",
            DataType::FixedSizeList(Arc::new(Field::new(arrays::ELEMENT, Float32, false)), 4),
        ),
        ("mask_rle", Utf8),
        ("score", Float32),
    ]);
    vec![
        of(
            "sample_id",
            Utf8,
            false,
            "hash of task, images and instruction",
            |r| arrays::text(r.sample.id.as_str()),
        ),
        of(
            "task",
            Dictionary(Box::new(Int32), Box::new(Utf8)),
            false,
            "`edit`, `ic` or `ic_edit`",
            |r| arrays::text(r.sample.task),
        ),
        of(
            "instruction",
            Utf8,
            false,
            "how to get from the inputs to the output",
            |r| arrays::text(&r.sample.instruction.text),
        ),
        of(
            "instruction_writer",
            Utf8,
            false,
            "who wrote it: `template` (measured changes put into words), `onnx:<model>` or \
             `endpoint:<model>`",
            |r| arrays::text(&r.sample.instruction.writer),
        ),
        of(
            "instruction_evidence",
            Utf8,
            true,
            "JSON list of the measured changes it rests on: kind, boxes in pixels, numbers",
            |r| arrays::text_or_null(evidence(r.sample).as_deref()),
        ),
        of(
            "input_images",
            arrays::list_of(arrays::image_type(), true),
            false,
            "images before, as files in memory",
            |r| {
                let path = |n: usize, extension| format!("{}/in{n}.{extension}", r.sample.id);
                let images = r.sample.inputs.iter().enumerate();
                let images: Vec<(&[u8], String)> = images
                    .map(|(n, image)| (image.bytes.as_slice(), path(n, image.extension)))
                    .collect();
                arrays::images(&images)
            },
        ),
        of(
            "output_image",
            arrays::image_type(),
            false,
            "the image after; always a real frame",
            |r| {
                let image = &r.sample.output;
                let path = format!("{}/out.{}", r.sample.id, image.extension);
                arrays::image(&image.bytes, path)
            },
        ),
        of(
            "input_captions",
            arrays::list_of(Utf8, false),
            true,
            "captions of the inputs, if the writer gave any",
            |r| {
                let caption = r.sample.instruction.from_caption.as_deref();
                arrays::texts_or_null(&caption.into_iter().collect::<Vec<_>>())
            },
        ),
        of(
            "output_caption",
            Utf8,
            true,
            "caption of the output, if the writer gave one",
            |r| arrays::text_or_null(r.sample.instruction.to_caption.as_deref()),
        ),
        empty(
            "subjects",
            arrays::list_of(subject, false),
            false,
            "named things: `image` is the input's number or -1 for the output, `box_px` is \
             x0 y0 x1 y1, `mask_rle` is COCO run-length text",
        ),
        empty(
            "edit_region_rle",
            Utf8,
            true,
            "what changed, as COCO run-length text",
        ),
    ]
}

fn source_columns() -> Vec<Column> {
    use DataType::{Float64, Int32, Int64, UInt32, Utf8};
    vec![
        of(
            "video_id",
            Utf8,
            false,
            "hash of the video file's bytes",
            |r| arrays::text(r.sample.scene.video.id.as_str()),
        ),
        of(
            "video_uri",
            Utf8,
            true,
            "the video as the manifest names it",
            |r| arrays::text(&r.sample.scene.video.entry.uri),
        ),
        of(
            "license",
            Utf8,
            true,
            "licence of the footage, from the manifest",
            |r| arrays::text_or_null(r.sample.scene.video.entry.license.as_deref()),
        ),
        of(
            "source",
            Utf8,
            true,
            "origin of the footage, from the manifest",
            |r| arrays::text_or_null(r.sample.scene.video.entry.source.as_deref()),
        ),
        of(
            "item_path",
            Utf8,
            false,
            "manifest row, then the number of each ancestor among its siblings; as in the rejects",
            |r| arrays::text(&r.path.to_string()),
        ),
        of("scene_id", Utf8, false, "hash of video and span", |r| {
            arrays::text(r.sample.scene.id.as_str())
        }),
        of(
            "scene_index",
            UInt32,
            false,
            "number of the scene in the video, from 0",
            |r| u32_cell(r.sample.scene.index),
        ),
        of(
            "scene_start_secs",
            Float64,
            false,
            "start of the scene in seconds",
            |r| {
                let scene = &r.sample.scene;
                f64_cell(scene.video.info.time_base.secs(scene.pts.start()))
            },
        ),
        of(
            "scene_end_secs",
            Float64,
            false,
            "end of the scene in seconds, exclusive",
            |r| {
                let scene = &r.sample.scene;
                f64_cell(scene.video.info.time_base.secs(scene.pts.end()))
            },
        ),
        of(
            "input_pts",
            arrays::list_of(Int64, true),
            false,
            "exact times of the inputs in ticks; null is a generated image",
            |r| {
                let pts = r.sample.inputs.iter().map(|i| i.pts.map(|p| p.0));
                arrays::numbers(&pts.collect::<Vec<_>>())
            },
        ),
        of(
            "output_pts",
            Int64,
            false,
            "exact time of the output in ticks",
            |r| Arc::new(Int64Array::from(vec![r.sample.output.pts.map(|p| p.0)])),
        ),
        of(
            "time_base_num",
            Int32,
            false,
            "seconds a tick, numerator",
            |r| {
                Arc::new(Int32Array::from(vec![
                    r.sample.scene.video.info.time_base.num,
                ]))
            },
        ),
        of(
            "time_base_den",
            Int32,
            false,
            "seconds a tick, denominator",
            |r| {
                Arc::new(Int32Array::from(vec![
                    r.sample.scene.video.info.time_base.den,
                ]))
            },
        ),
        of(
            "width",
            UInt32,
            false,
            "display width of the source frame",
            |r| u32_cell(r.sample.scene.video.info.width),
        ),
        of(
            "height",
            UInt32,
            false,
            "display height of the source frame",
            |r| u32_cell(r.sample.scene.video.info.height),
        ),
        of(
            "fps",
            Float64,
            false,
            "average frames per second, 0 when unknown",
            |r| f64_cell(r.sample.scene.video.info.fps),
        ),
    ]
}

fn borrowed(pairs: &[(String, String)]) -> Vec<(&str, &str)> {
    pairs
        .iter()
        .map(|(a, b)| (a.as_str(), b.as_str()))
        .collect()
}

fn origin_columns() -> Vec<Column> {
    use DataType::{UInt16, UInt64, Utf8};
    let pairs = |a: &str| {
        let b = if a == "role" { "model" } else { "prompt" };
        arrays::list_of(arrays::struct_of(&[(a, Utf8), (b, Utf8)]), false)
    };
    vec![
        of("judge_reason", Utf8, true, "the judge's words", |r| {
            arrays::text_or_null(r.sample.judgement.as_ref().map(|j| j.reason.as_str()))
        }),
        empty("repaint_seed", UInt64, true, "seed of a generated input"),
        empty("repaint_steps", UInt16, true, "steps of a generated input"),
        of("pipeline", Utf8, false, "name of the pipeline", |r| {
            arrays::text(&r.context.pipeline)
        }),
        of(
            "pipeline_version",
            Utf8,
            false,
            "version of the program",
            |r| arrays::text(&r.context.pipeline_version),
        ),
        of(
            "config_hash",
            Utf8,
            false,
            "hash of the resolved configuration",
            |r| arrays::text(&r.context.config_hash),
        ),
        of(
            "models",
            pairs("role"),
            false,
            "models that had a part, `name@sha256:12`",
            |r| {
                let models = r.context.model_pairs();
                arrays::text_pairs(["role", "model"], &borrowed(&models))
            },
        ),
        of(
            "prompts",
            pairs("stage"),
            false,
            "prompts that had a part, `name@sha256:12`",
            |r| {
                let prompts = r.context.prompt_pairs();
                arrays::text_pairs(["stage", "prompt"], &borrowed(&prompts))
            },
        ),
        of(
            "lineage_hash",
            Utf8,
            false,
            "chain over sample, video, scene, pts, changes, models, prompts, config, seed and image \
             bytes",
            |r| arrays::text(&r.lineage),
        ),
    ]
}
