//! Shards and tables that are no part of the run: out of the way, but not lost.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Chunks, ShortKey};
use crate::core::FatalError;
use crate::pipelines::run_dir::RunInfo;
use crate::store;

impl Chunks {
    /// Moves shards and reject tables that no finished chunk of this manifest and these settings
    /// owns out of the way, so that the folder never mixes two data sets and none is lost. Those
    /// whose rows are all in the manifest are deleted: their results were taken back or are due.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(in crate::pipelines) fn set_strays_aside(
        &self,
        before: Option<&RunInfo>,
    ) -> Result<(), FatalError> {
        let dir = &self.plan.dir;
        let owned: BTreeSet<_> = self
            .finished()
            .flat_map(|line| {
                let shard = line.shard.as_ref().map(|name| dir.root().join(name));
                [shard, Some(dir.reject_table(line.chunk))]
            })
            .flatten()
            .collect();
        let needless = self.taken_apart()?;
        let name = before.map_or("unknown", |info| &info.fingerprint);
        let aside = dir.superseded(name.get(..12).unwrap_or(name));
        for folder in [dir.shards(), dir.rejects()] {
            for path in store::list(&folder)? {
                let Ok(place) = path.strip_prefix(dir.root()) else {
                    continue;
                };
                if !self.is_numbered(&path) || owned.contains(&path) {
                    continue;
                }
                if needless.contains(&path) {
                    store::remove(&path)?;
                    continue;
                }
                tracing::warn!(
                    "{}: of another run, moved to {}",
                    place.display(),
                    aside.display()
                );
                store::move_file(&path, &aside.join(place))?;
            }
        }
        Ok(())
    }

    /// Files of finished chunks that cannot stand and whose rows are all in the manifest.
    fn taken_apart(&self) -> Result<BTreeSet<std::path::PathBuf>, FatalError> {
        let dir = &self.plan.dir;
        let mut files = BTreeSet::new();
        if self.stale.is_empty() {
            return Ok(files);
        }
        let keys: BTreeSet<ShortKey> = (0..self.num_rows()).map(|r| self.short_key(r)).collect();
        let is_here = |short: &String| {
            ShortKey::from_str_radix(short, 16).is_ok_and(|key| keys.contains(&key))
        };
        for line in &self.stale {
            let samples = self.files.samples(line.chunk, &line.samples)?;
            if samples.is_some_and(|samples| samples.roots.iter().all(is_here)) {
                files.extend(line.shard.as_ref().map(|name| dir.root().join(name)));
                files.insert(dir.reject_table(line.chunk));
            }
        }
        Ok(files)
    }

    /// Whether a file has the name of a shard or table of this product.
    fn is_numbered(&self, path: &Path) -> bool {
        let name = path.file_name().and_then(|name| name.to_str());
        let number = name
            .unwrap_or_default()
            .strip_suffix(".parquet")
            .unwrap_or_default();
        let number = number
            .strip_prefix(&format!("{}-", self.plan.pipeline))
            .unwrap_or(number);
        number.len() >= 5 && number.bytes().all(|byte| byte.is_ascii_digit())
    }
}
