//! A campaign of kills at random times, and deaths at awkward points: the same bytes as ever.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::chat_server::{Asked, ChatServer, Reply};
use crate::clips::{clip, copy_of, manifest_of};
use crate::program::{Ran, call, run, run_command, signal, worker_of};
use crate::run_folder::{digests, reasons};

/// Kills of `cargo test` and of `make test-kill`, if `KILLS` does not say otherwise.
const FEW: u64 = 10;
const MANY: u64 = 100;
const SEED: u64 = 1;
/// Copies of clips that give pairs, duplicates among them.
const COPIES: usize = 9;
/// Requests that may be under way at once: two writers and two judges.
const MAX_ASKED_AT_ONCE: u64 = 4;

/// The end of what the supervisor says when its worker process dies before any work, twice.
const BLAMELESS: &str = "run with --no-supervisor to see where\n";

const SETTINGS: [&str; 16] = [
    "--set",
    "propose_pairs.max_per_scene=2",
    "-j",
    "2",
    "--set",
    "output.chunk_rows=4",
    "--set",
    "workers.instruct=2",
    "--set",
    "workers.judge=2",
    "--set",
    "instruct.writer=endpoint",
    "--set",
    "judge.backend=endpoint",
    "--set",
    "judge.min=4.0",
];

/// Numbers that look random and follow from a seed (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// Follows from what is asked alone.
fn answer(asked: &Asked) -> Reply {
    let number = asked.number();
    if asked.is_judge() {
        let points = json!({
            "faithful": 3 + number % 3, "complete": 5, "only_this_change": 5, "reason": "",
        });
        return Reply::says(&points.to_string());
    }
    if number.is_multiple_of(6) {
        return Reply::refuses("no");
    }
    let words = json!({
        "before": "one", "after": "another", "differences": [], "clear": true,
        "instruction": format!("Move the square by {number} steps."), "reason": "",
    });
    Reply::says(&words.to_string())
}

/// All that a run leaves for its user, and what `status` says.
#[derive(Debug, PartialEq)]
struct Outcome {
    digests: BTreeMap<String, String>,
    status: Value,
    left_in_spool: usize,
}

fn outcome(out: &Path) -> Outcome {
    let status = call(["status", "--json", out.to_str().unwrap()]);
    Outcome {
        digests: digests(out),
        status: status.expect(0).json(),
        left_in_spool: std::fs::read_dir(out.join("spool")).unwrap().count(),
    }
}

struct Campaign {
    server: ChatServer,
    folder: TempDir,
    manifest: PathBuf,
    dice: Dice,
    /// Number of rows, and of the requests of a run that is left alone.
    rows: u64,
    requests: u64,
    /// How long that took.
    took: Duration,
    expected: Outcome,
    /// Kills: who, and how long after the last one or the start.
    kills: Vec<(&'static str, Duration)>,
}

impl Campaign {
    fn new(seed: u64) -> Option<Self> {
        let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut videos = Vec::new();
        for row in 0..COPIES {
            let name = ["move.mp4", "appear.mp4", "other.mp4"][row % 3];
            videos.push(copy_of(name, folder.path(), &format!("{row}-{name}"))?);
        }
        for name in ["truncated.mp4", "cut.mp4", "text.mp4", "missing.mp4"] {
            videos.push(clip(name)?);
        }
        let manifest = manifest_of(folder.path(), &videos);
        let mut campaign = Self {
            server: ChatServer::start(answer),
            folder,
            manifest,
            dice: Dice(seed),
            rows: videos.len() as u64,
            requests: 0,
            took: Duration::ZERO,
            expected: Outcome {
                digests: BTreeMap::new(),
                status: Value::Null,
                left_in_spool: 0,
            },
            kills: Vec::new(),
        };
        let out = campaign.out("whole");
        let start = Instant::now();
        let mut child = campaign.start(&out);
        assert_eq!(child.wait().unwrap().code(), Some(3), "{}", campaign.log());
        campaign.took = start.elapsed();
        campaign.requests = campaign.server.asked().len() as u64;
        campaign.expected = outcome(&out);
        let rejected = reasons(&out, "rejected");
        for wanted in ["duplicate/", "instruct/refused", "judge/faithful"] {
            let found = rejected.keys().any(|reason| reason.starts_with(wanted));
            assert!(found, "no {wanted}: {rejected:?}; choose other numbers");
        }
        Some(campaign)
    }

    fn out(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What all processes of the campaign said.
    fn log(&self) -> String {
        std::fs::read_to_string(self.out("log")).unwrap_or_default()
    }

    fn start(&self, out: &Path) -> Child {
        let address = format!("endpoint.base_url={}/v1", self.server.address());
        let more = ["--set", &address, "--set", "endpoint.model=test"];
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.out("log"))
            .unwrap();
        run_command(&self.manifest, out, &[&SETTINGS[..], &more].concat())
            .env("FRAMEWRIGHT_LOG", "framewright=debug")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    /// Waits for a random time; whether the process is still there then.
    fn lurk(&mut self, child: &mut Child) -> Option<Duration> {
        // Long enough that most kills find videos at work, short enough that some do not.
        let most = (self.took.as_millis() as u64 / 3).max(50);
        let wait = Duration::from_millis(self.dice.below(most));
        let start = Instant::now();
        while start.elapsed() < wait {
            if child.try_wait().unwrap().is_some() {
                return None;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        child.try_wait().unwrap().is_none().then_some(wait)
    }

    /// Runs the command until it ends by itself, killing up to `max_kills` processes; whether it did.
    fn attempt(&mut self, out: &Path, max_kills: u64) -> bool {
        let mut child = self.start(out);
        while (self.kills.len() as u64) < max_kills {
            let Some(after) = self.lurk(&mut child) else {
                break;
            };
            let worker = worker_of(&child);
            let (who, victims) = match (self.dice.below(3), worker) {
                (0, Some(worker)) => ("worker", vec![worker]),
                (1, Some(worker)) => ("both", vec![child.id(), worker]),
                _ => ("supervisor", vec![child.id()]),
            };
            signal("KILL", &victims);
            self.kills.push((who, after));
            if who != "worker" {
                child.wait().unwrap();
                wait_until_gone(worker);
                return false;
            }
        }
        let code = child.wait().unwrap().code();
        if code == Some(1) && self.log().ends_with(BLAMELESS) {
            // Killed twice before it had begun anything.
            return false;
        }
        assert_eq!(code, Some(3), "{}", self.log());
        true
    }

    /// Runs again and again, each in a new folder, until there were enough kills.
    fn run(&mut self, max_kills: u64) {
        let mut rounds = 0;
        while (self.kills.len() as u64) < max_kills {
            rounds += 1;
            let out = self.out(&format!("round{rounds}"));
            let before = self.kills.len();
            while !self.attempt(&out, max_kills) {}
            let kills = &self.kills[before..];
            assert_eq!(outcome(&out), self.expected, "{kills:?}\n{}", self.log());
            if !kills.is_empty() {
                println!("round {rounds}: the same after {} kills", kills.len());
            }
            std::fs::remove_dir_all(&out).unwrap();
        }
        self.count_work(rounds);
    }

    fn count_work(&self, rounds: u64) {
        let kills = self.kills.len() as u64;
        let asked = self.server.asked().len() as u64 - self.requests;
        let again = asked as i64 - (rounds * self.requests) as i64;
        let begun = self.log().matches(": begins").count() as u64 - self.rows;
        let mut targets = BTreeMap::new();
        for (who, _) in &self.kills {
            *targets.entry(*who).or_insert(0) += 1;
        }
        println!(
            "{kills} kills {targets:?} in {rounds} rounds of {} videos: {again} of {asked} requests \
             and {} of {begun} videos a second time",
            self.rows,
            begun - rounds * self.rows
        );
        assert!(again >= 0, "a round asked less");
        assert!(
            again as u64 <= kills * MAX_ASKED_AT_ONCE,
            "more was asked again than was under way"
        );
    }
}

fn wait_until_gone(process: Option<u32>) {
    let Some(process) = process else { return };
    let deadline = Instant::now() + Duration::from_mins(1);
    let path = format!("/proc/{process}");
    while Path::new(&path).exists() {
        assert!(Instant::now() < deadline, "the worker process goes on");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn number(variable: &str, default: u64) -> u64 {
    let text = std::env::var(variable).ok();
    text.map_or(default, |text| text.parse().unwrap())
}

fn campaign(default_kills: u64) {
    let (kills, seed) = (number("KILLS", default_kills), number("SEED", SEED));
    let Some(mut campaign) = Campaign::new(seed) else {
        return;
    };
    println!("KILLS={kills} SEED={seed}");
    campaign.run(kills);
}

#[test]
fn kills_at_any_time_leave_no_trace() {
    campaign(FEW);
}

#[test]
#[ignore = "minutes; run by `make test-kill`"]
fn many_kills_at_any_time_leave_no_trace() {
    campaign(MANY);
}

/// Places of [`framewright::store`] at which the process dies once, and what is written there.
const POINTS: [&str; 10] = [
    "rename:abort:edit_pairs-00000.parquet",
    "renamed:abort:edit_pairs-00000.parquet",
    "renamed:abort:rejects/00001.parquet",
    "append:abort:\"kind\":\"chunk\"",
    "tear:abort:\"kind\":\"chunk\"",
    "appended:abort:\"kind\":\"chunk\"",
    "tear:abort:\"kind\":\"root\"",
    "appended:abort:\"kind\":\"root\"",
    "rename:abort:/cache/",
    "rename:abort:report.json",
];

#[test]
fn a_death_at_an_awkward_point_leaves_no_trace() {
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut videos = Vec::new();
    for row in 0..4 {
        let name = ["move.mp4", "appear.mp4"][row % 2];
        let Some(copy) = copy_of(name, folder.path(), &format!("{row}-{name}")) else {
            return;
        };
        videos.push(copy);
    }
    let manifest = manifest_of(folder.path(), &videos);
    let settings = [
        "-j",
        "2",
        "--set",
        "output.chunk_rows=2",
        "--set",
        "propose_pairs.max_per_scene=1",
    ];
    let whole = folder.path().join("whole");
    run(&manifest, &whole, &settings).expect(0);
    let expected = outcome(&whole);
    for (number, point) in POINTS.iter().enumerate() {
        let marks = folder.path().join(format!("marks{number}"));
        std::fs::create_dir(&marks).unwrap();
        let out = folder.path().join(format!("out{number}"));
        let mut command: Command = run_command(&manifest, &out, &settings);
        command
            .env("FRAMEWRIGHT_FAULT", point)
            .env("FRAMEWRIGHT_FAULT_ONCE", &marks);
        let ran: Ran = command.output().unwrap().into();
        assert!(marks.join("0").exists(), "never came to {point}");
        let ran = ran.expect(0);
        assert!(ran.err.contains("SIGABRT"), "{point}: {}", ran.err);
        assert_eq!(outcome(&out), expected, "{point}");
    }
}
