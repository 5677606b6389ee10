//! What stands in a folder that should not, or does not stand there although it should.

use std::path::Path;
use std::sync::Arc;

use terrace_disk::io::OsIo;
use terrace_disk::{
    Compression, Config, Delete, Disk, Durability, Error, Health, OpenReport, Put, Range, inspect, restore,
};
use terrace_envelope::crypt::{Algorithm, Key, Keyring, Secret};

const NOW: u64 = 1_700_000_000_000;

fn config() -> Config {
    let compression = Compression::None;
    Config { segment_bytes: Some(64 << 10), durability: Durability::Never, compression, ..Config::store() }
}

fn try_open(path: &Path) -> Result<(Disk, OpenReport), Error> {
    Disk::open(Arc::new(OsIo::new(path).unwrap()), config(), NOW)
}

fn open(path: &Path) -> (Disk, OpenReport) {
    try_open(path).unwrap()
}

fn fill(disk: &Disk, keys: u32) {
    for n in 0..keys {
        let value = vec![n as u8; 500];
        disk.put(&n.to_be_bytes(), &Put { value: &value, ..Put::default() }, NOW).unwrap();
    }
}

fn check(disk: &Disk, keys: u32) {
    for n in 0..keys {
        let entry = disk.get(&n.to_be_bytes(), NOW).unwrap().unwrap();
        assert_eq!(entry.value, vec![n as u8; 500]);
    }
}

fn segments(path: &Path) -> Vec<String> {
    let names =
        std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".seg") && name != "spare.seg").collect();
    names.sort();
    names
}

#[test]
fn a_second_opening_is_refused_until_the_first_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let (first, _) = open(folder.path());
    assert!(matches!(try_open(folder.path()), Err(Error::Busy)));
    first.close().unwrap();
    let (second, _) = open(folder.path());
    assert!(matches!(first.get(b"k", NOW), Err(Error::Closed)));
    assert!(matches!(first.put(b"k", &Put::default(), NOW), Err(Error::Closed)));
    first.close().unwrap();
    drop(second);
    assert!(try_open(folder.path()).is_ok());
}

#[test]
fn a_later_format_is_refused_in_words_and_nothing_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let mark = folder.path().join("terrace-disk");
    let mut bytes = std::fs::read(&mark).unwrap();
    bytes[8] = 9;
    let end = bytes.len() - 4;
    let crc = crc32c::crc32c(&bytes[..end]).to_le_bytes();
    bytes[end..].copy_from_slice(&crc);
    std::fs::write(&mark, &bytes).unwrap();
    let error = try_open(folder.path()).unwrap_err();
    assert!(matches!(error, Error::Newer { found: 9, .. }));
    assert!(error.to_string().contains("later release"), "{error}");
    assert_eq!(std::fs::read(&mark).unwrap(), bytes);
}

#[test]
fn foreign_files_are_named_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("notes.txt"), "mine").unwrap();
    let (disk, report) = open(folder.path());
    assert_eq!(report.foreign, ["notes.txt"]);
    fill(&disk, 10);
    drop(disk);
    assert_eq!(std::fs::read(folder.path().join("notes.txt")).unwrap(), b"mine");
}

#[test]
fn segments_without_the_mark_or_of_another_log_are_refused() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for folder in [&one, &two] {
        fill(&open(folder.path()).0, 10);
    }
    std::fs::copy(one.path().join("00000001.seg"), two.path().join("00000009.seg")).unwrap();
    let error = try_open(two.path()).unwrap_err();
    assert!(matches!(&error, Error::Foreign(why) if why.contains("00000009.seg")), "{error}");
    std::fs::remove_file(one.path().join("terrace-disk")).unwrap();
    assert!(matches!(try_open(one.path()), Err(Error::Foreign(_))));
}

#[test]
fn a_missing_segment_is_reported_and_the_rest_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let (disk, _) = open(folder.path());
    fill(&disk, 600);
    disk.close().unwrap();
    let names = segments(folder.path());
    assert!(names.len() > 4);
    std::fs::remove_file(folder.path().join(&names[1])).unwrap();
    let (disk, report) = open(folder.path());
    assert_eq!(report.missing, [2]);
    assert!(matches!(disk.health(), Health::Degraded(_)));
    let found = (0..600_u32).filter(|n| disk.get(&n.to_be_bytes(), NOW).unwrap().is_some()).count();
    assert!((300..600).contains(&found), "{found}");
    assert_eq!(disk.stats().entries, found as u64);
}

#[test]
fn a_snapshot_that_does_not_check_is_reported_and_done_without() {
    let folder = tempfile::tempdir().unwrap();
    let (disk, _) = open(folder.path());
    fill(&disk, 300);
    disk.close().unwrap();
    let (disk, report) = open(folder.path());
    assert!(report.from_snapshot && report.replayed == 0);
    check(&disk, 300);
    disk.close().unwrap();
    let name = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "snap"))
        .unwrap();
    let mut bytes = std::fs::read(&name).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&name, bytes).unwrap();
    let (disk, report) = open(folder.path());
    assert!(!report.from_snapshot && report.replayed == 300 && report.refused.len() == 1);
    check(&disk, 300);
}

#[test]
fn a_damaged_record_is_an_error_and_its_neighbours_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let (disk, _) = open(folder.path());
    fill(&disk, 100);
    disk.close().unwrap();
    let path = folder.path().join("00000001.seg");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[20_000] ^= 4;
    std::fs::write(&path, &bytes).unwrap();
    let (disk, report) = open(folder.path());
    assert!(report.is_sound(), "the index snapshot does not know");
    let outcomes: Vec<_> = (0..100_u32).map(|n| disk.get(&n.to_be_bytes(), NOW)).collect();
    let corrupt = outcomes.iter().filter(|outcome| matches!(outcome, Err(Error::Corrupt { .. }))).count();
    let found = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Some(_)))).count();
    assert_eq!((corrupt, found), (1, 99));
    assert!(matches!(disk.health(), Health::Degraded(_)));
    let verified = disk.verify(&mut |_, _| {}).unwrap();
    assert_eq!((verified.damaged.len(), verified.unreadable), (1, 1));
    // It can be overwritten and deleted like any other.
    fill(&disk, 100);
    check(&disk, 100);
    assert_eq!(disk.stats().entries, 100);
}

#[test]
fn a_backup_of_a_live_store_opens_where_it_lies_and_restores() {
    let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let (disk, _) = open(folders[0].path());
    fill(&disk, 500);
    for n in 0..100_u32 {
        disk.delete(&n.to_be_bytes(), &Delete { floor_deadline_ms: NOW, ..Delete::default() }, NOW).unwrap();
    }
    fill(&disk, 20);
    let backup = OsIo::new(folders[1].path()).unwrap();
    let mut last = (0, 0);
    let copied = disk.backup(&backup, &mut |done, all| last = (done, all)).unwrap();
    assert!(copied.files >= 4 && last.0 == last.1 && last.0 == copied.bytes);
    fill(&disk, 500);
    let error = disk.backup(&backup, &mut |_, _| {}).unwrap_err();
    assert!(matches!(error, Error::Invalid(_)));
    let target = OsIo::new(folders[2].path()).unwrap();
    restore(&backup, &target, &mut |_, _| {}).unwrap();
    drop(backup);
    for folder in &folders[1..] {
        let (copy, report) = open(folder.path());
        assert!(report.is_sound(), "{report:?}");
        let live = |n: u32| copy.get(&n.to_be_bytes(), NOW).unwrap().is_some();
        assert!((0..500).all(|n| live(n) != (20..100).contains(&n)));
        assert_eq!(copy.stats().entries, 420);
    }
    let seen = inspect(&OsIo::existing(folders[2].path()).unwrap()).unwrap();
    assert!(seen.segments.len() >= 4 && seen.segments.iter().all(|segment| segment.created_ms == Some(NOW)));
}

#[test]
fn a_clock_that_goes_back_brings_nothing_back() {
    let folder = tempfile::tempdir().unwrap();
    let (disk, _) = open(folder.path());
    fill(&disk, 3);
    let put = Put { value: b"v", expires_ms: Some(NOW + 1000), ..Put::default() };
    disk.put(b"short", &put, NOW).unwrap();
    assert!(disk.get(b"short", NOW + 999).unwrap().is_some());
    assert!(disk.get(b"short", NOW + 1000).unwrap().is_none());
    assert_eq!(disk.sweep(10, NOW + 2000).unwrap().expired, 1);
    assert!(disk.get(b"short", NOW).unwrap().is_none());
    disk.commit().unwrap();
    drop(disk);
    let (disk, _) = open(folder.path());
    assert!(disk.get(b"short", NOW - 3_600_000).unwrap().is_none());
    let page = disk.list(&Range::default(), 10, NOW - 3_600_000).unwrap();
    assert_eq!(page.entries.len(), 3);
}

#[test]
fn an_encrypted_log_shows_nothing_opens_with_its_keys_only_and_outlives_a_change_of_key() {
    let folder = tempfile::tempdir().unwrap();
    let secret = |n: u8| Secret::new(&[n; 32]);
    let key = |id, n| Key::new(id, Algorithm::XChaCha20Poly1305, secret(n));
    let open = |keys: Keyring| {
        let io = Arc::new(OsIo::new(folder.path()).unwrap());
        Disk::open_encrypted(io, config(), Arc::new(keys), NOW)
    };
    let canary = b"a canary that sings in plain words";
    let (disk, _) = open(Keyring::new(key(1, 1))).unwrap();
    disk.put(canary, &Put { value: canary, meta: canary, ..Put::default() }, NOW).unwrap();
    fill(&disk, 200);
    drop(disk);
    assert!(matches!(try_open(folder.path()), Err(Error::Denied(_))));
    assert!(matches!(open(Keyring::new(key(1, 2))), Err(Error::Denied(_))));
    assert!(matches!(open(Keyring::new(key(2, 2))), Err(Error::Denied(_))));
    let both = || Keyring::new(key(2, 2)).with_old(key(1, 1)).unwrap();
    let (disk, _) = open(both()).unwrap();
    assert_eq!(disk.get(canary, NOW).unwrap().unwrap().meta, canary[..]);
    fill(&disk, 300);
    disk.close().unwrap();
    let (disk, _) = open(both()).unwrap();
    check(&disk, 300);
    assert!(disk.get(canary, NOW).unwrap().is_some());
    let seen = inspect(&OsIo::existing(folder.path()).unwrap()).unwrap();
    let keys: std::collections::BTreeSet<_> = seen.segments.iter().map(|segment| segment.key_id).collect();
    assert_eq!(keys, [Some(1), Some(2)].into());
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(12).any(|window| canary.windows(12).any(|part| part == window)));
    }
}
