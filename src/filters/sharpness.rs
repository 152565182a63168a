//! How sharp a scene is.

use super::{Cost, Filter, FilterContext, FilterDef, median};
use crate::core::{ItemError, Range, Scene, Score};
use crate::vision::sharpness;

/// Registration.
pub(super) const DEF: FilterDef<Scene> = FilterDef {
    name: "sharpness",
    unit: "squared luma levels",
    about: "median over the sampled frames of the variance of the Laplacian at 256 px",
    default: Range::at_least(30.0),
    cost: Cost::Pixels,
    build: |_| Ok(Box::new(Sharpness)),
};

struct Sharpness;

impl Filter<Scene> for Sharpness {
    fn measure(&mut self, scene: &Scene, _: &mut FilterContext) -> Result<Score, ItemError> {
        let mut values = Vec::with_capacity(scene.samples.frames.len());
        for frame in &scene.samples.frames {
            values.push(sharpness(&frame.image)?);
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
            Sharpness
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
