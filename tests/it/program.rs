//! Runs the real program.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Child, Command, Output};

/// Settings with which no weights are needed.
pub(crate) const NO_WEIGHTS: [&str; 4] = [
    "--set",
    "split.detector=adaptive",
    "--set",
    "filters.similarity_window.enabled=false",
];

/// How a call ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// The same, if it ended with that code.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.out, self.err);
        self
    }

    /// What was printed, as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("{error}: {}\n{}", self.out, self.err))
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// The program with the user's weights.
pub(crate) fn program_with_weights() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_framewright"));
    command.env_remove("FRAMEWRIGHT_LOG");
    command
}

/// The program on a machine without weights.
pub(crate) fn program() -> Command {
    let mut command = program_with_weights();
    let none = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no-weights");
    command.env("FRAMEWRIGHT_MODELS", none);
    command
}

/// Calls the program without weights.
pub(crate) fn call<I: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = I>) -> Ran {
    program().args(arguments).output().unwrap().into()
}

/// `run` without weights, with more arguments.
pub(crate) fn run_command(manifest: &Path, out: &Path, more: &[&str]) -> Command {
    let mut command = program();
    command
        .arg("run")
        .args(NO_WEIGHTS)
        .arg("--manifest")
        .arg(manifest)
        .arg("--out")
        .arg(out)
        .args(more);
    command
}

/// Calls [`run_command`].
pub(crate) fn run(manifest: &Path, out: &Path, more: &[&str]) -> Ran {
    run_command(manifest, out, more).output().unwrap().into()
}

/// Sends a signal to processes, which may be gone.
pub(crate) fn signal(name: &str, processes: &[u32]) {
    let numbers: Vec<String> = processes.iter().map(ToString::to_string).collect();
    let line = format!("kill -{name} {} 2>/dev/null; true", numbers.join(" "));
    Command::new("sh").args(["-c", &line]).status().unwrap();
}

/// The worker process of a running `run`.
pub(crate) fn worker_of(child: &Child) -> Option<u32> {
    let id = child.id();
    let path = format!("/proc/{id}/task/{id}/children");
    let text = std::fs::read_to_string(Path::new(&path)).ok()?;
    text.split_whitespace().next()?.parse().ok()
}

/// Finished videos of a run that goes on or is over; 0 before it has begun.
pub(crate) fn videos_done(out: &Path) -> u64 {
    let status = call([OsStr::new("status"), OsStr::new("--json"), out.as_os_str()]);
    if status.code != Some(0) {
        return 0;
    }
    status.json()["videos_done"].as_u64().unwrap()
}

/// Whether all weights of the default pipeline are here; says so if not.
pub(crate) fn has_weights() -> bool {
    let listed: Ran = program_with_weights()
        .args(["models", "list", "--json"])
        .output()
        .unwrap()
        .into();
    let listed = listed.expect(0).json();
    let models = listed.as_array().unwrap();
    let library = framewright::runtime::load_library(None).is_ok();
    let all = library && models.iter().all(|model| model["state"] == "present");
    if !all {
        println!("skipped: weights or ONNX Runtime are missing; see `framewright models pull`");
    }
    all
}

/// The most memory that a process has taken so far, bytes.
pub(crate) fn peak_memory_bytes(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}
