//! What was wrong with a file and left out or repaired while decoding it.

use crate::core::{DamageReason, DamageSummary, Pts};

/// What was wrong with a file and left out while decoding it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Packets that could not be read or decoded.
    pub packets_skipped: u64,
    /// Decoded frames left out because their time was not after the frame before.
    pub frames_out_of_order: u64,
    /// Frames that had no time and got one from their neighbour.
    pub times_made_up: u64,
    /// Frames that the decoder repaired or marked as damaged, and that were kept.
    pub frames_repaired: u64,
    /// How often time jumped back; later times go on from the time before the jump.
    pub jumps_back: u64,
    /// How often time jumped far ahead in a stream that allows no gaps; times are kept.
    pub jumps_ahead: u64,
    /// Whether the file is shorter than its container says.
    pub is_cut_short: bool,
    /// Time of the last good frame before the first error or jump; none when there was none or no
    /// frame before it.
    pub first_after: Option<Pts>,
    /// Why decoding stopped before the end of the file, if it did.
    pub stopped: Option<String>,
}

impl Damage {
    /// Whether anything was lost.
    pub fn is_any(&self) -> bool {
        self.packets_skipped > 0
            || self.frames_out_of_order > 0
            || self.is_cut_short
            || self.stopped.is_some()
    }

    /// What was found, the most telling first.
    pub fn reasons(&self) -> Vec<DamageReason> {
        let found = [
            (self.is_cut_short, DamageReason::TruncatedTail),
            (self.stopped.is_some(), DamageReason::EndNotReached),
            (self.packets_skipped > 0, DamageReason::CorruptPackets),
            (self.frames_out_of_order > 0, DamageReason::FramesOutOfOrder),
            (self.frames_repaired > 0, DamageReason::RepairedFrames),
            (
                self.jumps_back + self.jumps_ahead > 0,
                DamageReason::PtsJump,
            ),
        ];
        let found = found.into_iter().filter(|(is_found, _)| *is_found);
        found.map(|(_, reason)| reason).collect()
    }

    /// The same for later stages; none when there is nothing to say.
    pub fn summary(&self) -> Option<DamageSummary> {
        let reasons = self.reasons();
        (!reasons.is_empty()).then(|| DamageSummary {
            reasons,
            text: self.to_string(),
            first_after_pts: self.first_after.map(|pts| pts.0),
            is_loss: self.is_any(),
        })
    }
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts = Vec::new();
        if self.is_cut_short {
            parts.push("the file is shorter than its container says".to_owned());
        }
        let mut count = |number: u64, what: &str| {
            if number > 0 {
                parts.push(format!("{number} {what}"));
            }
        };
        count(self.packets_skipped, "packets could not be decoded");
        count(self.frames_out_of_order, "frames were out of order");
        count(self.times_made_up, "frames had no time");
        count(self.frames_repaired, "frames were repaired");
        count(
            self.jumps_back,
            "jumps back in time, after which times go on from the frame before",
        );
        count(self.jumps_ahead, "jumps ahead in time");
        parts.extend(
            self.stopped
                .iter()
                .map(|why| format!("the end was not reached: {why}")),
        );
        parts.extend(
            self.first_after
                .map(|pts| format!("first damage after pts {}", pts.0)),
        );
        f.write_str(&parts.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_alone_is_worth_knowing_and_no_loss() {
        let damage = Damage {
            jumps_back: 1,
            first_after: Some(Pts(40)),
            ..Damage::default()
        };
        let summary = damage.summary().unwrap();
        assert_eq!(summary.reasons, [DamageReason::PtsJump]);
        assert_eq!(summary.first_after_pts, Some(40));
        assert!(!summary.is_loss);
        assert!(Damage::default().summary().is_none());
    }

    #[test]
    fn a_missing_tail_is_named_before_what_follows_from_it() {
        let damage = Damage {
            packets_skipped: 1,
            is_cut_short: true,
            ..Damage::default()
        };
        assert_eq!(
            damage.reasons(),
            [DamageReason::TruncatedTail, DamageReason::CorruptPackets]
        );
        assert!(damage.is_any());
    }
}
