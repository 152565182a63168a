//! Hand-made scenes and pairs for filter tests.

use std::path::PathBuf;
use std::sync::Arc;

use crate::core::{
    BoxPx, FrameIndex, LocalFile, ManifestEntry, PairCandidate, Place, Pts, Rgb8, SampledFrame,
    Scene, SceneSamples, SceneStats, Scores, Span, TimeBase, Trace, Video, VideoId, VideoInfo,
};

const TICKS_PER_SEC: i32 = 1000;

/// A wall of random bricks, 320x180, seen `shift` px further right.
pub(super) fn picture(shift: u32) -> Rgb8 {
    seen(shift, 0.0, 1.0)
}

/// The wall, shifted, turned and zoomed about the centre.
pub(super) fn seen(shift: u32, turn_degrees: f32, zoom: f32) -> Rgb8 {
    let (sin, cos) = turn_degrees.to_radians().sin_cos();
    Rgb8::from_fn(320, 180, |x, y| {
        let (x, y) = ((x as f32 - 160.0) / zoom, (y as f32 - 90.0) / zoom);
        let (u, v) = (
            x * cos - y * sin + shift as f32 + 500.0,
            x * sin + y * cos + 500.0,
        );
        let base = noise(u / 17.0, v / 17.0, 1);
        [base, noise(u / 9.0, v / 9.0, 2), base / 2 + 30]
    })
}

fn noise(x: f32, y: f32, seed: u32) -> u8 {
    let mut n = (x as u32).wrapping_mul(0x9e37_79b1)
        ^ (y as u32).wrapping_mul(0x85eb_ca77)
        ^ seed.wrapping_mul(0xc2b2_ae3d);
    n = (n ^ (n >> 15)).wrapping_mul(0x2c1b_3c6d);
    n = (n ^ (n >> 12)).wrapping_mul(0x297a_2d39);
    30 + ((n >> 24) as u8) / 4 * 3
}

/// The picture with a white and black square of that side.
pub(super) fn with_square(image: &Rgb8, left: u32, top: u32, side: u32) -> Rgb8 {
    Rgb8::from_fn(image.width(), image.height(), |x, y| {
        let inside = (left..left + side).contains(&x) && (top..top + side).contains(&y);
        match (inside, (x / 8 + y / 8) % 2) {
            (false, _) => image.pixel(x, y),
            (true, 0) => [255, 255, 0],
            (true, _) => [0, 0, 160],
        }
    })
}

/// Makes a scene of the given sampled frames.
pub(super) struct SceneMaker {
    frames: Vec<Rgb8>,
    next: Option<Rgb8>,
    secs: f64,
    step_secs: f64,
    size: (u32, u32),
}

impl SceneMaker {
    pub(super) fn new(frames: Vec<Rgb8>) -> Self {
        Self {
            frames,
            next: None,
            secs: 5.0,
            step_secs: 1.0,
            size: (320, 180),
        }
    }
    pub(super) fn secs(mut self, secs: f64) -> Self {
        self.secs = secs;
        self
    }
    pub(super) fn step_secs(mut self, secs: f64) -> Self {
        self.step_secs = secs;
        self
    }
    pub(super) fn size(mut self, width: u32, height: u32) -> Self {
        self.size = (width, height);
        self
    }
    /// The frame 1/25 s after each sampled frame.
    pub(super) fn next(mut self, image: Rgb8) -> Self {
        self.next = Some(image);
        self
    }
    /// The first and the second frame as a pair.
    pub(super) fn pair(self) -> PairCandidate {
        PairCandidate {
            scene: Arc::new(self.scene()),
            from: 0,
            to: 1,
            scores: Scores::default(),
        }
    }
    pub(super) fn scene(self) -> Scene {
        let time_base = TimeBase::new(1, TICKS_PER_SEC);
        let id = VideoId::from_hash([7; 32]);
        let pts = Span::new(Pts(0), time_base.ticks(self.secs) as u64);
        let sampled = |(n, image): (usize, Rgb8)| {
            let at = time_base.ticks(self.step_secs * n as f64);
            SampledFrame {
                index: FrameIndex(n as u32 * 25),
                pts: Pts(at),
                small: image.clone(),
                image,
                next: self.next.clone().map(|next| (Pts(at + 40), next)),
            }
        };
        Scene {
            id: Scene::id_of(&id, pts),
            video: Arc::new(video(id, self.size, time_base)),
            index: 0,
            frames: Span::new(FrameIndex(0), (self.secs * 25.0) as u64),
            pts,
            cut_score: [None, None],
            stats: SceneStats::default(),
            samples: Arc::new(SceneSamples {
                frames: self.frames.into_iter().enumerate().map(sampled).collect(),
                permit: None,
            }),
            scores: Scores::default(),
            trace: Trace::None,
        }
    }
}

fn video(id: VideoId, (width, height): (u32, u32), time_base: TimeBase) -> Video {
    Video {
        id,
        entry: Arc::new(ManifestEntry {
            uri: "wall.mp4".to_owned(),
            place: Place::Remote,
            license: None,
            source: None,
        }),
        info: VideoInfo {
            stream_index: 0,
            container: "mov".to_owned(),
            codec: "h264".to_owned(),
            pixel_format: "yuv420p".to_owned(),
            coded_width: width,
            coded_height: height,
            crop_in_coded: BoxPx::default(),
            width,
            height,
            rotation_degrees: 0,
            sample_aspect: (1, 1),
            time_base,
            fps: 25.0,
            stated_duration_secs: 5.0,
            is_interlaced: false,
        },
        file: LocalFile::kept(PathBuf::from("wall.mp4")),
    }
}
