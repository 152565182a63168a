//! From packets to numbered, timed frames; what is damaged is counted and left out.
//!
//! Times: a frame's time is libav's best effort, put in order by [`super::timeline`], so that times
//! rise strictly and name one frame each.
//!
//! Damage: libav repairs broken frames, but with several threads it does so differently in each
//! run. So several threads only decode whole frames; at the first error the file is decoded anew
//! from its start by one thread, up to the frame that was due.

use ffmpeg_next::{Error, Packet, frame};

use super::damage::Damage;
use super::libav;
use super::open::{Source, timeout};
use super::timeline::{JUMP_AHEAD_SECS, JUMP_BACK_SECS, Limits, Place, Timeline};
use crate::core::{DamageReason, ErrorKind, FrameIndex, ItemError, Pts};

/// Containers in which a stream has no gaps, so that a step far ahead is a jump.
const WITHOUT_GAPS: [&str; 2] = ["mpegts", "mpeg"];
/// After so many errors in a row without a frame the rest of the file is given up.
const MAX_ERRORS_IN_A_ROW: u32 = 200;

/// Number and time of a decoded frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameStamp {
    /// Its number among the frames returned, from 0.
    pub index: FrameIndex,
    /// Its time in ticks of the video's time base.
    pub pts: Pts,
    /// Its duration in ticks; 0 when unknown.
    pub duration_ticks: i64,
    /// Whether the decoder calls it a key frame.
    pub is_key: bool,
    /// Whether the decoder repaired it or marked it as damaged; parts of it may be wrong.
    pub is_damaged: bool,
    /// Whether a hard cut may lie before it. False where frames before it were left out because
    /// nothing spoke for a cut: a difference to the last one seen is motion.
    pub may_follow_cut: bool,
}

/// Frames in presentation order: all of a file's, or some.
pub(super) trait FrameSource {
    /// Decodes the next frame into `frame`; none at the end.
    fn next_frame(&mut self, frame: &mut frame::Video) -> Result<Option<FrameStamp>, ItemError>;
    /// What was damaged so far.
    fn damage(&self) -> &Damage;
    /// Frames of the whole video once it is over, if frames are left out.
    fn frames_in_all(&self) -> Option<u64>;
}

/// All frames of a source from where it stands.
pub(super) struct FrameStream {
    pub(super) source: Source,
    pub(super) damage: Damage,
    packet: Packet,
    is_draining: bool,
    is_over: bool,
    errors_in_a_row: u32,
    timeline: Timeline,
    limits: Limits,
    is_from_start: bool,
    returned: u32,
    /// Whether packets are left out up to the next key frame: some containers are sought by time
    /// alone, and a decoder that starts elsewhere may show made-up pictures without saying so.
    awaits_key: bool,
    /// Whether the newest packet came with fewer bytes than the container states.
    is_packet_cut: bool,
}

impl FrameSource for FrameStream {
    fn next_frame(&mut self, frame: &mut frame::Video) -> Result<Option<FrameStamp>, ItemError> {
        Self::next_frame(self, frame)
    }
    fn damage(&self) -> &Damage {
        &self.damage
    }
    fn frames_in_all(&self) -> Option<u64> {
        None
    }
}

impl FrameStream {
    pub(super) fn new(source: Source) -> Self {
        let rate = source
            .input
            .stream(source.stream_index)
            .map_or(0.0, |stream| f64::from(stream.avg_frame_rate()));
        let frame_ticks = if rate > 0.0 && rate.is_finite() {
            source.time_base.ticks(1.0 / rate).max(1)
        } else {
            1
        };
        let has_gaps = !WITHOUT_GAPS.contains(&source.input.format().name());
        let limits = Limits {
            frame_ticks,
            jump_back_ticks: source.time_base.ticks(JUMP_BACK_SECS).max(1),
            jump_ahead_ticks: (!has_gaps).then(|| source.time_base.ticks(JUMP_AHEAD_SECS)),
        };
        Self {
            source,
            damage: Damage::default(),
            packet: Packet::empty(),
            is_draining: false,
            is_over: false,
            errors_in_a_row: 0,
            timeline: Timeline::new(limits),
            limits,
            is_from_start: true,
            returned: 0,
            awaits_key: false,
            is_packet_cut: false,
        }
    }

    /// Decodes the next frame into `frame`. None at the end.
    ///
    /// After a seek the numbers count from the seek, and frames without a time are left out until
    /// one has a time.
    pub(super) fn next_frame(
        &mut self,
        frame: &mut frame::Video,
    ) -> Result<Option<FrameStamp>, ItemError> {
        let before = self.returned;
        let result = self.advance(frame);
        if !(self.is_from_start && self.source.is_parallel() && self.has_error()) {
            return result;
        }
        *self = Self::new(self.source.reopen_with_one_thread()?);
        for _ in 0..before {
            self.advance(frame)?;
        }
        self.advance(frame)
    }

    fn advance(&mut self, frame: &mut frame::Video) -> Result<Option<FrameStamp>, ItemError> {
        loop {
            if !self.decode(frame)? {
                return Ok(None);
            }
            if let Some(stamp) = self.stamp(frame) {
                return Ok(Some(stamp));
            }
        }
    }

    /// Goes to the key frame at or before `pts`. Whether that worked shows in what comes.
    pub(super) fn seek(&mut self, pts: i64) -> Result<(), ItemError> {
        self.source.check_deadline()?;
        let stream = self.source.stream_index;
        libav::seek(&mut self.source.input, stream, pts).map_err(|error| {
            ItemError::new(
                ErrorKind::Corrupt,
                format!("seeking to {pts} failed: {error}"),
            )
        })?;
        self.source.decoder.flush();
        self.is_draining = false;
        self.is_over = false;
        self.errors_in_a_row = 0;
        self.timeline = Timeline::new(self.limits);
        self.awaits_key = true;
        self.is_packet_cut = false;
        self.is_from_start = false;
        self.damage = Damage::default();
        self.returned = 0;
        Ok(())
    }

    fn decode(&mut self, frame: &mut frame::Video) -> Result<bool, ItemError> {
        while !self.is_over {
            self.source.check_deadline()?;
            match self.source.decoder.receive_frame(frame) {
                Ok(()) => {
                    self.errors_in_a_row = 0;
                    return Ok(true);
                }
                Err(Error::Eof) => return self.end(),
                Err(Error::Other { errno }) if errno == ffmpeg_next::error::EAGAIN => {
                    if self.is_draining {
                        return self.end();
                    }
                    self.feed()?;
                }
                Err(error) => {
                    if self.count_error(error)? {
                        return self.end();
                    }
                }
            }
            if self.damage.stopped.is_some() && !self.is_draining {
                self.drain();
            }
        }
        Ok(false)
    }

    /// Gives the decoder one more packet, or tells it that there are none.
    fn feed(&mut self) -> Result<(), ItemError> {
        // Reading into a packet that still holds bytes would lose them for good.
        self.packet = Packet::empty();
        match self.packet.read(&mut self.source.input) {
            Ok(()) => {
                let is_ours = self.packet.stream() == self.source.stream_index;
                self.awaits_key &= !(is_ours && self.packet.is_key());
                if is_ours && !self.awaits_key {
                    // Transport streams mark packets for other reasons too.
                    self.is_packet_cut =
                        self.packet.is_corrupt() && self.limits.jump_ahead_ticks.is_none();
                    if let Err(error) = self.source.decoder.send_packet(&self.packet) {
                        self.count_error(error)?;
                    }
                }
            }
            Err(Error::Eof) => self.drain(),
            Err(Error::Exit) => return Err(timeout()),
            Err(Error::InvalidData) => {
                self.count_error(Error::InvalidData)?;
            }
            Err(error) => {
                self.note_error();
                self.damage.stopped = Some(format!("reading stopped: {error}"));
                self.drain();
            }
        }
        Ok(())
    }

    fn drain(&mut self) {
        self.is_draining = true;
        // An error here is the last packet's: sending also decodes.
        if self.source.decoder.send_eof().is_err() {
            self.note_error();
        }
    }

    fn note_error(&mut self) {
        self.note_place(self.timeline.last());
        self.damage.packets_skipped += 1;
        self.errors_in_a_row += 1;
    }

    /// Keeps the place of the first damage, which came after `last`.
    fn note_place(&mut self, last: Option<i64>) {
        if !self.has_damage() {
            self.damage.first_after = last.map(Pts);
        }
    }

    fn has_damage(&self) -> bool {
        self.has_error() || self.damage.jumps_back + self.damage.jumps_ahead > 0
    }

    /// Whether anything failed since the start or the last seek.
    pub(super) fn has_error(&self) -> bool {
        self.damage.packets_skipped > 0 || self.damage.frames_repaired > 0
    }

    /// Counts an error; true when the rest is given up.
    fn count_error(&mut self, error: Error) -> Result<bool, ItemError> {
        if self.source.deadline.is_over() {
            return Err(timeout());
        }
        if matches!(error, Error::Other { errno } if errno == ffmpeg_next::error::ENOMEM) {
            return Err(ItemError::new(
                ErrorKind::OutOfMemory,
                "the decoder got no memory",
            ));
        }
        self.note_error();
        if self.errors_in_a_row < MAX_ERRORS_IN_A_ROW {
            return Ok(false);
        }
        self.damage.stopped = Some(format!(
            "given up after {MAX_ERRORS_IN_A_ROW} errors in a row: {error}"
        ));
        Ok(true)
    }

    fn end(&mut self) -> Result<bool, ItemError> {
        self.is_over = true;
        if self.is_from_start && self.returned == 0 {
            return Err(ItemError::new(
                ErrorKind::Corrupt,
                format!(
                    "no frame could be decoded ({} packets skipped)",
                    self.damage.packets_skipped
                ),
            )
            .because(DamageReason::NoFrame));
        }
        if self.is_from_start && (self.is_packet_cut || self.source.is_cut_short()) {
            self.note_place(self.timeline.last());
            self.damage.is_cut_short = true;
        }
        Ok(false)
    }

    fn stamp(&mut self, frame: &frame::Video) -> Option<FrameStamp> {
        let is_damaged = frame.is_corrupt() || frame.has_decode_errors();
        if is_damaged {
            self.note_place(self.timeline.last());
            self.damage.frames_repaired += 1;
        }
        let duration_ticks = frame.packet().duration.max(0);
        let before = self.timeline.last();
        let mut place = self.timeline.place(frame.timestamp(), duration_ticks);
        if place == Place::Unknown && self.is_from_start {
            place = self.timeline.start_at_zero(duration_ticks);
        }
        let pts = match place {
            Place::At(pts) => pts,
            Place::MadeUp(pts) => {
                self.damage.times_made_up += 1;
                pts
            }
            Place::JumpedBack(pts) => {
                self.note_place(before);
                self.damage.jumps_back += 1;
                pts
            }
            Place::JumpedAhead(pts) => {
                self.note_place(before);
                self.damage.jumps_ahead += 1;
                pts
            }
            Place::Late => {
                self.damage.frames_out_of_order += 1;
                return None;
            }
            Place::Unknown => return None,
        };
        let index = FrameIndex(self.returned);
        self.returned += 1;
        Some(FrameStamp {
            index,
            pts: Pts(pts),
            duration_ticks,
            is_key: frame.is_key(),
            is_damaged,
            may_follow_cut: true,
        })
    }
}
