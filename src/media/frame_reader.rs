//! Single frames by time and number, bit for bit as the sequential pass saw them.
//!
//! A frame is looked for by its time behind the key frame at or before it. A frame found this way
//! counts only if nothing failed since that key frame: behind an open group of pictures or a
//! damaged packet the decoder may repair from other neighbours than the pass had. After a miss the
//! search starts earlier, at last at the first frame, where frames are counted as the pass did.
//! That is also the only way in a file whose times do not name one frame each (`seeking`).

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use ffmpeg_next::frame;

use super::decode::{FrameStamp, FrameStream};
use super::libav;
use super::open::{OpenOptions, Source};
use super::render::Renderer;
use super::seeking::has_unique_times;
use crate::core::{ErrorKind, FrameIndex, FrameRef, ItemError, Pts, Rgb8, SizeRule, VideoInfo};

/// How much earlier than the frame each further search starts, seconds.
const STEPS_BACK_SECS: [f64; 3] = [0.0, 2.0, 8.0];
/// Without a container index, a frame at most this far ahead is reached by decoding on, seconds.
const DECODE_ON_SECS: f64 = 1.0;

/// Gets exact frames of one video at full display size.
pub struct FrameReader {
    path: PathBuf,
    info: VideoInfo,
    options: OpenOptions,
    stream: FrameStream,
    renderer: Renderer,
    frame: frame::Video,
    current: Option<FrameStamp>,
    is_counting: bool,
    /// Whether frames can be found by their time; none until that is asked first.
    can_seek: Option<bool>,
}

/// What is looked for.
#[derive(Clone, Copy)]
struct Wanted {
    pts: Pts,
    /// Its number, where that is known.
    index: Option<FrameIndex>,
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(index) = self.index {
            write!(f, "{} ", index.0)?;
        }
        write!(f, "with pts {}", self.pts.0)
    }
}

impl FrameReader {
    /// Opens the stream that `info` names; nothing is decoded yet.
    ///
    /// # Errors
    /// As [`super::probe`].
    pub fn open(path: &Path, info: &VideoInfo, options: &OpenOptions) -> Result<Self, ItemError> {
        let source = Source::open(path, Some(info.stream_index as usize), options)?;
        Ok(Self {
            path: path.to_owned(),
            info: info.clone(),
            options: *options,
            stream: FrameStream::new(source),
            renderer: Renderer::new(info),
            frame: frame::Video::empty(),
            current: None,
            is_counting: true,
            can_seek: None,
        })
    }

    /// Sets when everything done with the file from now on must be over.
    pub fn set_deadline(&mut self, deadline: Instant) {
        self.options.deadline = deadline;
        self.stream.source.deadline.set(deadline);
    }

    /// The frame of that time and number at full display size. Frames asked for in rising order
    /// are cheapest.
    ///
    /// # Errors
    /// Missing where the file has no such frame, Timeout after the deadline, and as
    /// [`super::probe`].
    pub fn frame(&mut self, at: FrameRef) -> Result<Rgb8, ItemError> {
        self.picture(Wanted {
            pts: at.pts,
            index: Some(at.index),
        })
    }

    /// The frame of that time; the sequential pass gives no two frames one time, so it is the same
    /// one.
    ///
    /// # Errors
    /// As [`FrameReader::frame`].
    pub fn frame_at(&mut self, pts: Pts) -> Result<Rgb8, ItemError> {
        self.picture(Wanted { pts, index: None })
    }

    fn picture(&mut self, at: Wanted) -> Result<Rgb8, ItemError> {
        self.go_to(at)
            .and_then(|()| {
                self.renderer
                    .picture(&self.frame, SizeRule::MaxSide(u32::MAX))
            })
            .map_err(|error| error.context(self.path.display()))
    }

    fn go_to(&mut self, at: Wanted) -> Result<(), ItemError> {
        if self.is_current(at) || (self.is_on_the_way(at) && self.decode_to(at)?) {
            return Ok(());
        }
        let steps_back: &[f64] = if self.can_seek()? {
            &STEPS_BACK_SECS
        } else {
            &[]
        };
        for step_secs in steps_back {
            let back = self.info.time_base.ticks(*step_secs);
            if self.stream.seek(at.pts.0.saturating_sub(back)).is_err() {
                self.stream.source.check_deadline()?;
                break;
            }
            self.is_counting = false;
            self.current = None;
            if self.decode_to(at)? {
                return Ok(());
            }
        }
        self.restart()?;
        if self.decode_to(at)? {
            return Ok(());
        }
        Err(ItemError::new(
            ErrorKind::Missing,
            format!("no frame {at}; was the file changed?"),
        ))
    }

    /// Reads all packets once, which is little work beside decoding one frame behind a seek.
    fn can_seek(&mut self) -> Result<bool, ItemError> {
        if let Some(known) = self.can_seek {
            return Ok(known);
        }
        let stream = self.info.stream_index as usize;
        let mut source = Source::open(&self.path, Some(stream), &self.options)?;
        let deadline = source.deadline.clone();
        let can_seek = has_unique_times(&mut source.input, stream, &deadline)?;
        Ok(*self.can_seek.insert(can_seek))
    }

    fn is_current(&self, at: Wanted) -> bool {
        self.current.is_some_and(|now| self.is_wanted(&now, at))
    }

    fn is_wanted(&self, stamp: &FrameStamp, at: Wanted) -> bool {
        if self.is_counting {
            return stamp.pts == at.pts && at.index.is_none_or(|index| stamp.index == index);
        }
        stamp.pts == at.pts && !self.stream.has_error()
    }

    /// Whether decoding on is the shortest way: no key frame lies between here and there.
    fn is_on_the_way(&mut self, at: Wanted) -> bool {
        let Some(now) = self.current else {
            return false;
        };
        if now.pts >= at.pts || (!self.is_counting && self.stream.has_error()) {
            return false;
        }
        let stream = self.stream.source.stream_index;
        match libav::key_before(&mut self.stream.source.input, stream, at.pts.0) {
            Some(key) => key <= now.pts.0,
            None => self.info.time_base.secs_of(at.pts.0 - now.pts.0) <= DECODE_ON_SECS,
        }
    }

    /// Decodes on; true when the frame came, false when it did not or cannot be trusted.
    fn decode_to(&mut self, at: Wanted) -> Result<bool, ItemError> {
        loop {
            self.current = self.stream.next_frame(&mut self.frame)?;
            let Some(now) = self.current else {
                return Ok(false);
            };
            if self.is_wanted(&now, at) {
                return Ok(true);
            }
            let is_past = if self.is_counting {
                at.index
                    .map_or(now.pts >= at.pts, |index| now.index >= index)
            } else {
                now.pts >= at.pts || self.stream.has_error()
            };
            if is_past {
                return Ok(false);
            }
        }
    }

    /// Opens the file anew, which is the one state that the sequential pass had too.
    fn restart(&mut self) -> Result<(), ItemError> {
        let source = Source::open(
            &self.path,
            Some(self.info.stream_index as usize),
            &self.options,
        )?;
        self.stream = FrameStream::new(source);
        self.current = None;
        self.is_counting = true;
        Ok(())
    }
}
