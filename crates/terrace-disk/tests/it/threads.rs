//! Readers, writers and background work at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use terrace_disk::io::OsIo;
use terrace_disk::{Config, Delete, Disk, Durability, Put, Range};

const KEYS: u64 = 400;
const ROUNDS: u64 = 20;

/// A value that says whose it is and how often it was written; zero stands for a delete.
fn value(key: u64, round: u64) -> Vec<u8> {
    [key.to_be_bytes(), round.to_be_bytes()].concat().repeat(1 + (key % 40) as usize)
}

fn round_of(key: u64, bytes: &[u8]) -> u64 {
    let round = u64::from_be_bytes(bytes[8..16].try_into().unwrap());
    assert_eq!(bytes, value(key, round), "a value is whole and its key's");
    round
}

fn run(config: Config, keeps: bool) {
    let folder = tempfile::tempdir().unwrap();
    let io = Arc::new(OsIo::new(folder.path()).unwrap());
    let (disk, _) = Disk::open(io, config, 0).unwrap();
    let written: Vec<AtomicU64> = (0..KEYS).map(|_| AtomicU64::new(0)).collect();
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..2_u64)
            .map(|half| {
                let (disk, written) = (&disk, &written);
                scope.spawn(move || {
                    for round in 1..=ROUNDS {
                        for key in (half..KEYS).step_by(2) {
                            let deferred = key % 3 == 0;
                            let put = Put { value: &value(key, round), deferred, ..Put::default() };
                            disk.put(&key.to_be_bytes(), &put, 0).unwrap();
                            if (key + round) % 10 == 0 {
                                let delete = Delete { floor_deadline_ms: 1, deferred, ..Delete::default() };
                                disk.delete(&key.to_be_bytes(), &delete, 0).unwrap();
                            }
                            written[key as usize].store(round, Ordering::SeqCst);
                        }
                        disk.commit().unwrap();
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !ended.load(Ordering::SeqCst) {
                disk.compact_step(32 << 10, 0).unwrap();
                disk.evict_step(0).unwrap();
                disk.sweep(100, 2).unwrap();
                disk.checkpoint().unwrap();
                if disk.sync_due() {
                    disk.sync().unwrap();
                }
            }
        });
        scope.spawn(|| {
            while !ended.load(Ordering::SeqCst) {
                let snapshot = disk.snapshot().unwrap();
                let first = snapshot.get(&7_u64.to_be_bytes(), 0).unwrap();
                let page = disk.list(&Range::default(), 100, 0).unwrap();
                assert!(page.entries.is_sorted_by(|a, b| a.0 < b.0));
                assert!(first == snapshot.get(&7_u64.to_be_bytes(), 0).unwrap() || !keeps);
                drop(snapshot);
                std::thread::sleep(Duration::from_millis(3));
            }
        });
        scope.spawn(|| {
            let mut key = 0;
            while !ended.load(Ordering::SeqCst) {
                key = (key + 37) % KEYS;
                let before = written[key as usize].load(Ordering::SeqCst);
                let found = disk.get(&key.to_be_bytes(), 0).unwrap();
                if let Some(entry) = found {
                    assert!(round_of(key, &entry.value) >= before);
                }
            }
        });
        let outcomes: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        ended.store(true, Ordering::SeqCst);
        assert!(outcomes.iter().all(Result::is_ok));
    });
    for key in 0..KEYS {
        let found = disk.get(&key.to_be_bytes(), 0).unwrap();
        let deleted = (key + ROUNDS).is_multiple_of(10);
        assert!(!(deleted && found.is_some()));
        assert!(!keeps || found.is_some() != deleted, "{key}");
        assert!(found.is_none_or(|entry| round_of(key, &entry.value) == ROUNDS));
    }
}

#[test]
fn readers_writers_and_compaction_get_along() {
    let config = Config { segment_bytes: Some(64 << 10), durability: Durability::Never, ..Config::store() };
    run(config, true);
}

#[test]
fn readers_writers_and_group_commit_get_along() {
    let durability = Durability::Group(Duration::from_millis(1));
    run(Config { segment_bytes: Some(1 << 20), durability, ..Config::store() }, true);
}

#[test]
fn readers_writers_and_eviction_get_along() {
    run(Config { durability: Durability::Never, ..Config::cache(1 << 20) }, false);
}
