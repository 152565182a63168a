//! verify: whether a data set still is what was written.

use clap::Args;

use super::{DirArgs, Exit, say, say_json};
use crate::pipelines::{Verified, VerifyRequest, verify};

/// Arguments of `verify`.
#[derive(Args, Debug)]
pub(crate) struct Verify {
    #[command(flatten)]
    dir: DirArgs,
    /// Also decode frames of the videos again and compare them; a share of the rows, 0 to 1
    #[arg(
        long,
        value_name = "SHARE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "1",
        value_parser = share
    )]
    frames: Option<f64>,
    /// Manifest to find the videos by [default: the run's]
    #[arg(short, long, value_name = "PATH", requires = "frames")]
    manifest: Option<String>,
    /// Download remote videos again
    #[arg(long, requires = "frames")]
    download: bool,
    /// Threads [default: one per core]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    jobs: Option<u32>,
    /// Faults to list; further ones are counted
    #[arg(long, value_name = "N", default_value_t = 50)]
    max_faults: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if share > 0.0 && share <= 1.0 => Ok(share),
        _ => Err("expected a number above 0 and up to 1".to_owned()),
    }
}

impl Verify {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let found = verify(&VerifyRequest {
            dir: self.dir.dir.clone(),
            frames: self.frames,
            manifest: self.manifest,
            downloads: self.download,
            jobs: self.jobs.map(|jobs| jobs as usize),
            max_faults: self.max_faults,
        })?;
        if self.json {
            say_json(&found)?;
        } else {
            print(&found)?;
        }
        Ok(if !found.is_whole {
            Exit::Failed
        } else if found.skipped.is_empty() {
            Exit::Done
        } else {
            Exit::SomeFailed
        })
    }
}

fn print(found: &Verified) -> anyhow::Result<()> {
    for fault in &found.faults {
        say(format!("broken   {fault}"))?;
    }
    let unlisted = found.num_faults - found.faults.len() as u64;
    if unlisted > 0 {
        say(format!("broken   {unlisted} more; --max-faults lists them"))?;
    }
    for source in &found.skipped {
        let (uri, rows, why) = (&source.uri, source.rows, &source.why);
        say(format!("skipped  {uri}, {rows} rows: {why}"))?;
    }
    for note in &found.notes {
        say(format!("note     {note}"))?;
    }
    let megabytes = found.shard_bytes as f64 / 1e6;
    let (done, all) = found.chunks;
    say(format!(
        "checked  {done} of {all} chunks: {} rows, {} rejected and failed items, {megabytes:.1} MB \
         of shards in {:.1} s ({:.0} MB/s)",
        found.rows,
        found.rejects,
        found.secs,
        megabytes / found.secs.max(1e-3)
    ))?;
    if found.videos > 0 {
        let (videos, frames) = (found.videos, found.frames);
        say(format!("decoded  {frames} frames of {videos} videos"))?;
    }
    say(match (found.num_faults, found.skipped.len()) {
        (0, 0) => "whole    nothing is wrong".to_owned(),
        (0, n) => format!("whole    nothing is wrong, but {n} videos were not looked at"),
        (1, _) => "broken   1 fault".to_owned(),
        (n, _) => format!("broken   {n} faults"),
    })
}
