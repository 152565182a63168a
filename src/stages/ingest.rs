//! ingest: gets at the bytes of a manifest entry, hashes them and looks at the first frame.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::unchanged::{check_unchanged, stamp_of};
use crate::core::{
    ErrorKind, FatalError, Fingerprint, Hasher, ItemError, LocalFile, ManifestEntry, Video, VideoId,
};
use crate::engine::{Outbox, Stage, Worker};
use crate::media::{FetchOptions, OpenOptions, check_file, fetch, probe};

/// The stage.
#[derive(Clone, Debug)]
pub struct Ingest {
    /// Where downloads go while they are needed.
    pub download_dir: PathBuf,
    /// Bounds of a download.
    pub fetch: FetchOptions,
    /// Whether black bars are cut off.
    pub crop_black_bars: bool,
    /// Threads.
    pub workers: usize,
}

impl Stage for Ingest {
    type In = ManifestEntry;
    type Out = Arc<Video>;
    type Worker = Self;

    fn name(&self) -> &'static str {
        "ingest"
    }
    fn workers(&self) -> usize {
        self.workers
    }
    fn fingerprint(&self) -> Fingerprint {
        let hash = Hasher::new("ingest")
            .int(1)
            .int(i64::from(self.crop_black_bars));
        Fingerprint::from_hash(hash.finish())
    }
    fn open(&self) -> Result<Self, FatalError> {
        Ok(self.clone())
    }
}

impl Worker for Ingest {
    type In = ManifestEntry;
    type Out = Arc<Video>;

    fn process(
        &mut self,
        entry: ManifestEntry,
        out: &mut Outbox<'_, Arc<Video>>,
    ) -> Result<(), ItemError> {
        let mut file = if let Some(path) = entry.local_path() {
            LocalFile::kept(path)
        } else {
            let address = entry.address();
            let fetched = out.wait(|| fetch(&address, &self.download_dir, &self.fetch))?;
            LocalFile::temporary(fetched)
        };
        // Before it is opened: to open a pipe would wait for a writer for ever.
        check_file(file.path()).map_err(|error| error.without_path(file.path()))?;
        file.stamp = stamp_of(file.path());
        let id = hash_file(file.path(), out)?;
        let options = OpenOptions {
            decode_threads: 1,
            deadline: out.context().deadline,
        };
        let info = probe(file.path(), &options, self.crop_black_bars)
            .map_err(|error| error.without_path(file.path()));
        check_unchanged(&file)?;
        let info = info?;
        out.emit(Arc::new(Video {
            id,
            entry: Arc::new(entry),
            info,
            file,
        }));
        Ok(())
    }
}

/// Bytes hashed between two signs of life.
const HASH_STEP_BYTES: u64 = 64 << 20;

/// BLAKE3 of a file's bytes, streamed.
fn hash_file<T>(path: &Path, out: &mut Outbox<'_, T>) -> Result<VideoId, ItemError> {
    let unreadable = |error: std::io::Error| {
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::Missing,
            _ => ErrorKind::Unreadable,
        };
        ItemError::new(kind, error.to_string())
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut hasher = blake3::Hasher::new();
    loop {
        let before = hasher.count();
        hasher
            .update_reader((&file).take(HASH_STEP_BYTES))
            .map_err(unreadable)?;
        out.progress();
        if hasher.count() == before {
            break;
        }
    }
    Ok(VideoId::from_hash(*hasher.finalize().as_bytes()))
}
