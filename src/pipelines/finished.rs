//! The chunks of a folder that are finished, as its commit log says.

use std::collections::BTreeMap;

use super::run_dir::{RunDir, RunInfo};
use crate::core::FatalError;
use crate::engine::{ChunkFiles, ChunkLine, Ledger, LedgerLine};
use crate::io::{Judged, KeptHash};

/// What is finished, and what is not.
pub(super) struct Finished {
    pub(super) info: RunInfo,
    /// Finished chunks, from 0 on without a gap.
    pub(super) chunks: Vec<ChunkLine>,
    /// Chunks of the whole manifest, or of the folder that the rows were selected from.
    pub(super) total: u32,
}

impl Finished {
    /// Reads `run.json` and the commit log; needs neither manifest nor models.
    ///
    /// # Errors
    /// When the folder holds no run, or its files cannot be read.
    pub(super) fn read(dir: &RunDir) -> Result<Self, FatalError> {
        let info = dir.known_info()?;
        let mut found: BTreeMap<u32, ChunkLine> = BTreeMap::new();
        Ledger::read_chunks(&dir.ledger(), |line| match line {
            LedgerLine::Chunk(line) => drop(found.insert(line.chunk, line)),
            LedgerLine::Reopen(line) => drop(found.remove(&line.chunk)),
            LedgerLine::Root(_) | LedgerLine::Samples(_) => {}
        })?;
        found.retain(|_, line| line.run.as_str() == info.fingerprint);
        let total = match &info.selected_from {
            Some(from) => from.chunks,
            None => info
                .manifest_rows
                .div_ceil(info.config.output.chunk_rows.max(1)),
        };
        let mut before = String::new();
        // A chunk behind one that was made anew counts once it was compared with that again.
        let chunks = (0..total).map_while(|chunk| {
            let line = found.remove(&chunk).filter(|line| line.before == before)?;
            before = line.next_before();
            Some(line)
        });
        let chunks = chunks.collect();
        Ok(Self {
            info,
            chunks,
            total,
        })
    }
}

/// Hashes of the rows that a chunk kept, in order; none if they are lost.
///
/// # Errors
/// When the commit log cannot be read.
pub(super) fn kept_hashes(
    files: &ChunkFiles,
    line: &ChunkLine,
) -> Result<Option<Vec<KeptHash>>, FatalError> {
    let Some(samples) = files.samples(line.chunk, &line.samples)? else {
        return Ok(None);
    };
    let judged = samples.judged.iter().map(|text| Judged::parse(text));
    let judged: Option<Vec<Judged>> = judged.collect();
    Ok(judged.map(|judged| {
        let kept = judged.iter().filter(|sample| sample.is_kept());
        kept.map(|sample| sample.hash).collect()
    }))
}
