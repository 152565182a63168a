//! Scenes as files of their own: cut exactly and encoded anew, or copied from key frame to key
//! frame.
//!
//! Files are opened by whoever calls ([`ClipSink`]); here they are only filled. Memory stays
//! bounded: one scene is written at a time, and audio is read along with the pictures.

mod audio;
mod copy;
mod exact;
mod output;
mod turn;

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use ffmpeg_next::codec::Id;

use super::open::OpenOptions;
use crate::core::{ItemError, SceneSpan, VideoInfo};

/// What kind of file a clip is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClipContainer {
    /// MP4.
    Mp4,
    /// Matroska, which takes nearly every codec.
    Mkv,
}

impl ClipContainer {
    /// The ending of file names.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Mp4 => "mp4",
            Self::Mkv => "mkv",
        }
    }

    fn muxer(self) -> &'static str {
        match self {
            Self::Mp4 => "mp4",
            Self::Mkv => "matroska",
        }
    }

    /// Whether players expect audio of that codec in it.
    fn takes_audio(self, codec: Id) -> bool {
        match self {
            Self::Mp4 => matches!(
                codec,
                Id::AAC | Id::MP2 | Id::MP3 | Id::AC3 | Id::EAC3 | Id::ALAC | Id::OPUS
            ),
            Self::Mkv => !matches!(codec, Id::None),
        }
    }

    fn takes_video(self, codec: Id) -> bool {
        match self {
            Self::Mp4 => matches!(
                codec,
                Id::H264 | Id::HEVC | Id::AV1 | Id::VP9 | Id::MPEG4 | Id::MPEG2VIDEO
            ),
            Self::Mkv => !matches!(codec, Id::None),
        }
    }
}

/// How clips are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClipMode {
    /// Every frame of the scene and no other, encoded anew.
    Exact,
    /// The packets as they are, from the key frame at or before the scene's start.
    Copy,
}

/// How long making clips may take, and with how many threads.
#[derive(Clone, Copy, Debug)]
pub struct ClipOptions {
    /// Threads of the decoder; 0 lets libav choose.
    pub decode_threads: usize,
    /// Longest time without progress.
    pub patience: Duration,
}

impl ClipOptions {
    fn open(&self) -> OpenOptions {
        OpenOptions {
            decode_threads: self.decode_threads,
            deadline: self.deadline(),
        }
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.patience
    }
}

/// What a finished clip holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Clip {
    /// Frames, in packets if they were copied.
    pub frames: u64,
    /// Where it begins in the source, seconds.
    pub start_secs: f64,
    /// Where it ends in the source, seconds.
    pub end_secs: f64,
    /// What is not as one may expect.
    pub notes: Vec<String>,
}

/// Where clips go.
pub trait ClipSink {
    /// A new, empty file for the scene of that number.
    ///
    /// # Errors
    /// What keeps the file from being made; ends everything.
    fn open(&mut self, scene: usize) -> Result<File, ItemError>;
    /// The file of that scene is whole.
    ///
    /// # Errors
    /// What keeps the file from being kept; ends everything.
    fn close(&mut self, scene: usize, clip: Clip) -> Result<(), ItemError>;
}

/// The container that clips of a file get.
///
/// # Errors
/// As [`super::probe`].
pub fn clip_container(
    path: &Path,
    info: &VideoInfo,
    mode: ClipMode,
    options: &ClipOptions,
) -> Result<ClipContainer, ItemError> {
    match mode {
        ClipMode::Exact => Ok(ClipContainer::Mp4),
        ClipMode::Copy => copy::container(path, info, options),
    }
}

/// Writes each scene into a file of its own; `scenes` are in order and do not overlap.
///
/// # Errors
/// As [`super::probe`], and Unsupported where no file of that container can be made of the video.
pub fn write_clips(
    path: &Path,
    info: &VideoInfo,
    scenes: &[SceneSpan],
    mode: ClipMode,
    options: &ClipOptions,
    sink: &mut dyn ClipSink,
) -> Result<(), ItemError> {
    let made = match mode {
        ClipMode::Exact => exact::write(path, info, scenes, options, sink),
        ClipMode::Copy => copy::write(path, info, scenes, options, sink),
    };
    made.map_err(|error| error.without_path(path).context(path.display()))
}
