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
use super::score::{Score, Scores};
use super::time::{FrameIndex, Pts, Span, TimeBase};
use super::web_address::WebAddress;

/// One input line of a manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ManifestEntry {
    /// Local path or `file://` as typed; `http(s)://` as [`WebAddress::shown`].
    pub uri: String,
    /// Licence of the footage, as the manifest states it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// Where the footage comes from, as the manifest states it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Where a local file is on this machine; not part of the identity. None for http(s).
    #[serde(skip)]
    pub local_path: Option<PathBuf>,
    /// What is asked for, with its secrets, of http(s) alone; not part of the identity.
    #[serde(skip)]
    pub address: Option<WebAddress>,
}

impl ManifestEntry {
    /// Identity of this input across runs and machines: uri, licence and source.
    pub fn key(&self) -> String {
        let hash = Hasher::new("manifest_entry").json(self).finish();
        super::id::Key::from_hash(hash).as_str().to_owned()
    }
}

/// A file on this machine; a downloaded one is deleted when nobody needs it any more.
#[derive(Debug)]
pub struct LocalFile {
    path: PathBuf,
    is_temporary: bool,
}

impl LocalFile {
    /// A file that stays.
    pub fn kept(path: PathBuf) -> Self {
        Self {
            path,
            is_temporary: false,
        }
    }
    /// A file that is deleted on drop.
    pub fn temporary(path: PathBuf) -> Self {
        Self {
            path,
            is_temporary: true,
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
}

impl Scene {
    /// Identity from video and span in pts.
    pub fn id_of(video: &VideoId, pts: Span<Pts>) -> SceneId {
        let hash = Hasher::new("scene")
            .str(video.as_str())
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
        let mut hash = Hasher::new("sample").str(task).str(text);
        for image in inputs.iter().chain([output]) {
            hash = hash.bytes(&image.bytes);
        }
        SampleId::from_hash(hash.finish())
    }
}
