//! Which frames of a scene are kept: evenly spread in time, never more than a fixed number.

use crate::core::SampledFrame;

/// Keeps frames of one scene. When full it drops every other one and from then on takes every
/// other one that it is offered, so memory does not grow with the scene.
#[derive(Debug)]
pub(super) struct Sampler {
    max_frames: usize,
    stride: u64,
    offered: u64,
    kept: Vec<SampledFrame>,
}

impl Sampler {
    /// An empty sampler that keeps at most `max_frames`, at least 2.
    pub(super) fn new(max_frames: usize) -> Self {
        Self {
            max_frames: max_frames.max(2),
            stride: 1,
            offered: 0,
            kept: Vec::new(),
        }
    }

    /// Offers the next frame of the time grid.
    pub(super) fn offer(&mut self, frame: SampledFrame) {
        if self.offered.is_multiple_of(self.stride) {
            if self.kept.len() == self.max_frames {
                let mut position = 0_u64;
                self.kept.retain(|_| {
                    position += 1;
                    position % 2 == 1
                });
                self.stride *= 2;
            }
            if self.offered.is_multiple_of(self.stride) {
                self.kept.push(frame);
            }
        }
        self.offered += 1;
    }

    /// What was kept, in time order; the sampler is empty afterwards.
    pub(super) fn take(&mut self) -> Vec<SampledFrame> {
        self.stride = 1;
        self.offered = 0;
        std::mem::take(&mut self.kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{FrameIndex, Pts, Rgb8};

    fn kept(offered: u32, max: usize) -> Vec<u32> {
        let mut sampler = Sampler::new(max);
        let pixel = Rgb8::from_fn(1, 1, |_, _| [0; 3]);
        for n in 0..offered {
            sampler.offer(SampledFrame {
                index: FrameIndex(n),
                pts: Pts(i64::from(n)),
                image: pixel.clone(),
                next: None,
                small: pixel.clone(),
            });
        }
        sampler.take().iter().map(|frame| frame.index.0).collect()
    }

    #[test]
    fn all_are_kept_while_there_is_room() {
        assert_eq!(kept(4, 4), [0, 1, 2, 3]);
    }

    #[test]
    fn a_long_scene_is_sampled_evenly_within_the_limit() {
        assert_eq!(kept(5, 4), [0, 2, 4]);
        assert_eq!(kept(100, 4), [0, 32, 64, 96]);
        for offered in 1..300 {
            let frames = kept(offered, 7);
            assert!(
                frames.len() <= 7 && (offered < 7 || frames.len() >= 4),
                "{offered}"
            );
            let steps: Vec<u32> = frames.windows(2).map(|pair| pair[1] - pair[0]).collect();
            assert!(
                steps.windows(2).all(|pair| pair[0] == pair[1]),
                "{offered}: {steps:?}"
            );
        }
    }
}
