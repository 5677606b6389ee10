//! The command line: what can be said, and who does it. One command is one file.

mod client;
mod completions;
mod config;
mod copy;
mod del;
mod disk;
mod get;
mod output;
mod progress;
mod replay;
mod scrub;
mod serve;
mod set;
mod sim;
mod stack;
mod stats;
mod tls;

pub(crate) use disk::WITHOUT_FJALL;
pub(crate) use replay::MARK as REPLAY_MARK;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::exit::{Exit, Failure};

/// Terrace keeps each value in the cheapest place that is still fast enough: in memory, or on the local disk.
/// `terrace serve` speaks the Redis protocol and HTTP; the other commands talk to it, or measure.
#[derive(Parser)]
#[command(
    name = "terrace",
    version,
    after_help = "Try `terrace COMMAND --help`: each command comes with examples."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server
    Serve(Box<serve::Serve>),
    /// Print the value of a key
    Get(get::Get),
    /// Write a key
    Set(set::Set),
    /// Remove keys
    Del(del::Del),
    /// Show what a running server is doing
    Stats(stats::Stats),
    /// Replay traces through eviction policies and compare their hits
    Sim(sim::Sim),
    /// Drive a whole cache, memory and disk and loader, with a trace
    Replay(replay::Replay),
    /// Look into a log on the disk, check it, make it smaller, copy it
    #[command(subcommand)]
    Disk(disk::Disk),
    /// Copy a store into another, and compare
    Copy(copy::Copy),
    /// Check what the layer checksum can check
    Scrub(scrub::Scrub),
    /// Check a configuration
    #[command(subcommand)]
    Config(config::Config),
    /// Print the completions of a shell
    Completions(completions::Completions),
}

impl Command {
    fn run(self) -> Result<Exit, Failure> {
        match self {
            Self::Serve(serve) => serve.run(),
            Self::Get(get) => get.run(),
            Self::Set(set) => set.run(),
            Self::Del(del) => del.run(),
            Self::Stats(stats) => stats.run(),
            Self::Sim(sim) => sim.run(),
            Self::Replay(replay) => replay.run(),
            Self::Disk(disk) => disk.run(),
            Self::Copy(copy) => copy.run(),
            Self::Scrub(scrub) => scrub.run(),
            Self::Config(config) => config.run(),
            Self::Completions(completions) => completions.run(),
        }
    }
}

/// What can be said, with the exit codes in the long help.
fn command() -> clap::Command {
    let codes = Exit::MEANINGS.iter().map(|(exit, meaning)| format!("  {:>3}  {meaning}\n", *exit as u8));
    let help = format!(
        "Try `terrace COMMAND --help`: each command comes with examples.\n\nExit codes:\n{}",
        codes.collect::<String>()
    );
    Cli::command().after_long_help(help)
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    let parsed = command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(told) => {
            // Help and version go to stdout and are no errors; clap knows which it is.
            let _ = told.print();
            return if told.use_stderr() { Exit::Usage.into() } else { Exit::Success.into() };
        }
    };
    match cli.command.run() {
        Ok(exit) => exit.into(),
        Err(failure) => {
            eprintln!("terrace: {failure}");
            failure.exit.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn every_command_teaches_by_example() {
        for sub in command().get_subcommands() {
            let inner = sub.get_subcommands().next().unwrap_or(sub);
            let help = inner.clone().render_long_help().to_string();
            assert!(
                help.contains("Examples:") && help.contains("terrace "),
                "{} shows no example",
                sub.get_name()
            );
        }
    }
}
