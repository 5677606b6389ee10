//! What a policy loses where nothing should matter: another trace before this one, other names for the keys, two
//! threads instead of one.
//!
//! ```text
//! cargo run --release -p terrace-sim --example disturbed -- spliced|renamed|threads [--policy NAME,...]
//!     [--trace NAME,...] [--capacity P%,...] [--requests N] [--all]
//! ```
//!
//! A splice is the first `N` requests (100,000 unless told) of one trace and then of another, with no key in common.
//! Told is what the second one hits there less than alone in an empty cache of the same capacity, in points of its own
//! requests and in points of all; percentages are of all keys of the splice. That is the policy's own loss: neither LRU nor the optimum loses
//! anything, since what the first trace left behind is older than all of the second and never asked for again, and cold
//! misses are the same in both.
//!
//! The traces are looked for as in the `gap` example, in the folder that `TERRACE_TRACES` names.

use std::error::Error;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use terrace_sim::{Capacity, Record, Setting, Trace, Unit, replay_in};

const TRACES: [&str; 11] = [
    "arc_oltp",
    "arc_p3",
    "cache2k_orm-night",
    "cache2k_web07",
    "cphys_lcs",
    "lirs_gli",
    "lirs_loop",
    "lirs_multi2",
    "mooncake_synthetic",
    "tencent_ns3300",
    "wiki_train",
];

#[derive(Clone)]
struct Asked {
    way: String,
    policies: Vec<String>,
    traces: Vec<String>,
    capacities: Vec<String>,
    requests: usize,
    all: bool,
}

fn asked() -> Result<Asked, String> {
    let list = |text: &str| text.split(',').map(str::to_string).collect::<Vec<_>>();
    let mut words = std::env::args().skip(1);
    let mut asked = Asked {
        way: words.next().ok_or("what disturbs: spliced, renamed or threads?")?,
        policies: list("terrace,adaptive"),
        traces: TRACES.iter().map(|name| (*name).to_string()).collect(),
        capacities: list("0.3%,1%,3%,10%,30%"),
        requests: 100_000,
        all: false,
    };
    while let Some(word) = words.next() {
        let mut next = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--policy" => asked.policies = list(&next()?),
            "--trace" => asked.traces = list(&next()?),
            "--capacity" => asked.capacities = list(&next()?),
            "--requests" => asked.requests = next()?.parse().map_err(|_| "--requests needs a number")?,
            "--all" => asked.all = true,
            _ => return Err(format!("`{word}` is none of the options")),
        }
    }
    Ok(asked)
}

fn open(name: &str, requests: usize) -> Result<Trace, Box<dyn Error>> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/traces");
    let folder = std::env::var_os("TERRACE_TRACES").map_or(beside, PathBuf::from);
    let trace = Trace::open(&folder.join(format!("{name}.trc.zst")).to_string_lossy())?;
    Ok(Trace::from_records(name, trace.records().iter().take(requests).copied().collect()))
}

fn spliced(first: &Trace, second: &Trace) -> Trace {
    let own = second.records().iter().map(|record| Record { key: record.key ^ 1 << 63, ..*record });
    let name = format!("{} then {}", first.name(), second.name());
    Trace::from_records(&name, first.records().iter().copied().chain(own).collect())
}

fn renamed(trace: &Trace, seed: u64) -> Trace {
    let rename = |key: u64| (key ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    let records = trace.records().iter().map(|record| Record { key: rename(record.key), ..*record });
    Trace::from_records(trace.name(), records.collect())
}

fn hits(trace: &Trace, policy: &str, entries: u64, threads: usize) -> f64 {
    let threads = NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN);
    let setting = Setting { threads, ..Setting::new(entries, Unit::Objects) };
    match replay_in(trace, policy, setting, &mut |_| {}) {
        Ok(report) => report.hits as f64,
        Err(error) => panic!("{error}"),
    }
}

/// What is compared.
struct Cell {
    name: String,
    /// By policy, how many points it hits more than undisturbed, of the requests that were disturbed.
    gained: Vec<f64>,
    /// Those requests' part of all.
    part: f64,
}

fn entries(capacity: &str, trace: &Trace) -> u64 {
    let capacity: Capacity = capacity.parse().unwrap_or_else(|error| panic!("{capacity}: {error}"));
    capacity.resolve(trace, Unit::Objects).max(40)
}

fn splice_cells(asked: &Asked, first: &Trace, second: &Trace) -> Vec<Cell> {
    let both = spliced(first, second);
    let cell = |capacity: &String| {
        let entries = entries(capacity, &both);
        let differences = asked.policies.iter().map(|policy| {
            let hits = |trace: &Trace| hits(trace, policy, entries, 1);
            let gained = hits(&both) - hits(first) - hits(second);
            100.0 * gained / second.records().len() as f64
        });
        let part = second.records().len() as f64 / both.records().len() as f64;
        Cell { name: format!("{} {capacity}", both.name()), gained: differences.collect(), part }
    };
    asked.capacities.iter().map(cell).collect()
}

/// Cells of one trace, disturbed with each of three seeds; `change` tells the hits.
fn cells(asked: &Asked, trace: &Trace, change: &dyn Fn(&str, u64, u64) -> f64) -> Vec<Cell> {
    let mut cells = Vec::new();
    for capacity in &asked.capacities {
        let entries = entries(capacity, trace);
        for seed in 1..4 {
            let differences = asked.policies.iter().map(|policy| {
                let gained = change(policy, entries, seed) - hits(trace, policy, entries, 1);
                100.0 * gained / trace.records().len() as f64
            });
            let name = format!("{} {capacity} #{seed}", trace.name());
            cells.push(Cell { name, gained: differences.collect(), part: 1.0 });
        }
    }
    cells
}

fn measure(asked: &Asked) -> Result<Vec<Cell>, Box<dyn Error>> {
    let traces: Vec<Trace> =
        asked.traces.iter().map(|name| open(name, asked.requests)).collect::<Result<_, _>>()?;
    let mut work: Vec<Box<dyn Fn() -> Vec<Cell> + Sync + '_>> = Vec::new();
    for (at, one) in traces.iter().enumerate() {
        match asked.way.as_str() {
            "spliced" => {
                for (other, second) in traces.iter().enumerate() {
                    if at != other {
                        work.push(Box::new(|| splice_cells(asked, one, second)));
                    }
                }
            }
            "renamed" => work.push(Box::new(|| {
                cells(asked, one, &|policy, entries, seed| {
                    hits(&renamed(one, seed * 0x5eed), policy, entries, 1)
                })
            })),
            "threads" => {
                work.push(Box::new(|| {
                    cells(asked, one, &|policy, entries, _| hits(one, policy, entries, 2))
                }));
            }
            other => return Err(format!("`{other}` is not spliced, renamed or threads").into()),
        }
    }
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let workers = if asked.way == "threads" { 1 } else { 2 };
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(work) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = work();
                    done.lock().unwrap_or_else(|error| panic!("{error}")).extend(found);
                }
            });
        }
    });
    Ok(done.into_inner()?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let asked = asked()?;
    let cells = measure(&asked)?;
    for (at, policy) in asked.policies.iter().enumerate() {
        let mut all: Vec<&Cell> = cells.iter().collect();
        all.sort_by(|one, other| one.gained[at].total_cmp(&other.gained[at]));
        tell(policy, "of the requests disturbed", all.iter().map(|cell| cell.gained[at]));
        if asked.way == "spliced" {
            tell(policy, "of all requests", all.iter().map(|cell| cell.gained[at] * cell.part));
        }
        let shown = if asked.all { all.len() } else { 12 };
        for cell in all.iter().take(shown) {
            println!("  {:+6.2} ({:+6.2})  {}", cell.gained[at], cell.gained[at] * cell.part, cell.name);
        }
    }
    Ok(())
}

/// A line about how many points were gained or lost.
fn tell(policy: &str, of: &str, gained: impl Iterator<Item = f64> + Clone) {
    let count = gained.clone().count();
    let mean = gained.clone().sum::<f64>() / count as f64;
    let worst = gained.clone().fold(f64::INFINITY, f64::min);
    let below = |points: f64| gained.clone().filter(|gained| *gained < -points).count();
    println!(
        "{policy}, points {of}: {count} cells, mean {mean:+.2}, worst {worst:+.2}; \
         more than .5 / 1 / 2 / 4 below: {} / {} / {} / {}; more than 1 above: {}",
        below(0.5),
        below(1.0),
        below(2.0),
        below(4.0),
        gained.clone().filter(|gained| *gained > 1.0).count(),
    );
}
