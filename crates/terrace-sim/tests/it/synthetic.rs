//! What must hold on traces made from formulas.

use std::num::NonZeroUsize;

use terrace_sim::{Capacity, POLICIES, ReplayError, Setting, Trace, Unit, replay, replay_in};

fn hits(trace: &Trace, policy: &str, capacity: u64) -> u64 {
    let report = replay(trace, policy, capacity, Unit::Objects, &mut |_| {}).unwrap();
    assert_eq!(report.requests, trace.records().len() as u64);
    report.hits
}

fn open(formula: &str) -> Trace {
    Trace::open(formula).unwrap()
}

#[test]
fn lru_and_fifo_never_hit_on_a_loop_larger_than_the_cache_and_the_optimum_does() {
    let trace = open("loop:keys=1000,requests=20000");
    for policy in ["lru", "fifo"] {
        assert_eq!(hits(&trace, policy, 999), 0);
        assert_eq!(hits(&trace, policy, 1000), 19_000);
    }
    // All but one of each round of a thousand.
    let optimum = hits(&trace, "opt", 999);
    assert!((18_950..19_000).contains(&optimum), "{optimum}");
}

#[test]
fn nothing_hits_on_a_scan() {
    let trace = open("scan:requests=5000");
    for policy in POLICIES {
        assert_eq!(hits(&trace, policy, 100), 0, "{policy}");
    }
}

#[test]
fn no_policy_beats_the_optimum() {
    for formula in [
        "zipf:keys=3000,theta=0.9,requests=10000,seed=3",
        "zipf:keys=3000,theta=0.6,requests=10000,seed=4",
        "loop:keys=800,requests=5000",
        "shift:keys=5000,hot=200,share=0.8,period=1000,requests=10000",
    ] {
        let trace = open(formula);
        for capacity in ["0", "1", "7", "1%", "10%", "100%"] {
            let capacity = capacity.parse::<Capacity>().unwrap().resolve(&trace, Unit::Objects);
            let optimum = hits(&trace, "opt", capacity);
            for policy in POLICIES {
                let hits = hits(&trace, policy, capacity);
                if policy == "bound" {
                    assert!(
                        hits >= optimum,
                        "the bound {hits} is below {optimum} on {formula} at {capacity}"
                    );
                    continue;
                }
                assert!(hits <= optimum, "{policy} hits {hits} of {optimum} on {formula} at {capacity}");
            }
        }
    }
}

#[test]
fn no_policy_beats_the_bound_for_sized_objects_in_hits_or_in_bytes() {
    for formula in [
        "zipf:keys=3000,theta=0.9,requests=8000,seed=3,size=400",
        "loop:keys=800,requests=5000,size=1000",
        "drift:keys=5000,hot=300,period=20,requests=8000,size=30",
    ] {
        let trace = open(formula);
        for capacity in ["1", "1%", "10%", "50%", "100%"] {
            let capacity = capacity.parse::<Capacity>().unwrap().resolve(&trace, Unit::Bytes);
            let report = |policy| replay(&trace, policy, capacity, Unit::Bytes, &mut |_| {}).unwrap();
            let bound = report("bound");
            for policy in POLICIES.into_iter().filter(|policy| !["opt", "min"].contains(policy)) {
                let found = report(policy);
                assert!(found.hits <= bound.hits, "{policy} hits {} of {}", found.hits, bound.hits);
                assert!(found.byte_hit_ratio <= bound.byte_hit_ratio, "{policy} on {formula} at {capacity}");
            }
        }
    }
}

#[test]
fn several_threads_hit_about_what_one_does_and_only_the_engine_takes_them() {
    let trace = open("zipf:keys=50000,theta=0.9,requests=200000");
    let threads = NonZeroUsize::new(2).unwrap();
    let setting = Setting { threads, ..Setting::new(5000, Unit::Objects) };
    let on_threads = |policy| replay_in(&trace, policy, setting, &mut |_| {});
    let (two, one) = (on_threads("terrace").unwrap(), hits(&trace, "terrace", 5000));
    assert_eq!(two.requests, 200_000);
    assert!(two.hits.abs_diff(one) < 2000, "{} on two threads, {one} on one", two.hits);
    assert_eq!(on_threads("lru"), Err(ReplayError::OneThreadOnly("lru".into())));
    assert!(matches!(on_threads("magic"), Err(ReplayError::UnknownPolicy(_))));
}

#[test]
fn a_cache_for_everything_misses_each_key_once() {
    let trace = open("zipf:keys=3000,theta=0.8,requests=20000");
    for policy in POLICIES {
        assert_eq!(hits(&trace, policy, trace.unique_keys()), 20_000 - trace.unique_keys(), "{policy}");
    }
}

#[test]
fn s3fifo_resists_a_scan_that_flushes_lru() {
    let mut records: Vec<_> = Vec::new();
    let hot = open("zipf:keys=400,theta=0.5,requests=60000,seed=5");
    let scan = open("scan:requests=60000,seed=6");
    for (hot, scan) in hot.records().iter().zip(scan.records()) {
        records.extend([*hot, *scan]);
    }
    let trace = Trace::from_records("mixed", records);
    let (lru, s3fifo) = (hits(&trace, "lru", 500), hits(&trace, "s3fifo", 500));
    assert!(s3fifo > lru + 5_000, "s3fifo {s3fifo}, lru {lru}");
}

#[test]
fn replays_repeat_exactly() {
    let trace = open("zipf:keys=9000,theta=0.9,requests=40000");
    for policy in POLICIES {
        assert_eq!(hits(&trace, policy, 4000), hits(&trace, policy, 4000), "{policy}");
    }
}

#[test]
fn bytes_are_counted_and_the_optimum_refuses_them() {
    let trace = open("zipf:keys=5000,theta=0.8,requests=40000,size=1000");
    let capacity = "10%".parse::<Capacity>().unwrap().resolve(&trace, Unit::Bytes);
    assert_eq!(capacity, trace.unique_bytes() / 10);
    for policy in POLICIES {
        let report = replay(&trace, policy, capacity, Unit::Bytes, &mut |_| {});
        match policy {
            "opt" | "min" => assert_eq!(report, Err(ReplayError::NoOptimumForSizes)),
            _ => assert!((0.1..0.9).contains(&report.unwrap().hit_ratio)),
        }
    }
    // An object heavier than the cache is asked for in vain; nothing breaks.
    assert!(replay(&trace, "lru", 500, Unit::Bytes, &mut |_| {}).is_ok());
}

#[test]
fn an_unknown_policy_is_named_with_those_there_are() {
    let error = replay(&open("scan:requests=1"), "magic", 1, Unit::Objects, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("`magic`") && error.to_string().contains("s3fifo"));
}

#[test]
fn a_report_is_one_line_of_json_with_the_promised_fields() {
    let trace = open("zipf:keys=20000,theta=0.5,requests=100000");
    let mut told = Vec::new();
    let report = replay(&trace, "terrace", 5000, Unit::Objects, &mut |done| told.push(done)).unwrap();
    assert_eq!(told, [65_536, 100_000]);
    let line = report.to_json();
    assert!(!line.contains('\n'));
    let fields: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(fields["trace"], "zipf:keys=20000,theta=0.5,requests=100000");
    assert_eq!((&fields["policy"], &fields["capacity"]), (&"terrace".into(), &5000.into()));
    assert_eq!((&fields["requests"], &fields["hits"]), (&100_000.into(), &report.hits.into()));
    let ratio = fields["hit_ratio"].as_f64().unwrap();
    assert!((ratio - report.hits as f64 / 100_000.0).abs() < 1e-12);
    assert!(fields["ns_per_request"].as_f64().unwrap() > 0.0);
    assert!((20.0..400.0).contains(&fields["bytes_per_entry"].as_f64().unwrap()), "{line}");
    let empty = Trace::from_records("empty", Vec::new());
    let report = replay(&empty, "lru", 0, Unit::Objects, &mut |_| {}).unwrap();
    assert_eq!((report.hit_ratio, report.bytes_per_entry), (0.0, None));
}
