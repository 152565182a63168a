//! status: the funnel of a run's folder.

use clap::Args;

use super::run::print_funnel;
use super::{DirArgs, Exit, say, say_json};
use crate::pipelines::status;

/// Arguments of `status`.
#[derive(Args, Debug)]
pub(crate) struct Status {
    #[command(flatten)]
    dir: DirArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let status = status(&self.dir.dir)?;
        if self.json {
            say_json(&status)?;
            return Ok(Exit::Done);
        }
        let dir = self.dir.dir.display();
        say(format!("{dir}: {} {}", status.pipeline, status.version))?;
        say(format!(
            "videos {} of {} done, {} shards with {} rows{}",
            status.videos_done,
            status.videos,
            status.shards,
            status.rows,
            if status.is_running {
                ", running now"
            } else {
                ""
            }
        ))?;
        say("")?;
        print_funnel(&status.funnel)?;
        Ok(Exit::Done)
    }
}
