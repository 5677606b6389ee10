//! The filter: a split-block Bloom filter with blocks of a cache line, in shards.
//!
//! A key sets one bit in each of the eight 64-bit words of one block (Putze, Sanders, Singler, WEA 2007; the arrangement
//! of Parquet's filter, with words twice as wide, which makes fewer mistakes for the same bits). So an operation touches
//! one line of memory, and a block needs no loop over hashes.
//!
//! Decision: readers take no lock and write nothing. Writers of one shard take turns on a lock of one byte, because one
//! locked instruction is cheaper than the eight that setting the bits would take, and then set bits with plain stores. A
//! reader that meets a writer sees the block before, after or between: a key counts as inserted when `insert` returns.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Words of a block, and bits that a key sets.
const WORDS: usize = 8;

/// A cache line.
#[repr(align(64))]
#[derive(Default)]
struct Block([AtomicU64; WORDS]);

#[repr(align(64))]
struct Shard {
    writing: AtomicBool,
    blocks: Box<[Block]>,
    /// Keys that set a bit which was not set: about how many different ones there are.
    keys: AtomicU64,
}

/// Odd numbers that spread a hash over the words of a block, those of Parquet's filter.
const SALT: [u32; WORDS] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

/// A set of hashes that forgets which they were and never says that one is not there that is.
pub struct Filter {
    shards: Box<[Shard]>,
}

/// Bits of the hash that choose the shard; others choose block and bits.
const SHARD_BITS: u32 = 6;

/// More shards than that a filter cannot have.
pub const MOST_SHARDS: u32 = 1 << SHARD_BITS;

/// How many blocks a shard must have for it to be worth having more.
const LEAST_BLOCKS: usize = 64;

#[inline]
fn masks(hash: u64) -> [u64; WORDS] {
    let low = hash as u32;
    SALT.map(|salt| 1 << (low.wrapping_mul(salt) >> 26))
}

impl Filter {
    /// An empty filter for so many keys, with so many bits for each.
    pub fn new(expected: u64, bits_per_key: f64) -> Self {
        Self::sharded(expected, bits_per_key, None)
    }

    /// The same in so many shards, rounded up to a power of two and at most [`MOST_SHARDS`]; `None` for as many as its
    /// size is worth.
    pub fn sharded(expected: u64, bits_per_key: f64, shards: Option<u32>) -> Self {
        let bits = (expected.max(1) as f64 * bits_per_key.clamp(1.0, 64.0)).ceil();
        let blocks = ((bits / 512.0).ceil() as usize).max(1);
        let shards = match shards {
            Some(shards) => shards.clamp(1, MOST_SHARDS).next_power_of_two() as usize,
            None if blocks >= LEAST_BLOCKS << SHARD_BITS => 1 << SHARD_BITS,
            None => 1,
        };
        let each = blocks.div_ceil(shards);
        let shard = || Shard {
            writing: AtomicBool::new(false),
            blocks: std::iter::repeat_with(Block::default).take(each).collect(),
            keys: AtomicU64::new(0),
        };
        Self { shards: std::iter::repeat_with(shard).take(shards).collect() }
    }

    #[inline]
    fn place(&self, hash: u64) -> (&Shard, &Block) {
        // The lower half chooses the bits; of the upper the highest choose the block, the lowest the shard, so that all
        // three are independent as long as there are fewer than 2^26 blocks in a shard.
        let shard = &self.shards[(hash >> 32) as usize & (self.shards.len() - 1)];
        let high = (hash >> 38) << 38 >> 32;
        let block = (high * shard.blocks.len() as u64) >> 32;
        (shard, &shard.blocks[block as usize])
    }

    /// Whether this hash may have been inserted; `false` is certain.
    #[inline]
    pub fn contains(&self, hash: u64) -> bool {
        let (_, block) = self.place(hash);
        let masks = masks(hash);
        // Without a branch for each word: most answers need them all.
        let mut missing = 0;
        for (word, mask) in block.0.iter().zip(masks) {
            missing |= !word.load(Ordering::Relaxed) & mask;
        }
        missing == 0
    }

    /// Inserts a hash. Returns whether it was certainly not there.
    #[inline]
    pub fn insert(&self, hash: u64) -> bool {
        if self.contains(hash) {
            return false;
        }
        let (shard, block) = self.place(hash);
        while shard.writing.compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed).is_err()
        {
            spin_loop();
        }
        for (word, mask) in block.0.iter().zip(masks(hash)) {
            word.store(word.load(Ordering::Relaxed) | mask, Ordering::Relaxed);
        }
        shard.keys.store(shard.keys.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        shard.writing.store(false, Ordering::Release);
        true
    }

    /// About how many different hashes were inserted: at most as many as were, short of those that it took for another.
    pub fn len(&self) -> u64 {
        self.shards.iter().map(|shard| shard.keys.load(Ordering::Relaxed)).sum()
    }

    /// Whether nothing was inserted.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many shards it has, each of which one thread can write to while others write to others.
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// The memory it takes, in bytes.
    pub fn bytes(&self) -> u64 {
        let blocks: usize = self.shards.iter().map(|shard| shard.blocks.len()).sum();
        (blocks * size_of::<Block>() + self.shards.len() * size_of::<Shard>()) as u64
    }

    /// The part of hashes that were not inserted for which [`Filter::contains`] says `true`, as the bits stand now: the
    /// mean over all blocks of the product of the filled parts of their words.
    ///
    /// # Cost
    /// Reads the whole filter.
    pub fn false_positive_rate(&self) -> f64 {
        let blocks = self.shards.iter().flat_map(|shard| &*shard.blocks);
        let (mut sum, mut count) = (0.0, 0_u64);
        for block in blocks {
            let filled =
                block.0.iter().map(|word| f64::from(word.load(Ordering::Relaxed).count_ones()) / 64.0);
            sum += filled.product::<f64>();
            count += 1;
        }
        sum / count.max(1) as f64
    }

    /// Its blocks, in order, for keeping them.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for shard in &self.shards {
            out.extend_from_slice(&shard.keys.load(Ordering::Relaxed).to_le_bytes());
            for word in shard.blocks.iter().flat_map(|block| &block.0) {
                out.extend_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
            }
        }
    }

    /// Fills an empty filter of the same size with what [`Filter::write`] wrote; `false` if it is of another size.
    pub(super) fn read(&self, bytes: &[u8]) -> bool {
        let words: usize = self.shards.iter().map(|shard| 1 + shard.blocks.len() * WORDS).sum();
        if bytes.len() != words * 8 {
            return false;
        }
        let mut words = bytes.chunks_exact(8).map(|word| {
            // A chunk of eight is eight bytes.
            word.try_into().map_or(0, u64::from_le_bytes)
        });
        for shard in &self.shards {
            shard.keys.store(words.next().unwrap_or(0), Ordering::Relaxed);
            for word in shard.blocks.iter().flat_map(|block| &block.0) {
                word.store(words.next().unwrap_or(0), Ordering::Relaxed);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use terrace_store::Rng;
    use terrace_store::rng::SplitMix;

    use super::*;

    #[test]
    fn the_rate_is_what_it_was_made_for_and_what_it_says() {
        for (keys, bits, design) in [(300_000, 10.5, 0.01), (100_000, 10.5, 0.01), (100_000, 16.0, 0.002)] {
            let (filter, rng) = (Filter::new(keys, bits), SplitMix::seeded(keys));
            let mut inserted = Vec::new();
            for _ in 0..keys {
                let hash = rng.next_u64();
                filter.insert(hash);
                inserted.push(hash);
            }
            assert!(inserted.iter().all(|hash| filter.contains(*hash)));
            let asked = 500_000;
            let wrong = (0..asked).filter(|_| filter.contains(rng.next_u64())).count();
            let rate = wrong as f64 / f64::from(asked);
            println!("{keys} keys, {bits} bits: {rate:.5}, said {:.5}", filter.false_positive_rate());
            assert!(rate < design * 1.2, "{rate}");
            assert!((filter.false_positive_rate() / rate - 1.0).abs() < 0.1);
            assert!(filter.bytes() as f64 * 8.0 / (keys as f64) < bits * 1.02);
            let found = filter.len() as f64 / keys as f64;
            assert!((0.98..=1.0).contains(&found), "it counted {found} of them");
        }
    }

    #[test]
    fn shards_are_as_many_as_were_asked_for_and_lose_nothing() {
        for (asked, expected) in [(None, 1), (Some(1), 1), (Some(5), 8), (Some(64), 64), (Some(1_000), 64)] {
            let filter = Filter::sharded(1_000, 10.5, asked);
            assert_eq!(filter.shards(), expected);
            let rng = SplitMix::seeded(1);
            let hashes: Vec<u64> = (0..1_000).map(|_| rng.next_u64()).collect();
            for hash in &hashes {
                filter.insert(*hash);
            }
            assert!(hashes.iter().all(|hash| filter.contains(*hash)));
        }
    }

    #[test]
    fn threads_that_insert_at_once_lose_nothing() {
        let filter = Filter::new(200_000, 10.5);
        let hashes = |thread| {
            let rng = SplitMix::seeded(thread);
            (0..100_000).map(move |_| rng.next_u64())
        };
        std::thread::scope(|scope| {
            for thread in 0..2 {
                let filter = &filter;
                scope.spawn(move || {
                    for hash in hashes(thread) {
                        filter.insert(hash);
                        assert!(filter.contains(hash));
                    }
                });
            }
        });
        assert!((0..2).flat_map(hashes).all(|hash| filter.contains(hash)));
    }

    proptest! {
        #[test]
        fn what_was_inserted_is_there_in_a_filter_of_any_size_and_after_it_was_kept(
            expected in 0..200_000_u64,
            bits in 0.0..40.0_f64,
            hashes in proptest::collection::vec(any::<u64>(), 1..200),
        ) {
            let filter = Filter::new(expected, bits);
            for hash in &hashes {
                filter.insert(*hash);
            }
            prop_assert!(hashes.iter().all(|hash| filter.contains(*hash)));
            let (mut kept, again) = (Vec::new(), Filter::new(expected, bits));
            filter.write(&mut kept);
            prop_assert!(again.read(&kept));
            prop_assert!(hashes.iter().all(|hash| again.contains(*hash)));
            prop_assert_eq!(again.len(), filter.len());
            prop_assert!(!again.read(&kept[1..]));
        }
    }
}
