//! Scene detectors: one file each.

mod adaptive;
mod content;
mod hsv;
mod transnet_v2;
mod windows;

pub use adaptive::{AdaptiveDetector, AdaptiveOptions};
pub use content::{ContentDetector, ContentOptions, ContentWeights};
pub use transnet_v2::{TransNetOptions, TransNetV2};
