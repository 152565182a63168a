//! One run from config and manifest to shards and report; the same request continues it.

use std::collections::BTreeMap;
use std::os::unix::process::parent_id;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::edit_pairs::EditPairs;
use super::run_dir::{RunDir, RunInfo};
use super::shards::{ChunkPlan, Chunks};
use super::sink::RunSink;
use super::{EndpointUsage, FilterInfo, Models, filter_infos, load_pipeline};
use crate::config::{Config, JudgeBackend, Limits, Workers};
use crate::core::{
    ConfigError, FatalError, Fingerprint, Funnel, Hasher, ManifestEntry, ModelRef, WebAddress,
};
use crate::engine::{
    Activity, Ended, InFlight, Ledger, Memo, Monitor, Root, RunOptions, Runner, Stop, Watchdog,
    in_flight_path, quarantined, suspects,
};
use crate::io::{
    CardInput, PromptRef, ReportFilter, ReportInput, RowColumns, RowContext, SCHEMA_VERSION,
    ScoreColumn, build_report, read_manifest, write_dataset_card,
};
use crate::models::{JUDGE_AXES, MODELS, ModelStatus, ModelStore};
use crate::store;
use crate::vision::heat_map;

/// Longer side of a heat map in the report, pixels.
const HEAT_MAP_SIDE_PX: u32 = 360;
/// Name of this process's files of the commit log; the folder's lock makes it the only one.
pub(super) const LEDGER_WRITER: &str = "main";
/// Most time an item may be late before its worker process is given up; less where items get less.
const HANG_GRACE: Duration = Duration::from_secs(30);

/// What the user asks for.
#[derive(Clone, Debug)]
pub struct RunRequest {
    /// Pipeline file or built-in name; none takes the settings of the run in `out`.
    pub pipeline: Option<String>,
    /// `--set` assignments.
    pub sets: Vec<String>,
    /// Manifest file, folder, pattern or video; none takes that of the run in `out`.
    pub manifest: Option<String>,
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
    /// How many remembered results this run used, by what they are: `split` (cuts), `measured` (a
    /// video's numbers), `instruct`, `judge` (answers).
    pub reused: BTreeMap<String, u64>,
}

/// A request with its files read and checked.
pub(super) struct Prepared {
    pub(super) config: Arc<Config>,
    pub(super) entries: Arc<Vec<ManifestEntry>>,
    pub(super) dir: RunDir,
    pub(super) stages: EditPairs,
    pub(super) models: Models,
    memo: Memo,
    jobs: usize,
    runner: Runner,
    pub(super) filters: Vec<FilterInfo>,
    pub(super) columns: RowColumns,
    pub(super) context: RowContext,
    pub(super) fingerprint: Fingerprint,
    pub(super) info: RunInfo,
}

/// Reads and checks everything a run needs; writes nothing.
pub(super) fn prepare(request: &RunRequest) -> Result<Prepared, FatalError> {
    let dir = RunDir::new(&request.out);
    let (config, named) = if let Some(pipeline) = &request.pipeline {
        (load_pipeline(pipeline, &request.sets)?.config, None)
    } else {
        let info = dir.known_info()?;
        (info.config, Some(info.manifest))
    };
    let config = Arc::new(config);
    let named = request.manifest.clone().or(named).unwrap_or_default();
    let manifest = read_manifest(&named)?;
    if !manifest.problems.is_empty() {
        return Err(ConfigError(manifest.problems).into());
    }
    if manifest.entries.is_empty() {
        return Err(ConfigError::one(&*named, "holds no videos").into());
    }
    let mut entries = manifest.entries;
    if config.ingest.sort_by_uri {
        entries.sort_by(|a, b| a.uri.cmp(&b.uri));
    }
    let entries = Arc::new(entries);
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
            .int(i64::from(SCHEMA_VERSION))
            .json(&model_refs)
            .finish(),
    );
    let info = RunInfo {
        pipeline: config.pipeline.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        config_hash,
        fingerprint: fingerprint.as_str().to_owned(),
        manifest: WebAddress::new(named).shown(),
        manifest_rows: entries.len() as u32,
        config: Config::clone(&config),
        models: model_refs,
        prompts,
        filters: RunInfo::filters_json(&filters),
        selected_from: None,
    };
    let columns = row_columns(&filters);
    Ok(Prepared {
        config,
        entries,
        dir,
        stages,
        models,
        memo,
        jobs,
        runner: if request.is_sequential {
            Runner::Sequential
        } else {
            Runner::Threaded
        },
        filters,
        columns,
        context,
        fingerprint,
        info,
    })
}

/// The columns of rows and reject tables.
pub(super) fn row_columns(filters: &[FilterInfo]) -> RowColumns {
    let score = |info: &FilterInfo| ScoreColumn::new(info.name, info.unit, info.about);
    let scores: Vec<ScoreColumn> = filters.iter().map(score).collect();
    RowColumns::new(&scores, JUDGE_AXES)
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

    /// What the folder already holds of this run; `before` is its `run.json`.
    pub(super) fn chunks(&self, before: Option<&RunInfo>) -> Result<Chunks, FatalError> {
        let plan = ChunkPlan {
            dir: self.dir.clone(),
            pipeline: self.config.pipeline.clone(),
            columns: self.columns.clone(),
            chunk_rows: self.config.output.chunk_rows,
            max_distance_bits: self.config.duplicate.max_distance_bits,
            entries: Arc::clone(&self.entries),
            run: self.fingerprint.clone(),
        };
        let is_same_run = before.is_some_and(|info| info.fingerprint == self.info.fingerprint);
        Chunks::restore(plan, is_same_run)
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
    hung: impl Fn(&Activity) + Clone + Send + 'static,
) -> Result<RunResult, FatalError> {
    let prepared = prepare(request)?;
    prepared.require_weights()?;
    let dir = &prepared.dir;
    store::create_dir(dir.root())?;
    let lock = store::lock_dir(dir.root())?;
    dir.prepare()?;
    let before = dir.info()?;
    dir.claim(&prepared.info)?;
    let mut chunks = prepared.chunks(before.as_ref())?;
    let mut ledger = Ledger::open(&dir.ledger(), LEDGER_WRITER)?;
    chunks.salvage_stale(&mut ledger)?;
    chunks.set_strays_aside(before.as_ref())?;
    chunks.remove_orphans()?;
    chunks.assemble_ready(&mut ledger)?;

    let mut ended;
    loop {
        let before = chunks.num_committed();
        ended = pass(
            &prepared,
            stop,
            started,
            hung.clone(),
            &mut chunks,
            &mut ledger,
            &lock,
        )?;
        // A chunk may turn out to be damaged when it is its turn: its rows are open again.
        let is_over = chunks.is_complete() || chunks.num_committed() <= before;
        if is_over || ended != Ended::Complete {
            break;
        }
    }

    lock.check()?;
    chunks.check_counts()?;
    let usage = prepared.models.usage();
    if let Some(usage) = &usage {
        // Costs of this run only, so they stand apart from the results, which reruns repeat.
        let line = format!("{}\n", serde_json::json!(usage));
        store::Appender::open(&dir.endpoint_usage())?.append(line.as_bytes())?;
    }
    let funnel = chunks.funnel();
    report(&ReportOf {
        dir,
        pipeline: &prepared.config.pipeline,
        models: &prepared.context.models,
        filters: &prepared.filters,
        funnel: &funnel,
        shards: &chunks.shard_paths(),
        rejects: &chunks.reject_paths(),
        chunks: chunks.num_done(),
        notes: Vec::new(),
    })?;
    drop(lock);
    Ok(RunResult {
        funnel,
        ended,
        shards: chunks.shard_paths(),
        endpoint_usage: usage,
        reused: prepared.memo.used(),
        dir: prepared.dir,
    })
}

/// One run of the chain over all rows that need work.
fn pass(
    prepared: &Prepared,
    stop: &Stop,
    started: &mut dyn FnMut(&Arc<Monitor>),
    hung: impl Fn(&Activity) + Send + 'static,
    chunks: &mut Chunks,
    ledger: &mut Ledger,
    lock: &store::RunLock,
) -> Result<Ended, FatalError> {
    let (config, dir) = (&prepared.config, &prepared.dir);
    let monitor = Monitor::with_in_flight(
        prepared.entries.len() as u64,
        chunks.num_committed(),
        InFlight::open(&in_flight_path(dir.root(), parent_id()))?,
    );
    let grace = HANG_GRACE.min(Duration::from_secs(config.limits.item_secs as u64));
    let _watchdog = Watchdog::start(&monitor, grace, hung)?;
    started(&monitor);
    let entries = Arc::clone(&prepared.entries);
    let roots = chunks.open_roots().filter_map(move |(row, key)| {
        let entry = entries.get(row as usize)?;
        Some(Root {
            row,
            key,
            label: entry.uri.clone(),
            item: entry.clone(),
        })
    });
    let options = RunOptions {
        item_secs: config.limits.item_secs as u64,
        max_failed_ratio: config.limits.max_failed_ratio,
        services: services(config, &prepared.stages),
        stop: stop.clone(),
        quarantined: quarantined(dir.root())?,
        alone: suspects(dir.root())?,
        ..RunOptions::default()
    };
    let (models, memo) = (&prepared.models, &prepared.memo);
    let stages = EditPairs::new(config, models, memo, &dir.tmp(), prepared.jobs)?;
    let mut sink = RunSink {
        columns: &prepared.columns,
        context: &prepared.context,
        fingerprint: &prepared.fingerprint,
        ledger,
        chunks,
        lock,
        open: BTreeMap::new(),
    };
    let chain = stages.chain(roots);
    Ok(chain
        .run(prepared.runner, &options, &monitor, &mut sink)?
        .ended)
}

/// What a report and a dataset card are made from.
pub(super) struct ReportOf<'a> {
    pub(super) dir: &'a RunDir,
    pub(super) pipeline: &'a str,
    pub(super) models: &'a [ModelRef],
    pub(super) filters: &'a [FilterInfo],
    pub(super) funnel: &'a Funnel,
    pub(super) shards: &'a [PathBuf],
    pub(super) rejects: &'a [PathBuf],
    /// How many chunks are done, and of how many.
    pub(super) chunks: (usize, usize),
    /// More facts, as label and value.
    pub(super) notes: Vec<(String, String)>,
}

/// Writes the report in its three forms, and the dataset card.
pub(super) fn report(of: &ReportOf<'_>) -> Result<(), FatalError> {
    let (done, all) = of.chunks;
    let shards = of.shards;
    let mut facts = vec![
        (
            "Pipeline".to_owned(),
            format!("{} {}", of.pipeline, env!("CARGO_PKG_VERSION")),
        ),
        (
            "Shards".to_owned(),
            format!("{} from {done} of {all} chunks", shards.len()),
        ),
    ];
    facts.extend(of.notes.iter().cloned());
    facts.extend(of.models.iter().map(|model| {
        // Roles are config words; the page is read by people.
        (model.role.replace('_', " "), model.model.clone())
    }));
    let filters: Vec<ReportFilter> = of
        .filters
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
        run_dir: of.dir.root(),
        title: "Edit pairs",
        facts,
        funnel: of.funnel,
        filters: &filters,
        shards,
        rejects: of.rejects,
        heat_map: &|from, to| heat_map(from, to, HEAT_MAP_SIDE_PX),
    })?;
    write_dataset_card(&CardInput {
        run_dir: of.dir.root(),
        title: "Edit pairs",
        shards,
        about: "Two real frames of one scene that differ by one describable change, and the \
                instruction that leads from the first to the second.",
    })?;
    Ok(())
}

/// Stages that ask the endpoint, and its name for messages.
fn services(config: &Config, stages: &EditPairs) -> BTreeMap<String, String> {
    use crate::config::InstructionWriter;
    let writes = config.instruct.writer == InstructionWriter::Endpoint;
    let judges = stages.judge.judge.is_some() && config.judge.backend == JudgeBackend::Endpoint;
    let name = format!("the endpoint {}", config.endpoint.base_url);
    [("instruct", writes), ("judge", judges)]
        .into_iter()
        .filter(|(_, asks)| *asks)
        .map(|(stage, _)| (stage.to_owned(), name.clone()))
        .collect()
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
pub(super) fn config_hash(config: &Config) -> String {
    let mut config = config.clone();
    config.limits = Limits::default();
    config.workers = Workers::default();
    config.output.chunk_rows = 1;
    let hash = Hasher::new("config").json(&config).finish();
    Fingerprint::from_hash(hash).short().to_owned()
}
