//! One worker of a stage at work: takes an envelope, contains what goes wrong, counts what comes out.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::envelope::{Envelope, Report, Share, Verdict};
use super::fault;
use super::monitor::{Activity, Monitor, StageMeter, later};
use super::stage::{ItemContext, Outbox, Outcome, Signal, Stage, Worker};
use super::stop::{Stop, StopState};
use crate::core::{ErrorKind, FatalError, ItemError, ItemPath, contain};

/// What all threads of a run share.
pub(super) struct Crew {
    pub(super) monitor: Arc<Monitor>,
    pub(super) stop: Stop,
    /// Time for one item, by stage number.
    pub(super) limits: Vec<Duration>,
    is_failed: AtomicBool,
    error: Mutex<Option<FatalError>>,
}

impl Crew {
    pub(super) fn new(monitor: Arc<Monitor>, stop: Stop, limits: Vec<Duration>) -> Arc<Self> {
        Arc::new(Self {
            monitor,
            stop,
            limits,
            is_failed: AtomicBool::new(false),
            error: Mutex::new(None),
        })
    }
    /// Ends the run; the first error is the one reported.
    pub(super) fn fail(&self, error: FatalError) {
        let mut held = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        held.get_or_insert(error);
        self.is_failed.store(true, Ordering::SeqCst);
    }
    pub(super) fn take_error(&self) -> Option<FatalError> {
        self.error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
    /// Whether an error ends the run.
    pub(super) fn has_failed(&self) -> bool {
        self.is_failed.load(Ordering::SeqCst)
    }
    /// Whether items are to be dropped instead of processed.
    pub(super) fn is_aborting(&self) -> bool {
        self.has_failed() || self.stop.state() == StopState::Aborting
    }
}

/// One worker and its place in the chain.
pub(super) struct Station<S: Stage> {
    stage: Arc<S>,
    number: usize,
    slot: usize,
    crew: Arc<Crew>,
    worker: Option<S::Worker>,
}

impl<S: Stage> Station<S> {
    /// Opens the worker, in the calling thread.
    pub(super) fn open(
        stage: Arc<S>,
        number: usize,
        slot: usize,
        crew: Arc<Crew>,
    ) -> Result<Self, FatalError> {
        let worker = open_worker(&*stage)?;
        Ok(Self {
            stage,
            number,
            slot,
            crew,
            worker: Some(worker),
        })
    }

    fn meter(&self) -> Option<&StageMeter> {
        self.crew.monitor.meters().get(self.number)
    }

    fn bump(&self, which: impl Fn(&StageMeter) -> &std::sync::atomic::AtomicU64) {
        if let Some(meter) = self.meter() {
            which(meter).fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Processes one item. Children go to `next`, other ends to `report`.
    pub(super) fn handle(
        &mut self,
        envelope: Envelope<S::In>,
        next: &mut dyn FnMut(Envelope<S::Out>),
        report: &mut dyn FnMut(Report),
    ) {
        if self.crew.is_aborting() {
            return;
        }
        let Some(mut worker) = self.worker.take() else {
            return;
        };
        let Envelope { item, path, share } = envelope;
        let context = self.begin(&path, &share);
        let mut delivered = 0_u32;
        let mut emitted = 0_u64;
        let outcome = {
            let mut deliver = |outcome: Outcome<S::Out>| {
                if let Outcome::Signal(signal) = outcome {
                    self.signal(signal);
                    return;
                }
                let path = context.path.child(delivered);
                delivered += 1;
                emitted += u64::from(matches!(outcome, Outcome::Emitted(_)));
                self.deliver(outcome, path, &share, next, report);
            };
            let mut outbox = Outbox::new(&context, &mut deliver);
            catch(|| {
                let root = &share.ticket().root;
                fault::at_item(self.stage.name(), root, context.deadline);
                worker.process(item, &mut outbox)
            })
        };
        let (error, is_sound) = match outcome {
            Ok(Ok(())) if delivered == 0 => (Some(no_outcome()), true),
            Ok(Ok(())) => (None, true),
            Ok(Err(error)) => (Some(error), true),
            Err(message) => (Some(ItemError::new(ErrorKind::Bug, message)), false),
        };
        if let Some(error) = error {
            let path = context.path.child(delivered);
            self.deliver(Outcome::Failed(error), path, &share, next, report);
        }
        if emitted > 0 {
            share
                .ticket()
                .count(self.number, |counts| counts.passed += 1);
        }
        self.end();
        self.keep_or_reopen(worker, is_sound);
        share.finish();
    }

    fn begin(&self, path: &ItemPath, share: &Share) -> ItemContext {
        share
            .ticket()
            .count(self.number, |counts| counts.received += 1);
        self.bump(|meter| &meter.received);
        self.bump(|meter| &meter.busy);
        let since = Instant::now();
        let limit = self.crew.limits.get(self.number).copied();
        let deadline = later(since, limit.unwrap_or_default());
        self.crew.monitor.begin(Activity {
            slot: self.slot,
            stage: self.stage.name().to_owned(),
            root: Arc::clone(&share.ticket().root),
            path: path.clone(),
            since,
            deadline,
            waiting_since: None,
        });
        ItemContext {
            path: path.clone(),
            deadline,
        }
    }

    fn end(&self) {
        self.crew.monitor.end(self.slot);
        if let Some(meter) = self.meter() {
            meter.busy.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn signal(&self, signal: Signal) {
        let monitor = &self.crew.monitor;
        match signal {
            Signal::Progress => {
                let limit = self.crew.limits.get(self.number).copied();
                monitor.extend(self.slot, later(Instant::now(), limit.unwrap_or_default()));
            }
            Signal::WaitBegins => monitor.wait_begins(self.slot),
            Signal::WaitEnds => monitor.wait_ends(self.slot),
        }
    }

    fn deliver(
        &self,
        outcome: Outcome<S::Out>,
        path: ItemPath,
        share: &Share,
        next: &mut dyn FnMut(Envelope<S::Out>),
        report: &mut dyn FnMut(Report),
    ) {
        let verdict = match outcome {
            Outcome::Emitted(item) => {
                share
                    .ticket()
                    .count(self.number, |counts| counts.emitted += 1);
                self.bump(|meter| &meter.emitted);
                let share = share.split();
                let envelope = Envelope { item, path, share };
                self.crew.monitor.waiting(self.slot, || next(envelope));
                return;
            }
            Outcome::Rejected(mut rejection) => {
                rejection.reason = format!("{}/{}", self.stage.name(), rejection.reason);
                share.ticket().count(self.number, |counts| {
                    *counts.rejected.entry(rejection.reason.clone()).or_default() += 1;
                });
                self.bump(|meter| &meter.rejected);
                Verdict::Rejected(rejection)
            }
            Outcome::Failed(error) => {
                share.ticket().count(self.number, |counts| {
                    *counts
                        .failed
                        .entry(error.kind.name().to_owned())
                        .or_default() += 1;
                });
                self.bump(|meter| &meter.failed);
                Verdict::Failed(error)
            }
            Outcome::Signal(signal) => return self.signal(signal),
        };
        let made = Report {
            stage: self.number,
            path,
            verdict,
            share: share.split(),
        };
        self.crew.monitor.waiting(self.slot, || report(made));
    }

    fn keep_or_reopen(&mut self, worker: S::Worker, is_sound: bool) {
        if is_sound {
            self.worker = Some(worker);
            return;
        }
        // What panicked once may panic again while it is taken apart.
        let _ = catch(move || drop(worker));
        match open_worker(&*self.stage) {
            Ok(worker) => self.worker = Some(worker),
            Err(error) => self.crew.fail(error),
        }
    }
}

fn no_outcome() -> ItemError {
    ItemError::new(
        ErrorKind::Bug,
        "the stage neither emitted, rejected nor failed the item",
    )
}

fn open_worker<S: Stage>(stage: &S) -> Result<S::Worker, FatalError> {
    catch(|| stage.open()).unwrap_or_else(|message| {
        Err(FatalError::Refused(format!(
            "stage {} could not be opened: {message}",
            stage.name()
        )))
    })
}

/// Runs `work`; a panic becomes a message, which is logged.
fn catch<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    contain(work).inspect_err(|message| tracing::error!("{message}"))
}
