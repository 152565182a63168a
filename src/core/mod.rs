//! Vocabulary: the types that flow, without input, output or threads.
//!
//! Names follow `docs/glossary.md`; one word has one meaning everywhere.

mod budget;
mod contain;
mod damage;
mod ends;
mod error;
mod funnel;
mod geometry;
mod id;
mod image;
mod item;
mod mask;
mod record;
mod scene_list;
mod score;
#[cfg(test)]
pub(crate) mod testing;
mod text;
mod time;
mod web_address;

pub use budget::{ByteBudget, Permit};
pub use contain::contain;
pub use damage::{DamageReason, DamageSummary};
pub use ends::{End, EndKind};
pub use error::{ConfigError, ErrorKind, FatalError, ItemError, Problem};
pub use funnel::{Funnel, RootCounts, StageCounts};
pub use geometry::BoxPx;
pub use id::{Fingerprint, Hasher, ItemPath, Key, SampleId, SceneId, VideoId};
pub use image::{Rgb8, SizeRule};
pub use item::{
    Change, Draft, EncodedImage, FileStamp, Frame, FramePair, FrameRef, Instruction, Judgement,
    LocalFile, ManifestEntry, ModelRef, PairCandidate, Place, Sample, SampledFrame, Scene,
    SceneSamples, SceneStats, Video, VideoInfo,
};
pub use mask::{Mask, Rle};
pub use record::{PairRecord, Proposal, Ranges, Recorder, SceneRecord, Trace, VideoRecord};
pub use scene_list::{FrameScore, SceneList, SceneSpan};
pub use score::{Range, Score, Scores};
pub use text::{visible_json, visible_line, visible_text};
pub use time::{FrameIndex, Point, Pts, Span, TimeBase};
pub use web_address::WebAddress;
