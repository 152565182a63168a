//! Decides again with stored scores: a new data set from an old one, without its videos.

mod decide;
mod ranges;

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use self::decide::{RowIn, Rules};
use super::filter_infos;
use super::finished::{Finished, kept_hashes};
use super::run_dir::{RunDir, RunInfo, SelectedFrom};
use super::runner::{LEDGER_WRITER, ReportOf, config_hash, report, row_columns};
use crate::core::{FatalError, Fingerprint, Funnel, Hasher, ItemPath};
use crate::engine::{ChunkFiles, ChunkLine, LEDGER_VERSION, Ledger, LedgerLine, SamplesLine};
use crate::io::{
    DuplicateIndex, DuplicateVerdict, Judged, KeptHash, KeptRow, RejectReader, RejectRow,
    RowColumns, ShardReader, select_rows, write_reject_table,
};
use crate::store;

/// Rows read at once, without pictures.
const BATCH_ROWS: usize = 64;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct SelectRequest {
    /// Folder of a run, finished or not.
    pub dir: PathBuf,
    /// `--set` assignments.
    pub sets: Vec<String>,
    /// Folder of the new data set.
    pub out: PathBuf,
}

/// What changed from the old data set to the new one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moves {
    /// Rows of the old data set.
    pub rows_before: u64,
    /// Rows that went to the rejects, by `stage/reason`.
    pub rejected: BTreeMap<String, u64>,
    /// Rejected items that the new ranges would keep, by filter or `judge`: what comes after was
    /// never measured, or their pictures are gone.
    pub undecided: BTreeMap<String, u64>,
    /// Duplicates of rows that are rejected now. A run would keep them; their pictures are gone.
    pub freed_duplicates: u64,
}

impl Moves {
    fn add(&mut self, other: &Self) {
        self.rows_before += other.rows_before;
        self.freed_duplicates += other.freed_duplicates;
        for (name, n) in &other.rejected {
            *self.rejected.entry(name.clone()).or_default() += n;
        }
        for (name, n) in &other.undecided {
            *self.undecided.entry(name.clone()).or_default() += n;
        }
    }
}

/// What a selection came to.
#[derive(Clone, Debug, Serialize)]
pub struct Selected {
    /// The new folder.
    pub out: PathBuf,
    /// Rows of the new data set.
    pub rows: u64,
    /// Finished chunks of the old folder, and chunks in all.
    pub chunks: (u32, u32),
    /// What differs from the old config: key path, then the value there and here.
    pub changed: BTreeMap<String, [Option<String>; 2]>,
    /// What became of rows and rejects.
    pub moves: Moves,
    /// The command that makes what cannot be decided here; none when nothing is missing.
    pub run_command: Option<String>,
    /// Counts by stage.
    pub funnel: Funnel,
    /// Shards of the new data set.
    pub shards: Vec<PathBuf>,
}

/// Selects from all finished chunks, one after the other; the same request continues. Holds the
/// rejects of one manifest row and one row group in memory.
///
/// # Errors
/// When something else than a range is to be changed, when the new folder is not free, or when a
/// file cannot be read or written.
pub fn select(request: &SelectRequest) -> Result<Selected, FatalError> {
    let (from, to) = (RunDir::new(&request.dir), RunDir::new(&request.out));
    refuse_same(from.root(), to.root())?;
    let source = Finished::read(&from)?;
    if source.chunks.is_empty() {
        return Err(FatalError::Refused(format!(
            "{}: no chunk is finished yet; continue the run first",
            from.root().display()
        )));
    }
    let (config, changed) = ranges::apply(&source.info, &request.sets)?;
    let filters = filter_infos(&config);
    let new_hash = config_hash(&config);
    let (version, rows_hash) = source.info.origin();
    let selected_from = SelectedFrom {
        fingerprint: source.info.fingerprint.clone(),
        config_hash: rows_hash.to_owned(),
        version: version.to_owned(),
        chunks: source.chunks.len() as u32,
        changed: changed.clone(),
    };
    let hash = Hasher::new("select")
        .str(&source.info.fingerprint)
        .str(&new_hash)
        .str(env!("CARGO_PKG_VERSION"));
    let run = Fingerprint::from_hash(hash.finish());
    let info = RunInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        config_hash: new_hash,
        fingerprint: run.as_str().to_owned(),
        config,
        filters: RunInfo::filters_json(&filters),
        selected_from: Some(selected_from),
        ..source.info.clone()
    };
    let _lock = claim(&to, &info)?;
    let mut selection = Selection {
        rules: Rules::new(&info.config),
        columns: row_columns(&filters),
        duplicates: DuplicateIndex::new(Some(info.config.duplicate.max_distance_bits)),
        from: &from,
        to: &to,
        info: &info,
        run,
        ledger: Ledger::open(&to.ledger(), LEDGER_WRITER)?,
        files: [
            ChunkFiles::list(&from.ledger())?,
            ChunkFiles::list(&to.ledger())?,
        ],
        before: String::new(),
        done: Vec::new(),
    };
    let mut known = Finished::read(&to)?.chunks.into_iter();
    for line in &source.chunks {
        // Duplicates look back: behind the first chunk that is made anew, all are.
        let is_held = known.next().filter(|known| selection.holds(known, line));
        if let Some(known) = is_held {
            selection.keep(known)?;
        } else {
            known = Vec::new().into_iter();
            selection.chunk(line)?;
        }
    }
    let done = selection.done;
    remove_strays(&to, &done)?;
    let chunks = (source.chunks.len() as u32, source.total);
    finish(&to, &info, &done, chunks, changed, from.root())
}

fn refuse_same(from: &Path, to: &Path) -> Result<(), FatalError> {
    let real = |path: &Path| path.canonicalize().ok();
    if real(from).is_some() && real(from) == real(to) {
        return Err(FatalError::Refused(format!(
            "{}: a selection needs a folder of its own; choose another --out",
            to.display()
        )));
    }
    Ok(())
}

/// Takes the new folder: an empty one, or one that holds the beginning of the same selection.
fn claim(to: &RunDir, info: &RunInfo) -> Result<store::RunLock, FatalError> {
    store::create_dir(to.root())?;
    let known = to.info()?;
    let refused = |what: &str| {
        let what = format!("{}: {what}; choose another --out", to.root().display());
        Err(FatalError::Refused(what))
    };
    match &known {
        Some(known) if known.selected_from.is_none() => return refused("holds a run"),
        Some(known) if known.fingerprint != info.fingerprint => {
            return refused("holds a selection from another run or with other ranges");
        }
        Some(_) => {}
        None => {
            let is_lock = |path: &PathBuf| path.file_name().is_some_and(|name| name == ".lock");
            if !store::list(to.root())?.iter().all(is_lock) {
                return refused("is not empty");
            }
        }
    }
    let lock = store::lock_dir(to.root())?;
    if known.as_ref() != Some(info) {
        let text = serde_json::to_vec_pretty(info)
            .map_err(|error| FatalError::disk(to.run_json(), error))?;
        store::publish_bytes(&to.run_json(), &text)?;
    }
    to.prepare()?;
    Ok(lock)
}

/// A selection at work.
struct Selection<'a> {
    rules: Rules,
    columns: RowColumns,
    duplicates: DuplicateIndex,
    from: &'a RunDir,
    to: &'a RunDir,
    info: &'a RunInfo,
    run: Fingerprint,
    ledger: Ledger,
    /// Files of the chunks of the old folder and of the new one.
    files: [ChunkFiles; 2],
    before: String,
    done: Vec<ChunkLine>,
}

impl Selection<'_> {
    fn fingerprint(&self, line: &ChunkLine) -> Fingerprint {
        let hash = Hasher::new("selected_chunk")
            .str(&self.info.fingerprint)
            .str(line.fp.as_str())
            .json(&line.blake3);
        Fingerprint::from_hash(hash.finish())
    }

    /// Whether a chunk of the new folder was made of this one and is still there.
    fn holds(&self, known: &ChunkLine, line: &ChunkLine) -> bool {
        let name = known.shard.as_ref();
        let is_there = name.is_none_or(|name| self.to.root().join(name).is_file());
        known.fp == self.fingerprint(line) && is_there
    }

    fn keep(&mut self, known: ChunkLine) -> Result<(), FatalError> {
        let hashes = kept_hashes(&self.files[1], &known)?;
        self.duplicates.restore(hashes.into_iter().flatten());
        self.before = known.next_before();
        self.done.push(known);
        Ok(())
    }

    fn chunk(&mut self, line: &ChunkLine) -> Result<(), FatalError> {
        let hashes = kept_hashes(&self.files[0], line)?;
        let roots = Roots::open(self.from, line, hashes.unwrap_or_default())?;
        let stages: Vec<&str> = line.funnel.stages.iter().map(|(name, _)| &**name).collect();
        let (mut kept, mut judged): (Vec<KeptRow>, Vec<Judged>) = (Vec::new(), Vec::new());
        let (mut funnel, mut moves) = (Funnel::default(), Moves::default());
        let (rules, duplicates) = (&self.rules, &mut self.duplicates);
        let rejects = roots.map(|root| {
            let (rows, lines) = root?;
            let decided = rules.root(&stages, rows, lines, duplicates)?;
            let rows = decided.kept.iter().zip(decided.hashes);
            judged.extend(rows.map(|(row, hash)| Judged {
                path: ItemPath::root(hash.row),
                hash,
                verdict: DuplicateVerdict::Kept {
                    nearest_bits: row.nearest_bits,
                },
            }));
            kept.extend(decided.kept);
            funnel.merge(&decided.funnel);
            moves.add(&decided.moves);
            Ok(decided.rejects)
        });
        let table = self.to.reject_table(line.chunk);
        write_reject_table(&table, &self.columns, rejects)?;
        funnel.check().map_err(FatalError::Refused)?;
        let shard = self.to.shard(&self.info.pipeline, line.chunk);
        let blake3 = match &line.shard {
            Some(name) => select_rows(&self.from.root().join(name), &kept, &shard)?,
            None => None,
        };
        let mut extra = serde_json::Map::new();
        let moves = serde_json::to_value(&moves).unwrap_or_default();
        extra.insert("moves".to_owned(), moves);
        let name = shard.strip_prefix(self.to.root()).unwrap_or(&shard);
        let samples = SamplesLine {
            v: LEDGER_VERSION,
            chunk: line.chunk,
            first_row: 0,
            roots: Vec::new(),
            judged: judged.iter().map(Judged::to_string).collect(),
        };
        let made = ChunkLine {
            v: LEDGER_VERSION,
            chunk: line.chunk,
            fp: self.fingerprint(line),
            shard: blake3.as_ref().and(name.to_str()).map(str::to_owned),
            rows: kept.len() as u64,
            blake3,
            run: self.run.clone(),
            before: self.before.clone(),
            samples: samples.hash(),
            dropped: None,
            funnel,
            extra,
        };
        self.before = made.next_before();
        self.ledger.append(&LedgerLine::Samples(samples))?;
        self.ledger.append(&LedgerLine::Chunk(made.clone()))?;
        self.done.push(made);
        Ok(())
    }
}

type Rows = Peekable<Box<dyn Iterator<Item = Result<RowIn, FatalError>>>>;
type Lines = Peekable<Box<dyn Iterator<Item = Result<RejectRow, FatalError>>>>;

/// Rows and rejects of a chunk, one manifest row at a time.
struct Roots {
    rows: Rows,
    lines: Lines,
}

impl Roots {
    fn open(dir: &RunDir, line: &ChunkLine, hashes: Vec<KeptHash>) -> Result<Self, FatalError> {
        let rows: Box<dyn Iterator<Item = _>> = match &line.shard {
            Some(name) => Box::new(rows(&dir.root().join(name), line, hashes)?),
            None => Box::new(std::iter::empty()),
        };
        let table = dir.reject_table(line.chunk);
        let is_expected = line.funnel.rejected() + line.funnel.failed() > 0;
        let lines: Box<dyn Iterator<Item = _>> = if is_expected {
            Box::new(RejectReader::open(&table)?)
        } else {
            Box::new(std::iter::empty())
        };
        Ok(Self {
            rows: rows.peekable(),
            lines: lines.peekable(),
        })
    }
}

fn rows(
    shard: &Path,
    line: &ChunkLine,
    hashes: Vec<KeptHash>,
) -> Result<impl Iterator<Item = Result<RowIn, FatalError>> + use<>, FatalError> {
    let reader = ShardReader::open(shard, BATCH_ROWS, false)?;
    if reader.num_rows() != line.rows || hashes.len() as u64 != line.rows {
        return Err(FatalError::disk(
            shard,
            format!(
                "has {} rows, its commit line {}; see `framewright verify`",
                reader.num_rows(),
                line.rows
            ),
        ));
    }
    let path = shard.to_owned();
    let rows = reader.flat_map(|batch| match batch {
        Ok(batch) => (0..batch.len())
            .map(|row| Ok((batch.first + row as u64, batch.record(row))))
            .collect(),
        Err(error) => vec![Err(error)],
    });
    Ok(rows.zip(hashes).map(move |(row, hash)| {
        let (row, record) = row?;
        match record.item_path.clone() {
            Some(item_path) => Ok(RowIn {
                row,
                path: item_path,
                record,
                hash,
            }),
            None => Err(FatalError::disk(
                &path,
                format!(
                    "row {row} was made by version {} without item_path; make the data set again \
                     with `framewright run`",
                    record.pipeline_version
                ),
            )),
        }
    }))
}

impl Iterator for Roots {
    type Item = Result<(Vec<RowIn>, Vec<RejectRow>), FatalError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.rows.peek().map(|row| match row {
            Ok(row) => row.path.row(),
            Err(_) => 0,
        });
        let line = self.lines.peek().map(|line| match line {
            Ok(line) => line.line.path.row(),
            Err(_) => 0,
        });
        let root = row.into_iter().chain(line).min()?;
        let (mut rows, mut lines) = (Vec::new(), Vec::new());
        let mine = |row: &Result<RowIn, _>| row.as_ref().map_or(true, |r| r.path.row() == root);
        while let Some(row) = self.rows.next_if(mine) {
            match row {
                Ok(row) => rows.push(row),
                Err(error) => return Some(Err(error)),
            }
        }
        let mine =
            |row: &Result<RejectRow, _>| row.as_ref().map_or(true, |r| r.line.path.row() == root);
        while let Some(line) = self.lines.next_if(mine) {
            match line {
                Ok(line) => lines.push(line),
                Err(error) => return Some(Err(error)),
            }
        }
        Some(Ok((rows, lines)))
    }
}

/// Deletes shards and tables of chunks that the old folder no longer has.
fn remove_strays(to: &RunDir, done: &[ChunkLine]) -> Result<(), FatalError> {
    let mut owned = std::collections::BTreeSet::new();
    for line in done {
        owned.extend(line.shard.iter().map(|name| to.root().join(name)));
        owned.insert(to.reject_table(line.chunk));
    }
    for folder in [to.shards(), to.rejects()] {
        for path in store::list(&folder)? {
            if !owned.contains(&path) {
                store::remove(&path)?;
            }
        }
    }
    Ok(())
}

fn finish(
    to: &RunDir,
    info: &RunInfo,
    done: &[ChunkLine],
    chunks: (u32, u32),
    changed: BTreeMap<String, [Option<String>; 2]>,
    from: &Path,
) -> Result<Selected, FatalError> {
    let (mut funnel, mut moves) = (Funnel::default(), Moves::default());
    for line in done {
        funnel.merge(&line.funnel);
        let of_chunk = line.extra.get("moves").cloned().unwrap_or_default();
        moves.add(&serde_json::from_value(of_chunk).unwrap_or_default());
    }
    let names = done.iter().filter_map(|line| line.shard.as_ref());
    let shards: Vec<PathBuf> = names.map(|name| to.root().join(name)).collect();
    let tables = done.iter().map(|line| to.reject_table(line.chunk));
    let tables: Vec<PathBuf> = tables.filter(|path| path.is_file()).collect();
    let mut notes = vec![(
        "Selected from".to_owned(),
        info.selected_from.as_ref().map_or(String::new(), |from| {
            from.fingerprint.chars().take(12).collect()
        }),
    )];
    for (key, [before, after]) in &changed {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "open".to_owned());
        let change = format!("{} instead of {}", text(after), text(before));
        notes.push((key.clone(), change));
    }
    report(&ReportOf {
        dir: to,
        pipeline: &info.pipeline,
        models: &info.models,
        filters: &filter_infos(&info.config),
        funnel: &funnel,
        shards: &shards,
        rejects: &tables,
        chunks: (chunks.0 as usize, chunks.1 as usize),
        notes,
    })?;
    let is_missing = !moves.undecided.is_empty() || moves.freed_duplicates > 0;
    let run_command = is_missing.then(|| ranges::run_command(info, from));
    Ok(Selected {
        out: to.root().to_owned(),
        rows: done.iter().map(|line| line.rows).sum(),
        chunks,
        changed,
        moves,
        run_command,
        funnel,
        shards,
    })
}
