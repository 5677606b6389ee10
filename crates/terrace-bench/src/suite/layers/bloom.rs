//! The Bloom filter beside others: time, mistakes, bits, and two threads.
//!
//! Decision: what filters take as hashes is measured apart from keys, so that what the hash of a key costs is a figure of
//! its own (`XXH3 alone`). Every key that was inserted is asked for, and one that is missing ends the run.

use std::hint::black_box;

use fastbloom::{AtomicBloomFilter, BloomFilter};
use parking_lot::RwLock;
use terrace_layers::bloom::Filter;

use super::filter::{HashAlone, Name, Set, Shared};
use crate::keys;
use crate::measure::{Cost, in_turns, median, timed};
use crate::report::{Against, COST, Metric, Report, Row};
use crate::suite::{Failure, Plan};

/// Nanoseconds an operation may take, of the filter alone.
const GOAL_NS: f64 = 6.0;

/// The part of absent keys it may take for present, in hundredths: 1.2 times what it is made for.
const GOAL_RATE: f64 = 1.2;

const RATE: [Metric; 2] = [Metric { name: "mistakes", unit: "%" }, Metric { name: "bits", unit: "/key" }];

pub(super) fn run(plan: &Plan, report: &mut Report) -> Result<(), Failure> {
    let count = plan.operations(1_000_000);
    let (present, absent) =
        (keys::all(count)?.iter().map(hash).collect(), keys::fresh(0, count)?.iter().map(hash).collect());
    let hashes = Items { present, absent };
    let names = Items {
        present: hashes.present.iter().map(name).collect(),
        absent: hashes.absent.iter().map(name).collect(),
    };
    let of_hashes: [Subject<u64>; 3] = [
        ("terrace", alone::<u64, Filter>),
        ("sbbf", alone::<u64, sbbf_rs_safe::Filter>),
        ("fastbloom", alone::<u64, BloomFilter>),
    ];
    cases(plan, report, "hash", &hashes, &of_hashes)?;
    let of_names: [Subject<Name>; 5] = [
        ("terrace", alone::<Name, Filter>),
        ("XXH3 alone", alone::<Name, HashAlone>),
        ("sbbf", alone::<Name, sbbf_rs_safe::Filter>),
        ("fastbloom", alone::<Name, BloomFilter>),
        ("bloomfilter", alone::<Name, Option<bloomfilter::Bloom<Name>>>),
    ];
    cases(plan, report, "key of 24 B", &names, &of_names)?;
    together(plan, report, &hashes)
}

/// Spreads a number over all bits, as a hash would.
fn hash(key: &u64) -> u64 {
    let mut mixed = key.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

fn name(hash: &u64) -> Name {
    let mut name = *b"customer0000000000000000";
    for (at, byte) in name.iter_mut().skip(8).enumerate() {
        *byte = b"0123456789abcdef"[(hash >> (4 * at) & 15) as usize];
    }
    name
}

/// What is inserted, and what is not.
struct Items<T> {
    present: Vec<T>,
    absent: Vec<T>,
}

/// A filter's name, and how it is measured.
type Subject<T> = (&'static str, fn(&Items<T>) -> Result<Vec<f64>, Failure>);

/// A filter's name, and how so many threads are measured on it.
type Crowd = (&'static str, fn(usize, &Items<u64>) -> Cost);

/// Fills a filter and asks it: the costs of an insertion, of a key that is there and of one that is not, mistakes, bits.
fn alone<T: Sync, S: Set<T> + Send + Sync>(items: &Items<T>) -> Result<Vec<f64>, Failure> {
    let count = items.present.len();
    let filter = RwLock::new(S::of(count));
    let mut figures = Vec::new();
    let insert = timed(1, |_| {
        let mut filter = filter.write();
        items.present.iter().for_each(|item| filter.insert(black_box(item)));
        count
    });
    let filter = filter.into_inner();
    let ask = |items: &[T]| {
        let found = std::sync::atomic::AtomicUsize::new(0);
        let cost = timed(1, |_| {
            let there = items.iter().filter(|item| filter.contains(black_box(item))).count();
            found.store(there, std::sync::atomic::Ordering::Relaxed);
            count
        });
        (cost, found.into_inner())
    };
    let ((hit, found), (miss, mistaken)) = (ask(&items.present), ask(&items.absent));
    if found != count {
        return Err("a filter lost a key".into());
    }
    [insert, hit, miss].into_iter().for_each(|cost: Cost| figures.extend(cost.figures()));
    figures.extend([mistaken as f64 * 100.0 / count as f64, filter.bits() as f64 / count as f64]);
    Ok(figures)
}

fn cases<T>(
    plan: &Plan,
    report: &mut Report,
    what: &str,
    items: &Items<T>,
    subjects: &[Subject<T>],
) -> Result<(), Failure> {
    let figures = in_turns(plan.rounds, subjects.len(), |subject| (subjects[subject].1)(items))?;
    let rows = |columns: std::ops::Range<usize>, against: Option<Against>| -> Vec<Row> {
        let row = |((subject, _), rounds): (&Subject<T>, &Vec<Vec<f64>>)| Row {
            subject,
            against: against.filter(|_| *subject == "terrace"),
            rounds: rounds.iter().map(|round| round[columns.clone()].to_vec()).collect(),
        };
        subjects.iter().zip(&figures).map(row).collect()
    };
    for (at, operation) in
        ["insert", "ask for one that is there", "ask for one that is not"].into_iter().enumerate()
    {
        let case = format!("bloom, {operation}, by {what}");
        report.case(&case, &COST, &rows(2 * at..2 * at + 2, Against::just("sbbf")))?;
        if what == "hash" {
            report.limit(
                &format!("{case}, in ns"),
                median(figures[0].iter().map(|round| round[2 * at])),
                GOAL_NS,
            );
        }
    }
    let case = format!("bloom, mistakes, by {what}");
    report.case(&case, &RATE, &rows(6..8, None))?;
    report.limit(&format!("{case}, in %"), median(figures[0].iter().map(|round| round[6])), GOAL_RATE);
    Ok(())
}

/// Two threads that insert and ask in turn, against one that does: wall time of an operation.
fn together(plan: &Plan, report: &mut Report, items: &Items<u64>) -> Result<(), Failure> {
    let subjects: [Crowd; 3] = [
        ("terrace", mixed::<Filter>),
        ("sbbf, locked", mixed::<RwLock<sbbf_rs_safe::Filter>>),
        ("fastbloom, atomic", mixed::<AtomicBloomFilter>),
    ];
    const FIGURES: [Metric; 4] = [
        Metric { name: "2t", unit: "wall ns/op" },
        Metric { name: "2t", unit: "cpu ns/op" },
        Metric { name: "1t", unit: "wall ns/op" },
        Metric { name: "2t in", unit: "1t" },
    ];
    let figures = in_turns(plan.rounds, subjects.len(), |subject| -> Result<Vec<f64>, Failure> {
        let (_, work) = subjects[subject];
        let (one, two) = (work(1, items), work(2, items));
        // What passes for the pair of them while each does one.
        let pair = two.wall_ns / 2.0;
        Ok(vec![pair, two.cpu_ns, one.wall_ns, pair / one.wall_ns])
    })?;
    let rows: Vec<Row> = subjects
        .iter()
        .zip(&figures)
        .map(|((subject, _), rounds)| Row {
            subject,
            against: Against::just("fastbloom, atomic").filter(|_| *subject == "terrace"),
            rounds: rounds.clone(),
        })
        .collect();
    let case = "bloom, insert and ask in turn, two threads";
    report.case(case, &FIGURES, &rows)?;
    report.limit(&format!("{case}, in parts of one"), median(figures[0].iter().map(|round| round[3])), 1.0);
    Ok(())
}

/// Threads that each insert a part of the keys, and ask after each for one that is not there.
fn mixed<S: Shared<u64>>(threads: usize, items: &Items<u64>) -> Cost {
    let count = items.present.len();
    let filter = S::of(count);
    timed(threads, |thread| {
        let part = thread * count / threads..(thread + 1) * count / threads;
        for (item, other) in items.present[part.clone()].iter().zip(&items.absent[part.clone()]) {
            filter.insert(item);
            black_box(filter.contains(other));
        }
        2 * part.len()
    })
}
