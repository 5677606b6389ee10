//! memory: the contract, budgets and what is given up for them.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::thread;

use terrace_backends::memory::{Evict, MemoryConfig, MemoryStore};
use terrace_store::capability::{List, Order, Write};
use terrace_store::conformance::{self, Subject};
use terrace_store::fakes::FrozenClock;
use terrace_store::{
    BoxFuture, Condition, DeleteOptions, Entry, ErrorKind, Key, Namespace, PutOptions, Result, Store,
    StoreExt, Version, block_on,
};

const START_MS: u64 = 1_700_000_000_000;

fn key(n: u32) -> Key {
    Key::new("test", n.to_be_bytes()).unwrap()
}

fn namespace() -> Namespace {
    Namespace::new("test").unwrap()
}

fn open(capacity: u64, evict: Evict) -> MemoryStore {
    let config = MemoryConfig { capacity: Some(capacity), evict, report_evicted: 1000 };
    MemoryStore::open(config, Arc::new(FrozenClock::at_wall_ms(START_MS))).unwrap()
}

fn mortal(bytes: usize) -> Entry {
    Entry { expires_ms: NonZeroU64::new(START_MS + 1_000_000), ..Entry::new(vec![0; bytes]) }
}

fn put(store: &dyn Store, n: u32, entry: Entry) -> Result<()> {
    block_on(store.put(&key(n), entry, PutOptions::default())).map(drop)
}

fn has(store: &dyn Store, n: u32) -> bool {
    block_on(store.exists(&key(n))).unwrap()
}

fn count(store: &dyn Store) -> u64 {
    block_on(store.as_iterate().unwrap().count(&namespace())).unwrap()
}

struct Memory(MemoryConfig);

impl Subject for Memory {
    fn open(&self, clock: FrozenClock) -> BoxFuture<'_, Result<Arc<dyn Store>>> {
        Box::pin(async move { Ok(Arc::new(MemoryStore::open(self.0, Arc::new(clock))?) as Arc<dyn Store>) })
    }

    fn reopen(&self, _clock: FrozenClock) -> BoxFuture<'_, Result<Option<Arc<dyn Store>>>> {
        Box::pin(async { Ok(None) })
    }
}

#[test]
fn it_keeps_the_contract_whatever_it_may_evict() {
    for evict in [Evict::None, Evict::Expiring, Evict::All] {
        let config = MemoryConfig { capacity: Some(1 << 30), evict, report_evicted: 0 };
        println!("{}", block_on(conformance::all(&Memory(config))));
    }
    println!("{}", block_on(conformance::all(&Memory(MemoryConfig::default()))));
}

#[test]
fn a_full_store_that_evicts_nothing_refuses_and_loses_nothing() {
    let store = open(100_000, Evict::None);
    let mut written = 0;
    let error = loop {
        match put(&store, written, mortal(900)) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Full);
    assert!((60..100).contains(&written), "{written}");
    assert_eq!(put(&store, 0, mortal(90_000)).unwrap_err().kind(), ErrorKind::Full);
    assert!((0..written).all(|n| has(&store, n)), "what was there stays");
    put(&store, 0, mortal(900)).unwrap();
    assert!(store.used_bytes() <= 100_000);
    for n in 0..5 {
        assert!(block_on(store.remove(&key(n))).unwrap());
    }
    put(&store, 0, mortal(4_000)).unwrap();
    assert_eq!((store.evictions(), store.drain_evicted()), (0, vec![]));
}

#[test]
fn a_store_that_evicts_what_expires_keeps_everything_else() {
    let store = open(100_000, Evict::Expiring);
    for n in 0..40 {
        put(&store, n, Entry::new(vec![0; 900])).unwrap();
    }
    for n in 100..300 {
        put(&store, n, mortal(900)).unwrap();
    }
    assert!((0..40).all(|n| has(&store, n)), "what has no deadline stays");
    let left = (100..300).filter(|n| has(&store, *n)).count() as u64;
    assert!((20..60).contains(&left), "{left}");
    assert_eq!((store.evictions(), store.drain_evicted().len() as u64), (200 - left, 200 - left));
    assert_eq!(count(&store), 40 + left);
    let mut next = 40;
    let error = loop {
        match put(&store, next, Entry::new(vec![0; 900])) {
            Ok(()) => next += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Full);
    assert!((0..next).all(|n| has(&store, n)));
    assert_eq!(put(&store, 0, Entry::new(vec![0; 90_000])).unwrap_err().kind(), ErrorKind::Full);
    assert!(has(&store, 0), "a refused put leaves what was there");
    assert_eq!(put(&store, 1, mortal(90_000)).unwrap_err().kind(), ErrorKind::Full);
    assert!(has(&store, 1));
    assert!(store.used_bytes() <= 100_000);
}

#[test]
fn a_store_that_evicts_anything_takes_everything_that_fits_at_all() {
    let store = open(100_000, Evict::All);
    for n in 0..1000 {
        put(&store, n, Entry::new(vec![0; 900])).unwrap();
    }
    assert!(store.used_bytes() <= 100_000);
    assert_eq!(count(&store) + store.evictions(), 1000);
    assert_eq!(put(&store, 0, Entry::new(vec![0; 100_000])).unwrap_err().kind(), ErrorKind::Full);
    let _ = store.drain_evicted();
    put(&store, 5_000, Entry::new(vec![0; 50_000])).unwrap();
    assert!(has(&store, 5_000) && !store.drain_evicted().is_empty());
}

#[test]
fn nothing_older_comes_back_for_an_entry_that_was_evicted() {
    let store = open(50_000, Evict::All);
    let late = block_on(store.reserve()).unwrap();
    for n in 0..500 {
        put(&store, n, Entry::new(vec![0; 900])).unwrap();
    }
    for n in (0..500).filter(|n| !has(&store, *n)).collect::<Vec<_>>() {
        let written = block_on(store.put_with(&key(n), "late").newer(late)).unwrap();
        assert_eq!(written.version(), None, "{n}");
    }
    let fresh = block_on(store.reserve()).unwrap();
    let written = block_on(store.put_with(&key(0), "fresh").newer(fresh)).unwrap();
    assert_eq!(written.version(), Some(fresh));
}

#[test]
fn a_batch_that_does_not_fit_changes_nothing() {
    for evict in [Evict::None, Evict::Expiring, Evict::All] {
        let store = open(20_000, evict);
        put(&store, 0, Entry::new("before")).unwrap();
        let writes = [(0, 10), (1, 10), (2, 30_000)]
            .map(|(n, bytes)| Write::Put(key(n), Entry::new(vec![0; bytes]), PutOptions::default()));
        let error = block_on(store.as_batch().unwrap().apply(writes.to_vec())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Full);
        assert_eq!(block_on(store.get(&key(0))).unwrap().unwrap().value, "before");
        assert_eq!(count(&store), 1);
        let writes = vec![
            Write::Delete(key(0), DeleteOptions::default()),
            Write::Put(key(1), Entry::new(vec![0; 15_000]), PutOptions::default()),
            Write::Put(key(1), Entry::new(vec![0; 10]), PutOptions::default()),
        ];
        block_on(store.as_batch().unwrap().apply(writes)).unwrap();
        assert_eq!((count(&store), has(&store, 0), has(&store, 1)), (1, false, true));
        put(&store, 2, Entry::new(vec![0; 15_000])).unwrap();
    }
}

#[test]
fn counters_agree_with_the_entries_after_threads_have_raced_for_room() {
    for evict in [Evict::None, Evict::Expiring, Evict::All] {
        let store = open(60_000, evict);
        thread::scope(|scope| {
            for seed in 0..4_u32 {
                let store = &store;
                scope.spawn(move || {
                    let mut state = seed + 1;
                    for _ in 0..5_000 {
                        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        let (n, bytes) = (state >> 8 & 127, (state >> 16 & 1023) as usize);
                        let entry =
                            if state >> 28 & 1 == 0 { mortal(bytes) } else { Entry::new(vec![0; bytes]) };
                        match state >> 29 {
                            0 => drop(block_on(store.remove(&key(n))).unwrap()),
                            1 => drop(block_on(store.as_batch().unwrap().apply(vec![
                                Write::Put(key(n), entry.clone(), PutOptions::default()),
                                Write::Delete(key(n ^ 1), DeleteOptions::default()),
                            ]))),
                            2 => drop(block_on(store.put(
                                &key(n),
                                entry,
                                PutOptions {
                                    condition: Condition::Newer(Version(u64::from(state >> 4))),
                                    ..PutOptions::default()
                                },
                            ))),
                            _ => drop(put(store, n, entry)),
                        }
                    }
                });
            }
        });
        let mut listed = block_on(store.list_all(&List::all(namespace()))).unwrap();
        let bytes: usize = listed.iter().map(|(key, entry)| key.bytes().len() + entry.value.len()).sum();
        let iterate = store.as_iterate().unwrap();
        assert_eq!(count(&store), listed.len() as u64, "{evict:?}");
        assert_eq!(block_on(iterate.bytes(&namespace())).unwrap(), bytes as u64, "{evict:?}");
        let any = List { order: Order::Any, limit: 7, ..List::all(namespace()) };
        let mut by_slot = block_on(store.list_all(&any)).unwrap();
        by_slot.sort_by(|(a, _), (b, _)| a.cmp(b));
        listed.sort_by(|(a, _), (b, _)| a.cmp(b));
        assert_eq!(by_slot, listed, "{evict:?}");
        block_on(store.as_batch().unwrap().clear(None)).unwrap();
        assert_eq!((count(&store), store.used_bytes()), (0, 0));
        for n in 0..40 {
            put(&store, n, Entry::new(vec![0; 1_000])).unwrap();
        }
        assert_eq!(count(&store), 40, "the whole budget is free again");
    }
}

/// Whether the budget is what the entries that may not be evicted take: all of them have to leave to empty it.
fn settles(store: &MemoryStore, capacity: u64) {
    store.set_evict(Evict::None).unwrap();
    assert!(store.used_bytes() <= capacity);
    for n in 0..1000 {
        let _ = block_on(store.delete(&key(n), DeleteOptions::default())).unwrap();
    }
    assert_eq!((count(store), store.used_bytes()), (0, 0));
    // Nothing is left over in the budget: as much fits as into a new store.
    let fresh = open(capacity, Evict::None);
    let fitting = |store: &MemoryStore| {
        (0..1000).take_while(|n| put(store, *n, Entry::new(vec![0; 100])).is_ok()).count()
    };
    assert_eq!(fitting(store), fitting(&fresh));
}

#[test]
fn what_is_given_up_can_be_changed_while_the_store_is_in_use() {
    const CAPACITY: u64 = 40_000;
    let all = [Evict::None, Evict::Expiring, Evict::All];
    for (first, then) in all.iter().flat_map(|first| all.map(|then| (*first, then))) {
        let store = open(CAPACITY, first);
        // Every other one may leave by itself; about half of the room is taken.
        for n in 0..60 {
            put(&store, n, if n % 2 == 0 { mortal(100) } else { Entry::new(vec![0; 100]) }).unwrap();
        }
        let used = store.used_bytes();
        store.set_evict(then).unwrap();
        assert_eq!(
            (count(&store), store.evictions(), store.used_bytes()),
            (60, 0, used),
            "{first:?} to {then:?}"
        );
        let results: Vec<_> = (100..400).map(|n| put(&store, n, Entry::new(vec![0; 100]))).collect();
        assert!(store.used_bytes() <= CAPACITY, "{first:?} to {then:?}");
        let refused = results.iter().filter(|result| result.is_err()).count();
        let survivors = |step| (0..60).skip(step).step_by(2).filter(|n| has(&store, *n)).count();
        match then {
            Evict::None => assert!(refused > 100 && survivors(0) == 30 && survivors(1) == 30),
            Evict::Expiring => assert!(refused > 100 && survivors(0) == 0 && survivors(1) == 30),
            Evict::All => assert!(refused == 0 && store.evictions() > 100),
        }
        settles(&store, CAPACITY);
    }
}

#[test]
fn a_change_of_what_is_given_up_agrees_with_writers_that_go_on() {
    const CAPACITY: u64 = 60_000;
    let store = open(CAPACITY, Evict::None);
    thread::scope(|scope| {
        for writer in 0..2_u32 {
            let store = &store;
            scope.spawn(move || {
                for n in 0..6000_u32 {
                    let entry = if n % 3 == 0 { mortal(50) } else { Entry::new(vec![1; 80]) };
                    let condition =
                        if n % 5 == 0 { Condition::Newer(Version(u64::from(n) + 1)) } else { Condition::Any };
                    let options = PutOptions { condition, ..PutOptions::default() };
                    let _ = block_on(store.put(&key((n * 7 + writer) % 900), entry, options));
                    if n % 4 == 0 {
                        let _ = block_on(store.delete(&key(n % 900), DeleteOptions::default())).unwrap();
                    }
                }
            });
        }
        for turn in 0..60 {
            store.set_evict([Evict::All, Evict::Expiring, Evict::None][turn % 3]).unwrap();
            thread::yield_now();
        }
    });
    let list = List { order: Order::Key, limit: 2000, ..List::all(namespace()) };
    let listed = block_on(store.as_iterate().unwrap().list(&list, None)).unwrap();
    assert!(listed.next.is_none());
    let listed = listed.entries.len() as u64;
    assert_eq!(count(&store), listed);
    settles(&store, CAPACITY);
}

#[test]
fn evicting_without_a_capacity_is_refused() {
    let config = MemoryConfig { evict: Evict::All, ..MemoryConfig::default() };
    let opened = MemoryStore::open(config, Arc::new(FrozenClock::default()));
    assert_eq!(opened.err().unwrap().kind(), ErrorKind::Config);
}
