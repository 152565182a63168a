//! Where the cuts of a video come from during one pass: a detector, or what one found before.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::core::{FrameIndex, ItemError, Rgb8, Score};
use crate::media::LowResReader;
use crate::models::{Cut, Detections, SceneDetector};

/// What the memo keeps of a video.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct FoundCuts {
    /// `(scene_end, scene_start, score)` in frames.
    pub(super) cuts: Vec<(u32, u32, f32)>,
}

/// Cuts from the memo, as if a detector found them without delay.
pub(super) struct Replay {
    pub(super) cuts: std::vec::IntoIter<(u32, u32, f32)>,
}

impl Replay {
    /// Gives the cuts whose next scene has begun at `index`, as a detector would: later than the
    /// cut, so that its frames are still undecided.
    fn upto(&mut self, index: FrameIndex, out: &mut Vec<Cut>) {
        while let Some((end, start, score)) = self.cuts.as_slice().first().copied()
            && start <= index.0
        {
            out.push(Cut {
                scene_end: FrameIndex(end),
                scene_start: FrameIndex(start),
                score,
            });
            self.cuts.next();
        }
    }

    /// First frame that a cut still to come may belong to.
    fn decided(&self, index: FrameIndex) -> FrameIndex {
        let next = self.cuts.as_slice().first();
        FrameIndex(next.map_or(index.0 + 1, |(end, ..)| (*end).min(index.0 + 1)))
    }
}

/// Where cuts come from during one pass.
pub(super) enum CutSource<'a> {
    Detector {
        detector: &'a mut dyn SceneDetector,
        found: Detections,
        /// The frame before and its picture, kept where frames are left out.
        last: Option<(FrameIndex, Rgb8)>,
        /// The frames that it has not decided about, as it may report late.
        undecided: VecDeque<FrameIndex>,
    },
    Replay(Replay),
}

impl CutSource<'_> {
    /// Feeds the frame just decoded; gives new cuts and the first frame not yet decided.
    pub(super) fn frame(
        &mut self,
        index: FrameIndex,
        reader: &mut LowResReader,
        cuts: &mut Vec<Cut>,
        scores: &mut Vec<(FrameIndex, Score)>,
    ) -> Result<FrameIndex, ItemError> {
        match self {
            Self::Detector {
                detector,
                found,
                last,
                undecided,
            } => {
                let picture = reader.picture(detector.input())?;
                if detector.needs_every_frame() {
                    // What was left out looks like the frame before.
                    if let Some((before, picture)) = last.take() {
                        for missing in before.0 + 1..index.0 {
                            detector.push(FrameIndex(missing), &picture, found)?;
                        }
                    }
                    *last = Some((index, picture.clone()));
                }
                detector.push(index, &picture, found)?;
                cuts.append(&mut found.cuts);
                scores.append(&mut found.scores);
                undecided.push_back(index);
                while undecided.len() > detector.latency_frames() as usize {
                    undecided.pop_front();
                }
                Ok(*undecided.front().unwrap_or(&FrameIndex(index.0 + 1)))
            }
            Self::Replay(replay) => {
                replay.upto(index, cuts);
                Ok(replay.decided(index))
            }
        }
    }

    pub(super) fn finish(
        &mut self,
        cuts: &mut Vec<Cut>,
        scores: &mut Vec<(FrameIndex, Score)>,
    ) -> Result<(), ItemError> {
        match self {
            Self::Detector {
                detector, found, ..
            } => {
                detector.finish(found)?;
                cuts.append(&mut found.cuts);
                scores.append(&mut found.scores);
            }
            Self::Replay(replay) => replay.upto(FrameIndex(u32::MAX), cuts),
        }
        Ok(())
    }
}
