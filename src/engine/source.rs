//! Feeds roots into a chain as there is room.

use std::iter::Peekable;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::Sender;

use super::envelope::{Envelope, Report, Root, RootEnd, RootRef, Share, Ticket, Verdict};
use super::runner::RunOptions;
use super::station::Crew;
use super::stop::StopState;
use crate::core::{ItemError, ItemPath};

/// Hands out roots as there is room.
pub(super) struct Source<'a, R> {
    pub(super) roots: Peekable<Box<dyn Iterator<Item = Root<R>> + 'a>>,
    pub(super) options: &'a RunOptions,
    pub(super) stages: &'a [String],
    pub(super) crew: Arc<Crew>,
    pub(super) ended: Sender<RootEnd>,
    pub(super) in_flight: usize,
    pub(super) limit: usize,
    pub(super) is_alone: bool,
    pub(super) is_exhausted: bool,
}

impl<R> Source<'_, R> {
    /// The next root, if there is room for it. A quarantined one is reported at once instead.
    pub(super) fn next(&mut self, report: &mut dyn FnMut(Report)) -> Option<Envelope<R>> {
        while self.has_room() {
            let Some(root) = self.roots.next() else {
                self.is_exhausted = true;
                return None;
            };
            self.in_flight += 1;
            self.is_alone = self.options.alone.contains(&root.key);
            self.crew.monitor.started.fetch_add(1, Ordering::Relaxed);
            let path = ItemPath::root(root.row);
            let found = self.options.quarantined.get(&root.key).cloned();
            let named = RootRef {
                row: root.row,
                key: root.key,
                label: root.label,
            };
            let share = Share::new(Ticket::new(named, self.stages, self.ended.clone()));
            let Some((kind, what)) = found else {
                let item = root.item;
                tracing::debug!("{}: begins", share.ticket().root.label);
                return Some(Envelope { item, path, share });
            };
            share.ticket().count(0, |counts| {
                counts.received += 1;
                *counts.failed.entry(kind.name().to_owned()).or_default() += 1;
            });
            report(Report {
                stage: 0,
                path: path.child(0),
                verdict: Verdict::Failed(ItemError::new(kind, what)),
                share,
            });
        }
        None
    }

    fn has_room(&mut self) -> bool {
        if self.in_flight >= self.limit || !self.is_open() {
            return false;
        }
        if self.in_flight == 0 {
            return true;
        }
        let alone = &self.options.alone;
        !self.is_alone
            && !self
                .roots
                .peek()
                .is_some_and(|root| alone.contains(&root.key))
    }

    /// Whether more roots may be fed at all.
    pub(super) fn is_open(&self) -> bool {
        let is_running = self.options.stop.state() == StopState::Running;
        !self.is_exhausted && is_running && !self.crew.is_aborting()
    }
}
