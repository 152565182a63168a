//! Which packets of H.264 and HEVC hold a frame that no other frame needs.
//!
//! Source   ITU-T H.264 7.3.1 (`nal_ref_idc`), H.265 7.3.1.2 and table 7-1 (sub-layer non-reference
//!          pictures); ISO/IEC 14496-15 for the sizes in front of units

use ffmpeg_next::Packet;
use ffmpeg_next::codec::{Id, Parameters};

use crate::media::libav::extradata;

/// How the units of a stream are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NalSyntax {
    is_hevc: bool,
    /// Bytes of the size in front of each unit; 0: start codes.
    size_bytes: usize,
}

impl NalSyntax {
    /// The syntax of a stream; none for other codecs.
    pub(super) fn of(parameters: &Parameters) -> Option<Self> {
        let is_hevc = match parameters.id() {
            Id::H264 => false,
            Id::HEVC => true,
            _ => return None,
        };
        Some(Self::from_header(is_hevc, &extradata(parameters)))
    }

    fn from_header(is_hevc: bool, header: &[u8]) -> Self {
        // Start codes begin with a zero, both configuration records with their version, 1.
        let at = if is_hevc { 21 } else { 4 };
        let size_bytes = match (header.first(), header.get(at)) {
            (Some(1), Some(byte)) => usize::from(byte & 3) + 1,
            _ => 0,
        };
        Self {
            is_hevc,
            size_bytes,
        }
    }

    /// Whether the packet's picture can be left out; false in doubt.
    pub(super) fn is_disposable(&self, packet: &Packet) -> bool {
        packet
            .data()
            .is_some_and(|bytes| self.is_disposable_picture(bytes))
    }

    fn is_disposable_picture(&self, bytes: &[u8]) -> bool {
        let mut at = 0;
        while let Some(start) = self.next_unit(bytes, &mut at) {
            let Some(header) = bytes.get(start).copied() else {
                return false;
            };
            if self.is_hevc {
                let (kind, layer) = ((header >> 1) & 63, bytes.get(start + 1).map(|b| b & 7));
                match kind {
                    // Of a higher temporal layer another frame may need it after all.
                    0..=15 => return kind % 2 == 0 && layer == Some(1),
                    16..=31 => return false,
                    _ => {}
                }
            } else {
                match header & 31 {
                    1 => return header & 0x60 == 0,
                    2..=5 => return false,
                    _ => {}
                }
            }
        }
        false
    }

    /// Where the next unit begins; moves `at` behind it, or behind its start code.
    fn next_unit(&self, bytes: &[u8], at: &mut usize) -> Option<usize> {
        if self.size_bytes > 0 {
            let size = bytes.get(*at..*at + self.size_bytes)?;
            let size = size
                .iter()
                .fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
            let start = *at + self.size_bytes;
            *at = start.checked_add(size)?;
            return Some(start);
        }
        let code = bytes.get(*at..)?.windows(3).position(|w| w == [0, 0, 1])?;
        let start = *at + code + 3;
        *at = start;
        Some(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unreferenced_slices_are_found_behind_other_units() {
        let plain = NalSyntax::from_header(false, &[]);
        // An access unit delimiter, then a slice with and without references.
        assert!(plain.is_disposable_picture(&[0, 0, 0, 1, 9, 240, 0, 0, 1, 0x01, 5]));
        assert!(!plain.is_disposable_picture(&[0, 0, 0, 1, 9, 240, 0, 0, 1, 0x41, 5]));
        assert!(!plain.is_disposable_picture(&[0, 0, 1, 0x65, 5]));
        let sized = NalSyntax::from_header(false, &[1, 100, 0, 40, 255]);
        assert_eq!(sized.size_bytes, 4);
        assert!(sized.is_disposable_picture(&[0, 0, 0, 2, 9, 240, 0, 0, 0, 2, 1, 5]));
        let hevc = NalSyntax::from_header(true, &[]);
        assert!(hevc.is_disposable_picture(&[0, 0, 1, 0, 1, 9]));
        assert!(!hevc.is_disposable_picture(&[0, 0, 1, 2, 1, 9]));
        assert!(!hevc.is_disposable_picture(&[0, 0, 1, 0, 2, 9]));
    }

    #[test]
    fn broken_packets_are_kept() {
        let sized = NalSyntax::from_header(false, &[1, 100, 0, 40, 255]);
        for bytes in [&[][..], &[0, 0], &[255, 255, 255, 255, 9], &[0, 0, 0, 1]] {
            assert!(!sized.is_disposable_picture(bytes));
        }
    }
}
