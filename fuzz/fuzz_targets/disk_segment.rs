//! A segment whose records nobody wrote: the log opens, shows what it can read, and goes on.
//!
//! Noise never gets past the checksums, so records are put together from parts and get the right checksum for where
//! they stand: that reaches what is behind it with records that no writer would make.

#![no_main]

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use terrace_disk::io::sim::SimDisk;
use terrace_disk::{Compression, Config, Disk, Put, Range};

#[derive(Arbitrary, Debug)]
enum Piece<'a> {
    /// Anything.
    Bytes(&'a [u8]),
    /// Something with the form of a record, and the checksum of one.
    Record {
        flags: u8,
        /// Of a batch.
        batch: bool,
        fields: &'a [u8],
        key: &'a [u8],
        value: &'a [u8],
    },
    /// A put whose head is its value's length, since its key has the usual length of 1.
    Short {
        batch: bool,
        key: u8,
        value: &'a [u8],
    },
    /// A note of the engine.
    Control {
        tag: u8,
        content: &'a [u8],
    },
    Zeros(u8),
}

fn config() -> Config {
    Config {
        segment_bytes: Some(64 << 10),
        compression: Compression::None,
        open_threads: 1,
        ..Config::store()
    }
}

/// A log with nothing in its only segment but header and list of segments.
static EMPTY: LazyLock<BTreeMap<String, Vec<u8>>> = LazyLock::new(|| {
    let disk = SimDisk::new(1);
    let (opened, _) = Disk::open(Arc::new(disk.clone()), config(), 0).expect("it opens");
    opened.put(b"k", &Put { value: b"v", ..Put::default() }, 0).expect("it is put");
    drop(opened);
    disk.kill().files()
});

/// Where the first record of the only segment stands, behind header and list.
const FIRST: usize = 100;

fn varint(mut number: usize, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// The checksum of what stands at this place of the first segment.
fn checksum(at: usize, record: &[u8]) -> u32 {
    let seed = (1_u64.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32 ^ at as u32;
    crc32c::crc32c_append(crc32c::crc32c_append(seed, &record[..1]), &record[5..])
}

/// What sets the checksum of a record apart that is part of a batch.
const BATCH: u32 = 0x5bd1_e995;

fn append(piece: &Piece<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    match piece {
        Piece::Bytes(bytes) => return out.extend_from_slice(bytes),
        Piece::Zeros(count) => return out.resize(start + usize::from(*count), 0),
        Piece::Short { key, value, .. } => {
            out.extend([0x80 | value.len().min(127) as u8, 0, 0, 0, 0]);
            if let Some(rest) = value.len().checked_sub(127) {
                varint(rest, out);
            }
            out.push(*key);
            out.extend_from_slice(value);
        }
        Piece::Record { flags, fields, key, value, .. } => {
            out.extend([*flags & 0x7f, 0, 0, 0, 0]);
            // The second byte of flags stands in front of the lengths.
            let (more, fields) =
                if flags & 4 == 0 { (&[][..], *fields) } else { fields.split_at(fields.len().min(1)) };
            out.extend_from_slice(more);
            varint(key.len(), out);
            varint(value.len(), out);
            out.extend_from_slice(fields);
            out.extend_from_slice(key);
            out.extend_from_slice(value);
        }
        Piece::Control { tag, content } => {
            out.extend([3, 0, 0, 0, 0, 0]);
            varint(content.len() + 1, out);
            out.push(*tag);
            out.extend_from_slice(content);
        }
    }
    let batch = matches!(piece, Piece::Record { batch: true, .. } | Piece::Short { batch: true, .. });
    let crc = checksum(start, &out[start..]) ^ if batch { BATCH } else { 0 };
    out[start + 1..start + 5].copy_from_slice(&crc.to_le_bytes());
}

fn walk(opened: &Disk) -> Vec<Vec<u8>> {
    let (mut keys, mut last) = (Vec::new(), None::<Vec<u8>>);
    loop {
        let range =
            Range { from: last.as_deref().unwrap_or_default(), after: last.is_some(), ..Range::default() };
        let Ok(page) = opened.list(&range, 100, 0) else { return keys };
        for (key, _) in page.entries {
            let _ = opened.get(&key, 0);
            keys.push(key.to_vec());
        }
        match page.next {
            Some(next) => last = Some(next.to_vec()),
            None => return keys,
        }
    }
}

fuzz_target!(|case: (bool, Vec<Piece<'_>>)| {
    let (keep_list, pieces) = case;
    let mut files = EMPTY.clone();
    let segment = files.get_mut("00000001.seg").expect("the segment");
    // The list is short; what follows it is the one record that was put.
    let end =
        segment.windows(2).skip(FIRST).position(|pair| pair == b"kv").map_or(FIRST, |at| FIRST + at - 5);
    segment.truncate(if keep_list { end } else { FIRST });
    pieces.iter().for_each(|piece| append(piece, segment));
    if segment.len() > 60 << 10 {
        return;
    }
    let disk = SimDisk::with_files(files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())));
    let Ok((opened, _)) = Disk::open(Arc::new(disk.clone()), config(), 0) else { return };
    let keys = walk(&opened);
    let _ = opened.verify(&mut |_, _| {});
    drop(opened);
    // Opened again it shows the same, and takes new values.
    let (again, _) = Disk::open(Arc::new(disk.clone()), config(), 0).expect("what opened opens again");
    assert_eq!(keys, walk(&again));
    again.put(b"new", &Put { value: b"value", ..Put::default() }, 0).expect("it goes on");
    while again.compact_step(1 << 20, 0).is_ok_and(|step| step.more) {}
    assert_eq!(again.get(b"new", 0).expect("it is sound").map(|entry| entry.value), Some("value".into()));
    again.close().expect("it closes");
});
