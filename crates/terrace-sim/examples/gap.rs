//! How much of the distance from LRU to Belady's optimum policies close, beside the figures of other
//! implementations.
//!
//! ```text
//! cargo run --release -p terrace-sim --example gap -- --policy s3fifo,arc [--trace NAME,...] [--brief]
//! ```
//!
//! The traces are not part of the project: they are looked for in the folder that `TERRACE_TRACES` names. The
//! figures of the others stand in `tests/it/figures.tsv`. A cell is a trace at a capacity. The gap is averaged
//! over the cells of a trace in which the optimum is at least two points better than LRU, none counting for less than
//! -1, then over traces.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};

use terrace_sim::{Trace, Unit, replay};

/// What others hit.
const FIGURES: &str = include_str!("../tests/it/figures.tsv");
/// The least distance from LRU to the optimum, in points, of a cell that counts for the gap.
const LEAST_DISTANCE: f64 = 2.0;

/// A row of figures, by the name of the policy.
struct Cell {
    trace: String,
    capacity: String,
    entries: u64,
    peers: BTreeMap<String, f64>,
}

fn cells() -> Vec<Cell> {
    let mut lines = FIGURES.lines().filter(|line| !line.starts_with('#'));
    let names: Vec<&str> = lines.next().unwrap_or_default().split('\t').collect();
    let row = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let figures = names.iter().zip(&fields).skip(3);
        Some(Cell {
            trace: fields[0].to_string(),
            capacity: fields[1].to_string(),
            entries: fields[2].parse().ok()?,
            peers: figures
                .filter_map(|(name, figure)| Some((name.to_string(), figure.parse().ok()?)))
                .collect(),
        })
    };
    lines.filter_map(row).collect()
}

struct Asked {
    policies: Vec<String>,
    traces: Vec<String>,
    brief: bool,
}

fn asked() -> Result<Asked, String> {
    let mut asked = Asked { policies: vec!["terrace".into()], traces: Vec::new(), brief: false };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut list = || words.next().map(|list| list.split(',').map(str::to_string).collect::<Vec<_>>());
        match word.as_str() {
            "--policy" => asked.policies = list().ok_or("--policy needs names")?,
            "--trace" => asked.traces = list().ok_or("--trace needs names")?,
            "--brief" => asked.brief = true,
            _ => return Err(format!("`{word}` is not --policy, --trace or --brief")),
        }
    }
    Ok(asked)
}

/// The hit ratio in percent.
fn percent(trace: &Trace, policy: &str, entries: u64) -> Result<f64, Box<dyn Error>> {
    Ok(replay(trace, policy, entries, Unit::Objects, &mut |_| {})?.hit_ratio * 100.0)
}

/// What is known of one policy over all cells.
#[derive(Default)]
struct Sums {
    /// Sum and number of closed gaps by trace.
    gaps: BTreeMap<String, (f64, u32)>,
    cells: u32,
    below_lru: Vec<String>,
    near_best: u32,
}

impl Sums {
    fn add(&mut self, cell: &Cell, found: f64, lru: f64, min: f64) {
        self.cells += 1;
        if min - lru >= LEAST_DISTANCE {
            let (sum, count) = self.gaps.entry(cell.trace.clone()).or_default();
            // No cell may outweigh all others, however bad.
            *sum += ((found - lru) / (min - lru)).max(-1.0);
            *count += 1;
        }
        if found < lru - 1.0 {
            self.below_lru.push(format!("{} {} {:+.2}", cell.trace, cell.capacity, found - lru));
        }
        let best = cell.peers.iter().filter(|(name, _)| *name != "min").map(|(_, figure)| *figure);
        if found >= best.fold(0.0, f64::max) - 0.5 {
            self.near_best += 1;
        }
    }

    /// The mean over traces, with and without the one where every gap is all or nothing.
    fn mean(&self, with_loop: bool) -> f64 {
        let traces = self.gaps.iter().filter(|(trace, _)| with_loop || *trace != "lirs_loop");
        let means: Vec<f64> = traces.map(|(_, (sum, count))| sum / f64::from(*count)).collect();
        means.iter().sum::<f64>() / means.len().max(1) as f64
    }
}

fn folder() -> PathBuf {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/traces");
    std::env::var_os("TERRACE_TRACES").map_or(beside, PathBuf::from)
}

fn main() -> Result<(), Box<dyn Error>> {
    let asked = asked()?;
    let mut sums: BTreeMap<String, Sums> = BTreeMap::new();
    let mut open: Option<Trace> = None;
    for cell in cells() {
        if !asked.traces.is_empty() && !asked.traces.contains(&cell.trace) {
            continue;
        }
        if open.as_ref().is_none_or(|trace| trace.name() != cell.trace) {
            let path = folder().join(format!("{}.trc.zst", cell.trace));
            open = Some(Trace::open(&path.to_string_lossy())?);
        }
        let Some(trace) = &open else { continue };
        let lru = percent(trace, "lru", cell.entries)?;
        let min = percent(trace, "min", cell.entries)?;
        let mut line = format!(
            "{:18} {:>5} {:>7}  min {min:5.2}  lru {lru:5.2}",
            cell.trace, cell.capacity, cell.entries
        );
        for policy in &asked.policies {
            let found = percent(trace, policy, cell.entries)?;
            sums.entry(policy.clone()).or_default().add(&cell, found, lru, min);
            line += &match cell.peers.get(policy) {
                Some(known) => format!("  {policy} {found:5.2} ({:+.2})", found - known),
                None => format!("  {policy} {found:5.2}"),
            };
        }
        for (peer, known) in cell.peers.iter().filter(|(name, _)| *name != "min") {
            sums.entry(format!("({peer})")).or_default().add(&cell, *known, lru, min);
        }
        if !asked.brief {
            println!("{line}");
        }
    }
    print_sums(&sums);
    Ok(())
}

fn print_sums(sums: &BTreeMap<String, Sums>) {
    println!("\nGap closed, mean over traces (names in brackets: other implementations)");
    println!(
        "{:20} {:>11} {:>9} {:>16} {:>17}",
        "policy", "but the loop", "all", "> 1 below LRU", "near the best"
    );
    let mut rows: Vec<_> = sums.iter().collect();
    rows.sort_by(|a, b| b.1.mean(false).total_cmp(&a.1.mean(false)));
    for (name, sum) in &rows {
        let near = 100.0 * f64::from(sum.near_best) / f64::from(sum.cells.max(1));
        println!(
            "{name:20} {:>12.3} {:>9.3} {:>8} of {:>4} {near:>15.0} %",
            sum.mean(false),
            sum.mean(true),
            sum.below_lru.len(),
            sum.cells,
        );
    }
    for (name, sum) in rows.iter().filter(|(name, _)| !name.starts_with('(')) {
        println!("\n{name}, by trace:");
        for (trace, (gap, count)) in &sum.gaps {
            println!("  {trace:20} {:.3} over {count} cells", gap / f64::from(*count));
        }
        if !sum.below_lru.is_empty() {
            println!("  more than a point below LRU: {}", sum.below_lru.join(", "));
        }
    }
}
