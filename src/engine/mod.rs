//! Typed stages, bounded channels, tickets, ledger. Knows nothing about video, models or Parquet.

mod stage;

pub use stage::{ItemContext, Outbox, Outcome, Rejection, Stage, Worker};
