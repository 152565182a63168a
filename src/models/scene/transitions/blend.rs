//! Gradual transitions: every frame between two pictures A and B is a mixture of them.
//!
//! In a dissolve or fade a frame is A + p (B − A) with one p for the whole picture; in a wipe each
//! place shows either A or B. Camera and object motion do neither: they bring in what neither
//! picture shows at that place. p itself rises from 0 to 1 in small steps.

use super::Evidence;
use super::ring::{BYTES, Ring, difference};
use crate::core::Score;

/// Lengths of the windows looked at, frames.
const WINDOWS_FRAMES: [u32; 8] = [8, 12, 16, 24, 32, 48, 64, 96];
/// The longest of them.
pub(super) const MAX_WINDOW_FRAMES: u32 = 96;
/// Places in a window at which frames are compared, its ends included.
const PLACES: u32 = 8;
/// p may be so far from 0 and 1 at the first and last place: the transition lies inside.
const FLAT: f32 = 0.06;
/// Largest and smallest step of p from place to place.
const MAX_STEP: f32 = 0.45;
const MIN_STEP: f32 = -0.06;
/// Largest step of p from frame to frame: above it, the window holds a hard cut.
const MAX_FRAME_STEP: f32 = 0.5;
/// What the mixture leaves unexplained, as a share of the difference of A and B.
const MAX_DISSOLVE_REST: f32 = 0.12;
const MAX_WIPE_REST: f32 = 0.10;
/// A frame with p beyond these is A or B.
const STARTED: f32 = 0.03;

/// Finds mixtures, each once.
#[derive(Debug, Default)]
pub(super) struct Blends {
    /// First frame after the last one found.
    found_until: u32,
}

impl Blends {
    /// Looks at the windows that end with frame `now`.
    pub(super) fn look(&mut self, ring: &Ring, now: u32, smallest: Score) -> Option<Evidence> {
        for length in WINDOWS_FRAMES {
            let Some(first) = now.checked_sub(length) else {
                break;
            };
            let Some(found) =
                Window::new(ring, first, length, smallest).and_then(|window| window.transition())
            else {
                continue;
            };
            if found.end >= self.found_until {
                self.found_until = found.start;
                return Some(found);
            }
        }
        None
    }
}

/// A stretch of frames between A and B.
struct Window<'a> {
    ring: &'a Ring,
    first: u32,
    length: u32,
    from: &'a [u8; BYTES],
    /// B − A.
    change: Box<[i16; BYTES]>,
    /// |B − A|².
    energy: f32,
    /// Mean |B − A|.
    difference: Score,
}

impl<'a> Window<'a> {
    fn new(ring: &'a Ring, first: u32, length: u32, smallest: Score) -> Option<Self> {
        let (from, to) = (ring.pixels(first)?, ring.pixels(first + length)?);
        let difference = difference(from, to);
        if difference < smallest {
            return None;
        }
        let mut change = Box::new([0_i16; BYTES]);
        for ((change, a), b) in change.iter_mut().zip(from).zip(to) {
            *change = i16::from(*b) - i16::from(*a);
        }
        let energy: i64 = change
            .iter()
            .map(|c| i64::from(i32::from(*c) * i32::from(*c)))
            .sum();
        Some(Self {
            ring,
            first,
            length,
            from,
            change,
            energy: energy as f32,
            difference,
        })
    }

    /// How far a frame has come from A to B.
    fn progress(&self, frame: u32) -> Option<f32> {
        let pixels = self.ring.pixels(frame)?;
        let mut product = 0_i64;
        for ((value, a), change) in pixels.iter().zip(self.from).zip(self.change.iter()) {
            product += i64::from((i32::from(*value) - i32::from(*a)) * i32::from(*change));
        }
        Some(product as f32 / self.energy)
    }

    fn place(&self, number: u32) -> u32 {
        self.first + self.length * number / PLACES
    }

    fn transition(&self) -> Option<Evidence> {
        let (early, late) = (self.progress(self.place(1))?, self.progress(self.place(7))?);
        if early.abs() > FLAT || (1.0 - late).abs() > FLAT {
            return None;
        }
        let mut last = 0.0;
        for number in 1..=PLACES {
            let p = match number {
                PLACES => 1.0,
                _ => self.progress(self.place(number))?,
            };
            if !(MIN_STEP..=MAX_STEP).contains(&(p - last)) {
                return None;
            }
            last = p;
        }
        if !self.is_mixture()? {
            return None;
        }
        let mut course = Vec::with_capacity(self.length as usize + 1);
        for frame in self.first..=self.first + self.length {
            course.push(self.progress(frame)?);
        }
        if course
            .windows(2)
            .any(|pair| pair[1] - pair[0] > MAX_FRAME_STEP)
        {
            return None;
        }
        let begun = course.iter().position(|p| *p >= STARTED)?.max(1) as u32;
        let ended = course.iter().rposition(|p| *p <= 1.0 - STARTED)? as u32;
        // The outermost mixed frames show too little of the other picture to be told from motion.
        (begun <= ended).then_some(Evidence {
            end: (self.first + begun - 1).max(1),
            start: self.first + (ended + 2).min(self.length),
            score: self.difference,
        })
    }

    /// Whether all places are explained as a dissolve, or all as a wipe.
    fn is_mixture(&self) -> Option<bool> {
        let (mut dissolve, mut wipe) = (0_f32, 0_f32);
        for number in 1..PLACES {
            let frame = self.place(number);
            let p = self.progress(frame)?;
            let weight = (p * 256.0).round() as i32;
            let (mut blended, mut nearest) = (0_u32, 0_u32);
            let pixels = self.ring.pixels(frame)?.iter();
            for ((value, a), change) in pixels.zip(self.from).zip(self.change.iter()) {
                let (moved, change) = (i32::from(*value) - i32::from(*a), i32::from(*change));
                blended += ((moved << 8) - weight * change).unsigned_abs();
                nearest += moved.unsigned_abs().min((moved - change).unsigned_abs());
            }
            let whole = self.difference * BYTES as f32;
            dissolve = dissolve.max(blended as f32 / 256.0 / whole);
            wipe = wipe.max(nearest as f32 / whole);
            if dissolve > MAX_DISSOLVE_REST && wipe > MAX_WIPE_REST {
                return Some(false);
            }
        }
        Some(true)
    }
}
