//! Suite `memory`: hits, inserts that evict and a mix, of caches in this process.
//!
//! Decision: a cache for hits has room for twice what it holds, so that none of the subjects, however it divides
//! its room, has dropped anything; every answer is checked. Orders are made before the clock starts and are the
//! same for all.

mod contender;
mod counting;
mod subject;

use std::fmt::Write as _;

use self::contender::{strings, words};
use self::subject::{Keyed, Subject, Tally};
use crate::keys::{self, Law, Names};
use crate::measure::{Cost, in_turns, timed};
use crate::report::{Against, COST, Metric, Report, Row};
use crate::suite::{Failure, Plan};

/// What `Cache<K, V>` and the mixed cache may take of the time of quick_cache with the same keys.
const TYPED_GOAL: f64 = 3.0;
const MIXED_GOAL: f64 = 5.0;

const PEER: &str = "quick_cache";
const THREADS: [usize; 2] = [1, 2];

pub(super) fn run(plan: &Plan, report: &mut Report) -> Result<(), Failure> {
    let entries: &[usize] = if plan.quick { &[10_000] } else { &[10_000, 1_000_000] };
    for &entries in entries {
        hits_by_number(plan, report, entries)?;
        hits_by_text(plan, report, entries)?;
    }
    counting::of_hits(plan, report)?;
    for &entries in entries {
        evicting_inserts(plan, report, entries)?;
        mixes(plan, report, entries)?;
    }
    Ok(())
}

/// Whom a hit is compared with, and how fast it should be.
fn goal_of_hit(subject: &str) -> Option<Against> {
    match subject {
        "terrace" => Against::at_most(TYPED_GOAL, PEER),
        "terrace-mixed" => Against::at_most(MIXED_GOAL, PEER),
        PEER => None,
        _ => Against::just(PEER),
    }
}

/// Whom anything else is compared with.
fn compare_only(subject: &str) -> Option<Against> {
    if subject == PEER { None } else { Against::just(PEER) }
}

/// `10k`, `1m`.
fn short(count: usize) -> String {
    match count {
        millions if millions % 1_000_000 == 0 => format!("{}m", millions / 1_000_000),
        thousands if thousands % 1000 == 0 => format!("{}k", thousands / 1000),
        other => other.to_string(),
    }
}

fn hits_by_number(plan: &Plan, report: &mut Report, entries: usize) -> Result<(), Failure> {
    let all = keys::all(entries)?;
    let subjects = filled(words(2 * entries)?, &all);
    for law in [Law::Uniform, Law::Zipf] {
        for threads in THREADS {
            let order = keys::order(law, entries, threads * plan.operations(1_000_000))?;
            hits(plan, report, ("u64", entries, law), &subjects, (&order, threads))?;
        }
    }
    Ok(())
}

fn hits_by_text(plan: &Plan, report: &mut Report, entries: usize) -> Result<(), Failure> {
    let all = keys::all(entries)?;
    let names = Names::of(&all);
    let subjects = filled(strings(2 * entries)?, &names.in_order(&all));
    for law in [Law::Uniform, Law::Zipf] {
        for threads in THREADS {
            let order = keys::order(law, entries, threads * plan.operations(1_000_000))?;
            hits(plan, report, ("String", entries, law), &subjects, (&names.in_order(&order), threads))?;
        }
    }
    Ok(())
}

/// The subjects, each with all keys in it.
fn filled<K: Keyed>(subjects: Vec<Box<dyn Subject<K>>>, all: &[K]) -> Vec<Box<dyn Subject<K>>> {
    for subject in &subjects {
        subject.writes(all);
        subject.settle();
    }
    subjects
}

fn hits<K: Keyed>(
    plan: &Plan,
    report: &mut Report,
    (kind, entries, law): (&str, usize, Law),
    subjects: &[Box<dyn Subject<K>>],
    (order, threads): (&[K], usize),
) -> Result<(), Failure> {
    let shares: Vec<&[K]> = order.chunks(order.len() / threads).collect();
    let expected: Vec<Tally> = shares.iter().map(|share| Tally::of(share)).collect();
    let case = format!("hit {kind} {} {} {threads}t", short(entries), law.name());
    let sample = |index: usize| -> Result<Vec<f64>, Failure> {
        let subject = &subjects[index];
        let wrong = std::sync::Mutex::new(String::new());
        let cost = timed(threads, |thread| {
            let found = subject.reads(shares[thread]);
            if found != expected[thread]
                && let Ok(mut wrong) = wrong.lock()
            {
                let _ = write!(
                    wrong,
                    "{case}: {} answered {found:?}, not {:?}",
                    subject.name(),
                    expected[thread]
                );
            }
            shares[thread].len()
        });
        match wrong.into_inner() {
            Ok(nothing) if nothing.is_empty() => Ok(cost.figures()),
            Ok(wrong) => Err(wrong.into()),
            Err(_) => Err("a measured thread panicked".into()),
        }
    };
    measure(plan, report, &case, (&COST, goal_of_hit), subjects, sample)
}

/// Measures all subjects, after one turn for each that does not count, and reports the case.
fn measure<K: Keyed>(
    plan: &Plan,
    report: &mut Report,
    case: &str,
    (metrics, against): (&[Metric], fn(&str) -> Option<Against>),
    subjects: &[Box<dyn Subject<K>>],
    mut sample: impl FnMut(usize) -> Result<Vec<f64>, Failure>,
) -> Result<(), Failure> {
    in_turns(1, subjects.len(), &mut sample)?;
    let figures = in_turns(plan.rounds, subjects.len(), &mut sample)?;
    let names = subjects.iter().map(|subject| subject.name());
    let row = |(subject, rounds)| Row { subject, against: against(subject), rounds };
    let rows: Vec<Row> = names.zip(figures).map(row).collect();
    Ok(report.case(case, metrics, &rows)?)
}

/// Every insert is of a new key into a full cache.
fn evicting_inserts(plan: &Plan, report: &mut Report, entries: usize) -> Result<(), Failure> {
    let mut subjects = words(entries)?;
    subjects.retain(|subject| subject.evicts());
    let subjects = filled(subjects, &keys::all(entries)?);
    for threads in THREADS {
        let inserts = plan.operations(300_000);
        let mut batch = 0;
        let case = format!("evicting insert u64 {} {threads}t", short(entries));
        let sample = |index: usize| {
            batch += 1;
            let fresh = keys::fresh(batch, inserts * threads)?;
            let shares: Vec<&[u64]> = fresh.chunks(inserts).collect();
            let cost = timed(threads, |thread| {
                subjects[index].writes(shares[thread]);
                shares[thread].len()
            });
            Ok(cost.figures())
        };
        measure(plan, report, &case, (&COST, compare_only), &subjects, sample)?;
    }
    Ok(())
}

/// Costs, and how many of the reads found something.
const MIX: [Metric; 3] = [COST[0], COST[1], Metric { name: "hits", unit: "of reads" }];

/// Three reads and a write, again and again, of zipf over ten times as many keys as there is room for.
fn mixes(plan: &Plan, report: &mut Report, entries: usize) -> Result<(), Failure> {
    let (room, keys) = (entries / 10, entries);
    for threads in THREADS {
        let mut subjects = words(room)?;
        subjects.retain(|subject| subject.evicts());
        let order = keys::order(Law::Zipf, keys, threads * plan.operations(1_000_000))?;
        let shares: Vec<&[u64]> = order.chunks(order.len() / threads).collect();
        let case = format!("mix 75/25 u64 {} of {} zipf {threads}t", short(room), short(keys));
        let sample = |index: usize| {
            let found = std::sync::atomic::AtomicUsize::new(0);
            let Cost { cpu_ns, wall_ns } = timed(threads, |thread| {
                let hits = subjects[index].mixes(shares[thread]).found;
                found.fetch_add(hits, std::sync::atomic::Ordering::Relaxed);
                shares[thread].len()
            });
            let reads: usize = shares.iter().map(|share| subject::reads_of_mix(share.len())).sum();
            Ok(vec![cpu_ns, wall_ns, found.into_inner() as f64 / reads as f64])
        };
        measure(plan, report, &case, (&MIX, compare_only), &subjects, sample)?;
    }
    Ok(())
}
