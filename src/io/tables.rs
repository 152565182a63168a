//! Streams chosen columns of shards and rejects.

use std::fs::File;
use std::path::Path;

use arrow_array::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReaderBuilder, RowSelection};

use super::footer;
use crate::core::{FatalError, contain};

type Builder = ParquetRecordBatchReaderBuilder<File>;

pub(super) fn open(path: &Path) -> Result<Builder, FatalError> {
    let file = File::open(path).map_err(|error| FatalError::disk(path, error))?;
    footer::check_depth(&file).map_err(|error| FatalError::disk(path, error))?;
    guarded(path, || {
        Builder::try_new(file).map_err(|error| FatalError::disk(path, error))
    })
}

/// The reader of Parquet files panics at some damaged ones.
fn guarded<R>(path: &Path, read: impl FnOnce() -> Result<R, FatalError>) -> Result<R, FatalError> {
    contain(read).unwrap_or_else(|words| Err(FatalError::disk(path, format!("damaged ({words})"))))
}

/// Rows of a file.
pub(super) fn num_rows(path: &Path) -> Result<u64, FatalError> {
    let rows = open(path)?.metadata().file_metadata().num_rows();
    Ok(u64::try_from(rows).unwrap_or(0))
}

fn project(builder: Builder, wants: impl Fn(&str) -> bool) -> Builder {
    let fields = builder.schema().fields().iter().enumerate();
    let wanted: Vec<usize> = fields
        .filter(|(_, field)| wants(field.name()))
        .map(|(at, _)| at)
        .collect();
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
    builder.with_projection(mask)
}

/// Gives every batch of the columns whose name `wants` accepts.
pub(super) fn scan(
    path: &Path,
    wants: impl Fn(&str) -> bool,
    mut each: impl FnMut(&RecordBatch),
) -> Result<(), FatalError> {
    guarded(path, || {
        let reader = project(open(path)?, wants).build();
        for batch in reader.map_err(|error| FatalError::disk(path, error))? {
            each(&batch.map_err(|error| FatalError::disk(path, error))?);
        }
        Ok(())
    })
}

/// Gives the rows of these numbers one by one, in order; `rows` ascend.
pub(super) fn pick(
    path: &Path,
    rows: &[u64],
    wants: impl Fn(&str) -> bool,
    each: impl FnMut(&RecordBatch) -> Result<(), FatalError>,
) -> Result<(), FatalError> {
    guarded(path, || pick_unguarded(path, rows, wants, each))
}

fn pick_unguarded(
    path: &Path,
    rows: &[u64],
    wants: impl Fn(&str) -> bool,
    mut each: impl FnMut(&RecordBatch) -> Result<(), FatalError>,
) -> Result<(), FatalError> {
    let builder = project(open(path)?, wants);
    let total = usize::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
    let ranges = rows.iter().map(|row| *row as usize..*row as usize + 1);
    let selection = RowSelection::from_consecutive_ranges(ranges, total);
    let reader = builder
        .with_row_selection(selection)
        .with_batch_size(1)
        .build();
    for batch in reader.map_err(|error| FatalError::disk(path, error))? {
        each(&batch.map_err(|error| FatalError::disk(path, error))?)?;
    }
    Ok(())
}
