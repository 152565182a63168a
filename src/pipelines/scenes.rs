//! Cut detection alone, on files named one by one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use super::{detector_factory, load_pipeline};
use crate::config::Config;
use crate::core::{
    ByteBudget, ErrorKind, FatalError, ItemError, ItemPath, ManifestEntry, Place, Scene, SceneList,
    SceneSpan, Video, contain,
};
use crate::engine::{ItemContext, Outbox, Outcome, Stage, Worker};
use crate::media::FetchOptions;
use crate::models::ModelStore;
use crate::stages::ingest::Ingest;
use crate::stages::split::{Split, SplitSummary, SplitWorker};

/// What to look for, and where.
#[derive(Clone, Debug)]
pub struct SceneRequest {
    /// Pipeline file or alias; `[ingest]`, `[split]` and `[limits]` count.
    pub pipeline: String,
    /// `KEY=VALUE` changes to it.
    pub sets: Vec<String>,
    /// The videos.
    pub files: Vec<PathBuf>,
    /// Files looked at at once; none: as many as there are cores.
    pub jobs: Option<usize>,
    /// Whether [`SceneList::scores`] are wanted.
    pub keep_scores: bool,
}

/// Finds the scenes of all files, several at once, and hands them to `found` in the order of the
/// files.
///
/// # Errors
/// Wrong settings or missing weights; a bad file is handed to `found` as an error.
pub fn find_scenes(
    request: &SceneRequest,
    found: &mut dyn FnMut(&Path, Result<SceneList, ItemError>),
) -> Result<(), FatalError> {
    let config = load_pipeline(&request.pipeline, &request.sets)?.config;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let jobs = request
        .jobs
        .unwrap_or(cores)
        .min(request.files.len())
        .max(1);
    let threads = (cores / jobs).max(1);
    let (detector, detector_identity) =
        detector_factory(&config, &Arc::new(ModelStore::default()), threads)?;
    let ingest = Ingest {
        download_dir: std::env::temp_dir(),
        fetch: FetchOptions {
            max_bytes: 0,
            timeout_secs: 1,
            allow_private_addresses: false,
        },
        crop_black_bars: config.ingest.crop_black_bars,
        workers: 1,
    };
    let split = Split {
        detector,
        detector_identity,
        min_scene_secs: config.split.min_scene_secs,
        trim_secs: config.split.trim_secs,
        // Samples are of no use here; one a day costs nothing.
        samples_per_sec: 1.0 / 86_400.0,
        max_samples: 2,
        sample_max_side_px: 64,
        decode_threads: threads,
        fast: config.split.fast,
        workers: 1,
        measures: false,
        keep_scores: request.keep_scores,
        memo: None,
        recall: None,
        source_identity: String::new(),
        budget: ByteBudget::new(u64::MAX),
    };
    let open = || {
        Ok::<_, FatalError>(Finder {
            ingest: ingest.open()?,
            split: split.open()?,
            config: &config,
        })
    };
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::sync_channel(jobs);
    std::thread::scope(|scope| {
        let workers = (0..jobs).map(|_| {
            let (sender, next, open) = (sender.clone(), &next, &open);
            scope.spawn(move || {
                let mut finder = open()?;
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(path) = request.files.get(number) else {
                        return Ok(());
                    };
                    // It fails when the receiver is gone, and then nobody wants more.
                    let result = contain(|| finder.find(path));
                    let is_sound = result.is_ok();
                    let result =
                        result.unwrap_or_else(|words| Err(ItemError::new(ErrorKind::Bug, words)));
                    if sender.send((number, result)).is_err() {
                        return Ok(());
                    }
                    if !is_sound {
                        // What panicked once may do so again while it is taken apart.
                        let _ = contain(|| drop(finder));
                        finder = open()?;
                    }
                }
            })
        });
        let workers: Vec<_> = workers.collect();
        drop(sender);
        // Results that came before their turn.
        let mut early = BTreeMap::new();
        let mut due = 0;
        for (number, result) in receiver {
            early.insert(number, result);
            while let Some(result) = early.remove(&due) {
                found(&request.files[due], result);
                due += 1;
            }
        }
        let ends = workers.into_iter().map(|worker| {
            let panicked = || FatalError::Refused("a worker panicked; please report it".into());
            worker.join().map_err(|_panic| panicked())?
        });
        ends.collect()
    })
}

/// One thread's detector.
struct Finder<'a> {
    ingest: Ingest,
    split: SplitWorker,
    config: &'a Config,
}

impl Finder<'_> {
    fn find(&mut self, path: &Path) -> Result<SceneList, ItemError> {
        let context = ItemContext {
            path: ItemPath::root(0),
            deadline: Instant::now() + Duration::from_secs_f64(self.config.limits.item_secs),
        };
        let entry = ManifestEntry {
            uri: path.to_string_lossy().into_owned(),
            license: None,
            source: None,
            place: Place::At(path.into()),
        };
        let videos = collect(&context, |out| self.ingest.process(entry, out))?;
        let video = videos.into_iter().next().ok_or_else(|| {
            ItemError::new(ErrorKind::Bug, "ingest gave neither a video nor an error")
        })?;
        let mut summary = SplitSummary::default();
        let scenes = collect(&context, |out| {
            summary = self.split.split(&video, out)?;
            Ok(())
        })?;
        Ok(list(&video, &scenes, summary, self.config))
    }
}

/// Everything a worker emits for one item.
fn collect<T>(
    context: &ItemContext,
    work: impl FnOnce(&mut Outbox<'_, T>) -> Result<(), ItemError>,
) -> Result<Vec<T>, ItemError> {
    let (mut items, mut failed) = (Vec::new(), None);
    let mut deliver = |outcome| match outcome {
        Outcome::Emitted(item) => items.push(item),
        Outcome::Failed(error) => failed = Some(error),
        Outcome::Rejected(_) | Outcome::Signal(_) => {}
    };
    work(&mut Outbox::new(context, &mut deliver))?;
    match failed {
        Some(error) if items.is_empty() => Err(error),
        _ => Ok(items),
    }
}

fn list(video: &Video, scenes: &[Scene], summary: SplitSummary, config: &Config) -> SceneList {
    let base = video.info.time_base;
    let spans = scenes.iter().map(|scene| SceneSpan {
        start_frame: scene.frames.start().0,
        end_frame: scene.frames.end().0,
        start_pts: scene.pts.start().0,
        end_pts: scene.pts.end().0,
        start_secs: base.secs(scene.pts.start()),
        end_secs: base.secs(scene.pts.end()),
        start_score: scene.cut_score[0],
        end_score: scene.cut_score[1],
    });
    SceneList {
        frames: summary.frames,
        fps: video.info.fps,
        time_base: [base.num, base.den],
        detector: config.split.detector.name(),
        threshold: config.split.threshold(),
        damage: summary.damage,
        scenes: spans.collect(),
        scores: summary.scores,
        info: video.info.clone(),
    }
}
