//! Data four times as large as the memory this process may use, read cold.
//!
//! Decision: the memory is that of the process's own control group, which whoever runs the suite sets (README); without
//! a limit of at most [`MOST`] the case is skipped and says so. Values are noise, so that no engine is spared reading by
//! compressing. sled is left out: filling it takes longer than all the others together.

use std::fs::read_to_string;

use super::engine::Sync;
use super::rows::{limit, peers, rows};
use super::values::Kind;
use super::work::{fill, read};
use crate::measure::in_turns;
use crate::report::{Against, Metric, Report};
use crate::suite::{Failure, Plan};

const FIGURES: [Metric; 4] = [
    Metric { name: "read p50", unit: "us" },
    Metric { name: "p99", unit: "us" },
    Metric { name: "longest", unit: "ms" },
    Metric { name: "found", unit: "part" },
];
const MOST: u64 = 1 << 30;

pub(super) fn measure(plan: &Plan, report: &mut Report) -> Result<(), Failure> {
    if !plan.wants("larger than memory") {
        return Ok(());
    }
    let Some(memory) = limit_of_this_group().filter(|memory| *memory <= MOST) else {
        eprintln!(
            "terrace-bench: skipped: data larger than memory, since nothing limits this process to 1 GiB or less"
        );
        return Ok(());
    };
    let entries = plan.operations(4 * memory as usize / 1040) as u64;
    let peers = peers(|peer| peer.name != "sled" && !peer.name.starts_with("terrace-l"));
    let sample = |subject: usize| -> Result<Vec<f64>, Failure> {
        let folder = tempfile::tempdir_in(&plan.dir)?;
        let engine = (peers[subject].open)(folder.path(), Sync::Never)?;
        fill(&*engine, 0..entries, (Kind::Noise, 1024))?;
        engine.close()?;
        let engine = (peers[subject].open)(folder.path(), Sync::Never)?;
        let times = read(&*engine, (entries, plan.operations(20_000)), (Kind::Noise, 1024), 4)?;
        engine.close()?;
        Ok(vec![times.quantile(0.5), times.quantile(0.99), times.quantile(1.0) / 1000.0, times.found])
    };
    let figures = in_turns(plan.rounds.min(3), peers.len(), sample)?;
    let name = format!("larger than memory, {} MiB in {} MiB", (entries * 1040) >> 20, memory >> 20);
    let against = Against::at_most(1.0, "rocksdb")
        .and_then(|against| against.and(&[("lmdb", 1.0), ("fjall", 1.0), ("redb", 1.0), ("sqlite", 1.0)]));
    report.case(&name, &FIGURES, &rows(&peers, &figures, 0..4, against))?;
    limit(
        report,
        (&peers, &figures),
        &["terrace", "terrace-mapped"],
        ("larger than memory, longest, ms", 2),
        100.0,
    );
    Ok(())
}

/// The bytes of memory that the control group of this process may use; `None` without a limit.
fn limit_of_this_group() -> Option<u64> {
    let groups = read_to_string("/proc/self/cgroup").ok()?;
    groups.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let file = match controllers {
            "" => format!("/sys/fs/cgroup{path}/memory.max"),
            "memory" => format!("/sys/fs/cgroup/memory{path}/memory.limit_in_bytes"),
            _ => return None,
        };
        // Version 2 says `max` where there is no limit.
        read_to_string(file).ok()?.trim().parse().ok()
    })
}
