//! What the tests have found, each in its smallest form.

use std::sync::Arc;

use terrace_disk::io::sim::{EIO, Failure, Op, SimDisk};
use terrace_disk::{Config, Disk, Put};

fn open(disk: &SimDisk) -> Disk {
    let config = Config { segment_bytes: Some(64 << 10), ..Config::store() };
    Disk::open(Arc::new(disk.clone()), config, 0).expect("it opens").0
}

fn put(disk: &Disk, key: &[u8], value: &[u8]) -> Result<(), terrace_disk::Error> {
    disk.put(key, &Put { value, ..Put::default() }, 0).map(drop)
}

/// The only record of a segment was taken for the remains of one that was never finished, as soon as the list in
/// front of it was damaged.
#[test]
fn a_lone_record_behind_a_damaged_list_is_not_dropped_in_silence() {
    let disk = SimDisk::new(1);
    put(&open(&disk), b"key", b"value").unwrap();
    // Behind the header stands the list.
    for at in 100..114 {
        let damaged = disk.kill();
        damaged.damage("00000001.seg", at, |byte| byte ^ 1);
        let config = Config { segment_bytes: Some(64 << 10), ..Config::store() };
        let (opened, report) = Disk::open(Arc::new(damaged), config, 0).expect("it opens");
        let there = opened.get(b"key", 0).unwrap().is_some();
        assert!(there || !report.is_sound() || report.cut_bytes > 0, "byte {at}: {report:?}");
    }
}

/// An fsync that failed had marked its pages clean; after reopening they were still read from the system's memory and
/// taken for durable, and a power cut after that left a hole in the middle of the log.
#[test]
fn what_a_failed_sync_has_lost_is_written_again_when_it_is_opened() {
    for seed in 0..40 {
        let disk = SimDisk::new(seed);
        let first = open(&disk);
        put(&first, b"before", &[1; 3000]).unwrap();
        disk.fail(&[Op::Sync], 0, Failure::Error(EIO), false);
        put(&first, b"doubtful", &[2; 3000]).expect_err("the sync failed");
        drop(first);
        let second = open(&disk);
        let seen = second.get(b"doubtful", 0).unwrap().is_some();
        put(&second, b"after", &[3; 3000]).unwrap();
        drop(second);
        let third = open(&disk.crash(seed));
        assert!(third.get(b"before", 0).unwrap().is_some() && third.get(b"after", 0).unwrap().is_some());
        assert_eq!(third.get(b"doubtful", 0).unwrap().is_some(), seen, "seed {seed}");
    }
}

/// Any file whose name ended like a temporary one was removed.
#[test]
fn a_file_of_somebody_else_is_left_alone_whatever_its_name_ends_in() {
    let disk = SimDisk::with_files([("mine.new", &b"precious"[..])]);
    put(&open(&disk), b"key", b"value").unwrap();
    drop(open(&disk));
    assert_eq!(disk.files().get("mine.new").map(Vec::as_slice), Some(&b"precious"[..]));
}

/// One read that failed while an encrypted log was opened was taken for the end of what had just been begun, and
/// the segment was removed.
#[cfg(feature = "crypt")]
#[test]
fn a_read_that_fails_once_while_opening_removes_nothing() {
    use terrace_envelope::crypt::{Algorithm, Key, Keyring, Secret};
    let disk = SimDisk::new(1);
    let open = || {
        let config = Config { segment_bytes: Some(64 << 10), ..Config::store() };
        let keys = Keyring::new(Key::new(1, Algorithm::default(), Secret::new(&[7; 32])));
        Disk::open_encrypted(Arc::new(disk.clone()), config, Arc::new(keys), 0)
    };
    put(&open().unwrap().0, b"key", b"value").unwrap();
    for after in 0..20 {
        disk.fail(&[Op::Read], after, Failure::Error(EIO), false);
        drop(open());
        disk.heal();
        let (opened, _) = open().expect("it opens when the disk is well again");
        assert!(opened.get(b"key", 0).unwrap().is_some(), "after {after} reads");
    }
}
