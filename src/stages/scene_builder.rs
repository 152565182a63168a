//! Turns frames and late-coming cuts into scenes, holding only what is still undecided.

use std::collections::VecDeque;

use super::sampler::Sampler;
use crate::core::{FrameIndex, Pts, SampledFrame, SceneStats, Score, Span};
use crate::models::Cut;

/// What the low-resolution pass knows of one frame.
#[derive(Debug)]
pub(super) struct FrameNotes {
    pub index: FrameIndex,
    pub pts: Pts,
    /// Mean luma, 0–255.
    pub luma_mean: f32,
    /// Mean absolute luma difference to the frame before; none for the first of the video and where
    /// that was not decoded.
    pub luma_delta: Option<f32>,
    /// Pixels, when the frame lies on the sampling grid.
    pub sample: Option<SampledFrame>,
}

/// A finished scene without its place in a video.
#[derive(Debug)]
pub(super) struct BuiltScene {
    pub frames: Span<FrameIndex>,
    pub pts: Span<Pts>,
    pub cut_score: [Option<Score>; 2],
    pub stats: SceneStats,
    pub samples: Vec<SampledFrame>,
}

/// Streams frames into scenes. Frames wait until the detector can no longer cut before them.
#[derive(Debug)]
pub(super) struct SceneBuilder {
    waiting: VecDeque<FrameNotes>,
    cuts: VecDeque<Cut>,
    open: Option<OpenScene>,
    /// Frames before this one belong to no scene: they are the mixed frames of a gradual cut.
    skip_until: FrameIndex,
    start_score: Option<Score>,
    max_samples: usize,
}

#[derive(Debug)]
struct OpenScene {
    start: FrameIndex,
    start_pts: Pts,
    start_score: Option<Score>,
    frames: u64,
    luma_sum: f64,
    delta_sum: f64,
    deltas: u64,
    still: u64,
    dark: u64,
    sampler: Sampler,
}

/// Frames that differ less than this from the one before count as still (mean luma, 0–255).
const STILL_BELOW: f32 = 0.1;
/// Frames darker than this count as dark (mean luma, 0–255; black is 0 in full range).
const DARK_BELOW: f32 = 16.0;

impl SceneBuilder {
    /// A builder for one video.
    pub(super) fn new(max_samples: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            cuts: VecDeque::new(),
            open: None,
            skip_until: FrameIndex(0),
            start_score: None,
            max_samples,
        }
    }

    /// Takes the next frame.
    pub(super) fn frame(&mut self, notes: FrameNotes) {
        self.waiting.push_back(notes);
    }

    /// Gives the newest frame's small picture to the frame before it, for motion.
    pub(super) fn newest_sample(&mut self) -> Option<&mut SampledFrame> {
        self.waiting
            .back_mut()
            .and_then(|notes| notes.sample.as_mut())
    }

    /// Takes a cut, in order.
    pub(super) fn cut(&mut self, cut: Cut) {
        self.cuts.push_back(cut);
    }

    /// Settles every frame before `decided`: no cut will come there any more. The newest frame
    /// waits in any case, as its sample wants the next frame's picture.
    pub(super) fn settle(&mut self, decided: FrameIndex, done: &mut Vec<BuiltScene>) {
        while self.waiting.len() > 1
            && self
                .waiting
                .front()
                .is_some_and(|notes| notes.index < decided)
        {
            if let Some(notes) = self.waiting.pop_front() {
                self.place(notes, done);
            }
        }
    }

    /// Ends the video: `end` is the number that a further frame would have, `end_pts` when the last
    /// frame's display ends.
    pub(super) fn finish(&mut self, end: FrameIndex, end_pts: Pts, done: &mut Vec<BuiltScene>) {
        while let Some(notes) = self.waiting.pop_front() {
            self.place(notes, done);
        }
        if let Some(open) = self.open.take() {
            done.push(open.close(end, end_pts, None));
        }
    }

    fn place(&mut self, mut notes: FrameNotes, done: &mut Vec<BuiltScene>) {
        while let Some(cut) = self.cuts.front().copied()
            && cut.scene_end <= notes.index
        {
            self.cuts.pop_front();
            if let Some(open) = self.open.take() {
                done.push(open.close(notes.index, notes.pts, Some(cut.score)));
            }
            self.skip_until = cut.scene_start.max(self.skip_until);
            self.start_score = Some(cut.score);
        }
        if notes.index < self.skip_until {
            return;
        }
        let is_first = self.open.is_none();
        let open = self.open.get_or_insert_with(|| OpenScene {
            start: notes.index,
            start_pts: notes.pts,
            start_score: self.start_score,
            frames: 0,
            luma_sum: 0.0,
            delta_sum: 0.0,
            deltas: 0,
            still: 0,
            dark: 0,
            sampler: Sampler::new(self.max_samples),
        });
        open.frames += 1;
        open.luma_sum += f64::from(notes.luma_mean);
        open.dark += u64::from(notes.luma_mean < DARK_BELOW);
        // The first frame's difference is to another scene.
        if let (false, Some(delta)) = (is_first, notes.luma_delta) {
            open.delta_sum += f64::from(delta);
            open.deltas += 1;
            open.still += u64::from(delta < STILL_BELOW);
        }
        if let Some(sample) = notes.sample.take() {
            open.sampler.offer(sample);
        }
    }
}

impl OpenScene {
    fn close(mut self, end: FrameIndex, end_pts: Pts, end_score: Option<Score>) -> BuiltScene {
        let samples = self.sampler.take();
        let mean = |sum: f64, n: u64| if n == 0 { 0.0 } else { (sum / n as f64) as f32 };
        let frames = Span::between(self.start, end);
        BuiltScene {
            frames,
            pts: Span::between(self.start_pts, end_pts),
            cut_score: [self.start_score, end_score],
            stats: SceneStats {
                luma_mean: mean(self.luma_sum, self.frames),
                luma_delta_mean: mean(self.delta_sum, self.deltas),
                still_ratio: mean(self.still as f64, self.deltas),
                dark_ratio: mean(self.dark as f64, self.frames),
            },
            samples: samples
                .into_iter()
                .map(|mut sample| {
                    // The frame after the scene's last one shows another scene.
                    if sample.next.as_ref().is_some_and(|(pts, _)| *pts >= end_pts) {
                        sample.next = None;
                    }
                    sample
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn notes(n: u32) -> FrameNotes {
        FrameNotes {
            index: FrameIndex(n),
            pts: Pts(i64::from(n) * 10),
            luma_mean: 100.0,
            luma_delta: Some(1.0),
            sample: None,
        }
    }

    fn cut(end: u32, start: u32) -> Cut {
        Cut {
            scene_end: FrameIndex(end),
            scene_start: FrameIndex(start),
            score: 0.9,
        }
    }

    /// Builds with cuts that arrive `latency` frames late.
    fn build(frames: u32, cuts: &[Cut], latency: u32) -> Vec<(u32, u32, i64, i64)> {
        let mut builder = SceneBuilder::new(4);
        let mut done = Vec::new();
        let mut due = cuts.iter().copied().peekable();
        for n in 0..frames {
            builder.frame(notes(n));
            while let Some(next) = due.peek().copied()
                && next.scene_end.0 + latency <= n
            {
                builder.cut(next);
                due.next();
            }
            builder.settle(FrameIndex((n + 1).saturating_sub(latency)), &mut done);
        }
        due.for_each(|cut| builder.cut(cut));
        builder.finish(FrameIndex(frames), Pts(i64::from(frames) * 10), &mut done);
        done.iter()
            .map(|s| {
                (
                    s.frames.start().0,
                    s.frames.end().0,
                    s.pts.start().0,
                    s.pts.end().0,
                )
            })
            .collect()
    }

    #[test]
    fn a_sample_waits_for_the_next_frame_even_when_it_is_decided() {
        let image = crate::core::Rgb8::from_fn(2, 2, |_, _| [0; 3]);
        let mut builder = SceneBuilder::new(4);
        builder.frame(FrameNotes {
            sample: Some(SampledFrame {
                index: FrameIndex(0),
                pts: Pts(0),
                image: image.clone(),
                next: None,
                small: image,
            }),
            ..notes(0)
        });
        builder.settle(FrameIndex(1), &mut Vec::new());
        assert!(builder.newest_sample().is_some());
    }

    #[test]
    fn hard_cuts_tile_the_video() {
        assert_eq!(
            build(10, &[cut(4, 4)], 0),
            [(0, 4, 0, 40), (4, 10, 40, 100)]
        );
    }

    #[test]
    fn mixed_frames_belong_to_no_scene() {
        assert_eq!(
            build(10, &[cut(3, 6)], 2),
            [(0, 3, 0, 30), (6, 10, 60, 100)]
        );
    }

    proptest! {
        #[test]
        fn latency_does_not_change_scenes(
            frames in 1_u32..60,
            steps in prop::collection::vec((1_u32..12, 0_u32..4), 0..6),
            latency in 0_u32..20,
        ) {
            let mut cuts = Vec::new();
            let mut at = 0;
            for (step, mixed) in steps {
                at += step;
                cuts.push(cut(at, at + mixed));
                at += mixed;
            }
            let cuts: Vec<Cut> = cuts.into_iter().filter(|c| c.scene_start.0 < frames).collect();
            let scenes = build(frames, &cuts, 0);
            prop_assert_eq!(&scenes, &build(frames, &cuts, latency));
            let mixed: u32 = cuts.iter().map(|c| c.scene_start.0 - c.scene_end.0).sum();
            let covered: u32 = scenes.iter().map(|s| s.1 - s.0).sum();
            prop_assert_eq!(covered + mixed, frames);
        }
    }
}
