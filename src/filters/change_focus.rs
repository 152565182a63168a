//! Whether the change is one change.

use super::{Cost, Filter, FilterContext, FilterDef, shared_sketch_difference};
use crate::core::{ItemError, PairCandidate, Range, Score};

/// Registration. An object that moves leaves two regions, so half is one change too.
pub(super) const DEF: FilterDef<PairCandidate> = FilterDef {
    name: "change_focus",
    unit: "share of the changed area",
    about: "part of the changed area in its largest region; low when many things changed",
    default: Range::at_least(0.35),
    cost: Cost::Pixels,
    build: |_| Ok(Box::new(ChangeFocus)),
};

struct ChangeFocus;

impl Filter<PairCandidate> for ChangeFocus {
    fn measure(
        &mut self,
        pair: &PairCandidate,
        context: &mut FilterContext,
    ) -> Result<Score, ItemError> {
        Ok(shared_sketch_difference(pair, context)?.largest_component_ratio)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{SceneMaker, picture, with_square};
    use super::*;

    #[test]
    fn many_changes_are_dropped() {
        let score = |squares: &[(u32, u32)]| {
            let to = squares
                .iter()
                .fold(picture(0), |image, (x, y)| with_square(&image, *x, *y, 30));
            let pair = SceneMaker::new(vec![picture(0), to]).pair();
            ChangeFocus
                .measure(&pair, &mut FilterContext::default())
                .unwrap()
        };
        assert!(DEF.default.keeps(score(&[(50, 50)])));
        assert!(DEF.default.keeps(score(&[(50, 50), (200, 100)])));
        let four = score(&[(10, 10), (100, 120), (180, 20), (270, 120)]);
        assert!(!DEF.default.keeps(four), "{four}");
    }
}
