//! Listing in the order of hashes, and versions that are given without a write.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use terrace_disk::io::OsIo;
use terrace_disk::{
    Condition, Config, Delete, Disk, Durability, Entry, Mode, Put, Reads, Unordered, Written,
};

const NOW: u64 = 1_700_000_000_000;

fn open(folder: &Path, config: Config) -> Disk {
    Disk::open(Arc::new(OsIo::new(folder).unwrap()), config, NOW).unwrap().0
}

fn small() -> Config {
    Config { durability: Durability::Never, segment_bytes: Some(64 << 10), ..Config::store() }
}

fn all(_: &[u8]) -> bool {
    true
}

/// Everything there is, in pages of so many, with how often each key came.
fn list(disk: &Disk, limit: usize, wanted: &dyn Fn(&[u8]) -> bool, keys_only: bool) -> Vec<(Bytes, Entry)> {
    let (mut after, mut found) = (None::<Bytes>, Vec::new());
    loop {
        let what = Unordered { wanted, after: after.as_deref(), keys_only, limit, steps: 3 * limit };
        let page = disk.list_unordered(&what, NOW).unwrap();
        assert!(page.entries.len() <= limit.max(1));
        found.extend(page.entries);
        let Some(next) = page.next else { return found };
        assert_ne!(Some(&next), after.as_ref(), "the listing gets no further");
        after = Some(next);
    }
}

#[test]
fn pages_of_any_size_have_every_live_entry_once() {
    for reads in [Reads::Positioned, Reads::Mapped] {
        let folder = tempfile::tempdir().unwrap();
        let disk = open(folder.path(), Config { reads, ..small() });
        let mut model = BTreeMap::new();
        for n in 0..3000_u64 {
            let key = format!("{}/{}", n % 3, n % 1500).into_bytes();
            let value = vec![n as u8; if n % 500 == 0 { 100_000 } else { (n % 300) as usize }];
            let expires_ms = (n % 11 == 0).then_some(if n % 2 == 0 { NOW } else { NOW + 1 });
            let put = Put { value: &value, expires_ms, meta: b"meta", ..Put::default() };
            disk.put(&key, &put, NOW - 1).unwrap();
            match expires_ms {
                Some(NOW) => model.remove(&key),
                _ => model.insert(key.clone(), value),
            };
            if n % 7 == 0 {
                disk.delete(&key, &Delete { floor_deadline_ms: NOW + 1000, ..Delete::default() }, NOW)
                    .unwrap();
                model.remove(&key);
            }
        }
        for limit in [0, 1, 2, 7, 100, 10_000] {
            let mut listed = list(&disk, limit, &all, false);
            listed.sort_by(|(a, _), (b, _)| a.cmp(b));
            let expected: Vec<_> = model.iter().map(|(key, value)| (&key[..], &value[..])).collect();
            let found: Vec<_> = listed.iter().map(|(key, entry)| (&key[..], &entry.value[..])).collect();
            assert_eq!(found, expected, "{limit}");
            assert!(listed.iter().all(|(_, entry)| &entry.meta[..] == b"meta"));
        }
        let some = |key: &[u8]| key.starts_with(b"2/");
        let mut keys: Vec<_> = list(&disk, 50, &some, true).into_iter().map(|(key, _)| key).collect();
        keys.sort();
        let expected: Vec<_> = model.keys().filter(|key| some(key)).collect();
        assert!(keys.iter().eq(expected));
        let bad = Unordered { wanted: &all, after: Some(b"bad"), keys_only: true, limit: 1, steps: 1 };
        assert!(disk.list_unordered(&bad, NOW).is_err());
    }
}

#[test]
fn what_stays_is_listed_once_while_others_write_and_records_move() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path(), small());
    let put = |key: String, n: u64| {
        let value = n.to_be_bytes().repeat(20);
        let _ = disk.put(key.as_bytes(), &Put { value: &value, ..Put::default() }, NOW).unwrap();
    };
    const STAY: u64 = 500;
    (0..STAY).for_each(|n| put(format!("stays {n}"), n));
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0.. {
                (0..200).for_each(|n| put(format!("new {}", round * 10 + n), n));
                let gone = Delete { floor_deadline_ms: NOW, ..Delete::default() };
                (0..100).for_each(|n| {
                    drop(disk.delete(format!("new {}", round * 10 + n).as_bytes(), &gone, NOW));
                });
                if ended.load(Ordering::SeqCst) {
                    return;
                }
            }
        });
        scope.spawn(|| {
            while !ended.load(Ordering::SeqCst) {
                disk.compact_step(64 << 10, NOW).unwrap();
                disk.sync().unwrap();
            }
        });
        for limit in [1, 3, 20, 64, 200].repeat(4) {
            let mut counts = BTreeMap::<Bytes, u64>::new();
            for (key, _) in list(&disk, limit, &|key| key.starts_with(b"stays"), limit % 2 == 0) {
                *counts.entry(key).or_default() += 1;
            }
            assert!(counts.len() == STAY as usize && counts.values().all(|count| *count == 1), "{limit}");
        }
        ended.store(true, Ordering::SeqCst);
    });
    assert_eq!(disk.stats().damaged, 0);
}

/// The folder as a kill would leave it.
fn killed(folder: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.path().join(file.file_name())).unwrap();
    }
    to
}

#[test]
fn no_version_that_was_reserved_is_given_again_whatever_ended_the_process() {
    let mut folder = tempfile::tempdir().unwrap();
    let mut highest = 0;
    for life in 0..12 {
        let disk = open(folder.path(), small());
        // More than a segment has positions, and more in some lives than were ever written.
        for n in 0..if life % 3 == 0 { 100_000 } else { 3 } {
            let version = disk.reserve(NOW).unwrap();
            assert!(version > highest, "life {life}: {version} after {highest}");
            highest = version;
            if life % 4 == 2 || (life % 4 == 1 && n == 1) {
                let written = disk.put(b"k", &Put { value: b"v", ..Put::default() }, NOW).unwrap();
                let Written::Stored { version, .. } = written else { panic!("{written:?}") };
                assert!(version > highest, "life {life}: {version} after {highest}");
                highest = version;
            }
        }
        if life % 2 == 0 {
            disk.checkpoint().unwrap();
        }
        if life % 5 == 4 {
            disk.close().unwrap();
        } else {
            folder = killed(folder.path());
        }
    }
}

#[test]
fn reserved_versions_outlive_the_segment_that_announced_them() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path(), small());
    let reserved = disk.reserve(NOW).unwrap();
    // A version from outside that is far above takes nothing back.
    let put = Put { value: &[7; 1000], condition: Condition::Newer(reserved + 10), ..Put::default() };
    let _ = disk.put(b"newer", &put, NOW).unwrap();
    for n in 0..2000_u64 {
        let _ = disk.put(b"k", &Put { value: &n.to_be_bytes().repeat(100), ..Put::default() }, NOW).unwrap();
    }
    while disk.compaction_due() && disk.compact_step(1 << 20, NOW).unwrap().more {}
    disk.sync().unwrap();
    assert!(!folder.path().join("00000001.seg").exists(), "the first segment was compacted");
    let mut last = 0;
    for _ in 0..200_000 {
        last = disk.reserve(NOW).unwrap();
    }
    let copy = killed(folder.path());
    let again = open(copy.path(), small());
    assert!(again.reserve(NOW).unwrap() > last);
    let cache = Config { mode: Mode::Cache { budget: 1 << 20 }, ..small() };
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path(), cache.clone());
    let first = disk.reserve(NOW).unwrap();
    let copy = killed(folder.path());
    let again = open(copy.path(), cache);
    assert!(again.reserve(NOW).unwrap() > first);
}
