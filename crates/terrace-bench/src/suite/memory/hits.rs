//! Reads of keys that are all there.

use super::contender::{strings, words};
use super::subject::{Subject, Tally};
use super::value::Keyed;
use super::{OURS, PEER, SMALL, THREADS, filled, measure, names, short};
use crate::keys::{self, Law, Names};
use crate::measure::{Cost, timed};
use crate::report::{Against, COST, Report};
use crate::suite::{Failure, Plan};

/// What `Cache<K, V>` and the mixed cache may take of the time of the bare engine with the same keys and values.
const TYPED: &[(&str, f64)] = &[(OURS, 1.3)];
const MIXED: &[(&str, f64)] = &[(OURS, 2.0)];

/// Whom a hit is compared with, and how fast it should be.
fn goal(subject: &str, entries: usize, threads: usize) -> Option<Against> {
    let bare = match (entries, threads) {
        (SMALL, 1) => Against::at_most(0.5, PEER)?.and(&[("papaya", 1.0), ("hashbrown", 2.5)]),
        (_, 1) => Against::at_most(0.6, PEER)?.and(&[("hashbrown", 1.6)]),
        _ => Against::just(PEER),
    };
    match subject {
        OURS => bare,
        "terrace" => Against::just(PEER)?.and(TYPED),
        "terrace-mixed" => Against::just(PEER)?.and(MIXED),
        PEER => None,
        _ => Against::just(PEER),
    }
}

fn case(kind: &str, entries: usize, law: Law, threads: usize) -> String {
    format!("hit {kind} {} {} {threads}t", short(entries), law.name())
}

fn is_wanted(plan: &Plan, kind: &str, entries: usize) -> bool {
    let laws = [Law::Uniform, Law::Zipf, Law::OneKey];
    laws.iter().any(|law| THREADS.iter().any(|threads| plan.wants(&case(kind, entries, *law, *threads))))
}

pub(super) fn by_number(plan: &Plan, report: &mut Report, entries: usize) -> Result<(), Failure> {
    if !is_wanted(plan, "u64", entries) {
        return Ok(());
    }
    let all = keys::all(entries)?;
    let subjects = filled(words(2 * entries)?, &all);
    each_law(entries, |law, threads| {
        let order = || keys::order(law, entries, threads * plan.operations(1_000_000));
        hits(plan, report, ("u64", entries, law, threads), &subjects, order)
    })
}

pub(super) fn by_text(plan: &Plan, report: &mut Report, entries: usize) -> Result<(), Failure> {
    if !is_wanted(plan, "String", entries) {
        return Ok(());
    }
    let all = keys::all(entries)?;
    let names = Names::of(&all);
    let subjects = filled(strings(2 * entries)?, &names.in_order(&all));
    each_law(entries, |law, threads| {
        let order = || keys::order(law, entries, threads * plan.operations(1_000_000));
        hits(plan, report, ("String", entries, law, threads), &subjects, || Ok(names.in_order(&order()?)))
    })
}

fn each_law(
    entries: usize,
    mut measure: impl FnMut(Law, usize) -> Result<(), Failure>,
) -> Result<(), Failure> {
    for law in [Law::Uniform, Law::Zipf, Law::OneKey] {
        // One key is the same among few and among many.
        if law != Law::OneKey || entries == SMALL {
            for threads in THREADS {
                measure(law, threads)?;
            }
        }
    }
    Ok(())
}

fn hits<K: Keyed>(
    plan: &Plan,
    report: &mut Report,
    (kind, entries, law, threads): (&str, usize, Law, usize),
    subjects: &[Box<dyn Subject<K>>],
    order: impl FnOnce() -> Result<Vec<K>, Failure>,
) -> Result<(), Failure> {
    let case = case(kind, entries, law, threads);
    if !plan.wants(&case) {
        return Ok(());
    }
    let order = order()?;
    let shares: Vec<&[K]> = order.chunks(order.len() / threads).collect();
    let expected: Vec<Tally> = shares.iter().map(|share| Tally::of(share)).collect();
    let sample = |index: usize| Ok(read(&case, subjects[index].as_ref(), (&shares, &expected))?.figures());
    let against = |subject: &str| goal(subject, entries, threads);
    measure(plan, report, &case, (&COST, against), &names(subjects), sample)
}

/// Reads each share in a thread of its own, and looks at what was found.
pub(super) fn read<K: Keyed>(
    case: &str,
    subject: &dyn Subject<K>,
    (shares, expected): (&[&[K]], &[Tally]),
) -> Result<Cost, Failure> {
    let wrong = std::sync::Mutex::new(None);
    let cost = timed(shares.len(), |thread| {
        let found = subject.reads(shares[thread]);
        if found != expected[thread]
            && let Ok(mut wrong) = wrong.lock()
        {
            *wrong =
                Some(format!("{case}: {} answered {found:?}, not {:?}", subject.name(), expected[thread]));
        }
        shares[thread].len()
    });
    match wrong.into_inner() {
        Ok(None) => Ok(cost),
        Ok(Some(wrong)) => Err(wrong.into()),
        Err(_) => Err("a measured thread panicked".into()),
    }
}
