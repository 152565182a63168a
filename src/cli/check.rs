//! check: every problem at once.

use clap::Args;

use super::{Exit, PipelineArgs, say, warn};
use crate::pipelines::check;

/// Arguments of `check`.
#[derive(Args, Debug)]
pub(crate) struct Check {
    #[command(flatten)]
    pipeline: PipelineArgs,
    /// Also check this manifest: a file, folder, pattern or video
    #[arg(short, long, value_name = "PATH")]
    manifest: Option<String>,
}

impl Check {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let found = check(
            &self.pipeline.pipeline,
            &self.pipeline.sets,
            self.manifest.as_deref(),
        );
        for problem in &found.problems {
            warn(problem.to_string());
        }
        for note in &found.notes {
            say(note)?;
        }
        if found.problems.is_empty() {
            say("no problem found")?;
            return Ok(Exit::Done);
        }
        warn(format!("{} problems", found.problems.len()));
        Ok(Exit::Failed)
    }
}
