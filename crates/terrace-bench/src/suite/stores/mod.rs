//! Suite `stores`: what the contract costs over the bare engine.
//!
//! Decision: the bare engine is called as suite `disk` calls it, with the same keys, values and batches, and with an fsync
//! where the store waits for one. The store does more for it (it reads what it replaces, gives versions, checks sums,
//! counts), which is what is measured.

mod adapter;

use std::time::Instant;

use crate::measure::{in_turns, process_cpu_ns};
use crate::report::{Against, Metric, Report, Row};
use crate::suite::disk::engine::{Engine, Pair, Peer, Sync};
use crate::suite::disk::peer;
use crate::suite::disk::values::{Chance, Kind, key, value};
use crate::suite::{Failure, Plan};

/// How much more than its engine a store may take.
const GOAL: f64 = 1.15;

const FIGURES: [Metric; 2] =
    [Metric { name: "each", unit: "cpu us" }, Metric { name: "each", unit: "wall us" }];

pub(super) fn run(plan: &Plan, report: &mut Report) -> Result<(), Failure> {
    for store in adapter::ALL {
        let Some(bare) = peer::ALL.iter().find(|peer| peer.name == store.engine) else {
            return Err(format!("there is no engine {} to compare with", store.engine).into());
        };
        let pair = [&store.peer, bare];
        for size in [100, 1024] {
            case(plan, report, pair, size)?;
        }
        synced(plan, report, pair)?;
    }
    Ok(())
}

fn pairs(numbers: std::ops::Range<u64>, size: usize) -> Vec<Pair> {
    numbers
        .map(|number| {
            let mut bytes = Vec::with_capacity(size);
            value(Kind::Text, size, number, &mut bytes);
            (key(number), bytes)
        })
        .collect()
}

/// Writes all in batches of so many.
fn write(engine: &dyn Engine, pairs: &[Pair], batch: usize) -> Result<(), Failure> {
    pairs.chunks(batch).try_for_each(|batch| engine.write(batch))
}

/// Reads so many at random, and checks each.
fn read(engine: &dyn Engine, pairs: &[Pair], reads: usize) -> Result<(), Failure> {
    let (mut chance, mut out) = (Chance::new(7), Vec::new());
    for _ in 0..reads {
        let (key, value) = &pairs[(chance.next() % pairs.len() as u64) as usize];
        out.clear();
        if !engine.read(key, &mut out)? || out != *value {
            return Err("an engine lost a value, or returned another".into());
        }
    }
    Ok(())
}

/// Microseconds of processor time and of wall time of each of so many operations.
fn cost(operations: usize, work: impl FnOnce() -> Result<(), Failure>) -> Result<Vec<f64>, Failure> {
    let (began, before) = (Instant::now(), process_cpu_ns());
    work()?;
    let cpu = process_cpu_ns() - before;
    let each = |ns: f64| ns / operations as f64 / 1000.0;
    Ok(vec![each(cpu), each(began.elapsed().as_nanos() as f64)])
}

/// Batches of new keys, batches and single writes over those that are there, and reads.
fn case(plan: &Plan, report: &mut Report, pair: [&Peer; 2], size: usize) -> Result<(), Failure> {
    let entries = plan.operations(50_000) as u64;
    let (written, reads) = (pairs(0..entries, size), plan.operations(100_000));
    let single = &written[..written.len() / 4];
    let sample = |subject: usize| -> Result<Vec<f64>, Failure> {
        let folder = tempfile::tempdir_in(&plan.dir)?;
        let engine = (pair[subject].open)(folder.path(), Sync::Never)?;
        let mut figures = cost(written.len(), || write(&*engine, &written, 128))?;
        figures.extend(cost(written.len(), || write(&*engine, &written, 128))?);
        figures.extend(cost(single.len(), || write(&*engine, single, 1))?);
        read(&*engine, &written, reads / 4)?;
        figures.extend(cost(reads, || read(&*engine, &written, reads))?);
        engine.close()?;
        Ok(figures)
    };
    let figures = in_turns(plan.rounds, pair.len(), sample)?;
    for (at, what) in ["128 new keys", "128 old keys", "one old key", "read"].into_iter().enumerate() {
        let of_case =
            figures.iter().map(|rounds| rounds.iter().map(|all| all[2 * at..][..2].to_vec()).collect());
        report.case(&format!("{} {size} B, {what}", pair[1].name), &FIGURES, &rows(pair, of_case))?;
    }
    Ok(())
}

/// Single writes, each of which waits until the engine has made it as durable as it can.
fn synced(plan: &Plan, report: &mut Report, pair: [&Peer; 2]) -> Result<(), Failure> {
    let written = pairs(0..plan.operations(500) as u64, 1024);
    let sample = |subject: usize| -> Result<Vec<f64>, Failure> {
        let folder = tempfile::tempdir_in(&plan.dir)?;
        let engine = (pair[subject].open)(folder.path(), Sync::Each)?;
        let figures = cost(written.len(), || write(&*engine, &written, 1))?;
        engine.close()?;
        Ok(figures)
    };
    let figures = in_turns(plan.rounds, pair.len(), sample)?;
    Ok(report.case(&format!("{} 1024 B, one key, synced", pair[1].name), &FIGURES, &rows(pair, figures))?)
}

fn rows(pair: [&Peer; 2], figures: impl IntoIterator<Item = Vec<Vec<f64>>>) -> Vec<Row> {
    let against = [Against::at_most(GOAL, pair[1].name), None];
    let figures = pair.into_iter().zip(against).zip(figures);
    figures.map(|((peer, against), rounds)| Row { subject: peer.name, against, rounds }).collect()
}
