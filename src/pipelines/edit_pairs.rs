//! Edit pairs: two real frames of one scene that differ by one describable change.
//!
//! ```text
//! ManifestEntry ─ingest→ Video ─split→ Scene ─screen_scenes→ Scene ─propose_pairs→ PairCandidate
//!   ─screen_pairs→ PairCandidate ─fetch_frames→ FramePair ─instruct→ Draft ─judge→ Draft ─encode→ Sample
//! ```

use std::path::Path;
use std::sync::Arc;

use super::{Models, range};
use crate::config::{Config, ImageFormat, InstructionWriter, Mode};
use crate::core::{ByteBudget, FatalError, Fingerprint, ManifestEntry, Ranges, Sample};
use crate::engine::{Chain, Memo, Root, Stage};
use crate::filters::{FilterDef, PAIR_FILTERS, SCENE_FILTERS, in_cost_order};
use crate::media::FetchOptions;
use crate::stages::encode::Encode;
use crate::stages::fetch_frames::FetchFrames;
use crate::stages::ingest::Ingest;
use crate::stages::instruct::Instruct;
use crate::stages::judge::Judge;
use crate::stages::propose_pairs::ProposePairs;
use crate::stages::recall::Recall;
use crate::stages::screen::{Bound, Screen};
use crate::stages::split::Split;

/// Longer side of the pictures that the measured writer sees, pixels.
const TEMPLATE_SIDE_PX: u32 = 512;

/// The stages of a run, before they are put in a chain.
pub struct EditPairs {
    /// Getting at the bytes.
    pub ingest: Ingest,
    /// Videos to scenes.
    pub split: Split,
    /// Filters of scenes.
    pub screen_scenes: Screen<crate::core::Scene>,
    /// Scenes to pairs.
    pub propose_pairs: ProposePairs,
    /// Filters of pairs.
    pub screen_pairs: Screen<crate::core::PairCandidate>,
    /// Full-resolution frames.
    pub fetch_frames: FetchFrames,
    /// Instructions.
    pub instruct: Instruct,
    /// Points.
    pub judge: Judge,
    /// Image files.
    pub encode: Encode,
}

impl EditPairs {
    /// The stages for a config, on `jobs` videos at once.
    ///
    /// # Errors
    /// Unknown models or prompts.
    pub fn new(
        config: &Config,
        models: &Models,
        memo: &Memo,
        download_dir: &Path,
        jobs: usize,
    ) -> Result<Self, FatalError> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let half = jobs.div_ceil(2);
        let decode_threads = (cores / jobs.max(1)).max(1);
        let memory_bytes = config.limits.memory_bytes.as_u64();
        let (detector, detector_identity) = models.detector()?;
        let (writer, writer_identity) = models.writer()?;
        let judge = models.judge()?;
        let is_measured = config.instruct.writer == InstructionWriter::Template;
        let rejects = config.output.mode == Mode::Drop;
        let source = Arc::new(models.clone());
        let propose_pairs = ProposePairs {
            min_gap_secs: config.propose_pairs.gap_secs.min,
            max_gap_secs: config.propose_pairs.gap_secs.max,
            max_per_scene: config.propose_pairs.max_per_scene,
        };
        let ingest = ingest(config, download_dir, config.workers.ingest.unwrap_or(1));
        Ok(Self {
            split: Split {
                source_identity: ingest.fingerprint().as_str().to_owned(),
                detector,
                detector_identity,
                min_scene_secs: config.split.min_scene_secs,
                trim_secs: config.split.trim_secs,
                samples_per_sec: config.sample_frames.per_sec,
                max_samples: config.sample_frames.max_per_scene,
                sample_max_side_px: config.sample_frames.max_side_px,
                decode_threads,
                fast: config.split.fast,
                workers: config.workers.split.unwrap_or(jobs),
                measures: true,
                keep_scores: false,
                memo: Some(memo.clone()),
                recall: Some(Recall {
                    identity: models.measuring_identity()?,
                    scene: ranges(&bound(config, SCENE_FILTERS)),
                    pair: ranges(&bound(config, PAIR_FILTERS)),
                    rejects,
                    proposal: propose_pairs.fingerprint(),
                }),
                budget: ByteBudget::new(memory_bytes / 2),
            },
            ingest,
            screen_scenes: Screen {
                name: "screen_scenes",
                filters: bound(config, SCENE_FILTERS),
                rejects,
                workers: 1,
                models: source.clone(),
            },
            propose_pairs,
            screen_pairs: Screen {
                name: "screen_pairs",
                filters: bound(config, PAIR_FILTERS),
                rejects,
                workers: config.workers.screen_pairs.unwrap_or(half),
                models: source,
            },
            fetch_frames: FetchFrames {
                decode_threads,
                workers: config.workers.fetch_frames.unwrap_or(half),
                budget: ByteBudget::new(memory_bytes / 2),
            },
            instruct: Instruct {
                writer,
                writer_identity,
                max_side_px: if is_measured {
                    TEMPLATE_SIDE_PX
                } else {
                    config.endpoint.image_max_side_px
                },
                workers: config
                    .workers
                    .instruct
                    .unwrap_or(if is_measured { half } else { 4 }),
                memo: (!is_measured).then(|| memo.clone()),
                is_remote: config.instruct.writer == InstructionWriter::Endpoint,
            },
            judge: Judge {
                judge_identity: judge
                    .as_ref()
                    .map_or_else(String::new, |(_, id)| id.clone()),
                min_points: (judge.is_some() && rejects).then_some(config.judge.min),
                workers: config
                    .workers
                    .judge
                    .unwrap_or(if judge.is_some() { 4 } else { 1 }),
                judge: judge.map(|(make, _)| make),
                max_side_px: config.endpoint.image_max_side_px,
                memo: Some(memo.clone()),
            },
            encode: encode(config, config.workers.encode.unwrap_or(half)),
        })
    }

    /// Name, workers and fingerprint of every stage, in order.
    pub fn outline(&self) -> Vec<(&'static str, usize, Fingerprint)> {
        fn line<S: Stage>(stage: &S) -> (&'static str, usize, Fingerprint) {
            (stage.name(), stage.workers(), stage.fingerprint())
        }
        vec![
            line(&self.ingest),
            line(&self.split),
            line(&self.screen_scenes),
            line(&self.propose_pairs),
            line(&self.screen_pairs),
            line(&self.fetch_frames),
            line(&self.instruct),
            line(&self.judge),
            line(&self.encode),
        ]
    }

    /// Fingerprints of every stage, in order; the run's identity.
    pub fn fingerprints(&self) -> Vec<Fingerprint> {
        self.outline()
            .into_iter()
            .map(|(_, _, fingerprint)| fingerprint)
            .collect()
    }

    /// The stages in order, fed with roots.
    pub fn chain<'r, I>(self, roots: I) -> Chain<'r, ManifestEntry, Sample>
    where
        I: IntoIterator<Item = Root<ManifestEntry>>,
        I::IntoIter: 'r,
    {
        Chain::source(roots)
            .then(self.ingest)
            .then(self.split)
            .then(self.screen_scenes)
            .then(self.propose_pairs)
            .then(self.screen_pairs)
            .then(self.fetch_frames)
            .then(self.instruct)
            .then(self.judge)
            .then(self.encode)
    }
}

fn ranges<T>(filters: &[Bound<T>]) -> Ranges {
    let ranges = filters.iter().map(|bound| (bound.def.name, bound.range));
    ranges.collect()
}

/// The stage that opens videos.
pub(super) fn ingest(config: &Config, download_dir: &Path, workers: usize) -> Ingest {
    Ingest {
        download_dir: download_dir.to_owned(),
        fetch: FetchOptions {
            max_bytes: config.ingest.download_max_bytes.as_u64(),
            timeout_secs: config.ingest.download_secs as u64,
            allow_private_addresses: config.ingest.allow_private_addresses,
        },
        crop_black_bars: config.ingest.crop_black_bars,
        workers,
    }
}

/// The stage that makes image files.
pub(super) fn encode(config: &Config, workers: usize) -> Encode {
    Encode {
        jpeg_quality: (config.output.image_format == ImageFormat::Jpeg)
            .then_some(config.output.jpeg_quality),
        max_px: config.output.image_max_px,
        workers,
    }
}

/// The filters that are switched on, cheap ones first, with their ranges.
pub(super) fn bound<T>(config: &Config, defs: &'static [FilterDef<T>]) -> Vec<Bound<T>> {
    in_cost_order(defs)
        .into_iter()
        .filter(|def| {
            let choice = config.filters.get(def.name);
            choice.and_then(|choice| choice.enabled).unwrap_or(true)
        })
        .map(|def| Bound {
            def,
            range: range(def.default, config.filters.get(def.name)),
        })
        .collect()
}
