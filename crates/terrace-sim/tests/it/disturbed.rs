//! What must not matter to the engine that ships: how keys are called, and what came before.
//!
//! The traces are found as in `known_figures`.

use terrace_sim::{Record, Trace};

use crate::known_figures::{percent, trace};

/// Renames all keys.
fn renamed(trace: &Trace, seed: u64) -> Trace {
    let rename = |key: u64| (key ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    let records = trace.records().iter();
    Trace::from_records(
        "renamed",
        records.map(|record| Record { key: rename(record.key), ..*record }).collect(),
    )
}

/// One after another, with no key in common.
fn spliced(first: &Trace, second: &Trace) -> Trace {
    let own = |record: &Record| Record { key: record.key ^ 1 << 63, ..*record };
    let second = second.records().iter().map(own);
    Trace::from_records("spliced", first.records().iter().copied().chain(second).collect())
}

fn entries(trace: &Trace, thousandths: u64) -> u64 {
    (trace.unique_keys() * thousandths / 1000).max(40)
}

#[test]
fn other_names_for_the_keys_change_little() {
    let mut all = Vec::new();
    for name in ["cache2k_web07", "cphys_lcs", "tencent_ns3300", "wiki_train", "lirs_multi2"] {
        let Some(trace) = trace(name) else { return };
        for thousandths in [10, 100, 300] {
            let entries = entries(&trace, thousandths);
            let plain = percent(&trace, "terrace", entries);
            let other = percent(&renamed(&trace, 0x5eed), "terrace", entries);
            println!("{name} {thousandths}: {plain:.2}, renamed {other:.2}");
            all.push((other - plain).abs());
        }
    }
    all.sort_by(f64::total_cmp);
    // Which keys are sampled is chance, and so is on which side a close decision falls.
    assert!(all[all.len() * 4 / 5] <= 1.0 && all[all.len() - 1] <= 3.0, "{all:.2?}");
}

#[test]
fn after_another_trace_a_trace_hits_about_what_it_does_alone() {
    let pairs = [
        ("cache2k_web07", "tencent_ns3300"),
        ("tencent_ns3300", "wiki_train"),
        ("wiki_train", "cache2k_web07"),
        ("cphys_lcs", "cache2k_web07"),
    ];
    let mut all = Vec::new();
    for (one, other) in pairs {
        let (Some(one), Some(other)) = (trace(one), trace(other)) else { return };
        let both = spliced(&one, &other);
        for thousandths in [3, 10, 30, 100] {
            let entries = entries(&other, thousandths);
            let hits = |trace: &Trace| percent(trace, "terrace", entries) * trace.records().len() as f64;
            let alone = (hits(&one) + hits(&other)) / both.records().len() as f64;
            let spliced = percent(&both, "terrace", entries);
            println!("{} {} {thousandths}: {alone:.2} alone, {spliced:.2} spliced", one.name(), other.name());
            all.push(spliced - alone);
        }
    }
    all.sort_by(f64::total_cmp);
    assert!(all[all.len() / 5] >= -1.0 && all[0] >= -3.0, "{all:.2?}");
}
