//! Names items that take too long, and gives up on those that ignore their deadline.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};

use super::monitor::{Activity, Monitor, later};
use crate::core::FatalError;

/// How often it looks.
const TICK: Duration = Duration::from_secs(1);

/// A thread that watches a [`Monitor`]; dropping this ends it.
#[derive(Debug)]
pub struct Watchdog {
    quit: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Starts watching. An item over its deadline is warned of once. One that is still not done
    /// `grace` later is marked as hung in the monitor's file and given to `on_hang`, once; a thread
    /// cannot be killed, so all that is left is to end the process. Time that an item waits for the
    /// next stage does not count.
    ///
    /// # Errors
    /// [`FatalError::Library`] if the thread cannot start.
    pub fn start(
        monitor: &Arc<Monitor>,
        grace: Duration,
        on_hang: impl Fn(&Activity) + Send + 'static,
    ) -> Result<Self, FatalError> {
        Self::start_with_tick(monitor, grace, TICK, on_hang)
    }

    fn start_with_tick(
        monitor: &Arc<Monitor>,
        grace: Duration,
        tick: Duration,
        on_hang: impl Fn(&Activity) + Send + 'static,
    ) -> Result<Self, FatalError> {
        let monitor = Arc::clone(monitor);
        let (quit, asked) = bounded::<()>(0);
        let thread = std::thread::Builder::new()
            .name("watchdog".into())
            .spawn(move || {
                let mut told = Told::default();
                while asked.recv_timeout(tick) == Err(RecvTimeoutError::Timeout) {
                    told.look(&monitor, grace, &on_hang);
                }
            })
            .map_err(|e| FatalError::Library {
                what: format!("a thread for the watchdog cannot start: {e}"),
            })?;
        Ok(Self {
            quit: Some(quit),
            thread: Some(thread),
        })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.quit = None;
        if let Some(thread) = self.thread.take() {
            // It has nothing to say; a panic in `on_hang` was printed.
            let _ = thread.join();
        }
    }
}

/// What was said already, by worker and start of the item.
#[derive(Default)]
struct Told {
    late: BTreeSet<(usize, Instant)>,
    hung: BTreeSet<(usize, Instant)>,
}

impl Told {
    fn look(&mut self, monitor: &Monitor, grace: Duration, on_hang: &impl Fn(&Activity)) {
        let now = Instant::now();
        let activities = monitor.activities();
        let current: BTreeSet<_> = activities.iter().map(|a| (a.slot, a.since)).collect();
        self.late.retain(|item| current.contains(item));
        self.hung.retain(|item| current.contains(item));
        for activity in activities {
            if activity.waiting_since.is_some() || now <= activity.deadline {
                continue;
            }
            let item = (activity.slot, activity.since);
            let secs = now.duration_since(activity.since).as_secs();
            if self.late.insert(item) {
                tracing::warn!(
                    "{}: stage {} has been at item {} for {secs} s, longer than it may",
                    activity.root.label,
                    activity.stage,
                    activity.path
                );
            }
            if now > later(activity.deadline, grace) && self.hung.insert(item) {
                tracing::error!(
                    "{}: stage {} hangs at item {} since {secs} s",
                    activity.root.label,
                    activity.stage,
                    activity.path
                );
                monitor.mark_hung(&activity);
                on_hang(&activity);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Busy, InFlight, RootRef};
    use super::*;
    use crate::core::ItemPath;

    #[test]
    fn a_hang_is_told_once_and_marked_and_waiting_is_no_hang() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in_flight");
        let monitor = Monitor::with_in_flight(2, 0, InFlight::open(&path).unwrap());
        monitor.lay_out(vec![("slow".into(), 2)]);
        let start = |slot: usize, key: &str| {
            let root = RootRef {
                row: 0,
                key: key.into(),
                label: "a.mp4".into(),
            };
            let now = Instant::now();
            monitor.begin(Activity {
                slot,
                stage: "slow".into(),
                root: Arc::new(root),
                path: ItemPath::root(0),
                since: now,
                deadline: now,
                waiting_since: None,
            });
        };
        start(1, "hangs");
        start(2, "waits");
        let (tell, told) = bounded(10);
        let tick = Duration::from_millis(5);
        let watchdog = Watchdog::start_with_tick(&monitor, tick, tick, move |activity| {
            tell.send(activity.root.key.clone()).unwrap();
        });
        monitor.waiting(2, || std::thread::sleep(Duration::from_millis(150)));
        monitor.end(2);
        drop(watchdog.unwrap());
        assert_eq!(told.try_iter().collect::<Vec<_>>(), ["hangs"]);
        let busy: Vec<Busy> = InFlight::read(&path).unwrap();
        assert!(busy.len() == 1 && busy[0].root == "hangs" && busy[0].is_hung);
    }
}
