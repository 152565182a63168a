//! The frames of a video that may be at a hard cut, and few others.
//!
//! A group of pictures runs from a key frame to the next. Every key frame is decoded. What lies
//! between two of them is left out when both show the same and no packet between them is much larger
//! than its neighbours, as one is that starts a new picture. Other groups are decoded without the
//! loop filter, and of H.264 and HEVC without the frames that no other frame needs, except around
//! such packets.
//!
//! What it cannot see: a cut away and back within one group whose packets give no sign of it, and
//! gradual cuts inside groups that are left out.
//!
//! Cost: one look at each packet, one decoded frame a group, and the groups in question. Memory:
//! the packets of two groups, at most [`MAX_GROUP_BYTES`] each.

mod disposable;
mod group;

use std::collections::{BTreeMap, BTreeSet};

use ffmpeg_next::codec::Id;
use ffmpeg_next::{Discard, Error, decoder, frame};

use self::disposable::NalSyntax;
use self::group::{Group, GroupReader};
use super::damage::Damage;
use super::decode::{FrameSource, FrameStamp};
use super::libav::{Area, Scaler, ScalerKey};
use super::open::{Source, timeout};
use super::render::colors_of;
use crate::core::{DamageReason, ErrorKind, FrameIndex, ItemError, Pts};

/// Most bytes of packets in one group; a longer one is taken in parts, all of them decoded.
const MAX_GROUP_BYTES: usize = 64 << 20;
/// Most packets in one group.
const MAX_GROUP_PACKETS: usize = 2000;
/// Two key frames show the same when they differ less; mean absolute RGB difference at the size of
/// [`SKETCH_PX`], 0–255. Cuts begin at more.
const SAME_BELOW: f32 = 8.0;
/// Width and height at which key frames are compared.
const SKETCH_PX: (u32, u32) = (32, 18);

/// Codecs whose packets are frames, so that frames can be numbered without decoding them.
pub(super) fn is_suited(source: &Source) -> bool {
    let codec = source
        .input
        .stream(source.stream_index)
        .map_or(Id::None, |stream| stream.parameters().id());
    matches!(codec, Id::H264 | Id::HEVC | Id::VP9 | Id::AV1)
}

/// The frames, in presentation order, with their numbers among all frames.
pub(super) struct FastStream {
    source: Source,
    damage: Damage,
    keys: decoder::Video,
    syntax: Option<NalSyntax>,
    groups: GroupReader,
    /// The group being fed and the packet that is due.
    current: Option<(Group, usize)>,
    next: Option<Group>,
    /// Numbers of the frames that are still to come, by time.
    numbers: BTreeMap<i64, u32>,
    /// Frames shown before the current group's key frame.
    shown_before: u32,
    /// Whether the decoder holds frames, and whether it was told that no more will come.
    is_fed: bool,
    is_draining: bool,
    /// Whether the current group follows one that was fed too.
    is_fed_without_break: bool,
    /// A key frame to be given once the decoder is empty.
    lone_key: Option<(frame::Video, i64)>,
    /// Time and number of the last frame given.
    last: Option<(i64, u32)>,
    given: u32,
    /// Numbers of key frames behind groups that were decoded, still to come.
    after_decoded: BTreeSet<u32>,
}

impl FrameSource for FastStream {
    fn next_frame(&mut self, frame: &mut frame::Video) -> Result<Option<FrameStamp>, ItemError> {
        self.next(frame)
    }
    fn damage(&self) -> &Damage {
        &self.damage
    }
    fn frames_in_all(&self) -> Option<u64> {
        Some(u64::from(self.shown_before))
    }
}

impl FastStream {
    /// Takes over a source that [`is_suited`]; `keys` is a second decoder of the same stream.
    pub(super) fn new(mut source: Source, mut keys: decoder::Video) -> Result<Self, ItemError> {
        source.decoder.skip_loop_filter(Discard::All);
        keys.skip_loop_filter(Discard::All);
        let syntax = source
            .input
            .stream(source.stream_index)
            .and_then(|stream| NalSyntax::of(&stream.parameters()));
        let mut stream = Self {
            groups: GroupReader::new(source.stream_index),
            source,
            damage: Damage::default(),
            keys,
            syntax,
            current: None,
            next: None,
            numbers: BTreeMap::new(),
            shown_before: 0,
            is_fed: false,
            is_draining: false,
            is_fed_without_break: false,
            lone_key: None,
            last: None,
            given: 0,
            after_decoded: BTreeSet::new(),
        };
        stream.next = stream.read_group()?;
        Ok(stream)
    }

    /// Decodes the next frame into `frame`. None at the end.
    fn next(&mut self, frame: &mut frame::Video) -> Result<Option<FrameStamp>, ItemError> {
        loop {
            self.source.check_deadline()?;
            if self.is_fed {
                match self.source.decoder.receive_frame(frame) {
                    Ok(()) => {
                        if let Some(stamp) = self.stamp(frame) {
                            return Ok(Some(stamp));
                        }
                        continue;
                    }
                    Err(Error::Eof) => {
                        self.source.decoder.flush();
                        (self.is_fed, self.is_draining) = (false, false);
                        self.is_fed_without_break = false;
                    }
                    Err(Error::Other { errno }) if errno == ffmpeg_next::error::EAGAIN => {}
                    Err(_) => {
                        self.note_error();
                        continue;
                    }
                }
            }
            if self.is_draining {
                continue;
            }
            if self.feed()? {
                continue;
            }
            // Nothing to feed: a group was left out, or the video is over.
            if self.is_fed {
                self.is_draining = true;
                if self.source.decoder.send_eof().is_err() {
                    self.note_error();
                }
                continue;
            }
            if let Some((key, _)) = self.lone_key.take() {
                *frame = key;
                if let Some(stamp) = self.stamp(frame) {
                    return Ok(Some(stamp));
                }
                continue;
            }
            if !self.start_group()? {
                return self.end();
            }
        }
    }

    fn end(&self) -> Result<Option<FrameStamp>, ItemError> {
        if self.given > 0 {
            return Ok(None);
        }
        let what = format!(
            "no frame could be decoded ({} packets skipped)",
            self.damage.packets_skipped
        );
        Err(ItemError::new(ErrorKind::Corrupt, what).because(DamageReason::NoFrame))
    }

    /// Gives the decoder the next packet of the current group; false when there is none.
    fn feed(&mut self) -> Result<bool, ItemError> {
        let Some((group, at)) = &mut self.current else {
            return Ok(false);
        };
        while let Some(packet) = group.packets.get(*at) {
            let number = *at;
            *at += 1;
            // Behind a break, frames shown before the key frame lack what they refer to.
            let is_lost = !self.is_fed_without_break && group.is_before_key(number);
            if group.is_wanted(number) && !is_lost {
                self.is_fed = true;
                if self.source.decoder.send_packet(packet).is_err() {
                    if self.source.deadline.is_over() {
                        return Err(timeout());
                    }
                    self.note_error();
                }
                return Ok(true);
            }
        }
        self.current = None;
        self.is_fed_without_break = true;
        // What comes next decides whether the decoder goes on without a break.
        let is_next_fed = self.plan_group()?;
        Ok(is_next_fed)
    }

    /// Begins with the next group when the decoder is empty; false at the end of the video.
    fn start_group(&mut self) -> Result<bool, ItemError> {
        if self.current.is_some() || self.lone_key.is_some() {
            return Ok(true);
        }
        if self.next.is_none() {
            return Ok(false);
        }
        self.plan_group()?;
        Ok(true)
    }

    /// Decides about the next group; true when its packets are to be fed.
    fn plan_group(&mut self) -> Result<bool, ItemError> {
        let Some(mut group) = self.next.take() else {
            return Ok(false);
        };
        self.next = self.read_group()?;
        let mut times = group.times_from_key();
        if let Some(next) = &self.next {
            times.extend(next.times_before_key());
        }
        times.sort_unstable();
        for (time, number) in times.iter().zip(self.shown_before..) {
            self.numbers.insert(*time, number);
        }
        self.shown_before += times.len() as u32;
        let is_same = match (&group.sketch, self.next.as_ref().map(|next| &next.sketch)) {
            (Some(a), Some(Some(b))) => difference(a, b) < SAME_BELOW,
            // The last group has nothing to be compared with.
            _ => false,
        };
        if is_same && group.large_packets().is_empty() {
            self.lone_key = group.key.take().zip(group.packets[0].pts());
            return Ok(false);
        }
        self.after_decoded.insert(self.shown_before);
        if let Some(syntax) = &self.syntax {
            group.choose(|packet| syntax.is_disposable(packet));
        }
        self.current = Some((group, 0));
        Ok(true)
    }

    /// The next group with its key frame decoded.
    fn read_group(&mut self) -> Result<Option<Group>, ItemError> {
        let group = self.groups.next(
            &mut self.source.input,
            MAX_GROUP_PACKETS,
            MAX_GROUP_BYTES,
            &mut self.damage,
        )?;
        let Some(mut group) = group else {
            return Ok(None);
        };
        if group.starts_with_key {
            group.key = self.decode_key(&group);
            group.sketch = group.key.as_ref().and_then(sketch);
        }
        Ok(Some(group))
    }

    fn decode_key(&mut self, group: &Group) -> Option<frame::Video> {
        let mut frame = frame::Video::empty();
        let sent = self.keys.send_packet(group.packets.first()?);
        let ended = sent.and_then(|()| self.keys.send_eof());
        let received = ended.and_then(|()| self.keys.receive_frame(&mut frame));
        self.keys.flush();
        // A damaged key frame is no reason to give up: its group is decoded then.
        received.ok().map(|()| frame)
    }

    fn note_error(&mut self) {
        if !self.damage.is_any() {
            self.damage.first_after = self.last.map(|(pts, _)| Pts(pts));
        }
        self.damage.packets_skipped += 1;
    }

    fn stamp(&mut self, frame: &frame::Video) -> Option<FrameStamp> {
        let pts = frame.timestamp()?;
        if self.last.is_some_and(|(last, _)| pts <= last) {
            return None;
        }
        let number = *self.numbers.get(&pts)?;
        self.numbers = self.numbers.split_off(&pts);
        let follows = self.last.is_none_or(|(_, last)| last + 1 == number);
        let may_follow_cut = follows || self.after_decoded.contains(&number);
        self.after_decoded = self.after_decoded.split_off(&number);
        self.last = Some((pts, number));
        self.given += 1;
        let is_damaged = frame.is_corrupt() || frame.has_decode_errors();
        self.damage.frames_repaired += u64::from(is_damaged);
        Some(FrameStamp {
            index: FrameIndex(number),
            pts: Pts(pts),
            duration_ticks: frame.packet().duration.max(0),
            is_key: frame.is_key(),
            is_damaged,
            may_follow_cut,
        })
    }
}

/// A frame at [`SKETCH_PX`], RGB.
fn sketch(frame: &frame::Video) -> Option<Vec<u8>> {
    use ffmpeg_next::format::Pixel;

    let key = ScalerKey {
        source: (frame.format(), frame.width(), frame.height()),
        colors: colors_of(frame),
        target: (Pixel::RGB24, SKETCH_PX.0, SKETCH_PX.1),
    };
    let area = Area {
        x: 0,
        y: 0,
        width: frame.width(),
        height: frame.height(),
    };
    let mut shrinker = super::planar::PlaneShrinker::default();
    if let Some(rgb) = shrinker.rgb(frame, key.colors, area, SKETCH_PX) {
        return Some(rgb);
    }
    let mut scaler = Scaler::new(key)?;
    let small = scaler.run(frame, 0, 0)?;
    let rows = small.data(0).chunks(small.stride(0));
    let bytes = SKETCH_PX.0 as usize * 3;
    Some(
        rows.take(SKETCH_PX.1 as usize)
            .flat_map(|row| &row[..bytes])
            .copied()
            .collect(),
    )
}

/// Mean absolute difference, 0–255.
fn difference(a: &[u8], b: &[u8]) -> f32 {
    let sum: u32 = a
        .iter()
        .zip(b)
        .map(|(a, b)| u32::from(a.abs_diff(*b)))
        .sum();
    sum as f32 / a.len().max(1) as f32
}
