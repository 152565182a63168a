//! Whether anything changed at all.

use super::{Cost, Filter, FilterContext, FilterDef};
use crate::core::{ItemError, PairCandidate, Range, Score};
use crate::vision::{hamming, perceptual_hash};

/// Registration. Open by default: a small subject in a wide view moves no bit of the hash, and
/// `changed_area` already tells whether anything changed.
pub(super) const DEF: FilterDef<PairCandidate> = FilterDef {
    name: "near_identical",
    unit: "bits of 64",
    about: "perceptual hash distance of the two frames; a minimum drops pairs that look the same",
    default: Range::OPEN,
    cost: Cost::Pixels,
    build: |_| Ok(Box::new(NearIdentical)),
};

struct NearIdentical;

impl Filter<PairCandidate> for NearIdentical {
    fn measure(&mut self, pair: &PairCandidate, _: &mut FilterContext) -> Result<Score, ItemError> {
        let from = perceptual_hash(&pair.from_frame().image)?;
        let to = perceptual_hash(&pair.to_frame().image)?;
        Ok(hamming(from, to) as Score)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{SceneMaker, picture, with_square};
    use super::*;

    #[test]
    fn the_distance_grows_with_the_change() {
        let score = |to| {
            let pair = SceneMaker::new(vec![picture(0), to]).pair();
            NearIdentical
                .measure(&pair, &mut FilterContext::default())
                .unwrap()
        };
        let (same, small, large) = (
            score(picture(0)),
            score(with_square(&picture(0), 30, 60, 40)),
            score(with_square(&picture(0), 0, 0, 170)),
        );
        assert_eq!(same, 0.0);
        assert!(small <= large && large >= 8.0, "{small} {large}");
    }
}
