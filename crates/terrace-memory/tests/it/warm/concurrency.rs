//! Real threads: values are never mixed up, and the weight never passes the capacity.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use terrace_memory::warm::{Attributes, Config, Warm};

use super::json::{Chance, order};

/// The value of a key in one of its versions: it can be told whose it is.
fn value(key: u64, version: u64) -> Vec<u8> {
    let mut value = order(key);
    value.extend_from_slice(format!("{key}/{version}").as_bytes());
    value
}

#[test]
fn threads_that_read_write_train_and_resize_never_see_a_wrong_value() {
    let capacity = 3 << 20;
    let warm = Warm::new(Config::bytes(capacity).shards(2));
    let (stop, hits) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (warm, stop, hits) = (&warm, &stop, &hits);
            scope.spawn(move || {
                let chance = &mut Chance(thread);
                let mut out = Vec::new();
                for at in 0..15_000_u64 {
                    let key = chance.below(8000);
                    let name = key.to_le_bytes();
                    out.clear();
                    match chance.below(10) {
                        0..4 => {
                            let version = at * 4 + thread;
                            let attributes = Attributes { version, ..Attributes::default() };
                            let _ = warm.insert_if_newer(&name, &value(key, version), attributes, at);
                        }
                        4 => {
                            warm.remove(&name, at);
                        }
                        _ => {
                            if let Some(found) = warm.get(&name, at, &mut out) {
                                assert_eq!(out, value(key, found.version));
                                hits.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    }
                }
                stop.store(true, Ordering::Relaxed);
            });
        }
        let mut turn = 0;
        while !stop.load(Ordering::Relaxed) {
            turn += 1;
            let _ = warm.set_capacity(if turn % 2 == 0 { capacity } else { capacity * 2 }, 0);
            // What is allowed now may be less than what a writer was allowed a moment ago, never more than both.
            assert!(warm.weight() <= capacity * 2);
            let _ = warm.train(0);
            let _ = warm.advance(0);
        }
    });
    let _ = warm.set_capacity(capacity, 0);
    assert!(warm.weight() <= capacity);
    assert!(hits.into_inner() > 5000);
    assert_eq!(warm.stats().damaged, 0);
}
