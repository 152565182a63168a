//! A run's folder: what lies where, and whose it is.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::FilterInfo;
use crate::config::Config;
use crate::core::{FatalError, ModelRef};
use crate::store;

/// Paths inside an output folder.
#[derive(Clone, Debug)]
pub struct RunDir {
    root: PathBuf,
}

impl RunDir {
    /// The folder `root`, which need not exist yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }
    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }
    /// Resolved config, versions, digests.
    pub fn run_json(&self) -> PathBuf {
        self.root.join("run.json")
    }
    /// Finished shards.
    pub fn shards(&self) -> PathBuf {
        self.root.join("shards")
    }
    /// Scores and reasons of what was rejected.
    pub fn rejects(&self) -> PathBuf {
        self.root.join("rejects")
    }
    /// Commit log.
    pub fn ledger(&self) -> PathBuf {
        self.root.join("ledger")
    }
    /// Remembered results of costly stages.
    pub fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }
    /// Rows of roots whose chunk is not complete.
    pub fn spool(&self) -> PathBuf {
        self.root.join("spool")
    }
    /// Downloads and the like; emptied at each start.
    pub fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }
    /// Shards and reject tables of other settings or another manifest, by fingerprint.
    pub fn superseded(&self, fingerprint: &str) -> PathBuf {
        self.root.join("superseded").join(fingerprint)
    }
    /// What the endpoint was asked, a line per run.
    pub fn endpoint_usage(&self) -> PathBuf {
        self.root.join("endpoint_usage.jsonl")
    }
    /// A chunk's shard.
    pub fn shard(&self, pipeline: &str, chunk: u32) -> PathBuf {
        self.shards().join(format!("{pipeline}-{chunk:05}.parquet"))
    }
    /// A chunk's rejects.
    pub fn reject_table(&self, chunk: u32) -> PathBuf {
        self.rejects().join(format!("{chunk:05}.parquet"))
    }

    /// Makes the folders, empties `tmp` but for downloads that can go on, and deletes what a killed
    /// process left half written. Only for who holds the folder's lock.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn prepare(&self) -> Result<(), FatalError> {
        for dir in [
            self.shards(),
            self.rejects(),
            self.ledger(),
            self.spool(),
            self.tmp(),
        ] {
            store::create_dir(&dir)?;
            store::remove_temporaries(&dir)?;
        }
        store::remove_temporaries(&self.root)?;
        for path in store::list(&self.tmp())? {
            let can_go_on = path
                .extension()
                .is_some_and(|end| end == "part" || end == "tag");
            if !can_go_on {
                store::remove(&path)?;
            }
        }
        Ok(())
    }

    /// What `run.json` says, if there is one.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn info(&self) -> Result<Option<RunInfo>, FatalError> {
        let path = self.run_json();
        store::read(&path)?
            .map(|bytes| {
                serde_json::from_slice(&bytes).map_err(|error| FatalError::disk(&path, error))
            })
            .transpose()
    }

    /// What `run.json` says, for verbs that need a run.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn known_info(&self) -> Result<RunInfo, FatalError> {
        self.info()?.ok_or_else(|| {
            FatalError::Refused(format!(
                "{}: holds no run; name the folder that `run --out` was given",
                self.root.display()
            ))
        })
    }

    /// Writes `run.json`; refuses a folder that holds another pipeline's run.
    ///
    /// # Errors
    /// When the folder is another pipeline's, or the disk refuses.
    pub fn claim(&self, info: &RunInfo) -> Result<(), FatalError> {
        if let Some(known) = self.info()? {
            if known.selected_from.is_some() {
                return Err(FatalError::Refused(format!(
                    "{}: holds what `framewright select` chose from another run; choose another \
                     --out",
                    self.root.display()
                )));
            }
            if known.pipeline != info.pipeline {
                return Err(FatalError::Refused(format!(
                    "{}: holds a run of the pipeline {}, not {}; choose another --out",
                    self.root.display(),
                    known.pipeline,
                    info.pipeline
                )));
            }
            if &known == info {
                return Ok(());
            }
        }
        let text = serde_json::to_vec_pretty(info)
            .map_err(|error| FatalError::disk(self.run_json(), error))?;
        store::publish_bytes(&self.run_json(), &text)
    }
}

/// What `run.json` holds: all that the rows depend on, and nothing that differs between reruns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    /// Which product.
    pub pipeline: String,
    /// Version of the program.
    pub version: String,
    /// Hash of the resolved config, as in the rows.
    pub config_hash: String,
    /// Fingerprint of the whole chain.
    pub fingerprint: String,
    /// Manifest as given.
    pub manifest: String,
    /// Number of its rows.
    pub manifest_rows: u32,
    /// The resolved config.
    pub config: Config,
    /// Every model with its digest.
    pub models: Vec<ModelRef>,
    /// Prompts as `(stage, name@sha256:12)`.
    pub prompts: Vec<(String, String)>,
    /// Filters with their ranges, as JSON.
    pub filters: serde_json::Value,
    /// The run that the rows are from, where they were chosen from another folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selected_from: Option<SelectedFrom>,
}

/// Where the rows of a selection are from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SelectedFrom {
    /// Fingerprint of the folder it was selected from.
    pub fingerprint: String,
    /// Hash of the config of the run that made the rows: the rows keep it.
    pub config_hash: String,
    /// Version of the program that made the rows: the rows keep it.
    pub version: String,
    /// Finished chunks of that folder when the selection began.
    pub chunks: u32,
    /// What differs from that folder's config: key path, then the value there and here.
    pub changed: std::collections::BTreeMap<String, [Option<String>; 2]>,
}

impl RunInfo {
    /// Version and config hash that its rows carry.
    pub fn origin(&self) -> (&str, &str) {
        match &self.selected_from {
            Some(from) => (&from.version, &from.config_hash),
            None => (&self.version, &self.config_hash),
        }
    }
    /// Filters as JSON values.
    pub fn filters_json(infos: &[FilterInfo]) -> serde_json::Value {
        serde_json::to_value(infos).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_keeps_downloads_that_can_go_on_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let dir = RunDir::new(folder.path());
        for name in ["a.part", "a.part.tag", "whole", "in_flight"] {
            store::publish_bytes(&dir.tmp().join(name), b"x").unwrap();
        }
        dir.prepare().unwrap();
        let left = store::list(&dir.tmp()).unwrap();
        assert_eq!(
            left,
            [dir.tmp().join("a.part"), dir.tmp().join("a.part.tag")]
        );
    }
}
