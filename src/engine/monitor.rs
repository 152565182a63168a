//! Counters and current work of a run, readable from any thread while it goes on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::envelope::RootRef;
use super::in_flight::{Busy, InFlight};
use crate::core::ItemPath;

/// Numbers of one stage at this moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StageReading {
    /// Its name.
    pub name: String,
    /// Items taken in.
    pub received: u64,
    /// Children handed on.
    pub emitted: u64,
    /// Items and parts rejected.
    pub rejected: u64,
    /// Items and parts failed.
    pub failed: u64,
    /// How many threads run it.
    pub workers: usize,
    /// How many of them have an item.
    pub busy: u64,
    /// Items waiting in front of it.
    pub queued: u64,
}

/// Numbers of roots at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RootsReading {
    /// All of the manifest, also those that are skipped.
    pub total: u64,
    /// Committed by an earlier run.
    pub skipped: u64,
    /// Fed into the chain.
    pub started: u64,
    /// Ended, whatever became of them.
    pub done: u64,
    /// Among those done: with failures and without a sample.
    pub failed: u64,
    /// Given up by an abort.
    pub poisoned: u64,
}

/// What one worker is doing.
#[derive(Clone, Debug)]
pub struct Activity {
    /// Which worker: numbered over all stages, 0 is the sink.
    pub slot: usize,
    /// The stage.
    pub stage: String,
    /// The root its item descends from.
    pub root: Arc<RootRef>,
    /// The item.
    pub path: ItemPath,
    /// When it took the item.
    pub since: Instant,
    /// When it must be done; moved by the time it waited for the next stage.
    pub deadline: Instant,
    /// Since when it has been waiting for the next stage to take a child, if it is.
    pub waiting_since: Option<Instant>,
}

#[derive(Debug, Default)]
pub(super) struct StageMeter {
    pub(super) name: String,
    pub(super) workers: usize,
    pub(super) received: AtomicU64,
    pub(super) emitted: AtomicU64,
    pub(super) rejected: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) busy: AtomicU64,
    pub(super) queued: AtomicU64,
}

#[derive(Debug)]
struct Layout {
    stages: Vec<StageMeter>,
    slots: Vec<Mutex<Option<Activity>>>,
}

/// Counters and current work of one run. Make one per run; reading never blocks a worker for long.
#[derive(Debug, Default)]
pub struct Monitor {
    layout: OnceLock<Layout>,
    in_flight: Option<InFlight>,
    total: u64,
    skipped: u64,
    pub(super) started: AtomicU64,
    pub(super) done: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) poisoned: AtomicU64,
}

impl Monitor {
    /// A monitor for a manifest of `total` roots, of which `skipped` were committed before.
    pub fn new(total: u64, skipped: u64) -> Arc<Self> {
        Arc::new(Self {
            total,
            skipped,
            ..Self::default()
        })
    }

    /// The same, with current work mirrored to a file for the supervisor.
    pub fn with_in_flight(total: u64, skipped: u64, in_flight: InFlight) -> Arc<Self> {
        Arc::new(Self {
            total,
            skipped,
            in_flight: Some(in_flight),
            ..Self::default()
        })
    }

    /// Numbers by stage in chain order; empty before the run starts.
    pub fn stages(&self) -> Vec<StageReading> {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        self.meters()
            .iter()
            .map(|meter| StageReading {
                name: meter.name.clone(),
                received: read(&meter.received),
                emitted: read(&meter.emitted),
                rejected: read(&meter.rejected),
                failed: read(&meter.failed),
                workers: meter.workers,
                busy: read(&meter.busy),
                // An item may be taken before it is counted in.
                queued: (read(&meter.queued) as i64).max(0) as u64,
            })
            .collect()
    }

    /// Numbers of roots.
    pub fn roots(&self) -> RootsReading {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RootsReading {
            total: self.total,
            skipped: self.skipped,
            started: read(&self.started),
            done: read(&self.done),
            failed: read(&self.failed),
            poisoned: read(&self.poisoned),
        }
    }

    /// What busy workers are doing.
    pub fn activities(&self) -> Vec<Activity> {
        let slots = self.layout.get().map_or(&[][..], |layout| &layout.slots);
        slots
            .iter()
            .filter_map(|slot| slot.lock().unwrap_or_else(PoisonError::into_inner).clone())
            .collect()
    }

    /// Marks an activity as hung in the file for the supervisor.
    pub fn mark_hung(&self, activity: &Activity) {
        if let Some(file) = &self.in_flight {
            let busy = Busy {
                is_hung: true,
                ..busy_of(activity)
            };
            file.set(activity.slot, Some(&busy));
        }
    }

    /// Sets the stages; false if a run has used this monitor before.
    pub(super) fn lay_out(&self, stages: Vec<(String, usize)>) -> bool {
        let slots = 1 + stages.iter().map(|(_, workers)| workers).sum::<usize>();
        let layout = Layout {
            stages: stages
                .into_iter()
                .map(|(name, workers)| StageMeter {
                    name,
                    workers,
                    ..StageMeter::default()
                })
                .collect(),
            slots: (0..slots).map(|_| Mutex::new(None)).collect(),
        };
        self.layout.set(layout).is_ok()
    }

    /// Items of a stage that came to something, for better or worse.
    pub(super) fn answers(&self, stage: usize) -> u64 {
        self.meters().get(stage).map_or(0, |meter| {
            meter.emitted.load(Ordering::Relaxed) + meter.rejected.load(Ordering::Relaxed)
        })
    }

    pub(super) fn meters(&self) -> &[StageMeter] {
        self.layout.get().map_or(&[], |layout| &layout.stages)
    }

    pub(super) fn begin(&self, activity: Activity) {
        if let Some(file) = &self.in_flight {
            file.set(activity.slot, Some(&busy_of(&activity)));
        }
        let slot = activity.slot;
        self.with_slot(slot, |held| *held = Some(activity));
    }

    pub(super) fn end(&self, slot: usize) {
        self.with_slot(slot, |held| *held = None);
        if let Some(file) = &self.in_flight {
            file.set(slot, None);
        }
    }

    /// Runs `wait` as time that does not count against the item's deadline.
    pub(super) fn waiting<R>(&self, slot: usize, wait: impl FnOnce() -> R) -> R {
        self.wait_begins(slot);
        let result = wait();
        self.wait_ends(slot);
        result
    }

    pub(super) fn wait_begins(&self, slot: usize) {
        self.with_slot(slot, |held| {
            if let Some(activity) = held {
                activity.waiting_since = Some(Instant::now());
            }
        });
    }

    pub(super) fn wait_ends(&self, slot: usize) {
        self.with_slot(slot, |held| {
            if let Some(activity) = held
                && let Some(since) = activity.waiting_since.take()
            {
                activity.deadline = later(activity.deadline, since.elapsed());
            }
        });
    }

    /// Gives the item in a slot time until `deadline`.
    pub(super) fn extend(&self, slot: usize, deadline: Instant) {
        self.with_slot(slot, |held| {
            if let Some(activity) = held {
                activity.deadline = deadline;
            }
        });
    }

    fn with_slot(&self, slot: usize, change: impl FnOnce(&mut Option<Activity>)) {
        if let Some(held) = self.layout.get().and_then(|layout| layout.slots.get(slot)) {
            change(&mut held.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

/// A time that much later, or ten years later where the clock cannot say it.
pub(super) fn later(from: Instant, by: Duration) -> Instant {
    let years = Duration::from_hours(24 * 3650);
    from.checked_add(by)
        .or_else(|| from.checked_add(years))
        .unwrap_or(from)
}

fn busy_of(activity: &Activity) -> Busy {
    Busy {
        root: activity.root.key.clone(),
        stage: activity.stage.clone(),
        path: activity.path.to_string(),
        label: activity.root.label.clone(),
        is_hung: false,
    }
}
