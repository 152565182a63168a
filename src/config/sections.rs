//! The sections of a pipeline file, with their defaults.
//!
//! Units are in the names; a key that is left out has the value given in `Default` below.

use std::collections::BTreeMap;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::detectors::{Content, Hash, Histogram, Threshold, Transitions};

/// A whole pipeline file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Which product: `edit_pairs`.
    pub pipeline: String,
    /// Seed of everything random; part of every row's lineage.
    pub seed: u64,
    /// Bounds of the run.
    pub limits: Limits,
    /// Threads per stage; what is left out is planned from the cores.
    pub workers: Workers,
    /// What is written and how.
    pub output: Output,
    /// Which model has which role, by card name.
    pub models: Models,
    /// Getting at the videos.
    pub ingest: Ingest,
    /// Cutting videos into scenes.
    pub split: Split,
    /// Frames kept from the low-resolution pass.
    pub sample_frames: SampleFrames,
    /// Choosing two frames of a scene.
    pub propose_pairs: ProposePairs,
    /// Ranges by filter name.
    pub filters: BTreeMap<String, FilterChoice>,
    /// Near-copies of pairs that the run already has.
    pub duplicate: Duplicate,
    /// Writing the instruction.
    pub instruct: Instruct,
    /// Judging the pair with its instruction.
    pub judge: Judge,
    /// The chat service that `instruct.writer` or `judge.backend` = "endpoint" calls.
    pub endpoint: Endpoint,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            pipeline: "edit_pairs".into(),
            seed: 7,
            limits: Limits::default(),
            workers: Workers::default(),
            output: Output::default(),
            models: Models::default(),
            ingest: Ingest::default(),
            split: Split::default(),
            sample_frames: SampleFrames::default(),
            propose_pairs: ProposePairs::default(),
            filters: BTreeMap::new(),
            duplicate: Duplicate::default(),
            instruct: Instruct::default(),
            judge: Judge::default(),
            endpoint: Endpoint::default(),
        }
    }
}

/// Bounds of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Pixels in flight, bytes, such as "512MiB".
    #[schemars(schema_with = "super::schema::byte_size")]
    pub memory_bytes: ByteSize,
    /// Longest time that an item may go without progress in a stage, seconds.
    #[schemars(range(min = 1.0, max = 10_000_000.0))]
    pub item_secs: f64,
    /// The run stops when more than this share of the first 50 videos fail for the same reason.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_failed_ratio: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: ByteSize::mib(512),
            item_secs: 600.0,
            max_failed_ratio: 0.5,
        }
    }
}

/// Threads per stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Workers {
    /// Videos opened and hashed at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub ingest: Option<usize>,
    /// Videos decoded at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub split: Option<usize>,
    /// Threads that measure pairs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub screen_pairs: Option<usize>,
    /// Threads that fetch full-resolution frames.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub fetch_frames: Option<usize>,
    /// Threads that write instructions; more of them keep a remote service busy.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub instruct: Option<usize>,
    /// Threads that judge.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub judge: Option<usize>,
    /// Threads that encode images.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub encode: Option<usize>,
}

/// Image file format of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImageFormat {
    /// Lossless.
    Png,
    /// Lossy, 4:4:4, by `output.jpeg_quality`.
    Jpeg,
}

/// What a failing filter does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The first failing filter rejects.
    Drop,
    /// All filters run and record; none rejects.
    Score,
}

/// What is written and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Output {
    /// Manifest rows per shard.
    #[schemars(range(min = 1))]
    pub chunk_rows: u32,
    /// "png" (lossless) or "jpeg".
    pub image_format: ImageFormat,
    /// JPEG quality, 1-100.
    #[schemars(range(min = 1, max = 100))]
    pub jpeg_quality: u8,
    /// Larger frames are scaled down to this many pixels, aspect ratio kept.
    #[schemars(range(min = 4096))]
    pub image_max_px: u64,
    /// "drop": the first failing filter rejects; "score": filters only record.
    pub mode: Mode,
}

impl Default for Output {
    fn default() -> Self {
        Self {
            chunk_rows: 256,
            image_format: ImageFormat::Png,
            jpeg_quality: 95,
            image_max_px: 1_048_576,
            mode: Mode::Drop,
        }
    }
}

/// Role = card name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Models {
    /// Embeds frames for `filters.similarity_window`.
    pub embedder: String,
    /// Answers questions about frames for `instruct.writer` or `judge.backend` = "onnx".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub captioner: Option<String>,
}

impl Default for Models {
    fn default() -> Self {
        Self {
            embedder: "efficientnet_lite0".into(),
            captioner: None,
        }
    }
}

/// Getting at the videos.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Ingest {
    /// Largest file that is downloaded, bytes.
    #[schemars(schema_with = "super::schema::byte_size")]
    pub download_max_bytes: ByteSize,
    /// Longest download, seconds.
    #[schemars(range(min = 1.0, max = 10_000_000.0))]
    pub download_secs: f64,
    /// Whether http(s) addresses may lead into private networks.
    pub allow_private_addresses: bool,
    /// Whether black bars are cut off before anything else sees a frame.
    pub crop_black_bars: bool,
    /// Whether videos are taken in the order of their uris instead of the manifest's, so that the same
    /// rows in another order give the same shards.
    pub sort_by_uri: bool,
}

impl Default for Ingest {
    fn default() -> Self {
        Self {
            download_max_bytes: ByteSize::gib(4),
            download_secs: 3600.0,
            allow_private_addresses: false,
            crop_black_bars: true,
            sort_by_uri: false,
        }
    }
}

/// How cuts are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Detector {
    /// "transitions" and "transnet_v2" together.
    Combined,
    /// Jumps, mixtures and black or white stretches; finds gradual cuts too; no weights.
    Transitions,
    /// A network; finds gradual cuts too.
    TransnetV2,
    /// HSV difference against its neighbourhood; no weights.
    Adaptive,
    /// HSV difference against a fixed threshold; no weights.
    Content,
    /// Distance of perceptual hashes; no weights.
    Hash,
    /// Correlation of brightness histograms; no weights.
    Histogram,
    /// Fades through black or white; no weights.
    Threshold,
}

impl Detector {
    /// The name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Combined => "combined",
            Self::Transitions => "transitions",
            Self::TransnetV2 => "transnet_v2",
            Self::Adaptive => "adaptive",
            Self::Content => "content",
            Self::Hash => "hash",
            Self::Histogram => "histogram",
            Self::Threshold => "threshold",
        }
    }

    /// Whether it runs TransNet V2.
    pub fn needs_network(self) -> bool {
        matches!(self, Self::Combined | Self::TransnetV2)
    }
}

/// Cutting videos into scenes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Split {
    /// "transitions", "adaptive", "content", "hash", "histogram" or "threshold"; with a network
    /// "transnet_v2" or "combined".
    pub detector: Detector,
    /// A cut sooner than this after the last one is ignored, except with "combined",
    /// "transitions" and "transnet_v2", seconds.
    #[schemars(range(min = 0.0))]
    pub min_scene_secs: f64,
    /// Taken off both ends of a scene, seconds.
    #[schemars(range(min = 0.0))]
    pub trim_secs: f64,
    /// Whether groups of pictures that cannot hold a cut are left undecoded but for their key
    /// frame: several times as fast for H.264 and HEVC, blind for gradual cuts.
    pub fast: bool,
    /// Settings of "transitions", which count for "combined" too.
    pub transitions: Transitions,
    /// Settings of "transnet_v2", which count for "combined" too.
    pub transnet_v2: TransnetV2,
    /// Settings of "adaptive".
    pub adaptive: Adaptive,
    /// Settings of "content".
    pub content: Content,
    /// Settings of "hash".
    pub hash: Hash,
    /// Settings of "histogram".
    pub histogram: Histogram,
    /// Settings of "threshold".
    pub threshold: Threshold,
}

impl Split {
    /// Where the detector cuts, in the unit of its scores.
    pub fn threshold(&self) -> Option<f32> {
        Some(match self.detector {
            Detector::Combined | Detector::Transitions => self.transitions.min_difference,
            Detector::TransnetV2 => self.transnet_v2.threshold,
            Detector::Adaptive => self.adaptive.threshold,
            Detector::Content => self.content.threshold,
            Detector::Hash => self.hash.threshold,
            Detector::Histogram => self.histogram.threshold,
            Detector::Threshold => self.threshold.threshold,
        })
    }
}

impl Default for Split {
    fn default() -> Self {
        Self {
            detector: Detector::Transitions,
            min_scene_secs: 0.6,
            trim_secs: 0.0,
            fast: false,
            transitions: Transitions::default(),
            transnet_v2: TransnetV2::default(),
            adaptive: Adaptive::default(),
            content: Content::default(),
            hash: Hash::default(),
            histogram: Histogram::default(),
            threshold: Threshold::default(),
        }
    }
}

/// Settings of "transnet_v2".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TransnetV2 {
    /// Probability above which a frame belongs to a cut, 0-1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub threshold: f32,
    /// Windows of 100 frames per run of the network.
    #[schemars(range(min = 1, max = 64))]
    pub batch_windows: usize,
}

impl Default for TransnetV2 {
    fn default() -> Self {
        Self {
            threshold: 0.5,
            batch_windows: 1,
        }
    }
}

/// Settings of "adaptive".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Adaptive {
    /// Ratio of a frame's score to its neighbours' above which there is a cut.
    #[schemars(range(min = 0.0))]
    pub threshold: f32,
    /// Smallest content score of a cut, 0-255.
    #[schemars(range(min = 0.0, max = 255.0))]
    pub min_content: f32,
    /// Neighbours on each side, frames.
    #[schemars(range(min = 1, max = 64))]
    pub window_frames: usize,
}

impl Default for Adaptive {
    fn default() -> Self {
        Self {
            threshold: 3.0,
            min_content: 15.0,
            window_frames: 2,
        }
    }
}

/// Frames kept from the low-resolution pass.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SampleFrames {
    /// Frames kept per second of a scene.
    #[schemars(range(min = 0.01, max = 120.0))]
    pub per_sec: f64,
    /// Most frames kept per scene; a longer scene is sampled more sparsely.
    #[schemars(range(min = 2, max = 512))]
    pub max_per_scene: usize,
    /// Longer side of a kept frame, pixels.
    #[schemars(range(min = 64, max = 2048))]
    pub max_side_px: u32,
}

impl Default for SampleFrames {
    fn default() -> Self {
        Self {
            per_sec: 2.0,
            max_per_scene: 48,
            max_side_px: 512,
        }
    }
}

/// Smallest and largest time between the two frames.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Gap {
    /// Seconds.
    #[schemars(range(min = 0.0))]
    pub min: f64,
    /// Seconds.
    #[schemars(range(min = 0.0))]
    pub max: f64,
}

impl Default for Gap {
    fn default() -> Self {
        Self { min: 0.5, max: 6.0 }
    }
}

/// Choosing two frames of a scene.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProposePairs {
    /// Time between the two frames, seconds.
    pub gap_secs: Gap,
    /// Most pairs proposed per scene, spread over its time.
    #[schemars(range(min = 1, max = 256))]
    pub max_per_scene: usize,
}

impl Default for ProposePairs {
    fn default() -> Self {
        Self {
            gap_secs: Gap::default(),
            max_per_scene: 6,
        }
    }
}

/// A filter's range; a side that is left out keeps the filter's default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FilterChoice {
    /// Smallest score that is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<f32>,
    /// Largest score that is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<f32>,
    /// false: neither measured nor applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// Near-copies of pairs that the run already has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Duplicate {
    /// A pair whose both frames are this close to an earlier pair's is a duplicate; bits of 64.
    #[schemars(range(min = 0, max = 7))]
    pub max_distance_bits: u32,
}

impl Default for Duplicate {
    fn default() -> Self {
        Self {
            max_distance_bits: 2,
        }
    }
}

/// Who writes instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InstructionWriter {
    /// Says what measurably changed; needs no weights.
    Template,
    /// A vision-language model on this machine, see `models.captioner`.
    Onnx,
    /// A chat service, see `[endpoint]`.
    Endpoint,
}

/// Writing the instruction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Instruct {
    /// "template", "onnx" or "endpoint".
    pub writer: InstructionWriter,
    /// Name of the prompt in prompts/, for "onnx" and "endpoint".
    pub prompt: String,
}

impl Default for Instruct {
    fn default() -> Self {
        Self {
            writer: InstructionWriter::Template,
            prompt: "edit_instruction_v1".into(),
        }
    }
}

/// Who judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JudgeBackend {
    /// Nobody; the columns stay null.
    None,
    /// A vision-language model on this machine, see `models.captioner`.
    Onnx,
    /// A chat service, see `[endpoint]`.
    Endpoint,
}

/// Judging the pair with its instruction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Judge {
    /// "none", "onnx" or "endpoint".
    pub backend: JudgeBackend,
    /// Name of the prompt in prompts/, for "onnx" and "endpoint".
    pub prompt: String,
    /// Fewest points on every axis, 0-5.
    #[schemars(range(min = 0.0, max = 5.0))]
    pub min: f32,
}

impl Default for Judge {
    fn default() -> Self {
        Self {
            backend: JudgeBackend::None,
            prompt: "edit_judge_v1".into(),
            min: 4.0,
        }
    }
}

/// An OpenAI-compatible chat service that reads images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Endpoint {
    /// Address up to and with the version, such as "http://127.0.0.1:8000/v1".
    pub base_url: String,
    /// Model name in requests.
    pub model: String,
    /// Name of the environment variable that holds the key; left out = no key is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_env: Option<String>,
    /// Longest wait for one answer, seconds.
    #[schemars(range(min = 1.0, max = 10_000_000.0))]
    pub timeout_secs: f64,
    /// Further tries after an error that may pass.
    #[schemars(range(min = 0, max = 20))]
    pub max_retries: u32,
    /// Most requests per second of the whole run; left out = no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.001))]
    pub requests_per_sec: Option<f64>,
    /// Longest answer, tokens.
    #[schemars(range(min = 16))]
    pub max_answer_tokens: u32,
    /// Longer side of the images sent, pixels.
    #[schemars(range(min = 64, max = 4096))]
    pub image_max_side_px: u32,
}

impl Default for Endpoint {
    fn default() -> Self {
        Self {
            base_url: String::new(),
            model: String::new(),
            key_env: None,
            timeout_secs: 120.0,
            max_retries: 4,
            requests_per_sec: None,
            max_answer_tokens: 1024,
            image_max_side_px: 768,
        }
    }
}
