//! Faults on purpose at the start of an item, for tests of the supervisor.
//!
//! Compiled in only with the feature `fault-injection`; without it the function here is empty.
//! `FRAMEWRIGHT_FAULT=split:segv:street.mp4` raises SIGSEGV when the stage `split` takes an item of
//! a root with `street.mp4` in its uri. What can happen: `segv`, `abrt`, `kill` (the signals),
//! `oom` (memory is asked for until there is none, as under `ulimit -v`), `hang` (for ever, whatever
//! the deadline), `late` (until the deadline is over), `wait` (until there is a file `go` in the
//! folder `FRAMEWRIGHT_FAULT_ONCE`) and `panic`.

use std::time::Instant;

use super::envelope::RootRef;

#[cfg(not(feature = "fault-injection"))]
pub(super) fn at_item(_: &str, _: &RootRef, _: Instant) {}

#[cfg(feature = "fault-injection")]
#[expect(clippy::panic, reason = "a panic is one of the faults")]
pub(super) fn at_item(stage: &str, root: &RootRef, deadline: Instant) {
    use std::time::Duration;

    use signal_hook::consts::{SIGABRT, SIGKILL, SIGSEGV};

    let Some(what) = crate::store::planned_fault(stage, &root.label, &[]) else {
        return;
    };
    tracing::info!("{}: {what} on purpose in {stage}", root.label);
    match what.as_str() {
        "segv" => die(SIGSEGV),
        "abrt" => die(SIGABRT),
        "kill" => die(SIGKILL),
        "oom" => exhaust_memory(),
        "hang" => loop {
            std::thread::sleep(Duration::from_hours(1));
        },
        "late" => {
            let left = deadline.saturating_duration_since(Instant::now());
            std::thread::sleep(left + Duration::from_millis(1));
        }
        "wait" => {
            let folder = std::env::var_os("FRAMEWRIGHT_FAULT_ONCE").unwrap_or_default();
            let go = std::path::Path::new(&folder).join("go");
            while !go.exists() {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        _ => panic!("on purpose"),
    }
}

/// The first SIGSEGV only takes away the handler that looks for stack overflows.
#[cfg(feature = "fault-injection")]
fn die(signal: i32) -> ! {
    loop {
        let _ = signal_hook::low_level::raise(signal);
    }
}

#[cfg(feature = "fault-injection")]
fn exhaust_memory() -> ! {
    let mut taken: Vec<Vec<u8>> = Vec::new();
    loop {
        // Not touched, so that only a limit of this process ends it and not the whole machine.
        taken.push(Vec::with_capacity(64 << 20));
        std::hint::black_box(&taken);
    }
}
