//! Opening what was closed, and doing nothing.

use std::time::{Duration, Instant};

use super::engine::Sync;
use super::rows::{limit, peers, rows};
use super::values::{Kind, key};
use super::work::{fill, read};
use crate::measure::{in_turns, process_cpu_ns};
use crate::report::{Against, Metric, Report};
use crate::suite::{Failure, Plan};

const OURS: &[&str] = &["terrace"];

/// How long it takes until the first read of what was closed, and what is there then.
pub(super) fn measure(plan: &Plan, report: &mut Report) -> Result<(), Failure> {
    const FIGURES: [Metric; 2] =
        [Metric { name: "open", unit: "ms" }, Metric { name: "found", unit: "part" }];
    let entries = plan.operations(1_000_000) as u64;
    let name = format!("reopen {entries} entries of 100 B");
    if !plan.wants(&name) {
        return Ok(());
    }
    let peers = peers(|peer| !peer.variant);
    let sample = |subject: usize| -> Result<Vec<f64>, Failure> {
        let folder = tempfile::tempdir_in(&plan.dir)?;
        let engine = (peers[subject].open)(folder.path(), Sync::Never)?;
        fill(&*engine, 0..entries, (Kind::Text, 100))?;
        engine.close()?;
        let began = Instant::now();
        let engine = (peers[subject].open)(folder.path(), Sync::Never)?;
        engine.read(&key(0), &mut Vec::new())?;
        let time = began.elapsed().as_micros() as f64 / 1000.0;
        let times = read(&*engine, (entries, 20_000), (Kind::Text, 100), 3)?;
        engine.close()?;
        Ok(vec![time, times.found])
    };
    let figures = in_turns(plan.rounds.min(3), peers.len(), sample)?;
    report.case(&name, &FIGURES, &rows(&peers, &figures, 0..2, Against::just("fjall")))?;
    limit(report, (&peers, &figures), OURS, (&format!("{name}, ms"), 0), 50.0);
    Ok(())
}

/// What an open engine takes of a processor while nobody asks it anything, in percent.
pub(super) fn idle(plan: &Plan, report: &mut Report) -> Result<(), Failure> {
    const FIGURES: [Metric; 1] = [Metric { name: "idle", unit: "% of a core" }];
    if !plan.wants("idle") {
        return Ok(());
    }
    let rest = Duration::from_millis(if plan.quick { 200 } else { 5000 });
    let peers = peers(|peer| !peer.variant);
    let sample = |subject: usize| -> Result<Vec<f64>, Failure> {
        let folder = tempfile::tempdir_in(&plan.dir)?;
        let engine = (peers[subject].open)(folder.path(), Sync::Never)?;
        fill(&*engine, 0..plan.operations(10_000) as u64, (Kind::Text, 1024))?;
        // What it put off is done first.
        std::thread::sleep(rest / 2);
        let (began, before) = (Instant::now(), process_cpu_ns());
        std::thread::sleep(rest);
        let part = (process_cpu_ns() - before) / began.elapsed().as_nanos() as f64 * 100.0;
        engine.close()?;
        Ok(vec![part])
    };
    let figures = in_turns(plan.rounds.min(3), peers.len(), sample)?;
    report.case("idle", &FIGURES, &rows(&peers, &figures, 0..1, None))?;
    limit(report, (&peers, &figures), OURS, ("idle, % of a core", 0), 0.1);
    Ok(())
}
