//! The row schema: one table from which writer, Hugging Face features and documentation follow.

mod table;

use std::fmt::Write as _;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float32Array, RecordBatch, new_null_array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::arrays;
use super::lineage::{lineage_hash, verify_sample};
use crate::core::{ErrorKind, ItemError, ItemPath, ModelRef, Sample};

/// Number of the row schema; raised when a column is removed or changes its type, and when
/// `lineage_hash` is made of other columns. Version 2 added `item_path`, and the measured changes
/// to the lineage.
pub const SCHEMA_VERSION: u32 = 2;

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
    path: &'a ItemPath,
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
        let columns = table::table(&scores, judge_axes);
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
    pub fn row(
        &self,
        path: &ItemPath,
        sample: &Sample,
        context: &RowContext,
    ) -> Result<RecordBatch, ItemError> {
        verify_sample(sample)?;
        let row = Row {
            path,
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

const MARKDOWN_HEAD: &str = "# Row schema\n\nGenerated by `make docs` from `src/io/columns/` and the filter tables; do not edit. \
Every shard is a Parquet file with these columns. File metadata holds `schema_version` and a \
`huggingface` key by which `datasets` decodes the images. Pixel boxes are half-open, origin top \
left. A null score was not measured. Image columns are never null, \
though the file's types allow it: `datasets` knows images only by that type.\n\
\n| column | type | null | about |\n|---|---|---|---|\n";

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
}
