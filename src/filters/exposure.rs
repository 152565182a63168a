//! How much of a scene is clipped to black or white.

use super::{Cost, Filter, FilterContext, FilterDef, median};
use crate::core::{ItemError, Range, Scene, Score};
use crate::vision::exposure;

/// Registration.
pub(super) const DEF: FilterDef<Scene> = FilterDef {
    name: "exposure",
    unit: "share of pixels",
    about: "median over the sampled frames of the share of pixels clipped to black or white",
    default: Range::at_most(0.4),
    cost: Cost::Pixels,
    build: |_| Ok(Box::new(ExposureClip)),
};

struct ExposureClip;

impl Filter<Scene> for ExposureClip {
    fn measure(&mut self, scene: &Scene, _: &mut FilterContext) -> Result<Score, ItemError> {
        let mut values = Vec::with_capacity(scene.samples.frames.len());
        for frame in &scene.samples.frames {
            values.push({
                let measured = exposure(&frame.image);
                measured.dark_ratio + measured.bright_ratio
            });
        }
        Ok(median(values))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{SceneMaker, picture};
    use super::*;
    use crate::core::Rgb8;

    #[test]
    fn the_median_frame_decides() {
        let bad = Rgb8::from_fn(320, 180, |_, _| [0; 3]);
        let score = |frames| {
            let scene = SceneMaker::new(frames).scene();
            ExposureClip
                .measure(&scene, &mut FilterContext::default())
                .unwrap()
        };
        assert!(
            DEF.default
                .keeps(score(vec![picture(0), bad.clone(), picture(9)]))
        );
        assert!(
            !DEF.default
                .keeps(score(vec![bad.clone(), bad.clone(), picture(0)]))
        );
    }
}
