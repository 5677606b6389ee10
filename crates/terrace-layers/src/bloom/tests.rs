use terrace_store::block_on::poll_once;
use terrace_store::capability::Batch;
use terrace_store::fakes::{Fault, Flaky, FrozenClock, MapStore, Operation as On, Recording, Slow, When};
use terrace_store::{StoreExt, block_on};

use super::*;
use crate::world::tests::world;

fn key(n: impl std::fmt::Display) -> Key {
    Key::new("n", format!("key {n}")).unwrap()
}

fn sole() -> BloomConfig {
    BloomConfig { expected: 1_000, sole_writer: true, keep: true, ..BloomConfig::default() }
}

fn open(store: Arc<dyn Store>, config: BloomConfig) -> Bloom {
    block_on(Bloom::open(store, config, &world(&FrozenClock::default()))).unwrap()
}

fn fill(store: &dyn Store, keys: std::ops::Range<u32>) {
    for n in keys {
        let _ = block_on(store.put_with(&key(n), "v")).unwrap();
    }
}

fn all_there(store: &dyn Store, keys: std::ops::Range<u32>) -> bool {
    keys.into_iter()
        .all(|n| block_on(store.get(&key(n))).unwrap().is_some() && block_on(store.exists(&key(n))).unwrap())
}

/// Lets a store be opened again though a layer has closed it: as a store on a disk could be.
struct Unclosed(Arc<Recording>);

fn unclosed(map: &Arc<MapStore>) -> Unclosed {
    Unclosed(Arc::new(Recording::over(map.clone())))
}

#[test]
fn what_is_certainly_absent_is_not_asked_for_and_the_mistakes_are_counted() {
    let recording = Arc::new(Recording::over(Arc::new(MapStore::default())));
    let store = open(recording.clone(), BloomConfig { expected: 20_000, ..sole() });
    assert!(store.report().authoritative);
    fill(&store, 0..20_000);
    assert!(all_there(&store, 0..20_000));
    recording.control().forget();
    let mut absent = 50_000..100_000;
    let wrong = absent.clone().filter(|n| store.might_contain(&key(n))).count();
    assert!(absent.all(|n| block_on(store.get(&key(n))).unwrap().is_none()));
    assert_eq!(recording.control().count(On::Get), wrong);
    let report = store.report();
    let rate = report.false_positive_rate();
    assert!(rate < 0.012 && (wrong as f64 / 50_000.0 - rate).abs() < 1e-9, "{report:?}");
    assert!((report.expected_rate / rate - 1.0).abs() < 0.25, "{report:?}");
    assert!(report.bytes * 8 < 20_000 * 11, "{} bytes", report.bytes);
    assert_eq!((report.negatives, report.false_positives), (50_000 - wrong as u64, wrong as u64));
}

#[test]
fn a_filter_is_built_from_what_is_there_before_it_is_trusted() {
    let map = Arc::new(MapStore::default());
    fill(&*map, 0..5_000);
    let store = open(map, sole());
    assert!(store.report().authoritative && all_there(&store, 0..5_000));
    let asked = [key(3), key("none"), key(4)];
    let found = block_on(Batch::get_many(&store, &asked)).unwrap();
    assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true]);
}

#[test]
fn where_others_write_it_only_advises() {
    let map = Arc::new(MapStore::default());
    let store = open(map.clone(), BloomConfig { sole_writer: false, ..sole() });
    fill(&*map, 0..100);
    assert!(!store.report().authoritative && all_there(&store, 0..100));
    assert!(store.report().foreign > 150, "it did not know of them");
    let filter = store.report();
    assert!(filter.checks == 200 && filter.false_positives == 0);
}

#[test]
fn a_filter_that_fills_up_is_replaced_by_a_larger_one() {
    let map = Arc::new(MapStore::default());
    let store = open(map, sole());
    let before = store.report().bytes;
    fill(&store, 0..10_000);
    block_on(store.rebuild()).unwrap();
    let report = store.report();
    assert!(report.bytes > 10 * before && report.expected_rate < 0.01, "{report:?}");
    assert!(all_there(&store, 0..10_000));
}

#[test]
fn writes_under_way_while_a_filter_is_built_are_in_it() {
    let clock = FrozenClock::default();
    let slow = Arc::new(Slow::over(Arc::new(MapStore::default()), Arc::new(clock.clone())));
    let store = block_on(Bloom::open(slow.clone(), sole(), &world(&clock))).unwrap();
    slow.control().hold(&[On::Put]);
    let begin = |n: &'static str| {
        let store = &store;
        let put: BoxFuture<'_, _> = Box::pin(async move { store.put_with(&key(n), "v").await });
        poll_once(put).expect_err("it hangs")
    };
    let (before, dropped) = (begin("before"), begin("dropped"));
    let build: BoxFuture<'_, _> = Box::pin(store.rebuild());
    let build = poll_once(build).expect_err("it waits for the writes before it");
    let during = begin("during");
    slow.control().release();
    assert!(block_on(before).is_ok());
    drop(dropped);
    clock.advance_ms(1);
    block_on(build).unwrap();
    assert!(block_on(during).is_ok());
    for name in ["before", "during", "dropped"] {
        assert!(store.might_contain(&key(name)), "{name}");
    }
    assert_eq!((store.report().unsettled, store.report().built), (1, 2));
}

#[test]
fn a_write_of_unknown_outcome_stays_in_every_later_filter() {
    let flaky = Arc::new(Flaky::over(Arc::new(MapStore::default())));
    let store = open(flaky.clone(), sole());
    flaky.control().inject(Fault::fail(ErrorKind::Unknown).of(&[On::Put]).when(When::Nth(1)));
    assert!(block_on(store.put_with(&key("late"), "v")).is_err());
    for _ in 0..3 {
        block_on(store.rebuild()).unwrap();
        assert!(store.might_contain(&key("late")));
    }
    // It arrives after all.
    let _ = block_on(flaky.put_with(&key("late"), "v")).unwrap();
    assert!(block_on(store.get(&key("late"))).unwrap().is_some());
}

#[test]
fn a_filter_that_failed_to_be_built_leaves_the_old_one_at_work() {
    let flaky = Arc::new(Flaky::over(Arc::new(MapStore::default())));
    let store = open(flaky.clone(), sole());
    fill(&store, 0..100);
    flaky.control().inject(Fault::fail(ErrorKind::Network).of(&[On::List]));
    assert!(block_on(store.rebuild()).is_err());
    flaky.control().heal();
    assert!(store.report().authoritative && all_there(&store, 0..100));
    fill(&store, 100..200);
    assert!(block_on(store.rebuild()).is_ok() && all_there(&store, 0..200));
}

#[test]
fn a_kept_filter_is_restored_once_and_only_for_the_same_content() {
    let map = Arc::new(MapStore::default());
    let Unclosed(first) = unclosed(&map);
    let store = open(first, sole());
    fill(&store, 0..3_000);
    block_on(store.rebuild()).unwrap();
    // What closing does, short of closing the map.
    store.shared.closing.store(true, Ordering::SeqCst);
    block_on(kept::leave(&store.shared)).unwrap();
    assert_eq!(block_on(store.put_with(&key("late"), "v")).unwrap_err().kind(), ErrorKind::Closed);
    let place = kept::place().unwrap();
    let left = block_on(map.get(&place)).unwrap().unwrap();

    let Unclosed(recording) = unclosed(&map);
    let again = open(recording.clone(), sole());
    assert_eq!(recording.control().count(On::List), 0, "nothing was listed");
    assert!(again.report().authoritative && all_there(&again, 0..3_000));
    assert!(!again.might_contain(&key("absent and not taken for present")));
    assert!(!block_on(map.exists(&place)).unwrap(), "a crash from here on finds none");

    // It comes back, as from a copy, after something was written past the layer.
    let _ = block_on(map.put_with(&key("foreign"), "v")).unwrap();
    let _ = block_on(map.put(&place, left.clone(), PutOptions::default())).unwrap();
    let Unclosed(recording) = unclosed(&map);
    let third = open(recording.clone(), sole());
    assert!(recording.control().count(On::List) > 0, "it was built anew");
    assert!(block_on(third.get(&key("foreign"))).unwrap().is_some() && all_there(&third, 0..3_000));
    // Left by a release whose filters had another arrangement of bits, which would say of keys that they are not there.
    let mut older = left.value.to_vec();
    let covered = older.len() - 8;
    older[4] = 1;
    let sum = xxhash_rust::xxh3::xxh3_64(&older[..covered]);
    older[covered..].copy_from_slice(&sum.to_le_bytes());
    let _ = block_on(map.put(&place, Entry::new(older), PutOptions::default())).unwrap();
    let Unclosed(recording) = unclosed(&map);
    assert!(all_there(&open(recording.clone(), sole()), 0..3_000));
    assert!(recording.control().count(On::List) > 0 && !block_on(map.exists(&place)).unwrap());
    // Damaged, cut short, made with other bits.
    for at in [0, 5, 20, 100, left.value.len() - 1] {
        let mut value = left.value.to_vec();
        value[at] ^= 1;
        let _ = block_on(map.put(&place, Entry::new(value), PutOptions::default())).unwrap();
        assert!(all_there(&open(map.clone(), sole()), 0..3_000));
        let cut = left.value.slice(..at);
        let _ = block_on(map.put(&place, Entry::new(cut), PutOptions::default())).unwrap();
        assert!(all_there(&open(map.clone(), sole()), 0..3_000));
    }
}

#[test]
fn a_closed_store_says_so_also_for_what_is_absent() {
    let store = open(Arc::new(MapStore::default()), sole());
    block_on(store.close()).unwrap();
    assert_eq!(block_on(store.get(&key("absent"))).unwrap_err().kind(), ErrorKind::Closed);
}
