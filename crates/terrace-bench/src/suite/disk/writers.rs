//! Several writers at once, with and without an fsync.

use std::time::Instant;

use super::engine::{Engine, Pair, Peer, Sync};
use super::rows::{peers, rows};
use super::values::{Kind, key, value};
use crate::measure::{in_turns, process_cpu_ns};
use crate::report::{Against, Metric, Report};
use crate::suite::{Failure, Plan};

const FIGURES: [Metric; 2] =
    [Metric { name: "write", unit: "wall us" }, Metric { name: "write", unit: "cpu us" }];

/// Batches of 128 values of text, no fsync.
pub(super) fn bulk(plan: &Plan, report: &mut Report, threads: u64) -> Result<(), Failure> {
    let name = format!("bulk write 1024 B text {threads}t");
    if !plan.wants(&name) {
        return Ok(());
    }
    let each = plan.operations(100_000) as u64 / threads;
    let figures = [FIGURES[1], FIGURES[0]];
    let peers = peers(|_| true);
    let sample = |subject: usize| -> Result<Vec<f64>, Failure> {
        let (wall, cpu) = at_once(plan, peers[subject], Sync::Never, (threads, each, 128))?;
        Ok(vec![cpu, wall])
    };
    let against = Against::at_most(0.5, "fjall")
        .and_then(|against| against.and(&[("foyer", 1.0 / 3.0), ("rocksdb", 1.0 / 6.0), ("log", 3.0)]));
    let measured = in_turns(plan.rounds, peers.len(), sample)?;
    Ok(report.case(&name, &figures, &rows(&peers, &measured, 0..2, against))?)
}

/// Writers that wait for their fsync, each for its own.
pub(super) fn synced(plan: &Plan, report: &mut Report, writers: u64) -> Result<(), Failure> {
    let name = format!("synced write 1024 B text {writers} writers");
    if !plan.wants(&name) {
        return Ok(());
    }
    let each = plan.operations(if writers == 1 { 500 } else { 1000 }) as u64;
    let peers = peers(|peer| peer.syncs);
    let sample = |subject: usize| -> Result<Vec<f64>, Failure> {
        let (wall, cpu) = at_once(plan, peers[subject], Sync::Each, (writers, each, 1))?;
        Ok(vec![wall, cpu])
    };
    // One writer pays one fdatasync, as the log that does nothing else.
    let against = match writers {
        1 => Against::just("log"),
        _ => Against::at_most(0.5, "fjall")
            .and_then(|against| against.and(&[("rocksdb", 0.5), ("redb", 0.5), ("sqlite", 0.5)])),
    };
    let measured = in_turns(plan.rounds, peers.len(), sample)?;
    Ok(report.case(&name, &FIGURES, &rows(&peers, &measured, 0..2, against))?)
}

/// Microseconds of wall and of processor time a write of so many threads, each writing so many values in batches of so
/// many.
fn at_once(
    plan: &Plan,
    peer: &Peer,
    sync: Sync,
    (threads, each, batch): (u64, u64, usize),
) -> Result<(f64, f64), Failure> {
    let folder = tempfile::tempdir_in(&plan.dir)?;
    let engine = (peer.open)(folder.path(), sync)?;
    let shared = &*engine;
    let (began, before) = (Instant::now(), process_cpu_ns());
    std::thread::scope(|scope| -> Result<(), Failure> {
        let write =
            |thread| move || write_own(shared, thread, each, batch).map_err(|failure| failure.to_string());
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(write(thread))).collect();
        for thread in running {
            thread.join().map_err(|_| "a writer panicked")??;
        }
        Ok(())
    })?;
    let count = (each * threads).max(1) as f64;
    let (wall, cpu) = (began.elapsed().as_micros() as f64, (process_cpu_ns() - before) / 1000.0);
    engine.close()?;
    Ok((wall / count, cpu / count))
}

/// One thread's own keys.
fn write_own(engine: &dyn Engine, thread: u64, each: u64, batch: usize) -> Result<(), Failure> {
    let mut pairs: Vec<Pair> = Vec::with_capacity(batch);
    for number in thread * each..(thread + 1) * each {
        let mut bytes = Vec::with_capacity(1024);
        value(Kind::Text, 1024, number, &mut bytes);
        pairs.push((key(number), bytes));
        if pairs.len() == batch || number + 1 == (thread + 1) * each {
            engine.write(&pairs)?;
            pairs.clear();
        }
    }
    Ok(())
}
