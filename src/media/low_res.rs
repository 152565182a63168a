//! One pass over all frames in presentation order.

use std::path::Path;
use std::time::Instant;

use ffmpeg_next::frame;

use super::damage::Damage;
use super::decode::{FrameStamp, FrameStream};
use super::open::{OpenOptions, Source};
use super::render::Renderer;
use crate::core::{ErrorKind, ItemError, Rgb8, SizeRule, VideoInfo};

/// Decodes every frame once and scales the current one on demand.
pub struct LowResReader {
    stream: FrameStream,
    renderer: Renderer,
    frame: frame::Video,
    has_frame: bool,
}

impl LowResReader {
    /// Opens the stream that `info` names; nothing is decoded yet.
    ///
    /// # Errors
    /// As [`super::probe`].
    pub fn open(path: &Path, info: &VideoInfo, options: &OpenOptions) -> Result<Self, ItemError> {
        let source = Source::open(path, Some(info.stream_index as usize), options)?;
        Ok(Self {
            stream: FrameStream::new(source),
            renderer: Renderer::new(info),
            frame: frame::Video::empty(),
            has_frame: false,
        })
    }

    /// Gives the pass time until then.
    pub fn set_deadline(&mut self, deadline: Instant) {
        self.stream.source.deadline.set(deadline);
    }

    /// Decodes the next frame in presentation order. None at the end.
    ///
    /// # Errors
    /// Corrupt where not one frame of the file can be decoded, Timeout after the deadline; damage
    /// short of that is left out and counted in [`Self::damage`].
    pub fn next_frame(&mut self) -> Result<Option<FrameStamp>, ItemError> {
        self.has_frame = false;
        let stamp = self.stream.next_frame(&mut self.frame)?;
        self.has_frame = stamp.is_some();
        Ok(stamp)
    }

    /// The frame just returned, upright, cropped, in square pixels, at the size that `rule` gives
    /// for the video's display size. Scaled anew on each call.
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
        self.renderer.picture(&self.frame, rule)
    }

    /// What was damaged and left out so far.
    pub fn damage(&self) -> &Damage {
        &self.stream.damage
    }
}
