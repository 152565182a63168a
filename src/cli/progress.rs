//! Progress: a bar per stage on a terminal, one line a minute elsewhere.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::engine::Monitor;

/// How often a terminal is redrawn.
const REDRAW: Duration = Duration::from_millis(250);
/// How often a line is printed where there is no terminal.
const LINE: Duration = Duration::from_mins(1);

/// A thread that shows a run's counters until it is finished.
pub(crate) struct Progress {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Starts showing.
    pub(crate) fn start(monitor: &Arc<Monitor>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (flag, monitor) = (Arc::clone(&stop), Arc::clone(monitor));
        let show = move || {
            if std::io::stderr().is_terminal() {
                show_bars(&monitor, &flag);
            } else {
                show_lines(&monitor, &flag);
            }
        };
        let thread = std::thread::Builder::new()
            .name("progress".into())
            .spawn(show)
            .ok();
        Self { stop, thread }
    }

    /// Clears the bars and stops.
    pub(crate) fn finish(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic in here has been reported; the run's result matters more.
            let _ = thread.join();
        }
    }
}

fn show_bars(monitor: &Monitor, stop: &AtomicBool) {
    let bars = MultiProgress::new();
    let style = |template: &str| {
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
    };
    let roots = monitor.roots();
    let top = bars.add(ProgressBar::new(roots.total));
    top.set_style(style(
        "videos {pos}/{len} {wide_bar:.green/dim} {per_sec}, {eta} left, {msg}",
    ));
    // Earlier runs' videos must not count as this run's speed.
    top.set_position(roots.skipped);
    top.reset_eta();
    let mut stages: Vec<ProgressBar> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let roots = monitor.roots();
        top.set_position(roots.skipped + roots.done);
        top.set_message(format!("{} failed", roots.failed));
        for (n, stage) in monitor.stages().into_iter().enumerate() {
            if n == stages.len() {
                let bar = bars.add(ProgressBar::new_spinner());
                bar.set_style(style("  {prefix:<14} {pos:>7} {per_sec:>12}  {msg}"));
                bar.set_prefix(stage.name.clone());
                stages.push(bar);
            }
            stages[n].set_position(stage.received);
            stages[n].set_message(format!(
                "{} on, {} rejected, {} failed, {}/{} busy, {} waiting",
                stage.emitted,
                stage.rejected,
                stage.failed,
                stage.busy,
                stage.workers,
                stage.queued
            ));
        }
        std::thread::park_timeout(REDRAW);
    }
    let _ = bars.clear();
}

fn show_lines(monitor: &Monitor, stop: &AtomicBool) {
    let begin = Instant::now();
    let mut due = LINE;
    while !stop.load(Ordering::Relaxed) {
        if begin.elapsed() >= due {
            due += LINE;
            let roots = monitor.roots();
            let secs = begin.elapsed().as_secs_f64();
            let per_sec = roots.done as f64 / secs;
            let left = roots.total.saturating_sub(roots.skipped + roots.done);
            let eta = if per_sec > 0.0 {
                format!("{:.0} min left", left as f64 / per_sec / 60.0)
            } else {
                "no estimate yet".to_owned()
            };
            super::warn(format!(
                "{}/{} videos, {} failed, {:.1} a minute, {eta}",
                roots.skipped + roots.done,
                roots.total,
                roots.failed,
                per_sec * 60.0
            ));
        }
        std::thread::park_timeout(REDRAW);
    }
}
