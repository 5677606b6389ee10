//! Suite `warm`: what a warm hit costs beside a hot one, how many more entries the same memory holds, and what
//! that gives in hits.
//!
//! Decision: the values are those of the engine's own tests: JSON of about a kilobyte in which everything differs
//! that differs between real records. Both engines get the same keys and values, and the hot one weighs an entry
//! as what it takes: key, value and the two vectors that hold them.

#[path = "../../../terrace-memory/tests/it/warm/json.rs"]
mod json;

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use terrace_memory::eviction::S3Fifo;
use terrace_memory::warm::{Attributes, Config as WarmConfig, Warm};
use terrace_memory::{Config, Memory, Options};
use terrace_sim::Trace;

use self::json::order;
use crate::keys::{self, Law};
use crate::measure::{in_turns, timed};
use crate::report::{Against, COST, Metric, Report, Row};
use crate::suite::{Failure, Plan};

type Hot = Memory<Vec<u8>, Vec<u8>, S3Fifo>;

pub(super) fn run(plan: &Plan, report: &mut Report) -> Result<(), Failure> {
    density(plan, report)?;
    for threads in [1, 2] {
        hits(plan, report, threads)?;
    }
    inserts(plan, report)?;
    hit_ratios(plan, report)
}

fn name(key: u64) -> [u8; 16] {
    let mut name = *b"order:0000000000";
    for (at, byte) in name.iter_mut().skip(6).enumerate() {
        *byte = b"0123456789abcdefghijklmnopqrstuv"[(key >> (5 * at) & 31) as usize];
    }
    name
}

/// What the hot engine is told an entry weighs, beside its own overhead.
fn hot_options(value: &[u8]) -> Options {
    Options::weighing((16 + value.len() + 2 * size_of::<Vec<u8>>()) as u64)
}

fn fill_warm(warm: &Warm, keys: impl Iterator<Item = u64>) {
    for key in keys {
        let _ = warm.insert(&name(key), &order(key), Attributes::default(), 0);
        if warm.wants_training() {
            let _ = warm.train(0);
        }
    }
}

fn fill_hot(hot: &Hot, keys: impl Iterator<Item = u64>) {
    for key in keys {
        let value = order(key);
        let options = hot_options(&value);
        let _ = hot.insert(name(key).to_vec(), value, options, 0);
    }
}

/// How many entries fit.
fn density(plan: &Plan, report: &mut Report) -> Result<(), Failure> {
    const ENTRIES: [Metric; 2] =
        [Metric { name: "entries", unit: "/MiB" }, Metric { name: "memory", unit: "byte/entry" }];
    let capacity = if plan.quick { 4 << 20 } else { 64 << 20 };
    let keys = 0..capacity / 150;
    let warm = Warm::new(WarmConfig::bytes(capacity));
    fill_warm(&warm, keys.clone());
    let hot: Hot = Memory::with_policy(Config::bytes(capacity));
    fill_hot(&hot, keys);
    let figures =
        |len: usize| vec![len as f64 / (capacity >> 20) as f64, capacity as f64 / len.max(1) as f64];
    let rows = [
        Row { subject: "warm", against: Against::just("hot"), rounds: vec![figures(warm.len())] },
        Row { subject: "hot", against: None, rounds: vec![figures(hot.len())] },
    ];
    Ok(report.case("entries of 1 KiB JSON in full memory", &ENTRIES, &rows)?)
}

/// Reads of values that are all there, into a buffer; of the hot engine as a clone of the value and a copy of it.
fn hits(plan: &Plan, report: &mut Report, threads: usize) -> Result<(), Failure> {
    let entries = if plan.quick { 2000 } else { 50_000 };
    let warm = Warm::new(WarmConfig::bytes(128 << 20));
    let plain = Warm::new(WarmConfig::bytes(128 << 20));
    let hot: Hot = Memory::with_policy(Config::bytes(256 << 20));
    fill_warm(&warm, 0..entries);
    // Once more, now that there is a dictionary for all.
    fill_warm(&warm, 0..entries);
    for key in 0..entries {
        let _ = plain.insert(&name(key), &order(key), Attributes::default(), 0);
    }
    fill_hot(&hot, 0..entries);
    let asked: Vec<[u8; 16]> = keys::order(Law::Uniform, 1 << 20, plan.operations(400_000))?
        .iter()
        .map(|key| name(key % entries))
        .collect();
    let sample = |subject: usize| -> Result<Vec<f64>, Failure> {
        let found = AtomicUsize::new(0);
        let cost = timed(threads, |_| {
            let mut out = Vec::with_capacity(4096);
            let hits = asked.iter().filter(|key| {
                out.clear();
                let found = match subject {
                    0 => warm.get(*key, 0, &mut out).is_some(),
                    1 => plain.get(*key, 0, &mut out).is_some(),
                    _ => hot.get(key.as_slice(), 0).map(|value| out.extend_from_slice(&value)).is_some(),
                };
                black_box(&out);
                found
            });
            found.fetch_add(hits.count(), Ordering::Relaxed);
            asked.len()
        });
        match found.into_inner() == threads * asked.len() {
            true => Ok(cost.figures()),
            false => Err("a read missed".into()),
        }
    };
    in_turns(1, 3, sample)?;
    let mut figures = in_turns(plan.rounds, 3, sample)?.into_iter();
    let mut row = |subject, against| Row { subject, against, rounds: figures.next().unwrap_or_default() };
    let rows = [
        row("warm", Against::just("hot")),
        row("warm, no dictionary", Against::just("hot")),
        row("hot", None),
    ];
    Ok(report.case(&format!("hit of 1 KiB JSON 50k uniform {threads}t"), &COST, &rows)?)
}

/// New keys into full memory.
fn inserts(plan: &Plan, report: &mut Report) -> Result<(), Failure> {
    let capacity = 16 << 20;
    let warm = Warm::new(WarmConfig::bytes(capacity));
    let hot: Hot = Memory::with_policy(Config::bytes(capacity));
    let many = if plan.quick { 20_000 } else { 100_000 };
    fill_warm(&warm, 0..many);
    fill_hot(&hot, 0..many);
    let mut next = many;
    let mut sample = |subject: usize| -> Result<Vec<f64>, Failure> {
        let values: Vec<(u64, Vec<u8>)> = (next..next + 20_000).map(|key| (key, order(key))).collect();
        next += 20_000;
        let cost = timed(1, |_| {
            for (key, value) in &values {
                match subject {
                    0 => black_box(warm.insert(&name(*key), value, Attributes::default(), 0).stored),
                    _ => black_box(
                        hot.insert(name(*key).to_vec(), value.clone(), hot_options(value), 0).stored,
                    ),
                };
            }
            values.len()
        });
        Ok(cost.figures())
    };
    let mut figures = in_turns(plan.rounds, 2, &mut sample)?.into_iter();
    let mut row = |subject, against| Row { subject, against, rounds: figures.next().unwrap_or_default() };
    let rows = [row("warm", Against::just("hot")), row("hot", None)];
    Ok(report.case("evicting insert of 1 KiB JSON 1t", &COST, &rows)?)
}

/// Traces that are replayed where they can be found, with the memory of both engines in entries of the hot one.
const TRACES: [(&str, u64); 4] =
    [("arc_oltp", 1000), ("cache2k_web07", 2000), ("wiki_train", 3000), ("tencent_ns3300", 3000)];

fn hit_ratios(plan: &Plan, report: &mut Report) -> Result<(), Failure> {
    const HITS: [Metric; 2] = [Metric { name: "hits", unit: "%" }, Metric { name: "entries", unit: "" }];
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/traces");
    let folder = std::env::var_os("TERRACE_TRACES").map_or(beside, PathBuf::from);
    for (trace, entries) in TRACES {
        let path = folder.join(format!("{trace}.trc.zst"));
        if !path.exists() {
            eprintln!("terrace-bench: skipped trace {trace}: it is not in {}", folder.display());
            continue;
        }
        let trace = Trace::open(&path.to_string_lossy())?;
        let many = if plan.quick { 20_000 } else { 500_000 };
        let keys: Vec<u64> = trace.records().iter().map(|record| record.key).take(many).collect();
        let capacity = entries * 1200;
        // Values that do not shrink show the choice of what leaves by itself.
        let rows = [
            Row {
                subject: "warm",
                against: Against::just("hot s3-fifo"),
                rounds: vec![replay_warm(&keys, capacity, order)],
            },
            Row {
                subject: "warm, noise",
                against: Against::just("hot s3-fifo"),
                rounds: vec![replay_warm(&keys, capacity, noise)],
            },
            Row { subject: "hot s3-fifo", against: None, rounds: vec![replay_hot(&keys, capacity)] },
        ];
        report.case(&format!("hits of {} in {} KiB", trace.name(), capacity >> 10), &HITS, &rows)?;
    }
    Ok(())
}

fn noise(key: u64) -> Vec<u8> {
    let mut chance = json::Chance(key);
    (0..order(key).len()).map(|_| chance.next() as u8).collect()
}

fn replay_warm(keys: &[u64], capacity: u64, value: impl Fn(u64) -> Vec<u8>) -> Vec<f64> {
    let warm = Warm::new(WarmConfig::bytes(capacity).seed(1));
    let (mut hits, mut out) = (0, Vec::new());
    for key in keys {
        out.clear();
        if warm.get(&name(*key), 0, &mut out).is_some() {
            hits += 1;
            continue;
        }
        let _ = warm.insert(&name(*key), &value(*key), Attributes::default(), 0);
        if warm.wants_training() {
            let _ = warm.train(0);
        }
    }
    vec![f64::from(hits) * 100.0 / keys.len().max(1) as f64, warm.len() as f64]
}

fn replay_hot(keys: &[u64], capacity: u64) -> Vec<f64> {
    let hot: Hot = Memory::with_policy(Config::bytes(capacity));
    let mut hits = 0;
    for key in keys {
        if hot.get(name(*key).as_slice(), 0).is_some() {
            hits += 1;
            continue;
        }
        fill_hot(&hot, std::iter::once(*key));
    }
    vec![f64::from(hits) * 100.0 / keys.len().max(1) as f64, hot.len() as f64]
}
