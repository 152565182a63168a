//! Survives the death of the process that does the work: restarts it and blames the right root.
//!
//! Native code can die on a damaged file. The worker process keeps [`super::InFlight`] up to date; when it
//! dies, every root a worker was busy with gets a strike in `<out>/strikes.jsonl`. Roots with one
//! strike run alone next time, so the second strike hits only the guilty one, and a root with two is
//! quarantined: failed without being processed.
//!
//! SIGKILL comes from outside. If the kernel has killed a process for want of memory since the worker
//! process started, it is a strike like others: too many videos at once strike all of them, and one
//! that needs too much memory alone does so again when it runs alone. Anything else that kills says
//! little about a video and weighs a tenth of a crash, so that no innocent one is lost, and a guilty
//! one does not hold up the run for ever.

use std::io::Write as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use signal_hook::consts::SIGKILL;

use super::monitor::Activity;
use super::stop::{Stop, StopState, install_worker_signals};
use super::strikes::{FULL_WEIGHT, KILL_WEIGHT, strike, strikes_path};
use crate::core::FatalError;
use crate::store;

/// Exit code of a worker process that gave up on a hanging item.
const EXIT_HANG: u8 = 75;
/// Exit code of a run that was interrupted.
const EXIT_INTERRUPTED: i32 = 130;
/// Deaths in a row without a root to blame after which the run is given up.
const MAX_BLAMELESS: u32 = 2;
/// How often the child and the stop flag are looked at.
const TICK: Duration = Duration::from_millis(50);
/// How long an aborting worker process may take before it is killed.
const ABORT_GRACE: Duration = Duration::from_secs(3);

/// Where the worker process of that supervisor says what it is busy with. Each supervisor has its
/// own file, as a second run that finds the folder in use must not touch that of the first.
pub fn in_flight_path(out: &Path, supervisor: u32) -> PathBuf {
    out.join("tmp").join(format!("in_flight-{supervisor}"))
}

/// Runs a worker process until it ends by itself.
#[derive(Debug)]
pub struct Supervisor<F> {
    /// The run's folder.
    pub out: PathBuf,
    /// Makes the command of the worker process. Its stdin is taken by the supervisor; the worker
    /// must call [`obey_supervisor`].
    pub command: F,
    /// Deaths after which the run is given up.
    pub max_restarts: u32,
    /// Who asks for an early end; each step is passed on to the worker process.
    pub stop: Stop,
}

impl<F: FnMut() -> Command> Supervisor<F> {
    /// Starts the worker process, again after each death by a signal or with [`EXIT_HANG`], and
    /// returns the exit code with which it ends otherwise; 130 if it dies after a stop was asked
    /// for.
    ///
    /// # Errors
    /// [`FatalError::Library`] if the process cannot start, [`FatalError::Refused`] if it dies too
    /// often or with nothing in flight, [`FatalError::Disk`] if a strike cannot be written.
    pub fn run(mut self) -> Result<i32, FatalError> {
        let mut deaths = 0;
        let mut blameless = 0;
        let in_flight = in_flight_path(&self.out, std::process::id());
        loop {
            // What an earlier process was busy with must not be blamed on this one.
            store::remove(&in_flight)?;
            let oom_kills = oom_kills();
            let status = self.run_once()?;
            let is_oom = oom_kills.is_none_or(|before| self::oom_kills() != Some(before));
            let Some(death) = Death::from_status(status, is_oom) else {
                return Ok(status.code().unwrap_or(EXIT_INTERRUPTED));
            };
            if self.stop.state() != StopState::Running {
                return Ok(EXIT_INTERRUPTED);
            }
            deaths += 1;
            let struck = strike(&self.out, &in_flight, &death.describe(), death.weight())?;
            blameless = if struck == 0 { blameless + 1 } else { 0 };
            let what = death.describe();
            if blameless >= MAX_BLAMELESS {
                return Err(FatalError::Refused(format!(
                    "the worker process {what} {blameless} times with no video in flight: it is \
                     the setup, not the data; run with --no-supervisor to see where"
                )));
            }
            if deaths > self.max_restarts {
                return Err(FatalError::Refused(format!(
                    "the worker process died {deaths} times, at last it {what}; {} names the \
                     videos",
                    strikes_path(&self.out).display()
                )));
            }
            tracing::warn!(
                "the worker process {what} with {struck} videos at work; restarting it{}",
                death.advice()
            );
        }
    }

    fn run_once(&mut self) -> Result<ExitStatus, FatalError> {
        let library = |e: std::io::Error| FatalError::Library {
            what: format!("the worker process cannot be started: {e}"),
        };
        // Its own process group: an interrupt typed at the terminal reaches it only through us.
        let mut child = (self.command)()
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(library)?;
        let mut line = Line {
            stdin: child.stdin.take(),
            sent: 0,
            aborting_since: None,
        };
        loop {
            if let Some(status) = child.try_wait().map_err(library)? {
                return Ok(status);
            }
            line.pass_on(self.stop.state(), &mut child);
            std::thread::sleep(TICK);
        }
    }
}

/// The way to the worker process: one byte per step of the stop flag.
struct Line {
    stdin: Option<ChildStdin>,
    sent: u8,
    aborting_since: Option<Instant>,
}

impl Line {
    fn pass_on(&mut self, state: StopState, child: &mut Child) {
        let wanted = match state {
            StopState::Running => 0,
            StopState::Draining => 1,
            StopState::Aborting => 2,
        };
        while self.sent < wanted {
            self.sent += 1;
            if let Some(stdin) = &mut self.stdin {
                // A process that does not listen any more is about to end.
                let _ = stdin.write_all(b"\n");
            }
        }
        if wanted == 2 {
            let since = *self.aborting_since.get_or_insert_with(Instant::now);
            if since.elapsed() > ABORT_GRACE {
                // It fails only if the process has ended.
                let _ = child.kill();
            }
        }
    }
}

/// Lets the supervisor stop this worker process: the first byte on stdin drains, the second aborts,
/// and the end of stdin (the supervisor is gone) drains. So do signals, and no number of them aborts.
///
/// # Errors
/// [`FatalError::Library`] if the thread or the handlers cannot start.
pub fn obey_supervisor(stop: &Stop) -> Result<(), FatalError> {
    install_worker_signals(stop)?;
    obey(std::io::stdin(), stop)
}

fn obey(mut line: impl std::io::Read + Send + 'static, stop: &Stop) -> Result<(), FatalError> {
    let stop = stop.clone();
    std::thread::Builder::new()
        .name("supervisor line".into())
        .spawn(move || {
            let mut byte = [0];
            let mut steps = 0;
            loop {
                match line.read(&mut byte) {
                    Ok(1) => steps += 1,
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    _ => break,
                }
                // A signal may have drained already; that is no step of the supervisor's.
                if steps > 1 {
                    stop.abort();
                } else if steps == 1 {
                    stop.drain();
                }
            }
            stop.drain();
        })
        .map_err(|e| FatalError::Library {
            what: format!("a thread for the supervisor's line cannot start: {e}"),
        })?;
    Ok(())
}

/// Ends this process at once with [`EXIT_HANG`]; for [`super::Watchdog::start`]. Nothing is cleaned
/// up: clean-up would wait for the thread that hangs.
pub fn exit_hung(_: &Activity) {
    signal_hook::low_level::exit(i32::from(EXIT_HANG));
}

/// [`exit_hung`] for a process without a supervisor, which nobody restarts.
pub fn exit_hung_alone(_: &Activity) {
    signal_hook::low_level::exit(1);
}

/// How many processes the kernel has killed for want of memory; none where it does not say.
fn oom_kills() -> Option<u64> {
    let counters = std::fs::read_to_string("/proc/vmstat").ok()?;
    let line = counters
        .lines()
        .find_map(|line| line.strip_prefix("oom_kill "));
    line?.trim().parse().ok()
}

/// How a worker process died.
#[derive(Debug, PartialEq)]
enum Death {
    Signal(i32),
    OutOfMemory,
    Killed,
    Hang,
}

impl Death {
    fn from_status(status: ExitStatus, is_oom: bool) -> Option<Self> {
        match (status.signal(), status.code()) {
            (Some(SIGKILL), _) if is_oom => Some(Self::OutOfMemory),
            (Some(SIGKILL), _) => Some(Self::Killed),
            (Some(signal), _) => Some(Self::Signal(signal)),
            (None, Some(code)) if code == i32::from(EXIT_HANG) => Some(Self::Hang),
            _ => None,
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Signal(signal) => {
                let name = signal_hook::low_level::signal_name(*signal).unwrap_or("a signal");
                format!("died with {name} ({signal})")
            }
            Self::OutOfMemory => format!("was killed for want of memory (SIGKILL, {SIGKILL})"),
            Self::Killed => format!("was killed from outside (SIGKILL, {SIGKILL})"),
            Self::Hang => "gave up on an item that hung".to_owned(),
        }
    }

    fn weight(&self) -> u32 {
        match self {
            Self::Killed => KILL_WEIGHT,
            _ => FULL_WEIGHT,
        }
    }

    fn advice(&self) -> &'static str {
        match self {
            Self::OutOfMemory => "; fewer --jobs or smaller limits.memory_bytes take less memory",
            _ => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::in_flight::{Busy, InFlight};
    use super::super::strikes::{quarantined, suspects};
    use super::*;
    use crate::core::ErrorKind;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.arg("-c").arg(script);
        command
    }

    fn busy(root: &str, is_hung: bool) -> Busy {
        Busy {
            root: root.into(),
            stage: "split".into(),
            path: "0_1".into(),
            label: "a.mp4".into(),
            is_hung,
        }
    }

    /// Acts as a worker process would: looks at strikes, says what it is busy with, then runs a
    /// script.
    fn supervise(
        out: &Path,
        mut script: impl FnMut(&InFlight, BTreeSet<String>, BTreeSet<String>) -> &'static str,
    ) -> Result<i32, FatalError> {
        let stop = Stop::new();
        let command = || {
            let file = InFlight::open(&in_flight_path(out, std::process::id())).unwrap();
            let lost = quarantined(out).unwrap().into_keys().collect();
            shell(script(&file, suspects(out).unwrap(), lost))
        };
        let supervisor = Supervisor {
            out: out.to_owned(),
            command,
            max_restarts: 5,
            stop,
        };
        supervisor.run()
    }

    #[test]
    fn the_guilty_root_is_quarantined_and_the_innocent_is_not() {
        let out = tempfile::tempdir().unwrap();
        let mut starts = 0;
        let code = supervise(out.path(), |file, alone, lost| {
            starts += 1;
            match starts {
                1 => {
                    file.set(1, Some(&busy("innocent", false)));
                    file.set(2, Some(&busy("guilty", false)));
                    "kill -SEGV $$"
                }
                2 => {
                    assert_eq!(alone.len(), 2);
                    file.set(1, Some(&busy("guilty", false)));
                    "kill -ABRT $$"
                }
                _ => {
                    assert_eq!(lost.into_iter().collect::<Vec<_>>(), ["guilty"]);
                    "exit 3"
                }
            }
        });
        assert_eq!((code.unwrap(), starts), (3, 3));
        let (kind, what) = quarantined(out.path()).unwrap().remove("guilty").unwrap();
        assert_eq!(kind, ErrorKind::Crash);
        assert!(
            what.contains("SIGABRT (6) in stage split at item 0_1"),
            "{what}"
        );
        assert!(suspects(out.path()).unwrap().contains("innocent"));
    }

    #[test]
    fn only_the_hung_root_is_blamed_for_a_hang() {
        let out = tempfile::tempdir().unwrap();
        let mut starts = 0;
        let code = supervise(out.path(), |file, _, _| {
            starts += 1;
            file.set(1, Some(&busy("busy", false)));
            file.set(2, Some(&busy("hung", true)));
            if starts <= 2 { "exit 75" } else { "exit 0" }
        });
        assert_eq!(code.unwrap(), 0);
        assert!(suspects(out.path()).unwrap().is_empty());
        assert_eq!(
            quarantined(out.path()).unwrap()["hung"].0,
            ErrorKind::Timeout
        );
    }

    #[test]
    fn a_process_that_dies_with_nothing_in_flight_is_not_restarted_for_ever() {
        let out = tempfile::tempdir().unwrap();
        let error = supervise(out.path(), |_, _, _| "kill -SEGV $$").unwrap_err();
        assert!(
            error.to_string().contains("SIGSEGV (11) 2 times"),
            "{error}"
        );
    }

    #[test]
    fn being_killed_from_outside_weighs_little_and_not_nothing() {
        let killed = ExitStatus::from_raw(SIGKILL);
        assert_eq!(Death::from_status(killed, false), Some(Death::Killed));
        assert_eq!(Death::from_status(killed, true), Some(Death::OutOfMemory));
        let out = tempfile::tempdir().unwrap();
        let in_flight = out.path().join("in_flight");
        let file = InFlight::open(&in_flight).unwrap();
        let strike_for = |death: &Death| {
            strike(out.path(), &in_flight, &death.describe(), death.weight()).unwrap();
        };
        file.set(1, Some(&busy("a", false)));
        let mut alone_after = 0;
        let mut lost_after = 0;
        for n in 1..=30 {
            strike_for(&Death::Killed);
            let is_lost = !quarantined(out.path()).unwrap().is_empty();
            let is_alone = !suspects(out.path()).unwrap().is_empty();
            if is_alone && alone_after == 0 {
                alone_after = n;
            }
            if is_lost && lost_after == 0 {
                lost_after = n;
            }
            assert!(!(is_lost && is_alone));
        }
        assert_eq!((alone_after, lost_after), (3, 20));
        let (_, what) = quarantined(out.path()).unwrap().remove("a").unwrap();
        assert!(what.ends_with("30 times so far"), "{what}");

        file.set(1, Some(&busy("b", false)));
        strike_for(&Death::OutOfMemory);
        assert!(suspects(out.path()).unwrap().contains("b"));
        strike_for(&Death::OutOfMemory);
        assert!(quarantined(out.path()).unwrap().contains_key("b"));
    }

    #[test]
    fn restarts_are_limited() {
        let out = tempfile::tempdir().unwrap();
        let mut starts = 0;
        let error = supervise(out.path(), |file, _, _| {
            starts += 1;
            file.set(0, Some(&busy(&format!("root{starts}"), false)));
            "kill -BUS $$"
        });
        assert!(error.unwrap_err().to_string().contains("died 6 times"));
        assert_eq!(starts, 6);
    }

    #[test]
    fn stops_are_passed_on_one_by_one() {
        let out = tempfile::tempdir().unwrap();
        let stop = Stop::new();
        let asked = stop.clone();
        let supervisor = Supervisor {
            out: out.path().to_owned(),
            command: || shell("read first; read second; exit 9"),
            max_restarts: 0,
            stop,
        };
        let asking = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            asked.drain();
            std::thread::sleep(Duration::from_millis(100));
            asked.abort();
        });
        assert_eq!(supervisor.run().unwrap(), 9);
        asking.join().unwrap();
    }

    #[test]
    fn a_worker_drains_when_its_supervisor_is_gone() {
        let stop = Stop::new();
        obey(std::io::empty(), &stop).unwrap();
        let start = Instant::now();
        while stop.state() == StopState::Running && start.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(stop.state(), StopState::Draining);
        let stop = Stop::new();
        // A signal to the whole group has drained before the supervisor says so.
        stop.drain();
        obey(&b"\n"[..], &stop).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(stop.state(), StopState::Draining);
        obey(&b"\n\n"[..], &stop).unwrap();
        while stop.state() != StopState::Aborting && start.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(stop.state(), StopState::Aborting);
    }

    mod prop {
        use proptest::prelude::*;

        use super::*;
        use crate::core::testing::damaged;

        proptest! {
            #[test]
            fn damaged_strikes_blame_nobody_twice_by_mistake(bytes in damaged(
                br#"{"root":"a","kind":"crash","what":"x"}
{"root":"b","kind":"timeout","what":"y"}
"#.to_vec()
            )) {
                let out = tempfile::tempdir().unwrap();
                store::publish_bytes(&strikes_path(out.path()), &bytes).unwrap();
                let (lost, alone) = (quarantined(out.path()).unwrap(), suspects(out.path()).unwrap());
                prop_assert!(alone.iter().all(|root| !lost.contains_key(root)));
            }
        }
    }
}
