//! Spools of a chunk become one Parquet file: the same bytes whatever the order of arrival.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, DictionaryArray, Float32Array, Int32Array, RecordBatch};
use arrow_schema::{DataType, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::columns::RowColumns;
use super::duplicates::{DuplicateIndex, DuplicateVerdict, Judged, KeptHash};
use super::lineage::verify_lineage;
use super::rejects::{RejectRow, write_rejects};
use super::rows::RowRecord;
use super::spool::{
    Leave, RejectLine, SampleFile, SpoolFiles, SpoolReader, read_rejects, sort_rejects,
};
use crate::core::{FatalError, ItemPath};
use crate::store;

/// Row groups end after the row that fills them, so readers hold about this much of one.
const ROW_GROUP_BYTES: usize = 64 * 1024 * 1024;
const PAGE_BYTES: usize = 1024 * 1024;
pub(super) const CREATED_BY: &str = concat!("framewright ", env!("CARGO_PKG_VERSION"));

/// Where a chunk's rows come from and go to.
pub struct ChunkJob<'a> {
    /// The row schema of the run.
    pub columns: &'a RowColumns,
    /// Folder of the chunk's spools.
    pub spool_dir: &'a Path,
    /// The shard to write, such as `shards/edit_pairs-00000.parquet`.
    pub shard: &'a Path,
    /// The file of rejected and failed items, such as `rejects/00000.parquet`.
    pub rejects: &'a Path,
    /// The name of the file in the spools' folder that keeps samples left out as duplicates: should
    /// a chunk before this one change, they may not be duplicates any more.
    pub dropped: &'a str,
}

/// The finished spool of one manifest row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpooledRow {
    /// Manifest row.
    pub row: u32,
    /// The video as the manifest names it.
    pub uri: String,
    /// Its spool.
    pub files: SpoolFiles,
}

/// What became of a chunk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChunkReport {
    /// Rows in the shard.
    pub rows: u64,
    /// The shard; none when no sample was kept.
    pub shard: Option<PathBuf>,
    /// BLAKE3 of the shard, 64 hexadecimal digits.
    pub blake3: Option<String>,
    /// All samples with their verdicts, in order.
    pub judged: Vec<Judged>,
    /// Samples dropped as duplicates by reason: `duplicate/inside_video`, `duplicate/across_run`.
    pub duplicates: std::collections::BTreeMap<String, u64>,
    /// The file of rejected and failed items; none when there were none.
    pub rejects: Option<PathBuf>,
    /// The file of samples left out as duplicates; none when there were none.
    pub dropped: Option<String>,
}

impl ChunkReport {
    /// Samples dropped as duplicates.
    pub fn num_duplicates(&self) -> u64 {
        self.duplicates.values().sum()
    }
}

struct KeptRow {
    at: usize,
    nearest_bits: Option<u32>,
}

/// Writes shard and rejects of one chunk. Chunks must be assembled in order: `duplicates` knows
/// what earlier ones kept. Holds one row group in memory.
///
/// # Errors
/// [`FatalError::Disk`], and [`FatalError::Refused`] for a row whose lineage is broken.
pub fn assemble_chunk(
    job: &ChunkJob<'_>,
    spools: &[SpooledRow],
    duplicates: &mut DuplicateIndex,
) -> Result<ChunkReport, FatalError> {
    let mut spools: Vec<&SpooledRow> = spools.iter().collect();
    spools.sort_by_key(|spool| spool.row);
    let mut report = ChunkReport::default();
    let (mut kept, mut dropped) = (Vec::new(), Vec::new());
    let mut left_out = None;
    for spool in &spools {
        let (rows, lines) = judge_spool(job, spool, duplicates, &mut report, &mut left_out)?;
        kept.push(rows);
        dropped.push(lines);
    }
    match left_out.map(SampleFile::finish).transpose()? {
        Some((name, _)) => report.dropped = Some(name),
        None => remove_stale(&job.spool_dir.join(job.dropped))?,
    }
    report.rows = report
        .judged
        .iter()
        .filter(|sample| sample.is_kept())
        .count() as u64;
    if report.rows > 0 {
        report.blake3 = Some(write_shard(job, &spools, &kept)?);
        report.shard = Some(job.shard.to_path_buf());
    } else {
        remove_stale(job.shard)?;
    }
    let has_rejects = spools.iter().any(|spool| spool.files.rejects.is_some());
    if has_rejects || report.num_duplicates() > 0 {
        let roots = spools.iter().zip(dropped);
        let roots = roots.map(|(spool, dropped)| reject_rows(job, spool, dropped));
        write_rejects(job.rejects, job.columns.scores(), roots)?;
        report.rejects = Some(job.rejects.to_path_buf());
    } else {
        remove_stale(job.rejects)?;
    }
    Ok(report)
}

/// Everything of one manifest row that did not become a sample, in the order of paths.
fn reject_rows(
    job: &ChunkJob<'_>,
    spool: &SpooledRow,
    dropped: Vec<RejectLine>,
) -> Result<Vec<RejectRow>, FatalError> {
    let mut lines = match &spool.files.rejects {
        Some(name) => read_rejects(&job.spool_dir.join(name))?,
        None => Vec::new(),
    };
    lines.extend(dropped);
    sort_rejects(&mut lines);
    let row = |line| RejectRow {
        uri: spool.uri.clone(),
        line,
    };
    Ok(lines.into_iter().map(row).collect())
}

/// An interrupted assembly may have left a file that this one has no rows for.
pub(super) fn remove_stale(path: &Path) -> Result<(), FatalError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FatalError::disk(path, error)),
        _ => Ok(()),
    }
}

fn judge_spool(
    job: &ChunkJob<'_>,
    spool: &SpooledRow,
    duplicates: &mut DuplicateIndex,
    report: &mut ChunkReport,
    left_out: &mut Option<SampleFile>,
) -> Result<(Vec<KeptRow>, Vec<RejectLine>), FatalError> {
    let (mut kept, mut dropped) = (Vec::new(), Vec::new());
    let Some(name) = &spool.files.samples else {
        return Ok((kept, dropped));
    };
    let mut reader = SpoolReader::open(&job.spool_dir.join(name))?;
    for (path, hash, at) in std::mem::take(&mut reader.order) {
        let verdict = duplicates.judge(hash);
        report.judged.push(Judged {
            path: path.clone(),
            hash,
            verdict,
        });
        match verdict {
            DuplicateVerdict::Kept { nearest_bits } => kept.push(KeptRow { at, nearest_bits }),
            DuplicateVerdict::Duplicate {
                distance_bits,
                reason,
            } => {
                let count = report.duplicates.entry(format!("duplicate/{reason}"));
                *count.or_default() += 1;
                let batch = reader.read(at)?;
                if left_out.is_none() {
                    let (folder, name) = (job.spool_dir, job.dropped.to_owned());
                    *left_out = Some(SampleFile::create(folder, name, &batch.schema())?);
                }
                if let Some(file) = left_out {
                    file.add(path.clone(), [hash.from, hash.to], &batch)?;
                }
                dropped.push(duplicate_line(path, reason, distance_bits, &hash, &batch));
            }
        }
    }
    Ok((kept, dropped))
}

fn duplicate_line(
    path: ItemPath,
    reason: &str,
    bits: u32,
    hash: &KeptHash,
    batch: &RecordBatch,
) -> RejectLine {
    RejectLine {
        path,
        outcome: Leave::Rejected,
        stage: "duplicate".to_owned(),
        reason: format!("duplicate/{reason}"),
        score: Some(bits as f32),
        message: String::new(),
        detail: RowRecord::read(batch, 0).duplicate_detail(bits, hash),
    }
}

fn write_shard(
    job: &ChunkJob<'_>,
    spools: &[&SpooledRow],
    kept: &[Vec<KeptRow>],
) -> Result<String, FatalError> {
    let schema = job.columns.shard_schema();
    let mut hash = blake3::Hasher::new();
    let mut refused = None;
    let published = store::publish(job.shard, |out| {
        let mut writer = BoundedWriter::new(&schema, out, &mut hash)?;
        for (spool, rows) in spools.iter().zip(kept) {
            let Some(name) = spool.files.samples.as_ref().filter(|_| !rows.is_empty()) else {
                continue;
            };
            let path = job.spool_dir.join(name);
            let copied = copy_rows(&path, rows, &schema, &mut writer);
            if let Err(error) = copied {
                refused = Some(error);
                return Err(io::Error::other("a row was refused"));
            }
        }
        writer.finish()
    });
    match refused {
        Some(error) => Err(error),
        None => published.map(|()| hash.finalize().to_hex().to_string()),
    }
}

fn copy_rows(
    path: &Path,
    rows: &[KeptRow],
    schema: &SchemaRef,
    writer: &mut BoundedWriter<'_>,
) -> Result<(), FatalError> {
    let mut reader = SpoolReader::open(path)?;
    for kept in rows {
        let batch = reader.read(kept.at)?;
        verify_lineage(&batch, 0)
            .map_err(|what| FatalError::Refused(format!("{}: {what}", path.display())))?;
        let batch = shard_row(&batch, schema, kept.nearest_bits)
            .map_err(|error| FatalError::disk(path, error))?;
        writer
            .write(&batch)
            .map_err(|error| FatalError::disk(path, error))?;
    }
    Ok(())
}

/// A spool row in the shard's schema: dictionaries, and the distance to the nearest sample.
pub(super) fn shard_row(
    batch: &RecordBatch,
    schema: &SchemaRef,
    nearest_bits: Option<u32>,
) -> Result<RecordBatch, arrow_schema::ArrowError> {
    let cells = schema
        .fields()
        .iter()
        .zip(batch.columns())
        .map(|(field, cell)| -> ArrayRef {
            if field.name() == "score_duplicate" {
                return Arc::new(Float32Array::from(vec![nearest_bits.map(|b| b as f32)]));
            }
            match (field.data_type(), cell.as_string_opt::<i32>()) {
                (DataType::Dictionary(_, _), Some(_)) => {
                    let keys = Int32Array::from(vec![0]);
                    match DictionaryArray::<Int32Type>::try_new(keys, Arc::clone(cell)) {
                        Ok(array) => Arc::new(array),
                        Err(_) => Arc::clone(cell),
                    }
                }
                _ => Arc::clone(cell),
            }
        });
    RecordBatch::try_new(Arc::clone(schema), cells.collect())
}

/// A Parquet writer whose bytes leave memory with every row group.
pub(super) struct BoundedWriter<'a> {
    writer: ArrowWriter<Vec<u8>>,
    out: &'a mut dyn Write,
    hash: &'a mut blake3::Hasher,
    group_bytes: usize,
}

impl<'a> BoundedWriter<'a> {
    pub(super) fn new(
        schema: &SchemaRef,
        out: &'a mut dyn Write,
        hash: &'a mut blake3::Hasher,
    ) -> io::Result<Self> {
        let properties = shard_properties().map_err(io::Error::other)?;
        let writer = ArrowWriter::try_new(Vec::new(), Arc::clone(schema), Some(properties))
            .map_err(io::Error::other)?;
        Ok(Self {
            writer,
            out,
            hash,
            group_bytes: 0,
        })
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        self.writer.write(batch).map_err(io::Error::other)?;
        self.group_bytes += batch_bytes(batch);
        if self.group_bytes >= ROW_GROUP_BYTES {
            self.writer.flush().map_err(io::Error::other)?;
            self.group_bytes = 0;
            // The writer counts what it wrote, so emptying its buffer does not move offsets.
            let bytes = std::mem::take(self.writer.inner_mut());
            self.hash.update(&bytes);
            self.out.write_all(&bytes)?;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> io::Result<()> {
        let bytes = self.writer.into_inner().map_err(io::Error::other)?;
        self.hash.update(&bytes);
        self.out.write_all(&bytes)
    }
}

/// Bytes of the values alone: rows of a spool share one larger buffer.
fn batch_bytes(batch: &RecordBatch) -> usize {
    let bytes = |cell: &ArrayRef| cell.to_data().get_slice_memory_size().unwrap_or(0);
    batch.columns().iter().map(bytes).sum()
}

fn shard_properties() -> Result<WriterProperties, ParquetError> {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_created_by(CREATED_BY.to_owned())
        .set_data_page_size_limit(PAGE_BYTES)
        .set_max_row_group_row_count(None)
        .set_statistics_enabled(EnabledStatistics::Chunk);
    for parts in RowColumns::image_bytes_paths() {
        let column = ColumnPath::new(parts);
        properties = properties
            .set_column_compression(column.clone(), Compression::UNCOMPRESSED)
            .set_column_dictionary_enabled(column.clone(), false)
            .set_column_encoding(column.clone(), Encoding::PLAIN)
            .set_column_statistics_enabled(column, EnabledStatistics::None);
    }
    Ok(properties.build())
}

#[cfg(test)]
mod tests;
