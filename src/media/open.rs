//! Opening a file: which container, which stream, which decoder.

use std::path::{Path, PathBuf};
use std::time::Instant;

use ffmpeg_next::codec::{Context, Id, threading};
use ffmpeg_next::decoder::Check;
use ffmpeg_next::format::context::Input;
use ffmpeg_next::format::stream::Disposition;
use ffmpeg_next::{Discard, Error, decoder, media};

use super::libav::{self, Deadline};
use super::outline;
use crate::core::{DamageReason, ErrorKind, ItemError, TimeBase};

/// Longest side that is decoded, pixels.
const MAX_SIDE_PX: u32 = 16384;
/// Largest area that is decoded, pixels.
const MAX_AREA_PX: u64 = 1 << 28;

/// How a file is opened and how long it may take.
#[derive(Clone, Copy, Debug)]
pub struct OpenOptions {
    /// Threads of the decoder; 0 lets libav choose.
    pub decode_threads: usize,
    /// When everything done with the file must be over; later calls give [`ErrorKind::Timeout`].
    pub deadline: Instant,
}

/// An open container with the decoder of one video stream.
pub(super) struct Source {
    pub(super) input: Input,
    pub(super) decoder: decoder::Video,
    pub(super) stream_index: usize,
    pub(super) time_base: TimeBase,
    pub(super) deadline: Deadline,
    path: PathBuf,
    threads: usize,
}

impl Source {
    /// Opens the file and the given stream, or the best one.
    pub(super) fn open(
        path: &Path,
        stream: Option<usize>,
        options: &OpenOptions,
    ) -> Result<Self, ItemError> {
        check_file(path)?;
        let deadline = Deadline::new(options.deadline);
        let mut input = libav::open_input(path, &deadline)
            .map_err(|error| open_error(error, &deadline, path))?;
        let stream_index = match stream {
            Some(index) => index,
            None => best_stream(&input).ok_or_else(|| {
                ItemError::new(
                    ErrorKind::Missing,
                    format!("{}: no video stream", path.display()),
                )
                .because(DamageReason::NoVideoStream)
            })?,
        };
        libav::keep_only(&mut input, &[stream_index]);
        let threads = sound_threads(&input, stream_index, options.decode_threads);
        let decoder = open_decoder(&input, stream_index, threads, false)
            .map_err(|error| error.context(path.display()))?;
        let time_base = input
            .stream(stream_index)
            .map_or(TimeBase::new(1, 1), |stream| {
                let base = stream.time_base();
                TimeBase::new(base.numerator(), base.denominator())
            });
        Ok(Self {
            input,
            decoder,
            stream_index,
            time_base,
            deadline,
            path: path.to_owned(),
            threads,
        })
    }

    /// Whether several frames are decoded at once. Then errors are not repaired but reported:
    /// libav's repairs differ from run to run with several threads.
    pub(super) fn is_parallel(&self) -> bool {
        self.threads != 1
    }

    /// Another decoder of the same stream, which repairs what it can: behind a break in the stream
    /// there are always references that are not there.
    pub(super) fn repairing_decoder(&self, threads: usize) -> Result<decoder::Video, ItemError> {
        let threads = sound_threads(&self.input, self.stream_index, threads);
        open_decoder(&self.input, self.stream_index, threads, true)
            .map_err(|error| error.context(self.path.display()))
    }

    /// Opens the file anew with one thread.
    pub(super) fn reopen_with_one_thread(&self) -> Result<Self, ItemError> {
        let options = OpenOptions {
            decode_threads: 1,
            deadline: self.deadline.get(),
        };
        Self::open(&self.path, Some(self.stream_index), &options)
    }

    /// Whether the file is shorter than its container says.
    pub(super) fn is_cut_short(&self) -> bool {
        let outline = outline::read(&self.path).ok().flatten();
        outline.is_some_and(|outline| outline.is_cut_short)
    }

    /// Has the decoder leave out all but key frames, or none.
    pub(super) fn key_frames_only(&mut self, only: bool) {
        self.decoder.skip_frame(if only {
            Discard::NonKey
        } else {
            Discard::Default
        });
    }

    /// Fails once the deadline is over.
    pub(super) fn check_deadline(&self) -> Result<(), ItemError> {
        if self.deadline.is_over() {
            return Err(timeout());
        }
        Ok(())
    }
}

/// The error of a deadline that is over.
pub(super) fn timeout() -> ItemError {
    ItemError::new(
        ErrorKind::Timeout,
        "decoding took longer than its deadline; raise the time limit or cut the file into parts",
    )
}

/// Refuses sizes that would take absurd memory.
pub(super) fn check_size(width: u32, height: u32) -> Result<(), ItemError> {
    let area = u64::from(width) * u64::from(height);
    if width.max(height) > MAX_SIDE_PX || area > MAX_AREA_PX {
        return Err(ItemError::new(
            ErrorKind::Unsupported,
            format!(
                "a picture of {width}x{height} pixels is too large; sides up to {MAX_SIDE_PX} and \
                 {MAX_AREA_PX} pixels in all are handled"
            ),
        )
        .because(DamageReason::PictureTooLarge));
    }
    Ok(())
}

/// Whether there is a regular file with something in it: no folder, pipe, socket or device, at
/// which to open or read may wait or go on for ever.
///
/// # Errors
/// Missing, Unsupported for anything but a regular file, Corrupt for an empty one, Unreadable.
pub fn check_file(path: &Path) -> Result<(), ItemError> {
    let named = |kind, what: &str| ItemError::new(kind, format!("{}: {what}", path.display()));
    match std::fs::metadata(path) {
        Ok(meta) if !meta.is_file() => Err(named(ErrorKind::Unsupported, "not a regular file")),
        Ok(meta) if meta.len() == 0 => {
            Err(named(ErrorKind::Corrupt, "file is empty").because(DamageReason::EmptyFile))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(named(ErrorKind::Missing, "no such file"))
        }
        Err(error) => Err(named(ErrorKind::Unreadable, &error.to_string())),
    }
}

/// Why a file could not be opened.
pub(super) fn open_error(error: Error, deadline: &Deadline, path: &Path) -> ItemError {
    let kind = match error {
        _ if deadline.is_over() => return timeout().context(path.display()),
        // libav's answer for a container that is not on the list.
        Error::Other { errno } if errno == ffmpeg_next::error::EINVAL => {
            return ItemError::new(
                ErrorKind::Unsupported,
                format!(
                    "{}: not a handled video container; remux it to mp4 or mkv",
                    path.display()
                ),
            )
            .because(DamageReason::NotAVideo);
        }
        Error::Other { errno } if errno == ffmpeg_next::error::ENOMEM => ErrorKind::OutOfMemory,
        Error::Other { .. } => ErrorKind::Unreadable,
        Error::DemuxerNotFound | Error::PatchWelcome | Error::ProtocolNotFound => {
            ErrorKind::Unsupported
        }
        _ => ErrorKind::Corrupt,
    };
    let reason = match outline::read(path) {
        Ok(Some(outline)) if outline.is_without_index => DamageReason::MissingMoov,
        Ok(Some(_)) => DamageReason::BrokenHeader,
        Ok(None) => DamageReason::NotAVideo,
        Err(_) => return unopened(kind, path, error),
    };
    unopened(kind, path, error).because(reason)
}

fn unopened(kind: ErrorKind, path: &Path, error: Error) -> ItemError {
    ItemError::new(
        kind,
        format!("{}: cannot be opened as video: {error}", path.display()),
    )
}

/// libav's choice, unless that is a cover picture: then the largest real one.
fn best_stream(input: &Input) -> Option<usize> {
    let is_cover = |disposition: Disposition| disposition.intersects(Disposition::ATTACHED_PIC);
    let best = input.streams().best(media::Type::Video)?;
    if !is_cover(best.disposition()) {
        return Some(best.index());
    }
    input
        .streams()
        .find(|stream| {
            stream.parameters().medium() == media::Type::Video && !is_cover(stream.disposition())
        })
        .map(|stream| stream.index())
}

/// Threads with which a stream can be decoded. Of MPEG-4 part 2 and its kin libav aborts the whole
/// process at some damaged frames when several are decoded at once.
fn sound_threads(input: &Input, stream_index: usize, wanted: usize) -> usize {
    let stream = input.stream(stream_index);
    let aborts = |codec: Id| {
        matches!(
            codec,
            Id::MPEG4
                | Id::H263
                | Id::H263P
                | Id::H263I
                | Id::FLV1
                | Id::WMV1
                | Id::WMV2
                | Id::MSMPEG4V1
                | Id::MSMPEG4V2
                | Id::MSMPEG4V3
                | Id::RV10
                | Id::RV20
                | Id::RV30
                | Id::RV40
        )
    };
    if stream.is_some_and(|stream| aborts(stream.parameters().id())) {
        1
    } else {
        wanted
    }
}

fn open_decoder(
    input: &Input,
    stream_index: usize,
    threads: usize,
    repairs: bool,
) -> Result<decoder::Video, ItemError> {
    let stream = input
        .stream(stream_index)
        .ok_or_else(|| ItemError::new(ErrorKind::Missing, format!("no stream {stream_index}")))?;
    let unsupported = |error: Error| {
        let codec = stream.parameters().id().name();
        ItemError::new(
            ErrorKind::Unsupported,
            format!("video codec {codec} cannot be decoded: {error}"),
        )
        .because(DamageReason::UnsupportedCodec)
    };
    let context = Context::from_parameters(stream.parameters()).map_err(unsupported)?;
    let mut decoder = context.decoder();
    decoder.set_packet_time_base(stream.time_base());
    // Frames that are decoded at once wait for each other: two more keep all threads busy. The
    // decoder of AV1 hands out parts of frames.
    let is_frame_wise = stream.parameters().id() != Id::AV1;
    decoder.set_threading(threading::Config {
        count: if threads > 1 && is_frame_wise {
            threads + 2
        } else {
            threads
        },
        ..threading::Config::kind(threading::Type::Frame)
    });
    if threads != 1 && !repairs {
        decoder.check(Check::EXPLODE);
    }
    let decoder = decoder.video().map_err(unsupported)?;
    check_size(decoder.width(), decoder.height())?;
    Ok(decoder)
}
