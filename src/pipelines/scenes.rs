//! Cut detection alone, on files named one by one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::{detector_factory, load_pipeline};
use crate::core::{ByteBudget, FatalError, ItemError, ItemPath, ManifestEntry, Scene, Video};
use crate::engine::{ItemContext, Outbox, Outcome, Stage, Worker};
use crate::media::FetchOptions;
use crate::models::ModelStore;
use crate::stages::ingest::Ingest;
use crate::stages::split::Split;

/// One scene; ends are exclusive, frames are in presentation order from 0.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SceneSpan {
    /// First frame.
    pub start_frame: u32,
    /// First frame after.
    pub end_frame: u32,
    /// Time of the first frame, in ticks.
    pub start_pts: i64,
    /// Time at which the last frame's display ends, in ticks.
    pub end_pts: i64,
    /// The same in seconds.
    pub start_secs: f64,
    /// The same in seconds.
    pub end_secs: f64,
    /// Score of the cut before it, in the detector's unit.
    pub start_score: Option<f32>,
    /// Score of the cut after it.
    pub end_score: Option<f32>,
}

/// The scenes of one file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SceneList {
    /// Frames that were decoded.
    pub frames: u64,
    /// Average frames per second, as the container states it.
    pub fps: f64,
    /// Ticks per second as `[num, den]` of one tick.
    pub time_base: [i32; 2],
    /// Which detector.
    pub detector: &'static str,
    /// What could not be decoded.
    pub damage: Option<String>,
    /// In order.
    pub scenes: Vec<SceneSpan>,
}

/// Finds the scenes of each file in turn and hands them to `found`.
///
/// # Errors
/// Wrong settings or missing weights; a bad file is handed to `found` as an error.
pub fn find_scenes(
    pipeline: &str,
    sets: &[String],
    files: &[PathBuf],
    found: &mut dyn FnMut(&Path, Result<SceneList, ItemError>),
) -> Result<(), FatalError> {
    let config = load_pipeline(pipeline, sets)?.config;
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
        memo: None,
        budget: ByteBudget::new(u64::MAX),
    };
    let (mut ingest, mut split) = (ingest.open()?, split.open()?);
    let item_time = Duration::from_secs_f64(config.limits.item_secs);
    for path in files {
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
            Ok(Some(list(
                &video,
                &scenes,
                summary.frames,
                summary.damage,
                &config,
            )))
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
    frames: u64,
    damage: Option<String>,
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
        frames,
        fps: video.info.fps,
        time_base: [base.num, base.den],
        detector: config.split.detector.name(),
        damage,
        scenes: spans.collect(),
    }
}
