//! Model traits, and one file per network below. All take and give `core` types.
//!
//! No thresholds in here: models measure, configuration decides.

pub mod caption;
mod card;
pub mod embed;
mod pull;
pub mod scene;
mod weights;
mod writer;

pub use card::{Card, Golden, MODELS, ModelDef, PackageMember, WeightsFile};
pub use weights::{ModelStatus, ModelStore};
pub use writer::{InstructionJudge, InstructionWriter, JUDGE_AXES, Judged, Written};

use crate::core::{FrameIndex, ItemError, Rgb8, Score, SizeRule};

/// The border between two scenes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cut {
    /// First frame that no longer belongs to the scene before.
    pub scene_end: FrameIndex,
    /// First frame of the next scene; equal to `scene_end` for a hard cut, later for a gradual one,
    /// whose mixed frames belong to no scene.
    pub scene_start: FrameIndex,
    /// How sure the detector is, in its own unit.
    pub score: Score,
}

/// What a detector has found so far; the caller drains it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Detections {
    /// Cuts in order.
    pub cuts: Vec<Cut>,
    /// Score of each frame, in order, possibly late.
    pub scores: Vec<(FrameIndex, Score)>,
}

/// Finds cuts between scenes: a state machine fed every frame in order.
pub trait SceneDetector {
    /// Config name, such as `content` or `transnet_v2`.
    fn name(&self) -> &'static str;
    /// The picture size it wants.
    fn input(&self) -> SizeRule;
    /// Takes the next frame. What it finds may lie up to `latency_frames` in the past.
    fn push(
        &mut self,
        index: FrameIndex,
        image: &Rgb8,
        out: &mut Detections,
    ) -> Result<(), ItemError>;
    /// Ends the video and readies the detector for another one.
    fn finish(&mut self, out: &mut Detections) -> Result<(), ItemError>;
    /// How late a cut may be reported: counted from its `scene_end`.
    fn latency_frames(&self) -> u32;
    /// Whether it counts frames itself: where some were not decoded it wants the one before again.
    fn needs_every_frame(&self) -> bool {
        false
    }
    /// Whether cuts that follow each other closely are meant, as in fast montage. Where they are
    /// not, the caller drops a cut that comes too soon after the one before.
    fn keeps_short_scenes(&self) -> bool {
        false
    }
}

/// Turns pictures into L2-normalised vectors.
pub trait Embedder {
    /// Length of a vector.
    fn dim(&self) -> usize;
    /// One vector a picture, in order.
    fn embed(&mut self, images: &[Rgb8]) -> Result<Vec<Vec<f32>>, ItemError>;
}

/// A question to a captioner.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prompt {
    /// Standing orders.
    pub system: String,
    /// The question.
    pub text: String,
    /// Shape the answer must have; the answer is then JSON text.
    pub answer_schema: Option<serde_json::Value>,
}

/// What a captioner said and what it cost.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Answer {
    /// The text; JSON when a schema was asked for.
    pub text: String,
    /// Why it would not answer, in its words; the text is then empty. The caller rejects the item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// Tokens of the question, 0 when unknown.
    pub prompt_tokens: u64,
    /// Tokens of the answer, 0 when unknown.
    pub answer_tokens: u64,
}

/// Answers questions about pictures: captions, instructions, judgements.
pub trait Captioner {
    /// `endpoint:<model>` or `onnx:<model>`, for rows.
    fn label(&self) -> String;
    /// One answer.
    fn answer(&mut self, prompt: &Prompt, images: &[Rgb8]) -> Result<Answer, ItemError>;
}
