//! What a run would do, found out without doing it.

use serde::Serialize;

use super::runner::{Prepared, RunRequest, prepare};
use super::{FilterInfo, Models};
use crate::core::{FatalError, ModelRef};
use crate::models::{ModelStatus, ModelStore};

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
        chunks_done: chunks.num_done(),
        out: dir.root().to_owned(),
    })
}
