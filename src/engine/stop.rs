//! Stopping early: the first signal drains, the second aborts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::core::FatalError;

/// How far a run has been asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StopState {
    /// Not at all.
    Running,
    /// No new roots; those in flight are finished.
    Draining,
    /// Workers stop at their next item; roots in flight are not committed.
    Aborting,
}

/// A flag shared by everyone who may stop a run or has to heed it. It only ever goes up.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicU8>);

impl Stop {
    /// A flag that says [`StopState::Running`].
    pub fn new() -> Self {
        Self::default()
    }
    /// Asks for no new roots.
    pub fn drain(&self) {
        self.0.fetch_max(1, Ordering::SeqCst);
    }
    /// Asks to leave as soon as possible.
    pub fn abort(&self) {
        self.0.fetch_max(2, Ordering::SeqCst);
    }
    /// One step further: running, draining, aborting.
    pub fn escalate(&self) -> StopState {
        if self.state() == StopState::Running {
            self.drain();
        } else {
            self.abort();
        }
        self.state()
    }
    /// What was asked for so far.
    pub fn state(&self) -> StopState {
        match self.0.load(Ordering::SeqCst) {
            0 => StopState::Running,
            1 => StopState::Draining,
            _ => StopState::Aborting,
        }
    }
}

/// Lets signals move `stop`. SIGINT and SIGTERM: the first drains, the second aborts. SIGHUP drains
/// and never aborts, since a terminal that closes may send it more than once; under `nohup` it does
/// nothing.
///
/// # Errors
/// [`FatalError::Library`] if the handlers cannot be installed.
pub fn install_signals(stop: &Stop) -> Result<(), FatalError> {
    on_signals(stop, |stop, signal| {
        let before = stop.state();
        if signal == SIGHUP {
            stop.drain();
        } else {
            stop.escalate();
        }
        match stop.state() {
            now if now == before => {}
            StopState::Aborting => tracing::warn!("stopping now; work in flight is lost"),
            _ => tracing::warn!("finishing the videos in flight; interrupt again to stop at once"),
        }
    })
}

/// [`install_signals`] for a worker process: every signal only drains. A scheduler sends SIGTERM to
/// all processes of a job; it is the supervisor who counts them.
///
/// # Errors
/// [`FatalError::Library`] if the handlers cannot be installed.
pub(super) fn install_worker_signals(stop: &Stop) -> Result<(), FatalError> {
    on_signals(stop, |stop, _| stop.drain())
}

fn on_signals(stop: &Stop, act: impl Fn(&Stop, i32) + Send + 'static) -> Result<(), FatalError> {
    let library = |e: std::io::Error| FatalError::Library {
        what: format!("signal handlers cannot be installed: {e}"),
    };
    let hangup = (!is_hangup_ignored()).then_some(SIGHUP);
    let all = [SIGINT, SIGTERM].into_iter().chain(hangup);
    let mut signals = Signals::new(all).map_err(library)?;
    let stop = stop.clone();
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for signal in signals.forever() {
                act(&stop, signal);
            }
        })
        .map_err(library)?;
    Ok(())
}

/// Whether the process was started by `nohup` or the like; no where the system does not say.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask >> (SIGHUP - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_only_goes_up() {
        let stop = Stop::new();
        assert_eq!(stop.state(), StopState::Running);
        assert_eq!(stop.escalate(), StopState::Draining);
        assert_eq!(stop.escalate(), StopState::Aborting);
        stop.drain();
        assert_eq!(stop.state(), StopState::Aborting);
    }
}
