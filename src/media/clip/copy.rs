//! Scenes copied without decoding: from the key frame at or before their start.
//!
//! A first pass over the packets notes the times of key frames. Packets that belong before the key
//! frame are left out. At the end, a packet of a later frame stays where a frame of the scene may
//! need it, so a clip may end a few frames late too.

use std::path::Path;

use ffmpeg_next::{Error, Packet, media};

use super::audio::AudioReader;
use super::output::ClipFile;
use super::{Clip, ClipContainer, ClipOptions, ClipSink};
use crate::core::{ErrorKind, ItemError, SceneSpan, VideoInfo};
use crate::media::libav;
use crate::media::open::{Source, timeout};

/// Frames that may be decoded before they are shown, at most.
const MAX_AHEAD: usize = 64;
/// After so many unreadable packets in a row the rest of the file is given up.
const MAX_ERRORS_IN_A_ROW: u32 = 200;

/// MP4 for what came in such a file, if everything fits.
pub(super) fn container(
    path: &Path,
    info: &VideoInfo,
    options: &ClipOptions,
) -> Result<ClipContainer, ItemError> {
    if !info.container.split(',').any(|name| name == "mp4") {
        return Ok(ClipContainer::Mkv);
    }
    let source = Source::open(path, Some(info.stream_index as usize), &options.open())?;
    let mp4 = ClipContainer::Mp4;
    let fits = source.input.streams().all(|stream| {
        let codec = stream.parameters().id();
        match stream.parameters().medium() {
            media::Type::Audio => mp4.takes_audio(codec),
            media::Type::Video if stream.index() == source.stream_index => mp4.takes_video(codec),
            _ => true,
        }
    });
    Ok(if fits { mp4 } else { ClipContainer::Mkv })
}

/// Writes every scene; see [`super::write_clips`].
pub(super) fn write(
    path: &Path,
    info: &VideoInfo,
    scenes: &[SceneSpan],
    options: &ClipOptions,
    sink: &mut dyn ClipSink,
) -> Result<(), ItemError> {
    let container = container(path, info, options)?;
    let mut packets = Packets::open(path, info, options)?;
    let mut keys = Vec::new();
    while let Some(packet) = packets.next()? {
        keys.extend(time_of(&packet).filter(|_| packet.is_key()));
    }
    keys.sort_unstable();
    let mut audio = AudioReader::open(path, container, options)?;
    for (number, scene) in scenes.iter().enumerate() {
        let at = keys.partition_point(|key| *key <= scene.start_pts);
        let Some(key) = keys.get(at.saturating_sub(1)).copied() else {
            return Err(ItemError::new(
                ErrorKind::Unsupported,
                "no packet is marked as a key frame; use `--split-mode exact`",
            ));
        };
        let first = packets.go_to(key)?;
        let clip = ClipFile::new(sink.open(number)?, container)?;
        let clip = copy_scene(clip, &mut packets, &mut audio, first, key, scene)?;
        sink.close(number, clip)?;
    }
    Ok(())
}

/// Copies from the key frame `first` on.
fn copy_scene(
    mut clip: ClipFile,
    packets: &mut Packets<'_>,
    audio: &mut AudioReader,
    first: Packet,
    key: i64,
    scene: &SceneSpan,
) -> Result<Clip, ItemError> {
    let base = packets.source.time_base;
    let start_secs = base.secs_of(key);
    let mut notes = audio.notes.clone();
    let index = packets.source.stream_index;
    let stream = packets
        .source
        .input
        .stream(index)
        .ok_or_else(|| ItemError::new(ErrorKind::Missing, "the video stream is gone"))?;
    let video_track = clip.add_copy_of(&stream, start_secs)?;
    if !clip.turn_like(&stream) {
        notes.push("the turn for display is lost".into());
    }
    let audio_tracks = audio.add_to(&mut clip, start_secs)?;
    clip.begin()?;
    audio.go_to(start_secs)?;

    let (mut frames, mut end) = (0_u64, key);
    let mut held: Vec<Packet> = Vec::new();
    let mut next = Some(first);
    while let Some(packet) = next {
        let time = time_of(&packet);
        let order = packet.dts().or(time);
        let is_end = held.len() >= MAX_AHEAD || order.is_some_and(|at| at >= scene.end_pts);
        if is_end {
            break;
        }
        match time {
            // Shown before the key frame, or never.
            Some(time) if time < key => {}
            None => {}
            Some(time) if time >= scene.end_pts => held.push(packet),
            Some(_) => {
                held.push(packet);
                for mut packet in held.drain(..) {
                    let shown_until = time_of(&packet).unwrap_or(key) + packet.duration().max(1);
                    end = end.max(shown_until);
                    frames += 1;
                    if packet.pts().is_none() {
                        packet.set_pts(packet.dts());
                    }
                    let due_secs = base.secs_of(packet.dts().unwrap_or(key));
                    audio.copy_until(due_secs, &mut clip, &audio_tracks)?;
                    clip.write(video_track, &mut packet)?;
                }
            }
        }
        next = packets.next()?;
    }
    let end_secs = base.secs_of(end);
    audio.copy_until(end_secs, &mut clip, &audio_tracks)?;
    clip.finish()?;
    Ok(Clip {
        frames,
        start_secs,
        end_secs,
        notes,
    })
}

/// When a packet's frame is shown, ticks.
fn time_of(packet: &Packet) -> Option<i64> {
    packet.pts().or(packet.dts())
}

/// The packets of the video stream.
struct Packets<'a> {
    path: &'a Path,
    options: &'a ClipOptions,
    source: Source,
}

impl<'a> Packets<'a> {
    fn open(path: &'a Path, info: &VideoInfo, options: &'a ClipOptions) -> Result<Self, ItemError> {
        let source = Source::open(path, Some(info.stream_index as usize), &options.open())?;
        Ok(Self {
            path,
            options,
            source,
        })
    }

    fn next(&mut self) -> Result<Option<Packet>, ItemError> {
        self.source.deadline.set(self.options.deadline());
        let mut errors = 0;
        loop {
            let mut packet = Packet::empty();
            match packet.read(&mut self.source.input) {
                Ok(()) if packet.stream() == self.source.stream_index => return Ok(Some(packet)),
                Ok(()) => {}
                Err(Error::Exit) => return Err(timeout()),
                Err(Error::InvalidData) if errors < MAX_ERRORS_IN_A_ROW => errors += 1,
                Err(_) => return Ok(None),
            }
        }
    }

    /// The packet of the key frame with that time: by the container's index or from the start.
    fn go_to(&mut self, key: i64) -> Result<Packet, ItemError> {
        let stream = self.source.stream_index;
        if libav::seek(&mut self.source.input, stream, key).is_ok()
            && let Some(packet) = self.find(key)?
        {
            return Ok(packet);
        }
        self.source = Source::open(self.path, Some(stream), &self.options.open())?;
        self.find(key)?.ok_or_else(|| {
            ItemError::new(
                ErrorKind::Missing,
                format!("no key frame with pts {key}; was the file changed?"),
            )
        })
    }

    fn find(&mut self, key: i64) -> Result<Option<Packet>, ItemError> {
        while let Some(packet) = self.next()? {
            let time = time_of(&packet).filter(|_| packet.is_key());
            match time {
                Some(time) if time == key => return Ok(Some(packet)),
                Some(time) if time > key => return Ok(None),
                _ => {}
            }
        }
        Ok(None)
    }
}
