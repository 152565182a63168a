//! Adaptive — cuts where the content score stands out from its neighbours, as PySceneDetect's
//! AdaptiveDetector; camera motion raises the neighbours too and is passed over.
//!
//! Source   PySceneDetect 0.7.2, `detect-adaptive`; defaults of its class and its command line alike
//! Input    frames with a longer side of at most 256 pixels
//! Score    content score / mean of the content scores of `window_frames` frames on each side, at
//!          most 255; 0 at both ends of the video
//! After    cut where the score reaches the threshold, the content score its minimum, and the cut
//!          before lies `min_scene_frames` back

use std::collections::VecDeque;

use super::content::{ContentScore, ContentWeights, SIDE_PX};
use crate::core::{FrameIndex, ItemError, Rgb8, Score, SizeRule};
use crate::models::{Cut, Detections, SceneDetector};

/// A neighbourhood quieter than this counts as still, as in PySceneDetect.
const STILL: f64 = 1e-5;
const MAX_RATIO: f64 = 255.0;

/// Settings of [`AdaptiveDetector`]; the defaults are PySceneDetect's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaptiveOptions {
    /// Ratio to the neighbours that makes a cut.
    pub threshold: Score,
    /// Neighbours on each side, at least 1.
    pub window_frames: u32,
    /// Content score below which nothing is a cut; 0–255.
    pub min_content: Score,
    /// A cut nearer than this many frames to the one before, or to the start, is dropped.
    pub min_scene_frames: u32,
    /// Channel weights of the content score.
    pub weights: ContentWeights,
}

impl Default for AdaptiveOptions {
    fn default() -> Self {
        Self {
            threshold: 3.0,
            window_frames: 2,
            min_content: 15.0,
            min_scene_frames: 15,
            weights: ContentWeights::default(),
        }
    }
}

/// Finds hard cuts by how far a frame's change stands out.
#[derive(Debug)]
pub struct AdaptiveDetector {
    options: AdaptiveOptions,
    score: ContentScore,
    window: VecDeque<(FrameIndex, f64)>,
    last_cut: Option<FrameIndex>,
}

impl AdaptiveDetector {
    /// A detector with these settings.
    pub fn new(options: AdaptiveOptions) -> Self {
        Self {
            options,
            score: ContentScore::new(options.weights),
            window: VecDeque::new(),
            last_cut: None,
        }
    }

    fn side(&self) -> usize {
        self.options.window_frames.max(1) as usize
    }

    fn ratio(&self, target: f64) -> f64 {
        let side = self.side();
        let around: f64 = self.window.iter().map(|(_, score)| score).sum::<f64>() - target;
        let mean = around / (2 * side) as f64;
        if mean.abs() >= STILL {
            (target / mean).min(MAX_RATIO)
        } else if target >= f64::from(self.options.min_content) {
            MAX_RATIO
        } else {
            0.0
        }
    }
}

impl SceneDetector for AdaptiveDetector {
    fn name(&self) -> &'static str {
        "adaptive"
    }
    fn input(&self) -> SizeRule {
        SizeRule::MaxSide(SIDE_PX)
    }
    fn latency_frames(&self) -> u32 {
        self.options.window_frames.max(1)
    }

    fn push(
        &mut self,
        index: FrameIndex,
        image: &Rgb8,
        out: &mut Detections,
    ) -> Result<(), ItemError> {
        let score = self.score.next(image)?;
        let last_cut = *self.last_cut.get_or_insert(index);
        let side = self.side();
        self.window.push_back((index, score));
        if self.window.len() <= side {
            // The first frames have no full neighbourhood and never will.
            out.scores.push((index, 0.0));
            return Ok(());
        }
        if self.window.len() < 2 * side + 1 {
            return Ok(());
        }
        if self.window.len() > 2 * side + 1 {
            self.window.pop_front();
        }
        let (target, content) = self.window[side];
        let ratio = self.ratio(content);
        out.scores.push((target, ratio as Score));
        let stands_out = ratio >= f64::from(self.options.threshold)
            && content >= f64::from(self.options.min_content);
        if stands_out && target.0 - last_cut.0 >= self.options.min_scene_frames {
            self.last_cut = Some(target);
            out.cuts.push(Cut {
                scene_end: target,
                scene_start: target,
                score: ratio as Score,
            });
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Detections) -> Result<(), ItemError> {
        let side = self.side();
        let seen = self.window.len();
        // What the window still waited for, each frame once.
        let from = if seen > 2 * side {
            side + 1
        } else {
            side.min(seen)
        };
        for (index, _) in self.window.iter().skip(from) {
            out.scores.push((*index, 0.0));
        }
        self.score.reset();
        self.window.clear();
        self.last_cut = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(greys: &[u8]) -> Detections {
        let mut detector = AdaptiveDetector::new(AdaptiveOptions::default());
        let mut out = Detections::default();
        for (n, grey) in greys.iter().enumerate() {
            let image = Rgb8::from_fn(4, 4, |_, _| [*grey; 3]);
            detector
                .push(FrameIndex(n as u32), &image, &mut out)
                .unwrap();
        }
        detector.finish(&mut out).unwrap();
        out
    }

    #[test]
    fn a_jump_in_stillness_is_a_cut_and_steady_change_is_none() {
        let mut greys = vec![0_u8; 20];
        greys.extend([255; 20]);
        let out = run(&greys);
        assert_eq!(out.cuts.len(), 1);
        assert_eq!(
            (out.cuts[0].scene_start, out.cuts[0].score),
            (FrameIndex(20), 255.0)
        );
        let steady: Vec<u8> = (0..40).map(|n| if n % 2 == 0 { 0 } else { 200 }).collect();
        assert!(run(&steady).cuts.is_empty());
    }

    #[test]
    fn ratios_equal_the_reference() {
        // PySceneDetect 0.7.2, `AdaptiveDetector` on the same pictures.
        let expected = [
            0.0,
            0.0,
            1.308_208_1,
            1.036_871_2,
            0.968_375_4,
            1.117_522_8,
            0.0,
            0.0,
        ];
        let mut detector = AdaptiveDetector::new(AdaptiveOptions::default());
        let mut out = Detections::default();
        for t in 0..expected.len() as u32 {
            let image = crate::models::scene::content::pattern(t);
            detector.push(FrameIndex(t), &image, &mut out).unwrap();
        }
        detector.finish(&mut out).unwrap();
        for ((index, found), expected) in out.scores.iter().zip(expected) {
            assert!(
                (found - expected).abs() < 1e-5,
                "{index:?}: {found}, not {expected}"
            );
        }
    }

    proptest! {
        #[test]
        fn every_frame_is_scored_once_and_in_order(greys in prop::collection::vec(any::<u8>(), 0..40)) {
            let out = run(&greys);
            let frames: Vec<u32> = out.scores.iter().map(|(at, _)| at.0).collect();
            prop_assert_eq!(frames, (0..greys.len() as u32).collect::<Vec<_>>());
        }
    }
}
