//! Whether the background is the same.

use super::{Cost, Filter, FilterContext, FilterDef, shared_viewpoint};
use crate::core::{ItemError, PairCandidate, Range, Score};

/// Registration; `docs/viewpoint-roc.md` says why the range is what it is.
pub(super) const DEF: FilterDef<PairCandidate> = FilterDef {
    name: "warp_residual",
    unit: "luma levels",
    about: "difference left on the background after the camera motion is undone, 0-255",
    default: Range::at_most(12.0),
    cost: Cost::Pixels,
    build: |_| Ok(Box::new(Residual)),
};

struct Residual;

impl Filter<PairCandidate> for Residual {
    fn measure(
        &mut self,
        pair: &PairCandidate,
        context: &mut FilterContext,
    ) -> Result<Score, ItemError> {
        Ok(shared_viewpoint(pair, context)?.residual_luma)
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
            Residual
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
