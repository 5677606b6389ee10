//! What every case does with an engine: fill it, read it, miss in it.

use std::time::Instant;

use super::engine::{Engine, Pair};
use super::values::{Chance, Kind, key, value};
use crate::measure::process_cpu_ns;
use crate::suite::Failure;

const BATCH: u64 = 128;

/// Writes the values of these numbers in batches, and returns microseconds of processor time an entry.
pub(super) fn fill(
    engine: &dyn Engine,
    numbers: std::ops::Range<u64>,
    (kind, size): (Kind, usize),
) -> Result<f64, Failure> {
    let count = (numbers.end - numbers.start) as f64;
    let mut cpu = 0.0;
    let mut first = numbers.start;
    while first < numbers.end {
        let end = numbers.end.min(first + BATCH);
        let batch: Vec<Pair> = (first..end).map(|number| pair(kind, size, number)).collect();
        let before = process_cpu_ns();
        engine.write(&batch)?;
        cpu += process_cpu_ns() - before;
        first = end;
    }
    Ok(cpu / count / 1000.0)
}

fn pair(kind: Kind, size: usize, number: u64) -> Pair {
    let mut bytes = Vec::with_capacity(size);
    value(kind, size, number, &mut bytes);
    (key(number), bytes)
}

/// How long reads took, each timed by itself, in microseconds.
pub(super) struct Reads {
    sorted: Vec<f64>,
    /// The part of those asked for that was there.
    pub(super) found: f64,
}

impl Reads {
    pub(super) fn quantile(&self, part: f64) -> f64 {
        let last = self.sorted.len().saturating_sub(1);
        self.sorted.get((last as f64 * part) as usize).copied().unwrap_or(f64::NAN)
    }
}

/// Reads so many of the entries at random, and checks each.
pub(super) fn read(
    engine: &dyn Engine,
    (entries, reads): (u64, usize),
    (kind, size): (Kind, usize),
    seed: u64,
) -> Result<Reads, Failure> {
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
    Ok(Reads { sorted: times, found: f64::from(found) / reads.max(1) as f64 })
}

/// Microseconds of processor time of a read that finds nothing.
pub(super) fn miss(engine: &dyn Engine, entries: u64, reads: usize) -> Result<f64, Failure> {
    let mut out = Vec::new();
    let keys: Vec<_> = (0..reads as u64).map(|number| key(entries * 8 + number)).collect();
    let before = process_cpu_ns();
    for key in &keys {
        if engine.read(key, &mut out)? {
            return Err("an engine found what was never written".into());
        }
    }
    Ok((process_cpu_ns() - before) / reads.max(1) as f64 / 1000.0)
}
