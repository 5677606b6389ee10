//! Suite `server`: what an operation costs the server's process, of Terrace and of Redis.
//!
//! Decision: a server is alone on the machine with its client: each is started for its turn, filled, driven
//! through all cases by redis-benchmark, and ended before the next begins. Processor time is read when the
//! server has come to rest, so what it put off until after the reply counts as well.

mod client;
mod process;

use std::path::{Path, PathBuf};

use self::client::{Load, Test};
use self::process::{Kind, Server};
use crate::measure::in_turns;
use crate::report::{Against, Metric, Report, Row};
use crate::suite::{Failure, Plan};

/// Of the processor time of redis, and of redis with an append-only file.
const MEMORY_GOAL: f64 = 1.25;
const DISK_GOAL: f64 = 2.0;

/// How many keys there are where not all operations are on one.
pub(crate) const KEYS: usize = 100_000;

const METRICS: [Metric; 3] = [
    Metric { name: "cpu", unit: "us/op" },
    Metric { name: "throughput", unit: "op/s" },
    Metric { name: "p99", unit: "ms" },
];

const KINDS: [Kind; 4] = [Kind::Redis, Kind::Terrace, Kind::RedisAof, Kind::TerraceDisk];

pub(super) fn run(plan: &Plan, report: &mut Report) -> Result<(), Failure> {
    let terrace = terrace(plan)?;
    let loads = loads(plan);
    let mut turn = 0;
    let turns = plan.rounds * KINDS.len();
    let figures = in_turns(plan.rounds, KINDS.len(), |index| {
        let kind = KINDS[index];
        turn += 1;
        eprintln!("terrace-bench: turn {turn} of {turns}: {}", kind.name());
        measure(kind, &terrace, &plan.dir, &loads)
    })?;
    for (index, load) in loads.iter().enumerate() {
        let row = |(kind, rounds): (&Kind, &Vec<Vec<f64>>)| {
            // A turn is the figures of all its loads, one after another.
            let of_load = |turn: &Vec<f64>| turn[index * METRICS.len()..(index + 1) * METRICS.len()].to_vec();
            Row {
                subject: kind.name(),
                against: against(*kind, load),
                rounds: rounds.iter().map(of_load).collect(),
            }
        };
        let rows: Vec<Row> = KINDS.iter().zip(&figures).map(row).collect();
        report.case(&load.name(), &METRICS, &rows)?;
    }
    Ok(())
}

/// The program to measure.
fn terrace(plan: &Plan) -> Result<PathBuf, Failure> {
    let path = match &plan.terrace {
        Some(path) => path.clone(),
        None => std::env::current_exe()?.with_file_name("terrace"),
    };
    if path.is_file() {
        return Ok(path);
    }
    let path = path.display();
    Err(format!("there is no program {path}: build it (cargo build --release -p terrace-server) or name it with --terrace").into())
}

fn against(kind: Kind, load: &Load) -> Option<Against> {
    let (goal, peer) = match kind {
        Kind::Terrace => (MEMORY_GOAL, Kind::Redis.name()),
        Kind::TerraceDisk => (DISK_GOAL, Kind::RedisAof.name()),
        _ => return None,
    };
    if load.test.has_goal() { Against::at_most(goal, peer) } else { Against::just(peer) }
}

/// What each server goes through, in this order: whatever is read was written before.
fn loads(plan: &Plan) -> Vec<Load> {
    let mut loads = Vec::new();
    let mut add = |test, pipeline, keys: usize, requests| {
        // Processor time is told in hundredths of a second: fewer would not show.
        let requests = if plan.quick { requests / 10 } else { requests };
        loads.push(Load { test, pipeline, keys, requests });
    };
    for keys in [KEYS, 1] {
        for test in [Test::Set, Test::Get] {
            add(test, 1, keys, 100_000);
            add(test, 16, keys, 800_000);
        }
    }
    add(Test::Incr, 16, KEYS, 800_000);
    add(Test::Mset, 16, KEYS, 100_000);
    loads
}

/// A server's turn: the figures of all loads, one after another.
fn measure(kind: Kind, terrace: &Path, dir: &Path, loads: &[Load]) -> Result<Vec<f64>, Failure> {
    let server = Server::start(kind, terrace, dir)?;
    client::fill(server.port(), KEYS)?;
    let mut figures = Vec::with_capacity(loads.len() * METRICS.len());
    let mut before = server.cpu_at_rest()?;
    for load in loads {
        let told = load.run(server.port()).map_err(|error| server.blame(&load.name(), &*error))?;
        let after = server.cpu_at_rest()?;
        figures.push((after - before).as_secs_f64() * 1e6 / load.requests as f64);
        figures.extend([told.throughput, told.p99_ms]);
        before = after;
    }
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named() {
        let plan = Plan {
            rounds: 1,
            quick: true,
            terrace: Some("/nowhere/terrace".into()),
            dir: "/tmp".into(),
            only: vec![],
        };
        let error = terrace(&plan).unwrap_err().to_string();
        assert!(error.contains("/nowhere/terrace") && error.contains("--terrace"), "{error}");
    }

    #[test]
    fn goals_are_for_get_and_set_each_against_its_own_redis() {
        let load = |test| Load { test, pipeline: 1, keys: 1, requests: 1 };
        let memory = against(Kind::Terrace, &load(Test::Get)).unwrap();
        assert_eq!((memory.peer, memory.goal), ("redis", Some(1.25)));
        let disk = against(Kind::TerraceDisk, &load(Test::Set)).unwrap();
        assert_eq!((disk.peer, disk.goal), ("redis-aof", Some(2.0)));
        assert_eq!(against(Kind::TerraceDisk, &load(Test::Mset)).unwrap().goal, None);
        assert!(against(Kind::Redis, &load(Test::Get)).is_none());
    }

    /// Drives a real redis-server, where there is one.
    #[test]
    fn a_server_is_started_filled_driven_and_ended() {
        if !process::installed("redis-server") || !process::installed("redis-benchmark") {
            eprintln!("skipped: no redis-server and redis-benchmark here");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let load = |test| Load { test, pipeline: 16, keys: KEYS, requests: 20_000 };
        let loads = [load(Test::Set), load(Test::Get), load(Test::Mset)];
        let figures = measure(Kind::RedisAof, Path::new("unused"), folder.path(), &loads).unwrap();
        assert_eq!(figures.len(), loads.len() * METRICS.len());
        assert!(figures.iter().all(|figure| figure.is_finite()), "{figures:?}");
        // The throughput of the first load.
        assert!(figures[1] > 100.0, "{figures:?}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "its folder is removed");
    }
}
