//! Write, read, miss, space: a fresh folder for each engine in each round.

use super::engine::{Sync, bytes_on_disk};
use super::rows::{Rounds, limit, peers, rows};
use super::values::Kind;
use super::work::{fill, miss, read};
use crate::measure::in_turns;
use crate::report::{Against, Metric, Report};
use crate::suite::{Failure, Plan};

const WRITE: [Metric; 1] = [Metric { name: "write", unit: "cpu us" }];
const READ: [Metric; 3] = [
    Metric { name: "p50", unit: "us" },
    Metric { name: "p99", unit: "us" },
    Metric { name: "p99", unit: "/p50" },
];
const REST: [Metric; 3] = [
    Metric { name: "disk", unit: "/logical" },
    Metric { name: "miss", unit: "cpu us" },
    Metric { name: "found", unit: "part" },
];

/// What a write may cost in parts of what it costs others.
const WRITES: &[(&str, f64)] = &[("foyer", 1.0 / 3.0), ("rocksdb", 1.0 / 6.0), ("log", 3.0)];
const THIRD: f64 = 1.0 / 3.0;
const READS: &[(&str, f64)] = &[("fjall", THIRD), ("foyer", THIRD)];

const COPYING: &[&str] = &["terrace", "terrace-lz4", "terrace-zstd", "terrace-plain"];
const ALL: &[&str] = &["terrace", "terrace-lz4", "terrace-zstd", "terrace-plain", "terrace-mapped"];

pub(super) fn measure(plan: &Plan, report: &mut Report, kind: Kind, size: usize) -> Result<(), Failure> {
    let name = format!("{size} B {}", kind.name());
    if !plan.wants(&name) {
        return Ok(());
    }
    let entries = plan.operations((128 << 20) / size.max(512)) as u64;
    let reads = plan.operations(50_000);
    let peers = peers(|_| true);
    let sample = |subject: usize| -> Result<Vec<f64>, Failure> {
        let folder = tempfile::tempdir_in(&plan.dir)?;
        let engine = (peers[subject].open)(folder.path(), Sync::Never)?;
        let write = fill(&*engine, 0..entries, (kind, size))?;
        read(&*engine, (entries, reads / 4), (kind, size), 1)?;
        let times = read(&*engine, (entries, reads), (kind, size), 2)?;
        let miss = miss(&*engine, entries, reads)?;
        engine.close()?;
        let logical = entries * (16 + size as u64);
        let space = bytes_on_disk(folder.path())? as f64 / logical as f64;
        let (middle, slow) = (times.quantile(0.5), times.quantile(0.99));
        Ok(vec![write, middle, slow, slow / middle, space, miss, times.found])
    };
    let figures = in_turns(plan.rounds, peers.len(), sample)?;
    let against = |goal, peer, also| Against::at_most(goal, peer).and_then(|against| against.and(also));
    let table = |columns, against| rows(&peers, &figures, columns, against);
    report.case(&format!("{name}, write"), &WRITE, &table(0..1, against(0.5, "fjall", WRITES)))?;
    report.case(&format!("{name}, read"), &READ, &table(1..4, against(THIRD, "rocksdb", READS)))?;
    report.case(&format!("{name}, miss and space"), &REST, &table(4..7, None))?;
    goals(report, (&peers, &figures), (&name, kind, size));
    Ok(())
}

/// The goals that are no ratios to a peer.
fn goals(
    report: &mut Report,
    measured: (&[&super::engine::Peer], &[Rounds]),
    (name, kind, size): (&str, Kind, usize),
) {
    let mut hold = |subjects: &[&str], what: &str, column, goal| {
        limit(report, measured, subjects, (&format!("{name}, {what}"), column), goal);
    };
    if size == 1024 {
        hold(ALL, "write, cpu us", 0, 2.5);
        hold(COPYING, "read p50, us", 1, 2.5);
        hold(&["terrace-mapped"], "read p50, us", 1, 1.0);
    }
    hold(ALL, "read p99/p50", 3, 2.0);
    hold(ALL, "miss, cpu us", 5, 0.3);
    match kind {
        Kind::Noise => hold(ALL, "disk/logical", 4, 1.05),
        Kind::Text => {
            hold(&["terrace-lz4"], "disk/logical", 4, 0.55);
            hold(&["terrace-zstd"], "disk/logical", 4, 0.4);
        }
    }
}
