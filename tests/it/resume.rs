//! Runs that lose a process or are interrupted end with the same bytes as one that is left alone.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::clips::long_manifest;
use crate::program::{Ran, call, run, run_command, signal, videos_done, worker_of};
use crate::run_folder::{digests, left_spools, shared_folder};

/// More rows than are in flight at once with one worker a stage.
const ROWS: usize = 16;
const SETTINGS: [&str; 6] = [
    "-j",
    "1",
    "--set",
    "output.chunk_rows=5",
    "--set",
    "propose_pairs.max_per_scene=1",
];

/// What all tests here compare with.
struct Whole {
    manifest: PathBuf,
    /// Where the run that is left alone writes.
    out: PathBuf,
    /// How long it took.
    took: Duration,
}

fn whole() -> Option<&'static Whole> {
    static WHOLE: OnceLock<Option<Whole>> = OnceLock::new();
    let made = WHOLE.get_or_init(|| {
        let folder = shared_folder("whole");
        let manifest = long_manifest(&folder, ROWS)?;
        let out = folder.join("out");
        let start = Instant::now();
        run(&manifest, &out, &SETTINGS).expect(0);
        let took = start.elapsed();
        Some(Whole {
            manifest,
            out,
            took,
        })
    });
    made.as_ref()
}

/// A run that is disturbed.
struct Setting {
    whole: &'static Whole,
    out: PathBuf,
    _folder: TempDir,
}

fn setting() -> Option<Setting> {
    let whole = whole()?;
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let out = folder.path().join("out");
    Some(Setting {
        whole,
        out,
        _folder: folder,
    })
}

impl Setting {
    fn start(&self) -> Child {
        run_command(&self.whole.manifest, &self.out, &SETTINGS)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Waits until the commit log names this many finished videos, or the program has ended.
    fn wait_for_videos(&self, child: &mut Child, wanted: usize) {
        while child.try_wait().unwrap().is_none() {
            if videos_done(&self.out) >= wanted as u64 {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn complete_and_compare(&self) {
        run(&self.whole.manifest, &self.out, &SETTINGS).expect(0);
        assert_eq!(digests(&self.out), digests(&self.whole.out));
        assert_eq!(left_spools(&self.out), Vec::<PathBuf>::new());
    }
}

#[test]
fn a_worker_process_that_dies_is_started_again() {
    let Some(setting) = setting() else { return };
    let mut child = setting.start();
    setting.wait_for_videos(&mut child, 3);
    let worker = worker_of(&child).expect("the supervisor has one child");
    signal("KILL", &[worker]);
    let ran: Ran = child.wait_with_output().unwrap().into();
    let ran = ran.expect(0);
    assert!(
        ran.err.contains("SIGKILL") && ran.err.contains("restarting"),
        "{}",
        ran.err
    );
    setting.complete_and_compare();
}

#[test]
fn an_interrupt_drains_and_the_same_command_continues() {
    let Some(setting) = setting() else { return };
    let mut child = setting.start();
    setting.wait_for_videos(&mut child, 1);
    signal("INT", &[child.id()]);
    let ran: Ran = child.wait_with_output().unwrap().into();
    let ran = ran.expect(130);
    assert!(
        ran.out.contains("the same command continues"),
        "{}",
        ran.out
    );
    let out = setting.out.to_str().unwrap();
    let status = call(["status", "--json", out]).expect(0).json();
    let done = status["videos_done"].as_u64().unwrap();
    assert!((1..ROWS as u64).contains(&done), "{done}");
    setting.complete_and_compare();
}

#[test]
fn a_worker_process_ends_when_its_supervisor_is_killed() {
    let Some(setting) = setting() else { return };
    let mut child = setting.start();
    setting.wait_for_videos(&mut child, 1);
    let worker = worker_of(&child).expect("the supervisor has one child");
    signal("KILL", &[child.id()]);
    child.wait().unwrap();
    let deadline = Instant::now() + setting.whole.took + Duration::from_secs(20);
    let gone = || !Path::new(&format!("/proc/{worker}")).exists();
    while !gone() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(gone(), "the worker process goes on without its supervisor");
    setting.complete_and_compare();
}

#[test]
fn one_folder_is_one_run_at_a_time() {
    let Some(setting) = setting() else { return };
    let mut child = setting.start();
    setting.wait_for_videos(&mut child, 1);
    let second = run(&setting.whole.manifest, &setting.out, &SETTINGS);
    if child.try_wait().unwrap().is_none() {
        let second = second.expect(1);
        assert!(second.err.contains("another run"), "{}", second.err);
    }
    Ran::from(child.wait_with_output().unwrap()).expect(0);
    setting.complete_and_compare();
}
