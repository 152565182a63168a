//! What flows: each type has only fields that are always there.
//!
//! `ManifestEntry → Video → Scene → PairCandidate → FramePair → Draft → Sample`

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::budget::Permit;
use super::geometry::BoxPx;
use super::id::{Hasher, SampleId, SceneId, VideoId};
use super::image::Rgb8;
use super::record::Trace;
use super::score::{Score, Scores};
use super::time::{FrameIndex, Pts, Span, TimeBase};
use super::web_address::WebAddress;

/// Where the bytes of a manifest entry are. Folders are shared, as a manifest may have a million
/// rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// Behind the web address that the entry's uri is.
    #[default]
    Remote,
    /// Behind this web address, of which the uri leaves out the secrets.
    Web(WebAddress),
    /// A file on this machine: the entry's uri, seen from this folder.
    Under(Arc<Path>),
    /// A file on this machine with a path that its uri spells in another way.
    At(Arc<Path>),
}

/// One input line of a manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ManifestEntry {
    /// Local path or `file://` as typed; `http(s)://` as [`WebAddress::shown`].
    pub uri: String,
    /// Licence of the footage, as the manifest states it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<Arc<str>>,
    /// Where the footage comes from, as the manifest states it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Arc<str>>,
    /// Where a local file is on this machine; not part of the identity.
    #[serde(skip)]
    pub place: Place,
}

impl ManifestEntry {
    /// Identity of this input across runs and machines: uri, licence and source.
    pub fn key(&self) -> String {
        let hash = Hasher::new("manifest_entry").json(self).finish();
        super::id::Key::from_hash(hash).as_str().to_owned()
    }
    /// What is asked for at a web address, with its secrets.
    pub fn address(&self) -> WebAddress {
        match &self.place {
            Place::Web(address) => address.clone(),
            _ => WebAddress::new(self.uri.clone()),
        }
    }
    /// Where the file is on this machine; none for a web address.
    pub fn local_path(&self) -> Option<PathBuf> {
        match &self.place {
            Place::Remote | Place::Web(_) => None,
            Place::Under(folder) => Some(folder.join(&self.uri)),
            Place::At(path) => Some(path.to_path_buf()),
        }
    }
}

/// A file on this machine; a downloaded one is deleted when nobody needs it any more.
#[derive(Debug)]
pub struct LocalFile {
    path: PathBuf,
    is_temporary: bool,
    /// What the file system said of it before its bytes were hashed, if somebody looked.
    pub stamp: Option<FileStamp>,
}

/// What a file system says of a file; with another stamp it has other content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp {
    /// Its length, bytes.
    pub bytes: u64,
    /// When it was changed, seconds and nanoseconds as the file system counts them.
    pub modified: (i64, i64),
    /// Its number in the file system: a file that took the other's name has another one.
    pub inode: u64,
}

impl LocalFile {
    /// A file that stays.
    pub fn kept(path: PathBuf) -> Self {
        Self {
            path,
            is_temporary: false,
            stamp: None,
        }
    }
    /// A file that is deleted on drop.
    pub fn temporary(path: PathBuf) -> Self {
        Self {
            path,
            is_temporary: true,
            stamp: None,
        }
    }
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for LocalFile {
    fn drop(&mut self) {
        if self.is_temporary {
            // Nothing depends on the deletion: the folder is emptied at the next start.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// What opening a file and its first frame tell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VideoInfo {
    /// Index of the chosen video stream in the container.
    pub stream_index: u32,
    /// Container, as libav names it.
    pub container: String,
    /// Codec, as libav names it.
    pub codec: String,
    /// Pixel format of the decoder, as libav names it.
    pub pixel_format: String,
    /// Width of the coded picture.
    pub coded_width: u32,
    /// Height of the coded picture.
    pub coded_height: u32,
    /// The part of the coded picture inside black bars, whole even pixels; all of it without bars.
    pub crop_in_coded: BoxPx,
    /// Width for display: after crop, sample aspect ratio and rotation.
    pub width: u32,
    /// Height for display.
    pub height: u32,
    /// Clockwise turn for display in degrees: 0, 90, 180 or 270.
    pub rotation_degrees: u16,
    /// Sample aspect ratio as `(num, den)`; `(1, 1)` when unknown.
    pub sample_aspect: (i32, i32),
    /// Ticks of every [`Pts`] of this video.
    pub time_base: TimeBase,
    /// Average frames per second; 0 when unknown. For display, never for time.
    pub fps: f64,
    /// Duration as the container states it, seconds; 0 when unknown.
    pub stated_duration_secs: f64,
    /// Whether the container marks the picture as interlaced.
    pub is_interlaced: bool,
}

/// One source file.
#[derive(Debug)]
pub struct Video {
    /// Hash of the file's bytes.
    pub id: VideoId,
    /// The manifest line.
    pub entry: Arc<ManifestEntry>,
    /// What is known of its pictures.
    pub info: VideoInfo,
    /// Where the bytes are.
    pub file: LocalFile,
}

/// Numbers gathered over all frames of a scene while they went by.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SceneStats {
    /// Mean luma over all frames, 0–255.
    pub luma_mean: f32,
    /// Mean absolute luma difference of neighbouring frames, 0–255.
    pub luma_delta_mean: f32,
    /// Share of frames that hardly differ from the one before (mean luma difference below 0.1).
    pub still_ratio: f32,
    /// Share of frames with a mean luma below 16.
    pub dark_ratio: f32,
}

/// A frame kept from the low-resolution pass.
#[derive(Clone, Debug)]
pub struct SampledFrame {
    /// Its number.
    pub index: FrameIndex,
    /// Its time.
    pub pts: Pts,
    /// The picture, longer side at most `sample_frames.max_side_px`.
    pub image: Rgb8,
    /// The next frame of the scene and its time, small, for motion; none after the last.
    pub next: Option<(Pts, Rgb8)>,
    /// This frame at the same small size as `next`.
    pub small: Rgb8,
}

/// The frames sampled from one scene. Pixels, so it holds a permit.
#[derive(Debug)]
pub struct SceneSamples {
    /// In time order.
    pub frames: Vec<SampledFrame>,
    /// Bytes of the budget.
    pub permit: Option<Permit>,
}

/// The frames between two neighbouring cuts.
#[derive(Clone, Debug)]
pub struct Scene {
    /// Hash of video and span.
    pub id: SceneId,
    /// The file it is in.
    pub video: Arc<Video>,
    /// Number in the video, from 0.
    pub index: u32,
    /// Frame numbers.
    pub frames: Span<FrameIndex>,
    /// Times; the end is the time at which the last frame's display ends.
    pub pts: Span<Pts>,
    /// Score of the cut at the start and at the end; none at the ends of the video.
    pub cut_score: [Option<Score>; 2],
    /// Numbers over all its frames.
    pub stats: SceneStats,
    /// Some of its frames.
    pub samples: Arc<SceneSamples>,
    /// What scene filters measured.
    pub scores: Scores,
    /// Where its numbers come from or go to.
    pub trace: Trace,
}

impl Scene {
    /// Identity from video and span in pts.
    pub fn id_of(video: &VideoId, pts: Span<Pts>) -> SceneId {
        Self::id_of_text(video.as_str(), pts)
    }
    /// [`Scene::id_of`] for a video id as rows have it.
    pub fn id_of_text(video: &str, pts: Span<Pts>) -> SceneId {
        let hash = Hasher::new("scene")
            .str(video)
            .int(pts.start().0)
            .int(pts.end().0);
        SceneId::from_hash(hash.finish())
    }
    /// Length in seconds.
    pub fn duration_secs(&self) -> f64 {
        self.video.info.time_base.secs_of(self.pts.len() as i64)
    }
}

/// A frame by name, without pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameRef {
    /// Its time.
    pub pts: Pts,
    /// Its number.
    pub index: FrameIndex,
}

/// Two sampled frames of one scene proposed as before and after.
#[derive(Clone, Debug)]
pub struct PairCandidate {
    /// The scene they are in.
    pub scene: Arc<Scene>,
    /// Position of the earlier one in the scene's samples.
    pub from: usize,
    /// Position of the later one in the scene's samples.
    pub to: usize,
    /// Scene scores and what pair filters measured.
    pub scores: Scores,
}

impl PairCandidate {
    /// The earlier sampled frame.
    pub fn from_frame(&self) -> &SampledFrame {
        &self.scene.samples.frames[self.from]
    }
    /// The later sampled frame.
    pub fn to_frame(&self) -> &SampledFrame {
        &self.scene.samples.frames[self.to]
    }
    /// Time between the two in seconds.
    pub fn gap_secs(&self) -> f64 {
        let ticks = self.to_frame().pts.0 - self.from_frame().pts.0;
        self.scene.video.info.time_base.secs_of(ticks)
    }
}

/// A decoded picture at full display size.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Which one.
    pub at: FrameRef,
    /// Its pixels.
    pub image: Rgb8,
}

/// A pair with its full-resolution pixels.
#[derive(Debug)]
pub struct FramePair {
    /// The scene, without its sampled pixels.
    pub scene: Arc<Scene>,
    /// Before.
    pub from: Frame,
    /// After.
    pub to: Frame,
    /// All scores so far.
    pub scores: Scores,
    /// Bytes of the budget.
    pub permit: Permit,
}

/// One measured change between two frames, in pixels of the full-resolution frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// `moved`, `entered`, `left`, `grew`, `shrank`, `appeared_more`, `appeared_less`, `reposed`,
    /// `rearranged`, `replaced`, `recolored`, `shaded`, `lighting` or `changed`.
    pub kind: String,
    /// Where it was before, if it was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_box_px: Option<BoxPx>,
    /// Where it is after, if it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_box_px: Option<BoxPx>,
    /// Numbers it rests on, by name with unit, such as `shift_ratio`.
    #[serde(default)]
    pub numbers: std::collections::BTreeMap<String, f32>,
}

/// An instruction and how it came to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instruction {
    /// One imperative sentence.
    pub text: String,
    /// Who wrote it: `template`, `onnx:<model>` or `endpoint:<model>`.
    pub writer: String,
    /// Caption of the picture before, if the writer gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_caption: Option<String>,
    /// Caption of the picture after, if the writer gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_caption: Option<String>,
    /// What it rests on, for a measured instruction.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// Prompt as `name@sha256:12`, if one was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
}

/// Recorded rubric scores of a judge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// Axis and points, 0–5.
    pub points: Vec<(String, Score)>,
    /// The judge's words.
    pub reason: String,
    /// Who judged.
    pub judge: String,
    /// Prompt as `name@sha256:12`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
}

/// A pair with its instruction. `judgement` stays empty where no judge is configured.
#[derive(Debug)]
pub struct Draft {
    /// The frames.
    pub pair: FramePair,
    /// How to get from one to the other.
    pub instruction: Instruction,
    /// What a judge said.
    pub judgement: Option<Judgement>,
}

/// An image file in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedImage {
    /// PNG or JPEG bytes.
    pub bytes: Arc<Vec<u8>>,
    /// `png` or `jpg`.
    pub extension: &'static str,
    /// The real frame it shows; none for a generated picture.
    pub pts: Option<Pts>,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

/// A model that had a part in a sample.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ModelRef {
    /// `scene_detector`, `embedder`, `captioner`, `judge` …
    pub role: String,
    /// `name@sha256:12`.
    pub model: String,
}

/// A final row.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Hash of task, images and instruction.
    pub id: SampleId,
    /// `edit`, `ic` or `ic_edit`.
    pub task: &'static str,
    /// The scene it is from.
    pub scene: Arc<Scene>,
    /// The instruction and its origin.
    pub instruction: Instruction,
    /// What a judge said, if there was one.
    pub judgement: Option<Judgement>,
    /// Images before.
    pub inputs: Vec<EncodedImage>,
    /// The image after; always a real frame.
    pub output: EncodedImage,
    /// All scores.
    pub scores: Scores,
    /// Perceptual hashes of first input and output, for duplicates across the run.
    pub hashes: [u64; 2],
}

impl Sample {
    /// Identity from task, image bytes and instruction.
    pub fn id_of(
        task: &str,
        inputs: &[EncodedImage],
        output: &EncodedImage,
        text: &str,
    ) -> SampleId {
        let images = inputs.iter().chain([output]);
        Self::id_of_bytes(task, images.map(|image| image.bytes.as_slice()), text)
    }

    /// [`Sample::id_of`] for the bytes of the inputs, in order, and of the output.
    pub fn id_of_bytes<'a>(
        task: &str,
        images: impl Iterator<Item = &'a [u8]>,
        text: &str,
    ) -> SampleId {
        let hash = Hasher::new("sample").str(task).str(text);
        SampleId::from_hash(images.fold(hash, Hasher::bytes).finish())
    }
}
