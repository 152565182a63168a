//! plan: what a run would do.

use std::path::PathBuf;

use clap::Args;

use super::{Exit, ManifestArgs, PipelineArgs, say, say_json};
use crate::pipelines::{RunRequest, plan};

/// Arguments of `plan`.
#[derive(Args, Debug)]
pub(crate) struct Plan {
    #[command(flatten)]
    pipeline: PipelineArgs,
    #[command(flatten)]
    manifest: ManifestArgs,
    /// Output folder of the run
    #[arg(short, long, value_name = "DIR", default_value = "out")]
    out: PathBuf,
    /// Videos worked on at once [default: one per core]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    jobs: Option<u32>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Plan {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let request = RunRequest {
            pipeline: Some(self.pipeline.pipeline),
            sets: self.pipeline.sets,
            manifest: Some(self.manifest.manifest),
            out: self.out,
            jobs: self.jobs.map(|jobs| jobs as usize),
            is_sequential: false,
        };
        print(&request, self.json)
    }
}

/// Prints the plan of a request.
pub(crate) fn print(request: &RunRequest, json: bool) -> anyhow::Result<Exit> {
    let plan = plan(request)?;
    if json {
        say_json(&plan)?;
        return Ok(Exit::Done);
    }
    say(format!(
        "pipeline {} into {}",
        plan.pipeline,
        plan.out.display()
    ))?;
    let left = plan.videos - plan.videos_done - plan.videos_taken_over;
    let (done, all) = plan.chunks_done;
    say(format!(
        "videos   {}: {} done, {left} to do; {done} of {all} shards finished",
        plan.videos, plan.videos_done
    ))?;
    if plan.videos_taken_over > 0 {
        say(format!(
            "reused   results of {} more videos, for shards that have other rows now",
            plan.videos_taken_over
        ))?;
    }
    if plan.videos_measured > 0 {
        say(format!(
            "reused   measurements of {} videos, which are not decoded to be judged again",
            plan.videos_measured
        ))?;
    }
    if plan.videos_cut > 0 {
        say(format!("reused   cuts of {} videos", plan.videos_cut))?;
    }
    if plan.has_answers {
        say("reused   answers of the endpoint for the same pictures, prompt and model")?;
    }
    for model in &plan.models {
        say(format!("model    {:<20}{}", model.role, model.model))?;
    }
    for missing in &plan.missing_models {
        say(format!("missing  {missing}; run `framewright models pull`"))?;
    }
    say("")?;
    say(format!(
        "{:<16}{:>8}  {:<14}ranges",
        "stage", "workers", "fingerprint"
    ))?;
    for stage in &plan.stages {
        say(format!(
            "{:<16}{:>8}  {}",
            stage.name, stage.workers, stage.fingerprint
        ))?;
        for filter in &stage.filters {
            let side = |side: Option<f32>| side.map_or("..".to_owned(), |value| value.to_string());
            say(format!(
                "  {:<24}{:>10} to {:<10}{}",
                filter.name,
                side(filter.range.min),
                side(filter.range.max),
                filter.unit
            ))?;
        }
    }
    Ok(Exit::Done)
}
