//! Whether two frames show the same place.

use super::{Cost, Filter, FilterContext, FilterDef, shared_viewpoint};
use crate::core::{ItemError, PairCandidate, Range, Score};

/// Registration; `docs/viewpoint-roc.md` says why the range is what it is.
pub(super) const DEF: FilterDef<PairCandidate> = FilterDef {
    name: "homography_inliers",
    unit: "share of matched features",
    about: "features that agree with one camera motion; low when the two frames show different things",
    default: Range::at_least(0.3),
    cost: Cost::Pixels,
    build: |_| Ok(Box::new(Inliers)),
};

struct Inliers;

impl Filter<PairCandidate> for Inliers {
    fn measure(
        &mut self,
        pair: &PairCandidate,
        context: &mut FilterContext,
    ) -> Result<Score, ItemError> {
        Ok(shared_viewpoint(pair, context)?.inlier_ratio)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{SceneMaker, picture, with_square};
    use super::*;

    #[test]
    fn a_changed_subject_is_kept_and_a_changed_view_is_not() {
        let score = |to| {
            let pair = SceneMaker::new(vec![picture(0), to]).pair();
            Inliers
                .measure(&pair, &mut FilterContext::default())
                .unwrap()
        };
        assert!(
            DEF.default
                .keeps(score(with_square(&picture(0), 100, 60, 50)))
        );
        assert!(
            !DEF.default.keeps(score(picture(5000))),
            "{}",
            score(picture(5000))
        );
    }
}
