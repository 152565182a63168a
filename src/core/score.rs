//! Measured numbers and the ranges that judge them. A filter measures; a range decides.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A measured number; its unit is stated by whoever measures it.
pub type Score = f32;

/// Keep what lies in `min..=max`; a side that is left out is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// Smallest score that is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Score>,
    /// Largest score that is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Score>,
}

impl Range {
    /// A range open on both sides.
    pub const OPEN: Self = Self {
        min: None,
        max: None,
    };

    /// `min..`
    pub const fn at_least(min: Score) -> Self {
        Self {
            min: Some(min),
            max: None,
        }
    }
    /// `..=max`
    pub const fn at_most(max: Score) -> Self {
        Self {
            min: None,
            max: Some(max),
        }
    }
    /// `min..=max`
    pub const fn within(min: Score, max: Score) -> Self {
        Self {
            min: Some(min),
            max: Some(max),
        }
    }
    /// Whether a score is kept. NaN is never kept.
    pub fn keeps(&self, score: Score) -> bool {
        !score.is_nan()
            && self.min.is_none_or(|min| score >= min)
            && self.max.is_none_or(|max| score <= max)
    }
}

/// Scores by filter name, sorted. An absent name means "not measured".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scores(BTreeMap<String, Score>);

impl Scores {
    /// Records a score; a later one of the same name replaces it.
    pub fn set(&mut self, name: &str, score: Score) {
        self.0.insert(name.to_owned(), score);
    }
    /// The score of that name.
    pub fn get(&self, name: &str) -> Option<Score> {
        self.0.get(name).copied()
    }
    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Score)> {
        self.0.iter().map(|(name, score)| (name.as_str(), *score))
    }
    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (name, score) in other.iter() {
            self.set(name, score);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_include_their_ends_and_never_nan() {
        let range = Range::within(0.5, 1.0);
        assert!(range.keeps(0.5) && range.keeps(1.0));
        assert!(!range.keeps(0.49) && !range.keeps(1.01) && !Range::OPEN.keeps(f32::NAN));
    }
}
