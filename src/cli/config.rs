//! config: values, origins and schema.

use clap::{Args, Subcommand};

use super::{Exit, PipelineArgs, say, say_json};
use crate::config::{Source, json_schema};
use crate::pipelines::{filter_infos, load_pipeline};

/// Arguments of `config`.
#[derive(Args, Debug)]
pub(crate) struct ConfigVerb {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Print every value of a pipeline file, and where it came from
    Show {
        #[command(flatten)]
        pipeline: PipelineArgs,
        /// Print the origin of each value: default, file or --set
        #[arg(long)]
        origins: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON Schema of pipeline files
    Schema,
}

impl ConfigVerb {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        match self.verb {
            Verb::Schema => say_json(&json_schema())?,
            Verb::Show {
                pipeline,
                origins,
                json,
            } => {
                let loaded = load_pipeline(&pipeline.pipeline, &pipeline.sets)?;
                if json {
                    say_json(&serde_json::json!({
                        "config": loaded.config,
                        "filters": filter_infos(&loaded.config),
                        "origins": loaded.origins,
                    }))?;
                    return Ok(Exit::Done);
                }
                for (path, (value, source)) in &loaded.origins {
                    let origin = match (origins, source) {
                        (false, _) => "",
                        (true, Source::Default) => "  # default",
                        (true, Source::File) => "  # file",
                        (true, Source::Set) => "  # --set",
                    };
                    say(format!("{path} = {value}{origin}"))?;
                }
            }
        }
        Ok(Exit::Done)
    }
}
