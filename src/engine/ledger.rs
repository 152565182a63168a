//! The commit log of a run: append-only JSON lines, readers take the union of all writers.
//!
//! `<writer>.jsonl` has a line for each finished chunk, `<writer>.rows-<chunk>.jsonl` one for each
//! root of a chunk, `<writer>.samples-<chunk>.jsonl` what its samples were compared by. A finished
//! chunk answers for its roots, so a run that goes on reads the lines of the chunks and of the few
//! roots whose chunk is open, not one for each video of the corpus.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::core::{FatalError, Fingerprint, Funnel, Hasher, Key, VideoId};
use crate::store::{self, Appender};

/// Version of the lines; readers ignore lines of another one.
pub const LEDGER_VERSION: u32 = 2;
/// Between a line's content and its checksum.
const CRC_FIELD: &[u8] = b",\"crc\":";
/// Digits of the largest checksum.
const CRC_MAX_DIGITS: usize = 10;
/// Files of roots that are held open; roots of other chunks open theirs again.
const MAX_OPEN_FILES: usize = 16;

/// A root is done and what came of it is durable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RootLine {
    /// [`LEDGER_VERSION`].
    pub v: u32,
    /// Key of the root.
    pub root: String,
    /// Its row in the manifest.
    pub row: u32,
    /// The chunk it belongs to.
    pub chunk: u32,
    /// What the result depends on besides the video.
    pub fp: Fingerprint,
    /// The video, if it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub video_id: Option<VideoId>,
    /// Counts by stage.
    pub funnel: Funnel,
    /// What the pipeline wants to remember besides.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub extra: serde_json::Map<String, serde_json::Value>,
}

/// A chunk is done and its shard is published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChunkLine {
    /// [`LEDGER_VERSION`].
    pub v: u32,
    /// Its number.
    pub chunk: u32,
    /// What the result depends on besides the videos and the chunks before.
    pub fp: Fingerprint,
    /// The fingerprint of its roots.
    pub run: Fingerprint,
    /// What the chunks before had kept, as a hash: duplicates of that were left out.
    pub before: String,
    /// The shard, relative to the run's folder; none if the chunk has no samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
    /// Samples in the shard.
    pub rows: u64,
    /// BLAKE3 of the shard's bytes, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blake3: Option<String>,
    /// Hash of its [`SamplesLine`].
    pub samples: String,
    /// Samples left out as duplicates, in the folder of spools; none if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<String>,
    /// Counts by stage, with those of steps that see whole chunks.
    pub funnel: Funnel,
    /// What the pipeline wants to remember besides.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub extra: serde_json::Map<String, serde_json::Value>,
}

impl ChunkLine {
    /// What the line of the next chunk says in `before`.
    pub fn next_before(&self) -> String {
        let hash = Hasher::new("before").str(&self.before).str(&self.samples);
        Key::from_hash(hash.finish()).as_str().to_owned()
    }
}

/// What a chunk was made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SamplesLine {
    /// [`LEDGER_VERSION`].
    pub v: u32,
    /// The chunk.
    pub chunk: u32,
    /// Its first row in the manifest.
    pub first_row: u32,
    /// The first digits of the key of each of its roots, in order.
    pub roots: Vec<String>,
    /// A text for each sample, with what became of it, in order.
    pub judged: Vec<String>,
}

impl SamplesLine {
    /// What [`ChunkLine::samples`] says of it.
    pub fn hash(&self) -> String {
        let hash = Hasher::new("samples").json(&self.judged).json(&self.roots);
        let hash = hash.int(i64::from(self.first_row)).finish();
        Key::from_hash(hash).as_str().to_owned()
    }
}

/// Roots that were done are to be done again, and so is what was made of their chunk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReopenLine {
    /// [`LEDGER_VERSION`].
    pub v: u32,
    /// The chunk they belong to.
    pub chunk: u32,
    /// Their keys.
    pub roots: Vec<String>,
}

/// One line of a ledger.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum LedgerLine {
    /// A root is done.
    Root(RootLine),
    /// A chunk is done.
    Chunk(ChunkLine),
    /// Roots are to be done again.
    Reopen(ReopenLine),
    /// What a chunk was made of.
    Samples(SamplesLine),
}

/// The writing end: the files of this process.
#[derive(Debug)]
pub struct Ledger {
    folder: PathBuf,
    writer: String,
    chunks: Appender,
    rows: BTreeMap<u32, Appender>,
}

impl Ledger {
    /// Opens the files of a writer for appending. Its name must be this process's alone.
    ///
    /// # Errors
    /// [`FatalError::Disk`] with the path.
    pub fn open(folder: &Path, writer: &str) -> Result<Self, FatalError> {
        let chunks = Appender::open_lines(&folder.join(format!("{writer}.jsonl")))?;
        Ok(Self {
            folder: folder.to_owned(),
            writer: writer.to_owned(),
            chunks,
            rows: BTreeMap::new(),
        })
    }

    /// Adds a line; it is durable when this returns.
    ///
    /// # Errors
    /// [`FatalError::Disk`] with the path.
    pub fn append(&mut self, line: &LedgerLine) -> Result<(), FatalError> {
        match line {
            LedgerLine::Root(root) => append(self.rows_of(root.chunk)?, line),
            LedgerLine::Chunk(chunk) => {
                self.rows.remove(&chunk.chunk);
                append(&mut self.chunks, line)
            }
            // The roots' own file first: only together with the chunk's line it counts.
            LedgerLine::Reopen(reopen) => {
                append(self.rows_of(reopen.chunk)?, line)?;
                append(&mut self.chunks, line)
            }
            LedgerLine::Samples(samples) => {
                let name = format!("{}{SAMPLES}{:05}.jsonl", self.writer, samples.chunk);
                append(&mut Appender::open_lines(&self.folder.join(name))?, line)
            }
        }
    }

    fn rows_of(&mut self, chunk: u32) -> Result<&mut Appender, FatalError> {
        if !self.rows.contains_key(&chunk) && self.rows.len() >= MAX_OPEN_FILES {
            self.rows.pop_first();
        }
        match self.rows.entry(chunk) {
            std::collections::btree_map::Entry::Occupied(open) => Ok(open.into_mut()),
            std::collections::btree_map::Entry::Vacant(free) => {
                let name = format!("{}{ROWS}{chunk:05}.jsonl", self.writer);
                Ok(free.insert(Appender::open_lines(&self.folder.join(name))?))
            }
        }
    }

    /// Gives the lines of chunks of all writers to `each`: files in name order, lines as written.
    /// Torn and damaged lines are left out; returns how many. A missing folder is empty.
    ///
    /// # Errors
    /// [`FatalError::Disk`] with the file that cannot be read.
    pub fn read_chunks(folder: &Path, mut each: impl FnMut(LedgerLine)) -> Result<u64, FatalError> {
        let mut ignored = 0;
        for path in store::list(folder)? {
            let name = path.file_name().and_then(|name| name.to_str());
            let is_of_chunks = |name: &str| {
                let stem = name.strip_suffix(".jsonl");
                stem.is_some_and(|stem| !stem.contains(ROWS) && !stem.contains(SAMPLES))
            };
            if name.is_some_and(is_of_chunks) {
                ignored += read_file(&path, &mut each)?;
            }
        }
        Ok(ignored)
    }
}

/// The files of single chunks.
#[derive(Clone, Debug, Default)]
pub struct ChunkFiles {
    rows: BTreeMap<u32, Vec<PathBuf>>,
    samples: BTreeMap<u32, Vec<PathBuf>>,
}

impl ChunkFiles {
    /// Lists the files of all writers. A missing folder is empty.
    ///
    /// # Errors
    /// [`FatalError::Disk`] with the folder.
    pub fn list(folder: &Path) -> Result<Self, FatalError> {
        let mut files = Self::default();
        for path in store::list(folder)? {
            let name = path.file_name().and_then(|name| name.to_str());
            let Some(stem) = name.and_then(|name| name.strip_suffix(".jsonl")) else {
                continue;
            };
            let number = |mark| stem.rsplit_once(mark)?.1.parse::<u32>().ok();
            if let Some(chunk) = number(ROWS) {
                files.rows.entry(chunk).or_default().push(path);
            } else if let Some(chunk) = number(SAMPLES) {
                files.samples.entry(chunk).or_default().push(path);
            }
        }
        Ok(files)
    }

    /// The chunks of which roots are known.
    pub fn chunks(&self) -> impl Iterator<Item = u32> {
        self.rows.keys().copied()
    }

    /// Gives the lines of the roots of a chunk to `each`, as [`Ledger::read_chunks`] does.
    ///
    /// # Errors
    /// [`FatalError::Disk`] with the file that cannot be read.
    pub fn roots(&self, chunk: u32, mut each: impl FnMut(LedgerLine)) -> Result<u64, FatalError> {
        let mut ignored = 0;
        for path in self.rows.get(&chunk).into_iter().flatten() {
            ignored += read_file(path, &mut each)?;
        }
        Ok(ignored)
    }

    /// The samples of a chunk that its line names by their hash; none if they are lost.
    ///
    /// # Errors
    /// [`FatalError::Disk`] with the file that cannot be read.
    pub fn samples(&self, chunk: u32, hash: &str) -> Result<Option<SamplesLine>, FatalError> {
        let mut found = None;
        for path in self.samples.get(&chunk).into_iter().flatten() {
            read_file(path, &mut |line| {
                if let LedgerLine::Samples(line) = line
                    && line.hash() == hash
                {
                    found = Some(line);
                }
            })?;
        }
        Ok(found)
    }
}

/// In the name of a file of roots.
const ROWS: &str = ".rows-";
/// In the name of a file of samples.
const SAMPLES: &str = ".samples-";

fn append(file: &mut Appender, line: &LedgerLine) -> Result<(), FatalError> {
    let text = sealed(line).map_err(|e| FatalError::disk(file.path(), e))?;
    file.append(&text)
}

/// A line of JSON with its checksum as the last field.
fn sealed(line: &LedgerLine) -> serde_json::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(line)?;
    let crc = crc32fast::hash(&text);
    text.pop();
    text.extend_from_slice(CRC_FIELD);
    text.extend_from_slice(crc.to_string().as_bytes());
    text.extend_from_slice(b"}\n");
    Ok(text)
}

fn read_file(path: &Path, each: &mut impl FnMut(LedgerLine)) -> Result<u64, FatalError> {
    let disk = |e: std::io::Error| FatalError::disk(path, e);
    let mut file = BufReader::with_capacity(1 << 20, File::open(path).map_err(disk)?);
    let mut line = Vec::new();
    let (mut number, mut ignored, mut damaged) = (0_u64, 0_u64, None);
    loop {
        line.clear();
        if file.read_until(b'\n', &mut line).map_err(disk)? == 0 {
            break;
        }
        number += 1;
        let is_whole = line.last() == Some(&b'\n');
        match unsealed(&mut line) {
            Some(read) => each(read),
            None if line.trim_ascii().is_empty() => {}
            None => {
                ignored += 1;
                if is_whole {
                    damaged.get_or_insert(number);
                }
            }
        }
    }
    if let Some(first) = damaged {
        tracing::warn!(
            "{}:{first}: {ignored} damaged lines are ignored; their videos are processed again",
            path.display()
        );
    }
    Ok(ignored)
}

/// The content of a line if its checksum holds and its version is known. Made for speed: a resumed
/// run reads a line per video of the whole corpus.
fn unsealed(line: &mut [u8]) -> Option<LedgerLine> {
    let whole = line.trim_ascii_end().len();
    let tail = whole.saturating_sub(CRC_FIELD.len() + CRC_MAX_DIGITS + 1);
    let at = tail
        + line
            .get(tail..whole)?
            .windows(CRC_FIELD.len())
            .rposition(|window| window == CRC_FIELD)?;
    let digits = line.get(at + CRC_FIELD.len()..whole)?.strip_suffix(b"}")?;
    let crc: u32 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    *line.get_mut(at)? = b'}';
    let content = line.get(..=at)?;
    if crc32fast::hash(content) != crc {
        return None;
    }
    // The tag is always written first.
    if content.starts_with(b"{\"kind\":\"root\"") {
        let read: RootLine = serde_json::from_slice(content).ok()?;
        (read.v == LEDGER_VERSION).then_some(LedgerLine::Root(read))
    } else if content.starts_with(b"{\"kind\":\"chunk\"") {
        let read: ChunkLine = serde_json::from_slice(content).ok()?;
        (read.v == LEDGER_VERSION).then_some(LedgerLine::Chunk(read))
    } else if content.starts_with(b"{\"kind\":\"reopen\"") {
        let read: ReopenLine = serde_json::from_slice(content).ok()?;
        (read.v == LEDGER_VERSION).then_some(LedgerLine::Reopen(read))
    } else if content.starts_with(b"{\"kind\":\"samples\"") {
        let read: SamplesLine = serde_json::from_slice(content).ok()?;
        (read.v == LEDGER_VERSION).then_some(LedgerLine::Samples(read))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(row: u32) -> LedgerLine {
        let mut funnel = Funnel::default();
        for stage in [
            "ingest",
            "split",
            "screen_scene",
            "propose",
            "screen_pair",
            "write",
        ] {
            let counts = funnel.stage_mut(stage);
            counts.received = 7;
            counts.rejected.insert(format!("{stage}/motion"), 3);
        }
        LedgerLine::Root(RootLine {
            v: LEDGER_VERSION,
            root: format!("key{row}"),
            row,
            chunk: row / 256,
            fp: Fingerprint::from_hash([1; 32]),
            video_id: Some(VideoId::from_hash([2; 32])),
            funnel,
            extra: serde_json::Map::new(),
        })
    }

    fn rows(folder: &Path) -> (Vec<u32>, u64) {
        let mut rows = Vec::new();
        let files = ChunkFiles::list(folder).unwrap();
        let mut ignored = 0;
        for chunk in files.chunks() {
            let read = files.roots(chunk, |line| match line {
                LedgerLine::Root(line) => rows.push(line.row),
                LedgerLine::Reopen(_) => rows.clear(),
                LedgerLine::Chunk(_) | LedgerLine::Samples(_) => {}
            });
            ignored += read.unwrap();
        }
        (rows, ignored)
    }

    fn chunks(folder: &Path) -> Vec<LedgerLine> {
        let mut lines = Vec::new();
        Ledger::read_chunks(folder, |line| lines.push(line)).unwrap();
        lines
    }

    fn chunk(number: u32) -> LedgerLine {
        LedgerLine::Chunk(ChunkLine {
            v: LEDGER_VERSION,
            chunk: number,
            fp: Fingerprint::from_hash([1; 32]),
            run: Fingerprint::from_hash([2; 32]),
            before: "00".into(),
            shard: None,
            rows: 0,
            blake3: None,
            samples: "ff".into(),
            dropped: None,
            funnel: Funnel::default(),
            extra: serde_json::Map::new(),
        })
    }

    fn append_raw(path: &Path, bytes: &[u8]) {
        Appender::open(path).unwrap().append(bytes).unwrap();
    }

    #[test]
    fn lines_of_all_writers_are_read_back_chunks_apart_from_roots() {
        let folder = tempfile::tempdir().unwrap();
        let mut b = Ledger::open(folder.path(), "b").unwrap();
        b.append(&root(1)).unwrap();
        b.append(&chunk(0)).unwrap();
        let mut a = Ledger::open(folder.path(), "a").unwrap();
        a.append(&root(0)).unwrap();
        a.append(&root(700)).unwrap();
        a.append(&chunk(3)).unwrap();
        assert_eq!(chunks(folder.path()), [chunk(3), chunk(0)]);
        assert_eq!(rows(folder.path()), (vec![0, 1, 700], 0));
        let files = ChunkFiles::list(folder.path()).unwrap();
        assert_eq!(files.chunks().collect::<Vec<_>>(), [0, 2]);
    }

    #[test]
    fn samples_are_found_by_the_hash_that_the_chunk_names() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(folder.path(), "a").unwrap();
        let [old, new] = ["old", "new"].map(|text| SamplesLine {
            v: LEDGER_VERSION,
            chunk: 7,
            first_row: 700,
            roots: vec!["abc".into()],
            judged: vec![text.into()],
        });
        ledger.append(&LedgerLine::Samples(old.clone())).unwrap();
        ledger.append(&LedgerLine::Samples(new)).unwrap();
        let files = ChunkFiles::list(folder.path()).unwrap();
        assert_eq!(files.samples(7, &old.hash()).unwrap(), Some(old));
        assert_eq!(files.samples(7, "other").unwrap(), None);
        assert!(chunks(folder.path()).is_empty());
    }

    #[test]
    fn roots_of_many_chunks_need_few_open_files() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(folder.path(), "a").unwrap();
        for number in (0..60).chain(0..60) {
            ledger.append(&root(number * 256)).unwrap();
        }
        assert!(ledger.rows.len() <= MAX_OPEN_FILES);
        assert_eq!(rows(folder.path()).0.len(), 120);
    }

    #[test]
    fn what_is_reopened_is_said_in_both_files() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(folder.path(), "a").unwrap();
        ledger.append(&root(0)).unwrap();
        ledger.append(&chunk(0)).unwrap();
        let reopen = LedgerLine::Reopen(ReopenLine {
            v: LEDGER_VERSION,
            chunk: 0,
            roots: vec!["key0".into()],
        });
        ledger.append(&reopen).unwrap();
        assert_eq!(chunks(folder.path()), [chunk(0), reopen]);
        assert_eq!(rows(folder.path()), (vec![], 0));
    }

    #[test]
    fn a_torn_line_is_ignored_and_not_glued_to_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.rows-00000.jsonl");
        Ledger::open(folder.path(), "a")
            .unwrap()
            .append(&root(0))
            .unwrap();
        let line = sealed(&root(1)).unwrap();
        append_raw(&path, &line[..line.len() / 2]);
        assert_eq!(rows(folder.path()), (vec![0], 1));
        Ledger::open(folder.path(), "a")
            .unwrap()
            .append(&root(2))
            .unwrap();
        assert_eq!(rows(folder.path()), (vec![0, 2], 1));
    }

    #[test]
    fn a_flipped_digit_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.rows-00000.jsonl");
        let text = String::from_utf8(sealed(&root(41)).unwrap()).unwrap();
        append_raw(&path, text.replace("\"row\":41", "\"row\":42").as_bytes());
        append_raw(&path, &sealed(&root(7)).unwrap());
        assert_eq!(rows(folder.path()), (vec![7], 1));
    }

    mod prop {
        use proptest::prelude::*;

        use super::*;
        use crate::core::testing::damaged;

        fn lines() -> Vec<u8> {
            [0, 1, 2].map(|row| sealed(&root(row)).unwrap()).concat()
        }

        /// A line whose checksum holds, whatever it says.
        fn seal_anything(mut content: Vec<u8>) -> Vec<u8> {
            content.retain(|byte| *byte != b'\n');
            let crc = crc32fast::hash(&content);
            content.pop();
            [&content[..], CRC_FIELD, crc.to_string().as_bytes(), b"}\n"].concat()
        }

        proptest! {
            #[test]
            fn damaged_lines_are_left_out_and_no_line_is_made_up(bytes in damaged(lines())) {
                let folder = tempfile::tempdir().unwrap();
                append_raw(&folder.path().join("a.rows-00000.jsonl"), &bytes);
                let mut read = Vec::new();
                let files = ChunkFiles::list(folder.path()).unwrap();
                let ignored = files.roots(0, |line| read.push(line)).unwrap();
                for line in &read {
                    prop_assert!((0..3).any(|row| *line == root(row)), "{line:?}");
                }
                let written = bytes.split(|byte| *byte == b'\n').count() as u64;
                prop_assert!(ignored + read.len() as u64 <= written);
            }

            #[test]
            fn a_line_that_is_sealed_but_strange_is_read_or_left_out(content in damaged(
                serde_json::to_vec(&root(7)).unwrap()
            )) {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("a.rows-00000.jsonl");
                append_raw(&path, &seal_anything(content));
                append_raw(&path, &sealed(&root(8)).unwrap());
                let mut read = Vec::new();
                let files = ChunkFiles::list(folder.path()).unwrap();
                files.roots(0, |line| read.push(line)).unwrap();
                prop_assert_eq!(read.last(), Some(&root(8)));
            }
        }
    }
}
