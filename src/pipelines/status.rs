//! What a run's folder says of itself, while the run goes on or later.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::run_dir::RunDir;
use crate::core::{FatalError, Funnel};
use crate::engine::{ChunkFiles, Ledger, LedgerLine};
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
    let info = dir.known_info()?;
    // The newest line of a row or chunk counts: older ones are of other settings.
    let mut chunks = BTreeMap::new();
    Ledger::read_chunks(&dir.ledger(), |line| match line {
        LedgerLine::Chunk(line) if line.run.as_str() == info.fingerprint => {
            chunks.insert(line.chunk, (line.shard.is_some(), line.rows, line.funnel));
        }
        LedgerLine::Chunk(line) => drop(chunks.remove(&line.chunk)),
        LedgerLine::Reopen(line) => drop(chunks.remove(&line.chunk)),
        LedgerLine::Root(_) | LedgerLine::Samples(_) => {}
    })?;
    let chunk_rows = u64::from(info.config.output.chunk_rows);
    let manifest_rows = u64::from(info.manifest_rows);
    let mut funnel = Funnel::default();
    let (mut shards, mut num_rows, mut done) = (0, 0, 0);
    for (chunk, (has_shard, count, counts)) in &chunks {
        shards += u64::from(*has_shard);
        num_rows += count;
        let first = u64::from(*chunk) * chunk_rows;
        done += chunk_rows.min(manifest_rows.saturating_sub(first));
        funnel.merge(counts);
    }
    let files = ChunkFiles::list(&dir.ledger())?;
    for chunk in files.chunks().filter(|chunk| !chunks.contains_key(chunk)) {
        let mut rows = BTreeMap::new();
        files.roots(chunk, |line| match line {
            LedgerLine::Root(line) if line.fp.as_str() == info.fingerprint => {
                rows.insert(line.row, (line.root, line.funnel));
            }
            LedgerLine::Reopen(line) => rows.retain(|_, (root, _)| !line.roots.contains(root)),
            _ => {}
        })?;
        done += rows.len() as u64;
        for (_, counts) in rows.values() {
            funnel.merge(counts);
        }
    }
    Ok(Status {
        pipeline: info.pipeline,
        version: info.version,
        videos: manifest_rows,
        videos_done: done.min(manifest_rows),
        shards,
        rows: num_rows,
        is_running: store::lock_dir(out).is_err(),
        funnel,
    })
}
