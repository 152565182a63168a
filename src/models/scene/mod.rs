//! Scene detectors: one file each.

mod adaptive;
mod combined;
mod content;
mod hsv;
mod transitions;
mod transnet_v2;
mod windows;

pub use adaptive::{AdaptiveDetector, AdaptiveOptions};
pub use combined::CombinedDetector;
pub use content::{ContentDetector, ContentOptions, ContentWeights};
pub use transitions::{TransitionDetector, TransitionOptions};
pub use transnet_v2::{TransNetOptions, TransNetV2};
