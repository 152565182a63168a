//! How far the camera turned.

use super::{Cost, Filter, FilterContext, FilterDef, shared_viewpoint};
use crate::core::{ItemError, PairCandidate, Range, Score};

/// Registration; `docs/viewpoint-roc.md` says why the range is what it is.
pub(super) const DEF: FilterDef<PairCandidate> = FilterDef {
    name: "camera_rotation",
    unit: "degrees",
    about: "turn of the camera about its line of sight between the frames",
    default: Range::at_most(0.5),
    cost: Cost::Pixels,
    build: |_| Ok(Box::new(Rotation)),
};

struct Rotation;

impl Filter<PairCandidate> for Rotation {
    fn measure(
        &mut self,
        pair: &PairCandidate,
        context: &mut FilterContext,
    ) -> Result<Score, ItemError> {
        Ok(shared_viewpoint(pair, context)?.rotation_degrees)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{SceneMaker, picture, seen, with_square};
    use super::*;

    #[test]
    fn a_changed_subject_is_kept_and_a_changed_view_is_not() {
        let score = |to| {
            let pair = SceneMaker::new(vec![picture(0), to]).pair();
            Rotation
                .measure(&pair, &mut FilterContext::default())
                .unwrap()
        };
        assert_eq!(score(with_square(&picture(0), 100, 60, 50)), 0.0);
        let turned = score(seen(0, 5.0, 1.0));
        assert!((turned - 5.0).abs() < 0.6, "{turned}");
        assert!(!DEF.default.keeps(turned));
    }
}
