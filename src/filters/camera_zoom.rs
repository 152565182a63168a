//! How far the camera zoomed.

use super::{Cost, Filter, FilterContext, FilterDef, shared_viewpoint};
use crate::core::{ItemError, PairCandidate, Range, Score};

/// Registration; `docs/viewpoint-roc.md` says why the range is what it is.
pub(super) const DEF: FilterDef<PairCandidate> = FilterDef {
    name: "camera_zoom",
    unit: "ratio",
    about: "change of scale between the frames: 0.1 is a factor of 1.1",
    default: Range::at_most(0.015),
    cost: Cost::Pixels,
    build: |_| Ok(Box::new(Zoom)),
};

struct Zoom;

impl Filter<PairCandidate> for Zoom {
    fn measure(
        &mut self,
        pair: &PairCandidate,
        context: &mut FilterContext,
    ) -> Result<Score, ItemError> {
        Ok(shared_viewpoint(pair, context)?.scale_change_ratio)
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
            Zoom.measure(&pair, &mut FilterContext::default()).unwrap()
        };
        assert_eq!(score(with_square(&picture(0), 100, 60, 50)), 0.0);
        let zoomed = score(seen(0, 0.0, 1.1));
        assert!((zoomed - 0.1).abs() < 0.03, "{zoomed}");
        assert!(!DEF.default.keeps(zoomed));
    }
}
