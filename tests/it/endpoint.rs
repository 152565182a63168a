//! Instructions and points from a chat service: what it says, refuses, garbles or fails at.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::chat_server::{Asked, ChatServer, Reply};
use crate::clips::{clip, good_manifest};
use crate::program::{Ran, run_command};
use crate::run_folder::{digests, files, reasons, rejects, samples};

const KEY: &str = "sk-a-secret-that-no-file-may-hold";

fn instruction(text: &str) -> Reply {
    let answer = json!({
        "before": "a square on the left", "after": "a square on the right",
        "differences": [{ "kind": "position", "what": "the square" }],
        "clear": true, "instruction": text, "reason": "",
    });
    Reply::says(&answer.to_string())
}

fn unclear() -> Reply {
    let answer = json!({
        "before": "noise", "after": "noise", "differences": [],
        "clear": false, "instruction": "", "reason": "the camera moved",
    });
    Reply::says(&answer.to_string())
}

fn points(faithful: u8, complete: u8) -> Reply {
    let answer = json!({
        "faithful": faithful, "complete": complete, "only_this_change": 5,
        "reason": "the edge is soft",
    });
    Reply::says(&answer.to_string())
}

struct Setting {
    server: ChatServer,
    folder: TempDir,
    manifest: PathBuf,
}

impl Setting {
    fn new(
        manifest: impl FnOnce(&Path) -> Option<PathBuf>,
        reply: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Option<Self> {
        let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let manifest = manifest(folder.path())?;
        let server = ChatServer::start(reply);
        Some(Self {
            server,
            folder,
            manifest,
        })
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    /// Runs with the endpoint as writer, and as judge if `more` says so.
    fn run(&self, out: &Path, more: &[&str]) -> Ran {
        self.run_with_key(out, None, more)
    }

    fn run_with_key(&self, out: &Path, key: Option<&str>, more: &[&str]) -> Ran {
        let base_url = format!("endpoint.base_url={}/v1", self.server.address());
        let mut settings = vec!["--set", "instruct.writer=endpoint", "--set", &base_url];
        settings.extend([
            "--set",
            "endpoint.model=test",
            "--set",
            "endpoint.max_retries=1",
        ]);
        if key.is_some() {
            settings.extend(["--set", "endpoint.key_env=FRAMEWRIGHT_TEST_KEY"]);
        }
        settings.extend(more);
        let mut command = run_command(&self.manifest, out, &settings);
        command.env("FRAMEWRIGHT_TEST_KEY", key.unwrap_or_default());
        command.output().unwrap().into()
    }
}

fn one_clip(_: &Path) -> Option<PathBuf> {
    clip("move.mp4")
}

const JUDGE: [&str; 2] = ["--set", "judge.backend=endpoint"];

#[test]
fn instructions_and_points_become_columns() {
    let answer = |asked: &Asked| match (asked.is_judge(), asked.number() % 3) {
        (false, _) => instruction("Move the red square to the right."),
        (true, 0) => points(5, 2),
        (true, _) => points(5, 4),
    };
    let Some(setting) = Setting::new(good_manifest, answer) else {
        return;
    };
    let out = setting.out();
    setting.run(&out, &JUDGE).expect(0);
    let rows = samples(&out);
    assert!(!rows.is_empty());
    for row in &rows {
        assert_eq!(row["instruction"], "Move the red square to the right.");
        assert_eq!(row["instruction_writer"], "endpoint:test");
        assert_eq!(row["input_captions"], json!(["a square on the left"]));
        assert_eq!(row["output_caption"], "a square on the right");
        let judged = ["judge_faithful", "judge_complete", "judge_only_this_change"];
        assert_eq!(
            judged.map(|axis| row[axis].as_f64()),
            [Some(5.0), Some(4.0), Some(5.0)]
        );
        assert_eq!(row["judge_reason"], "the edge is soft");
        let prompts = row["prompts"].to_string();
        assert!(prompts.contains("edit_instruction_v1@") && prompts.contains("edit_judge_v1@"));
        assert!(row["models"].to_string().contains("endpoint:test"));
    }
    let asked = setting.server.asked();
    assert!(
        asked
            .iter()
            .all(|asked| asked.path == "/v1/chat/completions")
    );
    assert!(asked.iter().all(|asked| asked.body["model"] == "test"));
    assert!(asked.iter().all(|asked| asked.authorization.is_none()));
    let below = asked
        .iter()
        .filter(|asked| asked.is_judge() && asked.number() % 3 == 0)
        .count();
    let judged = asked.iter().filter(|asked| asked.is_judge()).count();
    assert!(
        below > 0 && below < judged,
        "{below} of {judged}: choose other numbers"
    );
    let rejected = reasons(&out, "rejected");
    assert_eq!(
        rejected.get("judge/complete"),
        Some(&(below as u64)),
        "{rejected:?}"
    );
    let duplicates = rejected
        .iter()
        .filter(|(reason, _)| reason.starts_with("duplicate"));
    let duplicates: u64 = duplicates.map(|(_, count)| count).sum();
    assert_eq!(rows.len() as u64 + duplicates, (judged - below) as u64);
    let worst = rejects(&out)
        .into_iter()
        .find(|row| row["stage"] == "judge")
        .unwrap();
    assert_eq!(worst["score"], json!(2.0));

    // Score mode only records.
    let scored = setting.folder.path().join("scored");
    let score = [&JUDGE[..], &["--set", "output.mode=score"]].concat();
    setting.run(&scored, &score).expect(0);
    assert!(
        samples(&scored)
            .iter()
            .any(|row| row["judge_complete"] == json!(2.0))
    );
}

#[test]
fn refusals_and_unclear_edits_are_rejections() {
    let answer = |asked: &Asked| match asked.number() % 3 {
        0 => Reply::refuses("I cannot help with that"),
        1 => unclear(),
        _ => instruction("Move the square."),
    };
    let Some(setting) = Setting::new(good_manifest, answer) else {
        return;
    };
    let out = setting.out();
    setting.run(&out, &[]).expect(0);
    let asked = setting.server.asked();
    let of = |rest: u8| {
        asked
            .iter()
            .filter(|asked| asked.number() % 3 == rest)
            .count() as u64
    };
    assert!(
        of(0) > 0 && of(1) > 0 && of(2) > 0,
        "{} {} {}",
        of(0),
        of(1),
        of(2)
    );
    let rejected = reasons(&out, "rejected");
    assert_eq!(
        rejected.get("instruct/refused"),
        Some(&of(0)),
        "{rejected:?}"
    );
    assert_eq!(
        rejected.get("instruct/no_clear_edit"),
        Some(&of(1)),
        "{rejected:?}"
    );
    let words = rejects(&out)
        .iter()
        .map(|row| row["detail"].to_string())
        .collect::<String>();
    assert!(words.contains("I cannot help with that") && words.contains("the camera moved"));
}

#[test]
fn a_busy_service_is_asked_again() {
    let seen = Mutex::new(std::collections::BTreeSet::new());
    let answer = move |asked: &Asked| {
        if seen
            .lock()
            .unwrap()
            .insert(asked.body["messages"].to_string())
        {
            let mut busy = Reply::new(429, r#"{"error":{"message":"slow down"}}"#);
            busy.headers.push(("Retry-After", "0".into()));
            return busy;
        }
        instruction("Move the square.")
    };
    let Some(setting) = Setting::new(one_clip, answer) else {
        return;
    };
    setting.run(&setting.out(), &[]).expect(0);
    let rows = samples(&setting.out());
    assert!(!rows.is_empty());
    assert!(setting.server.asked().len() >= 2 * rows.len());
}

#[test]
fn a_service_that_stays_broken_fails_the_pairs_and_is_asked_again_later() {
    let Some(mut setting) = Setting::new(one_clip, |_| Reply::new(500, "out of luck")) else {
        return;
    };
    let out = setting.out();
    let quick = ["--set", "limits.max_failed_ratio=1.0"];
    setting.run(&out, &quick).expect(3);
    let failed = reasons(&out, "failed");
    let tries = setting.server.asked().len() as u64;
    assert_eq!(failed.keys().collect::<Vec<_>>(), ["instruct/remote"]);
    assert_eq!(tries, 2 * failed["instruct/remote"], "one retry each");
    let message = rejects(&out)[0]["message"].to_string();
    assert!(samples(&out).is_empty());
    assert!(
        message.contains("500") && message.contains("out of luck"),
        "{message}"
    );

    // A failure is not remembered: in another folder with the same memo the service is asked anew.
    setting.server = ChatServer::start(|_| instruction("Move the square."));
    std::fs::remove_dir_all(out.join("ledger")).unwrap();
    setting.run(&out, &quick).expect(0);
    assert!(!samples(&out).is_empty());
}

#[test]
fn garbage_is_a_failure_of_the_model() {
    let replies = |asked: &Asked| match asked.number() % 3 {
        0 => Reply::says("I think that the square moved."),
        1 => Reply::says("{\"before\": 3}"),
        _ => Reply::new(200, "<html>not here</html>"),
    };
    let Some(setting) = Setting::new(one_clip, replies) else {
        return;
    };
    let out = setting.out();
    setting
        .run(&out, &["--set", "limits.max_failed_ratio=1.0"])
        .expect(3);
    let failed = reasons(&out, "failed");
    assert_eq!(failed.keys().collect::<Vec<_>>(), ["instruct/model"]);
    assert_eq!(
        failed["instruct/model"],
        setting.server.asked().len() as u64,
        "no retry helps"
    );
}

#[test]
fn points_out_of_bounds_are_not_believed() {
    let answer = |asked: &Asked| {
        if asked.is_judge() {
            points(9, 5)
        } else {
            instruction("Move the square.")
        }
    };
    let Some(setting) = Setting::new(one_clip, answer) else {
        return;
    };
    let out = setting.out();
    let all = [&JUDGE[..], &["--set", "limits.max_failed_ratio=1.0"]].concat();
    setting.run(&out, &all).expect(3);
    assert_eq!(
        reasons(&out, "failed").keys().collect::<Vec<_>>(),
        ["judge/model"]
    );
}

#[test]
fn what_was_answered_is_never_asked_again_and_threads_change_nothing() {
    let answer = |asked: &Asked| match (asked.is_judge(), asked.number()) {
        (true, number) => points(3 + number % 3, 5),
        (false, number) if number % 4 == 0 => Reply::refuses("no"),
        (false, number) => instruction(&format!("Move the square by {number} steps.")),
    };
    let Some(setting) = Setting::new(good_manifest, answer) else {
        return;
    };
    let (out, other) = (setting.out(), setting.folder.path().join("other"));
    setting.run(&out, &JUDGE).expect(0);
    let asked = setting.server.asked().len();
    assert!(asked > 4);
    let bytes = digests(&out);

    setting.run(&out, &JUDGE).expect(0);
    assert_eq!(
        setting.server.asked().len(),
        asked,
        "a finished run asked again"
    );
    for name in ["ledger", "shards", "rejects", "spool"] {
        std::fs::remove_dir_all(out.join(name)).unwrap();
    }
    setting.run(&out, &JUDGE).expect(0);
    assert_eq!(setting.server.asked().len(), asked, "the memo was not used");
    assert_eq!(digests(&out), bytes);
    // Another bar judges by the remembered points.
    let strict = [&JUDGE[..], &["--set", "judge.min=5.0"]].concat();
    setting.run(&out, &strict).expect(0);
    assert_eq!(
        setting.server.asked().len(),
        asked,
        "a bar was taken for another judge"
    );

    let one = [
        "--set",
        "workers.instruct=1",
        "--set",
        "workers.judge=1",
        "-j",
        "1",
    ];
    setting.run(&other, &[&JUDGE[..], &one].concat()).expect(0);
    assert_eq!(digests(&other), bytes);
}

#[test]
fn the_key_is_sent_and_written_nowhere() {
    let answer = |asked: &Asked| match asked.number() % 2 {
        // A server that repeats what it was sent, in an answer or an error.
        0 => instruction(&format!("Move the square {KEY}.")),
        _ => Reply::new(401, format!(r#"{{"error":{{"message":"bad key {KEY}"}}}}"#)),
    };
    let Some(setting) = Setting::new(good_manifest, answer) else {
        return;
    };
    let out = setting.out();
    let loud = ["-vv", "--json", "--set", "limits.max_failed_ratio=1.0"];
    let ran = setting.run_with_key(&out, Some(KEY), &loud).expect(3);
    let asked = setting.server.asked();
    let bearer = format!("Bearer {KEY}");
    assert!(!asked.is_empty());
    assert!(
        asked
            .iter()
            .all(|asked| asked.authorization.as_deref() == Some(&bearer))
    );
    assert!(
        !ran.out.contains(KEY) && !ran.err.contains(KEY),
        "the key was printed"
    );
    for path in files(&out) {
        let bytes = std::fs::read(&path).unwrap();
        let found = bytes.windows(KEY.len()).any(|part| part == KEY.as_bytes());
        assert!(!found, "the key is in {}", path.display());
    }
    let failed = reasons(&out, "failed");
    assert!(
        !failed.is_empty(),
        "nobody was refused; choose other numbers"
    );
}

#[test]
fn settings_of_the_service_are_checked_before_anything_runs() {
    let Some(setting) = Setting::new(one_clip, |_| Reply::new(500, "")) else {
        return;
    };
    let out = setting.out();
    let wrong = setting
        .run(&out, &["--set", "endpoint.base_url=localhost:1"])
        .expect(1);
    assert!(wrong.err.contains("endpoint.base_url"), "{}", wrong.err);
    let wrong = setting
        .run(&out, &["--set", "endpoint.key_env=FRAMEWRIGHT_TEST_NO_KEY"])
        .expect(1);
    assert!(
        wrong.err.contains("FRAMEWRIGHT_TEST_NO_KEY"),
        "{}",
        wrong.err
    );
    let wrong = setting
        .run(&out, &["--set", "instruct.prompt=edit_instruction_v9"])
        .expect(1);
    assert!(wrong.err.contains("instruct.prompt"), "{}", wrong.err);
    assert_eq!(setting.server.asked().len(), 0);
    assert_eq!(Value::Bool(out.exists()), Value::Bool(false));
}
