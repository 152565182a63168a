//! inspect: what is in a shard.

use std::path::PathBuf;

use clap::Args;

use super::{Exit, say_json, say_text};
use crate::io::inspect_shard;

/// Arguments of `inspect`.
#[derive(Args, Debug)]
pub(crate) struct Inspect {
    /// A Parquet shard
    shard: PathBuf,
    /// Number of rows to show
    #[arg(default_value_t = 5)]
    rows: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let view = inspect_shard(&self.shard, self.rows)?;
        if self.json {
            say_json(&view)?;
        } else {
            say_text(&view.to_table())?;
        }
        Ok(Exit::Done)
    }
}
