//! Real crashes and hangs of the worker process: the guilty video fails, the others do not notice.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::clips::{copy_of, manifest_of};
use crate::program::{Ran, run_command};
use crate::run_folder::{Row, digests, rejects, samples, shared_folder, text};

/// First in the manifest, and none of its pairs is kept: the other rows are the same without it.
const FIRST: &str = "culprit-first.mp4";
/// Last in the manifest: nothing is compared with it.
const LAST: &str = "culprit-last.mp4";
const SETTINGS: [&str; 4] = ["-j", "2", "--set", "propose_pairs.max_per_scene=1"];
/// Seconds after which an item is late, and once more until it is given up.
const SHORT: [&str; 2] = ["--set", "limits.item_secs=6"];

/// What all tests here work on, and what a run without faults makes of it.
struct Whole {
    manifest: PathBuf,
    out: PathBuf,
}

fn whole() -> Option<&'static Whole> {
    static WHOLE: OnceLock<Option<Whole>> = OnceLock::new();
    let made = WHOLE.get_or_init(|| {
        let folder = shared_folder("supervisor");
        let clips = [
            copy_of("pan.mp4", &folder, FIRST)?,
            copy_of("move.mp4", &folder, "a.mp4")?,
            copy_of("appear.mp4", &folder, "b.mp4")?,
            copy_of("other.mp4", &folder, LAST)?,
        ];
        let manifest = manifest_of(&folder, &clips);
        let out = folder.join("out");
        let ran: Ran = run_command(&manifest, &out, &SETTINGS)
            .output()
            .unwrap()
            .into();
        ran.expect(0);
        Some(Whole { manifest, out })
    });
    made.as_ref()
}

/// A run with a fault.
struct Disturbed {
    ran: Ran,
    folder: TempDir,
}

impl Disturbed {
    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    fn strikes(&self) -> String {
        std::fs::read_to_string(self.out().join("strikes.jsonl")).unwrap_or_default()
    }

    /// The failed rows.
    fn failed(&self) -> Vec<Row> {
        let mut rows = rejects(&self.out());
        rows.retain(|row| row["outcome"] == "failed");
        rows
    }

    /// Checks that the run ended well and that these videos alone failed: name, stage of the fault,
    /// kind, words of the message.
    fn expect(&self, culprits: &[(&str, &str, &str, &str)]) {
        let Ran { code, err, .. } = &self.ran;
        assert_eq!(*code, Some(3), "{err}");
        let failed = self.failed();
        assert_eq!(failed.len(), culprits.len(), "{failed:?}\n{err}");
        for (name, stage, kind, words) in culprits {
            let row = failed
                .iter()
                .find(|row| text(row, "video_uri").ends_with(name))
                .unwrap_or_else(|| panic!("{name} did not fail: {failed:?}"));
            assert_eq!(text(row, "reason"), *kind, "{row:?}");
            let message = text(row, "message");
            assert!(message.contains(words), "{message}");
            assert!(message.contains(&format!("in stage {stage} ")), "{message}");
            let named = err.lines().filter(|line| line.contains(name));
            assert!(named.count() >= 2, "{name} is not named: {err}");
            assert!(err.contains(words), "{words}: {err}");
        }
        let whole = whole().unwrap();
        let others = |rows: Vec<Row>| -> Vec<Row> {
            let is_other = |row: &Row| {
                let uri = text(row, "video_uri");
                !culprits.iter().any(|(name, ..)| uri.ends_with(name))
            };
            rows.into_iter().filter(is_other).collect()
        };
        let expected = others(samples(&whole.out));
        assert!(!expected.is_empty());
        assert_eq!(others(samples(&self.out())), expected);
        assert_eq!(others(rejects(&self.out())), others(rejects(&whole.out)));
    }
}

fn disturbed(
    fault: &str,
    settings: &[&str],
    change: impl FnOnce(&mut Command, &Path),
) -> Option<Disturbed> {
    let whole = whole()?;
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let settings = [&SETTINGS[..], settings].concat();
    let mut command = run_command(&whole.manifest, &folder.path().join("out"), &settings);
    command.env("FRAMEWRIGHT_FAULT", fault);
    change(&mut command, folder.path());
    let ran = command.output().unwrap().into();
    Some(Disturbed { ran, folder })
}

/// A fault in each of these stages, with the video that has it.
const PLACES: [(&str, &str); 3] = [("ingest", FIRST), ("split", FIRST), ("instruct", LAST)];

fn crashes(what: &str, words: &str, change: impl Fn(&mut Command, &Path)) {
    for (stage, name) in PLACES {
        let fault = format!("{stage}:{what}:{name}");
        let Some(disturbed) = disturbed(&fault, &[], &change) else {
            return;
        };
        disturbed.expect(&[(name, stage, "crash", words)]);
        let message = disturbed.failed()[0]["message"].to_string();
        assert!(message.contains("for the second time"), "{message}");
    }
}

#[test]
fn a_video_that_crashes_twice_fails_alone() {
    crashes("segv", "died with SIGSEGV (11)", |_, _| {});
}

#[test]
fn a_video_that_aborts_twice_fails_alone() {
    crashes("abrt", "died with SIGABRT (6)", |_, _| {});
}

#[test]
fn a_video_that_takes_all_memory_twice_fails_alone() {
    // An allocation that is refused aborts the process.
    crashes("oom", "died with SIGABRT (6)", |command, _| {
        limit_memory(command);
    });
}

/// Lets the program have 8 GiB of addresses.
fn limit_memory(command: &mut Command) {
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "ulimit -v 8388608; exec \"$@\"", "sh"])
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    *command = limited;
}

#[test]
fn a_video_that_hangs_twice_fails_alone() {
    let hangs = |(stage, name): (&str, &str)| {
        let fault = format!("{stage}:hang:{name}");
        if let Some(disturbed) = disturbed(&fault, &SHORT, |_, _| {}) {
            disturbed.expect(&[(name, stage, "timeout", "gave up on an item that hung")]);
            let strikes = disturbed.strikes();
            assert_eq!(strikes.lines().count(), 2, "others were blamed: {strikes}");
        }
    };
    if whole().is_some() {
        std::thread::scope(|scope| {
            for place in PLACES {
                scope.spawn(move || hangs(place));
            }
        });
    }
}

#[test]
fn a_hang_ends_a_process_without_a_supervisor() {
    let settings = [&SHORT[..], &["--no-supervisor"]].concat();
    let fault = format!("split:hang:{FIRST}");
    let Some(disturbed) = disturbed(&fault, &settings, |_, _| {}) else {
        return;
    };
    let ran = disturbed.ran.expect(1);
    assert!(ran.err.contains("split hangs; without"), "{}", ran.err);
}

#[test]
fn two_guilty_videos_fail_and_nobody_else() {
    let fault = format!("split:segv:{FIRST},instruct:abrt:{LAST}");
    let Some(disturbed) = disturbed(&fault, &[], |_, _| {}) else {
        return;
    };
    disturbed.expect(&[
        (FIRST, "split", "crash", "died with SIGSEGV (11)"),
        (LAST, "instruct", "crash", "died with SIGABRT (6)"),
    ]);
}

#[test]
fn a_video_that_crashes_once_is_not_lost() {
    let fault = format!("split:segv:{LAST}");
    let once = |command: &mut Command, folder: &Path| {
        command.env("FRAMEWRIGHT_FAULT_ONCE", folder);
    };
    let Some(disturbed) = disturbed(&fault, &[], once) else {
        return;
    };
    assert!(disturbed.folder.path().join("0").exists(), "no fault");
    assert_eq!(disturbed.ran.code, Some(0), "{}", disturbed.ran.err);
    assert!(disturbed.strikes().contains("SIGSEGV"));
    assert_eq!(digests(&disturbed.out()), digests(&whole().unwrap().out));
}

#[test]
fn a_video_at_which_the_process_is_always_killed_does_not_hold_up_the_run() {
    // Not by the kernel: that would count as a crash.
    let fault = format!("split:kill:{FIRST}");
    let Some(disturbed) = disturbed(&fault, &[], |_, _| {}) else {
        return;
    };
    disturbed.expect(&[(
        FIRST,
        "split",
        "crash",
        "was killed from outside (SIGKILL, 9)",
    )]);
    let message = disturbed.failed()[0]["message"].to_string();
    assert!(message.contains("20 times so far"), "{message}");
}

#[test]
fn an_item_that_notices_its_deadline_costs_no_process() {
    let fault = format!("split:late:{FIRST}");
    let Some(disturbed) = disturbed(&fault, &SHORT, |_, _| {}) else {
        return;
    };
    assert_eq!(disturbed.ran.code, Some(3), "{}", disturbed.ran.err);
    let failed = disturbed.failed();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(text(&failed[0], "reason"), "timeout");
    assert_eq!(disturbed.strikes(), "");
}

#[test]
fn a_panic_costs_no_process() {
    let fault = format!("split:panic:{FIRST}");
    let Some(disturbed) = disturbed(&fault, &[], |_, _| {}) else {
        return;
    };
    assert_eq!(disturbed.ran.code, Some(3), "{}", disturbed.ran.err);
    let failed = disturbed.failed();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(text(&failed[0], "reason"), "bug");
    assert_eq!(disturbed.strikes(), "");
}
