//! The audio packets of a file, read along with its pictures by a demuxer of their own.

use std::path::{Path, PathBuf};

use ffmpeg_next::format::context::Input;
use ffmpeg_next::{Error, Packet, media};

use super::output::ClipFile;
use super::{ClipContainer, ClipOptions};
use crate::core::ItemError;
use crate::media::libav::{self, Deadline};
use crate::media::open::{check_file, open_error, timeout};

/// How much earlier than wanted a search begins, seconds.
const STEP_BACK_SECS: f64 = 1.0;
/// After so many unreadable packets in a row the rest of the audio is given up.
const MAX_ERRORS_IN_A_ROW: u32 = 200;

/// The audio streams of a file that fit into a container.
pub(super) struct AudioReader {
    path: PathBuf,
    options: ClipOptions,
    deadline: Deadline,
    input: Input,
    streams: Vec<usize>,
    /// The next packet with its number in `streams` and its time.
    next: Option<(usize, f64, Packet)>,
    is_over: bool,
    /// The latest packet that is gone, seconds.
    taken_secs: f64,
    /// Streams that do not fit.
    pub(super) notes: Vec<String>,
}

impl AudioReader {
    pub(super) fn open(
        path: &Path,
        container: ClipContainer,
        options: &ClipOptions,
    ) -> Result<Self, ItemError> {
        let (input, deadline) = open(path, options)?;
        let (mut streams, mut notes) = (Vec::new(), Vec::new());
        for stream in input.streams() {
            let codec = stream.parameters().id();
            if stream.parameters().medium() != media::Type::Audio {
                continue;
            }
            if container.takes_audio(codec) {
                streams.push(stream.index());
            } else {
                notes.push(format!(
                    "audio of codec {} is left out: it does not fit into {}",
                    codec.name(),
                    container.extension()
                ));
            }
        }
        let mut reader = Self {
            path: path.to_owned(),
            options: *options,
            deadline,
            is_over: streams.is_empty(),
            input,
            streams,
            next: None,
            taken_secs: f64::NEG_INFINITY,
            notes,
        };
        libav::keep_only(&mut reader.input, &reader.streams);
        Ok(reader)
    }

    /// Adds the streams to a clip; gives their numbers there.
    pub(super) fn add_to(
        &self,
        clip: &mut ClipFile,
        start_secs: f64,
    ) -> Result<Vec<usize>, ItemError> {
        let streams = self.streams.iter().filter_map(|at| self.input.stream(*at));
        streams
            .map(|stream| clip.add_copy_of(&stream, start_secs))
            .collect()
    }

    /// Makes the packet at or after that time the next one.
    pub(super) fn go_to(&mut self, secs: f64) -> Result<(), ItemError> {
        if self.streams.is_empty() {
            return Ok(());
        }
        if self.taken_secs >= secs {
            self.seek(secs - STEP_BACK_SECS);
            self.fill()?;
            let is_late = self.next.as_ref().is_none_or(|(_, at, _)| *at > secs);
            if self.taken_secs >= secs || is_late {
                let (input, deadline) = open(&self.path, &self.options)?;
                (self.input, self.deadline) = (input, deadline);
                libav::keep_only(&mut self.input, &self.streams);
                self.forget();
            }
        }
        while self.before(secs)?.is_some() {}
        Ok(())
    }

    /// The next packet, with its number among the streams, if its time is before that.
    pub(super) fn before(&mut self, secs: f64) -> Result<Option<(usize, Packet)>, ItemError> {
        self.fill()?;
        let is_before = self.next.as_ref().is_some_and(|(_, at, _)| *at < secs);
        let Some((number, at, packet)) = self.next.take_if(|_| is_before) else {
            return Ok(None);
        };
        self.taken_secs = self.taken_secs.max(at);
        Ok(Some((number, packet)))
    }

    /// Copies what comes before that time into a clip.
    pub(super) fn copy_until(
        &mut self,
        secs: f64,
        clip: &mut ClipFile,
        tracks: &[usize],
    ) -> Result<(), ItemError> {
        while let Some((number, mut packet)) = self.before(secs)? {
            if let Some(track) = tracks.get(number) {
                clip.write(*track, &mut packet)?;
            }
        }
        Ok(())
    }

    fn seek(&mut self, secs: f64) {
        let Some(stream) = self.streams.first().and_then(|at| self.input.stream(*at)) else {
            return;
        };
        let ticks = (secs / f64::from(stream.time_base())).floor() as i64;
        let index = stream.index();
        // Whether it worked shows in what comes.
        if libav::seek(&mut self.input, index, ticks).is_ok() {
            self.forget();
        }
    }

    /// What was read lies elsewhere in the file.
    fn forget(&mut self) {
        (self.next, self.is_over, self.taken_secs) = (None, false, f64::NEG_INFINITY);
    }

    fn fill(&mut self) -> Result<(), ItemError> {
        self.deadline.set(self.options.deadline());
        let mut errors = 0;
        while self.next.is_none() && !self.is_over {
            let mut packet = Packet::empty();
            match packet.read(&mut self.input) {
                Ok(()) => {
                    errors = 0;
                    self.next = self.timed(packet);
                }
                Err(Error::Exit) => return Err(timeout()),
                Err(Error::InvalidData) if errors < MAX_ERRORS_IN_A_ROW => errors += 1,
                Err(_) => self.is_over = true,
            }
        }
        Ok(())
    }

    fn timed(&self, packet: Packet) -> Option<(usize, f64, Packet)> {
        let number = self.streams.iter().position(|at| *at == packet.stream())?;
        let stream = self.input.stream(packet.stream())?;
        let ticks = packet.pts().or(packet.dts())?;
        Some((number, ticks as f64 * f64::from(stream.time_base()), packet))
    }
}

fn open(path: &Path, options: &ClipOptions) -> Result<(Input, Deadline), ItemError> {
    check_file(path)?;
    let deadline = Deadline::new(options.deadline());
    let input =
        libav::open_input(path, &deadline).map_err(|error| open_error(error, &deadline, path))?;
    Ok((input, deadline))
}
