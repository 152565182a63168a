//! A finished chunk taken apart into the spools it was made of, so that no video is done again.
//!
//! A shard holds the samples that were kept, a file beside the spools those left out as duplicates,
//! the table of rejects everything else: together they are what the spools held.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, RecordBatch, StringArray, new_null_array};
use arrow_schema::{DataType, SchemaRef};
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

use super::arrays;
use super::columns::RowColumns;
use super::duplicates::Judged;
use super::rejects::{RejectReader, RejectRow};
use super::spool::{RejectLine, SpoolFiles, SpoolReader, SpoolWriter};
use super::tables;
use crate::core::{FatalError, ItemPath};

/// Rows of a shard in memory at once; each has pictures.
const SHARD_ROWS: usize = 8;

/// What is left of a chunk's spools.
pub struct FinishedChunk<'a> {
    /// The row schema of the run.
    pub columns: &'a RowColumns,
    /// Kept samples; none when there were none.
    pub shard: Option<&'a Path>,
    /// Rejected and failed items; it may not exist.
    pub rejects: &'a Path,
    /// Samples left out as duplicates; none when there were none.
    pub dropped: Option<&'a Path>,
    /// Every sample in order, with its verdict.
    pub judged: &'a [Judged],
}

/// A manifest row whose spool is wanted back.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The row that it is now.
    pub row: u32,
    /// Keeps its spool's name apart from others, as in [`SpoolWriter::create`].
    pub key: String,
}

/// Writes the spools of some manifest rows of a finished chunk again; `wanted` is by the row that
/// they had. Gives the files of each. Holds a few rows in memory.
///
/// # Errors
/// [`FatalError::Disk`] when a file is damaged or does not fit to `judged`, or the disk refuses.
pub fn unspool(
    chunk: &FinishedChunk<'_>,
    wanted: &BTreeMap<u32, Wanted>,
    spool_dir: &Path,
) -> Result<BTreeMap<u32, SpoolFiles>, FatalError> {
    let mut samples = Samples::open(chunk)?;
    let mut rejects = Rejects::open(chunk.rejects)?;
    let mut judged = chunk.judged.iter().peekable();
    let mut spools = BTreeMap::new();
    for (old, wanted) in wanted {
        while judged.peek().is_some_and(|next| next.path.row() < *old) {
            let skipped = judged.next();
            samples.skip(skipped.is_some_and(Judged::is_kept))?;
        }
        let mut spool = SpoolWriter::create(spool_dir, wanted.row, &wanted.key)?;
        while let Some(sample) = judged.next_if(|next| next.path.row() == *old) {
            let path = sample.path.moved_to(wanted.row);
            let batch = named(&samples.take(sample.is_kept())?, &path)?;
            spool.row(path, [sample.hash.from, sample.hash.to], &batch)?;
        }
        while rejects.row()?.is_some_and(|row| row <= *old) {
            if let Some(mut line) = rejects.take()?
                && line.path.row() == *old
            {
                line.path = line.path.moved_to(wanted.row);
                spool.line(&line)?;
            }
        }
        spools.insert(*old, spool.finish()?);
    }
    Ok(spools)
}

/// A row under another path.
fn named(row: &RecordBatch, path: &ItemPath) -> Result<RecordBatch, FatalError> {
    let fields = row.schema();
    let cells = fields.fields().iter().zip(row.columns());
    let cells = cells.map(|(field, cell)| match field.name().as_str() {
        "item_path" => arrays::text(&path.to_string()),
        _ => Arc::clone(cell),
    });
    RecordBatch::try_new(Arc::clone(&fields), cells.collect())
        .map_err(|error| FatalError::Refused(format!("a row cannot be moved: {error}")))
}

/// Samples of a chunk in the order in which they were judged.
struct Samples {
    schema: SchemaRef,
    shard: Option<Rows>,
    dropped: Option<SpoolReader>,
    next_dropped: usize,
}

impl Samples {
    fn open(chunk: &FinishedChunk<'_>) -> Result<Self, FatalError> {
        let shard = chunk.shard.map(|path| Rows::open(path, SHARD_ROWS));
        let dropped = chunk.dropped.map(SpoolReader::open);
        Ok(Self {
            schema: chunk.columns.spool_schema(),
            shard: shard.transpose()?,
            dropped: dropped.transpose()?,
            next_dropped: 0,
        })
    }

    fn skip(&mut self, is_kept: bool) -> Result<(), FatalError> {
        match &mut self.shard {
            Some(shard) if is_kept => shard.next().map(drop),
            _ => {
                self.next_dropped += usize::from(!is_kept);
                Ok(())
            }
        }
    }

    fn take(&mut self, is_kept: bool) -> Result<RecordBatch, FatalError> {
        let missing = || FatalError::Refused("a finished chunk lacks a sample".into());
        if is_kept {
            let shard = self.shard.as_mut().ok_or_else(missing)?;
            let row = shard.next()?.ok_or_else(missing)?;
            return spool_row(&row, &self.schema).map_err(|e| FatalError::disk(&shard.path, e));
        }
        let dropped = self.dropped.as_mut().ok_or_else(missing)?;
        let at = dropped.order.get(self.next_dropped).map(|(_, _, at)| *at);
        self.next_dropped += 1;
        dropped.read(at.ok_or_else(missing)?)
    }
}

/// A shard's row as it was in its spool: plain texts, and no distance to other samples.
fn spool_row(
    row: &RecordBatch,
    schema: &SchemaRef,
) -> Result<RecordBatch, arrow_schema::ArrowError> {
    let cell = |name: &str, kind: &DataType, cell: &ArrayRef| -> ArrayRef {
        if name == "score_duplicate" {
            return new_null_array(kind, 1);
        }
        let Some(texts) = cell.as_dictionary_opt::<Int32Type>() else {
            return Arc::clone(cell);
        };
        let texts = texts.downcast_dict::<StringArray>();
        let text: Option<StringArray> = texts.map(|texts| texts.into_iter().collect());
        text.map_or_else(|| Arc::clone(cell), |text| Arc::new(text) as ArrayRef)
    };
    let cells = schema.fields().iter().zip(row.columns());
    let cells = cells.map(|(field, column)| cell(field.name(), field.data_type(), column));
    RecordBatch::try_new(Arc::clone(schema), cells.collect())
}

/// Rows of a Parquet file one by one.
struct Rows {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
    batch: Option<RecordBatch>,
    at: usize,
}

impl Rows {
    fn open(path: &Path, batch_rows: usize) -> Result<Self, FatalError> {
        let reader = tables::open(path)?.with_batch_size(batch_rows).build();
        Ok(Self {
            path: path.to_owned(),
            reader: reader.map_err(|error| FatalError::disk(path, error))?,
            batch: None,
            at: 0,
        })
    }

    fn next(&mut self) -> Result<Option<RecordBatch>, FatalError> {
        loop {
            if let Some(batch) = self.batch.as_ref().filter(|b| self.at < b.num_rows()) {
                self.at += 1;
                return Ok(Some(batch.slice(self.at - 1, 1)));
            }
            let Some(next) = self.reader.next() else {
                return Ok(None);
            };
            self.batch = Some(next.map_err(|error| FatalError::disk(&self.path, error))?);
            self.at = 0;
        }
    }
}

/// Lines of a table of rejects, without those that came of comparing samples.
struct Rejects {
    path: PathBuf,
    lines: Option<Peekable<RejectReader>>,
}

impl Rejects {
    fn open(path: &Path) -> Result<Self, FatalError> {
        let lines = path
            .is_file()
            .then(|| RejectReader::open(path))
            .transpose()?;
        Ok(Self {
            path: path.to_owned(),
            lines: lines.map(Iterator::peekable),
        })
    }

    /// The manifest row of the next line.
    fn row(&mut self) -> Result<Option<u32>, FatalError> {
        let Some(lines) = &mut self.lines else {
            return Ok(None);
        };
        let is_of_comparing = |line: &Result<RejectRow, FatalError>| matches!(line, Ok(row) if row.line.stage == "duplicate");
        while lines.next_if(is_of_comparing).is_some() {}
        match lines.peek() {
            None => Ok(None),
            Some(Ok(row)) => Ok(Some(row.line.path.row())),
            Some(Err(error)) => Err(FatalError::disk(&self.path, error)),
        }
    }

    fn take(&mut self) -> Result<Option<RejectLine>, FatalError> {
        let next = self.lines.as_mut().and_then(Iterator::next).transpose()?;
        Ok(next.map(|row| row.line))
    }
}
