//! Typed stages, bounded channels, tickets, ledger. Knows nothing about video, models or Parquet.

mod chain;
mod desk;
mod envelope;
mod fault;
mod in_flight;
mod ledger;
mod memo;
mod monitor;
mod outage;
mod pump;
mod runner;
mod source;
mod stage;
mod station;
mod stop;
mod strikes;
mod supervisor;
#[cfg(test)]
mod tests;
mod watchdog;

pub use chain::Chain;
pub use desk::Sink;
pub use envelope::{Root, RootRef};
pub use in_flight::{Busy, InFlight};
pub use ledger::{
    ChunkFiles, ChunkLine, LEDGER_VERSION, Ledger, LedgerLine, ReopenLine, RootLine, SamplesLine,
};
pub use memo::Memo;
pub use monitor::{Activity, Monitor, RootsReading, StageReading};
pub use runner::{Ended, RunOptions, RunSummary, Runner};
pub use stage::{ItemContext, Outbox, Outcome, Rejection, Signal, Stage, Worker};
pub use stop::{Stop, StopState, install_signals};
pub use strikes::{forgive, quarantined, suspects};
pub use supervisor::{Supervisor, exit_hung, exit_hung_alone, in_flight_path, obey_supervisor};
pub use watchdog::Watchdog;
