//! completions: shell completions on stdout.

use clap::{Args, CommandFactory};

use super::{Cli, Exit};

/// Arguments of `completions`.
#[derive(Args, Debug)]
pub(crate) struct Completions {
    /// bash, zsh, fish, elvish or powershell
    shell: clap_complete::Shell,
}

impl Completions {
    pub(crate) fn run(self) -> Exit {
        let mut command = Cli::command();
        clap_complete::generate(
            self.shell,
            &mut command,
            "framewright",
            &mut std::io::stdout().lock(),
        );
        Exit::Done
    }
}
