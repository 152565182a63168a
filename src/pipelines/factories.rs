//! From names in the config to running detectors, embedders, writers and judges.

use std::sync::Arc;

use crate::config::{self, Config, Detector, InstructionWriter as Writer, JudgeBackend};
use crate::core::{ConfigError, FatalError, Hasher, ModelRef};
use crate::filters::ModelSource;
use crate::models::caption::{
    ChatJudge, ChatWriter, Endpoint, EndpointOptions, PromptText, TemplateWriter,
};
use crate::models::embed::EfficientNetLite0;
use crate::models::scene::{
    AdaptiveDetector, AdaptiveOptions, CombinedDetector, ContentDetector, ContentOptions,
    ContentWeights, FadeTo, FlashFilter, HashDetector, HashOptions, HistogramDetector,
    HistogramOptions, ThresholdDetector, ThresholdOptions, TransNetOptions, TransNetV2,
    TransitionDetector, TransitionOptions,
};
use crate::models::{Embedder, MODELS, ModelStore, SceneDetector};
use crate::runtime::SessionOptions;
use crate::stages::instruct::WriterFactory;
use crate::stages::judge::JudgeFactory;
use crate::stages::split::DetectorFactory;

/// The embedder there is.
const EMBEDDER: &str = "efficientnet_lite0";

/// What an endpoint was asked in one run, retries included; tokens as the service counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct EndpointUsage {
    /// Requests sent.
    pub requests: u64,
    /// Tokens of questions.
    pub prompt_tokens: u64,
    /// Tokens of answers.
    pub answer_tokens: u64,
}

/// Makes the models that a config names.
#[derive(Clone)]
pub struct Models {
    config: Arc<Config>,
    store: Arc<ModelStore>,
    endpoint: Option<Endpoint>,
}

impl Models {
    /// Models from a store; nothing is loaded yet.
    ///
    /// # Errors
    /// When the endpoint's settings are wrong.
    pub fn new(config: Arc<Config>, store: Arc<ModelStore>) -> Result<Self, ConfigError> {
        if config.models.embedder != EMBEDDER {
            let what = format!(
                "unknown embedder `{}`, expected `{EMBEDDER}`",
                config.models.embedder
            );
            return Err(ConfigError::one("models.embedder", what));
        }
        let needs_endpoint = config.instruct.writer == Writer::Endpoint
            || config.judge.backend == JudgeBackend::Endpoint;
        let endpoint = needs_endpoint
            .then(|| Endpoint::new(endpoint_options(&config)))
            .transpose()?;
        Ok(Self {
            config,
            store,
            endpoint,
        })
    }

    /// What the endpoint was asked since this process began; none without an endpoint.
    pub fn usage(&self) -> Option<EndpointUsage> {
        self.endpoint.as_ref().map(|endpoint| EndpointUsage {
            requests: endpoint.usage().requests(),
            prompt_tokens: endpoint.usage().prompt_tokens(),
            answer_tokens: endpoint.usage().answer_tokens(),
        })
    }

    /// Names of the models with weights that the config needs, by role.
    pub fn weights_needed(config: &Config, embeds: bool) -> Vec<(&'static str, String)> {
        let mut needed = Vec::new();
        if config.split.detector.needs_network() {
            needed.push(("scene_detector", "transnet_v2".to_owned()));
        }
        if embeds {
            needed.push(("embedder", config.models.embedder.clone()));
        }
        needed
    }

    /// Every model that has a part in a row.
    ///
    /// # Errors
    /// When a model is unknown.
    pub fn refs(&self, embeds: bool) -> Result<Vec<ModelRef>, FatalError> {
        let mut refs = Vec::new();
        for (role, name) in Self::weights_needed(&self.config, embeds) {
            refs.push(ModelRef {
                role: role.to_owned(),
                model: self.store.digest(&name)?,
            });
        }
        if self.config.split.detector != Detector::TransnetV2 {
            let model = self.config.split.detector.name().to_owned();
            refs.push(ModelRef {
                role: "scene_detector".into(),
                model,
            });
        }
        let endpoint = || format!("endpoint:{}", self.config.endpoint.model);
        let writer = match self.config.instruct.writer {
            Writer::Template => "template".to_owned(),
            Writer::Onnx => format!(
                "onnx:{}",
                self.config.models.captioner.as_deref().unwrap_or("")
            ),
            Writer::Endpoint => endpoint(),
        };
        refs.push(ModelRef {
            role: "instruction_writer".into(),
            model: writer,
        });
        if self.config.judge.backend == JudgeBackend::Endpoint {
            refs.push(ModelRef {
                role: "judge".into(),
                model: endpoint(),
            });
        }
        Ok(refs)
    }

    /// What filters measure with: a number of another version or by another model is another one.
    ///
    /// # Errors
    /// When a model is unknown.
    pub fn measuring_identity(&self) -> Result<String, FatalError> {
        let choice = self.config.filters.get("similarity_window");
        let embeds = choice.and_then(|choice| choice.enabled).unwrap_or(true);
        let embedder = embeds.then(|| self.store.digest(&self.config.models.embedder));
        let embedder = embedder.transpose()?.unwrap_or_default();
        Ok(format!("{} {embedder}", env!("CARGO_PKG_VERSION")))
    }

    /// The instruction writer's factory and identity.
    ///
    /// # Errors
    /// When the prompt is unknown.
    pub fn writer(&self) -> Result<(WriterFactory, String), ConfigError> {
        match (self.config.instruct.writer, &self.endpoint) {
            (Writer::Endpoint, Some(endpoint)) => {
                let prompt = prompt("instruct.prompt", &self.config.instruct.prompt)?;
                let identity = endpoint_identity(&self.config, prompt);
                let endpoint = endpoint.clone();
                let make = move || {
                    let writer = ChatWriter::new(Box::new(endpoint.clone()), prompt);
                    Ok(Box::new(writer) as Box<_>)
                };
                Ok((Arc::new(make), identity))
            }
            (Writer::Onnx, _) => Err(no_onnx_captioner(&self.config, "instruct.writer")),
            _ => {
                let make = || Ok(Box::new(TemplateWriter) as Box<_>);
                Ok((Arc::new(make), TemplateWriter::IDENTITY.to_owned()))
            }
        }
    }

    /// The judge's factory and identity, if there is a judge.
    ///
    /// # Errors
    /// When the prompt is unknown.
    pub fn judge(&self) -> Result<Option<(JudgeFactory, String)>, ConfigError> {
        if self.config.judge.backend == JudgeBackend::Onnx {
            return Err(no_onnx_captioner(&self.config, "judge.backend"));
        }
        let Some(endpoint) = self
            .endpoint
            .clone()
            .filter(|_| self.config.judge.backend == JudgeBackend::Endpoint)
        else {
            return Ok(None);
        };
        let prompt = prompt("judge.prompt", &self.config.judge.prompt)?;
        let identity = endpoint_identity(&self.config, prompt);
        let make = move || {
            let judge = ChatJudge::new(Box::new(endpoint.clone()), prompt);
            Ok(Box::new(judge) as Box<_>)
        };
        Ok(Some((Arc::new(make), identity)))
    }

    /// The scene detector's factory and identity.
    ///
    /// # Errors
    /// When a model is unknown.
    pub fn detector(&self) -> Result<(DetectorFactory, String), FatalError> {
        detector_factory(&self.config, &self.store, 1)
    }
}

/// The scene detector that a config names, and everything its cuts depend on; a network runs with
/// that many threads.
///
/// # Errors
/// When a model is unknown.
pub fn detector_factory(
    config: &Config,
    store: &Arc<ModelStore>,
    threads: usize,
) -> Result<(DetectorFactory, String), FatalError> {
    let split = config.split.clone();
    let identity = |settings: String| format!("{}:{settings}", split.detector.name());
    let session = SessionOptions {
        intra_threads: threads,
        ..SessionOptions::default()
    };
    // The smallest scene length is kept by the split stage, in seconds.
    Ok(match split.detector {
        Detector::TransnetV2 => {
            let identity = identity(format!(
                "{}:{}",
                store.digest("transnet_v2")?,
                split.transnet_v2.threshold
            ));
            let store = Arc::clone(store);
            let make = move || {
                let options = TransNetOptions {
                    threshold: split.transnet_v2.threshold,
                    batch_windows: split.transnet_v2.batch_windows,
                    ..TransNetOptions::default()
                };
                let detector = TransNetV2::open(&store, session, options)?;
                Ok(Box::new(detector) as Box<dyn SceneDetector>)
            };
            (Arc::new(make), identity)
        }
        Detector::Transitions => {
            let options = transition_options(&split.transitions);
            let identity = identity(settings(&split.transitions));
            let make = move || Ok(Box::new(TransitionDetector::new(options)) as Box<_>);
            (Arc::new(make), identity)
        }
        Detector::Combined => {
            let options = transition_options(&split.transitions);
            let identity = identity(format!(
                "{}:{}:{}",
                store.digest("transnet_v2")?,
                split.transnet_v2.threshold,
                settings(&split.transitions)
            ));
            let store = Arc::clone(store);
            let make = move || {
                let network = TransNetOptions {
                    threshold: split.transnet_v2.threshold,
                    batch_windows: 1,
                    merge_frames: 0,
                    ..TransNetOptions::default()
                };
                let network = TransNetV2::open(&store, session, network)?;
                let pictures = TransitionDetector::new(options);
                Ok(Box::new(CombinedDetector::new(pictures, network)) as Box<_>)
            };
            (Arc::new(make), identity)
        }
        Detector::Adaptive => {
            let options = AdaptiveOptions {
                threshold: split.adaptive.threshold,
                window_frames: split.adaptive.window_frames as _,
                min_content: split.adaptive.min_content,
                min_scene_frames: 1,
                ..AdaptiveOptions::default()
            };
            let identity = identity(settings(&split.adaptive));
            let make = move || Ok(Box::new(AdaptiveDetector::new(options)) as Box<_>);
            (Arc::new(make), identity)
        }
        Detector::Content => {
            let options = content_options(&split.content)?;
            let identity = identity(settings(&split.content));
            let make = move || Ok(Box::new(ContentDetector::new(options)) as Box<_>);
            (Arc::new(make), identity)
        }
        Detector::Hash => {
            let options = HashOptions {
                threshold: split.hash.threshold,
                side: split.hash.side_bits,
                lowpass: split.hash.lowpass,
                min_scene_frames: 1,
            };
            // Found out here, before the run begins.
            HashDetector::new(options)
                .map_err(|error| ConfigError::one("split.hash", error.what))?;
            let identity = identity(settings(&split.hash));
            let make = move || {
                let detector = HashDetector::new(options)
                    .map_err(|error| ConfigError::one("split.hash", error.to_string()))?;
                Ok(Box::new(detector) as Box<_>)
            };
            (Arc::new(make), identity)
        }
        Detector::Histogram => {
            let options = HistogramOptions {
                threshold: split.histogram.threshold,
                bins: split.histogram.bins,
                min_scene_frames: 1,
            };
            let identity = identity(settings(&split.histogram));
            let make = move || Ok(Box::new(HistogramDetector::new(options)) as Box<_>);
            (Arc::new(make), identity)
        }
        Detector::Threshold => {
            let fades = &split.threshold;
            let options = ThresholdOptions {
                threshold: fades.threshold,
                fade_to: match fades.fade_to {
                    config::FadeTo::Black => FadeTo::Black,
                    config::FadeTo::White => FadeTo::White,
                },
                fade_bias: fades.fade_bias,
                add_final_scene: fades.add_final_scene,
                min_out_frames: fades.min_out_frames,
                min_scene_frames: 1,
            };
            let identity = identity(settings(fades));
            let make = move || Ok(Box::new(ThresholdDetector::new(options)) as Box<_>);
            (Arc::new(make), identity)
        }
    })
}

fn transition_options(transitions: &config::Transitions) -> TransitionOptions {
    TransitionOptions {
        min_difference: transitions.min_difference,
        min_gradual_difference: transitions.min_gradual_difference,
        max_flash_frames: transitions.max_flash_frames,
    }
}

/// A section as one line, for the identity of a detector.
fn settings(section: &impl serde::Serialize) -> String {
    serde_json::to_string(section).unwrap_or_default()
}

fn content_options(content: &config::Content) -> Result<ContentOptions, ConfigError> {
    if content.edge_px != 0 && (content.edge_px < 3 || content.edge_px.is_multiple_of(2)) {
        let what = format!("{} is neither 0 nor an odd number from 3", content.edge_px);
        return Err(ConfigError::one("split.content.edge_px", what));
    }
    let weights = content.weights;
    Ok(ContentOptions {
        threshold: content.threshold,
        min_scene_frames: content.flash_frames,
        flash_filter: match content.flash_filter {
            config::FlashFilter::Merge => FlashFilter::Merge,
            config::FlashFilter::Suppress => FlashFilter::Suppress,
        },
        weights: ContentWeights {
            hue: weights.hue,
            saturation: weights.saturation,
            luma: weights.luma,
            edges: weights.edges,
            edge_px: content.edge_px,
        },
    })
}

impl ModelSource for Models {
    fn embedder(&self) -> Result<Box<dyn Embedder>, ConfigError> {
        let embedder = EfficientNetLite0::open(&self.store, SessionOptions::default())
            .map_err(|error| ConfigError::one("models.embedder", error.to_string()))?;
        Ok(Box::new(embedder))
    }
}

/// Why "onnx" cannot be had: no card of that name has the role of a captioner.
fn no_onnx_captioner(config: &Config, key: &str) -> ConfigError {
    let known: Vec<&str> = MODELS
        .iter()
        .filter(|def| def.card().is_ok_and(|card| card.role == "captioner"))
        .map(|def| def.name)
        .collect();
    let what = match (&config.models.captioner, known.is_empty()) {
        (_, true) => "this version has no ONNX captioner; use \"endpoint\"".to_owned(),
        (None, _) => format!("models.captioner is not set; known: {}", known.join(", ")),
        (Some(name), _) => format!("no captioner `{name}`; known: {}", known.join(", ")),
    };
    ConfigError::one(key, what)
}

fn prompt(key: &str, name: &str) -> Result<PromptText, ConfigError> {
    PromptText::find(name)
        .ok_or_else(|| ConfigError::one(key, format!("no prompt `{name}` in prompts/")))
}

fn endpoint_identity(config: &Config, prompt: PromptText) -> String {
    let endpoint = &config.endpoint;
    let hash = Hasher::new("endpoint")
        .str(&endpoint.base_url)
        .str(&endpoint.model)
        .int(i64::from(endpoint.max_answer_tokens))
        .int(i64::from(endpoint.image_max_side_px))
        .int(config.seed as i64)
        .str(&prompt.label());
    crate::core::Key::from_hash(hash.finish())
        .as_str()
        .to_owned()
}

fn endpoint_options(config: &Config) -> EndpointOptions {
    let endpoint = &config.endpoint;
    EndpointOptions {
        base_url: endpoint.base_url.clone(),
        model: endpoint.model.clone(),
        key_env: endpoint.key_env.clone(),
        timeout_secs: endpoint.timeout_secs,
        max_retries: endpoint.max_retries,
        requests_per_sec: endpoint.requests_per_sec,
        max_answer_tokens: endpoint.max_answer_tokens,
        image_max_side_px: endpoint.image_max_side_px,
        seed: config.seed,
        ..EndpointOptions::default()
    }
}
