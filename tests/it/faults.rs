//! What a shared machine does to a run: full and read-only disks, files and folders that go away,
//! services that die, signals. Each has its exit code and its words, and the same command goes on.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::clips::{copy_of, manifest_of};
use crate::program::{NO_WEIGHTS, Ran, run, run_command, signal, videos_done, worker_of};
use crate::run_folder::{digests, rejects, samples, shared_folder, text};

mod outages;

const SETTINGS: [&str; 6] = [
    "-j",
    "1",
    "--set",
    "output.chunk_rows=2",
    "--set",
    "propose_pairs.max_per_scene=1",
];
/// The video at which a run is held, see [`Held`].
const GATE: &str = "gate.mp4";

/// What all tests here work on, and what an undisturbed run makes of it.
struct Whole {
    manifest: PathBuf,
    out: PathBuf,
}

fn whole() -> Option<&'static Whole> {
    static WHOLE: OnceLock<Option<Whole>> = OnceLock::new();
    WHOLE.get_or_init(|| make("faults", 2)).as_ref()
}

/// The same with more videos than are in flight at once with one worker a stage.
fn long() -> Option<&'static Whole> {
    static LONG: OnceLock<Option<Whole>> = OnceLock::new();
    LONG.get_or_init(|| make("faults-long", 14)).as_ref()
}

fn make(name: &str, more: usize) -> Option<Whole> {
    let folder = shared_folder(name);
    let videos = videos(&folder, more)?;
    let manifest = manifest_of(&folder, &videos);
    let out = folder.join("out");
    run(&manifest, &out, &SETTINGS).expect(0);
    Some(Whole { manifest, out })
}

fn videos(folder: &Path, more: usize) -> Option<Vec<PathBuf>> {
    let mut videos = vec![
        copy_of("move.mp4", folder, "a.mp4")?,
        copy_of("other.mp4", folder, GATE)?,
    ];
    for row in 0..more {
        let clip = ["appear.mp4", "move.mp4"][row % 2];
        videos.push(copy_of(clip, folder, &format!("more{row:02}.mp4"))?);
    }
    Some(videos)
}

fn temporary() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

#[track_caller]
fn says(ran: &Ran, words: &[&str]) {
    for word in words {
        assert!(ran.err.contains(word), "{word:?} is not in: {}", ran.err);
    }
}

// ---------------------------------------------------------------- disks

/// Runs a shell script as root of its own name space, where it may mount; `$run OUT` is the command.
/// None, with a line saying so, where that is not allowed.
fn with_mounts(whole: &Whole, folder: &Path, script: &str) -> Option<String> {
    let allowed = Command::new("unshare")
        .args(["-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"])
        .output();
    if !allowed.is_ok_and(|output| output.status.success()) {
        println!("skipped: nothing can be mounted here");
        return None;
    }
    let mut words = vec![env!("CARGO_BIN_EXE_framewright"), "run"];
    words.extend(NO_WEIGHTS);
    words.extend(SETTINGS);
    words.extend(["--manifest", whole.manifest.to_str().unwrap(), "--out"]);
    let script = format!("run='{}'\n{script}", words.join(" "));
    let output = Command::new("unshare")
        .args(["-rm", "sh", "-c", &script])
        .current_dir(folder)
        .env("FRAMEWRIGHT_MODELS", folder.join("none"))
        .stderr(Stdio::null())
        .output()
        .unwrap();
    Some(String::from_utf8(output.stdout).unwrap())
}

/// The words between two marks that a script printed.
fn part<'a>(text: &'a str, name: &str) -> &'a str {
    let start = text.split_once(&format!("[{name}]"));
    let (_, rest) = start.unwrap_or_else(|| panic!("no [{name}] in: {text}"));
    rest.split_once('[').map_or(rest, |(part, _)| part)
}

/// A small file system at one folder of the run, larger later.
fn full_disk(place: &str, size: &str, named: &str) {
    let Some(whole) = whole() else { return };
    let folder = temporary();
    let script = format!(
        "mkdir -p out/{place} && mount -t tmpfs -o size={size} tmpfs out/{place} || exit 1
         echo '[first]'; $run out 2>&1; echo \"code $?\"
         mount -o remount,size=500m out/{place}
         echo '[second]'; $run out 2>&1; echo \"code $?\"
         cp -r out copy; echo '[end]'"
    );
    let Some(printed) = with_mounts(whole, folder.path(), &script) else {
        return;
    };
    let first = part(&printed, "first");
    let words = [
        "code 1\n",
        named,
        "No space left on device",
        "free some space, then run the same command again",
    ];
    for word in words {
        assert!(first.contains(word), "{word:?} is not in: {first}");
    }
    let second = part(&printed, "second");
    assert!(second.contains("code 0\n"), "{second}");
    assert_eq!(digests(&folder.path().join("copy")), digests(&whole.out));
}

#[test]
fn a_full_disk_under_the_spool() {
    full_disk("spool", "16k", "out/spool/");
}

#[test]
fn a_full_disk_under_the_shards() {
    full_disk("shards", "64k", "out/shards/edit_pairs-00000.parquet");
}

#[test]
fn a_full_disk_under_the_ledger() {
    full_disk("ledger", "4k", "out/ledger/");
}

#[test]
fn a_full_disk_under_the_memo_costs_only_the_memory() {
    let Some(whole) = whole() else { return };
    let folder = temporary();
    let script = "mkdir -p out/cache && mount -t tmpfs -o size=4k,nr_inodes=3 tmpfs out/cache
         echo '[first]'; $run out 2>&1; echo \"code $?\"
         cp -r out copy; echo '[end]'";
    let Some(printed) = with_mounts(whole, folder.path(), script) else {
        return;
    };
    let first = part(&printed, "first");
    assert!(first.contains("code 0\n"), "{first}");
    assert!(
        first.contains("not remembered") && first.contains("No space left"),
        "{first}"
    );
    assert_eq!(digests(&folder.path().join("copy")), digests(&whole.out));
}

#[test]
fn a_full_disk_under_the_report_and_a_read_only_folder() {
    let Some(whole) = whole() else { return };
    let folder = temporary();
    let script = "mkdir out && mount -t tmpfs -o size=500m tmpfs out || exit 1
         $run out > /dev/null 2>&1
         rm out/report.* out/dataset_card.md
         used=$(du -sk out | cut -f1)
         mount -o remount,size=$((used + 8))k out
         echo '[full]'; $run out 2>&1; echo \"code $?\"
         mount -o remount,size=500m out
         mount -o remount,ro out
         echo '[read only]'; $run out 2>&1; echo \"code $?\"
         mount -o remount,rw out
         echo '[last]'; $run out 2>&1; echo \"code $?\"
         cp -r out copy; echo '[end]'";
    let Some(printed) = with_mounts(whole, folder.path(), script) else {
        return;
    };
    let full = part(&printed, "full");
    assert!(
        full.contains("code 1\n") && full.contains("out/report."),
        "{full}"
    );
    assert!(
        full.contains("free some space, then run the same command again"),
        "{full}"
    );
    let read_only = part(&printed, "read only");
    assert!(read_only.contains("code 1\n"), "{read_only}");
    assert!(
        read_only.contains("mount it for writing or choose another folder"),
        "{read_only}"
    );
    assert!(part(&printed, "last").contains("code 0\n"), "{printed}");
    assert_eq!(digests(&folder.path().join("copy")), digests(&whole.out));
}

// ---------------------------------------------------------------- files and folders that go away

/// A run that waits at one video, in one stage, until [`Held::go`].
struct Held {
    whole: &'static Whole,
    manifest: PathBuf,
    folder: TempDir,
    child: Child,
}

impl Held {
    /// Starts a run that waits in that stage, and returns when it does.
    fn start(stage: &str, whole: &'static Whole) -> Self {
        Self::start_with(stage, whole, &whole.manifest, temporary())
    }

    fn start_with(stage: &str, whole: &'static Whole, manifest: &Path, folder: TempDir) -> Self {
        let mut child = run_command(manifest, &folder.path().join("out"), &SETTINGS)
            .env("FRAMEWRIGHT_FAULT", format!("{stage}:wait:{GATE}"))
            .env("FRAMEWRIGHT_FAULT_ONCE", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mark = folder.path().join("0");
        while !mark.exists() {
            if child.try_wait().unwrap().is_some() {
                let ran: Ran = child.wait_with_output().unwrap().into();
                panic!("it ended before {stage}: {ran:?}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Self {
            whole,
            manifest: manifest.to_owned(),
            folder,
            child,
        }
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    fn worker(&self) -> u32 {
        worker_of(&self.child).expect("the supervisor has one child")
    }

    /// Lets the run go on and waits for its end.
    fn go(self) -> Ended {
        let go = self.folder.path().join("go");
        framewright::store::publish_bytes(&go, b"").unwrap();
        self.end()
    }

    fn end(self) -> Ended {
        Ended {
            ran: self.child.wait_with_output().unwrap().into(),
            whole: self.whole,
            manifest: self.manifest,
            folder: self.folder,
        }
    }
}

struct Ended {
    ran: Ran,
    whole: &'static Whole,
    manifest: PathBuf,
    folder: TempDir,
}

impl Ended {
    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    /// Checks the exit code and that the same command goes on to the same bytes.
    #[track_caller]
    fn resumes_after(self, code: i32) -> Ran {
        let out = self.out();
        let ran = self.ran.expect(code);
        run(&self.manifest, &out, &SETTINGS).expect(0);
        assert_eq!(digests(&out), digests(&self.whole.out));
        ran
    }
}

#[test]
fn a_folder_that_is_moved_away_stops_the_run() {
    let Some(whole) = long() else { return };
    let held = Held::start("fetch_frames", whole);
    let (out, away) = (held.out(), held.folder.path().join("away"));
    move_to(&out, &away);
    let mut ended = held.go();
    says(&ended.ran, &["out: this folder was deleted or moved"]);
    if out.exists() {
        std::fs::remove_dir_all(&out).unwrap();
    }
    move_to(&away, &out);
    ended.ran.err.clear();
    ended.resumes_after(1);
}

#[test]
fn a_folder_that_is_deleted_stops_the_run() {
    let Some(whole) = long() else { return };
    let held = Held::start("fetch_frames", whole);
    let away = held.folder.path().join("away");
    move_to(&held.out(), &away);
    std::fs::remove_dir_all(&away).unwrap();
    let ran = held.go().resumes_after(1);
    says(
        &ran,
        &["out: this folder was deleted or moved", "same command"],
    );
}

fn move_to(from: &Path, to: &Path) {
    let status = Command::new("mv").args([from, to]).status().unwrap();
    assert!(status.success());
}

/// A run over videos of its own, of which one is changed while it is in that stage.
fn change_in(stage: &str, change: impl FnOnce(&Path), kind: &str, words: &str) {
    let folder = temporary();
    let Some((whole, videos)) = whole().zip(videos(folder.path(), 2)) else {
        return;
    };
    let gate = folder.path().join(GATE);
    let original = std::fs::read(&gate).unwrap();
    let manifest = manifest_of(folder.path(), &videos);
    let held = Held::start_with(stage, whole, &manifest, folder);
    change(&gate);
    let ended = held.go();
    let err = &ended.ran.err;
    assert_eq!(ended.ran.code, Some(3), "{err}");
    let rows = rejects(&ended.out());
    let failed: Vec<_> = rows
        .iter()
        .filter(|row| row["outcome"] == "failed")
        .collect();
    assert!(!failed.is_empty());
    for row in failed {
        assert!(text(row, "video_uri").ends_with(GATE), "{row:?}");
        assert_eq!(text(row, "reason"), kind, "{row:?}");
        assert!(text(row, "message").contains(words), "{row:?}");
    }
    let kept = samples(&ended.out());
    assert!(!kept.is_empty());
    assert!(
        kept.iter()
            .all(|row| !text(row, "video_uri").ends_with(GATE))
    );
    assert!(!ended.out().join("strikes.jsonl").exists(), "{err}");
    // Nothing of the other content was remembered for this one.
    let fresh = ended.folder.path().join("fresh");
    move_to(
        &ended.out().join("cache"),
        &ended.folder.path().join("cache"),
    );
    std::fs::create_dir(&fresh).unwrap();
    move_to(&ended.folder.path().join("cache"), &fresh.join("cache"));
    framewright::store::publish_bytes(&gate, &original).unwrap();
    run(&ended.manifest, &fresh, &SETTINGS).expect(0);
    let untouched = ended.folder.path().join("untouched");
    run(&ended.manifest, &untouched, &SETTINGS).expect(0);
    assert_eq!(digests(&fresh), digests(&untouched));
}

fn overwrite(path: &Path, bytes: &[u8]) {
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(path)
        .unwrap();
    file.write_all(bytes).unwrap();
}

#[test]
fn a_file_that_vanishes_before_its_frames_are_fetched() {
    let vanish = |path: &Path| std::fs::remove_file(path).unwrap();
    change_in(
        "fetch_frames",
        vanish,
        "missing",
        "removed while it was worked on",
    );
}

#[test]
fn a_file_that_is_cut_off_while_it_is_worked_on() {
    let cut = |path: &Path| {
        let bytes = std::fs::read(path).unwrap();
        overwrite(path, &bytes[..bytes.len() / 2]);
    };
    change_in("split", cut, "unreadable", "changed while it was worked on");
}

#[test]
fn a_file_that_becomes_another_video_between_two_passes() {
    let swap = |path: &Path| {
        let length = std::fs::metadata(path).unwrap().len() as usize;
        let other = path.with_file_name("a.mp4");
        let mut bytes = std::fs::read(other).unwrap();
        bytes.resize(length, 0);
        overwrite(path, &bytes);
    };
    change_in(
        "fetch_frames",
        swap,
        "unreadable",
        "changed while it was worked on",
    );
}

// ---------------------------------------------------------------- two at once, signals, pipes

#[test]
fn of_two_runs_started_at_once_one_wins() {
    for more in [&[][..], &["--no-supervisor"]] {
        let Some(whole) = whole() else { return };
        let folder = temporary();
        let out = folder.path().join("out");
        let settings = [&SETTINGS[..], more].concat();
        let start = || {
            run_command(&whole.manifest, &out, &settings)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        };
        let both = [start(), start()];
        let mut ran = both.map(|child| Ran::from(child.wait_with_output().unwrap()));
        ran.sort_by_key(|ran| ran.code);
        let [winner, loser] = ran;
        winner.expect(0);
        says(
            &loser.expect(1),
            &["another run", "wait for it or choose another --out"],
        );
        assert_eq!(digests(&out), digests(&whole.out));
    }
}

#[test]
fn sigterm_to_the_whole_job_drains_once() {
    let Some(whole) = long() else { return };
    let held = Held::start("fetch_frames", whole);
    signal("TERM", &[held.worker(), held.child.id()]);
    std::thread::sleep(Duration::from_millis(300));
    let (ended, folder) = {
        let ended = held.go();
        let out = ended.out();
        (ended, out)
    };
    let done = videos_done(&folder);
    assert!(done >= 1, "the video in flight was lost");
    let ran = ended.resumes_after(130);
    assert!(!ran.err.contains("work in flight is lost"), "{}", ran.err);
    assert!(!folder.join("strikes.jsonl").exists());
}

#[test]
fn a_second_interrupt_aborts() {
    let Some(whole) = long() else { return };
    let held = Held::start("fetch_frames", whole);
    let id = held.child.id();
    signal("INT", &[id]);
    std::thread::sleep(Duration::from_millis(200));
    signal("TERM", &[id]);
    // It waits for nobody: the item in flight never comes back.
    let start = Instant::now();
    let ended = held.end();
    assert!(start.elapsed() < Duration::from_secs(20));
    let ran = ended.resumes_after(130);
    says(
        &ran,
        &["finishing the videos in flight", "work in flight is lost"],
    );
}

#[test]
fn a_closed_terminal_drains_and_nohup_goes_on() {
    let Some(whole) = long() else { return };
    let held = Held::start("fetch_frames", whole);
    for _ in 0..3 {
        signal("HUP", &[held.worker(), held.child.id()]);
        std::thread::sleep(Duration::from_millis(50));
    }
    let ran = held.go().resumes_after(130);
    assert!(!ran.err.contains("work in flight is lost"), "{}", ran.err);

    let folder = temporary();
    let out = folder.path().join("out");
    let command = run_command(&whole.manifest, &out, &SETTINGS);
    let mut child = Command::new("sh")
        .args(["-c", "trap '' HUP; exec \"$@\"", "sh"])
        .arg(command.get_program())
        .args(command.get_args())
        .env("FRAMEWRIGHT_MODELS", folder.path().join("none"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    while !out.join("run.json").exists() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    let worker = worker_of(&child).expect("the supervisor has one child");
    signal("HUP", &[worker, child.id()]);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(digests(&out), digests(&whole.out));
}

#[test]
fn closed_pipes_do_not_change_how_a_run_ends() {
    let Some(whole) = whole() else { return };
    let folder = temporary();
    let missing = [
        folder.path().join("missing.mp4"),
        whole.manifest.with_file_name("a.mp4"),
    ];
    let manifest = manifest_of(folder.path(), &missing);
    let mut child = run_command(&manifest, &folder.path().join("out"), &["-v"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    assert_eq!(child.wait().unwrap().code(), Some(3));

    let command = run_command(&manifest, &folder.path().join("no-stdin"), &[]);
    let output = Command::new("sh")
        .args(["-c", "exec \"$@\" <&-", "sh"])
        .arg(command.get_program())
        .args(command.get_args())
        .env("FRAMEWRIGHT_MODELS", folder.path().join("none"))
        .output()
        .unwrap();
    Ran::from(output).expect(3);
}
