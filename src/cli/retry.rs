//! retry: the failed videos of a run once more.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use clap::builder::PossibleValuesParser;

use super::run::supervise;
use super::{DirArgs, Exit, say};
use crate::core::ErrorKind;
use crate::pipelines::{RunRequest, reopen_failed};

/// Arguments of `retry`.
#[derive(Args, Debug)]
pub(crate) struct Retry {
    #[command(flatten)]
    dir: DirArgs,
    /// Only videos that failed with this; may be repeated [default: any]
    #[arg(short, long, value_name = "KIND", value_parser = kinds())]
    kind: Vec<String>,
    /// Where the manifest of the run is now, if it was moved
    #[arg(short, long, value_name = "PATH")]
    manifest: Option<PathBuf>,
    /// Videos worked on at once [default: one per core]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    jobs: Option<u32>,
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
    /// List the videos and change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

fn kinds() -> PossibleValuesParser {
    PossibleValuesParser::new(ErrorKind::ALL.map(ErrorKind::name))
}

impl Retry {
    pub(crate) fn run(self, flags: &[&str]) -> anyhow::Result<Exit> {
        let manifest = self
            .manifest
            .map(|path| path.to_string_lossy().into_owned());
        let request = RunRequest {
            pipeline: None,
            sets: Vec::new(),
            manifest: manifest.clone(),
            out: self.dir.dir.clone(),
            jobs: self.jobs.map(|jobs| jobs as usize),
            is_sequential: false,
        };
        let kinds: Vec<ErrorKind> = ErrorKind::ALL
            .into_iter()
            .filter(|kind| self.kind.iter().any(|name| name == kind.name()))
            .collect();
        let videos = reopen_failed(&request, &kinds, self.dry_run)?;
        if self.dry_run {
            for uri in &videos {
                say(uri)?;
            }
            return Ok(Exit::Done);
        }
        if !self.json {
            let are = if videos.len() == 1 {
                "video is"
            } else {
                "videos are"
            };
            say(format!("{} {are} done again", videos.len()))?;
            if videos.is_empty() {
                return Ok(Exit::Done);
            }
        }
        let mut arguments: Vec<OsString> = ["run", "--worker", "--from-folder", "--out"]
            .map(OsString::from)
            .to_vec();
        arguments.push(self.dir.dir.clone().into());
        let jobs = self.jobs.map(|jobs| format!("--jobs={jobs}"));
        let manifest = manifest.map(|path| format!("--manifest={path}"));
        let json = self.json.then(|| "--json".to_owned());
        let given = [jobs, manifest, json].into_iter().flatten();
        arguments.extend(given.map(OsString::from));
        arguments.extend(flags.iter().map(OsString::from));
        supervise(self.dir.dir, arguments)
    }
}
