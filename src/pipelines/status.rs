//! What a run's folder says of itself, while the run goes on or later.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::run_dir::RunDir;
use crate::core::{FatalError, Funnel};
use crate::engine::{Ledger, LedgerLine};
use crate::store;

/// The state of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Which product.
    pub pipeline: String,
    /// Version that made it.
    pub version: String,
    /// Videos in the manifest.
    pub videos: u64,
    /// Videos that are finished.
    pub videos_done: u64,
    /// Finished shards.
    pub shards: u64,
    /// Rows in them.
    pub rows: u64,
    /// Whether a process is working on it.
    pub is_running: bool,
    /// Counts over finished videos.
    pub funnel: Funnel,
}

/// Reads a run's state from its commit log; needs neither manifest nor models.
///
/// # Errors
/// When the folder holds no run.
pub fn status(out: &Path) -> Result<Status, FatalError> {
    let dir = RunDir::new(out);
    let Some(info) = dir.info()? else {
        return Err(FatalError::Refused(format!(
            "{}: holds no run",
            out.display()
        )));
    };
    // The newest line of a row or chunk counts: older ones are of other settings.
    let mut chunks = BTreeMap::new();
    let mut rows: BTreeMap<u32, (u32, Funnel)> = BTreeMap::new();
    let chunk_rows = info.config.output.chunk_rows;
    Ledger::read(&dir.ledger(), |line| match line {
        LedgerLine::Root(line) => {
            rows.insert(line.row, (line.chunk, line.funnel));
        }
        LedgerLine::Chunk(line) => {
            rows.retain(|row, _| row / chunk_rows != line.chunk);
            chunks.insert(line.chunk, (line.shard.is_some(), line.rows, line.funnel));
        }
    })?;
    let mut funnel = Funnel::default();
    let (mut shards, mut num_rows, mut done) = (0, 0, rows.len() as u64);
    for (chunk, (has_shard, count, counts)) in &chunks {
        shards += u64::from(*has_shard);
        num_rows += count;
        let first = u64::from(*chunk) * u64::from(chunk_rows);
        done += u64::from(chunk_rows).min(u64::from(info.manifest_rows).saturating_sub(first));
        funnel.merge(counts);
    }
    for (_, counts) in rows.values() {
        funnel.merge(counts);
    }
    Ok(Status {
        pipeline: info.pipeline,
        version: info.version,
        videos: u64::from(info.manifest_rows),
        videos_done: done.min(u64::from(info.manifest_rows)),
        shards,
        rows: num_rows,
        is_running: store::lock_dir(out).is_err(),
        funnel,
    })
}
