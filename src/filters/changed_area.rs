//! How much of the frame changed.

use super::{Cost, Filter, FilterContext, FilterDef, shared_sketch_difference};
use crate::core::{ItemError, PairCandidate, Range, Score};

/// Registration.
pub(super) const DEF: FilterDef<PairCandidate> = FilterDef {
    name: "changed_area",
    unit: "share of the frame",
    about: "cells of a 32x18 grid that changed beyond noise; too little is no edit, too much is another picture",
    default: Range::within(0.004, 0.45),
    cost: Cost::Pixels,
    build: |_| Ok(Box::new(ChangedArea)),
};

struct ChangedArea;

impl Filter<PairCandidate> for ChangedArea {
    fn measure(
        &mut self,
        pair: &PairCandidate,
        context: &mut FilterContext,
    ) -> Result<Score, ItemError> {
        Ok(shared_sketch_difference(pair, context)?.changed_ratio)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{SceneMaker, picture, with_square};
    use super::*;

    #[test]
    fn nothing_and_everything_are_dropped() {
        for (side, kept) in [(0, false), (60, true), (320, false)] {
            let frames = vec![picture(0), with_square(&picture(0), 0, 0, side)];
            let pair = SceneMaker::new(frames).pair();
            let score = ChangedArea
                .measure(&pair, &mut FilterContext::default())
                .unwrap();
            assert_eq!(DEF.default.keeps(score), kept, "{side} {score}");
        }
    }
}
