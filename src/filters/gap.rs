//! How far apart in time two frames are.

use super::{Cost, Filter, FilterContext, FilterDef};
use crate::core::{ItemError, PairCandidate, Range, Score};

/// Registration.
pub(super) const DEF: FilterDef<PairCandidate> = FilterDef {
    name: "gap",
    unit: "seconds",
    about: "time between the two frames",
    default: Range::within(0.4, 12.0),
    cost: Cost::Stat,
    build: |_| Ok(Box::new(Gap)),
};

struct Gap;

impl Filter<PairCandidate> for Gap {
    fn measure(&mut self, pair: &PairCandidate, _: &mut FilterContext) -> Result<Score, ItemError> {
        Ok(pair.gap_secs() as Score)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{SceneMaker, picture};
    use super::*;

    #[test]
    fn neighbours_and_strangers_in_time_are_dropped() {
        for (secs, kept) in [(0.1, false), (2.0, true), (60.0, false)] {
            let frames = vec![picture(0), picture(0)];
            let pair = SceneMaker::new(frames).step_secs(secs).pair();
            let score = Gap.measure(&pair, &mut FilterContext::default()).unwrap();
            assert_eq!(DEF.default.keeps(score), kept, "{secs} {score}");
        }
    }
}
