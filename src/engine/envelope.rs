//! Envelopes and tickets: a root is done when the last thing that descends from it is gone.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::Sender;

use super::stage::Rejection;
use crate::core::{Funnel, ItemError, ItemPath, RootCounts, StageCounts};

/// What enters a chain.
#[derive(Clone, Debug)]
pub struct Root<T> {
    /// Its row in the manifest.
    pub row: u32,
    /// Its identity across runs.
    pub key: String,
    /// Its uri, for messages.
    pub label: String,
    /// What the first stage gets.
    pub item: T,
}

/// Which root something descends from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RootRef {
    /// Its row in the manifest.
    pub row: u32,
    /// Its identity across runs.
    pub key: String,
    /// Its uri, for messages.
    pub label: String,
}

/// How a root ended.
pub(super) struct RootEnd {
    pub(super) root: Arc<RootRef>,
    pub(super) counts: RootCounts,
    pub(super) delivered: u64,
    pub(super) is_poisoned: bool,
}

/// Shared by everything that descends from one root; its drop reports the root's end.
pub(super) struct Ticket {
    pub(super) root: Arc<RootRef>,
    state: Mutex<State>,
    is_poisoned: AtomicBool,
    ended: Sender<RootEnd>,
}

struct State {
    counts: RootCounts,
    delivered: u64,
}

impl Ticket {
    pub(super) fn new(root: RootRef, stages: &[String], ended: Sender<RootEnd>) -> Arc<Self> {
        let stages = stages
            .iter()
            .map(|name| (name.clone(), StageCounts::default()))
            .collect();
        let state = State {
            counts: Funnel { stages },
            delivered: 0,
        };
        Arc::new(Self {
            root: Arc::new(root),
            state: Mutex::new(state),
            is_poisoned: AtomicBool::new(false),
            ended,
        })
    }

    /// Changes the counts of the stage with that number.
    pub(super) fn count(&self, stage: usize, change: impl FnOnce(&mut StageCounts)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, counts)) = state.counts.stages.get_mut(stage) {
            change(counts);
        }
    }

    /// Notes that the sink took a sample.
    pub(super) fn count_delivered(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.delivered += 1;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Never blocks: the channel has room for every root in flight. Nobody listens only when the
        // run has ended with an error.
        let _ = self.ended.try_send(RootEnd {
            root: Arc::clone(&self.root),
            counts: std::mem::take(&mut state.counts),
            delivered: state.delivered,
            is_poisoned: *self.is_poisoned.get_mut(),
        });
    }
}

/// A share of a ticket. Dropping it unfinished poisons the root.
pub(super) struct Share {
    ticket: Arc<Ticket>,
    is_finished: bool,
}

impl Share {
    pub(super) fn new(ticket: Arc<Ticket>) -> Self {
        Self {
            ticket,
            is_finished: false,
        }
    }
    /// Another share of the same ticket.
    pub(super) fn split(&self) -> Self {
        Self::new(Arc::clone(&self.ticket))
    }
    pub(super) fn ticket(&self) -> &Ticket {
        &self.ticket
    }
    pub(super) fn finish(mut self) {
        self.is_finished = true;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if !self.is_finished {
            self.ticket.is_poisoned.store(true, Ordering::SeqCst);
        }
    }
}

/// An item on its way.
pub(super) struct Envelope<T> {
    pub(super) item: T,
    pub(super) path: ItemPath,
    pub(super) share: Share,
}

/// Why a report was made.
pub(super) enum Verdict {
    Rejected(Rejection),
    Failed(ItemError),
}

/// An end that is not a sample, on its way to the sink.
pub(super) struct Report {
    pub(super) stage: usize,
    pub(super) path: ItemPath,
    pub(super) verdict: Verdict,
    pub(super) share: Share,
}
