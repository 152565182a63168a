//! Lists of scenes for tests.

use super::ListedFile;
use crate::core::{BoxPx, FrameIndex, FrameScore, Pts, SceneList, SceneSpan, TimeBase, VideoInfo};

/// A file of a constant rate (`num` frames in `den` seconds) with scenes of those frames.
pub(super) fn listed(
    file: &str,
    rate: (i32, i32),
    frames: u32,
    scenes: &[(u32, u32)],
) -> ListedFile {
    let base = TimeBase::new(rate.1, rate.0);
    let span = |(start, end): &(u32, u32)| SceneSpan {
        start_frame: *start,
        end_frame: *end,
        start_pts: i64::from(*start),
        end_pts: i64::from(*end),
        start_secs: base.secs_of(i64::from(*start)),
        end_secs: base.secs_of(i64::from(*end)),
        start_score: (*start > 0).then_some(0.75),
        end_score: (*end < frames).then_some(0.5),
    };
    let score = |frame| FrameScore {
        index: FrameIndex(frame),
        pts: Pts(i64::from(frame)),
        score: if scenes.iter().any(|(start, _)| *start == frame && frame > 0) {
            0.9
        } else {
            0.1
        },
    };
    let fps = f64::from(rate.0) / f64::from(rate.1);
    ListedFile {
        file: file.into(),
        list: SceneList {
            frames: u64::from(frames),
            fps,
            time_base: [base.num, base.den],
            detector: "content",
            threshold: Some(0.5),
            damage: None,
            scenes: scenes.iter().map(span).collect(),
            scores: (0..frames).map(score).collect(),
            info: VideoInfo {
                stream_index: 0,
                container: "mov,mp4".into(),
                codec: "h264".into(),
                pixel_format: "yuv420p".into(),
                coded_width: 64,
                coded_height: 36,
                crop_in_coded: BoxPx::default(),
                width: 64,
                height: 36,
                rotation_degrees: 0,
                sample_aspect: (1, 1),
                time_base: base,
                fps,
                stated_duration_secs: f64::from(frames) / fps,
                is_interlaced: false,
            },
        },
    }
}

/// The same file as if each frame were shown twice as long from frame `from` on.
pub(super) fn slowed(mut file: ListedFile, from: u32) -> ListedFile {
    let base = file.list.info.time_base;
    let late = |pts: i64| pts + (pts - i64::from(from)).max(0);
    for scene in &mut file.list.scenes {
        scene.start_pts = late(scene.start_pts);
        scene.end_pts = late(scene.end_pts);
        scene.start_secs = base.secs_of(scene.start_pts);
        scene.end_secs = base.secs_of(scene.end_pts);
    }
    for score in &mut file.list.scores {
        score.pts = Pts(late(score.pts.0));
    }
    file
}
