//! Results taken back from finished chunks that cannot stand: no video is done again for a change
//! that does not touch it.
//!
//! Chunks are as they are because of their rows: a row that is inserted, removed or done again
//! changes where others lie. What they hold is taken apart into spools, and the chunks are made anew.

use std::collections::{BTreeMap, BTreeSet};

use super::restore::{has_failed, spool_files};
use super::{Chunks, ShortKey, judged_of, spool_key};
use crate::core::{ErrorKind, FatalError, contain};
use crate::engine::{
    ChunkLine, LEDGER_VERSION, Ledger, LedgerLine, ReopenLine, RootLine, SamplesLine,
};
use crate::io::{FinishedChunk, SpoolFiles, Wanted, unspool};
use crate::store;

impl Chunks {
    /// Rows whose results [`Chunks::salvage_stale`] would take back.
    pub(in crate::pipelines) fn num_salvageable(&self) -> Result<u64, FatalError> {
        let open = self.open_rows();
        let mut rows = BTreeSet::new();
        for line in &self.stale {
            let roots = self.newest_roots(line.chunk)?;
            let samples = self.files.samples(line.chunk, &line.samples)?;
            let found = samples.map(|samples| wanted(&samples, &roots, &open));
            rows.extend(found.into_iter().flatten().map(|found| found.row));
        }
        Ok(rows.len() as u64)
    }

    /// Takes back what finished chunks hold of rows that are open now. Only for who holds the
    /// folder's lock.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(in crate::pipelines) fn salvage_stale(
        &mut self,
        ledger: &mut Ledger,
    ) -> Result<(), FatalError> {
        if self.stale.is_empty() {
            return Ok(());
        }
        let open = self.open_rows();
        for line in self.stale.clone() {
            self.salvage(&line, &open, ledger)?;
        }
        Ok(())
    }

    /// Takes back the rows of one finished chunk that are among the `open` ones. A chunk that is
    /// damaged gives none: its rows are done again.
    pub(super) fn salvage(
        &mut self,
        line: &ChunkLine,
        open: &BTreeMap<ShortKey, u32>,
        ledger: &mut Ledger,
    ) -> Result<(), FatalError> {
        let Some(samples) = self.files.samples(line.chunk, &line.samples)? else {
            return Ok(());
        };
        let roots = self.newest_roots(line.chunk)?;
        let found: Vec<Found> = wanted(&samples, &roots, open)
            .into_iter()
            .filter(|found| !self.committed.contains_key(&found.row))
            .collect();
        if found.is_empty() {
            return Ok(());
        }
        let wanted = found.iter().map(|found| {
            let (row, key) = (found.row, spool_key(&self.plan.run, &found.root.root));
            (found.old_row, Wanted { row, key })
        });
        let mut spools = match self.take_apart(line, &samples, &wanted.collect()) {
            Ok(spools) => spools,
            Err(error) if is_of(&error, &self.spool_dir()) => return Err(error),
            Err(error) => {
                let chunk = line.chunk;
                tracing::warn!("chunk {chunk} is damaged, its videos are done again: {error}");
                return Ok(());
            }
        };
        for found in found {
            let Some(files) = spools.remove(&found.old_row) else {
                continue;
            };
            let count = |files: &SpoolFiles| (files.num_samples, files.num_rejects);
            if spool_files(found.root).as_ref().map(count) == Some(count(&files)) {
                self.take_back(found.root, found.row, files, ledger)?;
            } else {
                let uri = &self.plan.entries[found.row as usize].uri;
                tracing::warn!("{uri}: its chunk lacks some of its results; it is done again");
            }
        }
        Ok(())
    }

    fn take_apart(
        &self,
        line: &ChunkLine,
        samples: &SamplesLine,
        wanted: &BTreeMap<u32, Wanted>,
    ) -> Result<BTreeMap<u32, SpoolFiles>, FatalError> {
        let refused = |what: &str| FatalError::Refused(what.to_owned());
        let dir = &self.plan.dir;
        let shard = line.shard.as_ref().map(|name| dir.root().join(name));
        if let Some(shard) = &shard
            && Some(store::hash(shard)?.0) != line.blake3
        {
            return Err(refused("its shard is not the one that was written"));
        }
        let judged = judged_of(samples).ok_or_else(|| refused("its list of samples is damaged"))?;
        let dropped = line
            .dropped
            .as_ref()
            .map(|name| self.spool_dir().join(name));
        let chunk = FinishedChunk {
            columns: &self.plan.columns,
            shard: shard.as_deref(),
            rejects: &dir.reject_table(line.chunk),
            dropped: dropped.as_deref(),
            judged: &judged,
        };
        // Readers of Arrow and Parquet panic at some damaged files.
        contain(|| unspool(&chunk, wanted, &self.spool_dir()))
            .unwrap_or_else(|words| Err(refused(&words)))
    }

    fn take_back(
        &mut self,
        root: &RootLine,
        row: u32,
        files: SpoolFiles,
        ledger: &mut Ledger,
    ) -> Result<(), FatalError> {
        let mut line = root.clone();
        (line.row, line.chunk) = (row, self.chunk_of(row));
        let value = serde_json::to_value(&files).unwrap_or_default();
        line.extra.insert("files".into(), value);
        ledger.append(&LedgerLine::Root(line))?;
        self.commit(row, files, root.funnel.clone());
        Ok(())
    }

    /// Rows that need work.
    fn open_rows(&self) -> BTreeMap<ShortKey, u32> {
        let open = (0..self.num_rows()).filter(|row| !self.is_committed(*row));
        open.map(|row| (self.short_key(row), row)).collect()
    }

    /// Rows with failures of these kinds, of any kind if there are none, and their keys, by chunk.
    ///
    /// # Errors
    /// When the commit log cannot be read.
    pub(in crate::pipelines) fn failed_roots(
        &self,
        kinds: &[ErrorKind],
    ) -> Result<BTreeMap<u32, Vec<(u32, String)>>, FatalError> {
        let mut failed = BTreeMap::new();
        for chunk in 0..self.num_chunks() {
            let line = self.done.get(chunk as usize);
            let line = line.or_else(|| self.waiting.get(&chunk));
            if line.is_some_and(|line| !has_failed(&line.funnel, kinds)) {
                continue;
            }
            let here = self.rows_of(chunk);
            let mut roots: Vec<(u32, String)> = self
                .newest_roots(chunk)?
                .into_values()
                .filter(|root| here.contains(&root.row) && root.root == self.key(root.row))
                .filter(|root| has_failed(&root.funnel, kinds))
                .map(|root| (root.row, root.root))
                .collect();
            roots.sort();
            if !roots.is_empty() {
                failed.insert(chunk, roots);
            }
        }
        Ok(failed)
    }

    /// Marks rows as to be done again; gives their keys. [`Chunks::restore`] then sees them as open.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(in crate::pipelines) fn reopen(
        roots: BTreeMap<u32, Vec<(u32, String)>>,
        ledger: &mut Ledger,
    ) -> Result<Vec<String>, FatalError> {
        let mut reopened = Vec::new();
        for (chunk, roots) in roots {
            let roots: Vec<String> = roots.into_iter().map(|(_, key)| key).collect();
            reopened.extend_from_slice(&roots);
            let v = LEDGER_VERSION;
            ledger.append(&LedgerLine::Reopen(ReopenLine { v, chunk, roots }))?;
        }
        Ok(reopened)
    }

    /// Deletes spools that nothing owns: what a death between two steps left behind.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(in crate::pipelines) fn remove_orphans(&self) -> Result<(), FatalError> {
        let committed = self.committed.values();
        let owned: BTreeSet<&str> = committed
            .flat_map(|done| [&done.files.samples, &done.files.rejects])
            .chain(self.finished().map(|line| &line.dropped))
            .flatten()
            .map(String::as_str)
            .collect();
        for path in store::list(&self.spool_dir())? {
            let name = path.file_name().and_then(|name| name.to_str());
            if path.is_file() && name.is_some_and(|name| !owned.contains(name)) {
                store::remove(&path)?;
            }
        }
        Ok(())
    }
}

/// A row of a finished chunk that is open now.
struct Found<'a> {
    root: &'a RootLine,
    /// Where it was when its chunk was made.
    old_row: u32,
    /// Where it is.
    row: u32,
}

/// Rows of a finished chunk that are open now, in the order of the chunk.
fn wanted<'a>(
    samples: &SamplesLine,
    roots: &'a BTreeMap<String, RootLine>,
    open: &BTreeMap<ShortKey, u32>,
) -> Vec<Found<'a>> {
    let old_rows = samples.first_row..;
    let rows = old_rows.zip(&samples.roots).filter_map(|(old_row, short)| {
        let (_, root) = roots
            .range(short.clone()..)
            .next()
            .filter(|(key, _)| key.starts_with(short.as_str()))?;
        let row = *open.get(&ShortKey::from_str_radix(short, 16).ok()?)?;
        Some(Found { root, old_row, row })
    });
    rows.collect()
}

/// Whether an error is of a file in a folder.
fn is_of(error: &FatalError, folder: &std::path::Path) -> bool {
    matches!(error, FatalError::Disk { path, .. } if path.starts_with(folder))
}
