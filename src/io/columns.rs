//! The row schema: one table from which writer, Hugging Face features and documentation follow.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, Float32Array, Float64Array, Int32Array, Int64Array, RecordBatch, UInt32Array,
    new_null_array,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::arrays;
use super::lineage::{lineage_hash, verify_sample};
use crate::core::{ErrorKind, ItemError, ModelRef, Sample};

/// Number of the row schema; raised when a column is removed or changes its type.
pub const SCHEMA_VERSION: u32 = 1;

/// A filter's column `score_<name>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScoreColumn {
    /// Filter name.
    pub name: String,
    /// Unit of the score.
    pub unit: String,
    /// One line about it.
    pub about: String,
}

impl ScoreColumn {
    /// A score column.
    pub fn new(name: &str, unit: &str, about: &str) -> Self {
        Self {
            name: name.to_owned(),
            unit: unit.to_owned(),
            about: about.to_owned(),
        }
    }
}

/// A prompt that had a part in a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PromptRef {
    /// Stage that asked.
    pub stage: String,
    /// `name@sha256:12`.
    pub prompt: String,
}

/// What is the same in every row of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowContext {
    /// `edit_pairs`, `ic_pairs` …
    pub pipeline: String,
    /// Version of the program that wrote the row.
    pub pipeline_version: String,
    /// Hash of the resolved configuration, seed included.
    pub config_hash: String,
    /// Models that had a part.
    pub models: Vec<ModelRef>,
    /// Prompts that had a part.
    pub prompts: Vec<PromptRef>,
}

impl RowContext {
    pub(super) fn model_pairs(&self) -> Vec<(String, String)> {
        let pair = |m: &ModelRef| (m.role.clone(), m.model.clone());
        self.models.iter().map(pair).collect()
    }
    pub(super) fn prompt_pairs(&self) -> Vec<(String, String)> {
        let pair = |p: &PromptRef| (p.stage.clone(), p.prompt.clone());
        self.prompts.iter().map(pair).collect()
    }
}

struct Row<'a> {
    sample: &'a Sample,
    context: &'a RowContext,
    lineage: String,
}

#[derive(Clone)]
enum Cell {
    Of(fn(&Row<'_>) -> ArrayRef),
    Score(String),
    Judge(String),
    /// Filled by later pipelines or by the shard writer.
    Empty,
}

#[derive(Clone)]
struct Column {
    name: String,
    kind: DataType,
    nullable: bool,
    about: String,
    cell: Cell,
}

/// The columns of a run's rows, in order.
#[derive(Clone)]
pub struct RowColumns {
    columns: Vec<Column>,
    scores: Vec<ScoreColumn>,
    shard: SchemaRef,
    spool: SchemaRef,
}

impl RowColumns {
    /// The table with one column a score and one a judge's axis. `duplicate` is always a score.
    pub fn new(scores: &[ScoreColumn], judge_axes: &[&str]) -> Self {
        let mut scores = scores.to_vec();
        if !scores.iter().any(|score| score.name == "duplicate") {
            let about = "distance to the nearest earlier sample of the run; null above 7";
            scores.push(ScoreColumn::new("duplicate", "bits", about));
        }
        let columns = table(&scores, judge_axes);
        let fields = |plain: bool| -> Vec<Field> {
            let kind = |c: &Column| match &c.kind {
                DataType::Dictionary(_, value) if plain => value.as_ref().clone(),
                other => other.clone(),
            };
            let nullable = |c: &Column| c.nullable || holds_images(&c.kind);
            let field = |c: &Column| Field::new(&c.name, kind(c), nullable(c));
            columns.iter().map(field).collect()
        };
        let metadata: std::collections::BTreeMap<String, String> = [
            ("huggingface".to_owned(), features(&columns).to_string()),
            ("schema_version".to_owned(), SCHEMA_VERSION.to_string()),
        ]
        .into();
        Self {
            shard: Arc::new(Schema::new_with_metadata(fields(false), metadata)),
            spool: Arc::new(Schema::new(fields(true))),
            columns,
            scores,
        }
    }

    /// Schema of a shard.
    pub fn shard_schema(&self) -> SchemaRef {
        Arc::clone(&self.shard)
    }

    /// Schema of a spool: the same without dictionaries.
    pub(super) fn spool_schema(&self) -> SchemaRef {
        Arc::clone(&self.spool)
    }

    /// Score columns, `duplicate` included.
    pub fn scores(&self) -> &[ScoreColumn] {
        &self.scores
    }

    /// One row in the spool's schema.
    ///
    /// # Errors
    /// [`ErrorKind::Bug`] when the sample's lineage is broken or it does not fit the schema.
    pub fn row(&self, sample: &Sample, context: &RowContext) -> Result<RecordBatch, ItemError> {
        verify_sample(sample)?;
        let row = Row {
            sample,
            context,
            lineage: lineage_hash(sample, context),
        };
        let cells = self.columns.iter().map(|column| match &column.cell {
            Cell::Of(make) => make(&row),
            Cell::Score(name) => Arc::new(Float32Array::from(vec![sample.scores.get(name)])),
            Cell::Judge(axis) => Arc::new(Float32Array::from(vec![judge_points(sample, axis)])),
            Cell::Empty if column.nullable => new_null_array(&column.kind, 1),
            Cell::Empty => arrays::empty_list(&column.kind),
        });
        RecordBatch::try_new(self.spool_schema(), cells.collect()).map_err(|error| {
            let what = format!("sample {} does not fit a row: {error}", sample.id.short());
            ItemError::new(ErrorKind::Bug, what)
        })
    }

    /// Paths of Parquet columns that hold image bytes.
    pub(super) fn image_bytes_paths() -> [Vec<String>; 2] {
        let path = |parts: &[&str]| parts.iter().map(|p| (*p).to_owned()).collect();
        [
            path(&["input_images", "list", arrays::ELEMENT, "bytes"]),
            path(&["output_image", "bytes"]),
        ]
    }

    /// `docs/row-schema.md`.
    pub fn markdown(&self) -> String {
        let mut text = String::from(MARKDOWN_HEAD);
        for column in &self.columns {
            let null = if column.nullable { "yes" } else { "no" };
            let kind = type_name(&column.kind);
            let about = column.about.replace('|', "\\|");
            let _ = writeln!(text, "| `{}` | {kind} | {null} | {about} |", column.name);
        }
        let _ = write!(text, "\nSchema version: {SCHEMA_VERSION}.\n");
        text
    }
}

const MARKDOWN_HEAD: &str = "# Row schema\n\nGenerated from `src/io/columns.rs`; do not edit. \
Every shard is a Parquet file with these columns. File metadata holds `schema_version` and a \
`huggingface` key by which `datasets` decodes the images. Pixel boxes are half-open, origin top \
left. A null score was not measured. Image columns are never null, \
though the file's types allow it: `datasets` knows images only by that type.\n\n| column | type | null | about |\n|---|---|---|---|\n";

/// `docs/row-schema.md` for a set of scores and judge axes.
pub fn row_schema_markdown(scores: &[ScoreColumn], judge_axes: &[&str]) -> String {
    RowColumns::new(scores, judge_axes).markdown()
}

fn judge_points(sample: &Sample, axis: &str) -> Option<f32> {
    let points = &sample.judgement.as_ref()?.points;
    points
        .iter()
        .find(|(name, _)| name == axis)
        .map(|(_, p)| *p)
}

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

fn table(scores: &[ScoreColumn], judge_axes: &[&str]) -> Vec<Column> {
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
            |r| {
                let changes = &r.sample.instruction.changes;
                let json = serde_json::to_string(changes).ok();
                arrays::text_or_null(json.as_deref().filter(|_| !changes.is_empty()))
            },
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

fn origin_columns() -> Vec<Column> {
    use DataType::{UInt16, UInt64, Utf8};
    let pairs = |a: &str| {
        let b = if a == "role" { "model" } else { "prompt" };
        arrays::list_of(arrays::struct_of(&[(a, Utf8), (b, Utf8)]), false)
    };
    fn borrowed(pairs: &[(String, String)]) -> Vec<(&str, &str)> {
        pairs
            .iter()
            .map(|(a, b)| (a.as_str(), b.as_str()))
            .collect()
    }
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
            "chain over sample, video, scene, pts, models, prompts, config, seed and image bytes",
            |r| arrays::text(&r.lineage),
        ),
    ]
}

fn holds_images(kind: &DataType) -> bool {
    match kind {
        DataType::List(item) => holds_images(item.data_type()),
        other => *other == arrays::image_type(),
    }
}

fn features(columns: &[Column]) -> Value {
    let features: serde_json::Map<String, Value> = columns
        .iter()
        .map(|column| (column.name.clone(), feature(&column.kind)))
        .collect();
    json!({"info": {"features": features}})
}

fn feature(kind: &DataType) -> Value {
    if *kind == arrays::image_type() {
        return json!({"_type": "Image"});
    }
    match kind {
        DataType::List(item) => json!({"feature": feature(item.data_type()), "_type": "List"}),
        DataType::FixedSizeList(item, length) => {
            json!({"feature": feature(item.data_type()), "length": length, "_type": "List"})
        }
        DataType::Struct(fields) => fields
            .iter()
            .map(|field| (field.name().clone(), feature(field.data_type())))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        DataType::Dictionary(_, value) => feature(value),
        other => json!({"dtype": type_name(other).replace("utf8", "string"), "_type": "Value"}),
    }
}

/// A short name of an Arrow type, such as `list<struct{bytes binary, path utf8}>`.
pub(super) fn type_name(kind: &DataType) -> String {
    match kind {
        DataType::Utf8 => "utf8".to_owned(),
        DataType::Dictionary(_, value) => format!("dictionary<{}>", type_name(value)),
        DataType::List(item) => format!("list<{}>", type_name(item.data_type())),
        DataType::FixedSizeList(item, n) => {
            format!("fixed_list<{}, {n}>", type_name(item.data_type()))
        }
        DataType::Struct(fields) => {
            let part = |f: &Arc<Field>| format!("{} {}", f.name(), type_name(f.data_type()));
            let parts: Vec<String> = fields.iter().map(part).collect();
            format!("struct{{{}}}", parts.join(", "))
        }
        other => format!("{other:?}").to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_mark_images_and_name_every_column() {
        let columns = super::super::fixtures::columns();
        let schema = columns.shard_schema();
        let features: Value = serde_json::from_str(&schema.metadata()["huggingface"]).unwrap();
        let features = &features["info"]["features"];
        assert_eq!(features["output_image"], json!({"_type": "Image"}));
        assert_eq!(
            features["input_images"],
            json!({"_type": "List", "feature": {"_type": "Image"}})
        );
        assert_eq!(features["task"]["dtype"], "string");
        for field in schema.fields() {
            assert!(features.get(field.name()).is_some(), "{}", field.name());
        }
        assert!(schema.field_with_name("score_duplicate").is_ok());
    }

    /// `docs/row-schema.md` shows the columns of every pipeline; scores stand as one line.
    #[test]
    fn the_documented_schema_is_the_written_one() {
        let scores = [ScoreColumn::new(
            "<filter>",
            "the filter's unit",
            "one column a filter of the pipeline",
        )];
        let text = row_schema_markdown(&scores, &["<axis>"]);
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/row-schema.md");
        if std::env::var_os("FRAMEWRIGHT_BLESS").is_some() {
            crate::store::publish_bytes(&path, text.as_bytes()).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == text,
            "docs/row-schema.md is out of date; run the test with FRAMEWRIGHT_BLESS=1"
        );
    }
}
