//! What did not become a sample, with reasons and scores but no pixels: `rejects/<chunk>.parquet`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, Float32Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde_json::Value;

use super::columns::ScoreColumn;
use super::shard::CREATED_BY;
use super::spool::{Leave, RejectLine};
use super::{arrays, tables};
use crate::core::{FatalError, ItemPath};
use crate::store;

const ROWS_A_BATCH: usize = 8192;

/// A rejected or failed item and the video it is from.
#[derive(Clone, Debug, PartialEq)]
pub struct RejectRow {
    /// The video as the manifest names it.
    pub uri: String,
    /// What became of it.
    pub line: RejectLine,
}

/// Reads a reject table row by row.
pub struct RejectReader {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
    batch: Option<(RecordBatch, usize)>,
}

impl RejectReader {
    /// Opens `rejects/<chunk>.parquet`.
    ///
    /// # Errors
    /// When it is no Parquet file.
    pub fn open(path: &Path) -> Result<Self, FatalError> {
        let builder = tables::open(path)?.with_batch_size(ROWS_A_BATCH);
        let reader = builder
            .build()
            .map_err(|error| FatalError::disk(path, error))?;
        Ok(Self {
            path: path.to_owned(),
            reader,
            batch: None,
        })
    }
}

impl Iterator for RejectReader {
    type Item = Result<RejectRow, FatalError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((batch, row)) = &mut self.batch
                && *row < batch.num_rows()
            {
                let read = read_row(batch, *row).map_err(|column| {
                    let what = format!("row {row}: column {column} has no value that it may have");
                    FatalError::disk(&self.path, what)
                });
                *row += 1;
                return Some(read);
            }
            match self.reader.next()? {
                Ok(batch) => self.batch = Some((batch, 0)),
                Err(error) => return Some(Err(FatalError::disk(&self.path, error))),
            }
        }
    }
}

fn read_row(batch: &RecordBatch, row: usize) -> Result<RejectRow, &'static str> {
    let text = |name| arrays::get_text(batch, name, row);
    let need = |name: &'static str| text(name).map(str::to_owned).ok_or(name);
    let path = ItemPath::parse(&need("item_path")?).ok_or("item_path")?;
    let outcome = match need("outcome")?.as_str() {
        "rejected" => Leave::Rejected,
        "failed" => Leave::Failed,
        _ => return Err("outcome"),
    };
    let (stage, mut reason) = (need("stage")?, need("reason")?);
    // Tables beside shards of schema version 1 left the stage out here, and only here.
    if stage == "duplicate" && !reason.starts_with("duplicate/") {
        reason.insert_str(0, "duplicate/");
    }
    Ok(RejectRow {
        uri: need("video_uri")?,
        line: RejectLine {
            path,
            outcome,
            stage,
            reason,
            score: arrays::get_f32(batch, "score", row),
            message: text("message").unwrap_or_default().to_owned(),
            detail: match text("detail") {
                Some(text) => serde_json::from_str(text).or(Err("detail"))?,
                None => Value::Null,
            },
        },
    })
}

/// Writes all rows, in the order given; `roots` gives those of one manifest row at a time.
pub(super) fn write_rejects(
    path: &Path,
    scores: &[ScoreColumn],
    mut roots: impl Iterator<Item = Result<Vec<RejectRow>, FatalError>>,
) -> Result<(), FatalError> {
    let mut unread = None;
    let published = store::publish(path, |out| {
        let schema = Arc::new(schema(scores));
        let zstd = ZstdLevel::try_new(3).map_err(io::Error::other)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(zstd))
            .set_created_by(CREATED_BY.to_owned())
            .build();
        let mut writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(properties))
            .map_err(io::Error::other)?;
        for rows in &mut roots {
            let rows = rows.map_err(|error| {
                unread = Some(error);
                io::Error::other("a spool could not be read")
            })?;
            for part in rows.chunks(ROWS_A_BATCH) {
                let batch = RecordBatch::try_new(Arc::clone(&schema), cells(scores, part))
                    .map_err(io::Error::other)?;
                writer.write(&batch).map_err(io::Error::other)?;
            }
        }
        out.write_all(&writer.into_inner().map_err(io::Error::other)?)
    });
    match unread {
        Some(error) => Err(error),
        None => published,
    }
}

fn schema(scores: &[ScoreColumn]) -> Schema {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    let pts = |name: &str| Field::new(name, DataType::Int64, true);
    let mut fields = vec![
        text("item_path", false),
        text("outcome", false),
        text("stage", false),
        text("reason", false),
        Field::new("score", DataType::Float32, true),
        text("message", true),
        text("video_uri", false),
        text("video_id", true),
        pts("scene_start_pts"),
        pts("scene_end_pts"),
        pts("from_pts"),
        pts("to_pts"),
        text("detail", true),
    ];
    fields.extend(scores.iter().map(|score| {
        let name = format!("score_{}", score.name);
        Field::new(name, DataType::Float32, true)
    }));
    Schema::new(fields)
}

fn cells(scores: &[ScoreColumn], rows: &[RejectRow]) -> Vec<ArrayRef> {
    fn texts<'a>(
        rows: &'a [RejectRow],
        get: impl Fn(&'a RejectRow) -> Option<&'a str>,
    ) -> ArrayRef {
        Arc::new(rows.iter().map(get).collect::<StringArray>())
    }
    let pts = |name: &str| -> ArrayRef {
        let get = |row: &RejectRow| row.line.detail.get(name).and_then(Value::as_i64);
        Arc::new(rows.iter().map(get).collect::<Int64Array>())
    };
    let paths: StringArray = rows.iter().map(|r| Some(r.line.path.to_string())).collect();
    let score: Float32Array = rows.iter().map(|r| r.line.score).collect();
    let detail = |row: &RejectRow| {
        let detail = &row.line.detail;
        (!detail.is_null()).then(|| detail.to_string())
    };
    let detail: StringArray = rows.iter().map(detail).collect();
    let mut cells: Vec<ArrayRef> = vec![
        Arc::new(paths),
        texts(rows, |r| Some(r.line.outcome.name())),
        texts(rows, |r| Some(&r.line.stage)),
        texts(rows, |r| Some(&r.line.reason)),
        Arc::new(score),
        texts(rows, |r| {
            Some(r.line.message.as_str()).filter(|message| !message.is_empty())
        }),
        texts(rows, |r| Some(&r.uri)),
        texts(rows, |r| {
            r.line.detail.get("video_id").and_then(Value::as_str)
        }),
        pts("scene_start_pts"),
        pts("scene_end_pts"),
        pts("from_pts"),
        pts("to_pts"),
        Arc::new(detail),
    ];
    cells.extend(scores.iter().map(|column| -> ArrayRef {
        let get = |row: &RejectRow| {
            let scores = row.line.detail.get("scores")?;
            scores.get(&column.name)?.as_f64().map(|score| score as f32)
        };
        Arc::new(rows.iter().map(get).collect::<Float32Array>())
    }));
    cells
}
