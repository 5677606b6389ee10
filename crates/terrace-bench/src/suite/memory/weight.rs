//! How much heap an entry takes.

use super::contender::weighed;
use super::{PEER, fill, short};
use crate::heap::growth;
use crate::keys;
use crate::report::{Against, Metric, Report, Row};
use crate::suite::{Failure, Plan};

const HEAP: [Metric; 2] = [Metric { name: "heap", unit: "byte/entry" }, Metric { name: "entries", unit: "" }];

/// What an entry of `u64` and `u64` may take: of the bare engine, with an end, and of the whole cache.
const GOALS: [(&str, f64); 3] = [("terrace-memory", 40.0), ("terrace-memory, TTL", 48.0), ("terrace", 64.0)];

/// A full cache, and what was asked of the allocator for it and not given back.
pub(super) fn of_entries(plan: &Plan, report: &mut Report, entries: usize) -> Result<(), Failure> {
    let case = format!("heap u64 {}", short(entries));
    if !plan.wants(&case) {
        return Ok(());
    }
    let all = keys::all(entries)?;
    let mut rows = Vec::new();
    for make in weighed() {
        let (filled, bytes) = growth(|| -> Result<_, Failure> {
            let subject = make(entries)?;
            fill_once(subject.as_ref(), &all);
            Ok(subject)
        });
        let filled = filled?;
        let (subject, found) = (filled.name(), filled.reads(&all).found);
        let each = bytes as f64 / found.max(1) as f64;
        if let Some((_, goal)) = GOALS.iter().find(|(name, _)| *name == subject) {
            report.limit(&format!("{case}: bytes of {subject}"), each, *goal);
        }
        let against = if subject == PEER { None } else { Against::just(PEER) };
        rows.push(Row { subject, against, rounds: vec![vec![each, found as f64]] });
    }
    Ok(report.case(&case, &HEAP, &rows)?)
}

fn fill_once(subject: &dyn super::Subject<u64>, all: &[u64]) {
    if subject.evicts() && subject.name() != "stretto" {
        subject.writes(all);
        subject.settle();
    } else {
        fill(subject, all);
    }
}
