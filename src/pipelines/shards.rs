//! Chunks of the manifest: which rows are committed, and their shard once all are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::run_dir::{RunDir, RunInfo};
use crate::core::{ErrorKind, FatalError, Fingerprint, Funnel, Hasher, ManifestEntry, RootCounts};
use crate::engine::{ChunkLine, LEDGER_VERSION, Ledger, LedgerLine};
use crate::io::{
    ChunkJob, DuplicateIndex, KeptHash, RowColumns, SpoolFiles, SpooledRow, assemble_chunk,
};
use crate::store;

/// Kinds of failure that the next run of the same command tries again.
const RETRYABLE: [ErrorKind; 3] = [
    ErrorKind::Timeout,
    ErrorKind::Remote,
    ErrorKind::OutOfMemory,
];

/// A row whose results are durable in the spool.
#[derive(Clone, Debug)]
struct Committed {
    files: SpoolFiles,
    counts: RootCounts,
}

/// The state of all chunks of a run.
pub(super) struct Chunks {
    dir: RunDir,
    pipeline: String,
    columns: RowColumns,
    chunk_rows: u32,
    uris: Vec<String>,
    /// One a chunk; depends on the rows of all chunks before, as duplicates do.
    fingerprints: Vec<Fingerprint>,
    /// Chunks with a finished shard and their lines.
    done: BTreeMap<u32, ChunkLine>,
    /// Committed rows of chunks that are not done.
    committed: BTreeMap<u32, Committed>,
    duplicates: DuplicateIndex,
    next: u32,
}

impl Chunks {
    /// Reads the commit log: what is done for this manifest and fingerprint, and what is not.
    ///
    /// # Errors
    /// When the commit log cannot be read.
    pub(super) fn restore(
        dir: &RunDir,
        pipeline: &str,
        columns: RowColumns,
        chunk_rows: u32,
        max_distance_bits: u32,
        entries: &[ManifestEntry],
        fingerprint: &Fingerprint,
    ) -> Result<Self, FatalError> {
        let keys: Vec<String> = entries.iter().map(root_key).collect();
        let mut before = String::new();
        let fingerprints = keys
            .chunks(chunk_rows as usize)
            .map(|keys| {
                let hash = Hasher::new("chunk")
                    .str(fingerprint.as_str())
                    .str(&before)
                    .json(&keys);
                let made = Fingerprint::from_hash(hash.finish());
                made.as_str().clone_into(&mut before);
                made
            })
            .collect();
        let mut chunks = Self {
            dir: dir.clone(),
            pipeline: pipeline.to_owned(),
            columns,
            chunk_rows,
            uris: entries.iter().map(|entry| entry.uri.clone()).collect(),
            fingerprints,
            done: BTreeMap::new(),
            committed: BTreeMap::new(),
            duplicates: DuplicateIndex::new(Some(max_distance_bits)),
            next: 0,
        };
        chunks.read_done()?;
        chunks.read_committed(&keys, fingerprint)?;
        Ok(chunks)
    }

    fn read_done(&mut self) -> Result<(), FatalError> {
        let mut found = BTreeMap::new();
        let mut has_others = false;
        Ledger::read(&self.dir.ledger(), |line| {
            if let LedgerLine::Chunk(line) = line {
                // Chunks of all settings share their shard's name: only the newest line can hold.
                if self.fingerprints.get(line.chunk as usize) == Some(&line.fp) {
                    found.insert(line.chunk, line);
                } else {
                    has_others = true;
                    found.remove(&line.chunk);
                }
            }
        })?;
        // Chunks are finished in order; one after a gap was made by another manifest.
        for chunk in 0..self.fingerprints.len() as u32 {
            let Some(mut line) = found.remove(&chunk) else {
                break;
            };
            if let Some(name) = &line.shard {
                let path = self.dir.root().join(name);
                // A run of other settings may have died right after it replaced the shard.
                if !path.is_file() || (has_others && hash_of(&path)? != line.blake3) {
                    break;
                }
            }
            self.duplicates
                .restore(line.hashes.iter().filter_map(|text| KeptHash::parse(text)));
            line.hashes = Vec::new();
            self.done.insert(chunk, line);
            self.next = chunk + 1;
        }
        Ok(())
    }

    fn read_committed(
        &mut self,
        keys: &[String],
        fingerprint: &Fingerprint,
    ) -> Result<(), FatalError> {
        let first_open = self.next as usize * self.chunk_rows as usize;
        let rows: BTreeMap<&str, u32> = keys
            .iter()
            .enumerate()
            .skip(first_open)
            .map(|(row, key)| (key.as_str(), row as u32))
            .collect();
        let spool = self.spool_dir();
        let mut committed = BTreeMap::new();
        Ledger::read(&self.dir.ledger(), |line| {
            let LedgerLine::Root(mut line) = line else {
                return;
            };
            let Some(row) = rows.get(line.root.as_str()) else {
                return;
            };
            let files = line.extra.remove("files").unwrap_or_default();
            let Ok(files) = serde_json::from_value::<SpoolFiles>(files) else {
                return;
            };
            let is_there = [&files.samples, &files.rejects]
                .into_iter()
                .flatten()
                .all(|name| spool.join(name).is_file());
            // A failure that may pass is tried again while its chunk is open.
            let may_pass = line.funnel.stages.iter().any(|(_, counts)| {
                RETRYABLE
                    .iter()
                    .any(|kind| counts.failed.contains_key(kind.name()))
            });
            // A row that moved in the manifest would be ordered by its old number.
            if &line.fp == fingerprint && line.row == *row && is_there && !may_pass {
                committed.insert(
                    *row,
                    Committed {
                        files,
                        counts: line.funnel,
                    },
                );
            } else {
                committed.remove(row);
            }
        })?;
        self.committed = committed;
        Ok(())
    }

    /// Folder of spools.
    pub(super) fn spool_dir(&self) -> PathBuf {
        self.dir.spool()
    }

    /// The chunk of a row.
    pub(super) fn chunk_of(&self, row: u32) -> u32 {
        row / self.chunk_rows
    }

    /// Whether a row needs no work.
    pub(super) fn is_committed(&self, row: u32) -> bool {
        self.chunk_of(row) < self.next || self.committed.contains_key(&row)
    }

    /// Rows that need no work.
    pub(super) fn num_committed(&self) -> u64 {
        let in_done = u64::from(self.next) * u64::from(self.chunk_rows);
        in_done.min(self.uris.len() as u64) + self.committed.len() as u64
    }

    /// Number of chunks, and how many are done.
    pub(super) fn num_done(&self) -> (usize, usize) {
        (self.done.len(), self.fingerprints.len())
    }

    /// Records that a row's spool is durable.
    pub(super) fn commit(&mut self, row: u32, files: SpoolFiles, counts: RootCounts) {
        self.committed.insert(row, Committed { files, counts });
    }

    /// Moves shards and reject tables that no finished chunk of this manifest and these settings
    /// owns out of the way, so that the folder never mixes two data sets and none is lost.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn set_strays_aside(&self, before: Option<&RunInfo>) -> Result<(), FatalError> {
        let mut owned = BTreeSet::new();
        for (chunk, line) in &self.done {
            owned.extend(line.shard.iter().map(|name| self.dir.root().join(name)));
            owned.insert(self.dir.reject_table(*chunk));
        }
        let ours = |path: &Path| {
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            let number = name.strip_suffix(".parquet").unwrap_or_default();
            let number = number
                .strip_prefix(&format!("{}-", self.pipeline))
                .unwrap_or(number);
            number.len() >= 5 && number.bytes().all(|byte| byte.is_ascii_digit())
        };
        let name = before.map_or("unknown", |info| &info.fingerprint);
        let aside = self.dir.superseded(name.get(..12).unwrap_or(name));
        for folder in [self.dir.shards(), self.dir.rejects()] {
            for path in store::list(&folder)? {
                let Ok(place) = path.strip_prefix(self.dir.root()) else {
                    continue;
                };
                if ours(&path) && !owned.contains(&path) {
                    tracing::warn!(
                        "{}: of another run, moved to {}",
                        place.display(),
                        aside.display()
                    );
                    store::move_file(&path, &aside.join(place))?;
                }
            }
        }
        Ok(())
    }

    /// Deletes spools that no committed row owns: what a death between two steps left behind.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn remove_orphans(&self) -> Result<(), FatalError> {
        let owned: BTreeSet<&str> = self
            .committed
            .values()
            .flat_map(|done| [&done.files.samples, &done.files.rejects])
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

    /// Makes the shards of all chunks, in order, whose rows are all committed.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn assemble_ready(&mut self, ledger: &mut Ledger) -> Result<(), FatalError> {
        while (self.next as usize) < self.fingerprints.len() {
            let chunk = self.next;
            let first = chunk * self.chunk_rows;
            let last = (first + self.chunk_rows).min(self.uris.len() as u32);
            if !(first..last).all(|row| self.committed.contains_key(&row)) {
                return Ok(());
            }
            let mut rows = Vec::new();
            let mut funnel = Funnel::default();
            for row in first..last {
                if let Some(done) = self.committed.remove(&row) {
                    funnel.merge(&done.counts);
                    let uri = self.uris[row as usize].clone();
                    rows.push(SpooledRow {
                        row,
                        uri,
                        files: done.files,
                    });
                }
            }
            self.assemble(chunk, &rows, funnel, ledger)?;
            self.next += 1;
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
        let shard = self.dir.shard(&self.pipeline, chunk);
        let job = ChunkJob {
            columns: &self.columns,
            spool_dir: &self.dir.spool(),
            shard: &shard,
            rejects: &self.dir.reject_table(chunk),
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
                "chunk {chunk} has {made} samples in its commit log, but {} in its spools; remove \
                 the folder {} and run again",
                found,
                self.dir.spool().display()
            )));
        }
        let mut line = ChunkLine {
            v: LEDGER_VERSION,
            chunk,
            fp: self.fingerprints[chunk as usize].clone(),
            shard: report.shard.as_deref().and_then(|path| {
                let name = path.strip_prefix(self.dir.root()).unwrap_or(path);
                name.to_str().map(str::to_owned)
            }),
            rows: report.rows,
            blake3: report.blake3,
            hashes: report.hashes.iter().map(ToString::to_string).collect(),
            funnel,
            extra: serde_json::Map::new(),
        };
        ledger.append(&LedgerLine::Chunk(line.clone()))?;
        // The index has them; twice would be much for a large run.
        line.hashes = Vec::new();
        self.done.insert(chunk, line);
        for files in rows.iter().map(|row| &row.files) {
            for name in [&files.samples, &files.rejects].into_iter().flatten() {
                store::remove(&self.dir.spool().join(name))?;
            }
        }
        Ok(())
    }

    /// Counts of all finished chunks and of committed rows in open ones.
    pub(super) fn funnel(&self) -> Funnel {
        let mut funnel = Funnel::default();
        for line in self.done.values() {
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
        let done = self.done.values().map(|line| &line.funnel);
        let open = self.committed.values().map(|row| &row.counts);
        for funnel in done.chain(open) {
            funnel.check().map_err(FatalError::Refused)?;
        }
        Ok(())
    }

    /// Finished shards, in order.
    pub(super) fn shard_paths(&self) -> Vec<PathBuf> {
        let names = self.done.values().filter_map(|line| line.shard.as_ref());
        names.map(|name| self.dir.root().join(name)).collect()
    }

    /// Finished reject tables, in order.
    pub(super) fn reject_paths(&self) -> Vec<PathBuf> {
        let paths = self.done.keys().map(|chunk| self.dir.reject_table(*chunk));
        paths.filter(|path| path.is_file()).collect()
    }
}

/// Identity of a manifest row in the commit log: what it says, and the size of a local file, so
/// that another file under the same name is another input.
pub(super) fn root_key(entry: &ManifestEntry) -> String {
    let file = entry
        .local_path
        .as_ref()
        .and_then(|path| std::fs::metadata(path).ok());
    let bytes = file.map_or(-1, |file| file.len() as i64);
    let hash = Hasher::new("root").str(&entry.key()).int(bytes).finish();
    Fingerprint::from_hash(hash).as_str().to_owned()
}

/// BLAKE3 of a file, hexadecimal, as commit lines have it.
fn hash_of(path: &Path) -> Result<Option<String>, FatalError> {
    let mut hasher = blake3::Hasher::new();
    let file = std::fs::File::open(path).map_err(|error| FatalError::disk(path, error))?;
    hasher
        .update_reader(file)
        .map_err(|error| FatalError::disk(path, error))?;
    Ok(Some(hasher.finalize().to_hex().to_string()))
}
