//! The cases of the suite.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::engine::{Engine, Pair, Peer, Sync, bytes_on_disk};
use super::peer;
use super::values::{Chance, Kind, key, value};
use crate::measure::{in_turns, median, process_cpu_ns};
use crate::report::{Against, Metric, Report, Row};
use crate::suite::{Failure, Plan};

const BATCH: usize = 128;

/// Writes the values of these numbers in batches, and returns nanoseconds of processor time and of wall time an entry.
fn fill(
    engine: &dyn Engine,
    numbers: std::ops::Range<u64>,
    kind: Kind,
    size: usize,
) -> Result<(f64, f64), Failure> {
    let count = (numbers.end - numbers.start) as f64;
    let (mut cpu, mut wall) = (0.0, 0.0);
    let numbers: Vec<u64> = numbers.collect();
    for numbers in numbers.chunks(BATCH) {
        let batch: Vec<Pair> = numbers
            .iter()
            .map(|number| {
                let mut bytes = Vec::with_capacity(size);
                value(kind, size, *number, &mut bytes);
                (key(*number), bytes)
            })
            .collect();
        let (began, before) = (Instant::now(), process_cpu_ns());
        engine.write(&batch)?;
        cpu += process_cpu_ns() - before;
        wall += began.elapsed().as_nanos() as f64;
    }
    Ok((cpu / count, wall / count))
}

/// Reads so many values at random and checks them; microseconds of the middle one and of the slowest hundredth, and how
/// many there were of those asked for.
fn read(
    engine: &dyn Engine,
    (entries, reads): (u64, usize),
    (kind, size): (Kind, usize),
    seed: u64,
) -> Result<(f64, f64, f64), Failure> {
    let (mut chance, mut out, mut want) = (Chance::new(seed), Vec::new(), Vec::new());
    let (mut times, mut found) = (Vec::with_capacity(reads), 0);
    for _ in 0..reads {
        let number = chance.next() % entries;
        let key = key(number);
        out.clear();
        let began = Instant::now();
        let there = engine.read(&key, &mut out)?;
        times.push(began.elapsed().as_nanos() as f64 / 1000.0);
        if there {
            value(kind, size, number, &mut want);
            if want != out {
                return Err("an engine returned a value that was never written".into());
            }
            found += 1;
        }
    }
    times.sort_by(f64::total_cmp);
    let slow = times.get(reads * 99 / 100).copied().unwrap_or(f64::NAN);
    Ok((median(times), slow, f64::from(found) / reads.max(1) as f64))
}

/// Nanoseconds of processor time of a read that finds nothing.
fn miss(engine: &dyn Engine, entries: u64, reads: usize) -> Result<f64, Failure> {
    let mut out = Vec::new();
    let keys: Vec<_> = (0..reads as u64).map(|number| key(entries * 8 + number)).collect();
    let before = process_cpu_ns();
    for key in &keys {
        if engine.read(key, &mut out)? {
            return Err("an engine found what was never written".into());
        }
    }
    Ok((process_cpu_ns() - before) / reads.max(1) as f64)
}

/// Rows for peers, terrace against each of the others.
fn rows(peers: &[&Peer], figures: Vec<Vec<Vec<f64>>>, against: &'static str, goal: Option<f64>) -> Vec<Row> {
    peers
        .iter()
        .zip(figures)
        .map(|(peer, rounds)| Row {
            subject: peer.name,
            against: match peer.name.starts_with("terrace") {
                true => goal.map_or_else(|| Against::just(against), |goal| Against::at_most(goal, against)),
                false => None,
            },
            rounds,
        })
        .collect()
}

/// Write, read, miss, space: a fresh folder for each engine in each round.
pub(super) fn stored(plan: &Plan, report: &mut Report, kind: Kind, size: usize) -> Result<(), Failure> {
    const FIGURES: [Metric; 6] = [
        Metric { name: "write", unit: "cpu us" },
        Metric { name: "read p50", unit: "us" },
        Metric { name: "read p99", unit: "us" },
        Metric { name: "miss", unit: "cpu us" },
        Metric { name: "found", unit: "part" },
        Metric { name: "disk", unit: "/logical" },
    ];
    let entries = plan.operations((256 << 20) / size.max(512)) as u64;
    let peers: Vec<&Peer> = peer::ALL.iter().collect();
    let sample = |subject: usize| -> Result<Vec<f64>, Failure> {
        let folder = tempfile::tempdir_in(&plan.dir)?;
        let engine = (peers[subject].open)(folder.path(), Sync::Never)?;
        let (write, _) = fill(&*engine, 0..entries, kind, size)?;
        let reads = plan.operations(50_000);
        read(&*engine, (entries, reads / 4), (kind, size), 1)?;
        let (middle, slow, found) = read(&*engine, (entries, reads), (kind, size), 2)?;
        let miss = miss(&*engine, entries, reads)?;
        engine.close()?;
        let logical = entries * (16 + size as u64);
        let space = bytes_on_disk(folder.path())? as f64 / logical as f64;
        Ok(vec![write / 1000.0, middle, slow, miss / 1000.0, found, space])
    };
    let figures = in_turns(plan.rounds, peers.len(), sample)?;
    let rows = rows(&peers, figures, "fjall", Some(0.5));
    Ok(report.case(&format!("{size} B {}", kind.name()), &FIGURES, &rows)?)
}

/// Writers at once, without fsync.
pub(super) fn bulk(plan: &Plan, report: &mut Report, threads: u64) -> Result<(), Failure> {
    const FIGURES: [Metric; 2] =
        [Metric { name: "write", unit: "cpu us" }, Metric { name: "write", unit: "wall us" }];
    let each = plan.operations(200_000) as u64 / threads;
    let peers: Vec<&Peer> = peer::ALL.iter().collect();
    let sample = |subject: usize| -> Result<Vec<f64>, Failure> {
        let folder = tempfile::tempdir_in(&plan.dir)?;
        let engine = (peers[subject].open)(folder.path(), Sync::Never)?;
        let (began, before) = (Instant::now(), process_cpu_ns());
        at_once(threads, |thread| write_own(&*engine, thread, each, BATCH).map(drop))?;
        let cpu = (process_cpu_ns() - before) / (each * threads) as f64 / 1000.0;
        let wall = began.elapsed().as_micros() as f64 / (each * threads) as f64;
        engine.close()?;
        Ok(vec![cpu, wall])
    };
    let figures = in_turns(plan.rounds, peers.len(), sample)?;
    let rows = rows(&peers, figures, "fjall", Some(0.5));
    Ok(report.case(&format!("bulk write 1 KiB text {threads}t"), &FIGURES, &rows)?)
}

/// One thread's own keys, in batches; how many batches.
fn write_own(engine: &dyn Engine, thread: u64, each: u64, batch: usize) -> Result<u64, Failure> {
    let mut bytes = Vec::new();
    value(Kind::Text, 1024, thread, &mut bytes);
    let mut pairs: Vec<Pair> = Vec::with_capacity(batch);
    let mut batches = 0;
    for number in thread * each..(thread + 1) * each {
        pairs.push((key(number), bytes.clone()));
        if pairs.len() == batch || number + 1 == (thread + 1) * each {
            engine.write(&pairs)?;
            pairs.clear();
            batches += 1;
        }
    }
    Ok(batches)
}

fn at_once(
    threads: u64,
    work: impl Fn(u64) -> Result<(), Failure> + std::marker::Sync,
) -> Result<(), Failure> {
    let work = &work;
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || work(thread).map_err(|failure| failure.to_string())))
            .collect();
        for thread in running {
            thread.join().map_err(|_| "a writer panicked")??;
        }
        Ok(())
    })
}

/// Sixteen writers that wait for their fsync, and one.
pub(super) fn synced(plan: &Plan, report: &mut Report) -> Result<(), Failure> {
    const FIGURES: [Metric; 2] =
        [Metric { name: "write", unit: "wall us" }, Metric { name: "write", unit: "cpu us" }];
    for writers in [1, 16] {
        let each = plan.operations(if writers == 1 { 500 } else { 200 }) as u64;
        let peers: Vec<&Peer> = peer::ALL.iter().filter(|peer| peer.syncs).collect();
        let sample = |subject: usize| -> Result<Vec<f64>, Failure> {
            let folder = tempfile::tempdir_in(&plan.dir)?;
            let engine = (peers[subject].open)(folder.path(), Sync::Each)?;
            let done = AtomicU64::new(0);
            let (began, before) = (Instant::now(), process_cpu_ns());
            at_once(writers, |thread| {
                done.fetch_add(write_own(&*engine, thread, each, 1)?, Ordering::Relaxed);
                Ok(())
            })?;
            let count = done.into_inner() as f64;
            let wall = began.elapsed().as_micros() as f64 / count;
            let cpu = (process_cpu_ns() - before) / count / 1000.0;
            engine.close()?;
            Ok(vec![wall, cpu])
        };
        let figures = in_turns(plan.rounds, peers.len(), sample)?;
        let rows = rows(&peers, figures, "fjall", Some(0.5));
        report.case(&format!("synced write 1 KiB {writers} writers"), &FIGURES, &rows)?;
    }
    Ok(())
}

/// How long it takes to open what was closed, and what is there then.
pub(super) fn reopened(plan: &Plan, report: &mut Report) -> Result<(), Failure> {
    const FIGURES: [Metric; 2] =
        [Metric { name: "open", unit: "ms" }, Metric { name: "found", unit: "part" }];
    let entries = plan.operations(1_000_000) as u64;
    let peers: Vec<&Peer> = peer::ALL.iter().collect();
    let sample = |subject: usize| -> Result<Vec<f64>, Failure> {
        let folder = tempfile::tempdir_in(&plan.dir)?;
        let engine = (peers[subject].open)(folder.path(), Sync::Never)?;
        fill(&*engine, 0..entries, Kind::Text, 100)?;
        engine.close()?;
        let (time, found) = open_again(peers[subject], folder.path(), entries)?;
        Ok(vec![time, found])
    };
    let figures = in_turns(plan.rounds.min(3), peers.len(), sample)?;
    let rows = rows(&peers, figures, "fjall", None);
    Ok(report.case(&format!("reopen {entries} entries of 100 B"), &FIGURES, &rows)?)
}

fn open_again(peer: &Peer, folder: &Path, entries: u64) -> Result<(f64, f64), Failure> {
    let began = Instant::now();
    let engine = (peer.open)(folder, Sync::Never)?;
    let mut out = Vec::new();
    engine.read(&key(0), &mut out)?;
    let time = began.elapsed().as_micros() as f64 / 1000.0;
    let (_, _, found) = read(&*engine, (entries, 20_000), (Kind::Text, 100), 3)?;
    engine.close()?;
    Ok((time, found))
}
