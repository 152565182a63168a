//! run: a small parent that watches over the process that does the work.

use std::path::PathBuf;

use clap::Args;

use super::progress::Progress;
use super::{Exit, PipelineArgs, is_broken_pipe, say};
use crate::core::Funnel;
use crate::engine::{
    Activity, Ended, Stop, Supervisor, exit_hung, exit_hung_alone, install_signals, obey_supervisor,
};
use crate::pipelines::{RunRequest, RunResult};

/// Deaths of the worker process after which a run is given up. Each one brings a video nearer to its
/// quarantine, so a corpus of millions may well see a hundred thousand.
const MAX_RESTARTS: u32 = 1_000_000;

/// Arguments of `run`.
#[derive(Args, Debug, Clone)]
pub(crate) struct Run {
    #[command(flatten)]
    pipeline: PipelineArgs,
    /// JSONL, CSV or Parquet manifest, a folder, a glob pattern or one video
    #[arg(
        short,
        long,
        value_name = "PATH",
        required_unless_present = "from_folder"
    )]
    manifest: Option<String>,
    /// Output folder; the same command continues what is there
    #[arg(short, long, value_name = "DIR", default_value = "out")]
    out: PathBuf,
    /// Videos worked on at once [default: one per core]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    jobs: Option<u32>,
    /// Do everything in one thread, for debugging
    #[arg(long)]
    sequential: bool,
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
    /// Show what would be done and change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Work in this process; a crash of native code then ends the run
    #[arg(long)]
    no_supervisor: bool,
    /// This is the process that does the work
    #[arg(long, hide = true)]
    worker: bool,
    /// Settings and manifest of the run that is in the output folder
    #[arg(long, hide = true)]
    from_folder: bool,
}

impl Run {
    pub(crate) fn run(self, quiet: bool) -> anyhow::Result<Exit> {
        let request = RunRequest {
            pipeline: (!self.from_folder).then(|| self.pipeline.pipeline.clone()),
            sets: self.pipeline.sets.clone(),
            manifest: self.manifest.clone(),
            out: self.out.clone(),
            jobs: self.jobs.map(|jobs| jobs as usize),
            is_sequential: self.sequential,
        };
        if self.dry_run {
            return super::plan::print(&request, self.json);
        }
        let stop = Stop::new();
        if self.worker {
            obey_supervisor(&stop)?;
            return self.work(&request, &stop, quiet);
        }
        if self.no_supervisor {
            install_signals(&stop)?;
            return self.work(&request, &stop, quiet);
        }
        let mut arguments: Vec<std::ffi::OsString> = std::env::args_os().skip(1).collect();
        let verb = arguments
            .iter()
            .position(|argument| argument == "run")
            .unwrap_or_default();
        arguments.insert(verb + 1, "--worker".into());
        supervise(self.out, arguments)
    }

    fn work(&self, request: &RunRequest, stop: &Stop, quiet: bool) -> anyhow::Result<Exit> {
        let mut progress = None;
        let result = crate::pipelines::run(
            request,
            stop,
            &mut |monitor| progress = (!quiet).then(|| Progress::start(monitor, stop)),
            if self.worker { give_up } else { give_up_alone },
        );
        if let Some(progress) = progress {
            progress.finish();
        }
        let result = result?;
        let printed = if self.json {
            super::say_json(&serde_json::json!({
                "funnel": result.funnel, "shards": result.shards, "out": result.dir.root(),
                "reused": result.reused,
            }))
        } else {
            Self::print(&result)
        };
        // How the run ended does not depend on whether somebody reads on.
        printed.or_else(|error| {
            if is_broken_pipe(&error) {
                Ok(())
            } else {
                Err(error)
            }
        })?;
        Ok(match result.ended {
            Ended::Complete if result.funnel.failed() > 0 => Exit::SomeFailed,
            Ended::Complete => Exit::Done,
            Ended::Drained | Ended::Aborted => Exit::Interrupted,
        })
    }

    fn print(result: &RunResult) -> anyhow::Result<()> {
        print_funnel(&result.funnel)?;
        let out = result.dir.root().display();
        say("")?;
        if result.ended != Ended::Complete {
            say("stopped before the end; the same command continues")?;
        }
        for shard in &result.shards {
            say(format!("shard    {}", shard.display()))?;
        }
        if result.shards.is_empty() && result.ended == Ended::Complete {
            say(if result.funnel.rejected() > 0 {
                "no pair passed every filter; the report tells which filter rejected what"
            } else {
                "nothing was rejected, but nothing came through; the report tells what failed"
            })?;
        }
        if let Some(reused) = reused(&result.reused) {
            say(format!("reused   {reused} of earlier runs"))?;
        }
        say(format!("report   {out}/report.html"))?;
        if let Some(usage) = result.endpoint_usage {
            say(format!(
                "endpoint {} requests, {} tokens asked, {} tokens answered in this run",
                usage.requests, usage.prompt_tokens, usage.answer_tokens
            ))?;
        }
        if let Some(shard) = result.shards.first() {
            say(format!("look     framewright inspect {}", shard.display()))?;
            say(format!(
                "load     datasets.load_dataset(\"parquet\", data_files=\"{out}/shards/*.parquet\")"
            ))?;
        }
        Ok(())
    }
}

/// Remembered results in words, such as `measurements of 12 videos, 30 answers`.
fn reused(counts: &std::collections::BTreeMap<String, u64>) -> Option<String> {
    let count = |name: &str| counts.get(name).copied().unwrap_or(0);
    let parts = [
        (count("measured"), "measurements of # videos"),
        (count("split"), "cuts of # videos"),
        (count("instruct") + count("judge"), "# answers"),
    ];
    let parts = parts.into_iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = parts
        .map(|(count, text)| text.replace('#', &count.to_string()))
        .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// Lets a worker process do a run and watches over it. This process holds no state: a crash of native
/// code ends the worker process only.
pub(crate) fn supervise(out: PathBuf, arguments: Vec<std::ffi::OsString>) -> anyhow::Result<Exit> {
    let stop = Stop::new();
    install_signals(&stop)?;
    let program = std::env::current_exe()?;
    let command = move || {
        let mut command = std::process::Command::new(&program);
        command.args(&arguments);
        command
    };
    let supervisor = Supervisor {
        out,
        command,
        max_restarts: MAX_RESTARTS,
        stop,
    };
    Ok(match supervisor.run()? {
        0 => Exit::Done,
        3 => Exit::SomeFailed,
        130 => Exit::Interrupted,
        _ => Exit::Failed,
    })
}

/// A thread that does not come back can only be ended with its process.
fn give_up(activity: &Activity) {
    let (label, stage) = (&activity.root.label, &activity.stage);
    super::warn(format!(
        "{label}: {stage} hangs; restarting the worker process"
    ));
    exit_hung(activity);
}

/// [`give_up`] where nobody restarts the process.
fn give_up_alone(activity: &Activity) {
    let (label, stage) = (&activity.root.label, &activity.stage);
    super::warn(format!(
        "{label}: {stage} hangs; without --no-supervisor only this video would fail"
    ));
    exit_hung_alone(activity);
}

/// The funnel as a table: stage, received, emitted, rejected, failed, and the reasons below.
pub(crate) fn print_funnel(funnel: &Funnel) -> anyhow::Result<()> {
    say(format!(
        "{:<16}{:>10}{:>10}{:>10}{:>10}",
        "stage", "received", "emitted", "rejected", "failed"
    ))?;
    for (name, counts) in &funnel.stages {
        say(format!(
            "{:<16}{:>10}{:>10}{:>10}{:>10}",
            name,
            counts.received,
            counts.emitted,
            counts.rejected_total(),
            counts.failed_total()
        ))?;
        for (reason, n) in counts.rejected.iter().chain(&counts.failed) {
            say(format!("  {reason:<54}{n:>10}"))?;
        }
    }
    Ok(())
}
