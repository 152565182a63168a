//! Opens the videos again and compares the frames that rows were made of.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Fault, SkippedSource, VerifyRequest};
use crate::config::Config;
use crate::core::{
    FatalError, Frame, FrameIndex, FrameRef, ItemError, ItemPath, ManifestEntry, Pts, Video,
};
use crate::engine::{ItemContext, Outbox, Outcome, Worker};
use crate::io::read_manifest;
use crate::media::{FrameReader, OpenOptions};
use crate::pipelines::edit_pairs::{encode, ingest};
use crate::pipelines::run_dir::{RunDir, RunInfo};
use crate::stages::encode::Encode;
use crate::stages::ingest::Ingest;
use crate::store;

/// What helps where a video is not the one that rows are from.
const REMEDY: &str = "put the file back that the rows were made of, or run again into a new folder";

/// The frames of one row.
pub(super) struct FrameJob {
    pub(super) uri: String,
    pub(super) video_id: String,
    pub(super) file: String,
    pub(super) row: u64,
    /// Column, time and BLAKE3 of the image file.
    pub(super) frames: Vec<(String, i64, [u8; 32])>,
}

/// What was found in the videos of a chunk.
#[derive(Default)]
pub(super) struct Looked {
    pub(super) videos: u64,
    pub(super) frames: u64,
    pub(super) faults: Vec<Fault>,
    pub(super) skipped: Vec<SkippedSource>,
}

/// The videos, and how to open them as the run did.
pub(super) struct Sources {
    entries: BTreeMap<String, ManifestEntry>,
    /// Why the manifest could not be read.
    unread: Option<String>,
    downloads: bool,
    ingest: Ingest,
    encode: Encode,
    limit: Duration,
    _lock: Option<store::RunLock>,
}

impl Sources {
    /// Reads the manifest; without one no video is found, which is no error.
    ///
    /// # Errors
    /// When videos are to be downloaded and another process uses the folder.
    pub(super) fn open(
        info: &RunInfo,
        dir: &RunDir,
        request: &VerifyRequest,
    ) -> Result<Self, FatalError> {
        let manifest = request.manifest.as_deref().unwrap_or(&info.manifest);
        let (entries, unread) = match read_manifest(manifest) {
            Ok(read) => (read.entries, None),
            Err(error) => (
                Vec::new(),
                Some(format!(
                    "the manifest cannot be read: {error}; give --manifest"
                )),
            ),
        };
        let config: &Config = &info.config;
        let lock = request
            .downloads
            .then(|| store::lock_dir(dir.root()))
            .transpose()?;
        Ok(Self {
            entries: entries.into_iter().map(|e| (e.uri.clone(), e)).collect(),
            unread,
            downloads: request.downloads,
            ingest: ingest(config, &dir.tmp(), 1),
            encode: encode(config, 1),
            limit: Duration::from_secs(config.limits.item_secs as u64),
            _lock: lock,
        })
    }

    /// Looks at the videos of these rows, several at once.
    pub(super) fn check(&self, jobs: Vec<FrameJob>, threads: usize) -> Looked {
        let mut videos: BTreeMap<(String, String), Vec<FrameJob>> = BTreeMap::new();
        for job in jobs {
            let key = (job.uri.clone(), job.video_id.clone());
            videos.entry(key).or_default().push(job);
        }
        let threads = threads.min(videos.len()).max(1);
        let videos = Mutex::new(videos.into_iter());
        let mut looked = Looked::default();
        std::thread::scope(|scope| {
            let look = || {
                let mut looked = Looked::default();
                loop {
                    let next = videos.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(((uri, video_id), rows)) = next else {
                        return looked;
                    };
                    self.video(&uri, &video_id, &rows, &mut looked);
                }
            };
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(look)).collect();
            for worker in workers {
                if let Ok(part) = worker.join() {
                    looked.videos += part.videos;
                    looked.frames += part.frames;
                    looked.faults.extend(part.faults);
                    looked.skipped.extend(part.skipped);
                } else {
                    let fault = Fault::of("videos", "decoding broke down", REMEDY);
                    looked.faults.push(fault);
                }
            }
        });
        looked
            .faults
            .sort_by(|a, b| (&a.file, a.row, &a.column).cmp(&(&b.file, b.row, &b.column)));
        looked.skipped.sort_by(|a, b| a.uri.cmp(&b.uri));
        looked
    }

    fn video(&self, uri: &str, video_id: &str, rows: &[FrameJob], looked: &mut Looked) {
        let skip = |why: String| SkippedSource {
            uri: uri.to_owned(),
            rows: rows.len() as u64,
            why,
        };
        let Some(entry) = self.entries.get(uri) else {
            let why = self.unread.clone();
            let why = why.unwrap_or_else(|| "the manifest does not name it".to_owned());
            looked.skipped.push(skip(why));
            return;
        };
        let local = entry.local_path();
        let is_remote = local.is_none();
        if is_remote && !self.downloads {
            let why = "it is remote; --download fetches it".to_owned();
            looked.skipped.push(skip(why));
            return;
        }
        if let Some(path) = &local
            && !path.is_file()
        {
            let why = format!("no such file: {}", path.display());
            looked.skipped.push(skip(why));
            return;
        }
        let replaced = |got: &str| {
            let (file, row) = rows.first().map_or(("", 0), |job| (&*job.file, job.row));
            let what = format!(
                "{uri} is another file than the {} rows are from",
                rows.len()
            );
            let fault = Fault::of(file, what, REMEDY).in_row(row, "video_id");
            fault.differs(video_id, got)
        };
        let video = match self.open_video(entry) {
            Ok(video) => video,
            Err(error) => {
                let local = local.as_deref().map(store::hash);
                match local {
                    Some(Ok((got, _))) if got != video_id => looked.faults.push(replaced(&got)),
                    _ => looked
                        .skipped
                        .push(skip(format!("it cannot be opened: {error}"))),
                }
                return;
            }
        };
        looked.videos += 1;
        if video.id.as_str() != video_id {
            looked.faults.push(replaced(video.id.as_str()));
            return;
        }
        self.compare(&video, rows, looked);
    }

    /// Opens, hashes and probes a video by the stage that does it in a run.
    fn open_video(&self, entry: &ManifestEntry) -> Result<Arc<Video>, ItemError> {
        let context = ItemContext {
            path: ItemPath::root(0),
            deadline: Instant::now() + self.limit,
        };
        let mut found = None;
        let mut deliver = |outcome| {
            if let Outcome::Emitted(video) = outcome {
                found = Some(video);
            }
        };
        let mut stage = self.ingest.clone();
        stage.process(entry.clone(), &mut Outbox::new(&context, &mut deliver))?;
        found.ok_or_else(|| {
            ItemError::new(
                crate::core::ErrorKind::Bug,
                "ingest gave neither video nor error",
            )
        })
    }

    fn compare(&self, video: &Video, rows: &[FrameJob], looked: &mut Looked) {
        let all = rows.iter().flat_map(|job| &job.frames);
        let times: BTreeSet<i64> = all.map(|(_, pts, _)| *pts).collect();
        let options = OpenOptions {
            decode_threads: 1,
            deadline: Instant::now() + self.limit,
        };
        let mut reader = FrameReader::open(video.file.path(), &video.info, &options);
        let mut made: BTreeMap<i64, Result<[u8; 32], String>> = BTreeMap::new();
        for pts in times {
            let image = match &mut reader {
                Ok(reader) => {
                    reader.set_deadline(Instant::now() + self.limit);
                    self.image(reader, pts)
                }
                Err(error) => Err(error.clone()),
            };
            looked.frames += 1;
            let hash = image.map_err(|error| error.without_path(video.file.path()).what);
            made.insert(pts, hash);
        }
        for job in rows {
            for (column, pts, stated) in &job.frames {
                let fault = |what: String| {
                    let what = format!("{}: {what}", job.uri);
                    Fault::of(&*job.file, what, REMEDY).in_row(job.row, column)
                };
                match made.get(pts) {
                    Some(Ok(got)) if got == stated => {}
                    Some(Ok(got)) => {
                        let what = format!("BLAKE3 of the image made anew of the frame at {pts}");
                        let hex = |hash: &[u8; 32]| blake3::Hash::from(*hash).to_hex();
                        looked
                            .faults
                            .push(fault(what).differs(hex(got), hex(stated)));
                    }
                    Some(Err(what)) => looked.faults.push(fault(what.clone())),
                    None => {}
                }
            }
        }
    }

    fn image(&self, reader: &mut FrameReader, pts: i64) -> Result<[u8; 32], ItemError> {
        let image = reader.frame_at(Pts(pts))?;
        let at = FrameRef {
            pts: Pts(pts),
            index: FrameIndex(0),
        };
        let encoded = self.encode.image(&Frame { at, image })?;
        Ok(*blake3::hash(&encoded.bytes).as_bytes())
    }
}
