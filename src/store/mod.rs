//! Durable bytes: the only place that creates or renames files of a run.

mod fault;
mod local;
mod pending;

#[cfg(feature = "fault-injection")]
pub use fault::planned as planned_fault;
pub use local::{
    Appender, RunLock, create_dir, hash, list, lock_dir, move_file, publish, publish_bytes, read,
    remove, remove_temporaries,
};
pub use pending::{Existing, PendingFile};
