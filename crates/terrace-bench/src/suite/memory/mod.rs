//! Suite `memory`: hits, inserts that evict, mixes, values that are made on demand, latency and memory, of caches in
//! this process.
//!
//! Decision: a cache for hits has room for twice what it holds, so that none of the subjects, however it divides
//! its room, has dropped anything; every answer is checked. Orders are made before the clock starts and are the
//! same for all.

mod contender;
mod counting;
mod hits;
mod latency;
mod scaling;
mod subject;
mod value;
mod weight;
mod writes;

use self::subject::Subject;
use self::value::Keyed;
use crate::measure::in_turns;
use crate::report::{Against, Metric, Report, Row};
use crate::suite::{Failure, Plan};

const PEER: &str = "quick_cache";
const OURS: &str = "terrace-memory";
/// Subjects that only read in another way than one that is there already.
const ANOTHER_READ: [&str; 3] = ["in place", "in batches", "terrace in batches"];
const THREADS: [usize; 2] = [1, 2];
const SMALL: usize = 10_000;
const LARGE: usize = 1_000_000;

pub(super) fn run(plan: &Plan, report: &mut Report) -> Result<(), Failure> {
    tell_the_machine();
    let entries: &[usize] = if plan.quick { &[SMALL] } else { &[SMALL, LARGE] };
    for &entries in entries {
        hits::by_number(plan, report, entries)?;
        hits::by_text(plan, report, entries)?;
    }
    scaling::by_two_threads(plan, report)?;
    counting::of_hits(plan, report)?;
    for &entries in entries {
        writes::evicting(plan, report, entries)?;
        writes::mixes(plan, report, entries)?;
    }
    writes::making(plan, report)?;
    latency::beside_a_writer(plan, report, if plan.quick { SMALL } else { LARGE })?;
    weight::of_entries(plan, report, if plan.quick { SMALL } else { LARGE })
}

/// What two threads gain, and what waits, depends on the machine and on what else runs there.
fn tell_the_machine() {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().filter(|load| !load.is_empty()).unwrap_or("unknown");
    eprintln!("terrace-bench: {processors} processors, which may be shared; the load average is {load}");
}

/// `10k`, `1m`.
fn short(count: usize) -> String {
    match count {
        millions if millions % 1_000_000 == 0 => format!("{}m", millions / 1_000_000),
        thousands if thousands % 1000 == 0 => format!("{}k", thousands / 1000),
        other => other.to_string(),
    }
}

/// Whom everybody is compared with, and what the bare engine is to reach.
fn against(subject: &str, goal: f64) -> Option<Against> {
    match subject {
        OURS => Against::at_most(goal, PEER),
        PEER => None,
        _ => Against::just(PEER),
    }
}

/// How often what did not stay is written again. A cache that writes in the background drops some.
const REPEATS: usize = 20;

/// The subjects, each with all keys in it. One that does not hold them, however often they are written, is left out, and
/// that is told: a cache that divides its room into small parts may have too many of the keys in one of them.
fn filled<K: Keyed>(mut subjects: Vec<Box<dyn Subject<K>>>, all: &[K]) -> Vec<Box<dyn Subject<K>>> {
    subjects.retain(|subject| {
        let holds_all = fill(subject.as_ref(), all);
        if !holds_all {
            eprintln!("terrace-bench: {} does not hold {} keys, and is left out", subject.name(), all.len());
        }
        holds_all || subject.name() == OURS
    });
    subjects
}

/// Writes them until they are all there, and tells whether they are.
fn fill<K: Keyed>(subject: &dyn Subject<K>, all: &[K]) -> bool {
    subject.writes(all);
    subject.settle();
    for _ in 0..REPEATS {
        let missing: Vec<K> = all.iter().copied().filter(|key| subject.reads(&[*key]).found == 0).collect();
        if missing.is_empty() {
            return true;
        }
        for part in missing.chunks(1000) {
            subject.writes(part);
            subject.settle();
        }
    }
    false
}

/// Measures all subjects, after one turn for each that does not count, and reports the case.
fn measure(
    plan: &Plan,
    report: &mut Report,
    case: &str,
    (metrics, against): (&[Metric], impl Fn(&str) -> Option<Against>),
    names: &[&'static str],
    mut sample: impl FnMut(usize) -> Result<Vec<f64>, Failure>,
) -> Result<(), Failure> {
    in_turns(1, names.len(), &mut sample)?;
    let figures = in_turns(plan.rounds, names.len(), &mut sample)?;
    let row = |(subject, rounds): (&&'static str, _)| Row { subject, against: against(subject), rounds };
    let rows: Vec<Row> = names.iter().zip(figures).map(row).collect();
    Ok(report.case(case, metrics, &rows)?)
}

fn names<K>(subjects: &[Box<dyn Subject<K>>]) -> Vec<&'static str> {
    subjects.iter().map(|subject| subject.name()).collect()
}
