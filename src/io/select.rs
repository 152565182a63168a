//! Some rows of a shard become another shard, and the rest another reject table.

use std::io;
use std::path::Path;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, Float32Array, Int32Array, RecordBatch};
use arrow_schema::{ArrowError, DataType, SchemaRef};

use super::columns::{RowColumns, SCHEMA_VERSION};
use super::lineage::verify_lineage;
use super::rejects::{RejectRow, write_rejects};
use super::shard::{BoundedWriter, remove_stale};
use super::{arrays, tables};
use crate::core::FatalError;
use crate::store;

/// A row that stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptRow {
    /// Its number in the shard it is from.
    pub row: u64,
    /// Distance to the nearest earlier row that stays; none above 7 bits.
    pub nearest_bits: Option<u32>,
}

/// Writes the rows that stay, in order, as the writer of shards would; gives the BLAKE3 of the new
/// file, none when no row stays. Cells are copied; `score_duplicate` alone speaks of other rows and
/// is written anew. Holds one row group in memory.
///
/// # Errors
/// When a file cannot be read or written, or a row's lineage is broken.
pub fn select_rows(
    source: &Path,
    kept: &[KeptRow],
    target: &Path,
) -> Result<Option<String>, FatalError> {
    if kept.is_empty() {
        remove_stale(target)?;
        return Ok(None);
    }
    let schema = Arc::clone(tables::open(source)?.schema());
    if schema.metadata().get("schema_version") != Some(&SCHEMA_VERSION.to_string()) {
        return Err(FatalError::disk(
            source,
            format!("was not written with schema version {SCHEMA_VERSION}"),
        ));
    }
    let rows: Vec<u64> = kept.iter().map(|kept| kept.row).collect();
    let mut hash = blake3::Hasher::new();
    let mut refused = None;
    let published = store::publish(target, |out| {
        let mut writer = BoundedWriter::new(&schema, out, &mut hash)?;
        let mut nearest = kept.iter().map(|kept| kept.nearest_bits);
        let copied = tables::pick(
            source,
            &rows,
            |_| true,
            |batch| {
                verify_lineage(batch, 0).map_err(|what| {
                    FatalError::Refused(format!(
                        "{}: {what}; see `framewright verify`",
                        source.display()
                    ))
                })?;
                let batch = renewed(batch, &schema, nearest.next().flatten())
                    .map_err(|error| FatalError::disk(source, error))?;
                writer
                    .write(&batch)
                    .map_err(|error| FatalError::disk(target, error))
            },
        );
        if let Err(error) = copied {
            refused = Some(error);
            return Err(io::Error::other("a row was refused"));
        }
        writer.finish()
    });
    match refused {
        Some(error) => Err(error),
        None => published.map(|()| Some(hash.finalize().to_hex().to_string())),
    }
}

/// One row as the writer of shards makes it: a dictionary holds only what the row needs.
fn renewed(
    batch: &RecordBatch,
    schema: &SchemaRef,
    nearest_bits: Option<u32>,
) -> Result<RecordBatch, ArrowError> {
    let cells = schema.fields().iter().zip(batch.columns());
    let cells = cells.map(|(field, cell)| -> Result<ArrayRef, ArrowError> {
        if field.name() == "score_duplicate" {
            return Ok(Arc::new(Float32Array::from(vec![
                nearest_bits.map(|bits| bits as f32),
            ])));
        }
        match (field.data_type(), arrays::get_text(batch, field.name(), 0)) {
            (DataType::Dictionary(_, _), Some(text)) => {
                let keys = Int32Array::from(vec![0]);
                let array = DictionaryArray::<Int32Type>::try_new(keys, arrays::text(text))?;
                Ok(Arc::new(array))
            }
            _ => Ok(Arc::clone(cell)),
        }
    });
    RecordBatch::try_new(Arc::clone(schema), cells.collect::<Result<_, _>>()?)
}

/// Writes a reject table of all rows, those of one manifest row at a time; without any, there is no
/// table. Gives whether there is one.
///
/// # Errors
/// When the disk refuses, or what an earlier step could not read.
pub fn write_reject_table(
    path: &Path,
    columns: &RowColumns,
    roots: impl Iterator<Item = Result<Vec<RejectRow>, FatalError>>,
) -> Result<bool, FatalError> {
    let mut roots = roots
        .filter(|rows| !rows.as_ref().is_ok_and(Vec::is_empty))
        .peekable();
    if roots.peek().is_none() {
        remove_stale(path)?;
        return Ok(false);
    }
    write_rejects(path, columns.scores(), roots).map(|()| true)
}
