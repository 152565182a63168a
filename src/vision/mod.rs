//! Classical computer vision. The only place that names `opencv`.
//!
//! Everything takes and gives `core` types. OpenCV runs on one thread: parallelism is across
//! workers, and one thread gives the same bytes every time.

mod change;
mod colour_change;
mod exposure;
mod flow;
mod frequency_hash;
mod heat_map;
mod lighting;
mod mat;
mod motion;
mod phash;
mod proposal;
mod sharpness;
mod viewpoint;

pub use change::{ChangeReport, measure_changes};
pub use colour_change::{ColourChange, ColourDifference, Outlines};
pub use exposure::{Exposure, exposure};
pub use flow::{FlowStats, dis_flow};
pub use frequency_hash::FrequencyHasher;
pub use heat_map::heat_map;
pub use motion::MotionMethod;
pub use phash::{hamming, perceptual_hash};
pub use proposal::{ChangeSketch, SketchDifference, sketch_difference};
pub use sharpness::sharpness;
pub use viewpoint::{Viewpoint, viewpoint};
