//! Whole chains: same results whatever the threads, nothing lost, everything contained.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;
use crate::core::{ErrorKind, FatalError, Fingerprint, ItemError, ItemPath, RootCounts};

type Work = dyn Fn(u64, &mut Outbox<'_, u64>) -> Result<(), ItemError> + Send + Sync;

type OnSample = dyn FnMut(u64) -> Result<(), FatalError>;

/// A stage made of a closure.
#[derive(Clone)]
struct Step {
    name: &'static str,
    workers: usize,
    work: Arc<Work>,
    open: Arc<dyn Fn() -> Result<(), FatalError> + Send + Sync>,
}

fn step(
    name: &'static str,
    workers: usize,
    work: impl Fn(u64, &mut Outbox<'_, u64>) -> Result<(), ItemError> + Send + Sync + 'static,
) -> Step {
    Step {
        name,
        workers,
        work: Arc::new(work),
        open: Arc::new(|| Ok(())),
    }
}

impl Stage for Step {
    type In = u64;
    type Out = u64;
    type Worker = StepWorker;
    fn name(&self) -> &'static str {
        self.name
    }
    fn workers(&self) -> usize {
        self.workers
    }
    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::from_hash([0; 32])
    }
    fn open(&self) -> Result<StepWorker, FatalError> {
        (self.open)()?;
        Ok(StepWorker(Arc::clone(&self.work)))
    }
}

struct StepWorker(Arc<Work>);

impl Worker for StepWorker {
    type In = u64;
    type Out = u64;
    fn process(&mut self, item: u64, out: &mut Outbox<'_, u64>) -> Result<(), ItemError> {
        (self.0)(item, out)
    }
}

fn rejection(reason: &str) -> Rejection {
    Rejection {
        reason: reason.into(),
        score: None,
        detail: serde_json::Value::Null,
    }
}

/// Writes down everything, sorted by path, and checks the order of calls.
#[derive(Default)]
struct Book {
    open: BTreeMap<u32, Vec<String>>,
    done: BTreeMap<u32, (Vec<String>, RootCounts)>,
    poisoned: Vec<u32>,
    on_sample: Option<Box<OnSample>>,
}

impl Book {
    fn note(&mut self, root: &RootRef, text: String) {
        assert!(!self.done.contains_key(&root.row), "{text} after the end");
        self.open.entry(root.row).or_default().push(text);
    }
    fn lines(&self) -> Vec<String> {
        self.done
            .values()
            .flat_map(|(lines, _)| lines.clone())
            .collect()
    }
}

impl Sink<u64> for Book {
    fn sample(&mut self, root: &RootRef, path: &ItemPath, item: u64) -> Result<(), FatalError> {
        self.note(root, format!("{path} = {item}"));
        self.on_sample.as_mut().map_or(Ok(()), |check| check(item))
    }
    fn rejected(
        &mut self,
        root: &RootRef,
        path: &ItemPath,
        _: &str,
        rejection: &Rejection,
    ) -> Result<(), FatalError> {
        self.note(root, format!("{path} ! {}", rejection.reason));
        Ok(())
    }
    fn failed(
        &mut self,
        root: &RootRef,
        path: &ItemPath,
        stage: &str,
        error: &ItemError,
    ) -> Result<(), FatalError> {
        self.note(root, format!("{path} ? {stage} {error}"));
        Ok(())
    }
    fn root_done(&mut self, root: &RootRef, counts: RootCounts) -> Result<(), FatalError> {
        let mut lines = self.open.remove(&root.row).unwrap_or_default();
        lines.sort();
        assert!(
            self.done.insert(root.row, (lines, counts)).is_none(),
            "ended twice"
        );
        Ok(())
    }
    fn root_poisoned(&mut self, root: &RootRef) {
        self.poisoned.push(root.row);
    }
}

fn roots(count: u32) -> impl Iterator<Item = Root<u64>> {
    (0..count).map(|row| Root {
        row,
        key: format!("k{row}"),
        label: format!("{row}.mp4"),
        item: u64::from(row),
    })
}

fn run(chain: Chain<'_, u64, u64>, runner: Runner, options: &RunOptions) -> (Book, RunSummary) {
    let mut book = Book::default();
    let summary = chain.run(runner, options, &Monitor::new(0, 0), &mut book);
    (book, summary.unwrap())
}

/// Splits into five, rejects, fails, panics, forgets and goes on.
fn eventful(workers: usize, count: u32) -> Chain<'static, u64, u64> {
    Chain::source(roots(count))
        .then(step("split", workers, |item, out| {
            for part in 0..5 {
                out.emit(item * 10 + part);
            }
            if item % 7 == 3 {
                return Err(ItemError::new(ErrorKind::Corrupt, "damaged after part 5"));
            }
            Ok(())
        }))
        .then(step("screen", workers, |item, out| {
            match item % 10 {
                1 => out.reject(rejection("odd")),
                2 if item % 4 == 0 => panic!("part {item}"),
                3 if item % 30 == 3 => {}
                _ => out.emit(item + 1000),
            }
            Ok(())
        }))
        .then(step("finish", workers, |item, out| {
            out.emit(item);
            out.reject(rejection("second_half"));
            Ok(())
        }))
}

#[test]
fn results_do_not_depend_on_threads() {
    let options = RunOptions::default();
    let (one, expected) = run(eventful(1, 40), Runner::Sequential, &options);
    assert_eq!(one.done.len(), 40);
    assert!(expected.funnel.failed() > 0 && expected.funnel.rejected() > 0);
    for workers in [1, 2, 7] {
        for runner in [Runner::Threaded, Runner::Sequential] {
            let (book, summary) = run(eventful(workers, 40), runner, &options);
            assert_eq!(book.lines(), one.lines(), "{workers} workers, {runner:?}");
            assert_eq!(book.done, one.done, "{workers} workers, {runner:?}");
            assert_eq!(summary.funnel.stages.len(), 3);
            assert_eq!(summary.funnel.emitted(), expected.funnel.emitted());
            assert_eq!(summary.ended, Ended::Complete);
        }
    }
}

#[test]
fn panics_errors_and_forgotten_items_are_contained_and_counted() {
    let (book, summary) = run(eventful(2, 4), Runner::Threaded, &RunOptions::default());
    let lines = book.lines();
    let has = |part: &str| lines.iter().any(|line| line.contains(part));
    assert!(has("0_1_0 ! screen/odd"), "{lines:#?}");
    assert!(has("1_2_0 ? screen bug: panic at tests.rs:"), "{lines:#?}");
    assert!(
        has("0_3_0 ? screen bug: the stage neither emitted"),
        "{lines:#?}"
    );
    // An error after emits keeps them and adds one failure with the next number.
    assert!(
        has("3_5 ? split corrupt: damaged after part 5"),
        "{lines:#?}"
    );
    assert!(has("3_4_0_0 = 1034"), "{lines:#?}");
    let screen = summary.funnel.stage("screen").unwrap();
    assert_eq!(screen.received, 20);
    assert_eq!(
        screen.passed + screen.rejected_total() + screen.failed_total(),
        20
    );
}

#[test]
fn every_root_has_all_stages_even_without_items() {
    let chain = Chain::source(roots(1))
        .then(step("none", 1, |_, out| {
            out.reject(rejection("all"));
            Ok(())
        }))
        .then(step("never", 1, |_, _| Ok(())));
    let (book, _) = run(chain, Runner::Threaded, &RunOptions::default());
    let names: Vec<_> = book.done[&0]
        .1
        .stages
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["none", "never"]);
}

#[test]
fn few_roots_are_in_flight_and_the_source_is_read_as_needed() {
    let taken = Arc::new(AtomicUsize::new(0));
    let ended = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (counter, ends, peak) = (Arc::clone(&taken), Arc::clone(&ended), Arc::clone(&most));
    let source = roots(200).inspect(move |_| {
        let now = counter.fetch_add(1, Ordering::SeqCst) + 1 - ends.load(Ordering::SeqCst);
        peak.fetch_max(now, Ordering::SeqCst);
    });
    let slow = step("slow", 2, |item, out| {
        std::thread::sleep(Duration::from_millis(1));
        out.emit(item);
        Ok(())
    });
    let options = RunOptions {
        max_roots_in_flight: Some(3),
        ..RunOptions::default()
    };
    let mut book = Book {
        on_sample: Some(Box::new(move |_| {
            ended.fetch_add(1, Ordering::SeqCst);
            Ok(())
        })),
        ..Book::default()
    };
    let chain = Chain::source(source).then(slow);
    chain
        .run(Runner::Threaded, &options, &Monitor::new(0, 0), &mut book)
        .unwrap();
    assert_eq!(taken.load(Ordering::SeqCst), 200);
    // Three in flight and one looked at.
    assert!(most.load(Ordering::SeqCst) <= 4, "{most:?}");
}

#[test]
fn draining_finishes_what_is_in_flight() {
    for runner in [Runner::Threaded, Runner::Sequential] {
        let options = RunOptions::default();
        let stop = options.stop.clone();
        let chain = Chain::source(roots(500)).then(step("s", 2, move |item, out| {
            if item == 20 {
                stop.drain();
            }
            out.emit(item);
            Ok(())
        }));
        let (book, summary) = run(chain, runner, &options);
        assert_eq!(summary.ended, Ended::Drained);
        assert!(book.poisoned.is_empty() && book.open.is_empty());
        assert!(
            book.done.contains_key(&20) && book.done.len() < 500,
            "{}",
            book.done.len()
        );
    }
}

#[test]
fn an_aborted_root_is_poisoned_not_committed() {
    for runner in [Runner::Threaded, Runner::Sequential] {
        let options = RunOptions::default();
        let stop = options.stop.clone();
        let chain = Chain::source(roots(500))
            .then(step("s", 2, |item, out| {
                out.emit(item);
                out.emit(item);
                Ok(())
            }))
            .then(step("t", 1, move |item, out| {
                if item == 20 {
                    stop.abort();
                }
                out.emit(item);
                Ok(())
            }));
        let (book, summary) = run(chain, runner, &options);
        assert_eq!(summary.ended, Ended::Aborted);
        assert!(book.poisoned.contains(&20) && !book.done.contains_key(&20));
        assert_eq!(summary.roots_done as usize, book.done.len());
        assert_eq!(summary.roots_poisoned as usize, book.poisoned.len());
    }
}

#[test]
fn a_stage_that_cannot_open_stops_the_run() {
    for runner in [Runner::Threaded, Runner::Sequential] {
        let mut broken = step("broken", 2, |_, _| Ok(()));
        broken.open = Arc::new(|| Err(FatalError::Refused("no weights".into())));
        let chain = Chain::source(roots(9))
            .then(step("s", 1, |item, out| {
                out.emit(item);
                Ok(())
            }))
            .then(broken.clone());
        let error = chain.run(
            runner,
            &RunOptions::default(),
            &Monitor::new(0, 0),
            &mut Book::default(),
        );
        assert_eq!(error.unwrap_err().to_string(), "no weights");
        // Nothing to do: nothing is opened.
        let chain = Chain::source(roots(0)).then(broken);
        let (_, summary) = run(chain, runner, &RunOptions::default());
        assert_eq!(summary.ended, Ended::Complete);
    }
}

#[test]
fn a_worker_that_cannot_reopen_stops_the_run() {
    let opened = AtomicUsize::new(0);
    let mut fragile = step("fragile", 1, |_, _| panic!("once"));
    fragile.open = Arc::new(move || match opened.fetch_add(1, Ordering::SeqCst) {
        0 => Ok(()),
        _ => panic!("lost device"),
    });
    let mut book = Book::default();
    let chain = Chain::source(roots(100)).then(fragile);
    let result = chain.run(
        Runner::Threaded,
        &RunOptions::default(),
        &Monitor::new(0, 0),
        &mut book,
    );
    let error = result.unwrap_err().to_string();
    assert!(
        error.contains("fragile") && error.contains("lost device"),
        "{error}"
    );
}

#[test]
fn an_error_of_the_sink_stops_the_run() {
    for runner in [Runner::Threaded, Runner::Sequential] {
        let mut book = Book {
            on_sample: Some(Box::new(|item| match item {
                7 => Err(FatalError::disk("spool", "disk full")),
                _ => Ok(()),
            })),
            ..Book::default()
        };
        let chain = Chain::source(roots(1000)).then(step("s", 3, |item, out| {
            out.emit(item);
            Ok(())
        }));
        let result = chain.run(
            runner,
            &RunOptions::default(),
            &Monitor::new(0, 0),
            &mut book,
        );
        assert_eq!(result.unwrap_err().to_string(), "spool: disk full");
        assert!(!book.done.contains_key(&7) && book.poisoned.contains(&7));
        assert!(book.done.len() < 999, "it went on");
    }
}

#[test]
fn many_equal_failures_at_the_start_stop_the_run_and_scattered_ones_do_not() {
    let failing = |of: u64| {
        Chain::source(roots(200)).then(step("fetch", 2, move |item, out| {
            if item % of != 0 {
                return Err(ItemError::new(ErrorKind::Unreadable, "no such host"));
            }
            out.emit(item);
            Ok(())
        }))
    };
    let options = RunOptions::default();
    let mut book = Book::default();
    let result = failing(10).run(Runner::Threaded, &options, &Monitor::new(0, 0), &mut book);
    let error = result.unwrap_err().to_string();
    assert!(
        error.contains("unreadable") && error.contains("fetch: no such host"),
        "{error}"
    );
    assert!(book.done.len() < 50);
    // Far enough from one half: the first 50 to end are not always the same.
    let patient = RunOptions {
        max_failed_ratio: 0.8,
        ..RunOptions::default()
    };
    let (_, summary) = run(failing(2), Runner::Threaded, &patient);
    assert_eq!((summary.roots_done, summary.roots_failed), (200, 100));
}

#[test]
fn quarantined_roots_fail_unseen_and_suspects_run_alone() {
    let running = Arc::new(AtomicUsize::new(0));
    let crowd = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&crowd);
    let chain = Chain::source(roots(60)).then(step("s", 4, move |item, out| {
        let others = running.fetch_add(1, Ordering::SeqCst);
        assert_ne!(item, 5, "quarantined");
        std::thread::sleep(Duration::from_millis(1));
        if item == 30 {
            seen.store(
                others + running.load(Ordering::SeqCst) - 1,
                Ordering::SeqCst,
            );
        }
        out.emit(item);
        running.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    }));
    let options = RunOptions {
        quarantined: [("k5".to_owned(), (ErrorKind::Crash, "died twice".to_owned()))].into(),
        alone: ["k30".to_owned()].into(),
        ..RunOptions::default()
    };
    let (book, summary) = run(chain, Runner::Threaded, &options);
    assert_eq!(book.done[&5].0, ["5_0 ? s crash: died twice"]);
    assert_eq!((summary.roots_done, summary.roots_failed), (60, 1));
    assert_eq!(crowd.load(Ordering::SeqCst), 0);
}

#[test]
fn a_monitor_sees_everything_end() {
    let monitor = Monitor::new(45, 5);
    let mut book = Book::default();
    eventful(2, 40)
        .run(
            Runner::Threaded,
            &RunOptions::default(),
            &monitor,
            &mut book,
        )
        .unwrap();
    let roots = monitor.roots();
    assert_eq!(
        (roots.total, roots.skipped, roots.started, roots.done),
        (45, 5, 40, 40)
    );
    for stage in monitor.stages() {
        assert_eq!((stage.busy, stage.queued), (0, 0), "{}", stage.name);
    }
    assert_eq!(monitor.stages()[1].received, 200);
    assert!(monitor.activities().is_empty());
}

#[test]
fn stages_of_one_name_are_refused() {
    let same = || step("s", 1, |_, _| Ok(()));
    let chain = Chain::source(roots(1)).then(same()).then(same());
    let result = chain.run(
        Runner::Threaded,
        &RunOptions::default(),
        &Monitor::new(0, 0),
        &mut Book::default(),
    );
    assert!(result.unwrap_err().to_string().contains("called s"));
}

#[test]
fn a_service_that_stops_answering_stops_the_run_and_fails_no_root() {
    let asking = |roots_in_all: u32, dead: std::ops::Range<u64>| {
        Chain::source(roots(roots_in_all)).then(step("ask", 1, move |item, out| {
            if dead.contains(&item) {
                return Err(ItemError::new(ErrorKind::Remote, "gone"));
            }
            out.emit(item);
            Ok(())
        }))
    };
    let options = RunOptions {
        services: [("ask".to_owned(), "the oracle".to_owned())].into(),
        ..RunOptions::default()
    };
    for runner in [Runner::Threaded, Runner::Sequential] {
        // In the middle, and from the start but with few roots.
        for (roots_in_all, answered) in [(40, 7), (2, 0)] {
            let mut book = Book::default();
            let chain = asking(roots_in_all, answered..100);
            let result = chain.run(runner, &options, &Monitor::new(0, 0), &mut book);
            let error = result.unwrap_err().to_string();
            assert!(error.contains("of the oracle") && error.contains("the last: gone"));
            let done: Vec<_> = book.done.keys().map(|row| u64::from(*row)).collect();
            assert_eq!(done, (0..answered).collect::<Vec<_>>());
        }
        // It recovers, or there are too few to tell: these roots have failed.
        for dead in [3..12, 15..20] {
            let (book, summary) = run(asking(20, dead.clone()), runner, &options);
            assert_eq!((book.done.len(), summary.ended), (20, Ended::Complete));
            assert_eq!(summary.roots_failed, dead.end - dead.start);
        }
        let patient = RunOptions {
            max_failed_ratio: 1.0,
            ..options.clone()
        };
        let (book, _) = run(asking(40, 0..100), runner, &patient);
        assert_eq!(book.done.len(), 40);
    }
}
