//! From the times that a decoder gives to times that rise strictly and name one frame each.
//!
//! A frame without a time gets the time before plus its duration. A frame that is late by less than
//! a second is left out. A larger step back is a jump, as where recordings were put one behind the
//! other: from there on times go on from the frame before it. If the times turn out to go on as
//! before the jump after all, they are taken as they are again. Where the first times of a file are
//! missing, those that come later go on from the made-up ones. A large step ahead is kept; it is
//! counted only in streams that know no gaps, since elsewhere it is a picture that was shown long.

/// A step back of at least this is a jump, seconds.
pub(super) const JUMP_BACK_SECS: f64 = 1.0;
/// A step ahead beyond this may be a jump, seconds.
pub(super) const JUMP_AHEAD_SECS: f64 = 10.0;

/// Limits in ticks of one stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Usual time from frame to frame.
    pub(super) frame_ticks: i64,
    /// A step back of at least this is a jump.
    pub(super) jump_back_ticks: i64,
    /// A step ahead beyond this is a jump; none in a stream that may have gaps.
    pub(super) jump_ahead_ticks: Option<i64>,
}

/// Where a frame belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// At that time, as the file says.
    At(i64),
    /// At that time, for want of one in the file.
    MadeUp(i64),
    /// At that time, after a jump back.
    JumpedBack(i64),
    /// At that time, after a jump ahead.
    JumpedAhead(i64),
    /// Nowhere: it came late.
    Late,
    /// Nowhere: it has no time, and neither has a frame before it.
    Unknown,
}

/// The times of the frames so far.
#[derive(Clone, Debug)]
pub(super) struct Timeline {
    limits: Limits,
    last: Option<(i64, i64)>,
    /// What is added to the file's times.
    offset_ticks: i64,
    offset_before_jump_ticks: Option<i64>,
    /// Whether any frame had a time.
    has_known: bool,
}

impl Timeline {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            last: None,
            offset_ticks: 0,
            offset_before_jump_ticks: None,
            has_known: false,
        }
    }

    /// Time of the newest frame.
    pub(super) fn last(&self) -> Option<i64> {
        self.last.map(|(pts, _)| pts)
    }

    /// The place of the next frame, whose time in the file is `raw`.
    pub(super) fn place(&mut self, raw: Option<i64>, duration_ticks: i64) -> Place {
        let place = self.find(raw);
        if let Place::At(pts)
        | Place::MadeUp(pts)
        | Place::JumpedBack(pts)
        | Place::JumpedAhead(pts) = place
        {
            self.last = Some((pts, duration_ticks));
        }
        place
    }

    /// Puts a first frame without a time at 0.
    pub(super) fn start_at_zero(&mut self, duration_ticks: i64) -> Place {
        self.last = Some((0, duration_ticks));
        Place::MadeUp(0)
    }

    fn find(&mut self, raw: Option<i64>) -> Place {
        let is_first_known = !self.has_known && raw.is_some();
        self.has_known |= raw.is_some();
        let Some((last, duration)) = self.last else {
            return raw.map_or(Place::Unknown, Place::At);
        };
        let next = last.saturating_add(if duration > 0 {
            duration
        } else {
            self.limits.frame_ticks
        });
        let Some(raw) = raw else {
            return Place::MadeUp(next);
        };
        if let Some(before) = self.offset_before_jump_ticks {
            let pts = raw.saturating_add(before);
            if pts > last && pts.saturating_sub(last) < self.limits.jump_back_ticks {
                self.offset_ticks = before;
                self.offset_before_jump_ticks = None;
                return Place::At(pts);
            }
        }
        if is_first_known && raw <= last {
            self.offset_ticks = next.saturating_sub(raw);
            return Place::MadeUp(next);
        }
        let pts = raw.saturating_add(self.offset_ticks);
        let step = pts.saturating_sub(last);
        if step > 0 {
            let limit = self.limits.jump_ahead_ticks;
            return match limit {
                Some(limit) if step > limit.max(duration.saturating_mul(2)) => {
                    Place::JumpedAhead(pts)
                }
                _ => Place::At(pts),
            };
        }
        if step > -self.limits.jump_back_ticks {
            return Place::Late;
        }
        self.offset_before_jump_ticks = Some(self.offset_ticks);
        self.offset_ticks = next.saturating_sub(raw);
        Place::JumpedBack(next)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn timeline(jump_ahead_ticks: Option<i64>) -> Timeline {
        Timeline::new(Limits {
            frame_ticks: 10,
            jump_back_ticks: 100,
            jump_ahead_ticks,
        })
    }

    fn places(timeline: &mut Timeline, raw: &[i64]) -> Vec<Place> {
        raw.iter()
            .map(|raw| timeline.place(Some(*raw), 0))
            .collect()
    }

    #[test]
    fn a_second_recording_goes_on_behind_the_first() {
        let found = places(&mut timeline(None), &[500, 510, 0, 10, 1000]);
        assert_eq!(
            found,
            [
                Place::At(500),
                Place::At(510),
                Place::JumpedBack(520),
                Place::At(530),
                Place::At(1520),
            ]
        );
    }

    #[test]
    fn one_stray_time_moves_one_frame_only() {
        let found = places(&mut timeline(None), &[500, 510, 0, 530, 540]);
        assert_eq!(
            found[2..],
            [Place::JumpedBack(520), Place::At(530), Place::At(540)]
        );
    }

    #[test]
    fn a_frame_that_is_a_little_late_is_left_out() {
        let found = places(&mut timeline(None), &[500, 510, 505, 510, 520]);
        assert_eq!(found[2..], [Place::Late, Place::Late, Place::At(520)]);
    }

    #[test]
    fn the_first_times_go_on_from_made_up_ones() {
        let mut timeline = timeline(None);
        assert_eq!(timeline.place(None, 10), Place::Unknown);
        assert_eq!(timeline.start_at_zero(10), Place::MadeUp(0));
        assert_eq!(timeline.place(None, 10), Place::MadeUp(10));
        assert_eq!(timeline.place(Some(0), 10), Place::MadeUp(20));
        assert_eq!(timeline.place(Some(10), 10), Place::At(30));
    }

    #[test]
    fn a_gap_is_a_jump_only_where_there_are_no_gaps() {
        assert_eq!(places(&mut timeline(None), &[0, 9000])[1], Place::At(9000));
        let mut strict = timeline(Some(1000));
        assert_eq!(places(&mut strict, &[0, 9000])[1], Place::JumpedAhead(9000));
        assert_eq!(strict.place(Some(9010), 20_000), Place::At(9010));
        assert_eq!(strict.place(Some(29_010), 0), Place::At(29_010));
    }

    proptest! {
        #[test]
        fn times_rise_strictly_whatever_comes(
            raw in prop::collection::vec(prop::option::of(-3000_i64..3000), 1..80),
            duration in 0_i64..50,
        ) {
            let mut timeline = timeline(Some(1000));
            let mut last = i64::MIN;
            for raw in raw {
                match timeline.place(raw, duration) {
                    Place::At(pts) | Place::MadeUp(pts) | Place::JumpedBack(pts)
                    | Place::JumpedAhead(pts) => {
                        prop_assert!(pts > last);
                        last = pts;
                        prop_assert_eq!(timeline.last(), Some(pts));
                    }
                    Place::Late | Place::Unknown => {}
                }
            }
        }
    }
}
