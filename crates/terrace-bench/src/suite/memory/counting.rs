//! What the statistics of a hit cost: they are always on, so nothing can be switched off to see.
//!
//! Decision: the difference of two reads in turns, under a policy that heeds no use. Both find the entry in the same
//! way; one counts the hit and hands the value out, the other does neither, so the difference is a little more than the
//! counting.

use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};

use terrace_memory::eviction::Fifo;
use terrace_memory::{Config, Memory, Options, RandomHash};

use crate::keys::{self, Law};
use crate::measure::{in_turns, median, timed};
use crate::report::{Metric, Report, Row};
use crate::suite::{Failure, Plan};

const ENTRIES: usize = 10_000;
const READS: [Metric; 1] = [Metric { name: "cpu", unit: "ns/op" }];

/// What counting may take.
const GOAL: f64 = 1.0;
const CASE: &str = "statistics of a hit u64 10k";

pub(super) fn of_hits(plan: &Plan, report: &mut Report) -> Result<(), Failure> {
    if !plan.wants(CASE) {
        return Ok(());
    }
    let cache: Memory<u64, u64, Fifo> =
        Memory::with_hasher(Config::entries(2 * ENTRIES as u64), RandomHash::seeded(1));
    for key in keys::all(ENTRIES)? {
        let _ = cache.insert(key, key, Options::default(), 0);
    }
    let order = keys::order(Law::Uniform, ENTRIES, plan.operations(3_000_000))?;
    let mut sample = |counted: usize| -> Result<Vec<f64>, Failure> {
        let before = cache.stats().hits;
        let found = AtomicUsize::new(0);
        let cost = timed(1, |_| {
            let here = if counted == 1 {
                order
                    .iter()
                    .filter(|key| black_box(cache.get_with(*key, 0, |value| *value)).is_some())
                    .count()
            } else {
                order.iter().filter(|key| black_box(cache.contains(*key, 0))).count()
            };
            found.store(here, Ordering::Relaxed);
            order.len()
        });
        let (found, hits) = (found.into_inner(), (cache.stats().hits - before) as usize);
        if (found, hits) != (order.len(), counted * order.len()) {
            return Err(format!("{found} found and {hits} counted of {}", order.len()).into());
        }
        Ok(vec![cost.cpu_ns])
    };
    in_turns(1, 2, &mut sample)?;
    let mut figures = in_turns(plan.rounds, 2, &mut sample)?;
    let difference = |(counted, plain): (&Vec<f64>, &Vec<f64>)| vec![counted[0] - plain[0]];
    let counting: Vec<Vec<f64>> = figures[1].iter().zip(&figures[0]).map(difference).collect();
    report.limit(&format!("{CASE}: ns"), median(counting.iter().flatten().copied()), GOAL);
    figures.push(counting);
    let names = ["found", "found and counted", "the counting"];
    let row = |(subject, rounds)| Row { subject, against: None, rounds };
    let rows: Vec<Row> = names.into_iter().zip(figures).map(row).collect();
    Ok(report.case(CASE, &READS, &rows)?)
}
