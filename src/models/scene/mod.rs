//! Scene detectors: one file each.

mod adaptive;
mod average;
mod combined;
mod content;
mod hash;
mod histogram;
mod spacing;
mod threshold;
mod transitions;
mod transnet_v2;
mod windows;

pub use adaptive::{AdaptiveDetector, AdaptiveOptions};
pub use combined::CombinedDetector;
pub use content::{ContentDetector, ContentOptions, ContentWeights, FlashFilter};
pub use hash::{HashDetector, HashOptions};
pub use histogram::{HistogramDetector, HistogramOptions};
pub use threshold::{FadeTo, ThresholdDetector, ThresholdOptions};
pub use transitions::{TransitionDetector, TransitionOptions};
pub use transnet_v2::{TransNetOptions, TransNetV2};
