//! `upsert` and `remove_if` look and act with nothing in between.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use terrace_memory::{Cause, Config, Decision, Memory, Options, Outcome};

fn cache() -> Memory<String, u64> {
    Memory::new(Config::entries(100).shards(2))
}

fn put(value: u64) -> Decision<u64> {
    Decision::Put(value, Options::default())
}

#[test]
fn upsert_does_what_the_closure_decides() {
    let cache = cache();
    let key = || "k".to_string();
    let done = cache.upsert(key(), 0, |current| {
        assert_eq!(current, None);
        Decision::Remove
    });
    assert_eq!(done.outcome, Outcome::Kept);
    assert_eq!(cache.upsert(key(), 0, |_| put(1)).outcome, Outcome::Stored);
    let done = cache.upsert(key(), 0, |current| put(current.map_or(0, |value| value + 1)));
    assert_eq!((done.outcome, done.replaced.map(|gone| gone.value)), (Outcome::Stored, Some(1)));
    assert_eq!(cache.upsert(key(), 0, |_| Decision::Keep).outcome, Outcome::Kept);
    assert_eq!(cache.get("k", 0), Some(2));
    let done = cache.upsert(key(), 0, |_| Decision::Remove);
    assert_eq!((done.outcome, done.replaced.map(|gone| gone.value)), (Outcome::Removed, Some(2)));
    assert!(cache.is_empty());
}

#[test]
fn a_refused_value_takes_the_old_one_with_it() {
    let cache = cache();
    let _ = cache.insert("k".into(), 1, Options::default(), 0);
    let done = cache.upsert("k".into(), 0, |_| Decision::Put(2, Options::weighing(101)));
    assert_eq!((done.outcome, done.replaced.map(|gone| gone.value)), (Outcome::Refused, Some(1)));
    assert_eq!((done.evicted[0].value, done.evicted[0].cause), (2, Cause::TooHeavy));
    assert_eq!((cache.get("k", 0), cache.weight()), (None, 0));
}

#[test]
fn an_expired_value_is_not_shown_to_the_closure_and_comes_back() {
    let cache = cache();
    let _ = cache.insert("k".into(), 1, Options::default().expires_at(10), 0);
    let done = cache.upsert("k".into(), 10, |current| {
        assert_eq!(current, None);
        put(2)
    });
    assert_eq!((done.outcome, done.replaced.map(|gone| gone.value)), (Outcome::Stored, None));
    assert_eq!((done.evicted[0].value, done.evicted[0].cause), (1, Cause::Expired));
    assert_eq!(cache.get("k", 10), Some(2));
}

#[test]
fn remove_if_asks_about_the_live_value_only() {
    let cache = cache();
    let _ = cache.insert("k".into(), 1, Options::default().expires_at(10), 0);
    assert_eq!(cache.remove_if("k", 0, |value| *value == 2).map(|gone| gone.value), None);
    assert_eq!(cache.remove_if("absent", 0, |_| true).map(|gone| gone.value), None);
    assert_eq!(cache.remove_if("k", 0, |value| *value == 1).map(|gone| gone.value), Some(1));
    let _ = cache.insert("k".into(), 1, Options::default().expires_at(10), 0);
    assert_eq!(cache.remove_if("k", 10, |_| panic!("asked about a dead value")).map(|gone| gone.value), None);
    assert_eq!((cache.len(), cache.stats().expired), (0, 1));
}

#[test]
fn a_panicking_closure_leaves_the_engine_as_it_was() {
    let cache = cache();
    let _ = cache.insert("k".into(), 1, Options::default(), 0);
    let _ = cache.insert("old".into(), 7, Options::default().expires_at(5), 0);
    for attempt in [
        &(|| drop(cache.upsert("k".into(), 9, |_| panic!("upsert")))) as &dyn Fn(),
        &|| drop(cache.upsert("old".into(), 9, |_| panic!("upsert"))),
        &|| assert_eq!(cache.get_with("k", 9, |_| -> u64 { panic!("get_with") }), None),
        &|| assert_eq!(cache.remove_if("k", 9, |_| panic!("remove_if")).map(|gone| gone.value), None),
        &|| assert_eq!(cache.retain(0, |_, _| panic!("retain")), 0),
        &|| assert_eq!(cache.scan(0, 9, 0, |_, _, _| panic!("scan")), 0),
    ] {
        assert!(catch_unwind(AssertUnwindSafe(attempt)).is_err());
        assert_eq!((cache.len(), cache.weight()), (2, 2));
        cache.check().unwrap();
    }
    assert_eq!(cache.get("k", 9), Some(1));
    assert!(cache.insert("k".into(), 2, Options::default(), 9).stored);
    assert_eq!(cache.remove("k", 9).map(|gone| gone.value), Some(2));
}

#[test]
fn counting_on_many_threads_loses_nothing() {
    let cache = Arc::new(cache());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for turn in 0..2000 {
                    let key = format!("counter {}", turn % 3);
                    let done = cache.upsert(key, 0, |current| put(current.map_or(1, |value| value + 1)));
                    assert_eq!(done.outcome, Outcome::Stored);
                }
            });
        }
    });
    let total: u64 = (0..3).filter_map(|key| cache.get(&format!("counter {key}"), 0)).sum();
    assert_eq!(total, 8000);
}

#[test]
fn insert_if_newer_keeps_the_newest_whatever_the_order() {
    let cache = Arc::new(cache());
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let cache = &cache;
            scope.spawn(move || {
                for turn in 0..2000u64 {
                    // Each thread offers versions in an order of its own.
                    let version = (turn * 7919 + thread * 31) % 10_007;
                    let _ = cache.upsert("k".into(), 0, |current| match current {
                        Some(held) if *held >= version => Decision::Keep,
                        _ => put(version),
                    });
                }
            });
        }
    });
    let offered =
        (0..4u64).flat_map(|thread| (0..2000u64).map(move |turn| (turn * 7919 + thread * 31) % 10_007));
    assert_eq!(cache.get("k", 0), offered.max());
}
