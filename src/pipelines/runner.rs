//! One run from config and manifest to shards and report; the same request continues it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::edit_pairs::EditPairs;
use super::run_dir::{RunDir, RunInfo};
use super::shards::{Chunks, root_key};
use super::sink::RunSink;
use super::{EndpointUsage, FilterInfo, Models, filter_infos, load_pipeline};
use crate::config::{Config, JudgeBackend, Limits, Workers};
use crate::core::{
    ConfigError, FatalError, Fingerprint, Funnel, Hasher, ManifestEntry, WebAddress,
};
use crate::engine::{
    Activity, Ended, InFlight, Ledger, Memo, Monitor, Root, RunOptions, Runner, Stop, Watchdog,
    in_flight_path, quarantined, suspects,
};
use crate::io::{
    CardInput, PromptRef, ReportFilter, ReportInput, RowColumns, RowContext, ScoreColumn,
    build_report, read_manifest, write_dataset_card,
};
use crate::models::{JUDGE_AXES, MODELS, ModelStatus, ModelStore};
use crate::store;
use crate::vision::heat_map;

/// Longer side of a heat map in the report, pixels.
const HEAT_MAP_SIDE_PX: u32 = 360;
/// Time an item may be late before its worker process is given up.
const HANG_GRACE: Duration = Duration::from_secs(30);

/// What the user asks for.
#[derive(Clone, Debug)]
pub struct RunRequest {
    /// Pipeline file or built-in name.
    pub pipeline: String,
    /// `--set` assignments.
    pub sets: Vec<String>,
    /// Manifest file, folder, pattern or video.
    pub manifest: String,
    /// Output folder.
    pub out: PathBuf,
    /// Videos at once; none = one per core.
    pub jobs: Option<usize>,
    /// Everything in one thread, for debugging.
    pub is_sequential: bool,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct RunResult {
    /// Counts by stage over all finished work, of earlier runs too.
    pub funnel: Funnel,
    /// How the run ended.
    pub ended: Ended,
    /// Shards that are finished.
    pub shards: Vec<PathBuf>,
    /// The folder.
    pub dir: RunDir,
    /// What the endpoint was asked in this run, if there is one.
    pub endpoint_usage: Option<EndpointUsage>,
}

/// A request with its files read and checked.
pub(super) struct Prepared {
    pub(super) config: Arc<Config>,
    pub(super) entries: Vec<ManifestEntry>,
    pub(super) dir: RunDir,
    pub(super) stages: EditPairs,
    pub(super) models: Models,
    pub(super) filters: Vec<FilterInfo>,
    pub(super) columns: RowColumns,
    pub(super) context: RowContext,
    pub(super) fingerprint: Fingerprint,
    pub(super) info: RunInfo,
}

/// Reads and checks everything a run needs; writes nothing.
pub(super) fn prepare(request: &RunRequest) -> Result<Prepared, FatalError> {
    let config = Arc::new(load_pipeline(&request.pipeline, &request.sets)?.config);
    let manifest = read_manifest(&request.manifest)?;
    if !manifest.problems.is_empty() {
        return Err(ConfigError(manifest.problems).into());
    }
    if manifest.entries.is_empty() {
        return Err(ConfigError::one(&*request.manifest, "holds no videos").into());
    }
    let entries = manifest.entries;
    let dir = RunDir::new(&request.out);
    let store = Arc::new(ModelStore::default());
    let models = Models::new(Arc::clone(&config), store)?;
    let memo = Memo::open(&dir.cache());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = request.jobs.unwrap_or(cores).max(1);
    let stages = EditPairs::new(&config, &models, &memo, &dir.tmp(), jobs)?;
    let filters = filter_infos(&config);
    let embeds = filters
        .iter()
        .any(|info| info.name == "similarity_window" && info.is_enabled);
    let model_refs = models.refs(embeds)?;
    let prompts = prompts(&config, &stages);
    let config_hash = config_hash(&config);
    let scores: Vec<ScoreColumn> = filters
        .iter()
        .map(|info| ScoreColumn::new(info.name, info.unit, info.about))
        .collect();
    let context = RowContext {
        pipeline: config.pipeline.clone(),
        pipeline_version: env!("CARGO_PKG_VERSION").to_owned(),
        config_hash: config_hash.clone(),
        models: model_refs.clone(),
        prompts: prompts
            .iter()
            .map(|(stage, prompt)| PromptRef {
                stage: stage.clone(),
                prompt: prompt.clone(),
            })
            .collect(),
    };
    let fingerprint = Fingerprint::from_hash(
        Hasher::new("run")
            .json(&stages.fingerprints())
            .str(&config_hash)
            .str(env!("CARGO_PKG_VERSION"))
            .json(&model_refs)
            .finish(),
    );
    let info = RunInfo {
        pipeline: config.pipeline.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        config_hash,
        fingerprint: fingerprint.as_str().to_owned(),
        manifest: WebAddress::new(&*request.manifest).shown(),
        manifest_rows: entries.len() as u32,
        config: Config::clone(&config),
        models: model_refs,
        prompts,
        filters: RunInfo::filters_json(&filters),
    };
    let columns = RowColumns::new(&scores, JUDGE_AXES);
    Ok(Prepared {
        config,
        entries,
        dir,
        stages,
        models,
        filters,
        columns,
        context,
        fingerprint,
        info,
    })
}

impl Prepared {
    /// Fails on the first model whose weights are missing, before anything is written.
    fn require_weights(&self) -> Result<(), FatalError> {
        let store = ModelStore::default();
        for name in self
            .info
            .models
            .iter()
            .filter_map(|model| model.model.split('@').next())
        {
            let is_known = MODELS.iter().any(|def| def.name == name);
            if is_known && let ModelStatus::Missing(path) = store.status(name)? {
                let (name, what) = (name.to_owned(), format!("{} is missing", path.display()));
                return Err(FatalError::ModelMissing { name, what });
            }
        }
        Ok(())
    }

    /// What the folder already holds of this run.
    pub(super) fn chunks(&self) -> Result<Chunks, FatalError> {
        Chunks::restore(
            &self.dir,
            &self.config.pipeline,
            self.columns.clone(),
            self.config.output.chunk_rows,
            self.config.duplicate.max_distance_bits,
            &self.entries,
            &self.fingerprint,
        )
    }
}

/// Runs or continues. `started` gets the counters before the first video; `hung` is called for an
/// item whose thread does not come back.
///
/// # Errors
/// What stops a run: wrong input, a missing model, a full disk. What is finished stays.
pub fn run(
    request: &RunRequest,
    stop: &Stop,
    started: &mut dyn FnMut(&Arc<Monitor>),
    hung: impl Fn(&Activity) + Send + 'static,
) -> Result<RunResult, FatalError> {
    let prepared = prepare(request)?;
    prepared.require_weights()?;
    store::create_dir(prepared.dir.root())?;
    let lock = store::lock_dir(prepared.dir.root())?;
    prepared.dir.prepare()?;
    let before = prepared.dir.info()?;
    prepared.dir.claim(&prepared.info)?;
    let mut chunks = prepared.chunks()?;
    chunks.set_strays_aside(before.as_ref())?;
    chunks.remove_orphans()?;

    let Prepared {
        config,
        entries,
        dir,
        stages,
        models,
        filters,
        columns,
        context,
        fingerprint,
        ..
    } = prepared;
    let monitor = Monitor::with_in_flight(
        entries.len() as u64,
        chunks.num_committed(),
        InFlight::open(&in_flight_path(dir.root()))?,
    );
    let _watchdog = Watchdog::start(&monitor, HANG_GRACE, hung)?;
    started(&monitor);

    let mut ledger = Ledger::open(&dir.ledger(), "main")?;
    chunks.assemble_ready(&mut ledger)?;
    let open_rows: BTreeSet<u32> = (0..entries.len() as u32)
        .filter(|row| !chunks.is_committed(*row))
        .collect();
    let roots = entries.into_iter().zip(0_u32..).filter_map(|(entry, row)| {
        open_rows.contains(&row).then(|| Root {
            row,
            key: root_key(&entry),
            label: entry.uri.clone(),
            item: entry,
        })
    });
    let options = RunOptions {
        item_secs: config.limits.item_secs as u64,
        max_failed_ratio: config.limits.max_failed_ratio,
        stop: stop.clone(),
        quarantined: quarantined(dir.root())?,
        alone: suspects(dir.root())?,
        ..RunOptions::default()
    };
    let runner = if request.is_sequential {
        Runner::Sequential
    } else {
        Runner::Threaded
    };
    let mut sink = RunSink {
        columns: &columns,
        context: &context,
        fingerprint: &fingerprint,
        ledger: &mut ledger,
        chunks: &mut chunks,
        open: BTreeMap::new(),
    };
    let summary = stages
        .chain(roots)
        .run(runner, &options, &monitor, &mut sink)?;

    chunks.check_counts()?;
    let usage = models.usage();
    if let Some(usage) = &usage {
        // Costs of this run only, so they stand apart from the results, which reruns repeat.
        let line = format!("{}\n", serde_json::json!(usage));
        store::Appender::open(&dir.endpoint_usage())?.append(line.as_bytes())?;
    }
    let funnel = chunks.funnel();
    report(&dir, &config, &context, &filters, &funnel, &chunks)?;
    drop(lock);
    Ok(RunResult {
        funnel,
        ended: summary.ended,
        shards: chunks.shard_paths(),
        endpoint_usage: usage,
        dir,
    })
}

fn report(
    dir: &RunDir,
    config: &Config,
    context: &RowContext,
    filters: &[FilterInfo],
    funnel: &Funnel,
    chunks: &Chunks,
) -> Result<(), FatalError> {
    let shards = chunks.shard_paths();
    let (done, all) = chunks.num_done();
    let mut facts = vec![
        (
            "Pipeline".to_owned(),
            format!("{} {}", config.pipeline, context.pipeline_version),
        ),
        (
            "Shards".to_owned(),
            format!("{} from {done} of {all} chunks", shards.len()),
        ),
    ];
    facts.extend(context.models.iter().map(|model| {
        // Roles are config words; the page is read by people.
        (model.role.replace('_', " "), model.model.clone())
    }));
    let filters: Vec<ReportFilter> = filters
        .iter()
        .filter(|info| info.is_enabled)
        .map(|info| ReportFilter {
            name: info.name.to_owned(),
            unit: info.unit.to_owned(),
            about: info.about.to_owned(),
            range: info.range,
        })
        .collect();
    build_report(&ReportInput {
        run_dir: dir.root(),
        title: "Edit pairs",
        facts,
        funnel,
        filters: &filters,
        shards: &shards,
        rejects: &chunks.reject_paths(),
        heat_map: &|from, to| heat_map(from, to, HEAT_MAP_SIDE_PX),
    })?;
    write_dataset_card(&CardInput {
        run_dir: dir.root(),
        title: "Edit pairs",
        shards: &shards,
        about: "Two real frames of one scene that differ by one describable change, and the \
                instruction that leads from the first to the second.",
    })?;
    Ok(())
}

/// Prompts that have a part in rows, as `(stage, name@sha256:12)`.
fn prompts(config: &Config, stages: &EditPairs) -> Vec<(String, String)> {
    use crate::config::InstructionWriter;
    use crate::models::caption::PromptText;
    let mut prompts = Vec::new();
    let mut add = |stage: &str, name: &str| {
        if let Some(prompt) = PromptText::find(name) {
            prompts.push((stage.to_owned(), prompt.label()));
        }
    };
    if config.instruct.writer == InstructionWriter::Endpoint {
        add("instruct", &config.instruct.prompt);
    }
    if stages.judge.judge.is_some() && config.judge.backend == JudgeBackend::Endpoint {
        add("judge", &config.judge.prompt);
    }
    prompts
}

/// Hash of all settings that rows depend on: not of threads, limits or the size of shards.
fn config_hash(config: &Config) -> String {
    let mut config = config.clone();
    config.limits = Limits::default();
    config.workers = Workers::default();
    config.output.chunk_rows = 1;
    let hash = Hasher::new("config").json(&config).finish();
    Fingerprint::from_hash(hash).short().to_owned()
}
