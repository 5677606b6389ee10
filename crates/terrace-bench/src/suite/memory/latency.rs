//! How long single hits take while another thread inserts.
//!
//! Decision: every read is timed by itself, and what asking the time takes is taken off again: the median of two
//! questions in a row. Reads that find nothing do not count, since the inserts make something leave.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::contender::words;
use super::subject::Subject;
use super::{ANOTHER_READ, OURS, PEER, fill, measure, names, short};
use crate::keys::{self, Law};
use crate::measure::median;
use crate::report::{Against, Metric, Report};
use crate::suite::{Failure, Plan};

const QUANTILES: [Metric; 4] = [
    Metric { name: "p99.9", unit: "ns" },
    Metric { name: "p99", unit: "ns" },
    Metric { name: "p50", unit: "ns" },
    Metric { name: "p99 in", unit: "p50" },
];

/// What the 99th percentile may be in parts of the median.
const SPREAD_GOAL: f64 = 3.0;
/// Keys the other thread inserts before it looks whether it should stop.
const STRIDE: usize = 1000;

pub(super) fn beside_a_writer(plan: &Plan, report: &mut Report, entries: usize) -> Result<(), Failure> {
    let case = format!("latency of a hit u64 {} uniform beside inserts", short(entries));
    if !plan.wants(&case) {
        return Ok(());
    }
    let all = keys::all(entries)?;
    let mut subjects = words(entries)?;
    subjects.retain(|subject| subject.evicts() && !ANOTHER_READ.contains(&subject.name()));
    let order = keys::order(Law::Uniform, entries, plan.operations(500_000))?;
    let fresh = keys::fresh(0, plan.operations(2_000_000))?;
    let floor = cost_of_asking();
    let mut spread = Vec::new();
    let sample = |index: usize| {
        let subject = subjects[index].as_ref();
        fill_once(subject, &all);
        let figures = quantiles(timed_beside(subject, &order, &fresh), floor);
        if subject.name() == OURS {
            spread.push(figures[3]);
        }
        Ok(figures)
    };
    let against = |subject: &str| match subject {
        PEER => None,
        OURS => Against::at_most(1.0, PEER),
        _ => Against::just(PEER),
    };
    measure(plan, report, &case, (&QUANTILES, against), &names(&subjects), sample)?;
    report.limit(&format!("{case}: p99 of {OURS} in its p50"), median(spread), SPREAD_GOAL);
    Ok(())
}

/// One round of writes, which is all that a full cache of this size needs to know most of the keys again.
fn fill_once(subject: &dyn Subject<u64>, all: &[u64]) {
    if subject.reads(all).found == 0 {
        fill(subject, all);
    } else {
        subject.writes(all);
        subject.settle();
    }
}

fn timed_beside(subject: &dyn Subject<u64>, order: &[u64], fresh: &[u64]) -> Vec<u32> {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for part in fresh.chunks(STRIDE).cycle() {
                if done.load(Ordering::Relaxed) {
                    return;
                }
                subject.writes(part);
            }
        });
        let times = subject.timed_reads(order);
        done.store(true, Ordering::Relaxed);
        times
    })
}

fn quantiles(mut times: Vec<u32>, floor: f64) -> Vec<f64> {
    times.sort_unstable();
    let at = |part: f64| {
        let place = ((times.len() as f64 * part) as usize).min(times.len().saturating_sub(1));
        times.get(place).map_or(f64::NAN, |time| (f64::from(*time) - floor).max(1.0))
    };
    vec![at(0.999), at(0.99), at(0.5), at(0.99) / at(0.5)]
}

/// What a question for the time takes, in nanoseconds.
fn cost_of_asking() -> f64 {
    median((0..10_001).map(|_| {
        let began = Instant::now();
        began.elapsed().as_nanos() as f64
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_told_without_the_cost_of_asking() {
        let figures = quantiles((1..=1000).rev().map(|time| time + 20).collect(), 20.0);
        assert_eq!(figures, [1000.0, 991.0, 501.0, 991.0 / 501.0]);
        assert!(quantiles(Vec::new(), 20.0).iter().all(|figure| figure.is_nan()));
    }
}
