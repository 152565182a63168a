//! The last small pictures of a video, and distances between them.

use std::collections::VecDeque;

use crate::core::Score;

/// Columns of a small picture.
pub(super) const WIDTH: usize = 32;
/// Rows of a small picture.
pub(super) const HEIGHT: usize = 18;
/// Bytes of a small picture, RGB.
pub(super) const BYTES: usize = WIDTH * HEIGHT * 3;
/// Pictures that are kept.
pub(super) const KEPT_FRAMES: usize = 512;

/// One kept frame.
#[derive(Debug)]
struct Kept {
    pixels: Box<[u8; BYTES]>,
    /// Difference to the frame before.
    step: Score,
    mean: f32,
    deviation: f32,
}

/// The last [`KEPT_FRAMES`] frames, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Ring {
    kept: VecDeque<Kept>,
    frames: u32,
}

impl Ring {
    /// Adds the next frame's small picture, of [`BYTES`] bytes.
    pub(super) fn push(&mut self, pixels: &[u8]) {
        let mut own = match self.kept.len() {
            KEPT_FRAMES => self.kept.pop_front().map(|kept| kept.pixels),
            _ => None,
        }
        .unwrap_or_else(|| Box::new([0; BYTES]));
        for (to, from) in own.iter_mut().zip(pixels) {
            *to = *from;
        }
        let step = self
            .kept
            .back()
            .map_or(0.0, |last| difference(&last.pixels, &own));
        let sum: u64 = own.iter().map(|value| u64::from(*value)).sum();
        let squares: u64 = own
            .iter()
            .map(|value| u64::from(u32::from(*value) * u32::from(*value)))
            .sum();
        let mean = sum as f64 / BYTES as f64;
        let variance = squares as f64 / BYTES as f64 - mean * mean;
        self.kept.push_back(Kept {
            pixels: own,
            step,
            mean: mean as f32,
            deviation: variance.max(0.0).sqrt() as f32,
        });
        self.frames += 1;
    }

    /// Frames pushed so far.
    pub(super) fn frames(&self) -> u32 {
        self.frames
    }

    fn kept(&self, frame: u32) -> Option<&Kept> {
        let oldest = self.frames as usize - self.kept.len();
        self.kept.get((frame as usize).checked_sub(oldest)?)
    }

    /// A frame's small picture.
    pub(super) fn pixels(&self, frame: u32) -> Option<&[u8; BYTES]> {
        self.kept(frame).map(|kept| &*kept.pixels)
    }

    /// Difference to the frame before; 0 for the first and for unknown frames.
    pub(super) fn step(&self, frame: u32) -> Score {
        self.kept(frame).map_or(0.0, |kept| kept.step)
    }

    /// Mean of all values, 0–255.
    pub(super) fn mean(&self, frame: u32) -> Option<f32> {
        self.kept(frame).map(|kept| kept.mean)
    }

    /// Standard deviation of all values.
    pub(super) fn deviation(&self, frame: u32) -> Option<f32> {
        self.kept(frame).map(|kept| kept.deviation)
    }

    /// Mean absolute difference of two frames, 0–255; none where one is not kept.
    pub(super) fn difference(&self, a: u32, b: u32) -> Option<Score> {
        Some(difference(self.pixels(a)?, self.pixels(b)?))
    }
}

/// Mean absolute difference, 0–255.
pub(super) fn difference(a: &[u8; BYTES], b: &[u8; BYTES]) -> Score {
    let sum: u32 = a
        .iter()
        .zip(b)
        .map(|(a, b)| u32::from(a.abs_diff(*b)))
        .sum();
    sum as Score / BYTES as Score
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_frames_are_known() {
        let mut ring = Ring::default();
        for n in 0..KEPT_FRAMES as u32 + 10 {
            ring.push(&[(n % 200) as u8; BYTES]);
        }
        assert!(ring.pixels(9).is_none() && ring.pixels(KEPT_FRAMES as u32 + 10).is_none());
        assert_eq!(ring.pixels(10).unwrap()[0], 10);
        assert_eq!((ring.step(11), ring.difference(10, 14)), (1.0, Some(4.0)));
        assert_eq!((ring.mean(12), ring.deviation(12)), (Some(12.0), Some(0.0)));
    }
}
