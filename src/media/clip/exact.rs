//! Scenes cut exactly: decoded once from the start of the file, counted as everywhere, encoded
//! anew with x264.
//!
//! Times are the source's, so a variable rate stays variable. Pictures keep their size, shape of
//! pixels, field order, colour tags and turn for display; they become 8-bit 4:2:0. A column or row
//! that 4:2:0 cannot hold is cut off.

use std::collections::BTreeMap;
use std::path::Path;

use ffmpeg_next::codec::{self, Flags, threading};
use ffmpeg_next::format::Pixel;
use ffmpeg_next::{Dictionary, Error, Packet, Rational, color, encoder, frame, picture};

use super::audio::AudioReader;
use super::output::ClipFile;
use super::{Clip, ClipContainer, ClipOptions, ClipSink};
use crate::core::{ErrorKind, ItemError, SceneSpan, TimeBase, VideoInfo};
use crate::media::decode::{FrameStamp, FrameStream};
use crate::media::libav::{self, Colors, Scaler, ScalerKey};
use crate::media::open::Source;
use crate::media::render::colors_of;

const ENCODER: &str = "libx264";
/// Hardly to be told from the source by eye.
const CRF: &str = "16";
const PRESET: &str = "fast";

/// Writes every scene; see [`super::write_clips`].
pub(super) fn write(
    path: &Path,
    info: &VideoInfo,
    scenes: &[SceneSpan],
    options: &ClipOptions,
    sink: &mut dyn ClipSink,
) -> Result<(), ItemError> {
    let open = options.open();
    let source = Source::open(path, Some(info.stream_index as usize), &open)?;
    let mut stream = FrameStream::new(source);
    let mut audio = AudioReader::open(path, ClipContainer::Mp4, options)?;
    let mut frame = frame::Video::empty();
    let mut waiting = scenes.iter().enumerate().peekable();
    let mut current: Option<(usize, SceneWriter)> = None;
    loop {
        stream.source.deadline.set(options.deadline());
        let stamp = stream.next_frame(&mut frame)?;
        let is_over = |scene: &SceneSpan| stamp.is_none_or(|at| at.index.0 >= scene.end_frame);
        if let Some((number, writer)) = current.take_if(|(_, writer)| is_over(&writer.scene)) {
            sink.close(number, writer.finish(&mut audio)?)?;
        }
        let Some(stamp) = stamp else { break };
        let begins = |(_, scene): &(usize, &SceneSpan)| scene.start_frame <= stamp.index.0;
        if current.is_none()
            && let Some((number, scene)) = waiting.next_if(begins)
        {
            let file = sink.open(number)?;
            let clip = ClipFile::new(file, ClipContainer::Mp4)?;
            let writer = SceneWriter::begin(clip, &stream, &frame, scene, info, stamp, &mut audio)?;
            current = Some((number, writer));
        }
        match &mut current {
            Some((_, writer)) => writer.push(&mut frame, stamp, &mut audio)?,
            None if waiting.peek().is_none() => break,
            None => {}
        }
    }
    if waiting.peek().is_some() {
        return Err(ItemError::new(
            ErrorKind::Missing,
            "the file has fewer frames than before; was it changed?",
        ));
    }
    Ok(())
}

/// One scene on its way through the encoder.
struct SceneWriter {
    scene: SceneSpan,
    base: TimeBase,
    clip: ClipFile,
    encoder: encoder::Video,
    converter: Converter,
    video_track: usize,
    audio_tracks: Vec<usize>,
    /// How long the frames that the encoder still holds are shown, by their time in the clip.
    durations: BTreeMap<i64, i64>,
    start_pts: i64,
    last_pts: i64,
    frames: u64,
    notes: Vec<String>,
}

impl SceneWriter {
    /// Makes the encoder and the clip's streams; `first` is the scene's first frame.
    fn begin(
        mut clip: ClipFile,
        stream: &FrameStream,
        first: &frame::Video,
        scene: &SceneSpan,
        info: &VideoInfo,
        stamp: FrameStamp,
        audio: &mut AudioReader,
    ) -> Result<Self, ItemError> {
        let source = &stream.source;
        let converter = Converter::new(first);
        let encoder = open_encoder(&converter, first, info)?;
        let video_track = clip.add_encoded(&encoder)?;
        let base = source.time_base;
        let start_secs = base.secs(stamp.pts);
        let audio_tracks = audio.add_to(&mut clip, start_secs)?;
        let mut notes = audio.notes.clone();
        if let Some(stream) = source.input.stream(source.stream_index)
            && !clip.turn_like(&stream)
        {
            notes.push("the turn for display is lost".into());
        }
        let (width, height) = (first.width(), first.height());
        if (converter.width, converter.height) != (width, height) {
            notes.push(format!(
                "{width}x{height} is cut to {}x{}, because sides must be even",
                converter.width, converter.height
            ));
        }
        clip.begin()?;
        audio.go_to(start_secs)?;
        Ok(Self {
            scene: scene.clone(),
            base,
            clip,
            encoder,
            converter,
            video_track,
            audio_tracks,
            durations: BTreeMap::new(),
            start_pts: stamp.pts.0,
            last_pts: 0,
            frames: 0,
            notes,
        })
    }

    fn push(
        &mut self,
        frame: &mut frame::Video,
        stamp: FrameStamp,
        audio: &mut AudioReader,
    ) -> Result<(), ItemError> {
        let pts = stamp.pts.0 - self.start_pts;
        if self.frames > 0 {
            self.durations.insert(self.last_pts, pts - self.last_pts);
        }
        self.durations.insert(pts, stamp.duration_ticks);
        self.last_pts = pts;
        self.frames += 1;
        let converted = self.converter.run(frame)?;
        converted.set_pts(Some(pts));
        converted.set_kind(picture::Type::None);
        self.encoder.send_frame(converted).map_err(encoding)?;
        self.take_packets(audio)
    }

    fn finish(mut self, audio: &mut AudioReader) -> Result<Clip, ItemError> {
        let length = (self.scene.end_pts - self.start_pts).max(self.last_pts + 1);
        self.durations.insert(self.last_pts, length - self.last_pts);
        self.encoder.send_eof().map_err(encoding)?;
        self.take_packets(audio)?;
        let [start_secs, end_secs] =
            [0, length].map(|ticks| self.base.secs_of(self.start_pts + ticks));
        audio.copy_until(end_secs, &mut self.clip, &self.audio_tracks)?;
        self.clip.finish()?;
        Ok(Clip {
            frames: self.frames,
            start_secs,
            end_secs,
            notes: self.notes,
        })
    }

    /// Writes what the encoder has ready, and the audio before it.
    fn take_packets(&mut self, audio: &mut AudioReader) -> Result<(), ItemError> {
        loop {
            let mut packet = Packet::empty();
            match self.encoder.receive_packet(&mut packet) {
                Ok(()) => {}
                Err(Error::Eof) => return Ok(()),
                Err(Error::Other { errno }) if errno == ffmpeg_next::error::EAGAIN => {
                    return Ok(());
                }
                Err(error) => return Err(encoding(error)),
            }
            let duration = packet.pts().and_then(|pts| self.durations.remove(&pts));
            packet.set_duration(duration.unwrap_or(0).max(0));
            let end_secs = self.base.secs_of(self.scene.end_pts);
            let due_secs = self
                .base
                .secs_of(self.start_pts + packet.dts().unwrap_or(0));
            audio.copy_until(due_secs.min(end_secs), &mut self.clip, &self.audio_tracks)?;
            self.clip.write(self.video_track, &mut packet)?;
        }
    }
}

fn open_encoder(
    converter: &Converter,
    first: &frame::Video,
    info: &VideoInfo,
) -> Result<encoder::Video, ItemError> {
    let found = encoder::find_by_name(ENCODER).ok_or_else(|| {
        ItemError::new(
            ErrorKind::Unsupported,
            format!(
                "the libav of this machine has no encoder {ENCODER}; use `--split-mode copy`, or \
                 install an FFmpeg with {ENCODER}"
            ),
        )
    })?;
    let mut context = codec::Context::new_with_codec(found);
    context.set_threading(threading::Config::count(0));
    let mut flags = Flags::GLOBAL_HEADER;
    if first.is_interlaced() {
        flags |= Flags::INTERLACED_DCT | Flags::INTERLACED_ME;
    }
    context.set_flags(flags);
    let base = info.time_base;
    let rate = (info.fps * 1000.0).round() as i32;
    context.set_time_base(Rational::new(base.num, base.den));
    context.set_frame_rate((rate > 0).then_some(Rational::new(rate, 1000)));
    let mut video = context.encoder().video().map_err(encoding)?;
    video.set_width(converter.width);
    video.set_height(converter.height);
    video.set_format(Pixel::YUV420P);
    let (num, den) = info.sample_aspect;
    video.set_aspect_ratio(Rational::new(num, den));
    video.set_colorspace(converter.space);
    video.set_color_range(if converter.colors.is_full_range {
        color::Range::JPEG
    } else {
        color::Range::MPEG
    });
    video.set_color_primaries(first.color_primaries());
    video.set_color_transfer_characteristic(first.color_transfer_characteristic());
    let mut settings = Dictionary::new();
    settings.set("crf", CRF);
    settings.set("preset", PRESET);
    let opened = video.open_as_with(found, settings).map_err(encoding)?;
    Ok(opened)
}

/// From decoded frames to 4:2:0 of one even size.
struct Converter {
    width: u32,
    height: u32,
    colors: Colors,
    space: color::Space,
    scaler: Option<Scaler>,
}

impl Converter {
    fn new(first: &frame::Video) -> Self {
        let mut colors = colors_of(first);
        let mut space = first.color_space();
        if libav::is_rgb(first.format()) {
            let is_hd = first.height() >= 720;
            space = if is_hd {
                color::Space::BT709
            } else {
                color::Space::SMPTE170M
            };
            colors = Colors {
                matrix: if is_hd { 1 } else { 5 },
                is_full_range: false,
            };
        }
        Self {
            width: first.width() / 2 * 2,
            height: first.height() / 2 * 2,
            colors,
            space,
            scaler: None,
        }
    }

    fn run<'a>(
        &'a mut self,
        frame: &'a mut frame::Video,
    ) -> Result<&'a mut frame::Video, ItemError> {
        let target = (Pixel::YUV420P, self.width, self.height);
        let (width, height) = (frame.width(), frame.height());
        if (frame.format(), width, height) == target && colors_of(frame) == self.colors {
            return Ok(frame);
        }
        // An odd last row or column is left out; a frame of another size is scaled.
        let is_cut = (width / 2 * 2, height / 2 * 2) == (self.width, self.height);
        let (across, down) = if is_cut {
            (self.width, self.height)
        } else {
            (width, height)
        };
        let key = ScalerKey {
            source: (frame.format(), across, down),
            colors: colors_of(frame),
            target,
        };
        if self
            .scaler
            .as_ref()
            .is_none_or(|scaler| *scaler.key() != key)
        {
            self.scaler = Scaler::to_colors(key, self.colors);
        }
        let converted = self
            .scaler
            .as_mut()
            .and_then(|scaler| scaler.run(frame, 0, 0));
        let converted = converted.ok_or_else(|| {
            ItemError::new(
                ErrorKind::Unsupported,
                format!("pixel format {:?} cannot be converted", frame.format()),
            )
        })?;
        libav::copy_properties(frame, converted).map_err(encoding)?;
        Ok(converted)
    }
}

fn encoding(error: Error) -> ItemError {
    let kind = match error {
        Error::Other { errno } if errno == ffmpeg_next::error::ENOMEM => ErrorKind::OutOfMemory,
        _ => ErrorKind::Unsupported,
    };
    ItemError::new(kind, format!("encoding with {ENCODER} failed: {error}"))
}
