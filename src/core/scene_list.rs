//! The scenes of one file, as `framewright scenes` prints them.

use serde::Serialize;

use super::damage::DamageSummary;
use super::item::VideoInfo;
use super::score::Score;
use super::time::{FrameIndex, Pts};

/// One scene; ends are exclusive, frames are in presentation order from 0.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SceneSpan {
    /// First frame.
    pub start_frame: u32,
    /// First frame after.
    pub end_frame: u32,
    /// Time of the first frame, in ticks.
    pub start_pts: i64,
    /// Time at which the last frame's display ends, in ticks.
    pub end_pts: i64,
    /// The same in seconds.
    pub start_secs: f64,
    /// The same in seconds.
    pub end_secs: f64,
    /// Score of the cut before it, in the detector's unit.
    pub start_score: Option<Score>,
    /// Score of the cut after it.
    pub end_score: Option<Score>,
}

/// A detector's score of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct FrameScore {
    /// Which frame.
    pub index: FrameIndex,
    /// Its time, in ticks.
    pub pts: Pts,
    /// In the detector's unit.
    pub score: Score,
}

/// The scenes of one file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SceneList {
    /// Frames that were decoded.
    pub frames: u64,
    /// Average frames per second, as the container states it.
    pub fps: f64,
    /// One tick as a fraction of a second, `[num, den]`.
    pub time_base: [i32; 2],
    /// Which detector.
    pub detector: &'static str,
    /// Where the detector cuts, in the unit of its scores; none where one number does not say it.
    pub threshold: Option<Score>,
    /// What was damaged, if anything.
    pub damage: Option<DamageSummary>,
    /// In order.
    pub scenes: Vec<SceneSpan>,
    /// One for each frame, in order; empty unless asked for.
    #[serde(skip)]
    pub scores: Vec<FrameScore>,
    /// What is known of the file.
    #[serde(skip)]
    pub info: VideoInfo,
}
