//! The command line: one file per verb, calls and printing only.

mod check;
mod completions;
mod config;
mod inspect;
mod log;
mod models;
mod plan;
mod progress;
mod retry;
mod run;
mod scenes;
mod select;
mod status;
mod verify;

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use self::log::LogWriter;
use crate::core::{visible_json, visible_line, visible_text};

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done; rejections are fine.
    Done = 0,
    /// Could not run, or an invariant broke.
    Failed = 1,
    /// Done, but some items failed.
    SomeFailed = 3,
    /// Interrupted; the same command continues.
    Interrupted = 130,
}

/// Turns raw video into training pairs for image-editing and subject-driven generation models.
#[derive(Parser, Debug)]
#[command(name = "framewright", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 1 could not run, 2 usage, 3 done but some items \
                        failed, 130 interrupted (the same command continues)."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// More messages; twice for all
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
    /// Errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Mine pairs from the videos of a manifest, or continue where it stopped
    Run(run::Run),
    /// Show stages, workers, models and what is left to do; change nothing
    Plan(plan::Plan),
    /// Find every problem of a pipeline file, its models and a manifest at once
    Check(check::Check),
    /// Show the funnel of a run, finished or not
    Status(status::Status),
    /// Do the failed videos of a run again, and only those
    Retry(retry::Retry),
    /// Check that a finished data set is whole and follows from its videos
    Verify(verify::Verify),
    /// Decide again with stored scores: a new data set without videos, models or decoding
    Select(select::Select),
    /// Find the scenes of videos and print their spans
    Scenes(scenes::Scenes),
    /// Show the columns and first rows of a shard
    Inspect(inspect::Inspect),
    /// List, fetch, check or import model weights
    Models(models::Models),
    /// Show the configuration or its schema
    Config(config::ConfigVerb),
    /// Print shell completions
    Completions(completions::Completions),
}

/// Which pipeline, with which changes.
#[derive(Args, Debug, Clone)]
pub(crate) struct PipelineArgs {
    /// Pipeline file, or `edit-pairs` for the one that is built in
    #[arg(default_value = "edit-pairs")]
    pub pipeline: String,
    /// Change one value, such as `--set split.detector=adaptive`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
}

/// Where the videos are.
#[derive(Args, Debug, Clone)]
pub(crate) struct ManifestArgs {
    /// JSONL, CSV or Parquet manifest, a folder, a glob pattern or one video
    #[arg(short, long, value_name = "PATH")]
    pub manifest: String,
}

/// A run's folder.
#[derive(Args, Debug, Clone)]
pub(crate) struct DirArgs {
    /// Output folder of a run
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}

impl Cli {
    /// Runs the verb; what goes wrong is printed as `framewright: …`.
    pub fn run(self) -> Exit {
        let flags: Vec<&str> = match (self.quiet, self.verbose) {
            (true, _) => vec!["--quiet"],
            (_, verbose) => vec!["--verbose"; usize::from(verbose)],
        };
        let result = match self.command {
            Command::Run(verb) => verb.run(self.quiet),
            Command::Plan(verb) => verb.run(),
            Command::Check(verb) => verb.run(),
            Command::Status(verb) => verb.run(),
            Command::Retry(verb) => verb.run(&flags),
            Command::Verify(verb) => verb.run(),
            Command::Select(verb) => verb.run(),
            Command::Scenes(verb) => verb.run(),
            Command::Inspect(verb) => verb.run(),
            Command::Models(verb) => verb.run(),
            Command::Config(verb) => verb.run(),
            Command::Completions(verb) => verb.run(),
        };
        result.unwrap_or_else(|error| {
            if is_broken_pipe(&error) {
                return Exit::Done;
            }
            for line in format!("{error:#}").lines() {
                warn(line);
            }
            Exit::Failed
        })
    }

    /// What `-v` and `-q` mean for the log; `FRAMEWRIGHT_LOG` overrides.
    pub fn log_filter(&self) -> &'static str {
        match (self.quiet, self.verbose) {
            (true, _) => "error",
            (_, 0) => "warn",
            (_, 1) => "info,framewright=debug",
            _ => "trace",
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

/// Prints a line for people; nothing in it can steer the terminal.
pub(crate) fn say(line: impl AsRef<str>) -> anyhow::Result<()> {
    writeln!(std::io::stdout().lock(), "{}", visible_line(line.as_ref()))?;
    Ok(())
}

/// Prints lines for people or programs. A program gets them as they are, a terminal without what
/// could steer it.
pub(crate) fn say_text(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if out.is_terminal() {
        writeln!(out, "{}", visible_text(text))?;
    } else {
        writeln!(out, "{text}")?;
    }
    Ok(())
}

/// Prints a message for people, beside the data.
pub(crate) fn warn(line: impl AsRef<str>) {
    // Nothing can be told to someone whose stderr is closed.
    let _ = writeln!(
        std::io::stderr().lock(),
        "framewright: {}",
        visible_line(line.as_ref())
    );
}

/// Prints one value as JSON.
pub(crate) fn say_json<T: serde::Serialize>(value: &T) -> anyhow::Result<()> {
    let json = serde_json::to_string_pretty(value)?;
    writeln!(std::io::stdout().lock(), "{}", visible_json(&json))?;
    Ok(())
}
