//! Plain counts: what each stage took in and what became of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Counts of one stage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageCounts {
    /// Items taken in.
    pub received: u64,
    /// Items consumed that produced at least one child.
    pub passed: u64,
    /// Children handed on.
    pub emitted: u64,
    /// Rejections by reason (`stage/reason`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rejected: BTreeMap<String, u64>,
    /// Failures by kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failed: BTreeMap<String, u64>,
}

impl StageCounts {
    /// Sum of all rejections.
    pub fn rejected_total(&self) -> u64 {
        sum(self.rejected.values().copied())
    }
    /// Sum of all failures.
    pub fn failed_total(&self) -> u64 {
        sum(self.failed.values().copied())
    }
}

/// Counts come from files too, and a damaged one may hold any number.
fn add(count: &mut u64, more: u64) {
    *count = count.saturating_add(more);
}

fn sum(counts: impl Iterator<Item = u64>) -> u64 {
    counts.fold(0, u64::saturating_add)
}

/// Counts by stage for one root; they add up to a [`Funnel`].
pub type RootCounts = Funnel;

/// Counts by stage, in the order of the chain.
///
/// Every item that enters a stage is consumed there: what a stage emits is what the next receives,
/// and `leaves = emitted by the last + all rejections + all failures`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Funnel {
    /// `(stage name, counts)` in chain order.
    pub stages: Vec<(String, StageCounts)>,
}

impl Funnel {
    /// The counts of a stage, made empty when it is new.
    pub fn stage_mut(&mut self, name: &str) -> &mut StageCounts {
        let at = self
            .stages
            .iter()
            .position(|(known, _)| known == name)
            .unwrap_or_else(|| {
                self.stages.push((name.to_owned(), StageCounts::default()));
                self.stages.len() - 1
            });
        &mut self.stages[at].1
    }

    /// The counts of a stage.
    pub fn stage(&self, name: &str) -> Option<&StageCounts> {
        self.stages
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, counts)| counts)
    }

    /// Adds another funnel of the same chain.
    pub fn merge(&mut self, other: &Self) {
        for (name, counts) in &other.stages {
            let mine = self.stage_mut(name);
            add(&mut mine.received, counts.received);
            add(&mut mine.passed, counts.passed);
            add(&mut mine.emitted, counts.emitted);
            for (reason, n) in &counts.rejected {
                add(mine.rejected.entry(reason.clone()).or_default(), *n);
            }
            for (kind, n) in &counts.failed {
                add(mine.failed.entry(kind.clone()).or_default(), *n);
            }
        }
    }

    /// Samples that left the last stage.
    pub fn emitted(&self) -> u64 {
        self.stages.last().map_or(0, |(_, counts)| counts.emitted)
    }
    /// Rejections of all stages.
    pub fn rejected(&self) -> u64 {
        sum(self
            .stages
            .iter()
            .map(|(_, counts)| counts.rejected_total()))
    }
    /// Failures of all stages.
    pub fn failed(&self) -> u64 {
        sum(self.stages.iter().map(|(_, counts)| counts.failed_total()))
    }

    /// Names the first stage that does not receive exactly what the one before it emitted.
    ///
    /// # Errors
    /// A sentence with stage and both numbers.
    pub fn check(&self) -> Result<(), String> {
        for pair in self.stages.windows(2) {
            let ((from, sent), (to, got)) = (&pair[0], &pair[1]);
            if sent.emitted != got.received {
                return Err(format!(
                    "stage {to} received {} items, but {from} emitted {}",
                    got.received, sent.emitted
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_item_is_named() {
        let mut funnel = Funnel::default();
        funnel.stage_mut("split").emitted = 3;
        funnel.stage_mut("screen").received = 2;
        assert_eq!(
            funnel.check().unwrap_err(),
            "stage screen received 2 items, but split emitted 3"
        );
    }

    #[test]
    fn merged_counts_add_up() {
        let mut a = Funnel::default();
        a.stage_mut("s").rejected.insert("s/x".into(), 2);
        let b = a.clone();
        a.merge(&b);
        assert_eq!(a.rejected(), 4);
    }
}
