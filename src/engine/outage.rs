//! Notices that a service which stages ask does not answer any more, before its failures use up the
//! manifest: the roots concerned are held back until it is known whose fault it was.

use std::collections::{BTreeMap, BTreeSet};

use super::station::Crew;
use crate::core::{FatalError, ItemError};

/// Failures in a row, with nothing answered between them, after which a service is given up.
const MAX_ITEMS: u64 = 10;
/// Roots that they must be of: one odd video is not an outage.
const MIN_ROOTS: usize = 3;

/// What one stage has got from its service lately.
struct Streak {
    stage: String,
    service: String,
    /// Answers so far.
    answers: u64,
    /// Failures since the last answer, and their roots.
    failures: u64,
    rows: BTreeSet<u32>,
    /// Whether one of them may pass; others, such as garbage, are the video's fault until there are
    /// many.
    may_pass: bool,
    last: String,
}

/// All stages that ask a service.
pub(super) struct Outage {
    streaks: BTreeMap<usize, Streak>,
}

impl Outage {
    /// Stages, and the name of the service that each asks.
    pub(super) fn new(stages: &[String], services: &BTreeMap<String, String>) -> Self {
        let streaks = stages.iter().enumerate().filter_map(|(number, stage)| {
            let streak = Streak {
                stage: stage.clone(),
                service: services.get(stage)?.clone(),
                answers: 0,
                failures: 0,
                rows: BTreeSet::new(),
                may_pass: true,
                last: String::new(),
            };
            Some((number, streak))
        });
        Self {
            streaks: streaks.collect(),
        }
    }

    /// Notes a failure of a stage; an error if it was one too many.
    pub(super) fn failed(
        &mut self,
        stage: usize,
        row: u32,
        error: &ItemError,
        crew: &Crew,
    ) -> Option<FatalError> {
        self.look(crew);
        let streak = self.streaks.get_mut(&stage)?;
        streak.failures += 1;
        streak.rows.insert(row);
        streak.may_pass &= error.kind.is_retryable();
        streak.last.clone_from(&error.what);
        (streak.failures >= MAX_ITEMS && streak.rows.len() >= MIN_ROOTS).then(|| streak.error())
    }

    /// Ends the streaks of stages that got an answer.
    pub(super) fn look(&mut self, crew: &Crew) {
        for (stage, streak) in &mut self.streaks {
            let answers = crew.monitor.answers(*stage);
            if answers != streak.answers {
                streak.answers = answers;
                streak.failures = 0;
                streak.rows.clear();
                streak.may_pass = true;
            }
        }
    }

    /// Whether that root failed since the last answer.
    pub(super) fn concerns(&self, row: u32) -> bool {
        self.streaks
            .values()
            .any(|streak| streak.rows.contains(&row))
    }

    /// At the end: the error of a service that never answered, however few asked.
    pub(super) fn never_answered(&self) -> Option<FatalError> {
        let dead = |streak: &&Streak| streak.answers == 0 && streak.failures > 0 && streak.may_pass;
        self.streaks.values().find(dead).map(Streak::error)
    }
}

impl Streak {
    fn error(&self) -> FatalError {
        FatalError::Refused(format!(
            "{}: {} failures in a row without an answer of {}; the last: {}; see to the service, \
             then run the same command again: these videos are not counted as failed \
             (--set limits.max_failed_ratio=1.0 goes on anyway)",
            self.stage, self.failures, self.service, self.last
        ))
    }
}
