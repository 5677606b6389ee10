//! Bytes that change in memory are misses that are counted, never wrong values.

use terrace_envelope::Compression;
use terrace_envelope::codec::Coder;

use super::record::Record;
use super::{Attributes, Config, Warm};

fn value(number: u64) -> Vec<u8> {
    format!("value {number} ").repeat(20 + (number % 40) as usize).into_bytes()
}

fn filled(entries: u64) -> Warm {
    let warm = Warm::new(Config::bytes(1 << 20).shards(1).seed(1));
    for number in 0..entries {
        let attributes = Attributes { expires_at: Some(1000 + number), ..Attributes::default() };
        assert!(warm.insert(&number.to_le_bytes(), &value(number), attributes, 0).stored);
    }
    warm
}

/// Flips one bit in each block at many places, by a step that meets every part of a record.
fn damage(warm: &Warm, step: usize) {
    let mut shard = warm.shards[0].write();
    for block in &mut shard.blocks {
        for (at, byte) in block.data.iter_mut().enumerate().step_by(step) {
            *byte ^= 1 << (at % 8);
        }
    }
}

fn check(warm: &Warm, entries: u64) -> u64 {
    let mut found = 0;
    for number in 0..entries {
        let mut out = Vec::new();
        if warm.get(&number.to_le_bytes(), 0, &mut out).is_some() {
            assert!(out == value(number), "{number}");
            found += 1;
        } else {
            assert!(out.is_empty());
        }
    }
    found
}

#[test]
fn flipped_bits_make_misses_and_no_wrong_value() {
    for step in [301, 997, 4001] {
        let entries = 2000;
        let warm = filled(entries);
        damage(&warm, step);
        let found = check(&warm, entries);
        let stats = warm.stats();
        assert!(found < entries && stats.damaged > 0 && stats.misses >= stats.damaged, "{stats:?}");
        assert_eq!(stats.hits, found);
        // What is left goes on: read again, written, expired and evicted.
        assert_eq!(check(&warm, entries), found);
        let _ = warm.advance(2000);
        for number in 0..20_000_u64 {
            let value = value(number);
            let _ = warm.insert(&number.to_le_bytes(), &value, Attributes::default(), 2000);
            assert!(warm.weight() <= warm.capacity());
        }
        assert!(check(&warm, 20_000) > 0);
        let shard = warm.shards[0].read();
        let live: u32 = shard.blocks.iter().map(|block| block.live).sum();
        assert_eq!(live as usize, shard.index.len(), "no entry dangles");
    }
}

#[test]
fn evicting_and_expiring_damaged_blocks_loses_only_what_is_damaged() {
    for step in [53, 1501] {
        let warm = filled(2000);
        damage(&warm, step);
        // Nothing was read since: the walks meet the damage first.
        let evicted = warm.advance(1999);
        assert!(evicted.iter().all(|gone| gone.key().len() == 8));
        let evicted = warm.set_capacity(200_000, 0);
        let mut coder = Coder::new();
        for gone in evicted.iter() {
            let mut out = Vec::new();
            gone.decode(&mut coder, 1 << 20, &mut out).unwrap();
            let number = u64::from_le_bytes(gone.key().try_into().unwrap());
            assert_eq!(out, value(number));
        }
        let shard = warm.shards[0].read();
        let live: u32 = shard.blocks.iter().map(|block| block.live).sum();
        assert_eq!(live as usize, shard.index.len());
        drop(shard);
        assert!(warm.stats().damaged > 0);
    }
}

/// Puts a record with a right checksum into the engine, whatever it claims.
fn plant(warm: &Warm, how: Compression, stored: &[u8]) {
    let record =
        Record { how, dictionary: 0, expires_at: None, version: 0, key: b"bomb", attached: b"", stored };
    let hash = warm.hash(b"bomb");
    let mut evicted = super::Evicted::default();
    let planted = warm.shards[0].write().insert(hash, &record, None, false, 0, &mut evicted);
    assert!(planted.is_ok());
}

#[test]
fn a_bomb_is_refused_before_anything_is_allocated() {
    let warm = Warm::new(Config::bytes(4 << 20).shards(1).max_value(1 << 20));
    let mut coder = Coder::new();
    for how in [Compression::Lz4, Compression::Zstd] {
        let mut stored = Vec::new();
        coder.encode(how, None, &vec![0; 50 << 20], &mut stored).unwrap();
        assert!(stored.len() < 1 << 18);
        plant(&warm, how, &stored);
        let mut out = Vec::new();
        assert_eq!(warm.get(b"bomb", 0, &mut out), None);
        assert_eq!(out.capacity(), 0);
        assert!(!warm.contains(b"bomb", 0), "it is not met twice");
    }
    assert_eq!(warm.stats().damaged, 2);
}
