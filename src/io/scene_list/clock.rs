//! Where scenes lie on the clock of an editing program, which counts frames of one rate.
//!
//! An editing program calls a file's first frame 0, whatever its pts is. Of a file with a constant
//! rate it wants frame numbers. Of any other file it makes one with a constant rate, so there the
//! times count: seconds since the first frame, times the rate.

use crate::core::{SceneList, SceneSpan};

/// Rate of a file that states none and has no times to tell it from, frames per second.
const FALLBACK_FPS: f64 = 25.0;
/// How far a frame may be from its place in a constant rate, frames. Containers round times to
/// milliseconds, and some list a rate that is a little off.
const TOLERANCE_FRAMES: f64 = 0.5;
/// Rates this close are the same, frames per second.
const SAME_FPS: f64 = 0.005;

/// The clock of one file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Clock {
    /// Frames per second.
    pub(super) fps: f64,
    /// Whether frame numbers do not tell times.
    pub(super) is_variable: bool,
    first_secs: f64,
}

impl Clock {
    pub(super) fn of(list: &SceneList) -> Self {
        let fps = fps_of(list);
        let first_secs = list.scenes.first().map_or(0.0, |scene| {
            scene.start_secs - f64::from(scene.start_frame) / fps
        });
        let is_off = |frame: u32, secs: f64| {
            ((secs - first_secs) * fps - f64::from(frame)).abs() > TOLERANCE_FRAMES
        };
        let is_variable = list.scenes.iter().any(|scene| {
            is_off(scene.start_frame, scene.start_secs) || is_off(scene.end_frame, scene.end_secs)
        });
        Self {
            fps,
            is_variable,
            first_secs,
        }
    }

    /// Start and end of a scene in frames of that rate, counted from the file's first frame.
    pub(super) fn frames(&self, scene: &SceneSpan, fps: f64) -> [f64; 2] {
        if self.is_variable || (fps - self.fps).abs() > SAME_FPS {
            return [scene.start_secs, scene.end_secs]
                .map(|secs| ((secs - self.first_secs) * fps).max(0.0));
        }
        [f64::from(scene.start_frame), f64::from(scene.end_frame)]
    }

    /// Length of the whole file in frames of its own rate, as far as it is known.
    pub(super) fn file_frames(&self, list: &SceneList) -> f64 {
        if !self.is_variable {
            return list.frames as f64;
        }
        let ends = list
            .scenes
            .iter()
            .map(|scene| self.frames(scene, self.fps)[1]);
        ends.fold(list.info.stated_duration_secs * self.fps, f64::max)
    }
}

fn fps_of(list: &SceneList) -> f64 {
    if list.fps > 0.0 && list.fps.is_finite() {
        return list.fps;
    }
    let frames = list
        .scenes
        .iter()
        .map(|scene| scene.end_frame - scene.start_frame);
    let secs: f64 = list
        .scenes
        .iter()
        .map(|scene| scene.end_secs - scene.start_secs)
        .sum();
    let fps = f64::from(frames.sum::<u32>()) / secs;
    if fps > 0.0 && fps.is_finite() {
        fps
    } else {
        FALLBACK_FPS
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{listed, slowed};
    use super::*;

    #[test]
    fn a_constant_rate_gives_frame_numbers_and_other_rates_times() {
        let file = listed("a.mp4", (30000, 1001), 100, &[(0, 40), (40, 100)]);
        let clock = Clock::of(&file.list);
        assert!(!clock.is_variable);
        assert_eq!(clock.frames(&file.list.scenes[1], clock.fps), [40.0, 100.0]);
        let halved = clock.frames(&file.list.scenes[1], clock.fps / 2.0);
        assert!((halved[0] - 20.0).abs() < 1e-6, "{halved:?}");
        assert_eq!(clock.file_frames(&file.list), 100.0);
    }

    #[test]
    fn a_variable_rate_is_noticed_and_gives_times() {
        let file = slowed(listed("a.mp4", (25, 1), 100, &[(0, 40), (40, 100)]), 40);
        let clock = Clock::of(&file.list);
        assert!(clock.is_variable);
        assert_eq!(clock.frames(&file.list.scenes[1], 25.0), [40.0, 160.0]);
        assert_eq!(clock.file_frames(&file.list), 160.0);
    }

    #[test]
    fn a_file_that_starts_late_starts_at_zero() {
        let mut file = listed("a.mkv", (25, 1), 50, &[(0, 20), (20, 50)]);
        for scene in &mut file.list.scenes {
            scene.start_secs += 5.0;
            scene.end_secs += 5.0;
        }
        let clock = Clock::of(&file.list);
        assert!(!clock.is_variable);
        let frames = clock.frames(&file.list.scenes[0], 50.0).map(f64::round);
        assert_eq!(frames, [0.0, 40.0]);
    }

    #[test]
    fn a_missing_rate_is_told_from_the_times() {
        let mut file = listed("a.gif", (10, 1), 50, &[(0, 20), (20, 50)]);
        file.list.fps = 0.0;
        assert!((Clock::of(&file.list).fps - 10.0).abs() < 1e-9);
        file.list.scenes.clear();
        assert_eq!(Clock::of(&file.list).fps, FALLBACK_FPS);
    }
}
