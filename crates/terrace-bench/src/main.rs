#![doc = include_str!("../README.md")]

mod heap;
mod keys;
mod measure;
mod report;
mod suite;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::report::Report;
use crate::suite::{Plan, Suite};

/// The command line was not understood, or names a suite that does not exist yet.
const USAGE: u8 = 2;

const AFTER_HELP: &str = "\
Suites: disk, layers, memory, server, stores, tiers, warm.

Examples:
  cargo run --release -p terrace-bench -- memory
  cargo run --release -p terrace-bench -- server --terrace target/release/terrace --rounds 9
  cargo run --release -p terrace-bench -- tiers --json

A goal that is missed is told and fails nothing. Exits with 1 if a measurement cannot be made or an answer was
wrong, with 2 if the command line is wrong.";

/// Measures Terrace and its peers in turns, and prints medians, ratios first.
#[derive(Parser)]
#[command(name = "terrace-bench", version, after_help = AFTER_HELP)]
struct Arguments {
    /// What to measure
    #[arg(value_parser = suite::parse)]
    suite: Suite,
    /// Print one JSON object a line: suite, case, subject, metric, unit, value (the median), rounds
    #[arg(long)]
    json: bool,
    /// How often each subject is measured [default: 7, with --quick 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// Small and fast, to see that it runs; the figures mean nothing
    #[arg(long)]
    quick: bool,
    /// The program that suite `server` measures [default: `terrace` beside this program]
    #[arg(long, value_name = "PATH")]
    terrace: Option<PathBuf>,
    /// Of suites `memory`, `disk` and `layers`, measure only the cases whose names contain all of these
    #[arg(long, value_name = "WORD", num_args = 1..)]
    only: Vec<String>,
    /// Where suites `server`, `disk` and `stores` make data directories [default: the system's folder for such]
    #[arg(long, value_name = "PATH")]
    dir: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(told) => {
            // Help and version go to stdout and are no errors; clap knows which it is.
            let _ = told.print();
            return if told.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let rounds = arguments.rounds.unwrap_or(if arguments.quick { 1 } else { 7 });
    let plan = Plan {
        rounds: rounds as usize,
        quick: arguments.quick,
        terrace: arguments.terrace,
        dir: arguments.dir.unwrap_or_else(std::env::temp_dir),
        only: arguments.only,
    };
    if arguments.quick || cfg!(debug_assertions) {
        eprintln!("terrace-bench: quick or not optimised: this shows that it runs, not how fast anything is");
    }
    let mut report = Report::new(arguments.suite.name(), arguments.json);
    let run = arguments.suite.run(&plan, &mut report);
    // What was measured before a failure is still worth its summary.
    report.finish();
    match run {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("terrace-bench: {failure}");
            ExitCode::FAILURE
        }
    }
}
