//! Typed stages, bounded channels, tickets, ledger. Knows nothing about video, models or Parquet.

mod chain;
mod desk;
mod envelope;
mod in_flight;
mod monitor;
mod runner;
mod stage;
mod station;
mod stop;

pub use chain::Chain;
pub use desk::Sink;
pub use envelope::{Root, RootRef};
pub use in_flight::{Busy, InFlight};
pub use monitor::{Activity, Monitor, RootsReading, StageReading};
pub use runner::{Ended, RunOptions, RunSummary, Runner};
pub use stage::{ItemContext, Outbox, Outcome, Rejection, Stage, Worker};
pub use stop::{Stop, StopState, install_signals};
