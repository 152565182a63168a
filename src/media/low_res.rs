//! One pass over all frames in presentation order.

use std::path::Path;
use std::time::Instant;

use ffmpeg_next::frame;

use super::damage::Damage;
use super::decode::{FrameSource, FrameStamp, FrameStream};
use super::encode::average;
use super::fast::{self, FastStream};
use super::libav::Deadline;
use super::open::{OpenOptions, Source};
use super::render::Renderer;
use super::seeking::has_unique_times;
use crate::core::{ErrorKind, ItemError, Rgb8, SizeRule, VideoInfo};

/// Decodes every frame once, or those that may be at a cut, and scales the current one on demand.
pub struct LowResReader {
    source: Box<dyn FrameSource>,
    deadline: Deadline,
    /// Frames up to the last one returned, the ones left out included.
    counted: u64,
    renderer: Renderer,
    frame: frame::Video,
    has_frame: bool,
    display: (u32, u32),
    /// The current frame at [`SizeRule::LOW_RES`], once somebody asked for it.
    low_res: Option<Rgb8>,
}

impl LowResReader {
    /// Opens the stream that `info` names; nothing is decoded yet.
    ///
    /// # Errors
    /// As [`super::probe`].
    pub fn open(path: &Path, info: &VideoInfo, options: &OpenOptions) -> Result<Self, ItemError> {
        let source = Source::open(path, Some(info.stream_index as usize), options)?;
        Ok(Self::of_all(source, info))
    }

    /// The same, leaving out frames that cannot be at a hard cut, as [`super::fast`] finds them.
    /// Frames keep their numbers. Where frames cannot be told from packets none is left out.
    ///
    /// # Errors
    /// As [`super::probe`].
    pub fn open_fast(
        path: &Path,
        info: &VideoInfo,
        options: &OpenOptions,
    ) -> Result<Self, ItemError> {
        let open = || Source::open(path, Some(info.stream_index as usize), options);
        let mut source = open()?;
        let deadline = source.deadline.clone();
        let is_suited = fast::is_suited(&source)
            && has_unique_times(&mut source.input, source.stream_index, &deadline)?;
        // The packets were read: begin anew.
        let mut source = open()?;
        if !is_suited {
            return Ok(Self::of_all(source, info));
        }
        source.decoder = source.repairing_decoder(options.decode_threads)?;
        let keys = source.repairing_decoder(1)?;
        let deadline = source.deadline.clone();
        let stream = Box::new(FastStream::new(source, keys)?);
        Ok(Self::new(stream, deadline, info))
    }

    fn of_all(source: Source, info: &VideoInfo) -> Self {
        let deadline = source.deadline.clone();
        Self::new(Box::new(FrameStream::new(source)), deadline, info)
    }

    fn new(source: Box<dyn FrameSource>, deadline: Deadline, info: &VideoInfo) -> Self {
        Self {
            source,
            deadline,
            counted: 0,
            renderer: Renderer::new(info),
            frame: frame::Video::empty(),
            has_frame: false,
            display: (info.width, info.height),
            low_res: None,
        }
    }

    /// Gives the pass time until then.
    pub fn set_deadline(&mut self, deadline: Instant) {
        self.deadline.set(deadline);
    }

    /// Decodes the next frame in presentation order. None at the end.
    ///
    /// # Errors
    /// Corrupt where not one frame of the file can be decoded, Timeout after the deadline; damage
    /// short of that is left out and counted in [`Self::damage`].
    pub fn next_frame(&mut self) -> Result<Option<FrameStamp>, ItemError> {
        self.has_frame = false;
        self.low_res = None;
        let stamp = self.source.next_frame(&mut self.frame)?;
        self.has_frame = stamp.is_some();
        if let Some(stamp) = &stamp {
            self.counted = u64::from(stamp.index.0) + 1;
        } else if let Some(all) = self.source.frames_in_all() {
            self.counted = all;
        }
        Ok(stamp)
    }

    /// The frame just returned, upright, cropped, in square pixels, at the size that `rule` gives
    /// for the video's display size.
    ///
    /// [`SizeRule::LOW_RES`] is made once a frame, and what is at most half as large is made from
    /// it: going over the full frame is what costs.
    ///
    /// # Errors
    /// Unsupported for a pixel format that cannot be converted; Bug where there is no frame.
    pub fn picture(&mut self, rule: SizeRule) -> Result<Rgb8, ItemError> {
        if !self.has_frame {
            return Err(ItemError::new(
                ErrorKind::Bug,
                "a picture was asked for without a current frame",
            ));
        }
        let (width, height) = rule.apply(self.display.0, self.display.1);
        let low = SizeRule::LOW_RES.apply(self.display.0, self.display.1);
        if rule != SizeRule::LOW_RES && (width * 2 > low.0 || height * 2 > low.1) {
            return self.renderer.picture(&self.frame, rule);
        }
        let low_res = match self.low_res.take() {
            Some(known) => known,
            None => self.renderer.picture(&self.frame, SizeRule::LOW_RES)?,
        };
        self.low_res = Some(low_res.clone());
        if rule == SizeRule::LOW_RES {
            return Ok(low_res);
        }
        average(&low_res, width, height)
    }

    /// What was damaged and left out so far.
    pub fn damage(&self) -> &Damage {
        self.source.damage()
    }

    /// Frames so far, those left out included; all of the video once there is no next one.
    pub fn counted(&self) -> u64 {
        self.counted
    }
}
