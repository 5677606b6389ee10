//! Folders that once held a log and were changed: they open or are refused in words, show no value that was not written
//! under its key, and show the same when they are opened again.

#![no_main]

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use terrace_disk::io::sim::{Chance, SimDisk};
use terrace_disk::{Config, Delete, Disk, Put, Range};

#[derive(Arbitrary, Debug)]
enum Change<'a> {
    Bytes { file: u8, at: u16, bytes: &'a [u8] },
    Flip { file: u8, at: u16, bit: u8 },
    Cut { file: u8, len: u16 },
    Copy { from: u8, from_at: u16, to: u8, to_at: u16, len: u16 },
    Exchange { one: u8, other: u8 },
    Remove { file: u8 },
}

type Files = BTreeMap<String, Vec<u8>>;

fn config() -> Config {
    Config { segment_bytes: Some(64 << 10), open_threads: 1, garbage_percent: 10, ..Config::store() }
}

/// Values say which key they were written under.
fn value(key: u64, number: u64) -> Vec<u8> {
    let mut bytes = format!("{key}:{number}:").into_bytes();
    bytes.extend(std::iter::repeat_n(b'x', (number * 37 % 900) as usize));
    bytes
}

/// A log after some work: closed, or killed.
fn image(seed: u64, closed: bool) -> Files {
    let disk = SimDisk::new(seed);
    let (opened, _) = Disk::open(Arc::new(disk.clone()), config(), 0).expect("it opens");
    let mut chance = Chance::new(seed);
    for number in 0..160 {
        let key = chance.below(12);
        let name = key.to_le_bytes();
        match chance.below(10) {
            0 => _ = opened.delete(&name, &Delete::default(), 0).expect("it is deleted"),
            1 => _ = opened.compact_step(1 << 16, 0).expect("it is compacted"),
            2 if chance.percent(20) => opened.checkpoint().expect("a snapshot"),
            _ => {
                let value = value(key, number);
                let put = Put { value: &value, group: (key % 2) as u32, ..Put::default() };
                opened.put(&name, &put, 0).expect("it is put");
            }
        }
    }
    if closed {
        opened.close().expect("it closes");
    }
    disk.kill().files()
}

static IMAGES: LazyLock<Vec<Files>> =
    LazyLock::new(|| (0..4).map(|seed| image(seed, seed % 2 == 0)).collect());

fn file(files: &mut Files, number: u8) -> &mut Vec<u8> {
    let count = files.len();
    files.values_mut().nth(usize::from(number) % count).expect("there is one")
}

fn name(files: &Files, number: u8) -> String {
    files.keys().nth(usize::from(number) % files.len()).expect("there is one").clone()
}

fn change(files: &mut Files, change: &Change<'_>) {
    match *change {
        Change::Bytes { file: number, at, bytes } => {
            let place = file(files, number).iter_mut().skip(at.into());
            place.zip(bytes).for_each(|(place, byte)| *place = *byte);
        }
        Change::Flip { file: number, at, bit } => {
            if let Some(byte) = file(files, number).get_mut(usize::from(at)) {
                *byte ^= 1 << (bit % 8);
            }
        }
        Change::Cut { file: number, len } => file(files, number).truncate(len.into()),
        Change::Copy { from, from_at, to, to_at, len } => {
            let source: Vec<u8> =
                file(files, from).iter().skip(from_at.into()).take(len.into()).copied().collect();
            file(files, to).iter_mut().skip(to_at.into()).zip(source).for_each(|(place, byte)| *place = byte);
        }
        Change::Exchange { one, other } => {
            let (first, second) = (file(files, one).clone(), file(files, other).clone());
            *file(files, one) = second;
            *file(files, other) = first;
        }
        Change::Remove { file } => {
            if files.len() > 1 {
                files.remove(&name(files, file));
            }
        }
    }
}

/// What it shows; every value must be one that was written under its key.
fn view(opened: &Disk) -> Option<BTreeMap<Vec<u8>, Vec<u8>>> {
    let page = opened.list(&Range::default(), 1000, 0).ok()?;
    let mut view = BTreeMap::new();
    for (key, entry) in page.entries {
        let prefix =
            format!("{}:", u64::from_le_bytes(key[..].try_into().expect("no such key was ever written")));
        assert!(entry.value.starts_with(prefix.as_bytes()), "a wrong value");
        view.insert(key.to_vec(), entry.value.to_vec());
    }
    Some(view)
}

fuzz_target!(|case: (u8, Vec<Change<'_>>)| {
    let (number, changes) = case;
    let mut files = IMAGES[usize::from(number) % IMAGES.len()].clone();
    changes.iter().for_each(|one| change(&mut files, one));
    let disk = SimDisk::with_files(files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())));
    let Ok((opened, report)) = Disk::open(Arc::new(disk.clone()), config(), 0) else { return };
    let first = view(&opened);
    drop(opened);
    let (again, _) = Disk::open(Arc::new(disk.clone()), config(), 0).expect("what opened opens again");
    assert_eq!(first, view(&again), "{report:?}");
    let put = Put { value: b"0:new", ..Put::default() };
    again.put(&0_u64.to_le_bytes(), &put, 0).expect("it goes on");
    while again.compact_step(1 << 20, 0).is_ok_and(|step| step.more) {}
    let got = again.get(&0_u64.to_le_bytes(), 0).expect("it is sound").map(|entry| entry.value);
    assert_eq!(got.as_deref(), Some(&b"0:new"[..]));
    let _ = again.close();
});
