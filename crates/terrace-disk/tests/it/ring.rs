//! Many keys in one go, by a ring of the kernel where that is built in and allowed.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use terrace_disk::io::sim::SimDisk;
use terrace_disk::io::{Io, OsIo};
use terrace_disk::{Compression, Config, Delete, Disk, Durability, Entry, Put, Reads};

const NOW: u64 = 1_700_000_000_000;

fn config(reads: Reads) -> Config {
    Config {
        reads,
        segment_bytes: Some(64 << 10),
        durability: Durability::Never,
        compression: Compression::None,
        ..Config::store()
    }
}

/// A folder that a ring reads, or why there is none.
fn ringed() -> Option<(tempfile::TempDir, Arc<dyn Io>)> {
    let folder = tempfile::tempdir().unwrap();
    let io = OsIo::new(folder.path()).unwrap();
    match io.ringed() {
        Ok(_) => Some((folder, Arc::new(io))),
        Err(why) => {
            println!("skipped: {why}");
            None
        }
    }
}

fn value(n: usize) -> Vec<u8> {
    let len = [0, 1, 100, 1000, 5000, 40_000][n % 6];
    (0..len).map(|at| if n.is_multiple_of(4) { (at * n) as u8 } else { b'a' + (at % 7) as u8 }).collect()
}

/// Entries of every kind, most of them overwritten, some deleted or over; the last are not in a file yet.
fn fill(disk: &Disk) -> Vec<Vec<u8>> {
    let keys: Vec<Vec<u8>> = (0..600).map(|n| format!("key-{n}").into_bytes()).collect();
    for round in 0..2 {
        for (n, key) in keys.iter().enumerate().filter(|(n, _)| n % 3 != round) {
            let value = value(n + round);
            let put = Put {
                value: &value,
                meta: b"meta",
                group: (n % 3) as u32,
                expires_ms: (n % 5 == 0).then_some(NOW + 10),
                deferred: n > 590,
                ..Put::default()
            };
            disk.put(key, &put, NOW).unwrap();
        }
    }
    for key in keys.iter().step_by(7) {
        disk.delete(key, &Delete { floor_deadline_ms: NOW + 9999, ..Delete::default() }, NOW).unwrap();
    }
    keys
}

fn compare(disk: &Disk, keys: &[Vec<u8>], now: u64) -> usize {
    let asked: Vec<&[u8]> =
        keys.iter().rev().chain(keys).map(Vec::as_slice).chain([&b"nothing"[..]]).collect();
    let found = disk.get_many(&asked, now).unwrap();
    for (key, found) in asked.iter().zip(&found) {
        assert_eq!(&disk.get(key, now).unwrap(), found, "{}", String::from_utf8_lossy(key));
    }
    assert!(disk.get_many(&[], now).unwrap().is_empty());
    found.iter().flatten().count()
}

#[test]
fn a_ring_finds_what_single_reads_find() {
    let Some((folder, io)) = ringed() else { return };
    for (n, compression) in [Compression::None, Compression::Adaptive].into_iter().enumerate() {
        let io: Arc<dyn Io> = Arc::new(OsIo::new(folder.path().join(n.to_string())).unwrap());
        let open = || {
            let config = Config { compression, ..config(Reads::Ring) };
            Disk::open(Arc::clone(&io), config, NOW).unwrap().0
        };
        let disk = open();
        let keys = fill(&disk);
        let found = compare(&disk, &keys, NOW);
        assert!(found > 600 && compare(&disk, &keys, NOW + 10) < found);
        disk.close().unwrap();
        drop(disk);
        assert_eq!(compare(&open(), &keys, NOW), found);
    }
    drop(io);
}

#[test]
#[cfg(feature = "crypt")]
fn a_ring_reads_encrypted_segments() {
    use terrace_envelope::crypt::{Algorithm, Key, Keyring, Secret};
    let Some((_folder, io)) = ringed() else { return };
    let keys = Arc::new(Keyring::new(Key::new(1, Algorithm::default(), Secret::new(&[7; 32]))));
    let (disk, _) = Disk::open_encrypted(io, config(Reads::Ring), keys, NOW).unwrap();
    let keys = fill(&disk);
    assert!(compare(&disk, &keys, NOW) > 600);
}

#[test]
fn threads_that_read_by_rings_do_not_get_each_others_bytes() {
    let Some((_folder, io)) = ringed() else { return };
    let (disk, _) = Disk::open(io, config(Reads::Ring), NOW).unwrap();
    let keys = fill(&disk);
    disk.commit().unwrap();
    let expected: BTreeMap<&[u8], Option<Entry>> =
        keys.iter().map(|key| (key.as_slice(), disk.get(key, NOW).unwrap())).collect();
    std::thread::scope(|scope| {
        for thread in 0..12 {
            let (disk, keys, expected) = (&disk, &keys, &expected);
            scope.spawn(move || {
                for round in 0..20 {
                    let asked: Vec<&[u8]> =
                        keys.iter().skip(thread + round).step_by(1 + thread).map(Vec::as_slice).collect();
                    let found = disk.get_many(&asked, NOW).unwrap();
                    assert!(asked.iter().zip(&found).all(|(key, found)| &expected[key] == found));
                }
            });
        }
    });
}

#[test]
fn damage_among_many_is_an_error_and_counted() {
    let Some((folder, io)) = ringed() else { return };
    let (disk, _) = Disk::open(io, config(Reads::Ring), NOW).unwrap();
    let keys = fill(&disk);
    disk.commit().unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(folder.path().join("00000002.seg")).unwrap();
    file.write_all_at(&[0x55; 60_000], 1000).unwrap();
    let asked: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    assert!(disk.get_many(&asked, NOW).unwrap_err().to_string().contains("checksum"));
    assert!(disk.stats().damaged > 0);
}

/// A folder without a ring.
struct Plain(SimDisk);

impl Io for Plain {
    fn list(&self) -> std::io::Result<Vec<String>> {
        self.0.list()
    }
    fn create(&self, name: &str) -> std::io::Result<Arc<dyn terrace_disk::io::File>> {
        self.0.create(name)
    }
    fn open(&self, name: &str, write: bool) -> std::io::Result<Arc<dyn terrace_disk::io::File>> {
        self.0.open(name, write)
    }
    fn remove(&self, name: &str) -> std::io::Result<()> {
        self.0.remove(name)
    }
    fn rename(&self, from: &str, to: &str) -> std::io::Result<()> {
        self.0.rename(from, to)
    }
    fn sync_dir(&self) -> std::io::Result<()> {
        self.0.sync_dir()
    }
    fn lock(&self) -> std::io::Result<Box<dyn Send + Sync>> {
        self.0.lock()
    }
}

#[test]
fn where_there_is_no_ring_it_is_refused_in_words_unless_it_may_do_without() {
    let plain = || Arc::new(Plain(SimDisk::new(1)));
    let error = Disk::open(plain(), config(Reads::Ring), NOW).err().unwrap().to_string();
    assert!(error.contains("io_uring") && error.contains("`auto`"), "{error}");
    let (disk, _) = Disk::open(plain(), config(Reads::Auto), NOW).unwrap();
    let keys = fill(&disk);
    assert!(compare(&disk, &keys, NOW) > 600);
}
