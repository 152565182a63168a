//! How much moves in a scene.

use super::{Cost, Filter, FilterContext, FilterDef};
use crate::core::{ItemError, Range, Scene, Score};
use crate::vision::dis_flow;

/// Registration.
pub(super) const DEF: FilterDef<Scene> = FilterDef {
    name: "motion",
    unit: "share of the diagonal per second",
    about: "mean optical flow from sampled frames to the frame after; low: a still, high: a blur",
    default: Range::within(0.0005, 0.6),
    cost: Cost::Pixels,
    build: |_| Ok(Box::new(Motion)),
};

struct Motion;

impl Filter<Scene> for Motion {
    fn measure(&mut self, scene: &Scene, _: &mut FilterContext) -> Result<Score, ItemError> {
        let time_base = scene.video.info.time_base;
        let (mut sum, mut count) = (0.0, 0_u32);
        for frame in &scene.samples.frames {
            let Some((pts, next)) = &frame.next else {
                continue;
            };
            let secs = time_base.secs_of(pts.0 - frame.pts.0) as f32;
            if secs > 0.0 {
                let flow = dis_flow(&frame.small, next)?;
                sum += flow.mean_px / frame.small.diagonal_px() / secs;
                count += 1;
            }
        }
        Ok(sum / count.max(1) as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{SceneMaker, picture};
    use super::*;

    fn score(step_px: u32) -> Score {
        let scene = SceneMaker::new(vec![picture(0)])
            .next(picture(step_px))
            .scene();
        Motion
            .measure(&scene, &mut FilterContext::default())
            .unwrap()
    }

    #[test]
    fn stills_and_whip_pans_are_dropped() {
        assert!(!DEF.default.keeps(score(0)), "{}", score(0));
        assert!(DEF.default.keeps(score(2)), "{}", score(2));
        assert!(!DEF.default.keeps(score(12)), "{}", score(12));
        // 2 px of a 320 x 180 picture (diagonal 367 px) in 1/25 s
        assert!((score(2) - 2.0 / 367.2 * 25.0).abs() < 0.03, "{}", score(2));
    }
}
