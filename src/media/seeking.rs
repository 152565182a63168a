//! Whether a time in a file names one frame, so that a frame found behind a seek is the right one.

use std::collections::BTreeSet;

use ffmpeg_next::format::context::Input;
use ffmpeg_next::{Error, Packet};

use super::libav::Deadline;
use super::open::timeout;
use crate::core::ItemError;

/// Times held at most, however far key frames are apart.
const MAX_TIMES: usize = 1 << 14;
/// After so many errors the file is not trusted.
const MAX_ERRORS: u32 = 200;

/// Reads all packets of one stream, without decoding: true when each has a time, no time comes
/// twice and none lies before the key frame before the last one.
///
/// Without that, as where time jumps back, a seek may end at another frame of the same time, or the
/// decoder may guess other times behind a seek than from the start.
pub(super) fn has_unique_times(
    input: &mut Input,
    stream: usize,
    deadline: &Deadline,
) -> Result<bool, ItemError> {
    let mut times = Times::default();
    let mut errors = 0;
    loop {
        if deadline.is_over() {
            return Err(timeout());
        }
        let mut packet = Packet::empty();
        match packet.read(input) {
            Ok(()) => {
                if packet.stream() == stream && !times.take(packet.pts(), packet.is_key()) {
                    return Ok(false);
                }
            }
            Err(Error::Eof) => return Ok(true),
            Err(Error::Exit) => return Err(timeout()),
            Err(_) if errors < MAX_ERRORS => errors += 1,
            Err(_) => return Ok(false),
        }
    }
}

/// The times since the key frame before the last one.
#[derive(Default)]
struct Times {
    held: BTreeSet<i64>,
    /// Times up to this were let go.
    floor: Option<i64>,
    last_key: Option<i64>,
}

impl Times {
    /// Takes the next packet's time; false when it is missing, known or too early.
    fn take(&mut self, pts: Option<i64>, is_key: bool) -> bool {
        let Some(pts) = pts else { return false };
        if self.floor.is_some_and(|floor| pts <= floor) || !self.held.insert(pts) {
            return false;
        }
        if is_key {
            if let Some(before) = self.last_key.replace(pts) {
                self.let_go(before.min(pts));
            }
        } else if self.held.len() > MAX_TIMES
            && let Some(middle) = self.held.iter().nth(MAX_TIMES / 2).copied()
        {
            self.let_go(middle);
        }
        true
    }

    /// Lets times before `first` go: none of them may come any more.
    fn let_go(&mut self, first: i64) {
        self.held = self.held.split_off(&first);
        let floor = first - 1;
        self.floor = Some(self.floor.map_or(floor, |before| before.max(floor)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_trusted(packets: &[(i64, bool)]) -> bool {
        let mut times = Times::default();
        packets
            .iter()
            .all(|(pts, is_key)| times.take(Some(*pts), *is_key))
    }

    #[test]
    fn frames_that_are_shown_before_their_key_frame_are_fine() {
        let open = [
            (0, true),
            (4, false),
            (2, false),
            (8, true),
            (6, false),
            (12, true),
            (10, false),
        ];
        assert!(is_trusted(&open));
    }

    #[test]
    fn jumps_back_repeated_and_missing_times_are_not() {
        assert!(!is_trusted(&[(0, true), (5, true), (9, true), (0, true)]));
        assert!(!is_trusted(&[(0, true), (5, true), (9, true), (2, false)]));
        assert!(!is_trusted(&[(0, true), (1, false), (1, false)]));
        assert!(!Times::default().take(None, true));
    }

    #[test]
    fn few_times_are_held() {
        let mut times = Times::default();
        for pts in 0..100_000 {
            assert!(times.take(Some(pts), pts == 0));
        }
        assert!(times.held.len() <= MAX_TIMES + 1);
    }
}
