//! From the ends of items back to the counts of every stage.

use std::collections::BTreeSet;

use super::funnel::Funnel;
use super::id::ItemPath;

/// Steps behind the chain: they give a sample no further number.
const AFTER_CHAIN: [&str; 2] = ["write", "duplicate"];

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndKind<'a> {
    /// It is a row.
    Kept,
    /// It was rejected, for this `stage/reason`.
    Rejected(&'a str),
    /// It failed, in this way.
    Failed(&'a str),
}

/// Where an item ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End<'a> {
    /// The item.
    pub path: &'a ItemPath,
    /// The stage; of no account for a row.
    pub stage: &'a str,
    /// What became of it.
    pub kind: EndKind<'a>,
}

impl<'a> End<'a> {
    /// The end of an item that is a row.
    pub fn kept(path: &'a ItemPath) -> Self {
        let (stage, kind) = ("", EndKind::Kept);
        Self { path, stage, kind }
    }
}

impl Funnel {
    /// The counts of one manifest row from the ends of all its descendants. `stages` are those of
    /// the chain in order, then `write` and `duplicate`: an item that ended in the n-th stage of a
    /// chain has n + 1 numbers in its path.
    ///
    /// # Errors
    /// A sentence naming the end that fits no stage.
    pub fn of_ends(stages: &[&str], ends: &[End<'_>]) -> Result<Self, String> {
        let chain = stages
            .iter()
            .take_while(|stage| !AFTER_CHAIN.contains(stage))
            .count();
        let mut funnel = Self::default();
        for stage in stages {
            funnel.stage_mut(stage);
        }
        // Items taken in, items with a child that went on, and those children, by stage.
        let mut nodes = vec![[const { BTreeSet::new() }; 3]; chain];
        for end in ends {
            let numbers = end.path.numbers();
            let at = match end.kind {
                EndKind::Kept => stages.len(),
                _ => stages
                    .iter()
                    .position(|stage| *stage == end.stage)
                    .ok_or_else(|| format!("item {} ended in no stage", end.path))?,
            };
            if numbers.len() != at.min(chain.saturating_sub(1)) + 2 {
                return Err(format!(
                    "item {} has {} numbers, which does not fit its end in {}",
                    end.path,
                    numbers.len(),
                    if at < stages.len() {
                        end.stage
                    } else {
                        "a row"
                    }
                ));
            }
            for (stage, [received, passed, emitted]) in nodes.iter_mut().enumerate().take(at + 1) {
                received.insert(&numbers[..=stage]);
                if stage < at {
                    passed.insert(&numbers[..=stage]);
                    emitted.insert(&numbers[..stage + 2]);
                }
            }
            for (stage, name) in stages.iter().enumerate().skip(chain) {
                let counts = funnel.stage_mut(name);
                counts.received += u64::from(at >= stage);
                counts.passed += u64::from(at > stage);
                counts.emitted += u64::from(at > stage);
            }
            if let Some(name) = stages.get(at) {
                let counts = funnel.stage_mut(name);
                let (map, reason) = match end.kind {
                    EndKind::Rejected(reason) => (&mut counts.rejected, reason),
                    EndKind::Failed(reason) => (&mut counts.failed, reason),
                    EndKind::Kept => continue,
                };
                *map.entry(reason.to_owned()).or_default() += 1;
            }
        }
        for (name, [received, passed, emitted]) in stages.iter().zip(&nodes) {
            let counts = funnel.stage_mut(name);
            counts.received = received.len() as u64;
            counts.passed = passed.len() as u64;
            counts.emitted = emitted.len() as u64;
        }
        Ok(funnel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAGES: [&str; 4] = ["split", "screen", "write", "duplicate"];

    #[test]
    fn counts_follow_from_ends() {
        let paths = ["0_0_0", "0_1_0", "0_2_0", "0_3"].map(|text| ItemPath::parse(text).unwrap());
        let end = |path, stage, kind| End { path, stage, kind };
        let ends = [
            end(&paths[0], "", EndKind::Kept),
            end(&paths[1], "screen", EndKind::Rejected("screen/dark")),
            end(&paths[2], "duplicate", EndKind::Rejected("duplicate/x")),
            end(&paths[3], "split", EndKind::Failed("corrupt")),
        ];
        let funnel = Funnel::of_ends(&STAGES, &ends).unwrap();
        funnel.check().unwrap();
        let counts = |at: usize| {
            let (_, counts) = &funnel.stages[at];
            (counts.received, counts.passed, counts.emitted)
        };
        assert_eq!(
            [counts(0), counts(1), counts(2), counts(3)],
            [(1, 1, 3), (3, 2, 2), (2, 2, 2), (2, 1, 1)]
        );
        assert_eq!((funnel.rejected(), funnel.failed()), (2, 1));
    }

    #[test]
    fn an_end_at_the_wrong_depth_is_named() {
        let path = ItemPath::parse("0_0").unwrap();
        let kind = EndKind::Rejected("screen/dark");
        let (path, stage) = (&path, "screen");
        let error = Funnel::of_ends(&STAGES, &[End { path, stage, kind }]).unwrap_err();
        assert!(error.starts_with("item 0_0 has 2 numbers"), "{error}");
    }
}
