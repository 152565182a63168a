//! Keeps cuts apart: one that follows another too soon is dropped.

use crate::core::{FrameIndex, Score};
use crate::models::Cut;

/// Drops hard cuts that lie too near to the one before, or to the start of the video.
#[derive(Debug)]
pub(super) struct Spacing {
    min_frames: u32,
    last: Option<FrameIndex>,
}

impl Spacing {
    pub(super) fn new(min_frames: u32) -> Self {
        Self {
            min_frames,
            last: None,
        }
    }

    /// Takes every frame in order; gives the cut before `index` if there is one.
    pub(super) fn next(&mut self, index: FrameIndex, above: bool, score: Score) -> Option<Cut> {
        let last = *self.last.get_or_insert(index);
        if !above || index.0 - last.0 < self.min_frames {
            return None;
        }
        self.last = Some(index);
        Some(Cut {
            scene_end: index,
            scene_start: index,
            score,
        })
    }

    /// Ends the video.
    pub(super) fn reset(&mut self) {
        self.last = None;
    }
}
