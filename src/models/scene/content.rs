//! Content — cuts where colours and brightness change at once, as PySceneDetect's ContentDetector.
//!
//! Source   PySceneDetect 0.7, `detect-content`, without its edge component (weight 0 there too)
//! Input    frames at most 256 pixels wide, as PySceneDetect scales them
//! Score    weighted mean of the mean absolute differences of hue, saturation and value to the
//!          frame before, 0–255; 0 for the first frame
//! After    cut where the score reaches the threshold; bursts of cuts merge into their last

use super::hsv::Hsv;
use crate::core::{FrameIndex, ItemError, Rgb8, Score, SizeRule};
use crate::models::{Cut, Detections, SceneDetector};

/// Width to which frames are scaled, as PySceneDetect does by default.
pub(super) const WIDTH_PX: u32 = 256;

/// Share of each channel's difference in the score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ContentWeights {
    /// Weight of hue.
    pub hue: f32,
    /// Weight of saturation.
    pub saturation: f32,
    /// Weight of brightness.
    pub luma: f32,
}

impl Default for ContentWeights {
    fn default() -> Self {
        Self {
            hue: 1.0,
            saturation: 1.0,
            luma: 1.0,
        }
    }
}

/// Settings of [`ContentDetector`]; the defaults are PySceneDetect's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ContentOptions {
    /// A frame whose score reaches this starts a new scene; 0–255.
    pub threshold: Score,
    /// Cuts closer than this many frames merge; 0 keeps all.
    pub min_scene_frames: u32,
    /// Channel weights.
    pub weights: ContentWeights,
}

impl Default for ContentOptions {
    fn default() -> Self {
        Self {
            threshold: 27.0,
            min_scene_frames: 15,
            weights: ContentWeights::default(),
        }
    }
}

/// The score shared with the adaptive detector.
#[derive(Debug, Default)]
pub(super) struct ContentScore {
    weights: ContentWeights,
    last: Option<Hsv>,
}

impl ContentScore {
    pub(super) fn new(weights: ContentWeights) -> Self {
        Self {
            weights,
            last: None,
        }
    }
    /// Score of the next frame, 0–255.
    pub(super) fn next(&mut self, image: &Rgb8) -> f64 {
        let now = Hsv::new(image);
        let [hue, saturation, luma] = self.last.as_ref().map_or([0.0; 3], |b| now.differences(b));
        self.last = Some(now);
        let w = [self.weights.hue, self.weights.saturation, self.weights.luma].map(f64::from);
        let total: f64 = w.iter().map(|weight| weight.abs()).sum();
        if total == 0.0 {
            return 0.0;
        }
        (hue * w[0] + saturation * w[1] + luma * w[2]) / total
    }
}

/// Merges bursts of cuts: PySceneDetect's `FlashFilter` in its `MERGE` mode.
#[derive(Debug, Default)]
struct Merge {
    min_frames: u32,
    last_above: Option<u32>,
    had_cut: bool,
    burst_start: Option<u32>,
}

impl Merge {
    fn next(&mut self, frame: u32, above: bool) -> Option<u32> {
        if self.min_frames == 0 {
            return above.then_some(frame);
        }
        let last_above = *self.last_above.get_or_insert(frame);
        let long_ago = frame - last_above >= self.min_frames;
        if above {
            self.last_above = Some(frame);
        }
        if let Some(start) = self.burst_start {
            if long_ago && !above && last_above - start >= self.min_frames {
                self.burst_start = None;
                return Some(last_above);
            }
            return None;
        }
        if !above {
            return None;
        }
        if long_ago {
            self.had_cut = true;
            return Some(frame);
        }
        if self.had_cut {
            self.burst_start = Some(frame);
        }
        None
    }
}

/// Finds hard cuts by the change of colours and brightness.
#[derive(Debug)]
pub struct ContentDetector {
    options: ContentOptions,
    score: ContentScore,
    merge: Merge,
    recent: std::collections::VecDeque<(u32, f64)>,
}

impl ContentDetector {
    /// A detector with these settings.
    pub fn new(options: ContentOptions) -> Self {
        Self {
            options,
            score: ContentScore::new(options.weights),
            merge: Merge {
                min_frames: options.min_scene_frames,
                ..Merge::default()
            },
            recent: std::collections::VecDeque::new(),
        }
    }
}

impl SceneDetector for ContentDetector {
    fn name(&self) -> &'static str {
        "content"
    }
    fn input(&self) -> SizeRule {
        SizeRule::MaxWidth(WIDTH_PX)
    }
    fn latency_frames(&self) -> u32 {
        self.options.min_scene_frames
    }

    fn push(
        &mut self,
        index: FrameIndex,
        image: &Rgb8,
        out: &mut Detections,
    ) -> Result<(), ItemError> {
        let score = self.score.next(image);
        out.scores.push((index, score as Score));
        self.recent.push_back((index.0, score));
        if self.recent.len() > self.options.min_scene_frames as usize + 1 {
            self.recent.pop_front();
        }
        let above = score >= f64::from(self.options.threshold);
        if let Some(frame) = self.merge.next(index.0, above) {
            let known = self.recent.iter().find(|(at, _)| *at == frame);
            out.cuts.push(Cut {
                scene_end: FrameIndex(frame),
                scene_start: FrameIndex(frame),
                score: known.map_or(score, |(_, score)| *score) as Score,
            });
        }
        Ok(())
    }

    fn finish(&mut self, _out: &mut Detections) -> Result<(), ItemError> {
        *self = Self::new(self.options);
        Ok(())
    }
}

/// A picture without meaning, another one for each `t`.
#[cfg(test)]
pub(super) fn pattern(t: u32) -> Rgb8 {
    Rgb8::from_fn(32, 18, |x, y| {
        [x * x + t * t * 31, y * 11 + t * 47, x * y + t * 101].map(|value| (value % 256) as u8)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cuts(options: ContentOptions, greys: &[u8]) -> Vec<u32> {
        let mut detector = ContentDetector::new(options);
        let mut out = Detections::default();
        for (n, grey) in greys.iter().enumerate() {
            let image = Rgb8::from_fn(4, 4, |_, _| [*grey; 3]);
            detector
                .push(FrameIndex(n as u32), &image, &mut out)
                .unwrap();
        }
        detector.finish(&mut out).unwrap();
        assert_eq!(out.scores.len(), greys.len());
        out.cuts.iter().map(|cut| cut.scene_start.0).collect()
    }

    #[test]
    fn a_jump_is_a_cut_and_a_burst_is_one() {
        let mut greys = vec![0_u8; 20];
        greys.extend([255; 20]);
        assert_eq!(cuts(ContentOptions::default(), &greys), [20]);
        // A strobe after the first cut: one more cut, at its end.
        greys.extend([0, 255].repeat(10));
        greys.extend([255; 30]);
        assert_eq!(cuts(ContentOptions::default(), &greys), [20, 40, 59]);
        let all = ContentOptions {
            min_scene_frames: 0,
            ..ContentOptions::default()
        };
        assert_eq!(cuts(all, &greys).len(), 21);
    }

    #[test]
    fn scores_equal_the_reference() {
        // PySceneDetect 0.7.2, `ContentDetector` on the same pictures.
        let expected = [
            0.0,
            53.646_412_037,
            59.419_560_185,
            64.583_333_333,
            63.452_546_296,
            72.628_472_222,
            65.467_592_593,
            66.458_912_037,
        ];
        let mut score = ContentScore::new(ContentWeights::default());
        for (t, expected) in expected.iter().enumerate() {
            let found = score.next(&pattern(t as u32));
            assert!(
                (found - expected).abs() < 1e-6,
                "frame {t}: {found}, not {expected}"
            );
        }
    }

    #[test]
    fn grey_jumps_count_a_third() {
        let mut score = ContentScore::new(ContentWeights::default());
        let grey = |v: u8| Rgb8::from_fn(2, 2, |_, _| [v; 3]);
        assert_eq!(score.next(&grey(10)), 0.0);
        assert!((score.next(&grey(100)) - 30.0).abs() < 1e-9);
    }
}
