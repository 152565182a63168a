//! completions: shell completions on stdout.

use std::io::Write as _;

use clap::{Args, CommandFactory};

use super::{Cli, Exit};

/// Arguments of `completions`.
#[derive(Args, Debug)]
pub(crate) struct Completions {
    /// bash, zsh, fish, elvish or powershell
    shell: clap_complete::Shell,
}

impl Completions {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let mut command = Cli::command();
        // The generator panics where nobody reads, so it does not write to stdout itself.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "framewright", &mut script);
        std::io::stdout().lock().write_all(&script)?;
        Ok(Exit::Done)
    }
}
