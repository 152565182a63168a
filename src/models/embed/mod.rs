//! Embedders: one file each.

mod efficientnet_lite0;

pub use efficientnet_lite0::EfficientNetLite0;
