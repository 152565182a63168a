//! Scores of kept and rejected items in bins.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{ReportFilter, ReportInput};
use crate::core::{FatalError, Range, Score};
use crate::io::{arrays, tables};

/// Bars of a histogram.
pub(super) const BINS: usize = 24;

/// Scores of one filter in bins of one width from `low` to `high`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// Filter name.
    pub name: String,
    /// Unit of the scores.
    pub unit: String,
    /// One line about the filter.
    pub about: String,
    /// What is kept.
    pub range: Range,
    /// Left end of the first bin.
    pub low: Score,
    /// Right end of the last bin.
    pub high: Score,
    /// Scores of samples in the shards, by bin.
    pub kept: Vec<u64>,
    /// Scores of rejected and failed items, by bin.
    pub rejected: Vec<u64>,
}

impl Histogram {
    fn new(filter: &ReportFilter) -> Self {
        Self {
            name: filter.name.clone(),
            unit: filter.unit.clone(),
            about: filter.about.clone(),
            range: filter.range,
            low: Score::INFINITY,
            high: Score::NEG_INFINITY,
            kept: vec![0; BINS],
            rejected: vec![0; BINS],
        }
    }

    fn widen(&mut self, score: Score) {
        self.low = self.low.min(score);
        self.high = self.high.max(score);
    }

    fn bin(&self, score: Score) -> usize {
        let share = (score - self.low) / (self.high - self.low);
        ((share * BINS as f32) as usize).min(BINS - 1)
    }
}

/// One histogram for each filter that measured anything: one pass for the ends, one for the bins.
pub(super) fn histograms(input: &ReportInput<'_>) -> Result<Vec<Histogram>, FatalError> {
    let mut all: Vec<Histogram> = input.filters.iter().map(Histogram::new).collect();
    let ranges: Vec<Range> = input.filters.iter().map(|filter| filter.range).collect();
    each_score(input.shards, &mut all, Histogram::widen)?;
    each_score(input.rejects, &mut all, Histogram::widen)?;
    let mut measured: Vec<Histogram> = Vec::new();
    for (mut histogram, range) in all.into_iter().zip(ranges) {
        if histogram.low > histogram.high {
            continue;
        }
        // A threshold that nothing reached still shows.
        for end in [range.min, range.max].into_iter().flatten() {
            histogram.widen(end);
        }
        if histogram.low == histogram.high {
            histogram.high += 1.0;
        }
        measured.push(histogram);
    }
    each_score(input.shards, &mut measured, |histogram, score| {
        let bin = histogram.bin(score);
        histogram.kept[bin] += 1;
    })?;
    each_score(input.rejects, &mut measured, |histogram, score| {
        let bin = histogram.bin(score);
        histogram.rejected[bin] += 1;
    })?;
    Ok(measured)
}

fn each_score(
    files: &[PathBuf],
    histograms: &mut [Histogram],
    mut each: impl FnMut(&mut Histogram, Score),
) -> Result<(), FatalError> {
    let mut scan = |path: &Path| {
        let wants = |name: &str| name.starts_with("score_");
        tables::scan(path, wants, |batch| {
            for histogram in &mut *histograms {
                let column = format!("score_{}", histogram.name);
                for row in 0..batch.num_rows() {
                    let score = arrays::get_f32(batch, &column, row);
                    if let Some(score) = score.filter(|score| score.is_finite()) {
                        each(histogram, score);
                    }
                }
            }
        })
    };
    files.iter().try_for_each(|path| scan(path))
}
