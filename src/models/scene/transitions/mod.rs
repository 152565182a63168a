//! Transitions — hard and gradual cuts from the pictures alone, without a network.
//!
//! Source   own; the linear model of a dissolve is textbook (Hampapur, Jain, Weymouth 1995)
//! Input    frames at [`SizeRule::LOW_RES`], averaged to 32x18
//! Score    mean absolute RGB difference to the frame before at 32x18, 0–255; 0 for the first
//! After    three kinds of evidence, each found a little later than it happens:
//!          `hard.rs`: a difference that stands out from its neighbours and does not go back
//!          `blend.rs`: frames that are mixtures of a frame before and a frame after
//!          `plain.rs`: a stretch of black or white with the fades at its ends
//!          Evidence that overlaps is one transition; its mixed frames belong to no scene
//! Cost     see `make bench-detectors`; memory: [`ring::KEPT_FRAMES`] frames of 1.7 kB

mod blend;
mod hard;
mod plain;
mod ring;

use std::collections::VecDeque;

use self::blend::Blends;
use self::plain::PlainRuns;
use self::ring::{HEIGHT, Ring, WIDTH};
use super::average::Averager;
use crate::core::{FrameIndex, ItemError, Rgb8, Score, SizeRule};
use crate::models::{Cut, Detections, SceneDetector};

/// Frames after which all evidence about a frame is there.
const HORIZON_FRAMES: u32 = blend::MAX_WINDOW_FRAMES + 8;
/// Longest transition, frames.
const MAX_TRANSITION_FRAMES: u32 = 2 * plain::MAX_FADE_FRAMES + plain::MAX_RUN_FRAMES;
/// A hard cut this near to a gradual transition is its edge, frames.
const EDGE_FRAMES: u32 = 3;

/// What somebody else found must differ by this multiple of the steps from frame to frame around it.
const UNREST_RATIO: Score = 2.0;
/// So many frames on each side.
const UNREST_FRAMES: u32 = 6;

/// Settings of [`TransitionDetector`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TransitionOptions {
    /// Smallest difference of the frames at a hard cut; mean absolute RGB difference, 0–255.
    pub min_difference: Score,
    /// Smallest difference of the frames at the two ends of a gradual transition; same unit.
    pub min_gradual_difference: Score,
    /// A picture that comes back after at most this many frames was interrupted by a flash.
    pub max_flash_frames: u32,
}

impl Default for TransitionOptions {
    fn default() -> Self {
        Self {
            min_difference: 10.0,
            min_gradual_difference: 25.0,
            max_flash_frames: 5,
        }
    }
}

/// Where something speaks for a transition: frames of `end..start` belong to no scene.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Evidence {
    /// First frame that is not of the scene before.
    pub(super) end: u32,
    /// First frame of the scene after; equal to `end` for a hard cut.
    pub(super) start: u32,
    /// Difference of the frames around it, 0–255.
    pub(super) score: Score,
}

impl Evidence {
    fn is_hard(&self) -> bool {
        self.end == self.start
    }
}

/// Finds hard and gradual cuts.
pub struct TransitionDetector {
    options: TransitionOptions,
    averager: Averager,
    ring: Ring,
    blends: Blends,
    plain_runs: PlainRuns,
    /// Evidence not yet reported, by `end`.
    pending: VecDeque<Evidence>,
    /// First frame after the last reported transition.
    reported: u32,
}

impl TransitionDetector {
    /// A detector with these settings.
    pub fn new(options: TransitionOptions) -> Self {
        Self {
            options,
            averager: Averager::default(),
            ring: Ring::default(),
            blends: Blends::default(),
            plain_runs: PlainRuns::default(),
            pending: VecDeque::new(),
            reported: 0,
        }
    }

    /// Adds what somebody else found; it is believed where the pictures before and after differ.
    pub(super) fn suggest(&mut self, cut: Cut) {
        let (end, start) = (cut.scene_end.0, cut.scene_start.0);
        if let Some(score) = self.difference_across(end, start) {
            self.add(Evidence { end, start, score });
        }
    }

    /// How much the pictures differ, some frames away from a transition on both sides; none where
    /// they are alike or out of reach.
    fn difference_across(&self, end: u32, start: u32) -> Option<Score> {
        let before = end.checked_sub(1)?;
        let nearest = (0..=self.options.max_flash_frames)
            .filter_map(|later| {
                let earlier = before.saturating_sub(later.min(2));
                self.ring.difference(earlier, start + later)
            })
            .fold(Score::INFINITY, Score::min);
        // A shaken camera makes large differences, but they are nothing new.
        let steps = (1..=UNREST_FRAMES).flat_map(|n| [end.checked_sub(n), Some(start + n)]);
        let (sum, count) = steps
            .flatten()
            .filter(|frame| self.ring.pixels(*frame).is_some())
            .fold((0.0, 0), |(sum, n), frame| {
                (sum + self.ring.step(frame), n + 1)
            });
        let unrest = if count > 0 { sum / count as Score } else { 0.0 };
        let needed = self.options.min_difference.max(UNREST_RATIO * unrest);
        (nearest.is_finite() && nearest >= needed).then_some(nearest)
    }

    fn add(&mut self, found: Evidence) {
        let at = self.pending.partition_point(|known| known.end <= found.end);
        self.pending.insert(at, found);
    }

    /// Reports transitions that nothing to come can change.
    fn report(&mut self, settled: u32, cuts: &mut Vec<Cut>) {
        while let Some(first) = self.pending.front().copied()
            && first.start < settled
        {
            self.pending.pop_front();
            let mut found = first;
            while let Some(next) = self.pending.front().copied()
                && belongs(&found, &next)
            {
                self.pending.pop_front();
                found = joined(&found, &next);
            }
            if found.start >= settled {
                // What joined is still being written.
                self.pending.push_front(found);
                return;
            }
            if found.start <= self.reported && self.reported > 0 {
                continue;
            }
            self.reported = found.start;
            cuts.push(Cut {
                scene_end: FrameIndex(found.end),
                scene_start: FrameIndex(found.start),
                score: found.score,
            });
        }
    }
}

/// Whether two pieces of evidence, in order, are about one transition.
fn belongs(a: &Evidence, b: &Evidence) -> bool {
    let reach = if a.is_hard() && b.is_hard() {
        0
    } else {
        EDGE_FRAMES
    };
    b.end <= a.start + reach
}

fn joined(a: &Evidence, b: &Evidence) -> Evidence {
    let score = a.score.max(b.score);
    // The edge of a gradual transition does not move it.
    match (a.is_hard(), b.is_hard()) {
        (false, true) => Evidence { score, ..*a },
        (true, false) => Evidence { score, ..*b },
        _ => Evidence {
            end: a.end.min(b.end),
            start: a.start.max(b.start),
            score,
        },
    }
}

impl SceneDetector for TransitionDetector {
    fn name(&self) -> &'static str {
        "transitions"
    }
    fn input(&self) -> SizeRule {
        SizeRule::LOW_RES
    }
    fn latency_frames(&self) -> u32 {
        HORIZON_FRAMES + MAX_TRANSITION_FRAMES
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
        let small = self.averager.shrink(image, WIDTH as u32, HEIGHT as u32)?;
        self.ring.push(small.data());
        let now = index.0;
        out.scores.push((index, self.ring.step(now)));
        if let Some(found) = hard::look(&self.ring, now, &self.options) {
            self.add(found);
        }
        let smallest = self.options.min_gradual_difference;
        if let Some(found) = self.blends.look(&self.ring, now, smallest) {
            self.add(found);
        }
        if let Some(found) = self.plain_runs.look(&self.ring, now, &self.options) {
            self.add(found);
        }
        self.report((now + 1).saturating_sub(HORIZON_FRAMES), &mut out.cuts);
        Ok(())
    }

    fn finish(&mut self, out: &mut Detections) -> Result<(), ItemError> {
        let frames = self.ring.frames();
        for late in 0..hard::LOOK_AHEAD_FRAMES {
            if let Some(found) = hard::look(&self.ring, frames + late, &self.options) {
                self.add(found);
            }
        }
        if let Some(found) = self.plain_runs.finish(&self.ring, &self.options) {
            self.add(found);
        }
        self.report(u32::MAX, &mut out.cuts);
        *self = Self::new(self.options);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
