//! Chains of stages: what one gives is what the next takes, checked by the compiler.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::envelope::{Envelope, Report, Root};
use super::stage::Stage;
use super::station::{Crew, Station};
use crate::core::FatalError;

/// Items in front of a stage per worker: one being fetched while one is processed.
const QUEUE_PER_WORKER: usize = 2;

/// Stages in order, with the roots that enter the first: `Chain::source(roots).then(a).then(b)`.
pub struct Chain<'r, R, T> {
    pub(super) roots: Box<dyn Iterator<Item = Root<R>> + 'r>,
    pub(super) links: Box<dyn Links<R, T>>,
    /// Name and number of workers by stage.
    pub(super) plan: Vec<(String, usize)>,
}

impl<'r, First: Send + 'static> Chain<'r, First, First> {
    /// A chain without stages. Roots are taken from the iterator one by one, as there is room.
    pub fn source<I>(roots: I) -> Self
    where
        I: IntoIterator<Item = Root<First>>,
        I::IntoIter: 'r,
    {
        Self {
            roots: Box::new(roots.into_iter()),
            links: Box::new(NoStage),
            plan: Vec::new(),
        }
    }
}

impl<'r, R: Send + 'static, T: Send + 'static> Chain<'r, R, T> {
    /// The chain with one more stage.
    #[must_use]
    pub fn then<S: Stage<In = T>>(mut self, stage: S) -> Chain<'r, R, S::Out> {
        let number = self.plan.len();
        let first_slot = 1 + self.plan.iter().map(|(_, workers)| workers).sum::<usize>();
        let workers = stage.workers().max(1);
        self.plan.push((stage.name().to_owned(), workers));
        Chain {
            roots: self.roots,
            links: Box::new(Link {
                before: self.links,
                stage: Arc::new(stage),
                workers,
                number,
                first_slot,
            }),
            plan: self.plan,
        }
    }

    /// Names of the stages in order, as they stand in every funnel.
    pub fn stage_names(&self) -> Vec<String> {
        self.plan.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Two stages of one name could not be told apart in the funnel.
    pub(super) fn check_names(&self) -> Result<(), FatalError> {
        let mut seen = BTreeSet::new();
        match self.plan.iter().find(|(name, _)| !seen.insert(name)) {
            None => Ok(()),
            Some((name, _)) => Err(FatalError::Refused(format!(
                "two stages are called {name}; give each its own name"
            ))),
        }
    }
}

/// Takes envelopes of the next stage, or of the sink.
pub(super) type Next<'a, T> = Box<dyn FnMut(Envelope<T>) + 'a>;

/// Threads of a run while they are being started.
pub(super) struct Yard {
    pub(super) crew: Arc<Crew>,
    pub(super) reports: Sender<Report>,
    /// Each worker says here whether it opened.
    pub(super) opened: Sender<(usize, Result<(), FatalError>)>,
    pub(super) threads: Vec<JoinHandle<()>>,
}

/// Where stages that share one thread put rejections and failures.
pub(super) struct Bench<'a> {
    pub(super) crew: Arc<Crew>,
    pub(super) report: &'a dyn Fn(Report),
}

/// The stages of a chain, from `R` to `T`.
pub(super) trait Links<R, T> {
    /// Starts all workers; gives the way into the first stage.
    fn spawn(
        self: Box<Self>,
        yard: &mut Yard,
        out: Sender<Envelope<T>>,
    ) -> Result<Sender<Envelope<R>>, FatalError>;

    /// Opens one worker of each stage in this thread; gives the way into the first.
    fn open<'a>(
        self: Box<Self>,
        bench: &Bench<'a>,
        next: Next<'a, T>,
    ) -> Result<Next<'a, R>, FatalError>;
}

struct NoStage;

impl<R> Links<R, R> for NoStage {
    fn spawn(
        self: Box<Self>,
        _yard: &mut Yard,
        out: Sender<Envelope<R>>,
    ) -> Result<Sender<Envelope<R>>, FatalError> {
        Ok(out)
    }

    fn open<'a>(
        self: Box<Self>,
        _bench: &Bench<'a>,
        next: Next<'a, R>,
    ) -> Result<Next<'a, R>, FatalError> {
        Ok(next)
    }
}

struct Link<R, S: Stage> {
    before: Box<dyn Links<R, S::In>>,
    stage: Arc<S>,
    workers: usize,
    number: usize,
    first_slot: usize,
}

impl<R, S: Stage> Links<R, S::Out> for Link<R, S> {
    fn spawn(
        self: Box<Self>,
        yard: &mut Yard,
        out: Sender<Envelope<S::Out>>,
    ) -> Result<Sender<Envelope<R>>, FatalError> {
        let (into, items) = bounded(QUEUE_PER_WORKER * self.workers);
        for worker in 0..self.workers {
            let post = Post {
                stage: Arc::clone(&self.stage),
                number: self.number,
                slot: self.first_slot + worker,
                crew: Arc::clone(&yard.crew),
                items: items.clone(),
                out: out.clone(),
                reports: yard.reports.clone(),
            };
            let opened = yard.opened.clone();
            let thread = std::thread::Builder::new()
                .name(format!("{}-{worker}", self.stage.name()))
                .spawn(move || post.work(opened))
                .map_err(|e| FatalError::Library {
                    what: format!("a thread for stage {} cannot start: {e}", self.stage.name()),
                })?;
            yard.threads.push(thread);
        }
        self.before.spawn(yard, into)
    }

    fn open<'a>(
        self: Box<Self>,
        bench: &Bench<'a>,
        mut next: Next<'a, S::Out>,
    ) -> Result<Next<'a, R>, FatalError> {
        let crew = Arc::clone(&bench.crew);
        let report = bench.report;
        let mut station = Station::open(self.stage, self.number, self.first_slot, crew)?;
        let into = Box::new(move |envelope| {
            station.handle(envelope, &mut next, &mut |made| report(made));
        });
        self.before.open(bench, into)
    }
}

/// What one worker thread is given.
struct Post<S: Stage> {
    stage: Arc<S>,
    number: usize,
    slot: usize,
    crew: Arc<Crew>,
    items: Receiver<Envelope<S::In>>,
    out: Sender<Envelope<S::Out>>,
    reports: Sender<Report>,
}

impl<S: Stage> Post<S> {
    fn work(self, opened: Sender<(usize, Result<(), FatalError>)>) {
        let Self {
            stage,
            number,
            slot,
            crew,
            items,
            out,
            reports,
        } = self;
        let mut station = match Station::open(stage, number, slot, Arc::clone(&crew)) {
            Ok(station) => station,
            Err(error) => {
                let _ = opened.send((number, Err(error)));
                return;
            }
        };
        let _ = opened.send((number, Ok(())));
        // The run starts when no worker holds this any more.
        drop(opened);
        let meters = crew.monitor.meters();
        let mut next = |envelope| {
            let meter = meters.get(number + 1);
            if let Some(meter) = meter {
                meter.queued.fetch_add(1, Ordering::Relaxed);
            }
            // Nobody takes it only when the run has ended; the dropped envelope poisons its root.
            let _ = out.send(envelope);
        };
        let mut report = |made| {
            let _ = reports.send(made);
        };
        for envelope in items {
            if let Some(meter) = meters.get(number) {
                meter.queued.fetch_sub(1, Ordering::Relaxed);
            }
            station.handle(envelope, &mut next, &mut report);
        }
    }
}
