//! Histogram — cuts where the distribution of brightness changes at once, as PySceneDetect's
//! HistogramDetector.
//!
//! Source   PySceneDetect 0.7.2, `detect-hist`; defaults of its class and its command line alike
//! Input    frames with a longer side of at most 256 pixels
//! Score    1 - correlation with the luma histogram of the frame before, 0–2; 0 for the first
//!          frame. PySceneDetect's statistics hold the correlation itself
//! After    cut where the score reaches the threshold and the cut before lies `min_scene_frames`
//!          back

use super::content::SIDE_PX;
use super::spacing::Spacing;
use crate::core::{FrameIndex, ItemError, Rgb8, Score, SizeRule};
use crate::models::{Detections, SceneDetector};

/// Settings of [`HistogramDetector`]; the defaults are PySceneDetect's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HistogramOptions {
    /// Lack of correlation that makes a cut; 0–1.
    pub threshold: Score,
    /// Steps of brightness that are told apart; 1–256.
    pub bins: u32,
    /// A cut nearer than this many frames to the one before, or to the start, is dropped.
    pub min_scene_frames: u32,
}

impl Default for HistogramOptions {
    fn default() -> Self {
        Self {
            threshold: 0.2,
            bins: 128,
            min_scene_frames: 15,
        }
    }
}

/// Finds hard cuts by how much of a frame is how bright, wherever it is.
#[derive(Debug)]
pub struct HistogramDetector {
    options: HistogramOptions,
    now: Vec<f32>,
    before: Vec<f32>,
    has_before: bool,
    spacing: Spacing,
}

impl HistogramDetector {
    /// A detector with these settings.
    pub fn new(options: HistogramOptions) -> Self {
        let bins = options.bins.clamp(1, 256) as usize;
        Self {
            options,
            now: vec![0.0; bins],
            before: vec![0.0; bins],
            has_before: false,
            spacing: Spacing::new(options.min_scene_frames),
        }
    }
}

impl SceneDetector for HistogramDetector {
    fn name(&self) -> &'static str {
        "histogram"
    }
    fn input(&self) -> SizeRule {
        SizeRule::MaxSide(SIDE_PX)
    }
    fn latency_frames(&self) -> u32 {
        0
    }

    fn push(
        &mut self,
        index: FrameIndex,
        image: &Rgb8,
        out: &mut Detections,
    ) -> Result<(), ItemError> {
        std::mem::swap(&mut self.now, &mut self.before);
        fill(&mut self.now, image);
        let correlation = if self.has_before {
            correlation(&self.before, &self.now)
        } else {
            1.0
        };
        let limit = (1.0 - f64::from(self.options.threshold)).clamp(0.0, 1.0);
        let above = self.has_before && correlation <= limit;
        self.has_before = true;
        let score = (1.0 - correlation) as Score;
        out.scores.push((index, score));
        out.cuts.extend(self.spacing.next(index, above, score));
        Ok(())
    }

    fn finish(&mut self, _out: &mut Detections) -> Result<(), ItemError> {
        self.has_before = false;
        self.spacing.reset();
        Ok(())
    }
}

/// Neighbours in a picture are alike: counters of their own keep them from waiting for each other.
const LANES: usize = 4;

/// The luma histogram of a picture, of length 1 as a vector.
fn fill(histogram: &mut [f32], image: &Rgb8) {
    let mut counts = [[0_u32; 256]; LANES];
    let mut groups = image.data().chunks_exact(3 * LANES);
    for group in &mut groups {
        for (lane, pixel) in counts.iter_mut().zip(group.chunks_exact(3)) {
            lane[usize::from(luma(pixel))] += 1;
        }
    }
    for pixel in groups.remainder().chunks_exact(3) {
        counts[0][usize::from(luma(pixel))] += 1;
    }
    histogram.fill(0.0);
    let bins = histogram.len();
    for level in 0..256 {
        let count: u32 = counts.iter().map(|lane| lane[level]).sum();
        histogram[level * bins / 256] += count as f32;
    }
    let squares: f64 = histogram.iter().map(|n| f64::from(*n).powi(2)).sum();
    if squares > 0.0 {
        let scale = (1.0 / squares.sqrt()) as f32;
        for value in histogram {
            *value *= scale;
        }
    }
}

/// The Y of OpenCV's YUV; [`Rgb8::luma`] for one pixel.
fn luma(pixel: &[u8]) -> u8 {
    let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(u32::from);
    ((4899 * r + 9617 * g + 1868 * b + 8192) >> 14) as u8
}

/// Pearson's correlation; 1 where one of the two is even all over.
fn correlation(a: &[f32], b: &[f32]) -> f64 {
    let [mut sum_a, mut sum_b, mut aa, mut bb, mut ab] = [0.0_f64; 5];
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (f64::from(*a), f64::from(*b));
        sum_a += a;
        sum_b += b;
        aa += a * a;
        bb += b * b;
        ab += a * b;
    }
    let scale = 1.0 / a.len().max(1) as f64;
    let spread = (aa - sum_a * sum_a * scale) * (bb - sum_b * sum_b * scale);
    if spread.abs() > f64::EPSILON {
        (ab - sum_a * sum_b * scale) / spread.sqrt()
    } else {
        1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_brightness_is_a_cut_and_other_places_are_none() {
        let mut detector = HistogramDetector::new(HistogramOptions::default());
        for _ in 0..2 {
            let mut out = Detections::default();
            for n in 0..60_u32 {
                // The ramp moves to the side all the time and becomes darker once.
                let image = Rgb8::from_fn(64, 4, |x, _| {
                    let level = (x + n) % 64;
                    [if n < 30 { level * 2 + 100 } else { level } as u8; 3]
                });
                detector.push(FrameIndex(n), &image, &mut out).unwrap();
            }
            detector.finish(&mut out).unwrap();
            let starts: Vec<u32> = out.cuts.iter().map(|cut| cut.scene_start.0).collect();
            assert_eq!(starts, [30]);
            assert_eq!((out.scores.len(), out.scores[0].1), (60, 0.0));
            assert!(out.scores[29].1.abs() < 1e-6 && out.scores[30].1 > 0.5);
        }
    }

    #[test]
    fn luma_is_that_of_the_whole_picture() {
        let image = Rgb8::from_fn(31, 7, |x, y| [(x * 8) as u8, (y * 30) as u8, (x * y) as u8]);
        let each: Vec<u8> = image.data().chunks_exact(3).map(luma).collect();
        assert_eq!(each, image.luma());
        let mut histogram = vec![0.0; 256];
        fill(&mut histogram, &image);
        let length: f32 = histogram.iter().map(|value| value * value).sum();
        assert!((length - 1.0).abs() < 1e-5, "{length}");
    }
}
