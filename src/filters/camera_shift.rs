//! How far the camera panned.

use super::{Cost, Filter, FilterContext, FilterDef, shared_viewpoint};
use crate::core::{ItemError, PairCandidate, Range, Score};

/// Registration; `docs/viewpoint-roc.md` says why the range is what it is.
pub(super) const DEF: FilterDef<PairCandidate> = FilterDef {
    name: "camera_shift",
    unit: "share of the diagonal",
    about: "shift of the frame centre by the camera between the frames",
    default: Range::at_most(0.01),
    cost: Cost::Pixels,
    build: |_| Ok(Box::new(Shift)),
};

struct Shift;

impl Filter<PairCandidate> for Shift {
    fn measure(
        &mut self,
        pair: &PairCandidate,
        context: &mut FilterContext,
    ) -> Result<Score, ItemError> {
        Ok(shared_viewpoint(pair, context)?.translation_ratio)
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
            Shift.measure(&pair, &mut FilterContext::default()).unwrap()
        };
        assert_eq!(score(with_square(&picture(0), 100, 60, 50)), 0.0);
        let shifted = score(picture(20));
        assert!((shifted - 20.0 / 367.2).abs() < 0.01, "{shifted}");
        assert!(!DEF.default.keeps(shifted));
    }
}
