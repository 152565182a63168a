//! What a run's folder says of itself, while the run goes on or later.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::run_dir::RunDir;
use crate::core::{FatalError, Funnel};
use crate::engine::{ChunkFiles, Ledger, LedgerLine};
use crate::store;

/// The state of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Which product.
    pub pipeline: String,
    /// Version that made it.
    pub version: String,
    /// Videos in the manifest.
    pub videos: u64,
    /// Videos that are finished.
    pub videos_done: u64,
    /// Finished shards.
    pub shards: u64,
    /// Rows in them.
    pub rows: u64,
    /// Whether a process is working on it.
    pub is_running: bool,
    /// Counts over finished videos.
    pub funnel: Funnel,
}

/// Reads a run's state from its commit log; needs neither manifest nor models.
///
/// # Errors
/// When the folder holds no run.
pub fn status(out: &Path) -> Result<Status, FatalError> {
    let dir = RunDir::new(out);
    let info = dir.known_info()?;
    // The newest line of a row or chunk counts: older ones are of other settings.
    let mut chunks = BTreeMap::new();
    Ledger::read_chunks(&dir.ledger(), |line| match line {
        LedgerLine::Chunk(line) if line.run.as_str() == info.fingerprint => {
            chunks.insert(line.chunk, (line.shard.is_some(), line.rows, line.funnel));
        }
        LedgerLine::Chunk(line) => drop(chunks.remove(&line.chunk)),
        LedgerLine::Reopen(line) => drop(chunks.remove(&line.chunk)),
        LedgerLine::Root(_) | LedgerLine::Samples(_) => {}
    })?;
    // A file that someone changed may say 0.
    let chunk_rows = u64::from(info.config.output.chunk_rows.max(1));
    let manifest_rows = u64::from(info.manifest_rows);
    let mut funnel = Funnel::default();
    let (mut shards, mut num_rows, mut done) = (0, 0, 0);
    for (chunk, (has_shard, count, counts)) in &chunks {
        shards += u64::from(*has_shard);
        num_rows = u64::saturating_add(num_rows, *count);
        let first = u64::from(*chunk) * chunk_rows;
        done += chunk_rows.min(manifest_rows.saturating_sub(first));
        funnel.merge(counts);
    }
    let files = ChunkFiles::list(&dir.ledger())?;
    for chunk in files.chunks().filter(|chunk| !chunks.contains_key(chunk)) {
        let mut rows = BTreeMap::new();
        files.roots(chunk, |line| match line {
            LedgerLine::Root(line) if line.fp.as_str() == info.fingerprint => {
                rows.insert(line.row, (line.root, line.funnel));
            }
            LedgerLine::Reopen(line) => rows.retain(|_, (root, _)| !line.roots.contains(root)),
            _ => {}
        })?;
        done += rows.len() as u64;
        for (_, counts) in rows.values() {
            funnel.merge(counts);
        }
    }
    Ok(Status {
        pipeline: info.pipeline,
        version: info.version,
        videos: manifest_rows,
        videos_done: done.min(manifest_rows),
        shards,
        rows: num_rows,
        is_running: store::lock_dir(out).is_err(),
        funnel,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"kind":"root","v":2,"root":"k","row":3,"chunk":1,"fp":"","funnel":{"stages":[["s",{"received":18446744073709551615,"passed":1,"emitted":1,"rejected":{"s/x":18446744073709551615,"s/y":9}}]]}}"#;

    fn info(chunk_rows: u64) -> String {
        serde_json::json!({
            "pipeline": "edit_pairs", "version": "0", "config_hash": "", "fingerprint": "",
            "manifest": "m", "manifest_rows": 9, "models": [], "prompts": [], "filters": null,
            "config": { "output": { "chunk_rows": chunk_rows } },
        })
        .to_string()
    }

    fn sealed(line: &str) -> String {
        let body = line.strip_suffix('}').unwrap_or(line);
        format!("{body},\"crc\":{}}}\n", crc32fast::hash(line.as_bytes()))
    }

    fn status_of(info: &[u8], ledger: &str) -> Result<Status, FatalError> {
        let folder = tempfile::tempdir().unwrap();
        store::publish_bytes(&folder.path().join("run.json"), info).unwrap();
        store::publish_bytes(
            &folder.path().join("ledger/a.rows-00001.jsonl"),
            ledger.as_bytes(),
        )
        .unwrap();
        status(folder.path())
    }

    #[test]
    fn absurd_numbers_are_counted_as_far_as_they_go() {
        let ledger = [LINE, &LINE.replace("\"row\":3", "\"row\":4")]
            .map(sealed)
            .concat();
        for chunk_rows in [0, 1, 256] {
            let status = status_of(info(chunk_rows).as_bytes(), &ledger).unwrap();
            assert_eq!((status.videos, status.videos_done), (9, 2));
            assert_eq!(status.funnel.rejected(), u64::MAX);
        }
    }

    mod prop {
        use proptest::prelude::*;

        use super::*;
        use crate::core::testing::{damaged, damaged_text};

        proptest! {
            #[test]
            fn any_folder_has_a_status_or_an_error(
                info in damaged(info(2).into_bytes()),
                lines in proptest::collection::vec(damaged_text(LINE), 0..3),
            ) {
                let ledger: String = lines.iter().map(|line| sealed(line)).collect();
                match status_of(&info, &ledger) {
                    Ok(status) => prop_assert!(status.videos_done <= status.videos),
                    Err(error) => prop_assert!(error.to_string().contains("run.json")
                        || error.to_string().contains("holds no run"), "{}", error),
                }
            }
        }
    }
}
