//! What the commit log says is done for this manifest and these settings.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{ChunkPlan, Chunks, Committed, judged_of};
use crate::core::{ErrorKind, FatalError, Funnel, Hasher, ManifestEntry, VideoId};
use crate::engine::{ChunkFiles, ChunkLine, Ledger, LedgerLine, RootLine};
use crate::io::{DuplicateIndex, SpoolFiles};
use crate::store;

/// Threads that ask for the sizes of files: on a network's file system each answer takes a while.
const STAT_THREADS: usize = 16;

impl Chunks {
    /// Reads the commit log; writes nothing. `is_same_run` says that the folder's last run had the
    /// same settings.
    ///
    /// Cost: a line for each chunk, and for each row of chunks that are not finished. With such rows
    /// the hashes of all samples are read, too.
    ///
    /// # Errors
    /// When the commit log cannot be read.
    pub(in crate::pipelines) fn restore(
        plan: ChunkPlan,
        is_same_run: bool,
    ) -> Result<Self, FatalError> {
        let keys = Arc::new(root_keys(&plan.entries));
        let files = ChunkFiles::list(&plan.dir.ledger())?;
        let duplicates = DuplicateIndex::new(Some(plan.max_distance_bits));
        let mut chunks = Self {
            plan,
            keys,
            done: Vec::new(),
            waiting: BTreeMap::new(),
            stale: Vec::new(),
            committed: BTreeMap::new(),
            duplicates,
            before: String::new(),
            unwritten: Vec::new(),
            files,
        };
        chunks.read_finished(is_same_run)?;
        chunks.take_unchanged();
        if chunks.next() < chunks.num_chunks() {
            chunks.remember_samples()?;
            chunks.take_agreeing()?;
            chunks.read_committed()?;
        }
        Ok(chunks)
    }

    /// Sorts the newest line of each chunk by whether its rows are those of the manifest.
    fn read_finished(&mut self, is_same_run: bool) -> Result<(), FatalError> {
        let mut found: BTreeMap<u32, (ChunkLine, bool)> = BTreeMap::new();
        let mut may_be_replaced = !is_same_run;
        let run = self.plan.run.clone();
        Ledger::read_chunks(&self.plan.dir.ledger(), |line| match line {
            LedgerLine::Chunk(line) => {
                may_be_replaced |= line.run != run;
                found.insert(line.chunk, (line, false));
            }
            LedgerLine::Reopen(line) => {
                if let Some((_, is_reopened)) = found.get_mut(&line.chunk) {
                    *is_reopened = true;
                }
            }
            LedgerLine::Root(_) | LedgerLine::Samples(_) => {}
        })?;
        for (chunk, (line, is_reopened)) in found {
            if line.run != run {
                continue;
            }
            if let Some(name) = &line.shard {
                let path = self.plan.dir.root().join(name);
                // A run of other settings may have died right after it replaced the shard.
                if !path.is_file()
                    || (may_be_replaced && Some(store::hash(&path)?.0) != line.blake3)
                {
                    continue;
                }
            }
            let is_here = chunk < self.num_chunks() && line.fp == self.fingerprint_of(chunk);
            if is_here && !is_reopened {
                self.waiting.insert(chunk, line);
            } else {
                self.stale.push(line);
            }
        }
        Ok(())
    }

    /// Takes chunks from the first on that were made after the same chunks before.
    fn take_unchanged(&mut self) {
        while let Some(line) = self.waiting.remove(&self.next()) {
            if line.before != self.before {
                self.waiting.insert(line.chunk, line);
                return;
            }
            self.push_done(line);
        }
    }

    /// Feeds what the finished chunks kept to the index. A chunk whose samples are lost is made
    /// again, and those behind it wait for it.
    fn remember_samples(&mut self) -> Result<(), FatalError> {
        let done = std::mem::take(&mut self.done);
        self.before = String::new();
        let mut is_whole = true;
        for line in done {
            let judged = match self.files.samples(line.chunk, &line.samples)? {
                Some(samples) if is_whole => judged_of(&samples),
                _ => None,
            };
            if let Some(judged) = judged {
                let kept = judged.iter().filter(|sample| sample.is_kept());
                self.duplicates.restore(kept.map(|sample| sample.hash));
                self.push_done(line);
            } else if is_whole {
                is_whole = false;
                tracing::warn!(
                    "chunk {}: its list of samples in the commit log is lost; it is made again",
                    line.chunk
                );
            } else {
                self.waiting.insert(line.chunk, line);
            }
        }
        Ok(())
    }

    /// Takes chunks that come next and whose samples have the same duplicates as before.
    fn take_agreeing(&mut self) -> Result<(), FatalError> {
        while let Some(line) = self.waiting.remove(&self.next()) {
            if !self.stands(&line)? {
                self.stale.push(line);
                return Ok(());
            }
            self.adopt(line);
        }
        Ok(())
    }

    /// Rows of unfinished chunks whose spools are there.
    fn read_committed(&mut self) -> Result<(), FatalError> {
        let open = (self.next()..self.num_chunks()).filter(|c| !self.waiting.contains_key(c));
        let mut committed = BTreeMap::new();
        for chunk in open {
            let rows = self.rows_of(chunk);
            for line in self.newest_roots(chunk)?.into_values() {
                let row = line.row;
                let is_here = rows.contains(&row) && line.root == self.key(row);
                // A failure that may pass is tried again while its chunk is open.
                let mut retryable = ErrorKind::ALL
                    .into_iter()
                    .filter(|kind| kind.is_retryable());
                let may_pass = retryable.any(|kind| has_failed(&line.funnel, &[kind]));
                let files = spool_files(&line).filter(|files| self.has(files));
                if let Some(files) = files.filter(|_| is_here && !may_pass) {
                    let counts = line.funnel;
                    committed.insert(row, Committed { files, counts });
                }
            }
        }
        self.committed = committed;
        Ok(())
    }

    fn has(&self, files: &SpoolFiles) -> bool {
        let spool = self.spool_dir();
        let mut names = [&files.samples, &files.rejects].into_iter().flatten();
        names.all(|name| spool.join(name).is_file())
    }

    /// Chunks with rows that need work, and how many.
    pub(in crate::pipelines) fn open_chunks(&self) -> Vec<(u32, u64)> {
        let open = (self.next()..self.num_chunks()).map(|chunk| {
            let rows = self.rows_of(chunk).filter(|row| !self.is_committed(*row));
            (chunk, rows.count() as u64)
        });
        open.filter(|(_, rows)| *rows > 0).collect()
    }

    /// Videos of open rows of a chunk that any earlier run has read.
    pub(in crate::pipelines) fn known_videos(
        &self,
        chunk: u32,
    ) -> Result<Vec<VideoId>, FatalError> {
        let mut known = BTreeMap::new();
        self.files.roots(chunk, |line| {
            if let LedgerLine::Root(line) = line
                && let Some(video) = line.video_id
            {
                known.insert(line.root, video);
            }
        })?;
        let rows = self.rows_of(chunk).filter(|row| !self.is_committed(*row));
        Ok(rows
            .filter_map(|row| known.remove(&self.key(row)))
            .collect())
    }

    /// The newest line of each root in a chunk's files that was made with these settings and is not
    /// to be done again, by key.
    pub(super) fn newest_roots(
        &self,
        chunk: u32,
    ) -> Result<BTreeMap<String, RootLine>, FatalError> {
        let mut roots: BTreeMap<String, RootLine> = BTreeMap::new();
        self.files.roots(chunk, |line| match line {
            LedgerLine::Root(line) => {
                roots.insert(line.root.clone(), line);
            }
            LedgerLine::Reopen(line) => {
                for root in line.roots {
                    roots.remove(&root);
                }
            }
            LedgerLine::Chunk(_) | LedgerLine::Samples(_) => {}
        })?;
        roots.retain(|_, line| line.fp == self.plan.run);
        Ok(roots)
    }
}

/// Whether something failed with one of these kinds, or at all if there are none.
pub(super) fn has_failed(funnel: &Funnel, kinds: &[ErrorKind]) -> bool {
    let mut failed = funnel
        .stages
        .iter()
        .flat_map(|(_, counts)| counts.failed.keys());
    failed.any(|name| kinds.is_empty() || kinds.iter().any(|kind| kind.name() == name))
}

/// The spool of a committed root.
pub(super) fn spool_files(line: &RootLine) -> Option<SpoolFiles> {
    let files = line.extra.get("files")?;
    serde_json::from_value(files.clone()).ok()
}

/// Identities of manifest rows in the commit log.
fn root_keys(entries: &[ManifestEntry]) -> Vec<[u8; 32]> {
    let mut keys = vec![[0; 32]; entries.len()];
    let part = entries.len().div_ceil(STAT_THREADS).max(1);
    std::thread::scope(|scope| {
        for (keys, entries) in keys.chunks_mut(part).zip(entries.chunks(part)) {
            scope.spawn(move || {
                for (key, entry) in keys.iter_mut().zip(entries) {
                    *key = root_key(entry);
                }
            });
        }
    });
    keys
}

/// Identity of a manifest row: what it says, and the size of a local file, so that another file
/// under the same name is another input.
fn root_key(entry: &ManifestEntry) -> [u8; 32] {
    let file = entry
        .local_path()
        .and_then(|path| std::fs::metadata(path).ok());
    let bytes = file.map_or(-1, |file| file.len() as i64);
    Hasher::new("root").str(&entry.key()).int(bytes).finish()
}
