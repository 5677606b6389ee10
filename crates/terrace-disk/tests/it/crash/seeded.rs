//! The tests of the tests: bugs that real stores have had are put in on purpose, and each must be found.
//!
//! Only in builds with `--cfg seeded_bug`. Each bug is chosen by the environment of a process of its own, which is this
//! test binary again with the other crash tests.

use std::process::{Command, Output};

use terrace_disk::point::BUGS;

use super::budget;

fn run(bug: &str, seed: u64) -> Output {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    // Children are slow, and what they find the simulated disk finds as well.
    command.args(["crash::", "--skip", "crash::seeded", "--skip", "crash::oracle", "--skip", "crash::kill"]);
    command.env("TERRACE_BUG", bug).env("CRASH_FIRST_SEED", seed.to_string());
    command.output().expect("this binary runs")
}

/// The tests that failed.
fn failed(output: &Output) -> Vec<String> {
    let said = String::from_utf8_lossy(&output.stdout);
    let lines = said.lines().filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
    lines.map(|line| line.trim_start_matches("crash::").to_owned()).collect()
}

#[test]
fn every_seeded_bug_is_found() {
    let healthy = run("", 1);
    assert!(healthy.status.success(), "without a bug: {:?}", failed(&healthy));
    let seeds = budget::of("CRASH_BUG_SEEDS", 1);
    let mut missed = Vec::new();
    for bug in BUGS {
        let mut found = 0;
        for seed in 0..seeds {
            let output = run(bug, 1 + seed * 1000);
            let by = failed(&output);
            println!("{bug}, seed {}: found by {by:?}", 1 + seed * 1000);
            found += u64::from(!by.is_empty());
        }
        if found < seeds {
            missed.push(format!("{bug} ({found} of {seeds})"));
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
