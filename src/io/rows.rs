//! Rows of a shard read back as plain values, a few at a time.

use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use serde_json::{Map, Value, json};

use super::columns::SCHEMA_VERSION;
use super::duplicates::KeptHash;
use super::{arrays, lineage, tables};
use crate::core::{BoxPx, Change, FatalError, ItemPath, Pts, Scores, Span, TimeBase};

/// Columns that hold image files.
const IMAGES: [&str; 2] = ["input_images", "output_image"];

/// Everything of a row but its pictures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowRecord {
    /// Columns that must have a value and have none.
    pub missing: Vec<&'static str>,
    /// Where the sample descends from; none in rows of schema version 1.
    pub item_path: Option<ItemPath>,
    /// Column `sample_id`.
    pub sample_id: String,
    /// Column `task`.
    pub task: String,
    /// Column `instruction`.
    pub instruction: String,
    /// Column `instruction_evidence`, read; none when it is no list of changes.
    pub changes: Option<Vec<Change>>,
    /// Column `video_id`.
    pub video_id: String,
    /// Column `video_uri`.
    pub video_uri: String,
    /// Column `scene_id`.
    pub scene_id: String,
    /// Column `scene_index`.
    pub scene_index: u32,
    /// The scene in ticks.
    pub scene: Option<Span<Pts>>,
    /// Columns `time_base_num` and `time_base_den`.
    pub time_base: (i32, i32),
    /// Column `input_pts`.
    pub input_pts: Vec<Option<i64>>,
    /// Column `output_pts`.
    pub output_pts: i64,
    /// Display size of the source frame.
    pub size: (u32, u32),
    /// Columns `score_*` that have a value.
    pub scores: Scores,
    /// Columns `judge_*` that have a number, in order.
    pub points: Vec<(String, f32)>,
    /// Column `judge_reason`.
    pub judge_reason: Option<String>,
    /// Column `pipeline`.
    pub pipeline: String,
    /// Column `pipeline_version`.
    pub pipeline_version: String,
    /// Column `config_hash`.
    pub config_hash: String,
    /// Column `models` as role and model.
    pub models: Vec<(String, String)>,
    /// Column `prompts` as stage and prompt.
    pub prompts: Vec<(String, String)>,
}

impl RowRecord {
    /// A row of a batch.
    pub(super) fn read(batch: &RecordBatch, row: usize) -> Self {
        let mut missing = Vec::new();
        let mut text = |name: &'static str| {
            let found = arrays::get_text(batch, name, row);
            if found.is_none() {
                missing.push(name);
            }
            found.unwrap_or_default().to_owned()
        };
        let mut record = Self {
            sample_id: text("sample_id"),
            task: text("task"),
            instruction: text("instruction"),
            video_id: text("video_id"),
            video_uri: text("video_uri"),
            scene_id: text("scene_id"),
            pipeline: text("pipeline"),
            pipeline_version: text("pipeline_version"),
            config_hash: text("config_hash"),
            ..Self::default()
        };
        let path = arrays::get_text(batch, "item_path", row);
        record.item_path = path.and_then(ItemPath::parse);
        if path.is_some() && record.item_path.is_none() {
            missing.push("item_path");
        }
        record.changes = match arrays::get_text(batch, "instruction_evidence", row) {
            Some(text) => serde_json::from_str(text).ok(),
            None => Some(Vec::new()),
        };
        let mut need = |name: &'static str, has: bool| {
            if !has {
                missing.push(name);
            }
        };
        let number = |name| arrays::get_i32(batch, name, row);
        let (num, den) = (number("time_base_num"), number("time_base_den"));
        need("time_base_num", num.is_some_and(|n| n > 0));
        need("time_base_den", den.is_some_and(|n| n > 0));
        record.time_base = (num.unwrap_or(1), den.unwrap_or(1));
        let base = TimeBase::new(record.time_base.0, record.time_base.1);
        let secs = |name| arrays::get_f64(batch, name, row);
        let (start, end) = (secs("scene_start_secs"), secs("scene_end_secs"));
        need("scene_start_secs", start.is_some());
        need("scene_end_secs", end.is_some());
        if let (Some(start), Some(end)) = (start, end)
            && start <= end
        {
            let at = |secs| Pts(base.ticks(secs));
            record.scene = Some(Span::between(at(start), at(end)));
        }
        let unsigned = |name| arrays::get_u32(batch, name, row);
        let (width, height) = (unsigned("width"), unsigned("height"));
        need("width", width.is_some());
        need("height", height.is_some());
        record.size = (width.unwrap_or(0), height.unwrap_or(0));
        let index = unsigned("scene_index");
        need("scene_index", index.is_some());
        record.scene_index = index.unwrap_or(0);
        let inputs = arrays::get_numbers(batch, "input_pts", row);
        need("input_pts", inputs.is_some());
        record.input_pts = inputs.unwrap_or_default();
        let output = arrays::get_i64(batch, "output_pts", row);
        need("output_pts", output.is_some());
        record.output_pts = output.unwrap_or(0);
        let pairs = |name| arrays::get_text_pairs(batch, name, row);
        let (models, prompts) = (pairs("models"), pairs("prompts"));
        need("models", models.is_some());
        need("prompts", prompts.is_some());
        record.models = models.unwrap_or_default();
        record.prompts = prompts.unwrap_or_default();
        for field in batch.schema_ref().fields() {
            let value = || arrays::get_f32(batch, field.name(), row);
            if let Some(name) = field.name().strip_prefix("score_") {
                if let Some(score) = value() {
                    record.scores.set(name, score);
                }
            } else if let Some(axis) = field.name().strip_prefix("judge_")
                && let Some(points) = value()
            {
                record.points.push((axis.to_owned(), points));
            }
        }
        record.judge_reason = arrays::get_text(batch, "judge_reason", row).map(str::to_owned);
        record.missing = missing;
        record
    }

    /// Place and scores, as the stages keep them of what they reject.
    pub fn detail(&self) -> Value {
        let scene = self.scene;
        let mut detail = json!({
            "video_id": self.video_id,
            "video_uri": self.video_uri,
            "scene_id": self.scene_id,
            "scene_index": self.scene_index,
            "scene_start_pts": scene.map(|span| span.start()),
            "scene_end_pts": scene.map(|span| span.end()),
            "time_base_num": self.time_base.0,
            "time_base_den": self.time_base.1,
            "from_pts": self.input_pts.first().copied().flatten(),
            "to_pts": self.output_pts,
            "scores": self.scores,
        });
        if !self.points.is_empty() {
            detail["judgement"] = json!({ "points": self.points, "reason": self.judge_reason });
        }
        detail
    }

    /// What is kept of a duplicate: enough to decide about it again.
    pub fn duplicate_detail(&self, bits: u32, hash: &KeptHash) -> Value {
        let mut detail = self.detail();
        detail["sample_id"] = json!(self.sample_id);
        detail["hashes"] = json!(hash.to_string());
        if let Some(Value::Object(scores)) = detail.get_mut("scores") {
            let scores: &mut Map<String, Value> = scores;
            scores.insert("duplicate".to_owned(), json!(bits));
        }
        detail
    }

    /// Boxes of all changes that lie outside the picture.
    pub fn boxes_outside(&self) -> Vec<BoxPx> {
        let (width, height) = self.size;
        let changes = self.changes.iter().flatten();
        let outside = changes.filter(|change| {
            !lineage::changes_are_inside(std::slice::from_ref(change), width, height)
        });
        let boxes = outside.flat_map(|change| [change.from_box_px, change.to_box_px]);
        boxes.flatten().collect()
    }
}

/// An image file of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowImage<'a> {
    /// The file's bytes.
    pub bytes: &'a [u8],
    /// The name it is given.
    pub path: &'a str,
}

/// Some rows of a shard; may go to another thread.
#[derive(Clone, Debug)]
pub struct RowBatch {
    batch: RecordBatch,
    schema_version: u32,
    /// Number of its first row in the shard.
    pub first: u64,
}

impl RowBatch {
    /// Rows in it.
    pub fn len(&self) -> usize {
        self.batch.num_rows()
    }
    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// One row without its pictures.
    pub fn record(&self, row: usize) -> RowRecord {
        RowRecord::read(&self.batch, row)
    }
    /// The inputs' files; none when the column is not there.
    pub fn inputs(&self, row: usize) -> Option<Vec<RowImage<'_>>> {
        arrays::get_image_slices(&self.batch, IMAGES[0], row)
    }
    /// The output's file; none when the column is not there.
    pub fn output(&self, row: usize) -> Option<RowImage<'_>> {
        arrays::get_image_slices(&self.batch, IMAGES[1], row)?
            .first()
            .copied()
    }
    /// The stated lineage, and what it must be.
    ///
    /// # Errors
    /// A sentence naming the column without a value.
    pub fn lineages(&self, row: usize) -> Result<(String, String), String> {
        lineage::lineages(&self.batch, row, self.schema_version)
    }
}

/// Reads a shard batch by batch.
pub struct ShardReader {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
    schema_version: u32,
    num_rows: u64,
    next: u64,
}

impl ShardReader {
    /// Opens a shard for batches of so many rows; without pictures only the other columns are read.
    ///
    /// # Errors
    /// When it is no Parquet file, or one of a newer version.
    pub fn open(path: &Path, batch_rows: usize, has_images: bool) -> Result<Self, FatalError> {
        let builder = tables::open(path)?;
        let metadata = builder.schema().metadata().clone();
        let version = metadata.get("schema_version").map(|text| text.parse());
        let Some(Ok(schema_version)) = version else {
            return Err(FatalError::disk(path, "names no schema_version"));
        };
        if schema_version > SCHEMA_VERSION {
            return Err(FatalError::disk(
                path,
                format!(
                    "has schema version {schema_version}, this program knows {SCHEMA_VERSION}; \
                     use the version that wrote it"
                ),
            ));
        }
        let rows = builder.metadata().file_metadata().num_rows();
        let fields = builder.schema().fields().iter().enumerate();
        let wanted: Vec<usize> = fields
            .filter(|(_, field)| has_images || !IMAGES.contains(&field.name().as_str()))
            .map(|(at, _)| at)
            .collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
        let reader = builder.with_projection(mask).with_batch_size(batch_rows);
        Ok(Self {
            path: path.to_owned(),
            reader: reader
                .build()
                .map_err(|error| FatalError::disk(path, error))?,
            schema_version,
            num_rows: u64::try_from(rows).unwrap_or(0),
            next: 0,
        })
    }

    /// Rows in the whole shard.
    pub fn num_rows(&self) -> u64 {
        self.num_rows
    }

    /// Version of its row schema.
    pub fn schema_version(&self) -> u32 {
        self.schema_version
    }
}

impl Iterator for ShardReader {
    type Item = Result<RowBatch, FatalError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = match self.reader.next()? {
            Ok(batch) => batch,
            Err(error) => return Some(Err(FatalError::disk(&self.path, error))),
        };
        let first = self.next;
        self.next += batch.num_rows() as u64;
        Some(Ok(RowBatch {
            batch,
            schema_version: self.schema_version,
            first,
        }))
    }
}
