//! The sink's side of a run: hands over what arrives, ends roots, trips the circuit breaker.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::envelope::{Envelope, Report, RootEnd, RootRef, Verdict};
use super::monitor::Activity;
use super::outage::Outage;
use super::runner::{RunOptions, RunSummary};
use super::stage::Rejection;
use super::station::Crew;
use super::stop::StopState;
use crate::core::{FatalError, ItemError, ItemPath, RootCounts};

/// Roots that tell whether the setup works.
const BREAKER_ROOTS: u64 = 50;

/// Takes what leaves a chain. All calls come from the thread that called `run`, in no particular
/// order but this: everything of a root before its end. An error stops the run.
pub trait Sink<T> {
    /// An item left the last stage.
    fn sample(&mut self, root: &RootRef, path: &ItemPath, item: T) -> Result<(), FatalError>;
    /// Something did not meet a range; the reason is `stage/reason`.
    fn rejected(
        &mut self,
        root: &RootRef,
        path: &ItemPath,
        stage: &str,
        rejection: &Rejection,
    ) -> Result<(), FatalError>;
    /// Something could not be processed.
    fn failed(
        &mut self,
        root: &RootRef,
        path: &ItemPath,
        stage: &str,
        error: &ItemError,
    ) -> Result<(), FatalError>;
    /// Nothing that descends from the root is left; called once per root. The counts have all
    /// stages in chain order.
    fn root_done(&mut self, root: &RootRef, counts: RootCounts) -> Result<(), FatalError>;
    /// The run was aborted while the root was in flight: forget what came of it. Called instead of
    /// [`Sink::root_done`].
    fn root_poisoned(&mut self, root: &RootRef);
}

pub(super) struct Desk<'a, T> {
    sink: &'a mut dyn Sink<T>,
    crew: Arc<Crew>,
    stages: Vec<String>,
    breaker: Breaker,
    outage: Outage,
    /// Roots that failed at a service since its last answer.
    held: Vec<RootEnd>,
    pub(super) summary: RunSummary,
}

impl<'a, T> Desk<'a, T> {
    pub(super) fn new(
        sink: &'a mut dyn Sink<T>,
        crew: Arc<Crew>,
        stages: Vec<String>,
        options: &RunOptions,
    ) -> Self {
        let no_services = BTreeMap::new();
        let services = if options.max_failed_ratio < 1.0 {
            &options.services
        } else {
            &no_services
        };
        Self {
            sink,
            crew,
            outage: Outage::new(&stages, services),
            held: Vec::new(),
            stages,
            breaker: Breaker::new(options.max_failed_ratio),
            summary: RunSummary::default(),
        }
    }

    /// Hands a sample over; it is dropped, poisoning its root, when the run is being aborted.
    pub(super) fn sample(&mut self, envelope: Envelope<T>) {
        if self.crew.is_aborting() {
            return;
        }
        let Envelope { item, path, share } = envelope;
        let root = Arc::clone(&share.ticket().root);
        let result = self.busy(&root, &path, |sink| sink.sample(&root, &path, item));
        if self.keep(result) {
            share.ticket().count_delivered();
            share.finish();
        }
    }

    /// Hands a rejection or failure over.
    pub(super) fn report(&mut self, report: Report) {
        if self.crew.is_aborting() {
            return;
        }
        let root = &report.share.ticket().root;
        let stage = self.stages.get(report.stage).map_or("", String::as_str);
        let result = match &report.verdict {
            Verdict::Rejected(rejection) => {
                self.sink.rejected(root, &report.path, stage, rejection)
            }
            Verdict::Failed(error) => {
                self.breaker.note_example(root, stage, error);
                let outage = self
                    .outage
                    .failed(report.stage, root.row, error, &self.crew);
                if let Some(error) = outage {
                    self.crew.fail(error);
                }
                self.sink.failed(root, &report.path, stage, error)
            }
        };
        if self.keep(result) {
            report.share.finish();
        }
    }

    /// Ends a root, or holds it back while a service that failed it may be down.
    pub(super) fn end(&mut self, end: RootEnd) {
        self.outage.look(&self.crew);
        let (held, ready): (Vec<_>, Vec<_>) = std::mem::take(&mut self.held)
            .into_iter()
            .chain([end])
            .partition(|end| self.outage.concerns(end.root.row) && !end.is_poisoned);
        self.held = held;
        for end in ready {
            self.commit(end);
        }
    }

    /// Ends the roots that were held back. When the run is left early they are done again.
    pub(super) fn close(&mut self) {
        self.outage.look(&self.crew);
        if let Some(error) = self
            .outage
            .never_answered()
            .filter(|_| !self.held.is_empty())
        {
            self.crew.fail(error);
        }
        let is_stopped = self.crew.stop.state() != StopState::Running;
        for mut end in std::mem::take(&mut self.held) {
            end.is_poisoned |= is_stopped;
            self.commit(end);
        }
    }

    fn commit(&mut self, end: RootEnd) {
        let monitor = Arc::clone(&self.crew.monitor);
        // After an error nothing more is written: the disk may be full.
        if end.is_poisoned || self.crew.has_failed() {
            self.sink.root_poisoned(&end.root);
            self.summary.roots_poisoned += 1;
            monitor.poisoned.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if let Err(leak) = check(&end) {
            self.crew.fail(FatalError::Refused(format!(
                "{}: the counts do not add up: {leak}; this is a bug",
                end.root.label
            )));
            self.sink.root_poisoned(&end.root);
            return;
        }
        let is_failed = end.counts.failed() > 0 && end.counts.emitted() == 0;
        self.summary.funnel.merge(&end.counts);
        self.summary.roots_done += 1;
        self.summary.roots_failed += u64::from(is_failed);
        monitor.done.fetch_add(1, Ordering::Relaxed);
        monitor
            .failed
            .fetch_add(u64::from(is_failed), Ordering::Relaxed);
        if let Some(error) = self.breaker.judge(&end.counts, is_failed) {
            self.crew.fail(error);
        }
        let path = ItemPath::root(end.root.row);
        let RootEnd { root, counts, .. } = end;
        let result = self.busy(&root, &path, |sink| sink.root_done(&root, counts));
        self.keep(result);
    }

    fn busy<R>(
        &mut self,
        root: &Arc<RootRef>,
        path: &ItemPath,
        work: impl FnOnce(&mut dyn Sink<T>) -> R,
    ) -> R {
        let since = Instant::now();
        let limit = self.crew.limits.iter().max().copied().unwrap_or_default();
        self.crew.monitor.begin(Activity {
            slot: 0,
            stage: "sink".into(),
            root: Arc::clone(root),
            path: path.clone(),
            since,
            deadline: super::monitor::later(since, limit),
            // Writing a chunk's shard takes as long as it takes; it is no item that could hang.
            waiting_since: Some(since),
        });
        let result = work(self.sink);
        self.crew.monitor.end(0);
        result
    }

    fn keep(&self, result: Result<(), FatalError>) -> bool {
        result.map_err(|error| self.crew.fail(error)).is_ok()
    }
}

/// Whether everything that entered a stage is accounted for.
fn check(end: &RootEnd) -> Result<(), String> {
    end.counts.check()?;
    let Some((first, counts)) = end.counts.stages.first() else {
        return Ok(());
    };
    if counts.received != 1 {
        return Err(format!(
            "stage {first} received {} roots, not 1",
            counts.received
        ));
    }
    if end.counts.emitted() != end.delivered {
        let last = end.counts.stages.last().map_or("", |(name, _)| name);
        return Err(format!(
            "stage {last} emitted {} samples, but {} arrived",
            end.counts.emitted(),
            end.delivered
        ));
    }
    Ok(())
}

/// Stops a run whose first roots nearly all fail in the same way.
struct Breaker {
    max_failed: f64,
    seen: u64,
    failed: BTreeMap<String, u64>,
    examples: BTreeMap<String, String>,
}

impl Breaker {
    fn new(max_failed_ratio: f64) -> Self {
        Self {
            max_failed: max_failed_ratio * BREAKER_ROOTS as f64,
            seen: 0,
            failed: BTreeMap::new(),
            examples: BTreeMap::new(),
        }
    }

    fn note_example(&mut self, root: &RootRef, stage: &str, error: &ItemError) {
        if self.seen < BREAKER_ROOTS {
            self.examples
                .entry(error.kind.name().to_owned())
                .or_insert_with(|| format!("{}: {stage}: {}", root.label, error.what));
        }
    }

    fn judge(&mut self, counts: &RootCounts, is_failed: bool) -> Option<FatalError> {
        if self.seen >= BREAKER_ROOTS {
            return None;
        }
        self.seen += 1;
        if !is_failed {
            return None;
        }
        let kinds: std::collections::BTreeSet<&String> = counts
            .stages
            .iter()
            .flat_map(|(_, stage)| stage.failed.keys())
            .collect();
        for kind in kinds {
            let failed = self.failed.entry(kind.clone()).or_default();
            *failed += 1;
            if *failed as f64 > self.max_failed {
                let example = self.examples.get(kind).map_or("", String::as_str);
                return Some(FatalError::Refused(format!(
                    "{failed} of the first {} videos failed with {kind}: it is the setup, not the \
                     data; the first was {example}; raise limits.max_failed_ratio to go on anyway",
                    self.seen
                )));
            }
        }
        None
    }
}
