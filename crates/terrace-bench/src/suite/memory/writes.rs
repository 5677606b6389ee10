//! Writes that make something else leave, reads and writes in turn, and values that are made on demand.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::contender::{makers, words};
use super::subject::{Tally, reads_of_mix};
use super::{ANOTHER_READ, SMALL, THREADS, against, measure, names, short};
use crate::keys::{self, Law};
use crate::measure::{Cost, timed};
use crate::report::{COST, Metric, Report};
use crate::suite::{Failure, Plan};

/// Every insert is of a new key into a full cache.
pub(super) fn evicting(plan: &Plan, report: &mut Report, entries: usize) -> Result<(), Failure> {
    let case = |threads| format!("evicting insert u64 {} {threads}t", short(entries));
    if !THREADS.iter().any(|threads| plan.wants(&case(*threads))) {
        return Ok(());
    }
    let mut subjects = words(entries)?;
    subjects.retain(|subject| subject.evicts() && !ANOTHER_READ.contains(&subject.name()));
    for subject in &subjects {
        subject.writes(&keys::all(entries)?);
        subject.settle();
    }
    for threads in THREADS.into_iter().filter(|threads| plan.wants(&case(*threads))) {
        let inserts = plan.operations(300_000);
        let mut batch = 0;
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
        let goal = |subject: &str| against(subject, 0.7);
        measure(plan, report, &case(threads), (&COST, goal), &names(&subjects), sample)?;
    }
    Ok(())
}

/// Costs, and how many of the reads found something.
const MIX: [Metric; 3] = [COST[0], COST[1], Metric { name: "hits", unit: "of reads" }];

/// Three reads and a write, again and again, of zipf over ten times as many keys as there is room for.
pub(super) fn mixes(plan: &Plan, report: &mut Report, entries: usize) -> Result<(), Failure> {
    let (room, keys) =
        if entries == SMALL && !plan.quick { (SMALL, 10 * SMALL) } else { (entries / 10, entries) };
    for threads in THREADS {
        let case = format!("mix 75/25 u64 {} of {} zipf {threads}t", short(room), short(keys));
        if !plan.wants(&case) {
            continue;
        }
        let mut subjects = words(room)?;
        subjects.retain(|subject| subject.evicts() && !ANOTHER_READ.contains(&subject.name()));
        let order = keys::order(Law::Zipf, keys, threads * plan.operations(1_000_000))?;
        let shares: Vec<&[u64]> = order.chunks(order.len() / threads).collect();
        let sample = |index: usize| {
            let found = AtomicUsize::new(0);
            let Cost { cpu_ns, wall_ns } = timed(threads, |thread| {
                let hits = subjects[index].mixes(shares[thread]).found;
                found.fetch_add(hits, Ordering::Relaxed);
                shares[thread].len()
            });
            let reads: usize = shares.iter().map(|share| reads_of_mix(share.len())).sum();
            Ok(vec![cpu_ns, wall_ns, found.into_inner() as f64 / reads as f64])
        };
        let goal = |subject: &str| against(subject, 0.7);
        measure(plan, report, &case, (&MIX, goal), &names(&subjects), sample)?;
    }
    Ok(())
}

/// Two threads ask for the same keys in the same order, and whoever finds nothing makes the value.
pub(super) fn making(plan: &Plan, report: &mut Report) -> Result<(), Failure> {
    let (room, keys) = (SMALL, 10 * SMALL);
    let case = format!("get or insert u64 {} of {} zipf, the same in 2t", short(room), short(keys));
    if !plan.wants(&case) {
        return Ok(());
    }
    let makers = makers(room);
    let order = keys::order(Law::Zipf, keys, plan.operations(1_000_000))?;
    let expected = Tally::of(&order);
    let sample = |index: usize| -> Result<Vec<f64>, Failure> {
        let wrong = AtomicUsize::new(0);
        let cost = timed(2, |_| {
            let made = makers[index].makes(&order);
            wrong.fetch_add(usize::from(made != expected), Ordering::Relaxed);
            order.len()
        });
        match wrong.into_inner() {
            0 => Ok(cost.figures()),
            _ => Err(format!("{case}: {} answered wrongly", makers[index].name()).into()),
        }
    };
    let names: Vec<&'static str> = makers.iter().map(|maker| maker.name()).collect();
    measure(plan, report, &case, (&COST, |subject: &str| against(subject, 0.8)), &names, sample)
}
