//! The chunks of a folder that are finished, as its commit log says.

use std::collections::BTreeMap;

use super::run_dir::{RunDir, RunInfo};
use crate::core::FatalError;
use crate::engine::{ChunkLine, Ledger, LedgerLine};

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
        let Some(info) = dir.info()? else {
            return Err(FatalError::Refused(format!(
                "{}: holds no run; give the folder that `framewright run --out` wrote",
                dir.root().display()
            )));
        };
        let mut found: BTreeMap<u32, ChunkLine> = BTreeMap::new();
        Ledger::read(&dir.ledger(), |line| {
            if let LedgerLine::Chunk(line) = line {
                // Duplicates look back: a chunk that was made anew leaves none behind it.
                found.split_off(&line.chunk);
                found.insert(line.chunk, line);
            }
        })?;
        let total = match &info.selected_from {
            Some(from) => from.chunks,
            None => info
                .manifest_rows
                .div_ceil(info.config.output.chunk_rows.max(1)),
        };
        let chunks = (0..total).map_while(|chunk| found.remove(&chunk)).collect();
        Ok(Self {
            info,
            chunks,
            total,
        })
    }
}
