//! Hash — cuts where the perceptual hash of a frame is far from that of the frame before, as
//! PySceneDetect's HashDetector.
//!
//! Source   PySceneDetect 0.7.2, `detect-hash`; defaults of its class and its command line alike
//! Input    frames with a longer side of at most 256 pixels
//! Score    share of the bits that differ from the frame before, 0–1; 0 for the first frame
//! After    cut where the score reaches the threshold and the cut before lies `min_scene_frames`
//!          back

use super::content::SIDE_PX;
use super::spacing::Spacing;
use crate::core::{FrameIndex, ItemError, Rgb8, Score, SizeRule};
use crate::models::{Detections, SceneDetector};
use crate::vision::FrequencyHasher;

/// Settings of [`HashDetector`]; the defaults are PySceneDetect's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HashOptions {
    /// Share of different bits that makes a cut; 0–1.
    pub threshold: Score,
    /// Frequencies kept in each direction; the hash has the square of it in bits.
    pub side: u32,
    /// Pixels to which a frame is scaled for each frequency kept. `side * lowpass` must be even.
    pub lowpass: u32,
    /// A cut nearer than this many frames to the one before, or to the start, is dropped.
    pub min_scene_frames: u32,
}

impl Default for HashOptions {
    fn default() -> Self {
        Self {
            threshold: 0.35,
            side: 8,
            lowpass: 2,
            min_scene_frames: 15,
        }
    }
}

/// Finds hard cuts by the layout of light and dark, whatever the colours.
#[derive(Debug)]
pub struct HashDetector {
    options: HashOptions,
    hasher: FrequencyHasher,
    before: Vec<bool>,
    spacing: Spacing,
}

impl HashDetector {
    /// A detector with these settings.
    ///
    /// # Errors
    /// When `side * lowpass` is odd or 0.
    pub fn new(options: HashOptions) -> Result<Self, ItemError> {
        Ok(Self {
            options,
            hasher: FrequencyHasher::new(options.side, options.lowpass)?,
            before: Vec::new(),
            spacing: Spacing::new(options.min_scene_frames),
        })
    }
}

impl SceneDetector for HashDetector {
    fn name(&self) -> &'static str {
        "hash"
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
        let now = self.hasher.hash(image)?;
        let bits = now.len().max(1) as f64;
        let differ = now.iter().zip(&self.before).filter(|(a, b)| a != b);
        let distance = differ.count() as f64 / bits;
        let has_before = !self.before.is_empty();
        self.before.clear();
        self.before.extend_from_slice(now);
        out.scores.push((index, distance as Score));
        let above = has_before && distance >= f64::from(self.options.threshold);
        out.cuts
            .extend(self.spacing.next(index, above, distance as Score));
        Ok(())
    }

    fn finish(&mut self, _out: &mut Detections) -> Result<(), ItemError> {
        self.before.clear();
        self.spacing.reset();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(detector: &mut HashDetector, shots: &[(u32, usize)]) -> Detections {
        let mut out = Detections::default();
        let frames = shots.iter().flat_map(|(shot, count)| vec![*shot; *count]);
        for (n, shot) in frames.enumerate() {
            let image = super::super::content::pattern(shot);
            detector
                .push(FrameIndex(n as u32), &image, &mut out)
                .unwrap();
        }
        detector.finish(&mut out).unwrap();
        out
    }

    #[test]
    fn another_picture_is_a_cut_and_a_short_one_is_none() {
        let mut detector = HashDetector::new(HashOptions::default()).unwrap();
        for _ in 0..2 {
            let out = run(&mut detector, &[(0, 20), (3, 20), (9, 5), (3, 20)]);
            let starts: Vec<u32> = out.cuts.iter().map(|cut| cut.scene_start.0).collect();
            assert_eq!(starts[..2], [20, 40]);
            assert!(!starts.contains(&45));
            assert_eq!((out.scores.len(), out.scores[0].1), (65, 0.0));
            assert_eq!(out.cuts[0].score, out.scores[20].1);
        }
    }
}
