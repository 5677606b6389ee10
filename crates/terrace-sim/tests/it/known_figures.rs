//! Hit ratios that others have measured on public traces.
//!
//! The traces are not part of the project. They are looked for in the folder that `TERRACE_TRACES` names, or in
//! a traces folder beside the checkout; without them these tests say that they were skipped. Those on the
//! largest traces and capacities run with `cargo test --release -- --ignored`.

use std::path::PathBuf;

use terrace_sim::{Trace, Unit, replay};

/// What others hit, in percent: a row for each trace and capacity, a column for each policy.
const FIGURES: &str = include_str!("figures.tsv");

/// Policies whose figures must be met, and within how many points: rounding to two digits for those that leave
/// nothing open, more for those whose papers do.
const TOLERANCES: [(&str, f64); 10] = [
    ("min", EXACT),
    ("lru", EXACT),
    ("fifo", EXACT),
    ("clock", EXACT),
    ("sieve", EXACT),
    ("s3fifo", 0.03),
    ("lirs", 0.15),
    ("arc", 0.25),
    ("2q", 0.25),
    ("qdlp", 0.5),
];

/// What rounding to two digits may hide.
const EXACT: f64 = 0.005_001;

/// A trace at a capacity, and what others hit there.
pub(crate) struct Cell {
    pub(crate) trace: String,
    /// As a part of the unique keys.
    pub(crate) capacity: String,
    pub(crate) entries: u64,
    figures: Vec<(&'static str, f64)>,
}

impl Cell {
    /// What a policy hits, in percent.
    pub(crate) fn of(&self, policy: &str) -> f64 {
        let found = self.figures.iter().find(|(name, _)| *name == policy);
        found.unwrap_or_else(|| panic!("no figure of {policy} on {}", self.trace)).1
    }

    /// What the best of those hits that do not know the future.
    pub(crate) fn best(&self) -> f64 {
        let all = self.figures.iter().filter(|(name, _)| *name != "min");
        all.map(|(_, figure)| *figure).fold(0.0, f64::max)
    }
}

/// Everything that is known.
pub(crate) fn cells() -> impl Iterator<Item = Cell> {
    let mut lines = FIGURES.lines().filter(|line| !line.starts_with('#'));
    let names: Vec<&'static str> = lines.next().unwrap().split('\t').collect();
    lines.map(move |line| {
        let fields: Vec<&str> = line.split('\t').collect();
        let figures = names.iter().zip(&fields).skip(3);
        Cell {
            trace: fields[0].to_owned(),
            capacity: fields[1].to_owned(),
            entries: fields[2].parse().unwrap(),
            figures: figures.filter_map(|(name, figure)| Some((*name, figure.parse().ok()?))).collect(),
        }
    })
}

pub(crate) fn trace(name: &str) -> Option<Trace> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/traces");
    let folder = std::env::var_os("TERRACE_TRACES").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    let path = folder.join(format!("{name}.trc.zst"));
    if !path.exists() {
        println!("skipped: no trace {name} in {}", folder.display());
        return None;
    }
    Some(Trace::open(&path.to_string_lossy()).unwrap())
}

pub(crate) fn percent(trace: &Trace, policy: &str, entries: u64) -> f64 {
    replay(trace, policy, entries, Unit::Objects, &mut |_| {}).unwrap().hit_ratio * 100.0
}

/// Compares hit ratios in percent at capacities in entries.
fn check(name: &str, policy: &str, figures: &[(u64, f64)]) {
    let Some(trace) = trace(name) else { return };
    for (entries, known) in figures {
        let found = percent(&trace, policy, *entries);
        assert!((found - known).abs() <= EXACT, "{name} {policy} {entries}: {found:.3}, known {known}");
    }
}

/// Compares the figures of one trace, at the capacities of these names.
fn check_row(name: &str, capacities: &[&str]) {
    let Some(trace) = trace(name) else { return };
    let (mut compared, mut wrong) = (0, Vec::new());
    for cell in cells().filter(|cell| cell.trace == name && capacities.contains(&&*cell.capacity)) {
        for (policy, tolerance) in TOLERANCES {
            let known = cell.of(policy);
            let found = percent(&trace, policy, cell.entries);
            compared += 1;
            if (found - known).abs() > tolerance {
                wrong.push(format!("{policy} at {}: {found:.2} instead of {known:.2}", cell.capacity));
            }
        }
    }
    assert_eq!(compared, capacities.len() * TOLERANCES.len(), "{name}");
    assert!(wrong.is_empty(), "{name}: {wrong:?}");
}

const ALL: [&str; 6] = ["0.1%", "0.3%", "1%", "3%", "10%", "30%"];

#[test]
fn lru_on_arc_oltp() {
    check("arc_oltp", "lru", &[(256, 16.69), (512, 23.69), (1000, 32.83), (2000, 42.47)]);
}

#[test]
fn the_optimum_on_arc_oltp() {
    check("arc_oltp", "opt", &[(256, 38.75), (512, 46.69), (1000, 53.62), (2000, 60.40)]);
}

#[test]
fn a_web_catalogue() {
    check_row("cache2k_web07", &["0.3%", "3%", "30%"]);
}

#[test]
fn file_systems_and_loops() {
    check_row("lirs_multi2", &ALL[2..]);
    check_row("lirs_gli", &ALL[3..]);
    check_row("lirs_loop", &["10%"]);
}

#[test]
fn a_block_device_in_a_cloud() {
    check_row("tencent_ns3300", &["0.3%", "30%"]);
}

#[test]
fn a_content_delivery_network() {
    check_row("wiki_train", &["0.3%", "3%", "30%"]);
}

#[test]
fn blocks_of_a_language_model() {
    check_row("mooncake_synthetic", &["0.3%", "10%"]);
}

#[test]
#[ignore = "long: every capacity of the traces that the other tests leave out or take in part"]
fn every_trace_at_every_capacity() {
    check_row("arc_oltp", &ALL);
    check_row("arc_p3", &ALL);
    check_row("cache2k_orm-night", &ALL);
    check_row("cphys_lcs", &ALL);
    check_row("mooncake_synthetic", &ALL);
    check_row("tencent_ns3300", &ALL[1..]);
    check_row("cache2k_web07", &ALL[1..]);
    check_row("wiki_train", &ALL[1..]);
    check_row("lirs_loop", &["10%", "30%"]);
}
