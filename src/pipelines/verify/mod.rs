//! Checks a data set again: files, rows, accounts and, if asked, the frames of the videos.

mod accounts;
mod frames;
mod row;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::Serialize;

use self::frames::{FrameJob, Sources};
use self::row::{Expected, Light};
use super::finished::{Finished, kept_hashes};
use super::run_dir::RunDir;
use crate::core::FatalError;
use crate::engine::{ChunkFiles, ChunkLine};
use crate::io::{RowBatch, SCHEMA_VERSION, ShardReader};
use crate::store;

/// Rows that go to a thread at once.
const BATCH_ROWS: usize = 4;
/// What helps against a damaged file that a run can make again.
const MAKE_AGAIN: &str = "restore it from a copy, or delete it and continue the run with the \
                          command that made it";

/// What is to be checked.
#[derive(Clone, Debug)]
pub struct VerifyRequest {
    /// A run's folder.
    pub dir: PathBuf,
    /// Share of the rows whose frames are decoded again; none = no video is opened.
    pub frames: Option<f64>,
    /// Manifest to find the videos by; none = the one that the run was given.
    pub manifest: Option<String>,
    /// Whether remote videos are downloaded.
    pub downloads: bool,
    /// Threads; none = one per core.
    pub jobs: Option<usize>,
    /// Faults that are listed; further ones are counted.
    pub max_faults: usize,
}

/// Something that does not hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// File, relative to the run's folder.
    pub file: String,
    /// Row in the file, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<u64>,
    /// Column of the row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// What is wrong.
    pub what: String,
    /// What it should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub got: Option<String>,
    /// What helps.
    pub remedy: String,
}

impl Fault {
    fn of(file: impl Into<String>, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            what: what.into(),
            remedy: remedy.into(),
            ..Self::default()
        }
    }

    fn in_row(self, row: u64, column: &str) -> Self {
        Self {
            row: Some(row),
            column: Some(column.to_owned()),
            ..self
        }
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "callers hand over texts and numbers alike"
    )]
    fn differs(self, expected: impl ToString, got: impl ToString) -> Self {
        Self {
            expected: Some(expected.to_string()),
            got: Some(got.to_string()),
            ..self
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.file)?;
        if let Some(row) = self.row {
            write!(f, " row {row}")?;
        }
        if let Some(column) = &self.column {
            write!(f, " {column}")?;
        }
        write!(f, ": {}", self.what)?;
        if let (Some(expected), Some(got)) = (&self.expected, &self.got) {
            write!(f, ": expected {expected}, got {got}")?;
        }
        write!(f, "; {}", self.remedy)
    }
}

/// A video that could not be looked at again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SkippedSource {
    /// The video as the manifest names it.
    pub uri: String,
    /// Rows that are from it and were to be looked at.
    pub rows: u64,
    /// Why not.
    pub why: String,
}

/// What was looked at and what was found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verified {
    /// Whether nothing is wrong.
    pub is_whole: bool,
    /// Finished chunks, and chunks in all.
    pub chunks: (u32, u32),
    /// Rows looked at.
    pub rows: u64,
    /// Rejected and failed items looked at.
    pub rejects: u64,
    /// Bytes of all shards.
    pub shard_bytes: u64,
    /// Videos opened again.
    pub videos: u64,
    /// Frames decoded again.
    pub frames: u64,
    /// What does not hold; the first ones.
    pub faults: Vec<Fault>,
    /// All that does not hold.
    pub num_faults: u64,
    /// Videos that could not be looked at again.
    pub skipped: Vec<SkippedSource>,
    /// What is no fault, but good to know.
    pub notes: Vec<String>,
    /// Time taken, seconds.
    pub secs: f64,
}

/// Faults in order, up to a number.
struct Faults {
    listed: Vec<Fault>,
    total: u64,
    max: usize,
}

impl Faults {
    fn push(&mut self, fault: Fault) {
        self.total += 1;
        if self.listed.len() < self.max {
            self.listed.push(fault);
        }
    }
    fn extend(&mut self, faults: impl IntoIterator<Item = Fault>) {
        faults.into_iter().for_each(|fault| self.push(fault));
    }
}

/// A sample's id, cut short, and where it is.
type Id = ([u8; 16], u32, u32);

/// Checks a data set. Rows go through in batches; beside them memory holds 24 bytes a row for the
/// ids, and the paths of the rows of one chunk.
///
/// # Errors
/// When the folder holds no run or its commit log cannot be read. What is wrong with the data set
/// is no error but a fault.
pub fn verify(request: &VerifyRequest) -> Result<Verified, FatalError> {
    let start = Instant::now();
    let dir = RunDir::new(&request.dir);
    let Finished {
        info,
        chunks,
        total,
    } = Finished::read(&dir)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = request.jobs.unwrap_or(cores).max(1);
    let expected = Expected::new(&info);
    let sources = request
        .frames
        .map(|_| Sources::open(&info, &dir, request))
        .transpose()?;
    let mut found = Verified {
        chunks: (chunks.len() as u32, total),
        ..Verified::default()
    };
    let mut faults = Faults {
        listed: Vec::new(),
        total: 0,
        max: request.max_faults,
    };
    let mut ids: Vec<Id> = Vec::new();
    let files = ChunkFiles::list(&dir.ledger())?;
    for line in &chunks {
        let hashes = kept_hashes(&files, line)?.map_or(0, |hashes| hashes.len() as u64);
        if hashes != line.rows {
            let what = "perceptual hashes of the chunk's rows";
            faults.push(Fault::of("ledger", what, MAKE_AGAIN).differs(line.rows, hashes));
        }
        let mut paths = Vec::new();
        let mut frame_jobs = Vec::new();
        if let Some(name) = &line.shard {
            let shard = check_shard(&dir, name, line, &expected, request.frames, jobs);
            found.rows += shard.lights.len() as u64;
            found.shard_bytes += shard.bytes;
            faults.extend(shard.faults);
            if let Some(version) = shard.schema_version.filter(|v| *v < SCHEMA_VERSION) {
                found.notes.push(format!(
                    "{name} was written with schema version {version}, without item_path: what \
                     each stage took in was not counted again"
                ));
            }
            for light in shard.lights {
                ids.push((light.short_id, line.chunk, light.row as u32));
                paths.push(light.path);
                frame_jobs.extend(light.frames);
            }
        } else if line.rows > 0 {
            let what = format!("chunk {} has rows but names no shard", line.chunk);
            faults.push(Fault::of("ledger", what, MAKE_AGAIN));
        }
        found.rejects += accounts::check(&dir, line, &paths, &mut faults);
        if let Some(sources) = &sources {
            let looked = sources.check(frame_jobs, jobs);
            found.videos += looked.videos;
            found.frames += looked.frames;
            faults.extend(looked.faults);
            found.skipped.extend(looked.skipped);
        }
    }
    check_ids(&mut ids, &chunks, &mut faults);
    check_folder(&dir, &chunks, total, &mut faults, &mut found)?;
    found.is_whole = faults.total == 0;
    (found.faults, found.num_faults) = (faults.listed, faults.total);
    found.secs = start.elapsed().as_secs_f64();
    Ok(found)
}

/// What is known of a shard after it was read.
#[derive(Default)]
struct ShardFound {
    lights: Vec<Light>,
    bytes: u64,
    schema_version: Option<u32>,
    faults: Vec<Fault>,
}

fn check_shard(
    dir: &RunDir,
    name: &str,
    line: &ChunkLine,
    expected: &Expected,
    frames: Option<f64>,
    jobs: usize,
) -> ShardFound {
    let path = dir.root().join(name);
    let mut found = ShardFound::default();
    let reader = match ShardReader::open(&path, BATCH_ROWS, true) {
        Ok(reader) => Some(reader),
        Err(_) if !path.is_file() => {
            found
                .faults
                .push(Fault::of(name, "the shard is missing", MAKE_AGAIN));
            return found;
        }
        Err(error) => {
            let what = format!("cannot be read: {}", without(&error, &path));
            found.faults.push(Fault::of(name, what, MAKE_AGAIN));
            None
        }
    };
    let stated = reader.as_ref().map(ShardReader::num_rows);
    found.schema_version = reader.as_ref().map(ShardReader::schema_version);
    let (hash, rows) = std::thread::scope(|scope| {
        let hash = scope.spawn(|| store::hash(&path));
        let rows = reader.map(|reader| read_rows(reader, name, expected, frames, jobs));
        (hash.join(), rows)
    });
    match hash {
        Ok(Ok((got, bytes))) => {
            found.bytes = bytes;
            let stated = line.blake3.as_deref().unwrap_or("none");
            if got != stated {
                let fault = Fault::of(name, "BLAKE3 of the file", MAKE_AGAIN);
                found.faults.push(fault.differs(stated, got));
            }
        }
        Ok(Err(error)) => {
            let what = format!("cannot be read: {}", without(&error, &path));
            found.faults.push(Fault::of(name, what, MAKE_AGAIN));
        }
        Err(_) => found
            .faults
            .push(Fault::of(name, "cannot be hashed", MAKE_AGAIN)),
    }
    if let Some((lights, faults)) = rows {
        found.faults.extend(faults);
        found.lights = lights;
    }
    if let Some(rows) = stated.filter(|rows| *rows != line.rows) {
        let fault = Fault::of(name, "number of rows", MAKE_AGAIN);
        found.faults.push(fault.differs(line.rows, rows));
    }
    found
}

/// One thread reads, the others look at rows; results come back in the order of rows.
fn read_rows(
    reader: ShardReader,
    name: &str,
    expected: &Expected,
    frames: Option<f64>,
    jobs: usize,
) -> (Vec<Light>, Vec<Fault>) {
    let (send, receive) = sync_channel::<RowBatch>(jobs * 2);
    let receive = Mutex::new(receive);
    let mut found: Vec<(Light, Vec<Fault>)> = Vec::new();
    let mut faults = Vec::new();
    std::thread::scope(|scope| {
        let look = || {
            let mut found = Vec::new();
            while let Some(batch) = next(&receive) {
                for row in 0..batch.len() {
                    found.push(row::check(&batch, row, name, expected, frames));
                }
            }
            found
        };
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(look)).collect();
        // A damaged file may make the reader panic; that is a fault of the file.
        let feed = scope.spawn(move || -> Result<(), FatalError> {
            for batch in reader {
                if send.send(batch?).is_err() {
                    break;
                }
            }
            Ok(())
        });
        let unreadable = match feed.join() {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("cannot be read to its end: {error}")),
            Err(_) => Some("cannot be read to its end".to_owned()),
        };
        faults.extend(unreadable.map(|what| Fault::of(name, what, MAKE_AGAIN)));
        for worker in workers {
            match worker.join() {
                Ok(rows) => found.extend(rows),
                Err(_) => faults.push(Fault::of(name, "some rows cannot be read", MAKE_AGAIN)),
            }
        }
    });
    found.sort_by_key(|(light, _)| light.row);
    let mut lights = Vec::with_capacity(found.len());
    for (light, of_row) in found {
        lights.push(light);
        faults.extend(of_row);
    }
    (lights, faults)
}

fn next(receive: &Mutex<Receiver<RowBatch>>) -> Option<RowBatch> {
    let receive = receive.lock().unwrap_or_else(PoisonError::into_inner);
    receive.recv().ok()
}

/// An error's words without the path, which the fault names already.
fn without(error: &FatalError, path: &Path) -> String {
    error
        .to_string()
        .replace(&format!("{}: ", path.display()), "")
}

fn check_ids(ids: &mut [Id], chunks: &[ChunkLine], faults: &mut Faults) {
    ids.sort_unstable();
    for pair in ids.windows(2) {
        let (first, second) = (pair[0], pair[1]);
        if first.0 == second.0 {
            let name = |chunk: u32| {
                let line = chunks.get(chunk as usize);
                line.and_then(|line| line.shard.clone()).unwrap_or_default()
            };
            let fault = Fault::of(
                name(second.1),
                format!("the same sample is row {} of {}", first.2, name(first.1)),
                MAKE_AGAIN,
            );
            faults.push(fault.in_row(u64::from(second.2), "sample_id"));
        }
    }
}

/// Files that no chunk owns, what is not finished, and the numbers of the report.
fn check_folder(
    dir: &RunDir,
    chunks: &[ChunkLine],
    total: u32,
    faults: &mut Faults,
    found: &mut Verified,
) -> Result<(), FatalError> {
    let mut owned = BTreeSet::new();
    for line in chunks {
        owned.extend(line.shard.iter().map(|name| dir.root().join(name)));
        owned.insert(dir.reject_table(line.chunk));
    }
    let is_finished = chunks.len() as u32 == total;
    let paths = [dir.shards(), dir.rejects()].map(|folder| store::list(&folder));
    for paths in paths {
        for path in paths? {
            let is_table = path.extension().is_some_and(|end| end == "parquet");
            if is_table && !owned.contains(&path) && is_finished {
                let name = path.strip_prefix(dir.root()).unwrap_or(&path);
                faults.push(Fault::of(
                    name.display().to_string(),
                    "belongs to no finished chunk",
                    "move it out of the folder",
                ));
            }
        }
    }
    if !is_finished {
        found.notes.push(format!(
            "{} of {total} chunks are finished; the rest was not looked at, the command that made \
             the folder continues it",
            chunks.len()
        ));
        return Ok(());
    }
    let Some(bytes) = store::read(&dir.root().join("report.json"))? else {
        found
            .notes
            .push("there is no report.json; the command that made the folder writes it".to_owned());
        return Ok(());
    };
    let report: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let sum = |count: fn(&crate::core::Funnel) -> u64| -> u64 {
        chunks.iter().map(|line| count(&line.funnel)).sum()
    };
    let stated = [
        ("samples", chunks.iter().map(|line| line.rows).sum()),
        ("rejected", sum(crate::core::Funnel::rejected)),
        ("failed", sum(crate::core::Funnel::failed)),
    ];
    for (key, expected) in stated {
        let got = report.get(key).and_then(serde_json::Value::as_u64);
        if got != Some(expected) {
            let remedy = "run the command that made the folder again; it writes the report anew";
            let got = got.map_or("nothing".to_owned(), |got| got.to_string());
            faults.push(Fault::of("report.json", key, remedy).differs(expected, got));
        }
    }
    Ok(())
}

/// Whether a row is one of a share of all rows; the same rows for every call.
fn is_sampled(short_id: &[u8; 16], share: f64) -> bool {
    let mut first = [0; 8];
    first.copy_from_slice(&short_id[..8]);
    (u64::from_be_bytes(first) as f64) < share * 2.0_f64.powi(64)
}

/// What to decode again of a row.
fn frame_job(record: &crate::io::RowRecord, row: u64, file: &str) -> FrameJob {
    FrameJob {
        uri: record.video_uri.clone(),
        video_id: record.video_id.clone(),
        file: file.to_owned(),
        row,
        frames: Vec::new(),
    }
}
