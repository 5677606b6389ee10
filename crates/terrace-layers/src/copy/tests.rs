use std::sync::Arc;

use terrace_store::block_on::poll_once;
use terrace_store::capability::List;
use terrace_store::fakes::{Fault, Flaky, FrozenClock, MapStore, Operation as On, When};
use terrace_store::{Entry, Metadata, PutOptions, StoreExt, block_on};

use super::*;
use crate::world::tests::{hasty, world};

fn key(n: u32) -> Key {
    Key::new(["a", "b", ""][n as usize % 3], n.to_be_bytes()).unwrap()
}

fn all(store: &dyn Store) -> Vec<(Key, Entry)> {
    let lists = ["a", "b", ""].map(|name| List::all(Namespace::new(name).unwrap()));
    lists.iter().flat_map(|list| block_on(store.list_all(list)).unwrap()).collect()
}

fn source(entries: u32) -> Arc<MapStore> {
    let store = Arc::new(MapStore::default());
    for n in 0..entries {
        let key = key(n);
        let put = store.put_with(&key, vec![n as u8; n as usize % 70]).tag(format!("t{}", n % 4));
        let put = if n % 3 == 0 { put.ttl_from(1, 1 << 40) } else { put };
        let _ = block_on(if n % 5 == 0 { put.content_type("text/plain").metadata("n", "1") } else { put });
    }
    store
}

fn run(from: &dyn Store, to: &dyn Store, config: &CopyConfig) -> Result<CopyReport> {
    block_on(copy(from, to, config, &hasty(), &mut |_| {}))
}

#[test]
fn everything_about_every_entry_arrives() {
    let (from, to) = (source(1_000), Arc::new(MapStore::default()));
    let mut seen = Vec::new();
    let config = CopyConfig::new("old");
    let report = block_on(copy(&*from, &*to, &config, &hasty(), &mut |at| seen.push(at))).unwrap();
    assert!(report.is_equal() && !report.resumed, "{report:?}");
    assert_eq!((report.copied, report.compared, report.passes, report.repaired), (1_000, 1_000, 1, 0));
    assert_eq!(all(&*from), all(&*to));
    assert!(seen.is_sorted_by_key(|at| (at.phase != Phase::Copy, at.done)));
    assert_eq!(seen.last().map(|at| (at.phase, at.done, at.total)), Some((Phase::Compare(1), 1_000, 1_000)));
    assert!(block_on(to.get(&State::place_in_store().unwrap())).unwrap().is_none(), "nothing is left behind");
    // Whatever the target is given from now on is newer than what the source ever had.
    let written = block_on(to.put_with(&key(1), "mine")).unwrap().version().unwrap();
    assert!(written > block_on(from.get(&key(1))).unwrap().unwrap().version);
}

#[test]
fn a_copy_that_was_cut_off_at_any_call_goes_on_and_ends_equal() {
    for cut in 0..60 {
        let (from, to) = (source(300), Arc::new(MapStore::default()));
        let flaky = Flaky::over(to.clone());
        let operation = [On::Put, On::Apply, On::Flush, On::Get][cut % 4];
        let when = When::Nth(cut as u64 / 4 + 1);
        flaky.control().inject(Fault::fail(ErrorKind::Network).of(&[operation]).when(when));
        let _ = run(&*from, &flaky, &CopyConfig::new("old"));
        block_on(from.remove(&key(7))).unwrap();
        let _ = block_on(from.put_with(&key(8), "changed meanwhile")).unwrap();
        // One that had come to its end has left no state to go on with.
        let restart = block_on(State::load(&*to)).unwrap().is_none();
        let config = CopyConfig { restart, ..CopyConfig::new("old") };
        let report = run(&*from, &*to, &config).unwrap();
        assert!(report.is_equal() && report.resumed != restart, "{cut}: {report:?}");
        assert_eq!(all(&*from), all(&*to), "{cut}");
    }
}

#[test]
fn a_copy_that_is_dropped_goes_on_where_its_state_was_written() {
    let (from, to) = (source(1_000), Arc::new(MapStore::default()));
    let clock = FrozenClock::default();
    let config = CopyConfig { entries_per_second: 100, ..CopyConfig::new("old") };
    {
        let world = world(&clock);
        let mut silent = |_| {};
        let mut running = Box::pin(copy(&*from, &*to, &config, &world, &mut silent));
        for _ in 0..4 {
            running = poll_once(running).expect_err("it keeps to its rate");
            clock.advance_ms(1_500);
        }
    }
    let there = all(&*to).len();
    assert!((200..900).contains(&there), "{there} were copied");
    let report = run(&*from, &*to, &CopyConfig::new("old")).unwrap();
    assert!(report.resumed && report.is_equal(), "{report:?}");
    assert!(report.present < 300, "it did not begin anew: {report:?}");
    assert_eq!(all(&*from), all(&*to));
}

#[test]
fn the_comparison_mends_what_differs_and_removes_what_is_gone() {
    let (from, to) = (source(200), Arc::new(MapStore::default()));
    // A target that is half of this copy, and has changed since.
    State::new(&CopyConfig::new("old")).save_for_test(&*to);
    let _ = block_on(to.put_with(&Key::new("a", "stranger").unwrap(), "x")).unwrap();
    let report = run(&*from, &*to, &CopyConfig::new("old")).unwrap();
    assert!(report.is_equal() && report.resumed, "{report:?}");
    assert_eq!((report.removed, report.passes), (1, 2));
    assert_eq!(all(&*from), all(&*to));
}

#[test]
fn a_target_that_is_not_empty_or_is_half_of_another_copy_is_refused() {
    let (from, to) = (source(20), source(3));
    let error = run(&*from, &*to, &CopyConfig::new("old")).unwrap_err();
    assert!(error.kind() == ErrorKind::Config && error.to_string().contains("holds 3 entries"), "{error}");
    let other = MapStore::default();
    State::new(&CopyConfig::new("another")).save_for_test(&other);
    let error = run(&*from, &other, &CopyConfig::new("old")).unwrap_err();
    assert!(error.to_string().contains("from another"), "{error}");
    let restarted = CopyConfig { restart: true, ..CopyConfig::new("old") };
    assert!(run(&*from, &other, &restarted).unwrap().is_equal());
}

#[test]
fn a_merge_leaves_what_was_there_and_tells_what_is_newer_there() {
    let (from, to) = (source(20), Arc::new(MapStore::default()));
    let stranger = Key::new("a", "stranger").unwrap();
    let _ = block_on(to.put_with(&stranger, "x")).unwrap();
    let newer = terrace_store::Version(1 << 40);
    let _ = block_on(to.put_with(&key(5), "newer").newer(newer)).unwrap();
    let config = CopyConfig { merge: true, ..CopyConfig::new("old") };
    let report = run(&*from, &*to, &config).unwrap();
    assert!(!report.is_equal());
    assert_eq!((report.copied, report.present, report.different), (19, 1, 1));
    assert_eq!(report.keys, [key(5)]);
    assert_eq!(block_on(to.get(&key(5))).unwrap().unwrap().value, "newer");
    assert!(block_on(to.get(&stranger)).unwrap().is_some());
}

#[test]
fn what_the_source_cannot_read_is_told_and_the_rest_is_copied() {
    let from = source(50);
    let checked = Arc::new(crate::Checksum::over(from.clone()));
    for n in [3, 4] {
        let _ = block_on(checked.put_with(&key(n), "sound")).unwrap();
        let mut entry = block_on(from.get(&key(n))).unwrap().unwrap();
        let mut value = entry.value.to_vec();
        value[9] ^= 1;
        entry.value = value.into();
        let _ = block_on(from.put(&key(n), entry, PutOptions::default())).unwrap();
    }
    let to = MapStore::default();
    let report = run(&*checked, &to, &CopyConfig::new("old")).unwrap();
    assert!(!report.is_equal());
    assert_eq!((report.unreadable, all(&to).len()), (2, 48));
    let mut told = report.keys;
    told.sort();
    assert_eq!(told, [key(3), key(4)]);
}

#[test]
fn a_copy_keeps_to_its_rate() {
    let (from, to) = (MapStore::default(), MapStore::default());
    for n in 0..100 {
        let _ = block_on(from.put_with(&key(n), vec![7; 1_000])).unwrap();
    }
    let clock = FrozenClock::default();
    let world = world(&clock);
    let config = CopyConfig { bytes_per_second: 10_000, ..CopyConfig::new("old") };
    let mut silent = |_| {};
    let mut running = Box::pin(copy(&from, &to, &config, &world, &mut silent));
    let mut waited = 0_u64;
    loop {
        match poll_once(running) {
            Ok(report) => break assert!(report.unwrap().is_equal()),
            Err(pending) => running = pending,
        }
        clock.advance_ms(100);
        waited += 100;
    }
    // 100,000 bytes, copied and compared.
    assert!((19_000..=21_000).contains(&waited), "it took {waited} ms");
}

#[test]
fn metadata_that_says_nothing_is_the_same_as_none() {
    let plain = Entry::new("v");
    let said = Entry { metadata: Some(Arc::new(Metadata::default())), ..plain.clone() };
    assert!(compare::same(&plain, &said));
    assert!(!compare::same(&plain, &Entry { priority: 1, ..plain.clone() }));
}

impl State {
    fn save_for_test(&self, store: &dyn Store) {
        block_on(self.save(store)).unwrap();
    }
}
