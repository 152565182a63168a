//! The commit log of a run: append-only JSON lines, one file per writer, readers take the union.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::core::{FatalError, Fingerprint, Funnel, VideoId};
use crate::store::{self, Appender};

/// Version of the lines; readers ignore lines of another one.
pub const LEDGER_VERSION: u32 = 1;
/// Between a line's content and its checksum.
const CRC_FIELD: &[u8] = b",\"crc\":";
/// Digits of the largest checksum.
const CRC_MAX_DIGITS: usize = 10;

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
    /// Its samples, relative to the run's folder; none if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spool: Option<String>,
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
    /// What the result depends on besides the videos.
    pub fp: Fingerprint,
    /// The shard, relative to the run's folder; none if the chunk has no samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
    /// Samples in the shard.
    pub rows: u64,
    /// BLAKE3 of the shard's bytes, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blake3: Option<String>,
    /// Perceptual hashes of the samples kept, hexadecimal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hashes: Vec<String>,
    /// Counts by stage, with those of steps that see whole chunks.
    pub funnel: Funnel,
    /// What the pipeline wants to remember besides.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub extra: serde_json::Map<String, serde_json::Value>,
}

/// One line of a ledger.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum LedgerLine {
    /// A root is done.
    Root(RootLine),
    /// A chunk is done.
    Chunk(ChunkLine),
}

/// The writing end: one file of this process.
#[derive(Debug)]
pub struct Ledger {
    file: Appender,
}

impl Ledger {
    /// Opens `<folder>/<writer>.jsonl` for appending. The writer's name must be this process's
    /// alone.
    ///
    /// # Errors
    /// [`FatalError::Disk`] with the path.
    pub fn open(folder: &Path, writer: &str) -> Result<Self, FatalError> {
        let path = folder.join(format!("{writer}.jsonl"));
        let file = Appender::open_lines(&path)?;
        Ok(Self { file })
    }

    /// Adds a line; it is durable when this returns.
    ///
    /// # Errors
    /// [`FatalError::Disk`] with the path.
    pub fn append(&mut self, line: &LedgerLine) -> Result<(), FatalError> {
        let text = sealed(line).map_err(|e| FatalError::disk(self.file.path(), e))?;
        self.file.append(&text)
    }

    /// Gives every whole line of all files in `folder` to `each`: files in name order, lines as
    /// written. Torn and damaged lines are left out; returns how many. A missing folder is empty.
    ///
    /// # Errors
    /// [`FatalError::Disk`] with the file that cannot be read.
    pub fn read(folder: &Path, mut each: impl FnMut(LedgerLine)) -> Result<u64, FatalError> {
        let mut ignored = 0;
        for path in store::list(folder)? {
            if path
                .extension()
                .is_some_and(|extension| extension == "jsonl")
            {
                ignored += read_file(&path, &mut each)?;
            }
        }
        Ok(ignored)
    }
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
            spool: Some(format!("spool/00000/{row}.arrow")),
            extra: serde_json::Map::new(),
        })
    }

    fn rows(folder: &Path) -> (Vec<u32>, u64) {
        let mut rows = Vec::new();
        let ignored = Ledger::read(folder, |line| {
            if let LedgerLine::Root(line) = line {
                rows.push(line.row);
            }
        });
        (rows, ignored.unwrap())
    }

    fn append_raw(path: &Path, bytes: &[u8]) {
        Appender::open(path).unwrap().append(bytes).unwrap();
    }

    #[test]
    fn lines_of_all_writers_are_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let chunk = LedgerLine::Chunk(ChunkLine {
            v: LEDGER_VERSION,
            chunk: 3,
            fp: Fingerprint::from_hash([1; 32]),
            shard: None,
            rows: 0,
            blake3: None,
            hashes: vec!["00ff".into()],
            funnel: Funnel::default(),
            extra: serde_json::Map::new(),
        });
        Ledger::open(folder.path(), "b")
            .unwrap()
            .append(&root(1))
            .unwrap();
        let mut a = Ledger::open(folder.path(), "a").unwrap();
        a.append(&root(0)).unwrap();
        a.append(&chunk).unwrap();
        let mut lines = Vec::new();
        Ledger::read(folder.path(), |line| lines.push(line)).unwrap();
        assert_eq!(lines, [root(0), chunk, root(1)]);
    }

    #[test]
    fn a_torn_line_is_ignored_and_not_glued_to_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
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
        let path = folder.path().join("a.jsonl");
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
                append_raw(&folder.path().join("a.jsonl"), &bytes);
                let mut read = Vec::new();
                let ignored = Ledger::read(folder.path(), |line| read.push(line)).unwrap();
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
                let path = folder.path().join("a.jsonl");
                append_raw(&path, &seal_anything(content));
                append_raw(&path, &sealed(&root(8)).unwrap());
                let mut read = Vec::new();
                Ledger::read(folder.path(), |line| read.push(line)).unwrap();
                prop_assert_eq!(read.last(), Some(&root(8)));
            }
        }
    }

    /// Run with `--ignored --nocapture` to see the time for a large run.
    #[test]
    #[ignore = "takes seconds; prints a measurement"]
    fn a_million_lines_are_read_in_seconds() {
        let folder = tempfile::tempdir().unwrap();
        let mut text = Vec::new();
        for row in 0..1_000_000 {
            text.extend(sealed(&root(row)).unwrap());
        }
        append_raw(&folder.path().join("a.jsonl"), &text);
        let start = std::time::Instant::now();
        assert_eq!(rows(folder.path()).0.len(), 1_000_000);
        println!("{} MB in {:?}", text.len() / 1_000_000, start.elapsed());
    }
}
