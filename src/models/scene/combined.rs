//! Combined — what `transitions` sees, and what TransNet V2 finds besides.
//!
//! Source   own
//! Input    frames at [`SizeRule::LOW_RES`]; the network gets them averaged to 48x27
//! Score    as of `transitions`
//! After    a cut that only the network reports counts where the pictures on its two sides differ:
//!          a flash, a black frame or a shaken camera does not pass

use super::average::Averager;
use super::transitions::TransitionDetector;
use super::transnet_v2::TransNetV2;
use crate::core::{FrameIndex, ItemError, Rgb8, SizeRule};
use crate::models::{Detections, SceneDetector};

/// Finds hard and gradual cuts with and without a network.
pub struct CombinedDetector {
    pictures: TransitionDetector,
    network: TransNetV2,
    averager: Averager,
    found: Detections,
}

impl CombinedDetector {
    /// Both detectors as one. The network must neither merge cuts nor be late: its `merge_frames`
    /// is 0 and its `batch_windows` 1.
    pub fn new(pictures: TransitionDetector, network: TransNetV2) -> Self {
        Self {
            pictures,
            network,
            averager: Averager::default(),
            found: Detections::default(),
        }
    }

    fn small(&mut self, image: &Rgb8) -> Result<Rgb8, ItemError> {
        let SizeRule::Exact { width, height } = self.network.input() else {
            return Ok(image.clone());
        };
        self.averager.shrink(image, width, height)
    }

    fn pass_on(&mut self) {
        self.found.scores.clear();
        for cut in self.found.cuts.drain(..) {
            self.pictures.suggest(cut);
        }
    }
}

impl SceneDetector for CombinedDetector {
    fn name(&self) -> &'static str {
        "combined"
    }
    fn input(&self) -> SizeRule {
        SizeRule::LOW_RES
    }
    fn latency_frames(&self) -> u32 {
        self.pictures.latency_frames()
    }
    fn keeps_short_scenes(&self) -> bool {
        true
    }
    fn needs_every_frame(&self) -> bool {
        true
    }

    fn push(
        &mut self,
        index: FrameIndex,
        image: &Rgb8,
        out: &mut Detections,
    ) -> Result<(), ItemError> {
        let small = self.small(image)?;
        self.network.push(index, &small, &mut self.found)?;
        self.pass_on();
        self.pictures.push(index, image, out)
    }

    fn finish(&mut self, out: &mut Detections) -> Result<(), ItemError> {
        let ended = self.network.finish(&mut self.found);
        self.pass_on();
        self.pictures.finish(out)?;
        ended
    }
}
