//! Chunks of the manifest: which rows are committed, and their shard once all are.

mod aside;
mod restore;
mod salvage;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::run_dir::RunDir;
use crate::core::{FatalError, Fingerprint, Funnel, Hasher, Key, ManifestEntry, RootCounts};
use crate::engine::{ChunkFiles, ChunkLine, LEDGER_VERSION, Ledger, LedgerLine, SamplesLine};
use crate::io::{
    ChunkJob, DuplicateIndex, Judged, RowColumns, SpoolFiles, SpooledRow, assemble_chunk,
};
use crate::store;

/// The first 8 bytes of a root's key, by which a chunk's line of samples knows it.
type ShortKey = u64;

/// A row whose results are durable in the spool.
#[derive(Clone, Debug)]
struct Committed {
    files: SpoolFiles,
    counts: RootCounts,
}

/// What chunks depend on.
pub(super) struct ChunkPlan {
    /// The run's folder.
    pub(super) dir: RunDir,
    /// Name of the product, in the names of shards.
    pub(super) pipeline: String,
    /// The row schema.
    pub(super) columns: RowColumns,
    /// Manifest rows of a chunk.
    pub(super) chunk_rows: u32,
    /// Samples as near as this to an earlier one are left out.
    pub(super) max_distance_bits: u32,
    /// The manifest.
    pub(super) entries: Arc<Vec<ManifestEntry>>,
    /// What a row's results depend on besides its video.
    pub(super) run: Fingerprint,
}

/// The state of all chunks of a run.
pub(super) struct Chunks {
    plan: ChunkPlan,
    /// Identity of each manifest row.
    keys: Arc<Vec<[u8; 32]>>,
    /// Finished chunks from the first on, without a gap.
    done: Vec<ChunkLine>,
    /// Finished chunks whose rows are those of the manifest, but that come after one that is not
    /// finished: they stand if their samples have the same duplicates then.
    waiting: BTreeMap<u32, ChunkLine>,
    /// Finished chunks of the same settings that cannot stand as they are: their rows lie elsewhere
    /// in the manifest, are to be done again, or have other duplicates.
    stale: Vec<ChunkLine>,
    /// Committed rows of chunks that are neither done nor waiting.
    committed: BTreeMap<u32, Committed>,
    duplicates: DuplicateIndex,
    /// Hash over the samples of all `done`.
    before: String,
    /// Lines of chunks that stand though chunks before them changed; not written yet.
    unwritten: Vec<ChunkLine>,
    files: ChunkFiles,
}

impl Chunks {
    /// Folder of spools.
    pub(super) fn spool_dir(&self) -> PathBuf {
        self.plan.dir.spool()
    }

    /// The chunk of a row.
    pub(super) fn chunk_of(&self, row: u32) -> u32 {
        row / self.plan.chunk_rows
    }

    /// Identity of a row in the commit log.
    pub(super) fn key(&self, row: u32) -> String {
        let key = self.keys.get(row as usize).copied().unwrap_or_default();
        Key::from_hash(key).as_str().to_owned()
    }

    /// Rows that need work, with their identity in the commit log.
    pub(super) fn open_roots(&self) -> impl Iterator<Item = (u32, String)> + 'static {
        let open = (0..self.num_rows()).filter(|row| !self.is_committed(*row));
        let open: Vec<u32> = open.collect();
        let keys = Arc::clone(&self.keys);
        open.into_iter().map(move |row| {
            let key = Key::from_hash(keys[row as usize]);
            (row, key.as_str().to_owned())
        })
    }

    /// Whether every chunk has its shard.
    pub(super) fn is_complete(&self) -> bool {
        self.next() == self.num_chunks()
    }

    fn short_key(&self, row: u32) -> ShortKey {
        let key = self.keys.get(row as usize);
        let first = key.and_then(|key| key.first_chunk());
        u64::from_be_bytes(*first.unwrap_or(&[0; 8]))
    }

    fn num_rows(&self) -> u32 {
        self.keys.len() as u32
    }

    fn num_chunks(&self) -> u32 {
        self.num_rows().div_ceil(self.plan.chunk_rows)
    }

    /// The first chunk that is not done.
    fn next(&self) -> u32 {
        self.done.len() as u32
    }

    fn rows_of(&self, chunk: u32) -> std::ops::Range<u32> {
        let first = chunk * self.plan.chunk_rows;
        first..(first + self.plan.chunk_rows).min(self.num_rows())
    }

    /// What a chunk's shard depends on besides the chunks before.
    fn fingerprint_of(&self, chunk: u32) -> Fingerprint {
        let hash = Hasher::new("chunk").str(self.plan.run.as_str());
        let rows = self.rows_of(chunk).map(|row| self.keys[row as usize]);
        Fingerprint::from_hash(rows.fold(hash, |hash, key| hash.bytes(&key)).finish())
    }

    /// Whether a row needs no work.
    pub(super) fn is_committed(&self, row: u32) -> bool {
        let chunk = self.chunk_of(row);
        chunk < self.next()
            || self.waiting.contains_key(&chunk)
            || self.committed.contains_key(&row)
    }

    /// Rows that need no work.
    pub(super) fn num_committed(&self) -> u64 {
        let finished = (0..self.next()).chain(self.waiting.keys().copied());
        let in_finished: u64 = finished.map(|chunk| self.rows_of(chunk).len() as u64).sum();
        in_finished + self.committed.len() as u64
    }

    /// Number of chunks that are done, and of all.
    pub(super) fn num_done(&self) -> (usize, usize) {
        let finished = self.done.len() + self.waiting.len();
        (finished, self.num_chunks() as usize)
    }

    /// Records that a row's spool is durable.
    pub(super) fn commit(&mut self, row: u32, files: SpoolFiles, counts: RootCounts) {
        self.committed.insert(row, Committed { files, counts });
    }

    /// Makes the shards of all chunks, in order, whose rows are all committed.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn assemble_ready(&mut self, ledger: &mut Ledger) -> Result<(), FatalError> {
        for line in std::mem::take(&mut self.unwritten) {
            ledger.append(&LedgerLine::Chunk(line))?;
        }
        while self.next() < self.num_chunks() {
            let chunk = self.next();
            if let Some(line) = self.waiting.remove(&chunk) {
                if self.stands(&line)? {
                    self.adopt(line);
                    for line in std::mem::take(&mut self.unwritten) {
                        ledger.append(&LedgerLine::Chunk(line))?;
                    }
                    continue;
                }
                let rows = self.rows_of(chunk).map(|row| (self.short_key(row), row));
                self.salvage(&line, &rows.collect(), ledger)?;
            }
            if !self
                .rows_of(chunk)
                .all(|row| self.committed.contains_key(&row))
            {
                return Ok(());
            }
            let mut rows = Vec::new();
            let mut funnel = Funnel::default();
            for row in self.rows_of(chunk) {
                if let Some(done) = self.committed.remove(&row) {
                    funnel.merge(&done.counts);
                    let uri = self.plan.entries[row as usize].uri.clone();
                    let files = done.files;
                    rows.push(SpooledRow { row, uri, files });
                }
            }
            self.assemble(chunk, &rows, funnel, ledger)?;
        }
        Ok(())
    }

    fn assemble(
        &mut self,
        chunk: u32,
        rows: &[SpooledRow],
        mut funnel: Funnel,
        ledger: &mut Ledger,
    ) -> Result<(), FatalError> {
        let dir = &self.plan.dir;
        let job = ChunkJob {
            columns: &self.plan.columns,
            spool_dir: &dir.spool(),
            shard: &dir.shard(&self.plan.pipeline, chunk),
            rejects: &dir.reject_table(chunk),
            dropped: &format!("dropped-{chunk:05}.arrow"),
        };
        let report = assemble_chunk(&job, rows, &mut self.duplicates)?;
        let made = funnel.emitted();
        let counts = funnel.stage_mut("duplicate");
        counts.received = made;
        counts.emitted = report.rows;
        counts.passed = report.rows;
        counts.rejected.clone_from(&report.duplicates);
        funnel.check().map_err(FatalError::Refused)?;
        let found = report.rows + report.num_duplicates();
        if found != made {
            return Err(FatalError::Refused(format!(
                "chunk {chunk} has {made} samples in its commit log, but {found} in its spools; \
                 remove the folder {} and run again",
                dir.spool().display()
            )));
        }
        let samples = SamplesLine {
            v: LEDGER_VERSION,
            chunk,
            first_row: self.rows_of(chunk).start,
            roots: self
                .rows_of(chunk)
                .map(|row| format!("{:016x}", self.short_key(row)))
                .collect(),
            judged: report.judged.iter().map(Judged::to_string).collect(),
        };
        let line = ChunkLine {
            v: LEDGER_VERSION,
            chunk,
            fp: self.fingerprint_of(chunk),
            run: self.plan.run.clone(),
            before: self.before.clone(),
            shard: report.shard.as_deref().and_then(|path| {
                let name = path.strip_prefix(dir.root()).unwrap_or(path);
                name.to_str().map(str::to_owned)
            }),
            rows: report.rows,
            blake3: report.blake3,
            samples: samples.hash(),
            dropped: report.dropped,
            funnel,
            extra: serde_json::Map::new(),
        };
        ledger.append(&LedgerLine::Samples(samples))?;
        ledger.append(&LedgerLine::Chunk(line.clone()))?;
        self.push_done(line);
        let spool = self.spool_dir();
        for files in rows.iter().map(|row| &row.files) {
            for name in [&files.samples, &files.rejects].into_iter().flatten() {
                store::remove(&spool.join(name))?;
            }
        }
        Ok(())
    }

    fn push_done(&mut self, line: ChunkLine) {
        self.before = line.next_before();
        self.done.push(line);
    }

    /// Takes a finished chunk as it is, after a chunk before it changed.
    fn adopt(&mut self, mut line: ChunkLine) {
        if line.before != self.before {
            line.before.clone_from(&self.before);
            self.unwritten.push(line.clone());
        }
        self.push_done(line);
    }

    /// Whether a finished chunk's samples have the same duplicates after the chunks that are done
    /// now; if so, they are remembered.
    fn stands(&mut self, line: &ChunkLine) -> Result<bool, FatalError> {
        let samples = self.files.samples(line.chunk, &line.samples)?;
        let judged = samples.and_then(|samples| judged_of(&samples));
        Ok(judged.is_some_and(|judged| self.duplicates.agrees(&judged)))
    }

    /// Counts of all finished chunks and of committed rows in open ones.
    pub(super) fn funnel(&self) -> Funnel {
        let mut funnel = Funnel::default();
        for line in self.done.iter().chain(self.waiting.values()) {
            funnel.merge(&line.funnel);
        }
        for done in self.committed.values() {
            funnel.merge(&done.counts);
        }
        funnel
    }

    /// Checks that no counted item is gone. Chunks and open rows are checked one by one: the rows of
    /// an open chunk have not been compared for duplicates yet.
    ///
    /// # Errors
    /// [`FatalError::Refused`] with stage and numbers.
    pub(super) fn check_counts(&self) -> Result<(), FatalError> {
        let done = self.done.iter().map(|line| &line.funnel);
        let open = self.committed.values().map(|row| &row.counts);
        for funnel in done.chain(open) {
            funnel.check().map_err(FatalError::Refused)?;
        }
        Ok(())
    }

    /// Finished chunks, those that wait for others too.
    fn finished(&self) -> impl Iterator<Item = &ChunkLine> {
        self.done.iter().chain(self.waiting.values())
    }

    /// Finished shards, in order.
    pub(super) fn shard_paths(&self) -> Vec<PathBuf> {
        let names = self.finished().filter_map(|line| line.shard.as_ref());
        names.map(|name| self.plan.dir.root().join(name)).collect()
    }

    /// Finished reject tables, in order.
    pub(super) fn reject_paths(&self) -> Vec<PathBuf> {
        let paths = self
            .finished()
            .map(|line| self.plan.dir.reject_table(line.chunk));
        paths.filter(|path| path.is_file()).collect()
    }
}

fn judged_of(samples: &SamplesLine) -> Option<Vec<Judged>> {
    let judged = samples.judged.iter().map(|text| Judged::parse(text));
    judged.collect()
}

/// Name of a root's spool: runs of other settings must not write to the same.
pub(super) fn spool_key(run: &Fingerprint, root: &str) -> String {
    let name = Hasher::new("spool").str(run.as_str()).str(root);
    Key::from_hash(name.finish()).as_str().to_owned()
}
