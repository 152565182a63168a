//! How large the frames are.

use super::{Cost, Filter, FilterContext, FilterDef};
use crate::core::{ItemError, Range, Scene, Score};

/// Registration.
pub(super) const DEF: FilterDef<Scene> = FilterDef {
    name: "resolution",
    unit: "pixels",
    about: "shorter side of the display frame, black bars left out",
    default: Range::at_least(256.0),
    cost: Cost::Stat,
    build: |_| Ok(Box::new(Resolution)),
};

struct Resolution;

impl Filter<Scene> for Resolution {
    fn measure(&mut self, scene: &Scene, _: &mut FilterContext) -> Result<Score, ItemError> {
        let info = &scene.video.info;
        Ok(info.width.min(info.height) as Score)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{SceneMaker, picture};
    use super::*;

    #[test]
    fn small_frames_are_dropped_whatever_side_is_short() {
        for (size, kept) in [
            ((320, 240), false),
            ((256, 640), true),
            ((1920, 1080), true),
        ] {
            let scene = SceneMaker::new(vec![picture(0)])
                .size(size.0, size.1)
                .scene();
            let score = Resolution
                .measure(&scene, &mut FilterContext::default())
                .unwrap();
            assert_eq!(DEF.default.keeps(score), kept, "{size:?}");
        }
    }
}
