//! The simulated disk keeps the promises of a real one, and breaks all others.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::{EIO, ENOSPC, Failure, Op, SimDisk};
use crate::io::{File, Io};

fn file(disk: &SimDisk, name: &str) -> Arc<dyn File> {
    disk.create(name).expect("a new file")
}

/// A file that is there for good, of `len` zeros.
fn durable(disk: &SimDisk, name: &str, len: u64) -> Arc<dyn File> {
    let file = file(disk, name);
    file.allocate(len).unwrap();
    file.sync().unwrap();
    disk.sync_dir().unwrap();
    file
}

fn contents(disk: &SimDisk, name: &str) -> Option<Vec<u8>> {
    disk.files().remove(name)
}

#[test]
fn what_was_synced_survives_every_cut() {
    let disk = SimDisk::new(1);
    let log = durable(&disk, "log", 8192);
    log.write_all_at(&[7; 5000], 100).unwrap();
    log.sync().unwrap();
    for seed in 0..200 {
        let after = contents(&disk.crash(seed), "log").expect("its name was synced");
        assert_eq!(after.len(), 8192);
        assert!(after[100..5100].iter().all(|byte| *byte == 7), "seed {seed}");
    }
}

#[test]
fn every_subset_of_three_unsynced_sectors_is_found_after_some_cut() {
    let disk = SimDisk::new(1);
    let log = durable(&disk, "log", 4096);
    log.write_all_at(&[9; 3 * 512], 512).unwrap();
    let mut found = BTreeSet::new();
    for seed in 0..400 {
        let after = contents(&disk.crash(seed), "log").unwrap();
        let sectors: Vec<&[u8]> = after[512..4 * 512].chunks(512).collect();
        assert!(sectors.iter().all(|sector| sector.iter().all(|byte| *byte == sector[0])), "torn inside");
        found.insert(sectors.iter().map(|sector| sector[0] == 9).collect::<Vec<bool>>());
    }
    assert_eq!(found.len(), 8, "{found:?}");
}

#[test]
fn a_sector_may_be_found_as_it_was_between_two_writes() {
    let disk = SimDisk::new(1);
    let log = durable(&disk, "log", 512);
    for value in 1..=3 {
        log.write_all_at(&[value], 0).unwrap();
    }
    let found: BTreeSet<u8> = (0..200).map(|seed| contents(&disk.crash(seed), "log").unwrap()[0]).collect();
    assert_eq!(found, BTreeSet::from([0, 1, 2, 3]));
}

#[test]
fn pages_tear_as_a_whole_in_some_cuts() {
    let disk = SimDisk::new(1);
    let log = durable(&disk, "log", 64 * 4096);
    log.write_all_at(&vec![5; 64 * 4096], 0).unwrap();
    let whole = |seed| {
        let after = contents(&disk.crash(seed), "log").unwrap();
        let mixed = after.contains(&0) && after.contains(&5);
        mixed && after.chunks(4096).all(|page| page.iter().all(|byte| *byte == page[0]))
    };
    assert!((0..100).any(whole));
}

#[test]
fn the_same_seed_leaves_the_same_bytes() {
    let run = |seed| {
        let disk = SimDisk::new(4);
        let log = durable(&disk, "log", 100_000);
        for step in 0..50_u8 {
            log.write_all_at(&[step; 3000], u64::from(step) * 1500).unwrap();
        }
        disk.rename("log", "other").unwrap();
        disk.crash(seed).files()
    };
    for seed in 0..20 {
        assert_eq!(run(seed), run(seed));
    }
}

#[test]
fn names_are_lost_until_the_folder_is_synced() {
    let disk = SimDisk::new(1);
    let log = file(&disk, "log");
    log.write_all_at(&[1; 10], 0).unwrap();
    log.sync().unwrap();
    let found: BTreeSet<bool> = (0..100).map(|seed| disk.crash(seed).files().contains_key("log")).collect();
    assert_eq!(found, BTreeSet::from([false, true]));
    disk.sync_dir().unwrap();
    assert!((0..100).all(|seed| contents(&disk.crash(seed), "log") == Some(vec![1; 10])));
}

#[test]
fn a_rename_is_whole_or_not_at_all_and_never_without_its_file() {
    let disk = SimDisk::new(1);
    durable(&disk, "snapshot", 1);
    let fresh = file(&disk, "temporary");
    fresh.write_all_at(&[2; 2], 0).unwrap();
    fresh.sync().unwrap();
    disk.rename("temporary", "snapshot").unwrap();
    let mut found = BTreeSet::new();
    for seed in 0..300 {
        let after = disk.crash(seed).files();
        let snapshot = after.get("snapshot").expect("one of the two is always there");
        match (snapshot.len(), after.contains_key("temporary")) {
            (1, there) => found.insert(there.to_string()),
            (2, false) => found.insert("renamed".into()),
            other => panic!("seed {seed}: {other:?}"),
        };
    }
    assert_eq!(found.len(), 3, "{found:?}");
}

#[test]
fn a_removed_file_may_come_back_until_the_folder_is_synced() {
    let disk = SimDisk::new(1);
    durable(&disk, "old", 4);
    disk.remove("old").unwrap();
    let back = |disk: &SimDisk| (0..100).filter(|seed| disk.crash(*seed).files().contains_key("old")).count();
    assert!((1..100).contains(&back(&disk)));
    disk.sync_dir().unwrap();
    assert_eq!(back(&disk), 0);
}

#[test]
fn unsynced_lengths_are_forgotten_in_some_cuts() {
    let disk = SimDisk::new(1);
    let log = durable(&disk, "log", 1000);
    log.truncate(300).unwrap();
    log.write_all_at(&[3; 100], 300).unwrap();
    let found: BTreeSet<usize> =
        (0..200).map(|seed| contents(&disk.crash(seed), "log").unwrap().len()).collect();
    assert_eq!(found, BTreeSet::from([300, 400, 1000]));
}

#[test]
fn what_a_cut_took_away_does_not_come_back_when_the_file_grows() {
    let disk = SimDisk::new(1);
    let log = durable(&disk, "log", 2048);
    log.write_all_at(&[8; 2048], 0).unwrap();
    log.sync().unwrap();
    log.truncate(700).unwrap();
    log.truncate(2048).unwrap();
    log.sync().unwrap();
    for seed in 0..20 {
        let after = contents(&disk.crash(seed), "log").unwrap();
        assert!(after[..700].iter().all(|byte| *byte == 8) && after[700..].iter().all(|byte| *byte == 0));
    }
}

#[test]
fn the_death_of_the_process_loses_nothing_and_frees_the_lock() {
    let disk = SimDisk::new(1);
    let _lock = disk.lock().unwrap();
    assert!(disk.lock().is_err());
    file(&disk, "log").write_all_at(b"here", 0).unwrap();
    let after = disk.kill();
    assert_eq!(contents(&after, "log").as_deref(), Some(&b"here"[..]));
    assert!(after.lock().is_ok());
    let power = (0..50).filter(|seed| contents(&after.crash(*seed), "log").is_none()).count();
    assert!(power > 0, "what the dead process wrote is still not on the platter");
}

#[test]
fn a_failed_sync_loses_data_that_reads_still_show_and_later_syncs_do_not_save() {
    let lost = (0..50).filter(|seed| {
        let disk = SimDisk::new(*seed);
        let log = durable(&disk, "log", 4096);
        disk.fail(&[Op::Sync], 0, Failure::Error(EIO), false);
        log.write_all_at(&[6; 4096], 0).unwrap();
        assert_eq!(log.sync().unwrap_err().raw_os_error(), Some(EIO));
        log.sync().expect("the next one succeeds");
        let mut read = [0; 4096];
        assert_eq!(log.read_at(&mut read, 0).unwrap(), 4096);
        assert_eq!(read, [6; 4096]);
        let after = contents(&disk.crash(0), "log").unwrap();
        assert_eq!(after, contents(&disk.crash(1), "log").unwrap(), "nothing is left to chance");
        after != [6; 4096]
    });
    assert!(lost.count() > 30);
}

#[test]
fn the_chosen_operation_fails_and_no_other() {
    let disk = SimDisk::new(1);
    let log = durable(&disk, "log", 4096);
    disk.fail(&[Op::Write], 2, Failure::Error(EIO), false);
    let failed: Vec<bool> = (0..5).map(|at| log.write_all_at(&[1], at).is_err()).collect();
    assert_eq!(failed, [false, false, true, false, false]);
    disk.fail(&[Op::Read], 1, Failure::Error(EIO), true);
    let failed: Vec<bool> = (0..4).map(|at| log.read_at(&mut [0], at).is_err()).collect();
    assert_eq!(failed, [false, true, true, true]);
    disk.heal();
    assert!(log.read_at(&mut [0], 0).is_ok());
    assert_eq!((disk.count(&[Op::Write]), disk.struck()), (5, 4));
}

#[test]
fn a_failing_write_leaves_any_part_of_itself() {
    let parts: BTreeSet<usize> = (0..300)
        .map(|seed| {
            let disk = SimDisk::new(seed);
            let log = durable(&disk, "log", 10);
            disk.fail(&[Op::Write], 0, Failure::Error(EIO), false);
            assert!(log.write_all_at(&[1; 10], 0).is_err());
            contents(&disk, "log").unwrap().iter().take_while(|byte| **byte == 1).count()
        })
        .collect();
    assert_eq!(parts, (0..10).collect());
}

#[test]
fn a_misdirected_sector_is_missing_where_it_belongs_and_found_where_it_does_not() {
    let mut astray = 0;
    for seed in 0..50 {
        let disk = SimDisk::new(seed);
        let log = durable(&disk, "log", 64 * 512);
        log.write_all_at(&[4; 512], 0).unwrap();
        disk.fail(&[Op::Sync], 0, Failure::Misdirected, false);
        log.sync().expect("the drive says that all is well");
        let after = contents(&disk.crash(0), "log").unwrap();
        assert_eq!(after.iter().filter(|byte| **byte == 4).count(), 512);
        astray += usize::from(after[0] == 0);
    }
    assert!(astray > 40);
}

#[test]
fn space_runs_out_and_comes_back() {
    let disk = SimDisk::new(1);
    disk.set_budget(Some(5 * 4096));
    let log = durable(&disk, "log", 4 * 4096);
    log.write_all_at(&[1; 4 * 4096], 0).expect("what was allocated is there");
    assert_eq!(disk.used(), 4 * 4096);
    let other = file(&disk, "other");
    assert_eq!(other.allocate(2 * 4096).unwrap_err().raw_os_error(), Some(ENOSPC));
    assert_eq!(other.write_all_at(&[1; 5000], 0).unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    disk.remove("other").unwrap();
    let full = disk.used();
    drop(other);
    assert!(disk.used() <= full, "a removed file keeps its space until it is closed");
    log.truncate(4096).unwrap();
    assert_eq!(disk.used(), 4096);
    file(&disk, "third").allocate(4 * 4096).expect("there is space again");
}

#[test]
fn bits_flip_and_sectors_go_bad() {
    let disk = SimDisk::with_files([("log", &[0_u8; 2000][..])]);
    disk.damage("log", 1500, |byte| byte ^ 0x10);
    assert_eq!(contents(&disk.crash(3), "log").unwrap()[1500], 0x10);
    let log = disk.open("log", false).unwrap();
    disk.spoil("log", 600);
    assert!(log.read_at(&mut [0; 10], 1020).is_err());
    assert_eq!(log.read_at(&mut [0; 512], 0).unwrap(), 512);
    assert!(log.write_all_at(&[1], 0).is_err(), "it was opened for reading");
}

#[test]
fn moments_are_the_disk_before_and_after_an_operation() {
    let disk = SimDisk::new(1);
    let log = durable(&disk, "log", 512);
    let clock = Arc::new(AtomicU64::new(17));
    disk.watch(Op::SYNCS, &clock);
    log.write_all_at(&[1], 0).unwrap();
    log.sync().unwrap();
    log.write_all_at(&[2], 0).unwrap();
    let moments = disk.take_moments();
    assert_eq!(
        moments.iter().map(|moment| (moment.after, moment.time)).collect::<Vec<_>>(),
        [(false, 17), (true, 17)]
    );
    let first = |moment: &super::Moment, seed| contents(&moment.crash(seed), "log").unwrap()[0];
    assert_eq!(
        (0..60).map(|seed| first(&moments[0], seed)).collect::<BTreeSet<u8>>(),
        BTreeSet::from([0, 1])
    );
    assert_eq!((0..60).map(|seed| first(&moments[1], seed)).collect::<BTreeSet<u8>>(), BTreeSet::from([1]));
    assert_eq!(contents(&moments[0].kill(), "log").unwrap()[0], 1);
}
