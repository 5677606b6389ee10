//! Values, limits, compression, caching: one log at a time, nothing goes wrong.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use terrace_disk::io::OsIo;
use terrace_disk::io::sim::{Op, SimDisk};
use terrace_disk::{
    Admission, Compress, Compression, Condition, Config, Delete, Disk, Durability, Error, KEY_LIMIT, Put,
    Range, Trained, VALUE_LIMIT, Written,
};

const NOW: u64 = 1_700_000_000_000;

fn open(folder: &tempfile::TempDir, config: Config) -> Disk {
    let config = Config { durability: Durability::Never, ..config };
    Disk::open(Arc::new(OsIo::new(folder.path()).unwrap()), config, NOW).unwrap().0
}

fn put(disk: &Disk, key: &[u8], value: &[u8]) -> Written {
    disk.put(key, &Put { value, ..Put::default() }, NOW).unwrap()
}

fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

#[test]
fn lengths_from_nothing_to_the_limit_come_back_and_more_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(&folder, Config { segment_bytes: Some(256 << 10), ..Config::store() });
    let long_key = vec![7; KEY_LIMIT];
    let cases: [(&[u8], usize); 6] =
        [(b"", 0), (b"k", 0), (b"", 5), (&long_key, 100), (b"megabytes", 9 << 20), (b"units", 8191 * 64)];
    for (n, (key, len)) in cases.iter().enumerate() {
        let value = noise(*len, n as u64);
        put(&disk, key, &value);
        assert_eq!(disk.get(key, NOW).unwrap().unwrap().value, value);
    }
    disk.close().unwrap();
    let disk = open(&folder, Config::store());
    assert_eq!(disk.get(b"megabytes", NOW).unwrap().unwrap().value, noise(9 << 20, 4));
    let too_long = vec![0; VALUE_LIMIT + 1];
    let refused = disk.put(b"k", &Put { value: &too_long, ..Put::default() }, NOW);
    assert!(matches!(refused, Err(Error::TooLarge { what: "value", .. })));
    let too_long = vec![0; KEY_LIMIT + 1];
    assert!(matches!(disk.put(&too_long, &Put::default(), NOW), Err(Error::TooLarge { what: "key", .. })));
    assert_eq!(disk.get(&too_long, NOW).unwrap(), None);
}

#[test]
fn values_are_compressed_by_what_suits_them_and_dictionaries_survive() {
    let folder = tempfile::tempdir().unwrap();
    let order = |n: u64| {
        format!(
            "{{\"order\":{n},\"customer\":\"c{}\",\"status\":\"pending\",\"note\":\"leave at the door\"}}",
            n * 7
        )
        .into_bytes()
    };
    let disk = open(&folder, Config { compression: Compression::Adaptive, ..Config::store() });
    for n in 0..20_000_u64 {
        put(&disk, &n.to_be_bytes(), &order(n));
    }
    let trained = disk.train().unwrap();
    assert!(matches!(trained, Trained::Adopted { before, after } if after * 3 < before * 2), "{trained:?}");
    let before = disk.stats();
    for n in 20_000..40_000_u64 {
        put(&disk, &n.to_be_bytes(), &order(n));
    }
    let after = disk.stats();
    let logical = after.bytes - before.bytes;
    assert!((after.stored_bytes - before.stored_bytes) * 100 < logical * 60, "{before:?} {after:?}");
    let put = Put { value: &order(1), compress: Compress::Never, ..Put::default() };
    disk.put(b"plain", &put, NOW).unwrap();
    disk.close().unwrap();
    let disk = open(&folder, Config { compression: Compression::None, ..Config::store() });
    for n in (0..40_000_u64).step_by(97) {
        assert_eq!(disk.get(&n.to_be_bytes(), NOW).unwrap().unwrap().value, order(n));
    }
    let keys: Vec<[u8; 8]> = (0..300_u64).map(|n| (n * 200).to_be_bytes()).collect();
    let keys: Vec<&[u8]> = keys.iter().map(<[u8; 8]>::as_slice).collect();
    let found = disk.get_many(&keys, NOW).unwrap();
    assert!(found.iter().enumerate().all(|(n, entry)| {
        let wanted = (n < 200).then(|| order(n as u64 * 200));
        entry.as_ref().map(|entry| entry.value.to_vec()) == wanted
    }));
}

/// The files of a disk, together.
fn bytes_of(disk: &SimDisk) -> u64 {
    disk.files().values().map(|bytes| bytes.len() as u64).sum()
}

#[test]
fn a_cache_is_never_larger_than_its_budget_not_even_while_it_writes_an_index_snapshot() {
    let (budget, sim) = (1 << 20, SimDisk::new(1));
    let clock = Arc::new(AtomicU64::new(0));
    sim.watch(&[Op::Create, Op::Allocate, Op::Sync, Op::Rename], &clock);
    let (disk, _) = Disk::open(Arc::new(sim.clone()), Config::cache(budget), NOW).unwrap();
    let (mut most, mut snapshots) = (0, 0);
    for n in 0..60_000_u64 {
        // Entries of which the index takes about as much as the log.
        put(&disk, &n.to_be_bytes(), b"small");
        if n % 500 == 0 {
            snapshots += u64::from(disk.checkpoint().is_ok());
        }
        if n == 30_000 {
            let text: Vec<Vec<u8>> =
                (0..4000_u32).map(|n| format!("text {n} more text {n}").repeat(9).into()).collect();
            for (n, value) in text.iter().enumerate() {
                put(&disk, &n.to_le_bytes(), value);
            }
            disk.train().unwrap();
        }
        for moment in sim.take_moments() {
            most = most.max(bytes_of(&moment.kill()));
        }
    }
    assert!(snapshots > 100 && disk.stats().evicted > 10_000, "{snapshots}, {:?}", disk.stats());
    assert!(disk.stats().file_bytes <= budget);
    disk.close().unwrap();
    sim.take_moments().iter().for_each(|moment| most = most.max(bytes_of(&moment.kill())));
    assert!(most <= budget, "{most} bytes of {budget}");
    assert!(most > budget / 2, "the budget is used: {most}");
}

#[test]
fn a_cache_stays_in_its_budget_writes_little_twice_and_keeps_what_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let budget = 4 << 20;
    let disk = open(&folder, Config { compression: Compression::None, ..Config::cache(budget) });
    let value = noise(1000, 1);
    for n in 0..40_000_u64 {
        put(&disk, &n.to_be_bytes(), &value);
        for hot in 0..100_u64.min(n) {
            if n % 50 == 0 {
                let _ = disk.get(&hot.to_be_bytes(), NOW).unwrap();
            }
        }
        assert!(disk.stats().file_bytes <= budget);
    }
    let stats = disk.stats();
    assert!(stats.evicted > 30_000 && stats.entries > 2500, "{stats:?}");
    let hot = (0..100_u64).filter(|n| disk.get(&n.to_be_bytes(), NOW).unwrap().is_some()).count();
    assert!(hot >= 95, "{hot} of 100 that were read all the time are left");
    let amplification = stats.appended_bytes as f64 / (40_000.0 * 1019.0);
    assert!(amplification < 1.1, "{amplification}");
}

#[test]
fn a_cache_admits_what_is_offered_again_and_never_keeps_an_old_value() {
    let folder = tempfile::tempdir().unwrap();
    let admission = Admission { offers: 2, longest_value: Some(5000), ..Admission::default() };
    let disk = open(&folder, Config { admission, ..Config::cache(4 << 20) });
    assert_eq!(put(&disk, b"k", b"1"), Written::NotAdmitted);
    assert!(disk.get(b"k", NOW).unwrap().is_none());
    assert!(matches!(put(&disk, b"k", b"2"), Written::Stored { replaced: false, .. }));
    assert_eq!(put(&disk, b"long", &noise(6000, 1)), Written::NotAdmitted);
    // A key that is there gets its new value whatever it is.
    assert!(matches!(put(&disk, b"k", &noise(6000, 1)), Written::Stored { replaced: true, .. }));
    assert_eq!(disk.get(b"k", NOW).unwrap().unwrap().value.len(), 6000);
    assert_eq!(disk.stats().not_admitted, 1);
}

#[test]
fn a_store_at_its_capacity_refuses_puts_and_takes_deletes() {
    let folder = tempfile::tempdir().unwrap();
    let mode = terrace_disk::Mode::Store { capacity: Some(100_000) };
    let disk = open(&folder, Config { mode, compression: Compression::None, ..Config::store() });
    let value = noise(1000, 1);
    let mut stored = 0_u64;
    let refused = loop {
        match disk.put(&stored.to_be_bytes(), &Put { value: &value, ..Put::default() }, NOW) {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, Error::Full(_)) && (90..100).contains(&stored), "{refused} after {stored}");
    disk.delete(&0_u64.to_be_bytes(), &terrace_disk::Delete::default(), NOW).unwrap();
    disk.delete(&1_u64.to_be_bytes(), &terrace_disk::Delete::default(), NOW).unwrap();
    put(&disk, b"again", &value);
}

#[test]
fn compaction_wins_back_the_room_of_what_was_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(
        &folder,
        Config { segment_bytes: Some(128 << 10), compression: Compression::None, ..Config::store() },
    );
    let value = noise(1000, 1);
    for round in 0..20_u64 {
        for n in 0..500_u64 {
            put(&disk, &n.to_be_bytes(), &value);
        }
        while disk.compact_step(64 << 10, NOW).unwrap().more {}
        assert!(round == 0 || disk.stats().file_bytes < 2 << 20, "{:?}", disk.stats());
    }
    assert!((0..500_u64).all(|n| disk.get(&n.to_be_bytes(), NOW).unwrap().is_some()));
}

#[test]
fn a_cache_refuses_what_is_older_than_what_it_evicted_lately() {
    for given in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let mut disk = open(&folder, Config::cache(4 << 20));
        let value = noise(10_000, 1);
        let mut versions = Vec::new();
        let condition = |n: u64| if given { Condition::Newer(1_000_000 - n) } else { Condition::Any };
        for n in 0..2000_u64 {
            let put = Put { value: &value, condition: condition(n), ..Put::default() };
            let written = disk.put(&n.to_be_bytes(), &put, NOW).unwrap();
            let Written::Stored { version, .. } = written else { panic!("{written:?}") };
            versions.push(version);
            if n == 700 {
                // What was written before the log was opened is remembered, too.
                disk.close().unwrap();
                drop(disk);
                disk = open(&folder, Config::cache(4 << 20));
            }
        }
        let newer = |n: usize, version: u64| {
            let put = Put { value: b"v", condition: Condition::Newer(version), ..Put::default() };
            disk.put(&(n as u64).to_be_bytes(), &put, NOW).unwrap()
        };
        let gone = |n: &usize| disk.get(&(*n as u64).to_be_bytes(), NOW).unwrap().is_none();
        let evicted: Vec<usize> = (0..2000).filter(gone).collect();
        let latest = &evicted[evicted.len() - 100..];
        let refused = |n: &&usize| newer(**n, versions[**n]) == Written::Conflict { current: None };
        let count = latest.iter().filter(refused).count();
        // Of a table of 256 places, others have taken some.
        assert!(count >= 50, "{count} of the last 100 evicted are known");
        let last = latest[99];
        assert!(
            matches!(newer(last, versions[last] + 1), Written::Stored { .. }),
            "newer than what there was"
        );
        assert!(matches!(newer(5000, 1), Written::Stored { .. }), "never there");
    }
}

#[test]
fn lz4_learns_dictionaries_and_reads_what_was_written_with_them_and_without() {
    let folder = tempfile::tempdir().unwrap();
    let config = || Config { compression: Compression::Lz4, ..Config::store() };
    let order = |n: u64| {
        format!("order {n} of customer c{} is pending; leave it at the door of number {}", n * 7, n % 90)
            .into_bytes()
    };
    let disk = open(&folder, config());
    let mut trained = Vec::new();
    for n in 0..60_000_u64 {
        put(&disk, &n.to_be_bytes(), &order(n));
        if n % 1000 == 0 && disk.wants_training() {
            trained.push(disk.train().unwrap());
        }
    }
    assert!(
        matches!(trained.first(), Some(Trained::Adopted { before, after }) if after * 2 < *before),
        "{trained:?}"
    );
    let stats = disk.stats();
    assert!(stats.stored_bytes * 100 < stats.bytes * 75, "{stats:?}");
    disk.close().unwrap();
    let disk = open(&folder, config());
    for n in 0..60_000_u64 {
        assert_eq!(disk.get(&n.to_be_bytes(), NOW).unwrap().unwrap().value, order(n));
    }
}

/// All keys, by pages.
fn list(disk: &Disk) -> Vec<Vec<u8>> {
    let (mut keys, mut from) = (Vec::new(), None::<bytes::Bytes>);
    loop {
        let range =
            Range { from: from.as_deref().unwrap_or_default(), after: from.is_some(), ..Range::default() };
        let page = disk.list(&range, 1000, NOW).unwrap();
        keys.extend(page.entries.iter().map(|(key, _)| key.to_vec()));
        let Some(next) = page.next else { return keys };
        from = Some(next);
    }
}

#[test]
fn the_order_of_a_sealed_segment_is_kept_beside_it_and_goes_with_it() {
    let sim = SimDisk::new(1);
    let config = Config { segment_bytes: Some(256 << 10), garbage_percent: 10, ..Config::store() };
    let open = || Disk::open(Arc::new(sim.clone()), config.clone(), NOW).unwrap().0;
    let orders = || sim.files().into_keys().filter(|name| name.ends_with(".order")).collect::<Vec<_>>();
    let disk = open();
    let mut expected = Vec::new();
    for n in 0..20_000_u64 {
        let key = (n * 7919 % 20_000).to_be_bytes();
        let wanted = Put { value: &noise(20, n), deferred: true, ..Put::default() };
        disk.put(&key, &wanted, NOW).unwrap();
        expected.push(key.to_vec());
    }
    expected.sort();
    disk.commit().unwrap();
    assert_eq!(orders(), [""; 0], "a log that is not listed has none");
    assert_eq!(list(&disk), expected);
    let kept = orders();
    assert!(kept.len() >= 2, "{kept:?}");
    disk.close().unwrap();
    drop(disk);

    let disk = open();
    let before = sim.count(&[Op::Read]);
    assert_eq!(disk.list(&Range { keys_only: true, ..Range::default() }, 1, NOW).unwrap().entries.len(), 1);
    let reads = sim.count(&[Op::Read]) - before;
    assert!(reads < 120, "{reads} reads for the first entry");
    assert_eq!(list(&disk), expected);
    disk.close().unwrap();
    drop(disk);

    // One that is damaged, and one of a segment that is not there: both are as good as none.
    sim.damage(&kept[0], 100, |byte| byte ^ 1);
    sim.put_file("00009999.order", b"of nothing");
    let disk = open();
    assert!(!sim.files().contains_key("00009999.order"));
    assert_eq!(list(&disk), expected);
    for key in &expected[..15_000] {
        disk.delete(key, &Delete { deferred: true, ..Delete::default() }, NOW).unwrap();
    }
    while disk.compact_step(1 << 20, NOW).unwrap().more {}
    disk.sync().unwrap();
    assert_eq!(list(&disk), expected[15_000..]);
    let files = sim.files();
    let left = orders();
    assert!(kept.iter().any(|name| !left.contains(name)), "{left:?}");
    assert!(left.iter().all(|name| files.contains_key(&name.replace("order", "seg"))), "{left:?}");
}
