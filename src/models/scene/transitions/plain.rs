//! Black and white stretches between two pictures, with the fades that lead in and out.

use super::ring::Ring;
use super::{Evidence, TransitionOptions};

/// Brightness up to which a plain frame is black, and from which on it is white; 0–255.
const BLACK: f32 = 30.0;
const WHITE: f32 = 225.0;
/// Deviation up to which a frame is plain.
const PLAIN_DEVIATION: f32 = 4.0;
/// A longer stretch is a scene of its own: its two ends are two transitions.
pub(super) const MAX_RUN_FRAMES: u32 = 120;
/// Longest fade on each side.
pub(super) const MAX_FADE_FRAMES: u32 = 96;
/// While a picture fades, its contrast changes by at least this share from frame to frame.
const FADE_RATE: f32 = 0.015;

/// Follows the stretches of a video.
#[derive(Debug, Default)]
pub(super) struct PlainRuns {
    /// First frame of the stretch that goes on, or just ended.
    run: Option<Run>,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    first: u32,
    /// First frame after it, once it is over.
    end: Option<u32>,
    /// Whether it is a scene of its own.
    is_long: bool,
}

impl Run {
    fn from(first: u32) -> Self {
        Self {
            first,
            end: None,
            is_long: false,
        }
    }
}

impl PlainRuns {
    /// Takes note of frame `now`; gives the transition whose fade-in is over.
    pub(super) fn look(
        &mut self,
        ring: &Ring,
        now: u32,
        options: &TransitionOptions,
    ) -> Option<Evidence> {
        let is_plain = is_plain(ring, now);
        let Some(run) = self.run.as_mut() else {
            self.run = is_plain.then(|| Run::from(now));
            return None;
        };
        match run.end {
            None if is_plain => {
                if run.is_long || now - run.first < MAX_RUN_FRAMES {
                    return None;
                }
                run.is_long = true;
                let begun = fade_out_start(ring, run.first);
                (begun < run.first).then(|| evidence(ring, begun, run.first))
            }
            None => {
                run.end = Some(now);
                None
            }
            Some(end) => {
                let is_over =
                    is_plain || now - end >= MAX_FADE_FRAMES || !is_fading(ring, now - 1, now);
                if !is_over {
                    return None;
                }
                let ended = *run;
                self.run = is_plain.then(|| Run::from(now));
                // The frame before was the first at full contrast.
                transition(ring, ended, end, now - 1, options)
            }
        }
    }

    /// Ends the video: a fade-out at its end belongs to no scene.
    pub(super) fn finish(&mut self, ring: &Ring, options: &TransitionOptions) -> Option<Evidence> {
        let run = self.run.take()?;
        let frames = ring.frames();
        if let Some(end) = run.end {
            return transition(ring, run, end, frames, options);
        }
        if run.is_long {
            return None;
        }
        let begun = fade_out_start(ring, run.first);
        (begun > 0 && begun < run.first).then(|| evidence(ring, begun, frames))
    }
}

fn is_plain(ring: &Ring, frame: u32) -> bool {
    let (Some(mean), Some(deviation)) = (ring.mean(frame), ring.deviation(frame)) else {
        return false;
    };
    deviation <= PLAIN_DEVIATION && (mean <= BLACK || mean >= WHITE)
}

/// Whether contrast still rises from frame to frame.
fn is_fading(ring: &Ring, before: u32, after: u32) -> bool {
    match (ring.deviation(before), ring.deviation(after)) {
        (Some(low), Some(high)) => high - low > FADE_RATE * high,
        _ => false,
    }
}

/// First frame that fades towards the stretch that begins at `first`.
fn fade_out_start(ring: &Ring, first: u32) -> u32 {
    let mut at = first;
    while at > 1 && first - at < MAX_FADE_FRAMES && is_fading(ring, at - 1, at - 2) {
        at -= 1;
    }
    at
}

/// The run, which ended before `end`, with its fades; `after` is the first frame of the scene after.
fn transition(
    ring: &Ring,
    run: Run,
    end: u32,
    after: u32,
    options: &TransitionOptions,
) -> Option<Evidence> {
    if run.is_long {
        return (end < after).then(|| evidence(ring, end, after));
    }
    let begun = fade_out_start(ring, run.first);
    if begun == 0 {
        // A lead-in belongs to no scene.
        return Some(evidence(ring, 0, after));
    }
    let is_short = end - run.first <= options.max_flash_frames;
    let came_back = ring
        .difference(begun - 1, after)
        .is_some_and(|left| left < options.min_difference);
    if is_short && came_back {
        return None;
    }
    Some(evidence(ring, begun, after))
}

fn evidence(ring: &Ring, end: u32, start: u32) -> Evidence {
    let outside = end.saturating_sub(1);
    let across = ring.difference(outside, start.min(ring.frames().saturating_sub(1)));
    let inside = ring.difference(outside, u32::midpoint(end, start));
    let score = across.unwrap_or(0.0).max(inside.unwrap_or(0.0));
    Evidence { end, start, score }
}
