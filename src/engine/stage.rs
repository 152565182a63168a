//! What a stage is: shared and immutable; its worker is `&mut` and lives in one thread.

use std::time::{Duration, Instant};

use crate::core::{FatalError, Fingerprint, ItemError, ItemPath, Score};

/// A step of a pipeline. One value is shared by all of its workers.
pub trait Stage: Send + Sync + 'static {
    /// What it takes.
    type In: Send + 'static;
    /// What it gives; none, one or many for each input.
    type Out: Send + 'static;
    /// The state of one thread: sessions, open files, buffers. Need not be `Send`.
    type Worker: Worker<In = Self::In, Out = Self::Out>;

    /// Its name in the funnel, the config and reject reasons; snake_case.
    fn name(&self) -> &'static str;
    /// How many threads run it.
    fn workers(&self) -> usize {
        1
    }
    /// What its output depends on besides its input: config, model digests, logic version.
    fn fingerprint(&self) -> Fingerprint;
    /// Makes one worker, inside its thread. A failure stops the run.
    fn open(&self) -> Result<Self::Worker, FatalError>;
}

/// One thread of a stage.
pub trait Worker {
    /// What it takes.
    type In;
    /// What it gives.
    type Out;

    /// Consumes one item. Each item must end in at least one `emit`, `reject` or `fail`, or in
    /// `Err`; ending in none is counted as a bug. An `Err` after some `emit`s keeps those and adds
    /// one failure. A panic is caught, counted as a bug, and the worker is opened anew.
    fn process(&mut self, item: Self::In, out: &mut Outbox<'_, Self::Out>)
    -> Result<(), ItemError>;
}

/// A verdict against an item: it did not meet a range.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejection {
    /// What was not met, without the stage: `motion`, `no_clear_edit`. The engine puts the stage's
    /// name in front.
    pub reason: String,
    /// The number that was out of range, if there is one.
    pub score: Option<Score>,
    /// What to keep about the item: its pts, all its scores.
    pub detail: serde_json::Value,
}

/// What became of something a worker was given.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome<T> {
    /// Goes on to the next stage.
    Emitted(T),
    /// Did not meet a range.
    Rejected(Rejection),
    /// Could not be processed.
    Failed(ItemError),
    /// Nothing became of anything yet.
    Signal(Signal),
}

/// What a worker says of the item that it is still busy with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// It gets on: its time starts anew.
    Progress,
    /// It waits for others from now on; that does not count against its time.
    WaitBegins,
    /// It goes on.
    WaitEnds,
}

/// Who the item being processed is and how long it may take.
#[derive(Clone, Debug)]
pub struct ItemContext {
    /// Where it descends from.
    pub path: ItemPath,
    /// When it must be done; workers give up with [`crate::core::ErrorKind::Timeout`] after that.
    pub deadline: Instant,
}

/// Where a worker puts results. Emitting hands the item on at once, so it may block when the next
/// stage is busy.
pub struct Outbox<'a, T> {
    context: ItemContext,
    deliver: &'a mut dyn FnMut(Outcome<T>),
    delivered: u32,
    limit: Duration,
}

impl<'a, T> Outbox<'a, T> {
    /// An outbox that gives every outcome to `deliver`, in order.
    pub fn new(context: &ItemContext, deliver: &'a mut dyn FnMut(Outcome<T>)) -> Self {
        Self {
            context: context.clone(),
            deliver,
            delivered: 0,
            limit: context.deadline.saturating_duration_since(Instant::now()),
        }
    }
    /// The item being processed. Time spent waiting in `emit` moves its deadline, so ask anew after
    /// each one.
    pub fn context(&self) -> &ItemContext {
        &self.context
    }
    /// Hands a child on to the next stage.
    pub fn emit(&mut self, item: T) {
        self.put(Outcome::Emitted(item));
    }
    /// Records that something did not meet a range.
    pub fn reject(&mut self, rejection: Rejection) {
        self.put(Outcome::Rejected(rejection));
    }
    /// Records that a part could not be processed while other parts go on.
    pub fn fail(&mut self, error: ItemError) {
        self.put(Outcome::Failed(error));
    }
    /// Says that the item gets on, so that its time starts anew: a long video is not a stuck one.
    pub fn progress(&mut self) {
        if let Some(deadline) = Instant::now().checked_add(self.limit) {
            self.context.deadline = deadline;
        }
        (self.deliver)(Outcome::Signal(Signal::Progress));
    }
    /// Runs something that waits for others, such as for bytes of a budget; the time does not count
    /// against the item.
    pub fn wait<R>(&mut self, wait: impl FnOnce() -> R) -> R {
        let start = Instant::now();
        (self.deliver)(Outcome::Signal(Signal::WaitBegins));
        let result = wait();
        (self.deliver)(Outcome::Signal(Signal::WaitEnds));
        self.move_deadline(start);
        result
    }
    /// How many outcomes there were so far.
    pub fn delivered(&self) -> u32 {
        self.delivered
    }

    fn put(&mut self, outcome: Outcome<T>) {
        self.delivered += 1;
        let start = Instant::now();
        (self.deliver)(outcome);
        // A busy next stage is not this item's fault.
        self.move_deadline(start);
    }

    fn move_deadline(&mut self, start: Instant) {
        if let Some(moved) = self.context.deadline.checked_add(start.elapsed()) {
            self.context.deadline = moved;
        }
    }
}
