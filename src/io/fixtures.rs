//! Samples made up for tests.

use std::sync::Arc;

use super::columns::{PromptRef, RowColumns, RowContext, ScoreColumn};
use crate::core::{
    BoxPx, Change, EncodedImage, FrameIndex, Instruction, Judgement, LocalFile, ManifestEntry,
    ModelRef, Place, Pts, Rgb8, Sample, Scene, SceneSamples, SceneStats, Scores, Span, TimeBase,
    Trace, Video, VideoId, VideoInfo,
};

pub(super) fn columns() -> RowColumns {
    let scores = [
        ScoreColumn::new("motion", "ratio", "mean flow a frame over the diagonal"),
        ScoreColumn::new("sharpness", "ratio", "share of sharp blocks"),
    ];
    RowColumns::new(&scores, &["instruction_match"])
}

pub(super) fn context() -> RowContext {
    RowContext {
        pipeline: "edit_pairs".into(),
        pipeline_version: "0.1.0".into(),
        config_hash: "c0ffee".into(),
        models: vec![ModelRef {
            role: "embedder".into(),
            model: "dinov2_small@0123456789ab".into(),
        }],
        prompts: vec![PromptRef {
            stage: "instruct".into(),
            prompt: "edit_instruction_v1@0123456789ab".into(),
        }],
    }
}

pub(super) fn scene(name: &str) -> Arc<Scene> {
    let info = VideoInfo {
        stream_index: 0,
        container: "mp4".into(),
        codec: "h264".into(),
        pixel_format: "yuv420p".into(),
        coded_width: 640,
        coded_height: 360,
        crop_in_coded: BoxPx::default(),
        width: 640,
        height: 360,
        rotation_degrees: 0,
        sample_aspect: (1, 1),
        time_base: TimeBase::new(1, 1000),
        fps: 25.0,
        stated_duration_secs: 60.0,
        is_interlaced: false,
    };
    let video = Arc::new(Video {
        id: VideoId::from_hash(*blake3::hash(name.as_bytes()).as_bytes()),
        entry: Arc::new(ManifestEntry {
            uri: format!("videos/{name}.mp4"),
            place: Place::Remote,
            license: Some("CC BY 4.0".into()),
            source: None,
        }),
        info,
        file: LocalFile::kept("unused".into()),
    });
    let pts = Span::new(Pts(0), 60_000);
    Arc::new(Scene {
        id: Scene::id_of(&video.id, pts),
        video,
        index: 3,
        frames: Span::new(FrameIndex(0), 1500),
        pts,
        cut_score: [None, Some(0.9)],
        stats: SceneStats::default(),
        samples: Arc::new(SceneSamples {
            frames: vec![],
            permit: None,
        }),
        scores: Scores::default(),
        trace: Trace::None,
    })
}

pub(super) fn png(image: &Rgb8) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::RgbImage::from_raw(image.width(), image.height(), image.data().to_vec())
        .unwrap()
        .write_to(&mut bytes, image::ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

pub(super) fn encoded(image: &Rgb8, pts: i64) -> EncodedImage {
    EncodedImage {
        bytes: Arc::new(png(image)),
        extension: "png",
        pts: Some(Pts(pts)),
        width: image.width(),
        height: image.height(),
    }
}

/// A sample of two pictures; `hashes` far apart for different `number`s.
pub(super) fn sample_of(scene: &Arc<Scene>, from: &Rgb8, to: &Rgb8, number: u32) -> Sample {
    let pts = i64::from(number % 500) * 40;
    let inputs = vec![encoded(from, pts)];
    let output = encoded(to, pts + 1000);
    let text = format!("Move the cup to the left, take {number}.");
    let mut scores = Scores::default();
    scores.set("motion", 0.01 + number as f32 * 0.001);
    scores.set("sharpness", 1.0 - number as f32 * 0.01);
    let hash = |n: u32| {
        let bytes = *blake3::hash(&n.to_le_bytes()).as_bytes();
        u64::from_le_bytes(bytes[..8].try_into().unwrap())
    };
    Sample {
        id: Sample::id_of("edit", &inputs, &output, &text),
        task: "edit",
        scene: Arc::clone(scene),
        instruction: Instruction {
            text,
            writer: "template".into(),
            from_caption: Some("a cup".into()),
            to_caption: None,
            changes: vec![Change {
                kind: "moved".into(),
                from_box_px: Some(BoxPx::default()),
                to_box_px: None,
                numbers: [("shift_ratio".to_owned(), 0.25)].into(),
            }],
            prompt: None,
        },
        judgement: Some(Judgement {
            points: vec![("instruction_match".into(), 4.0)],
            reason: "it moved".into(),
            judge: "none".into(),
            prompt: None,
        }),
        inputs,
        output,
        scores,
        hashes: [hash(number), hash(number + 1_000_000)],
    }
}

/// A sample of two small made-up pictures.
pub(super) fn sample(scene: &Arc<Scene>, number: u32) -> Sample {
    let shade = (number * 37 % 256) as u8;
    let from = Rgb8::from_fn(32, 24, |x, y| [x as u8 * 8, y as u8 * 10, shade]);
    let to = Rgb8::from_fn(32, 24, |x, y| [y as u8 * 8, x as u8 * 8, shade]);
    sample_of(scene, &from, &to, number)
}
