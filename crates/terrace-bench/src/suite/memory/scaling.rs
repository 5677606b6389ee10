//! What a hit costs when another thread reads too, beside what it costs alone.
//!
//! Decision: both are measured right after each other, and the gain is reckoned from processor time: that is what two
//! threads would bring on two processors that do nothing else. Wall time is told beside it, which is what they brought
//! here, where other programs run and two processors may share one core.

use super::contender::{strings, words};
use super::hits::read;
use super::subject::{Subject, Tally};
use super::value::Keyed;
use super::{LARGE, OURS, PEER, SMALL, filled, measure, names, short};
use crate::keys::{self, Law, Names};
use crate::measure::median;
use crate::report::{Against, Metric, Report};
use crate::suite::{Failure, Plan};

/// The first is the one that subjects are compared by.
const BOTH: [Metric; 5] = [
    Metric { name: "cpu 2t", unit: "ns/op" },
    Metric { name: "cpu 1t", unit: "ns/op" },
    Metric { name: "2t in", unit: "of 1t" },
    Metric { name: "gain", unit: "x of 1t" },
    Metric { name: "wall gain", unit: "x of 1t" },
];
/// Where the third of them stands.
const SLOWDOWN: usize = 2;

/// Two threads are to do so many times as much as one, with keys of their own.
const GAIN_GOAL: f64 = 1.9;
/// Who is to be no slower on one key that both read: a value that is cloned by counting is read in place.
const UNSHARED: &str = "in place";

pub(super) fn by_two_threads(plan: &Plan, report: &mut Report) -> Result<(), Failure> {
    let many: &[usize] = if plan.quick { &[SMALL] } else { &[SMALL, LARGE] };
    for &entries in many {
        // One key is the same among few and among many.
        let laws: &[Law] = if entries == SMALL { &[Law::Uniform, Law::OneKey] } else { &[Law::Uniform] };
        by_number(plan, report, entries, laws)?;
        by_text(plan, report, entries, laws)?;
    }
    Ok(())
}

fn case(kind: &str, entries: usize, law: Law) -> String {
    format!("two threads beside one, {kind} {} {}", short(entries), law.name())
}

fn by_number(plan: &Plan, report: &mut Report, entries: usize, laws: &[Law]) -> Result<(), Failure> {
    let wanted: Vec<Law> =
        laws.iter().copied().filter(|law| plan.wants(&case("u64", entries, *law))).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let subjects = filled(words(2 * entries)?, &keys::all(entries)?);
    for law in wanted {
        let order = keys::order(law, entries, 2 * plan.operations(1_000_000))?;
        both(plan, report, (&case("u64", entries, law), law), &subjects, &order)?;
    }
    Ok(())
}

fn by_text(plan: &Plan, report: &mut Report, entries: usize, laws: &[Law]) -> Result<(), Failure> {
    let wanted: Vec<Law> =
        laws.iter().copied().filter(|law| plan.wants(&case("String", entries, *law))).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let all = keys::all(entries)?;
    let texts = Names::of(&all);
    let subjects = filled(strings(2 * entries)?, &texts.in_order(&all));
    for law in wanted {
        let order = keys::order(law, entries, 2 * plan.operations(1_000_000))?;
        both(plan, report, (&case("String", entries, law), law), &subjects, &texts.in_order(&order))?;
    }
    Ok(())
}

fn both<K: Keyed>(
    plan: &Plan,
    report: &mut Report,
    (case, law): (&str, Law),
    subjects: &[Box<dyn Subject<K>>],
    order: &[K],
) -> Result<(), Failure> {
    let shares: Vec<&[K]> = order.chunks(order.len() / 2).collect();
    let expected: Vec<Tally> = shares.iter().map(|share| Tally::of(share)).collect();
    // The turn that does not count is in here too; it is one of many.
    let mut slowdowns = Vec::new();
    let sample = |index: usize| {
        let subject = subjects[index].as_ref();
        let one = read(case, subject, (&shares[..1], &expected[..1]))?;
        let two = read(case, subject, (&shares, &expected))?;
        let figures = figures([one.cpu_ns, one.wall_ns], [two.cpu_ns, two.wall_ns]);
        if subject.name() == judged(law) {
            slowdowns.push(figures[SLOWDOWN]);
        }
        Ok(figures)
    };
    let against = |subject: &str| if subject == PEER { None } else { Against::just(PEER) };
    measure(plan, report, case, (&BOTH, against), &names(subjects), sample)?;
    let goal = if law == Law::OneKey { 1.0 } else { 2.0 / GAIN_GOAL };
    report.limit(&format!("{case}: 2t of {} in 1t", judged(law)), median(slowdowns), goal);
    Ok(())
}

/// Whose figures have a goal.
fn judged(law: Law) -> &'static str {
    if law == Law::OneKey { UNSHARED } else { OURS }
}

/// The figures of a round, from processor time and wall time of an operation in one thread and in two.
fn figures([cpu_one, wall_one]: [f64; 2], [cpu_two, wall_two]: [f64; 2]) -> Vec<f64> {
    vec![cpu_two, cpu_one, cpu_two / cpu_one, 2.0 * cpu_one / cpu_two, 2.0 * wall_one / wall_two]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_costs_the_same_in_two_threads_gains_twice() {
        assert_eq!(figures([10.0, 12.0], [10.0, 12.0]), [10.0, 10.0, 1.0, 2.0, 2.0]);
        assert_eq!(figures([10.0, 10.0], [20.0, 40.0]), [20.0, 10.0, 2.0, 1.0, 0.5]);
    }
}
