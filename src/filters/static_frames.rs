//! How much of a scene stands still.

use super::{Cost, Filter, FilterContext, FilterDef};
use crate::core::{ItemError, Range, Scene, Score};

/// Registration.
pub(super) const DEF: FilterDef<Scene> = FilterDef {
    name: "static_frames",
    unit: "share of frames",
    about: "share of frames that hardly differ from the one before: slides and freezes",
    default: Range::at_most(0.95),
    cost: Cost::Stat,
    build: |_| Ok(Box::new(StaticFrames)),
};

struct StaticFrames;

impl Filter<Scene> for StaticFrames {
    fn measure(&mut self, scene: &Scene, _: &mut FilterContext) -> Result<Score, ItemError> {
        Ok(scene.stats.still_ratio)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{SceneMaker, picture};
    use super::*;

    #[test]
    fn only_a_high_share_is_dropped() {
        for (share, kept) in [(0.0, true), (0.2, true), (0.99, false)] {
            let mut scene = SceneMaker::new(vec![picture(0)]).scene();
            scene.stats.still_ratio = share;
            let score = StaticFrames
                .measure(&scene, &mut FilterContext::default())
                .unwrap();
            assert_eq!(DEF.default.keeps(score), kept, "{share}");
        }
    }
}
