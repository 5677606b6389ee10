use terrace_store::capability::List;
use terrace_store::fakes::{Fault, Flaky, MapStore, Operation as On, When};
use terrace_store::{Namespace, StoreExt, block_on};

use super::*;
use crate::world::tests::hasty;

fn key(n: u32) -> Key {
    Key::new(["a", "b", ""][n as usize % 3], n.to_be_bytes()).unwrap()
}

fn all(store: &dyn Store) -> Vec<(Key, Entry)> {
    let lists = ["a", "b", ""].map(|name| List::all(Namespace::new(name).unwrap()));
    lists.iter().flat_map(|list| block_on(store.list_all(list)).unwrap()).collect()
}

fn switch(from: Arc<dyn Store>, to: Arc<dyn Store>) -> Switch {
    block_on(Switch::open(from, to, CopyConfig::new("old"))).unwrap()
}

fn run(switch: &Switch) -> Result<CopyReport> {
    block_on(switch.run(&hasty(), &mut |_| {}))
}

#[test]
fn after_the_turn_only_the_new_store_is_used_and_its_versions_go_on() {
    let (from, to) = (Arc::new(MapStore::default()), Arc::new(MapStore::default()));
    for n in 0..500 {
        let _ = block_on(from.put_with(&key(n), format!("{n}")).tag("t").ttl_ms(1 << 40)).unwrap();
    }
    let switch = switch(from.clone(), to.clone());
    let _ = block_on(switch.put_with(&key(3), "new")).unwrap();
    block_on(switch.remove(&key(4))).unwrap();
    assert_eq!(all(&*to).len(), 1, "it writes to both before anything is copied");
    let report = run(&switch).unwrap();
    assert!(report.is_equal() && switch.has_turned(), "{report:?}");
    let (old, new) = (all(&*from), all(&*to));
    assert_eq!(old.len(), 499);
    assert_eq!(old, new, "versions, tags and ends included");
    let before = block_on(to.get(&key(3))).unwrap().unwrap().version;
    let written = block_on(switch.put_with(&key(3), "newer")).unwrap();
    assert!(written.version().unwrap() > before);
    let deleted_before = block_on(switch.put_with(&key(4), "again").newer(before)).unwrap();
    assert!(deleted_before.version().is_none() || before.0 > 500, "a late write stays late");
    assert_eq!(block_on(from.get(&key(3))).unwrap().unwrap().value, "new", "the old store is left alone");
    assert_eq!(block_on(switch.get(&key(3))).unwrap().unwrap().value, "newer");
    assert!(run(&switch).is_ok_and(|again| !again.is_equal()), "there is nothing left to do");
}

#[test]
fn writers_that_go_on_all_the_time_lose_nothing() {
    let (from, to) = (Arc::new(MapStore::default()), Arc::new(MapStore::default()));
    for n in 0..2_000 {
        let _ = block_on(from.put_with(&key(n), "before")).unwrap();
    }
    let switch = switch(from, to.clone());
    let stop = AtomicBool::new(false);
    let last: Vec<Vec<(u32, Option<u32>)>> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3_u32)
            .map(|writer| {
                let (switch, stop) = (&switch, &stop);
                scope.spawn(move || {
                    let mut last = std::collections::BTreeMap::new();
                    let mut round = 0_u32;
                    while !(stop.load(Ordering::Relaxed) && round > 500) {
                        // Each has keys of its own, so that what was written last is known.
                        let n = (round * 7 % 600) * 3 + writer;
                        if round.is_multiple_of(5) {
                            block_on(switch.remove(&key(n))).unwrap();
                            last.insert(n, None);
                        } else {
                            let _ = block_on(switch.put_with(&key(n), round.to_be_bytes().to_vec())).unwrap();
                            last.insert(n, Some(round));
                        }
                        round += 1;
                    }
                    last.into_iter().collect::<Vec<_>>()
                })
            })
            .collect();
        let mut ran = run(&switch);
        for _ in 0..50 {
            if switch.has_turned() || ran.is_err() {
                break;
            }
            ran = run(&switch);
        }
        // Before anything may fail: the writers wait for it.
        stop.store(true, Ordering::Relaxed);
        assert!(switch.has_turned(), "{ran:?}");
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    for (n, value) in last.into_iter().flatten() {
        let found = block_on(to.get(&key(n))).unwrap().map(|entry| entry.value.to_vec());
        assert_eq!(found, value.map(|round| round.to_be_bytes().to_vec()), "key {n}");
    }
}

#[test]
fn a_write_that_the_new_store_did_not_take_keeps_it_from_turning_until_it_is_there() {
    let (from, to) = (Arc::new(MapStore::default()), Arc::new(MapStore::default()));
    let flaky = Arc::new(Flaky::over(to.clone()));
    let switch = switch(from.clone(), flaky.clone());
    flaky.control().inject(Fault::fail(ErrorKind::Network).of(&[On::Put]).when(When::Nth(1)));
    let _ = block_on(switch.put_with(&key(1), "1")).unwrap();
    assert!(matches!(block_on(switch.health()), Health::Degraded(_)));
    assert!(all(&*to).is_empty());
    assert!(block_on(switch.turn(0)).is_ok_and(|turned| !turned), "a write is missing");
    assert!(run(&switch).unwrap().is_equal() && switch.has_turned());
    assert_eq!(all(&*to), all(&*from));
}

#[test]
fn a_listing_does_not_go_on_in_another_store_than_it_began_in() {
    let (from, to) = (Arc::new(MapStore::default()), Arc::new(MapStore::default()));
    for n in 0..30 {
        let _ = block_on(from.put_with(&key(n), "v")).unwrap();
    }
    let switch = switch(from, to);
    let list = List { limit: 4, ..List::all(Namespace::new("a").unwrap()) };
    let first = block_on(Iterate::list(&switch, &list, None)).unwrap();
    let second = block_on(Iterate::list(&switch, &list, first.next.as_ref())).unwrap();
    assert_eq!(second.entries.len(), 4);
    run(&switch).unwrap();
    let error = block_on(Iterate::list(&switch, &list, second.next.as_ref())).unwrap_err();
    assert!(error.is_transient() && error.kind() == ErrorKind::Conflict);
    assert_eq!(block_on(switch.list_all(&list)).unwrap().len(), 10);
}
