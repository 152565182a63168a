//! The loop of the thread that owns the sink, while workers run in theirs.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, never, select};

use super::desk::Desk;
use super::envelope::{Envelope, Report, RootEnd};
use super::source::Source;

/// How often a quiet run looks whether it was asked to stop.
const TICK: Duration = Duration::from_millis(100);

/// Feeds roots and empties the channels until nothing is in flight.
///
/// What waits here for the sink holds a share of its root's ticket, so a root cannot end before all
/// of its samples and reports were handed over.
pub(super) fn pump<R, T>(
    into: &Sender<Envelope<R>>,
    rows: &Receiver<Envelope<T>>,
    reported: &Receiver<Report>,
    ends: &Receiver<RootEnd>,
    source: &mut Source<'_, R>,
    desk: &mut Desk<'_, T>,
) {
    let (mut rows, mut reported) = (rows.clone(), reported.clone());
    let mut pending: Option<Envelope<R>> = None;
    loop {
        if pending.is_none() {
            pending = source.next(&mut |made| desk.report(made));
        }
        if pending.is_none() && source.in_flight == 0 && !source.is_open() {
            return;
        }
        let mut event = Event::None;
        if let Some(envelope) = pending.take() {
            select! {
                recv(rows) -> row => {
                    pending = Some(envelope);
                    event = Event::Row(row.ok());
                }
                recv(reported) -> made => {
                    pending = Some(envelope);
                    event = Event::Report(made.ok());
                }
                recv(ends) -> end => {
                    pending = Some(envelope);
                    event = Event::End(end.ok());
                }
                send(into, envelope) -> _ => count_queued(source),
                default(TICK) => pending = Some(envelope),
            }
        } else {
            select! {
                recv(rows) -> row => event = Event::Row(row.ok()),
                recv(reported) -> made => event = Event::Report(made.ok()),
                recv(ends) -> end => event = Event::End(end.ok()),
                default(TICK) => {}
            }
        }
        match event {
            Event::Row(Some(envelope)) => desk.sample(envelope),
            Event::Row(None) => rows = never(),
            Event::Report(Some(made)) => desk.report(made),
            Event::Report(None) => reported = never(),
            Event::End(Some(end)) => {
                source.in_flight -= 1;
                desk.end(end);
            }
            Event::End(None) | Event::None => {}
        }
    }
}

/// What the pump found.
enum Event<T> {
    Row(Option<Envelope<T>>),
    Report(Option<Report>),
    End(Option<RootEnd>),
    None,
}

fn count_queued<R>(source: &Source<'_, R>) {
    if let Some(meter) = source.crew.monitor.meters().first() {
        meter.queued.fetch_add(1, Ordering::Relaxed);
    }
}
