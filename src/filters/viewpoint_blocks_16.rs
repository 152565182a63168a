//! Viewpoint consistency by colour blocks, fine.

use super::{Cost, Filter, FilterContext, FilterDef, shared_viewpoint};
use crate::core::{ItemError, PairCandidate, Range, Score};

/// Registration; `docs/viewpoint-roc.md` says why the range is what it is.
pub(super) const DEF: FilterDef<PairCandidate> = FilterDef {
    name: "viewpoint_blocks_16",
    unit: "share of blocks",
    about: "blocks of a 16x16 grid whose colour histograms stayed alike",
    default: Range::at_least(0.6),
    cost: Cost::Pixels,
    build: |_| Ok(Box::new(Blocks16)),
};

struct Blocks16;

impl Filter<PairCandidate> for Blocks16 {
    fn measure(
        &mut self,
        pair: &PairCandidate,
        context: &mut FilterContext,
    ) -> Result<Score, ItemError> {
        Ok(shared_viewpoint(pair, context)?.block_match_ratio_16)
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
            Blocks16
                .measure(&pair, &mut FilterContext::default())
                .unwrap()
        };
        assert!(
            DEF.default
                .keeps(score(with_square(&picture(0), 100, 60, 50)))
        );
        assert!(
            !DEF.default
                .keeps(score(with_square(&picture(0), 0, 0, 320)))
        );
    }
}
