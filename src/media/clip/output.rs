//! One clip being written: streams, packets on the clip's own clock, the end.

use std::fs::File;

use ffmpeg_next::format::context::{Output, StreamIo};
use ffmpeg_next::format::output_to_stream;
use ffmpeg_next::format::stream::Stream;
use ffmpeg_next::packet::side_data::Type as SideData;
use ffmpeg_next::{Error, Packet, Rational, encoder};

use super::{ClipContainer, turn};
use crate::core::{ErrorKind, ItemError};
use crate::media::libav;

/// What is handed to the file at once, bytes.
const BUFFER_BYTES: usize = 1 << 18;

/// A stream of the clip: where its packets come from and which time of theirs becomes 0.
struct Track {
    base: Rational,
    start_ticks: i64,
}

/// A clip that is not finished yet.
pub(super) struct ClipFile {
    output: Output,
    container: ClipContainer,
    tracks: Vec<Track>,
    file: File,
    turn: Option<turn::Matrix>,
}

impl ClipFile {
    /// An empty clip in an empty file.
    pub(super) fn new(file: File, container: ClipContainer) -> Result<Self, ItemError> {
        libav::silence();
        let handle = file
            .try_clone()
            .map_err(|error| ItemError::new(ErrorKind::Unreadable, error.to_string()))?;
        let output = StreamIo::from_write_seek_with_capacity(handle, BUFFER_BYTES)
            .and_then(|stream| output_to_stream(stream, None, Some(container.muxer())))
            .map_err(|error| failed("begun", error))?;
        Ok(Self {
            output,
            container,
            tracks: Vec::new(),
            file,
            turn: None,
        })
    }

    /// Adds the stream that an encoder fills; its times are the clip's already.
    pub(super) fn add_encoded(&mut self, encoder: &encoder::Video) -> Result<usize, ItemError> {
        let base = encoder.time_base();
        libav::add_encoded(&mut self.output, encoder).map_err(|error| failed("begun", error))?;
        self.tracks.push(Track {
            base,
            start_ticks: 0,
        });
        Ok(self.tracks.len() - 1)
    }

    /// Adds a stream whose packets are copied; `start_secs` of the source is the clip's 0.
    pub(super) fn add_copy_of(
        &mut self,
        stream: &Stream<'_>,
        start_secs: f64,
    ) -> Result<usize, ItemError> {
        libav::add_copy_of(&mut self.output, stream).map_err(|error| failed("begun", error))?;
        let base = stream.time_base();
        self.tracks.push(Track {
            base,
            start_ticks: (start_secs / f64::from(base)).round() as i64,
        });
        Ok(self.tracks.len() - 1)
    }

    /// Keeps how the source asks to be turned for display; false where the container cannot.
    pub(super) fn turn_like(&mut self, stream: &Stream<'_>) -> bool {
        let data = stream
            .side_data()
            .find(|data| data.kind() == SideData::DisplayMatrix);
        let Some(matrix) = data.and_then(|data| turn::matrix_of(data.data())) else {
            return true;
        };
        self.turn = Some(matrix);
        self.container == ClipContainer::Mp4
    }

    /// Writes the head; all streams are there.
    pub(super) fn begin(&mut self) -> Result<(), ItemError> {
        self.output
            .write_header()
            .map(drop)
            .map_err(|error| failed("begun", error))
    }

    /// Writes one packet of a stream; its times are the source's.
    pub(super) fn write(&mut self, track: usize, packet: &mut Packet) -> Result<(), ItemError> {
        let Some(known) = self.tracks.get(track) else {
            return Err(ItemError::new(ErrorKind::Bug, "a clip has no such stream"));
        };
        let base = self
            .output
            .stream(track)
            .map_or(known.base, |stream| stream.time_base());
        packet.set_pts(packet.pts().map(|pts| pts - known.start_ticks));
        packet.set_dts(packet.dts().map(|dts| dts - known.start_ticks));
        packet.rescale_ts(known.base, base);
        packet.set_stream(track);
        packet.set_position(-1);
        packet
            .write_interleaved(&mut self.output)
            .map_err(|error| failed("written", error))
    }

    /// Writes the tail; the file is whole after it.
    pub(super) fn finish(mut self) -> Result<(), ItemError> {
        self.output
            .write_trailer()
            .map_err(|error| failed("finished", error))?;
        drop(self.output);
        match self.turn {
            Some(matrix) if self.container == ClipContainer::Mp4 => {
                turn::set(&mut self.file, &matrix)
                    .map_err(|error| ItemError::new(ErrorKind::Unreadable, error.to_string()))
            }
            _ => Ok(()),
        }
    }
}

fn failed(what: &str, error: Error) -> ItemError {
    let kind = match error {
        Error::Other { errno } if errno == ffmpeg_next::error::ENOMEM => ErrorKind::OutOfMemory,
        Error::Other { errno } if errno != ffmpeg_next::error::EINVAL => ErrorKind::Unreadable,
        _ => ErrorKind::Unsupported,
    };
    ItemError::new(kind, format!("a clip could not be {what}: {error}"))
}
