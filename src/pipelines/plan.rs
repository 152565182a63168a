//! What a run would do, found out without doing it.

use serde::Serialize;

use super::runner::{Prepared, RunRequest, prepare};
use super::shards::Chunks;
use super::{FilterInfo, Models};
use crate::core::{FatalError, ModelRef};
use crate::models::{ModelStatus, ModelStore};
use crate::stages::recall::Remembered;
use crate::stages::split::Split;

/// One stage of a plan.
#[derive(Clone, Debug, Serialize)]
pub struct PlanStage {
    /// Name in the funnel.
    pub name: &'static str,
    /// Threads.
    pub workers: usize,
    /// Changes when its output would.
    pub fingerprint: String,
    /// Filters it applies, cheap ones first.
    pub filters: Vec<FilterInfo>,
}

/// A run before it is run.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// Which product.
    pub pipeline: String,
    /// Stages in order.
    pub stages: Vec<PlanStage>,
    /// Models with a part in rows.
    pub models: Vec<ModelRef>,
    /// Models whose weights are missing, with where they were looked for.
    pub missing_models: Vec<String>,
    /// Videos in the manifest.
    pub videos: u64,
    /// Videos that earlier runs finished and whose results stand.
    pub videos_done: u64,
    /// Videos whose results are taken over from chunks that have to be made anew.
    pub videos_taken_over: u64,
    /// Of the other videos, about how many need not be decoded to be judged: what was measured of
    /// them is remembered and enough.
    pub videos_measured: u64,
    /// Of the rest, about how many have remembered cuts.
    pub videos_cut: u64,
    /// Whether answers of an endpoint are remembered; they are used again for the same pictures,
    /// prompt and model.
    pub has_answers: bool,
    /// Chunks with a finished shard, and all.
    pub chunks_done: (usize, usize),
    /// Where it writes.
    pub out: std::path::PathBuf,
}

/// Plans a run; reads, writes nothing.
///
/// # Errors
/// What would stop the run before its first video, but for missing weights.
pub fn plan(request: &RunRequest) -> Result<Plan, FatalError> {
    let prepared = prepare(request)?;
    let chunks = prepared.chunks(prepared.dir.info()?.as_ref())?;
    let Prepared {
        config,
        entries,
        dir,
        stages,
        filters,
        info,
        ..
    } = prepared;
    let (videos_measured, videos_cut) = remembered(&chunks, &stages.split)?;
    let store = ModelStore::default();
    let embeds = filters
        .iter()
        .any(|f| f.name == "similarity_window" && f.is_enabled);
    let mut missing_models = Vec::new();
    for (_, name) in Models::weights_needed(&config, embeds) {
        match store.status(&name)? {
            ModelStatus::Present => {}
            ModelStatus::Missing(path) | ModelStatus::Corrupt(path) => {
                missing_models.push(format!("{name} ({})", path.display()));
            }
        }
    }
    let names = |screened: Vec<&'static str>| {
        screened
            .into_iter()
            .filter_map(|name| filters.iter().find(|info| info.name == name).cloned())
            .collect::<Vec<_>>()
    };
    let scene = names(
        stages
            .screen_scenes
            .filters
            .iter()
            .map(|bound| bound.def.name)
            .collect(),
    );
    let pair = names(
        stages
            .screen_pairs
            .filters
            .iter()
            .map(|bound| bound.def.name)
            .collect(),
    );
    let stages = stages
        .outline()
        .into_iter()
        .map(|(name, workers, fingerprint)| PlanStage {
            name,
            workers,
            fingerprint: fingerprint.short().to_owned(),
            filters: match name {
                "screen_scenes" => scene.clone(),
                "screen_pairs" => pair.clone(),
                _ => Vec::new(),
            },
        })
        .collect();
    Ok(Plan {
        pipeline: config.pipeline.clone(),
        stages,
        models: info.models,
        missing_models,
        videos: entries.len() as u64,
        videos_done: chunks.num_committed(),
        videos_taken_over: chunks.num_salvageable()?,
        videos_measured,
        videos_cut,
        has_answers: info
            .prompts
            .iter()
            .any(|(stage, _)| dir.cache().join(stage).is_dir()),
        chunks_done: chunks.num_done(),
        out: dir.root().to_owned(),
    })
}

/// Chunks that are looked at to tell what is remembered; more would take long and say the same.
const MAX_CHUNKS_LOOKED_AT: u32 = 64;

/// How many open videos have remembered measurements, and how many others remembered cuts; counted in
/// some chunks and scaled up where there are many.
fn remembered(chunks: &Chunks, split: &Split) -> Result<(u64, u64), FatalError> {
    let open = chunks.open_chunks();
    let step = (open.len() as u32).div_ceil(MAX_CHUNKS_LOOKED_AT).max(1) as usize;
    let (mut measured, mut cut, mut seen, mut all) = (0, 0, 0, 0);
    for (at, (chunk, rows)) in open.into_iter().enumerate() {
        all += rows;
        if at % step != 0 {
            continue;
        }
        seen += rows;
        for video in chunks.known_videos(chunk)? {
            match split.remembered(&video) {
                Remembered::Measurements => measured += 1,
                Remembered::Cuts => cut += 1,
                Remembered::Nothing => {}
            }
        }
    }
    let scaled = |count: u64| (count * all).checked_div(seen).unwrap_or(0);
    Ok((scaled(measured), scaled(cut)))
}
