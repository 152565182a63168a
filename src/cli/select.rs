//! select: another data set from the scores of one that is there.

use std::path::PathBuf;

use clap::Args;

use super::run::print_funnel;
use super::{DirArgs, Exit, say, say_json, warn};
use crate::pipelines::{SelectRequest, Selected, select};

/// Arguments of `select`.
#[derive(Args, Debug)]
pub(crate) struct Select {
    #[command(flatten)]
    dir: DirArgs,
    /// Change one number that decides, such as `--set filters.motion.max=0.02`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Folder of the new data set; the same command continues what is there
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
}

impl Select {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let selected = select(&SelectRequest {
            dir: self.dir.dir,
            sets: self.sets,
            out: self.out,
        })?;
        if self.json {
            say_json(&selected)?;
        } else {
            print(&selected)?;
        }
        Ok(Exit::Done)
    }
}

fn print(selected: &Selected) -> anyhow::Result<()> {
    print_funnel(&selected.funnel)?;
    say("")?;
    let open = |side: &Option<String>| side.clone().unwrap_or_else(|| "open".to_owned());
    for (key, [before, after]) in &selected.changed {
        say(format!(
            "changed  {key}: {} to {}",
            open(before),
            open(after)
        ))?;
    }
    let moves = &selected.moves;
    say(format!(
        "rows     {} of {} stay",
        selected.rows, moves.rows_before
    ))?;
    for (reason, n) in &moves.rejected {
        say(format!("  {reason:<54}{n:>10}"))?;
    }
    for shard in &selected.shards {
        say(format!("shard    {}", shard.display()))?;
    }
    say(format!("report   {}/report.html", selected.out.display()))?;
    let (done, all) = selected.chunks;
    if done < all {
        warn(format!(
            "only {done} of {all} chunks of the run are finished; continue it, then select again"
        ));
    }
    for (name, n) in &moves.undecided {
        warn(format!(
            "{n} items that {name} rejected are inside the new range, but what comes after was \
             never measured; they stay rejected"
        ));
    }
    if moves.freed_duplicates > 0 {
        warn(format!(
            "{} duplicates are of rows that are rejected now; their pictures are gone, they stay \
             rejected",
            moves.freed_duplicates
        ));
    }
    if let Some(command) = &selected.run_command {
        warn("this makes them, with what is remembered there:");
        warn(format!("  {command}"));
    }
    Ok(())
}
