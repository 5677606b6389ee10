//! Hit ratios that others have measured on public traces.
//!
//! The traces are not part of the project. They are looked for in the folder that `TERRACE_TRACES` names, or in
//! a traces folder beside the checkout; without them these tests say that they were skipped.

use std::path::PathBuf;

use terrace_sim::{Capacity, Trace, Unit, replay};

fn trace(name: &str) -> Option<Trace> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/traces");
    let folder = std::env::var_os("TERRACE_TRACES").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    let path = folder.join(format!("{name}.trc.zst"));
    if !path.exists() {
        println!("skipped: no trace {name} in {}", folder.display());
        return None;
    }
    Some(Trace::open(&path.to_string_lossy()).unwrap())
}

/// Compares hit ratios in percent, each within `tolerance` points.
fn check(name: &str, policy: &str, tolerance: f64, figures: &[(&str, f64)]) {
    let Some(trace) = trace(name) else { return };
    let mut wrong = Vec::new();
    for (capacity, expect) in figures {
        let entries = capacity.parse::<Capacity>().unwrap().resolve(&trace, Unit::Objects);
        let report = replay(&trace, policy, entries, Unit::Objects, &mut |_| {}).unwrap();
        let percent = report.hit_ratio * 100.0;
        println!("{name} {policy} {capacity} ({entries}): {percent:.2} %, known {expect:.2} %");
        if (percent - expect).abs() > tolerance {
            wrong.push(format!("{capacity}: {percent:.2} instead of {expect:.2}"));
        }
    }
    assert!(wrong.is_empty(), "{name} {policy}: {wrong:?}");
}

/// What rounding to two digits may hide.
const EXACT: f64 = 0.005_001;

#[test]
fn lru_on_arc_oltp() {
    let figures = [("256", 16.69), ("512", 23.69), ("1000", 32.83), ("2000", 42.47)];
    check("arc_oltp", "lru", EXACT, &figures);
}

#[test]
fn the_optimum_on_arc_oltp() {
    let figures = [("256", 38.75), ("512", 46.69), ("1000", 53.62), ("2000", 60.40)];
    check("arc_oltp", "opt", EXACT, &figures);
}

#[test]
fn lru_and_fifo_on_the_smaller_traces() {
    check("cache2k_web07", "lru", EXACT, &[("0.3%", 29.62), ("3%", 47.00), ("30%", 64.49)]);
    check("cache2k_web07", "fifo", EXACT, &[("0.3%", 27.81), ("3%", 44.24), ("30%", 62.43)]);
    check("lirs_multi2", "lru", EXACT, &[("1%", 3.51), ("10%", 36.92), ("30%", 48.47)]);
    check("lirs_loop", "lru", EXACT, &[("10%", 0.0), ("30%", 0.0)]);
}

#[test]
fn s3fifo_on_traces_of_several_kinds() {
    check("arc_oltp", "s3fifo", 0.25, &[("0.1%", 17.71), ("1%", 46.47), ("10%", 67.78)]);
    check("cache2k_web07", "s3fifo", 0.25, &[("0.3%", 33.60), ("1%", 43.79), ("3%", 51.34), ("10%", 58.12)]);
    check("tencent_ns3300", "s3fifo", 0.25, &[("0.3%", 40.09), ("1%", 43.19), ("3%", 47.09), ("10%", 55.18)]);
    check("wiki_train", "s3fifo", 0.25, &[("0.3%", 4.86), ("3%", 10.26), ("30%", 18.92)]);
    check("mooncake_synthetic", "s3fifo", 0.25, &[("1%", 3.81), ("3%", 10.91), ("30%", 48.45)]);
}
