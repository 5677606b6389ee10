//! `terrace completions`.

use clap::Args;
use clap_complete::Shell;

use super::{command, output};
use crate::exit::{Exit, Failure};

const EXAMPLES: &str = "\
Examples:
  terrace completions bash > ~/.local/share/bash-completion/completions/terrace
  terrace completions zsh  > ~/.zfunc/_terrace
  terrace completions fish > ~/.config/fish/completions/terrace.fish";

/// Prints the completions of a shell.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command(), "terrace", &mut script);
        output::raw(&script)?;
        Ok(Exit::Success)
    }
}
