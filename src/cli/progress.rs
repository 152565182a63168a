//! Progress: a bar per stage on a terminal, one line a minute elsewhere.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::engine::{Monitor, Stop, StopState};

/// How often a terminal is redrawn.
const REDRAW: Duration = Duration::from_millis(250);
/// How often a line is printed where there is no terminal.
const LINE: Duration = Duration::from_mins(1);

/// A thread that shows a run's counters until it is finished.
pub(crate) struct Progress {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Starts showing.
    pub(crate) fn start(monitor: &Arc<Monitor>, stop: &Stop) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let (flag, monitor, stop) = (Arc::clone(&is_over), Arc::clone(monitor), stop.clone());
        let show = move || {
            if std::io::stderr().is_terminal() {
                show_bars(&monitor, &stop, &flag);
            } else {
                show_lines(&monitor, &flag);
            }
        };
        let thread = std::thread::Builder::new()
            .name("progress".into())
            .spawn(show)
            .ok();
        Self { is_over, thread }
    }

    /// Clears the bars and stops.
    pub(crate) fn finish(mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic in here has been reported; the run's result matters more.
            let _ = thread.join();
        }
    }
}

fn show_bars(monitor: &Monitor, stop: &Stop, is_over: &AtomicBool) {
    let bars = MultiProgress::new();
    let style = |template: &str| {
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
    };
    let begin = Instant::now();
    let top = bars.add(ProgressBar::new(monitor.roots().total));
    top.set_style(style(
        "videos          {bar:24.green/dim} {pos}/{len} {msg}",
    ));
    let mut stages: Vec<ProgressBar> = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let secs = begin.elapsed().as_secs_f64();
        let roots = monitor.roots();
        let left = roots.total.saturating_sub(roots.skipped + roots.done);
        top.set_position(roots.skipped + roots.done);
        top.set_message(format!(
            "{}, {} failed{}",
            pace(roots.done, left, secs),
            roots.failed,
            match stop.state() {
                StopState::Running => "",
                StopState::Draining => "; stopping: finishing what is in work, again to abort",
                StopState::Aborting => "; aborting",
            }
        ));
        // How much work a stage will get in all is known when the videos are; until then it is
        // taken to grow as they do.
        let share = if roots.started > 0 {
            (roots.started.saturating_sub(roots.done) as f64).mul_add(0.5, roots.done as f64)
                / (roots.done + left).max(1) as f64
        } else {
            0.0
        };
        for (n, stage) in monitor.stages().into_iter().enumerate() {
            if n == stages.len() {
                let bar = bars.add(ProgressBar::new(0));
                bar.set_style(style("  {prefix:<13} {bar:24.cyan/dim} {pos} {msg}"));
                bar.set_prefix(stage.name.clone());
                stages.push(bar);
            }
            let done = stage.received.saturating_sub(stage.busy);
            let expected = if share > 0.0 {
                (done as f64 / share).ceil() as u64
            } else {
                0
            };
            stages[n].set_length(expected.max(stage.received).max(1));
            stages[n].set_position(done);
            stages[n].set_message(format!(
                "{}; {} on, {} rejected, {} failed, {} of {} busy",
                pace(done, expected.saturating_sub(done), secs),
                stage.emitted,
                stage.rejected,
                stage.failed,
                stage.busy,
                stage.workers
            ));
        }
        std::thread::park_timeout(REDRAW);
    }
    let _ = bars.clear();
}

/// Rate and time left in words.
fn pace(done: u64, left: u64, secs: f64) -> String {
    if done == 0 || secs <= 0.0 {
        return "no rate yet".to_owned();
    }
    let per_sec = done as f64 / secs;
    let left_secs = (left as f64 / per_sec).round() as u64;
    let time = match (left_secs / 3600, left_secs / 60 % 60, left_secs % 60) {
        (0, 0, secs) => format!("{secs} s"),
        (0, mins, secs) => format!("{mins} min {secs} s"),
        (hours, mins, _) => format!("{hours} h {mins} min"),
    };
    format!("{per_sec:.1}/s, {time} left")
}

fn show_lines(monitor: &Monitor, is_over: &AtomicBool) {
    let begin = Instant::now();
    let mut due = LINE;
    while !is_over.load(Ordering::Relaxed) {
        if begin.elapsed() >= due {
            due += LINE;
            let roots = monitor.roots();
            let left = roots.total.saturating_sub(roots.skipped + roots.done);
            super::warn(format!(
                "{}/{} videos, {} failed, {}",
                roots.skipped + roots.done,
                roots.total,
                roots.failed,
                pace(roots.done, left, begin.elapsed().as_secs_f64())
            ));
        }
        std::thread::park_timeout(REDRAW);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_said_in_words() {
        assert_eq!(pace(0, 10, 5.0), "no rate yet");
        assert_eq!(pace(10, 20, 5.0), "2.0/s, 10 s left");
        assert_eq!(pace(1, 100, 100.0), "0.0/s, 2 h 46 min left");
    }
}
