//! Cut detection alone, on files named one by one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{detector_factory, load_pipeline};
use crate::core::{
    ByteBudget, FatalError, ItemError, ItemPath, ManifestEntry, Scene, SceneList, SceneSpan, Video,
};
use crate::engine::{ItemContext, Outbox, Outcome, Stage, Worker};
use crate::media::FetchOptions;
use crate::models::ModelStore;
use crate::stages::ingest::Ingest;
use crate::stages::split::{Split, SplitSummary};

/// What to look for, and where.
#[derive(Clone, Debug)]
pub struct SceneRequest {
    /// Pipeline file or alias; `[ingest]`, `[split]` and `[limits]` count.
    pub pipeline: String,
    /// `KEY=VALUE` changes to it.
    pub sets: Vec<String>,
    /// The videos.
    pub files: Vec<PathBuf>,
    /// Whether [`SceneList::scores`] are wanted.
    pub keep_scores: bool,
}

/// Finds the scenes of each file in turn and hands them to `found`.
///
/// # Errors
/// Wrong settings or missing weights; a bad file is handed to `found` as an error.
pub fn find_scenes(
    request: &SceneRequest,
    found: &mut dyn FnMut(&Path, Result<SceneList, ItemError>),
) -> Result<(), FatalError> {
    let config = load_pipeline(&request.pipeline, &request.sets)?.config;
    let (detector, detector_identity) =
        detector_factory(&config, &Arc::new(ModelStore::default()))?;
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
        decode_threads: 0,
        workers: 1,
        keep_scores: request.keep_scores,
        memo: None,
        budget: ByteBudget::new(u64::MAX),
    };
    let (mut ingest, mut split) = (ingest.open()?, split.open()?);
    let item_time = Duration::from_secs_f64(config.limits.item_secs);
    for path in &request.files {
        let context = ItemContext {
            path: ItemPath::root(0),
            deadline: Instant::now() + item_time,
        };
        let entry = ManifestEntry {
            uri: path.to_string_lossy().into_owned(),
            license: None,
            source: None,
            local_path: Some(path.clone()),
        };
        let result = collect(&context, |out| ingest.process(entry, out)).and_then(|videos| {
            let Some(video) = videos.into_iter().next() else {
                return Ok(None);
            };
            let mut summary = None;
            let scenes = collect(&context, |out| {
                summary = Some(split.split(&video, out)?);
                Ok(())
            })?;
            let summary = summary.unwrap_or_default();
            Ok(Some(list(&video, &scenes, summary, &config)))
        });
        match result {
            Ok(Some(scenes)) => found(path, Ok(scenes)),
            Ok(None) => {}
            Err(error) => found(path, Err(error)),
        }
    }
    Ok(())
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

fn list(
    video: &Video,
    scenes: &[Scene],
    summary: SplitSummary,
    config: &crate::config::Config,
) -> SceneList {
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
