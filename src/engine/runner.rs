//! Runs a chain: with threads, or all in this one.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};

use super::chain::{Bench, Chain, Yard};
use super::desk::{Desk, Sink};
use super::envelope::{Report, RootEnd};
use super::monitor::Monitor;
use super::pump::pump;
use super::source::Source;
use super::station::Crew;
use super::stop::{Stop, StopState};
use crate::core::{ErrorKind, FatalError, Funnel};

/// Reports that may wait for the sink before workers do.
const REPORT_QUEUE: usize = 64;

/// How a chain is run; both give the same results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Runner {
    /// Each stage in its own threads.
    #[default]
    Threaded,
    /// Everything in the calling thread, one root after the other, depth first.
    Sequential,
}

/// Limits of a run.
///
/// There are no retries here: an item is moved into its worker, so only the worker can try again.
/// Whoever speaks to a remote service retries there.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Seconds a stage may take for one item.
    pub item_secs: u64,
    /// Other seconds for some stages, by name.
    pub stage_secs: BTreeMap<String, u64>,
    /// Roots between source and sink; left out: two per worker of the first stage and one per
    /// worker of all stages.
    pub max_roots_in_flight: Option<usize>,
    /// Share of the first 50 roots that may fail with the same kind; 1 switches the check off.
    pub max_failed_ratio: f64,
    /// Stages that ask a service, and its name: when it does not answer any more the run stops, and
    /// the roots that it failed are not committed. Not with a `max_failed_ratio` of 1.
    pub services: BTreeMap<String, String>,
    /// Who asks for an early end.
    pub stop: Stop,
    /// Roots that are failed without being processed, by key, such as those that kill the process.
    pub quarantined: BTreeMap<String, (ErrorKind, String)>,
    /// Keys of roots that run while no other does.
    pub alone: BTreeSet<String>,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            item_secs: 600,
            stage_secs: BTreeMap::new(),
            max_roots_in_flight: None,
            max_failed_ratio: 0.5,
            services: BTreeMap::new(),
            stop: Stop::new(),
            quarantined: BTreeMap::new(),
            alone: BTreeSet::new(),
        }
    }
}

/// Why a run ended, if it was not an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ended {
    /// All roots are done.
    #[default]
    Complete,
    /// Asked to drain: roots in flight were finished, the rest was not started.
    Drained,
    /// Asked to abort: roots in flight are lost.
    Aborted,
}

/// What a run did.
#[derive(Clone, Debug, Default)]
pub struct RunSummary {
    /// Counts of all roots that ended here.
    pub funnel: Funnel,
    /// Roots that ended, also failed ones.
    pub roots_done: u64,
    /// Among them: with failures and without a sample.
    pub roots_failed: u64,
    /// Roots that were given up in flight.
    pub roots_poisoned: u64,
    /// Why it ended.
    pub ended: Ended,
}

impl<R: Send + 'static, T: Send + 'static> Chain<'_, R, T> {
    /// Runs all roots through all stages and gives what leaves them to `sink`. Returns when all
    /// threads have ended. Without a root, no stage is opened.
    ///
    /// # Errors
    /// What a stage says that cannot open, what the sink says, or [`FatalError::Refused`] when
    /// counts do not add up or nearly all of the first roots fail in the same way.
    pub fn run(
        self,
        runner: Runner,
        options: &RunOptions,
        monitor: &Arc<Monitor>,
        sink: &mut dyn Sink<T>,
    ) -> Result<RunSummary, FatalError> {
        self.check_names()?;
        if !monitor.lay_out(self.plan.clone()) {
            return Err(FatalError::Refused(
                "this monitor has watched another run; make a new one".into(),
            ));
        }
        let limits = self.plan.iter().map(|(name, _)| {
            let secs = options.stage_secs.get(name).copied();
            Duration::from_secs(secs.unwrap_or(options.item_secs))
        });
        let crew = Crew::new(Arc::clone(monitor), options.stop.clone(), limits.collect());
        let stages = self.stage_names();
        let limit = roots_in_flight(options, &self.plan, runner);
        let (ended, ends) = bounded(limit);
        let mut source = Source {
            roots: self.roots.peekable(),
            options,
            stages: &stages,
            crew: Arc::clone(&crew),
            ended,
            in_flight: 0,
            limit,
            is_alone: false,
            is_exhausted: false,
        };
        let desk = Desk::new(sink, Arc::clone(&crew), stages.clone(), options);
        if source.roots.peek().is_none() {
            return finish(desk.summary, &source);
        }
        let summary = match runner {
            Runner::Threaded => {
                let mut desk = desk;
                run_threaded(self.links, &self.plan, &mut source, &ends, &mut desk)?;
                desk.close();
                desk.summary
            }
            Runner::Sequential => run_sequential(self.links, &mut source, &ends, desk)?,
        };
        finish(summary, &source)
    }
}

fn roots_in_flight(options: &RunOptions, plan: &[(String, usize)], runner: Runner) -> usize {
    if runner == Runner::Sequential {
        return 1;
    }
    let first = plan.first().map_or(1, |(_, workers)| *workers);
    let all: usize = plan.iter().map(|(_, workers)| workers).sum();
    options
        .max_roots_in_flight
        .unwrap_or(2 * first + all)
        .max(1)
}

fn finish<R>(mut summary: RunSummary, source: &Source<'_, R>) -> Result<RunSummary, FatalError> {
    if let Some(error) = source.crew.take_error() {
        return Err(error);
    }
    summary.ended = match source.options.stop.state() {
        _ if source.is_exhausted && summary.roots_poisoned == 0 => Ended::Complete,
        StopState::Aborting => Ended::Aborted,
        StopState::Draining => Ended::Drained,
        StopState::Running => Ended::Complete,
    };
    Ok(summary)
}

fn run_sequential<R: Send + 'static, T: Send + 'static>(
    links: Box<dyn super::chain::Links<R, T>>,
    source: &mut Source<'_, R>,
    ends: &Receiver<RootEnd>,
    desk: Desk<'_, T>,
) -> Result<RunSummary, FatalError> {
    let desk = RefCell::new(desk);
    let report = |made: Report| desk.borrow_mut().report(made);
    {
        let bench = Bench {
            crew: Arc::clone(&source.crew),
            report: &report,
        };
        let last = Box::new(|envelope| desk.borrow_mut().sample(envelope));
        let mut first = links.open(&bench, last)?;
        loop {
            let envelope = source.next(&mut |made| report(made));
            let is_over = envelope.is_none();
            if let Some(envelope) = envelope {
                first(envelope);
            }
            let mut ended = 0;
            for end in ends.try_iter() {
                source.in_flight -= 1;
                ended += 1;
                desk.borrow_mut().end(end);
            }
            if is_over && ended == 0 {
                break;
            }
        }
    }
    let mut desk = desk.into_inner();
    desk.close();
    Ok(desk.summary)
}

fn run_threaded<R: Send + 'static, T: Send + 'static>(
    links: Box<dyn super::chain::Links<R, T>>,
    plan: &[(String, usize)],
    source: &mut Source<'_, R>,
    ends: &Receiver<RootEnd>,
    desk: &mut Desk<'_, T>,
) -> Result<(), FatalError> {
    let workers: usize = plan.iter().map(|(_, workers)| workers).sum();
    let last_workers = plan.last().map_or(1, |(_, workers)| *workers);
    let (out, rows) = bounded(2 * last_workers);
    let (reports, reported) = bounded(REPORT_QUEUE);
    let (opened, openings) = bounded(workers);
    let mut yard = Yard {
        crew: Arc::clone(&source.crew),
        reports,
        opened,
        threads: Vec::new(),
    };
    let spawned = links.spawn(&mut yard, out);
    let Yard {
        threads,
        reports,
        opened,
        ..
    } = yard;
    drop((reports, opened));
    let result = spawned.and_then(|into| {
        await_openings(&openings)?;
        pump(&into, &rows, &reported, ends, source, desk);
        Ok(())
    });
    for thread in threads {
        if thread.join().is_err() {
            source.crew.fail(FatalError::Refused(
                "a worker thread died outside of an item; this is a bug".into(),
            ));
        }
    }
    result
}

/// Waits until every worker has opened; the error of the earliest stage wins.
fn await_openings(openings: &Receiver<(usize, Result<(), FatalError>)>) -> Result<(), FatalError> {
    let mut errors: Vec<(usize, FatalError)> = openings
        .iter()
        .filter_map(|(stage, result)| result.err().map(|error| (stage, error)))
        .collect();
    errors.sort_by_key(|(stage, _)| *stage);
    errors
        .into_iter()
        .next()
        .map_or(Ok(()), |(_, error)| Err(error))
}
