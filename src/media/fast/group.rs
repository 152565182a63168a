//! Groups of pictures as packets, and what their sizes tell.

use ffmpeg_next::format::context::Input;
use ffmpeg_next::{Error, Packet, frame};

use crate::core::ItemError;
use crate::media::damage::Damage;
use crate::media::libav::is_discarded;
use crate::media::open::timeout;

/// Packets before one that it is compared with.
const NEIGHBOURS: usize = 12;
/// A packet this much larger than the largest of them starts a new picture, perhaps.
const LARGE_RATIO: usize = 2;
/// And it has at least one such part of the key frame's bytes.
const KEY_SHARE: usize = 10;
/// Without neighbours to compare with a packet of more than half the key frame's bytes is large.
const FEW_NEIGHBOURS: usize = 3;
/// Around a large packet all frames are decoded: so many before and after it, in decoding order.
const BEFORE: usize = 4;
const AFTER: usize = 8;
/// At the end of a group all frames are decoded, so that the next key frame is compared with the
/// frame before it: so many packets.
const TAIL: usize = 4;
/// After so many errors in a row the rest of the file is given up.
const MAX_ERRORS_IN_A_ROW: u32 = 200;

/// The packets from a key frame to the next.
pub(super) struct Group {
    pub(super) packets: Vec<Packet>,
    /// False for a later part of an overlong group.
    pub(super) starts_with_key: bool,
    /// The decoded key frame, unless it is damaged.
    pub(super) key: Option<frame::Video>,
    /// The key frame, small.
    pub(super) sketch: Option<Vec<u8>>,
    /// Packets that are not needed; empty: all are.
    unwanted: Vec<bool>,
}

impl Group {
    fn new(packets: Vec<Packet>) -> Self {
        Self {
            starts_with_key: packets.first().is_some_and(Packet::is_key),
            packets,
            key: None,
            sketch: None,
            unwanted: Vec::new(),
        }
    }

    fn key_time(&self) -> i64 {
        let first = self.packets.first().filter(|_| self.starts_with_key);
        first.and_then(Packet::pts).unwrap_or(i64::MIN)
    }

    fn shown_times(&self) -> impl Iterator<Item = i64> {
        let shown = self.packets.iter().filter(|packet| !is_discarded(packet));
        shown.filter_map(Packet::pts)
    }

    /// Times of the frames shown from the key frame on, as packets come.
    pub(super) fn times_from_key(&self) -> Vec<i64> {
        let key = self.key_time();
        self.shown_times().filter(|time| *time >= key).collect()
    }

    /// Times of the frames that come after the key frame and are shown before it.
    pub(super) fn times_before_key(&self) -> Vec<i64> {
        let key = self.key_time();
        self.shown_times().filter(|time| *time < key).collect()
    }

    /// Places of packets that are much larger than those before them.
    pub(super) fn large_packets(&self) -> Vec<usize> {
        let Some(key_bytes) = self.packets.first().map(Packet::size) else {
            return Vec::new();
        };
        let is_large = |at: &usize| {
            let bytes = self.packets[*at].size();
            let before = &self.packets[(*at).saturating_sub(NEIGHBOURS).max(1)..*at];
            if before.len() < FEW_NEIGHBOURS {
                return bytes * 2 > key_bytes;
            }
            let largest = before.iter().map(Packet::size).max().unwrap_or(0);
            bytes > LARGE_RATIO * largest && bytes * KEY_SHARE > key_bytes
        };
        (1..self.packets.len()).filter(is_large).collect()
    }

    /// Leaves out packets that nothing needs, except around large ones.
    pub(super) fn choose(&mut self, is_disposable: impl Fn(&Packet) -> bool) {
        let large = self.large_packets();
        let end = self.packets.len();
        let is_near = |at: usize| {
            at + TAIL >= end
                || large
                    .iter()
                    .any(|large| at + BEFORE >= *large && at <= large + AFTER)
        };
        let packets = self.packets.iter().enumerate();
        self.unwanted = packets
            .map(|(at, packet)| at > 0 && !is_near(at) && is_disposable(packet))
            .collect();
    }

    /// Whether a packet's frame is shown before the key frame.
    pub(super) fn is_before_key(&self, at: usize) -> bool {
        self.packets[at]
            .pts()
            .is_some_and(|time| time < self.key_time())
    }

    /// Whether a packet is to be decoded.
    pub(super) fn is_wanted(&self, at: usize) -> bool {
        !self.unwanted.get(at).copied().unwrap_or(false)
    }
}

/// Cuts a stream of packets into groups.
pub(super) struct GroupReader {
    stream: usize,
    /// The key packet that ended the last group.
    held: Option<Packet>,
    is_over: bool,
    has_key: bool,
}

impl GroupReader {
    pub(super) fn new(stream: usize) -> Self {
        Self {
            stream,
            held: None,
            is_over: false,
            has_key: false,
        }
    }

    /// The next group, at most so large; none at the end.
    pub(super) fn next(
        &mut self,
        input: &mut Input,
        max_packets: usize,
        max_bytes: usize,
        damage: &mut Damage,
    ) -> Result<Option<Group>, ItemError> {
        let mut packets: Vec<Packet> = self.held.take().into_iter().collect();
        let mut bytes: usize = packets.iter().map(Packet::size).sum();
        let mut errors = 0;
        while !self.is_over && packets.len() < max_packets && bytes < max_bytes {
            let mut packet = Packet::empty();
            match packet.read(input) {
                Ok(()) if packet.stream() != self.stream => {}
                Ok(()) => {
                    errors = 0;
                    // What cannot be decoded before the first key frame is not shown either.
                    self.has_key |= packet.is_key();
                    if !self.has_key {
                        continue;
                    }
                    if packet.is_key() && !packets.is_empty() {
                        self.held = Some(packet);
                        break;
                    }
                    bytes += packet.size();
                    packets.push(packet);
                }
                Err(Error::Eof) => self.is_over = true,
                Err(Error::Exit) => return Err(timeout()),
                Err(error) => {
                    damage.packets_skipped += 1;
                    errors += 1;
                    if errors >= MAX_ERRORS_IN_A_ROW || error != Error::InvalidData {
                        damage.stopped = Some(format!("reading stopped: {error}"));
                        self.is_over = true;
                    }
                }
            }
        }
        Ok((!packets.is_empty()).then(|| Group::new(packets)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(sizes: &[usize]) -> Group {
        let packets = sizes.iter().map(|size| Packet::new(*size)).collect();
        let mut group = Group::new(packets);
        group.starts_with_key = true;
        group
    }

    #[test]
    fn a_packet_that_stands_out_is_large() {
        let mut sizes = vec![10_000];
        sizes.extend([900; 30]);
        sizes.push(8000);
        sizes.extend([900; 10]);
        assert_eq!(group(&sizes).large_packets(), [31]);
        // Right behind the key frame there is nothing to compare with.
        assert_eq!(group(&[1000, 800, 10, 10, 10, 10]).large_packets(), [1]);
        // Steady motion has large packets all the time.
        let steady = group(&[1000, 400, 390, 410, 420, 400, 600]);
        assert!(steady.large_packets().is_empty());
    }

    #[test]
    fn disposable_packets_are_kept_around_large_ones() {
        let mut sizes = vec![10_000];
        sizes.extend([900; 30]);
        sizes.push(8000);
        sizes.extend([900; 30]);
        let mut group = group(&sizes);
        group.choose(|packet| packet.size() == 900);
        let wanted: Vec<usize> = (0..sizes.len()).filter(|at| group.is_wanted(*at)).collect();
        let mut expected = vec![0];
        expected.extend(31 - BEFORE..=31 + AFTER);
        expected.extend(sizes.len() - TAIL..sizes.len());
        assert_eq!(wanted, expected);
    }
}
