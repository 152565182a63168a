//! Threshold — cuts in the middle of fades through black or white, as PySceneDetect's
//! ThresholdDetector.
//!
//! Source   PySceneDetect 0.7.2, `detect-threshold`; defaults of its command line (the class alone
//!          has `add_final_scene` off and `min_out_frames` 0). The command line gives the shortest
//!          fade as 0.1 seconds, which are 2 frames at 24 a second
//! Input    frames with a longer side of at most 256 pixels
//! Score    mean of all channels of all pixels, 0–255. Low is plain for `Black`, high for `White`
//! After    a frame past the threshold ends a scene, the next one that is not begins another; the
//!          cut lies between the two by `fade_bias`. A plain stretch of more than
//!          `LONGEST_OUT_FRAMES` becomes a scene of its own, so that not all of it has to be held

use super::content::SIDE_PX;
use crate::core::{FrameIndex, ItemError, Rgb8, Score, SizeRule};
use crate::models::{Cut, Detections, SceneDetector};

/// A fade longer than this is cut at both ends instead of in its middle.
const LONGEST_OUT_FRAMES: u32 = 300;

/// Which side of the threshold is plain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FadeTo {
    /// Below it: fades to black.
    #[default]
    Black,
    /// Reaching it: fades to white.
    White,
}

/// Settings of [`ThresholdDetector`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ThresholdOptions {
    /// Mean brightness that divides plain frames from others; 0–255.
    pub threshold: Score,
    /// Which side of it is plain.
    pub fade_to: FadeTo,
    /// Where in a fade the cut lies: -1 at its first plain frame, 0 in the middle, 1 after its last.
    pub fade_bias: f32,
    /// Whether a video that ends plain is cut where that begins.
    pub add_final_scene: bool,
    /// A fade with fewer plain frames is none.
    pub min_out_frames: u32,
    /// A fade nearer than this many frames to the one before, or to the start, is dropped.
    pub min_scene_frames: u32,
}

impl Default for ThresholdOptions {
    fn default() -> Self {
        Self {
            threshold: 12.0,
            fade_to: FadeTo::Black,
            fade_bias: 0.0,
            add_final_scene: true,
            min_out_frames: 2,
            min_scene_frames: 15,
        }
    }
}

/// Finds fades through black or white by the brightness of whole frames.
#[derive(Clone, Debug)]
pub struct ThresholdDetector {
    options: ThresholdOptions,
    state: State,
}

#[derive(Clone, Debug, Default)]
struct State {
    last_frame: Option<u32>,
    /// Frame of the last fade in, or the start.
    last_cut: u32,
    plain: Option<Plain>,
}

/// A plain stretch that goes on.
#[derive(Clone, Copy, Debug)]
struct Plain {
    first: u32,
    /// Mean farthest from the threshold.
    extreme: f64,
    /// Whether its beginning was made a cut.
    is_scene: bool,
}

impl ThresholdDetector {
    /// A detector with these settings.
    pub fn new(options: ThresholdOptions) -> Self {
        Self {
            options,
            state: State::default(),
        }
    }

    fn is_plain(&self, mean: f64) -> bool {
        let is_below = mean < f64::from(self.options.threshold);
        is_below == (self.options.fade_to == FadeTo::Black)
    }

    /// Goes on with a plain stretch; makes it a scene when it becomes too long.
    fn stay_plain(&mut self, frame: u32, mean: f64, out: &mut Detections) {
        let state = &mut self.state;
        let plain = state.plain.get_or_insert(Plain {
            first: frame,
            extreme: mean,
            is_scene: false,
        });
        plain.extreme = match self.options.fade_to {
            FadeTo::Black => plain.extreme.min(mean),
            FadeTo::White => plain.extreme.max(mean),
        };
        if !plain.is_scene && frame - plain.first >= LONGEST_OUT_FRAMES {
            plain.is_scene = true;
            let is_far = plain.first - state.last_cut.min(plain.first)
                >= self.options.min_scene_frames.max(1);
            if is_far {
                out.cuts.push(hard(plain.first, plain.extreme));
            }
        }
    }

    /// Ends a plain stretch before this frame.
    fn fade_in(&mut self, frame: u32, plain: Plain, out: &mut Detections) {
        let options = &self.options;
        let length = frame - plain.first;
        let is_far = frame - self.state.last_cut >= options.min_scene_frames;
        if !is_far || length < options.min_out_frames {
            return;
        }
        self.state.last_cut = frame;
        let after = if plain.is_scene {
            length
        } else {
            let share = f64::midpoint(1.0, f64::from(options.fade_bias).clamp(-1.0, 1.0));
            (f64::from(length) * share).round_ties_even() as u32
        };
        out.cuts.push(hard(plain.first + after, plain.extreme));
    }
}

fn hard(frame: u32, score: f64) -> Cut {
    Cut {
        scene_end: FrameIndex(frame),
        scene_start: FrameIndex(frame),
        score: score as Score,
    }
}

impl SceneDetector for ThresholdDetector {
    fn name(&self) -> &'static str {
        "threshold"
    }
    fn input(&self) -> SizeRule {
        SizeRule::MaxSide(SIDE_PX)
    }
    fn latency_frames(&self) -> u32 {
        LONGEST_OUT_FRAMES + 1
    }

    fn push(
        &mut self,
        index: FrameIndex,
        image: &Rgb8,
        out: &mut Detections,
    ) -> Result<(), ItemError> {
        let mean = mean(image.data());
        out.scores.push((index, mean as Score));
        if self.state.last_frame.is_none() {
            self.state.last_cut = index.0;
        }
        self.state.last_frame = Some(index.0);
        if self.is_plain(mean) {
            self.stay_plain(index.0, mean, out);
        } else if let Some(plain) = self.state.plain.take() {
            self.fade_in(index.0, plain, out);
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Detections) -> Result<(), ItemError> {
        let state = std::mem::take(&mut self.state);
        let options = &self.options;
        let (Some(last), Some(plain)) = (state.last_frame, state.plain) else {
            return Ok(());
        };
        let is_far = last - state.last_cut >= options.min_scene_frames;
        let is_long = last + 1 - plain.first >= options.min_out_frames;
        if options.add_final_scene && !plain.is_scene && is_far && is_long {
            out.cuts.push(hard(plain.first, plain.extreme));
        }
        Ok(())
    }
}

/// Mean of bytes.
fn mean(bytes: &[u8]) -> f64 {
    // Short sums fit 32 bits, which add up several at once.
    let sums = bytes.chunks(1 << 16);
    let sum: u64 = sums
        .map(|part| u64::from(part.iter().map(|value| u32::from(*value)).sum::<u32>()))
        .sum();
    sum as f64 / bytes.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames given as `(level, count)`.
    fn cuts(options: ThresholdOptions, stretches: &[(u8, u32)]) -> Vec<u32> {
        let mut detector = ThresholdDetector::new(options);
        let mut out = Detections::default();
        let levels = stretches
            .iter()
            .flat_map(|(level, count)| vec![*level; *count as usize]);
        for (n, level) in levels.enumerate() {
            let image = Rgb8::from_fn(4, 4, |_, _| [level; 3]);
            detector
                .push(FrameIndex(n as u32), &image, &mut out)
                .unwrap();
            let oldest = (n as u32 + 1).saturating_sub(detector.latency_frames());
            assert!(out.cuts.iter().all(|cut| cut.scene_end.0 >= oldest));
            out.cuts.clear();
        }
        // The same again: a finished detector is a new one.
        detector.finish(&mut out).unwrap();
        out = Detections::default();
        let levels = stretches
            .iter()
            .flat_map(|(level, count)| vec![*level; *count as usize]);
        for (n, level) in levels.enumerate() {
            let image = Rgb8::from_fn(4, 4, |_, _| [level; 3]);
            detector
                .push(FrameIndex(n as u32), &image, &mut out)
                .unwrap();
            assert_eq!(out.scores[n], (FrameIndex(n as u32), f32::from(level)));
        }
        detector.finish(&mut out).unwrap();
        out.cuts.iter().map(|cut| cut.scene_start.0).collect()
    }

    #[test]
    fn a_fade_is_cut_in_its_middle_or_where_the_bias_says() {
        let fade = [(90, 30), (5, 10), (90, 30)];
        let plain = ThresholdOptions::default();
        assert_eq!(cuts(plain, &fade), [35]);
        for (fade_bias, at) in [(-1.0, 30), (1.0, 40), (-0.5, 32)] {
            assert_eq!(cuts(ThresholdOptions { fade_bias, ..plain }, &fade), [at]);
        }
        // One black frame is too short; a fade soon after another one is dropped.
        assert!(cuts(plain, &[(90, 30), (5, 1), (90, 30)]).is_empty());
        assert_eq!(
            cuts(plain, &[(90, 30), (5, 4), (90, 6), (5, 4), (90, 9)]),
            [32]
        );
    }

    #[test]
    fn white_fades_need_their_own_threshold() {
        let fade = [(90, 30), (250, 10), (90, 30)];
        let options = ThresholdOptions {
            threshold: 240.0,
            fade_to: FadeTo::White,
            ..ThresholdOptions::default()
        };
        assert_eq!(cuts(options, &fade), [35]);
        assert!(cuts(ThresholdOptions::default(), &fade).is_empty());
    }

    #[test]
    fn a_black_end_is_a_scene_if_wished() {
        let ending = [(90, 30), (5, 10)];
        assert_eq!(cuts(ThresholdOptions::default(), &ending), [30]);
        let options = ThresholdOptions {
            add_final_scene: false,
            ..ThresholdOptions::default()
        };
        assert!(cuts(options, &ending).is_empty());
    }

    #[test]
    fn a_long_black_stretch_is_a_scene_of_its_own() {
        let long = [(90, 30), (5, 800), (90, 30)];
        assert_eq!(cuts(ThresholdOptions::default(), &long), [30, 830]);
        assert_eq!(cuts(ThresholdOptions::default(), &long[..2]), [30]);
        assert_eq!(cuts(ThresholdOptions::default(), &long[1..]), [800]);
    }
}
