//! How long a scene is.

use super::{Cost, Filter, FilterContext, FilterDef};
use crate::core::{ItemError, Range, Scene, Score};

/// Registration.
pub(super) const DEF: FilterDef<Scene> = FilterDef {
    name: "duration",
    unit: "seconds",
    about: "length of the scene; a short one has no room for two moments",
    default: Range::at_least(1.5),
    cost: Cost::Stat,
    build: |_| Ok(Box::new(Duration)),
};

struct Duration;

impl Filter<Scene> for Duration {
    fn measure(&mut self, scene: &Scene, _: &mut FilterContext) -> Result<Score, ItemError> {
        Ok(scene.duration_secs() as Score)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{SceneMaker, picture};
    use super::*;

    #[test]
    fn scenes_of_ordinary_length_are_kept() {
        for (secs, kept) in [(1.0, false), (10.0, true), (200.0, true)] {
            let scene = SceneMaker::new(vec![picture(0)]).secs(secs).scene();
            let score = Duration
                .measure(&scene, &mut FilterContext::default())
                .unwrap();
            assert!((score - secs as Score).abs() < 0.01);
            assert_eq!(DEF.default.keeps(score), kept, "{secs}");
        }
    }
}
