//! `terrace config`.

use std::path::PathBuf;

use clap::Subcommand;

use super::output;
use crate::config::Sources;
use crate::exit::{Exit, Failure};

const EXAMPLES: &str = "\
Examples:
  terrace config check                   what `terrace serve` would run with, from the environment
  terrace config check terrace.toml      the same with a file
  terrace config check > terrace.toml    a file to begin with: every option, with its default

Prints the effective configuration, passwords hidden. Exits with 3 if something is wrong, and says what.";

/// Checks a configuration.
#[derive(Subcommand)]
pub(super) enum Config {
    /// Check a file together with the environment, and print what follows
    #[command(after_help = EXAMPLES)]
    Check {
        /// The file; without it, the one that TERRACE_CONFIG names, or none
        file: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl Config {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let Self::Check { file, json } = self;
        let config = Sources::of_process(file.as_deref())?.finish()?;
        match json {
            true => output::line(serde_json::to_string(&config).unwrap_or_default())?,
            false => output::raw(config.to_toml().as_bytes())?,
        }
        Ok(Exit::Success)
    }
}
