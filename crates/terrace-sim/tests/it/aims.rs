//! Objects of different sizes: each aim hits more of what it aims at than policies made for it.
//!
//! The traces are found as in `known_figures`; those from formulas are always there.

use terrace_sim::{Aim, Capacity, Setting, Trace, Unit, replay_in};

use crate::known_figures::trace;

const CAPACITIES: [&str; 5] = ["0.3%", "1%", "3%", "10%", "30%"];
const RIVALS: [&str; 3] = ["lru", "s3fifo", "gdsf"];

/// What part of the requests or of the bytes is hit, in percent.
fn percent(trace: &Trace, policy: &str, capacity: &str, aim: Aim) -> f64 {
    let capacity = capacity.parse::<Capacity>().unwrap().resolve(trace, Unit::Bytes);
    let setting = Setting { aim, ..Setting::new(capacity, Unit::Bytes) };
    let report = replay_in(trace, policy, setting, &mut |_| {}).unwrap();
    100.0
        * match aim {
            Aim::Objects => report.hit_ratio,
            Aim::Bytes => report.byte_hit_ratio.unwrap(),
        }
}

/// The mean over all capacities is above that of each rival, and no capacity falls further behind the best of them than
/// this.
fn check(trace: &Trace, aim: Aim, most_behind: f64) {
    let mut means = [0.0; 1 + RIVALS.len()];
    for capacity in CAPACITIES {
        let ours = percent(trace, "terrace", capacity, aim);
        let others = RIVALS.map(|rival| percent(trace, rival, capacity, aim));
        let best = others.into_iter().fold(0.0, f64::max);
        println!("{} {capacity} {aim:?}: {ours:.2}, others {others:.2?}", trace.name());
        assert!(ours >= best - most_behind, "{} {capacity} {aim:?}: {ours:.2} of {best:.2}", trace.name());
        for (mean, found) in means.iter_mut().zip([ours].into_iter().chain(others)) {
            *mean += found / CAPACITIES.len() as f64;
        }
    }
    let [ours, others @ ..] = means;
    assert!(others.into_iter().all(|other| ours > other), "{} {aim:?}: {means:.2?}", trace.name());
}

fn check_both(name: &str, objects_behind: f64, bytes_behind: f64) {
    let Some(trace) = trace(name) else { return };
    check(&trace, Aim::Objects, objects_behind);
    check(&trace, Aim::Bytes, bytes_behind);
}

#[test]
fn on_a_block_device_of_a_virtual_machine() {
    check_both("cphys_lcs", 1.0, 0.5);
}

#[test]
fn on_a_block_device_in_a_cloud() {
    check_both("tencent_ns3300", 1.0, 1.0);
}

#[test]
fn on_a_content_delivery_network() {
    // At 0.3 % there is room for a hundred objects, and which keys are in the sample decides a tenth of a point: over nine
    // seeds 5.14 to 5.59 % of the bytes hit, where S3-FIFO, the best there, hits 5.53.
    check_both("wiki_train", 0.3, 0.4);
}

#[test]
fn on_independent_draws_small_objects_are_preferred_only_where_objects_count() {
    let trace = Trace::open("zipf:keys=20000,theta=0.8,requests=150000,size=4000,seed=7").unwrap();
    check(&trace, Aim::Objects, 1.0);
    let both = |aim| {
        let capacity = "3%".parse::<Capacity>().unwrap().resolve(&trace, Unit::Bytes);
        let setting = Setting { aim, ..Setting::new(capacity, Unit::Bytes) };
        let report = replay_in(&trace, "terrace", setting, &mut |_| {}).unwrap();
        (report.hit_ratio, report.byte_hit_ratio.unwrap())
    };
    let (objects, bytes) = (both(Aim::Objects), both(Aim::Bytes));
    assert!(objects.0 > bytes.0 + 0.02 && bytes.1 > objects.1 + 0.02, "{objects:?} {bytes:?}");
}
