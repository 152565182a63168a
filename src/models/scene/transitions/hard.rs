//! Hard cuts: a difference between two frames that stands out and does not go back.

use super::ring::Ring;
use super::{Evidence, TransitionOptions};
use crate::core::Score;

/// Frames after a frame that are waited for before it is judged.
pub(super) const LOOK_AHEAD_FRAMES: u32 = 5;
/// Neighbours on each side that a difference is compared with.
const NEIGHBOURS: u32 = 2;
/// A clear difference stands out by this factor.
const CLEAR_RATIO: Score = 2.5;
/// From this difference on it is clear.
const CLEAR_DIFFERENCE: Score = 30.0;
/// A slight difference stands out by this factor.
const SLIGHT_RATIO: Score = 4.0;
/// Neighbours quieter than this count as this much: noise of still pictures.
const NOISE: Score = 1.0;
/// A picture came back when less than this share of the difference is left.
const BACK_RATIO: Score = 0.5;

/// Judges the frame that has its look-ahead now; at the end of a video `now` goes on without frames.
pub(super) fn look(ring: &Ring, now: u32, options: &TransitionOptions) -> Option<Evidence> {
    let at = now.checked_sub(LOOK_AHEAD_FRAMES)?;
    let step = ring.step(at);
    if at == 0 || step < options.min_difference {
        return None;
    }
    let last = ring.frames().saturating_sub(1);
    let (mut sum, mut count) = (0.0, 0.0);
    for n in 1..=NEIGHBOURS {
        for near in [at.checked_sub(n), Some(at + n)].into_iter().flatten() {
            if near > 0 && near <= last {
                sum += ring.step(near);
                count += 1.0;
            }
        }
    }
    let around = if count > 0.0 { sum / count } else { 0.0 };
    let ratio = step / around.max(NOISE);
    let needed = if step >= CLEAR_DIFFERENCE {
        CLEAR_RATIO
    } else {
        SLIGHT_RATIO
    };
    if ratio < needed || is_flash(ring, at, step, options) {
        return None;
    }
    Some(Evidence {
        end: at,
        start: at,
        score: step,
    })
}

/// Whether the picture before comes back soon after, or the picture after was there shortly before.
fn is_flash(ring: &Ring, at: u32, step: Score, options: &TransitionOptions) -> bool {
    let limit = BACK_RATIO * step;
    (1..=options.max_flash_frames).any(|n| {
        let back = ring.difference(at - 1, at + n);
        let was = at
            .checked_sub(n + 1)
            .and_then(|before| ring.difference(before, at));
        [back, was].into_iter().flatten().any(|left| left < limit)
    })
}
