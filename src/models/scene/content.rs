//! Content — cuts where colours and brightness change at once, as PySceneDetect's ContentDetector.
//!
//! Source   PySceneDetect 0.7.2, `detect-content`; defaults of its class and its command line alike
//! Input    frames with a longer side of at most 256 pixels, as PySceneDetect scales them
//! Score    weighted mean of the mean absolute differences of hue, saturation, value and edges to
//!          the frame before, 0–255; 0 for the first frame
//! After    cut where the score reaches the threshold; a burst of cuts becomes one, its last
//!          (`Merge`) or its first (`Suppress`)

use crate::core::{FrameIndex, ItemError, Rgb8, Score, SizeRule};
use crate::models::{Cut, Detections, SceneDetector};
use crate::vision::{ColourChange, Outlines};

/// Longer side to which frames are scaled, as PySceneDetect does by default.
pub(super) const SIDE_PX: u32 = 256;

/// Share of each channel's difference in the score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ContentWeights {
    /// Weight of hue.
    pub hue: f32,
    /// Weight of saturation.
    pub saturation: f32,
    /// Weight of brightness.
    pub luma: f32,
    /// Weight of edges; above 0 they are looked for, which costs more than all else.
    pub edges: f32,
    /// How much edges are thickened, pixels, odd and at least 3; 0: by the size of the frame.
    pub edge_px: u32,
}

impl Default for ContentWeights {
    fn default() -> Self {
        Self {
            hue: 1.0,
            saturation: 1.0,
            luma: 1.0,
            edges: 0.0,
            edge_px: 0,
        }
    }
}

/// What becomes of cuts that follow each other too closely.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FlashFilter {
    /// The last of them stays.
    #[default]
    Merge,
    /// The first of them stays.
    Suppress,
}

/// Settings of [`ContentDetector`]; the defaults are PySceneDetect's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ContentOptions {
    /// A frame whose score reaches this starts a new scene; 0–255.
    pub threshold: Score,
    /// Cuts closer than this many frames become one; 0 keeps all.
    pub min_scene_frames: u32,
    /// Which one.
    pub flash_filter: FlashFilter,
    /// Channel weights.
    pub weights: ContentWeights,
}

impl Default for ContentOptions {
    fn default() -> Self {
        Self {
            threshold: 27.0,
            min_scene_frames: 15,
            flash_filter: FlashFilter::Merge,
            weights: ContentWeights::default(),
        }
    }
}

/// The score shared with the adaptive detector.
#[derive(Debug)]
pub(super) struct ContentScore {
    weights: ContentWeights,
    change: ColourChange,
}

impl ContentScore {
    pub(super) fn new(weights: ContentWeights) -> Self {
        let outlines = match (weights.edges > 0.0, weights.edge_px) {
            (false, _) => Outlines::Off,
            (true, 0) => Outlines::Auto,
            (true, side) => Outlines::Px(side),
        };
        Self {
            weights,
            change: ColourChange::new(outlines),
        }
    }
    /// Score of the next frame, 0–255.
    pub(super) fn next(&mut self, image: &Rgb8) -> Result<f64, ItemError> {
        let found = self.change.next(image)?;
        let w = &self.weights;
        let w = [w.hue, w.saturation, w.luma, w.edges].map(f64::from);
        let total: f64 = w.iter().map(|weight| weight.abs()).sum();
        if total == 0.0 {
            return Ok(0.0);
        }
        let parts = [found.hue, found.saturation, found.value, found.edges];
        let sum: f64 = parts
            .iter()
            .zip(w)
            .map(|(part, weight)| part * weight)
            .sum();
        Ok(sum / total)
    }
    /// Ends the video.
    pub(super) fn reset(&mut self) {
        self.change.reset();
    }
}

/// Makes one cut of a burst: PySceneDetect's `FlashFilter`.
#[derive(Debug, Default)]
struct Bursts {
    mode: FlashFilter,
    min_frames: u32,
    last_above: Option<u32>,
    had_cut: bool,
    burst_start: Option<u32>,
}

impl Bursts {
    fn new(mode: FlashFilter, min_frames: u32) -> Self {
        Self {
            mode,
            min_frames,
            ..Self::default()
        }
    }

    fn next(&mut self, frame: u32, above: bool) -> Option<u32> {
        if self.min_frames == 0 {
            return above.then_some(frame);
        }
        let last_above = *self.last_above.get_or_insert(frame);
        let long_ago = frame - last_above >= self.min_frames;
        match self.mode {
            FlashFilter::Merge => self.merge(frame, above, last_above, long_ago),
            FlashFilter::Suppress => {
                let is_cut = above && long_ago;
                if is_cut {
                    self.last_above = Some(frame);
                }
                is_cut.then_some(frame)
            }
        }
    }

    fn merge(&mut self, frame: u32, above: bool, last: u32, long_ago: bool) -> Option<u32> {
        if above {
            self.last_above = Some(frame);
        }
        if let Some(start) = self.burst_start {
            if long_ago && !above && last - start >= self.min_frames {
                self.burst_start = None;
                return Some(last);
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
    bursts: Bursts,
    recent: std::collections::VecDeque<(u32, f64)>,
}

impl ContentDetector {
    /// A detector with these settings.
    pub fn new(options: ContentOptions) -> Self {
        Self {
            options,
            score: ContentScore::new(options.weights),
            bursts: Bursts::new(options.flash_filter, options.min_scene_frames),
            recent: std::collections::VecDeque::new(),
        }
    }
}

impl SceneDetector for ContentDetector {
    fn name(&self) -> &'static str {
        "content"
    }
    fn input(&self) -> SizeRule {
        SizeRule::MaxSide(SIDE_PX)
    }
    fn latency_frames(&self) -> u32 {
        match self.options.flash_filter {
            FlashFilter::Merge => self.options.min_scene_frames,
            FlashFilter::Suppress => 0,
        }
    }

    fn push(
        &mut self,
        index: FrameIndex,
        image: &Rgb8,
        out: &mut Detections,
    ) -> Result<(), ItemError> {
        let score = self.score.next(image)?;
        out.scores.push((index, score as Score));
        self.recent.push_back((index.0, score));
        if self.recent.len() > self.options.min_scene_frames as usize + 1 {
            self.recent.pop_front();
        }
        let above = score >= f64::from(self.options.threshold);
        if let Some(frame) = self.bursts.next(index.0, above) {
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
        self.score.reset();
        self.bursts = Bursts::new(self.options.flash_filter, self.options.min_scene_frames);
        self.recent.clear();
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
        // Suppressed, every 15th frame of the strobe may cut; its end is no cut.
        let first = ContentOptions {
            flash_filter: FlashFilter::Suppress,
            ..ContentOptions::default()
        };
        assert_eq!(cuts(first, &greys), [20, 40, 55]);
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
            let found = score.next(&pattern(t as u32)).unwrap();
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
        assert_eq!(score.next(&grey(10)).unwrap(), 0.0);
        assert!((score.next(&grey(100)).unwrap() - 30.0).abs() < 1e-9);
    }
}
