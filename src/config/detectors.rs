//! The sections of the scene detectors that need no network.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of "transitions".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Transitions {
    /// Smallest mean RGB difference of the two frames at a hard cut, 0-255.
    #[schemars(range(min = 0.0, max = 255.0))]
    pub min_difference: f32,
    /// Smallest mean RGB difference of the frames before and after a gradual cut, 0-255.
    #[schemars(range(min = 0.0, max = 255.0))]
    pub min_gradual_difference: f32,
    /// A picture that comes back after at most this many frames was interrupted by a flash.
    #[schemars(range(min = 0, max = 60))]
    pub max_flash_frames: u32,
}

impl Default for Transitions {
    fn default() -> Self {
        Self {
            min_difference: 10.0,
            min_gradual_difference: 25.0,
            max_flash_frames: 5,
        }
    }
}

/// What becomes of cuts that follow each other within `split.content.flash_frames`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FlashFilter {
    /// The last of them stays.
    Merge,
    /// The first of them stays.
    Suppress,
}

/// Share of each kind of change in the content score.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ContentWeights {
    /// Hue.
    #[schemars(range(min = -100.0, max = 100.0))]
    pub hue: f32,
    /// Saturation.
    #[schemars(range(min = -100.0, max = 100.0))]
    pub saturation: f32,
    /// Brightness.
    #[schemars(range(min = -100.0, max = 100.0))]
    pub luma: f32,
    /// Edges; above 0 they are looked for, which costs more than all else.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub edges: f32,
}

impl Default for ContentWeights {
    fn default() -> Self {
        Self {
            hue: 1.0,
            saturation: 1.0,
            luma: 1.0,
            edges: 0.0,
        }
    }
}

/// Settings of "content".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Content {
    /// Weighted mean difference above which there is a cut, 0-255.
    #[schemars(range(min = 0.0, max = 255.0))]
    pub threshold: f32,
    /// Share of each kind of change in the score.
    pub weights: ContentWeights,
    /// How thick edges are drawn, pixels, an odd number of at least 3; 0: by the size of the frame.
    #[schemars(range(min = 0, max = 63))]
    pub edge_px: u32,
    /// "merge": of a burst of cuts the last stays; "suppress": the first.
    pub flash_filter: FlashFilter,
    /// Cuts within this many frames of each other are a burst; 0: each cut stands for itself.
    #[schemars(range(min = 0, max = 1000))]
    pub flash_frames: u32,
}

impl Default for Content {
    fn default() -> Self {
        Self {
            threshold: 27.0,
            weights: ContentWeights::default(),
            edge_px: 0,
            flash_filter: FlashFilter::Merge,
            flash_frames: 0,
        }
    }
}

/// Settings of "hash".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Hash {
    /// Share of the hash's bits that differ, at which there is a cut, 0-1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub threshold: f32,
    /// Bits on each side of the square hash.
    #[schemars(range(min = 2, max = 64))]
    pub side_bits: u32,
    /// Pixels that a frame is scaled to for each of them; their product must be even.
    #[schemars(range(min = 1, max = 16))]
    pub lowpass: u32,
}

impl Default for Hash {
    fn default() -> Self {
        Self {
            threshold: 0.35,
            side_bits: 8,
            lowpass: 2,
        }
    }
}

/// Settings of "histogram".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Histogram {
    /// 1 - correlation of two luma histograms, at which there is a cut, 0-1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub threshold: f32,
    /// Steps of brightness that are told apart.
    #[schemars(range(min = 1, max = 256))]
    pub bins: u32,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            threshold: 0.2,
            bins: 128,
        }
    }
}

/// What a fade of "threshold" goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FadeTo {
    /// Frames darker than the threshold.
    Black,
    /// Frames as bright as the threshold or brighter.
    White,
}

/// Settings of "threshold".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Threshold {
    /// Mean brightness of all channels that divides plain frames from others, 0-255.
    #[schemars(range(min = 0.0, max = 255.0))]
    pub threshold: f32,
    /// "black": frames below the threshold are plain; "white": frames that reach it.
    pub fade_to: FadeTo,
    /// Where in the plain frames the cut lies: -1 before, 0 in the middle of, 1 after them.
    #[schemars(range(min = -1.0, max = 1.0))]
    pub fade_bias: f32,
    /// Whether a video that ends with plain frames is cut before them.
    pub add_final_scene: bool,
    /// Fewer plain frames than this are no fade.
    #[schemars(range(min = 0, max = 300))]
    pub min_out_frames: u32,
}

impl Default for Threshold {
    fn default() -> Self {
        Self {
            threshold: 12.0,
            fade_to: FadeTo::Black,
            fade_bias: 0.0,
            add_final_scene: true,
            min_out_frames: 2,
        }
    }
}
