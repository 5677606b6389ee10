//! The filter: a blocked Bloom filter, in blocks of a cache line, of whose words a key chooses two.
//!
//! A block is eight words of 64 bits in two groups of four. A key chooses one word of each group and sets three bits in
//! each (Putze, Sanders, Singler, "Cache-, Hash- and Space-Efficient Bloom Filters", WEA 2007; the groups are the sectors of
//! Lang, Neumann, Kemper, Boncz, "Performance-Optimal Filtering", VLDB 2019). Six bits in two words make 0.89 mistakes in a
//! hundred at 10.5 bits a key, where one bit in each of eight words makes 0.83, and take a quarter of the loads.
//!
//! Decision: readers and writers take no lock and wait for nobody. A write sets what is missing with one locked instruction a
//! word, two at most, and a plain store never: none can undo another's bit. A key counts as inserted when `insert` returns.
//!
//! # Cost
//! The hash chooses block and bits with two multiplications; one line of memory is read. The hash of the key is the caller's.

use std::sync::atomic::{AtomicU64, Ordering};

/// Words of a block.
const WORDS: usize = 8;

/// Bits of a block.
const BLOCK_BITS: f64 = (WORDS * 64) as f64;

/// A cache line.
#[repr(align(64))]
#[derive(Default)]
struct Block([AtomicU64; WORDS]);

/// How many keys of its part of all hashes were inserted, on a line of its own.
#[repr(align(64))]
#[derive(Default)]
struct Shard(AtomicU64);

/// 2^64 over the golden ratio: spreads what the choice of the block left of a hash over its upper bits.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// A set of hashes that forgets which they were and never says that one is not there that is.
pub struct Filter {
    blocks: Box<[Block]>,
    shards: Box<[Shard]>,
    /// One key in so many is counted, for all of them. A power of two.
    counted: u64,
}

/// More shards than that a filter cannot have.
pub const MOST_SHARDS: u32 = 64;

/// How many blocks a filter has at least that is worth more than one shard, and in which one key in [`COUNTED`] is enough
/// to know how many there are within a part in a hundred.
const LARGE: usize = 4096;

/// One key in so many is counted in a large filter, since counting costs as much as setting a word's bits.
const COUNTED: u64 = 16;

/// What a key is looked for by: two words of a block, and the bits in them.
#[derive(Clone, Copy)]
struct Bits {
    words: [usize; 2],
    masks: [u64; 2],
}

impl Bits {
    /// The highest forty bits of the spread hash: two for each word, six for each bit.
    #[inline]
    fn of(spread: u64) -> Self {
        let mask = |from: u32| {
            1_u64 << (spread >> from & 63)
                | 1 << (spread >> (from + 6) & 63)
                | 1 << (spread >> (from + 12) & 63)
        };
        let words = [(spread >> 62) as usize, 4 + (spread >> 60 & 3) as usize];
        Self { words, masks: [mask(24), mask(42)] }
    }
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
        let blocks = ((bits / BLOCK_BITS).ceil() as usize).max(1);
        let shards = match shards {
            Some(shards) => shards.clamp(1, MOST_SHARDS).next_power_of_two(),
            None if blocks >= LARGE => MOST_SHARDS,
            None => 1,
        };
        Self {
            blocks: std::iter::repeat_with(Block::default).take(blocks).collect(),
            shards: (0..shards).map(|_| Shard::default()).collect(),
            counted: if blocks >= LARGE { COUNTED } else { 1 },
        }
    }

    /// The block of a hash, and the bits in it.
    #[inline]
    fn place(&self, hash: u64) -> (&Block, Bits) {
        let block = (u128::from(hash) * self.blocks.len() as u128) >> 64;
        (&self.blocks[block as usize], Bits::of(hash.wrapping_mul(SPREAD)))
    }

    /// Whether this hash may have been inserted; `false` is certain.
    #[inline]
    pub fn contains(&self, hash: u64) -> bool {
        let (Block(words), bits) = self.place(hash);
        let missing = |n: usize| !words[bits.words[n]].load(Ordering::Relaxed) & bits.masks[n];
        // Without a branch for each word, which would be guessed wrongly for every other absent key.
        missing(0) | missing(1) == 0
    }

    /// Inserts a hash. Returns whether it was certainly not there.
    #[inline]
    pub fn insert(&self, hash: u64) -> bool {
        let (Block(words), bits) = self.place(hash);
        let mut fresh = false;
        for (word, mask) in bits.words.into_iter().zip(bits.masks) {
            if !words[word].load(Ordering::Relaxed) & mask != 0 {
                words[word].fetch_or(mask, Ordering::Relaxed);
                fresh = true;
            }
        }
        if fresh && hash & (self.counted - 1) == 0 {
            let Shard(keys) = &self.shards[(hash >> 32) as usize & (self.shards.len() - 1)];
            keys.fetch_add(self.counted, Ordering::Relaxed);
        }
        fresh
    }

    /// About how many different hashes were inserted, short of those that it took for another: exact in a small filter;
    /// in a large one, where one in sixteen is counted, within a part in a hundred of what it is made for.
    pub fn len(&self) -> u64 {
        self.shards.iter().map(|Shard(keys)| keys.load(Ordering::Relaxed)).sum()
    }

    /// Whether nothing was inserted.
    pub fn is_empty(&self) -> bool {
        self.words().all(|word| word == 0)
    }

    /// In how many shards its keys are counted: threads that insert at once write to different ones.
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// The memory it takes, in bytes.
    pub fn bytes(&self) -> u64 {
        (size_of_val(&*self.blocks) + size_of_val(&*self.shards)) as u64
    }

    /// The part of hashes that were not inserted for which [`Filter::contains`] says `true`, as the bits stand now: for a
    /// block, the product over its groups of the mean over their words of the cube of the part that is filled; the mean of
    /// that over all blocks.
    ///
    /// # Cost
    /// Reads the whole filter.
    pub fn false_positive_rate(&self) -> f64 {
        let hit = |word: &AtomicU64| (f64::from(word.load(Ordering::Relaxed).count_ones()) / 64.0).powi(3);
        let group = |words: &[AtomicU64]| words.iter().map(hit).sum::<f64>() / words.len() as f64;
        let block = |Block(words): &Block| words.chunks(WORDS / 2).map(group).product::<f64>();
        self.blocks.iter().map(block).sum::<f64>() / self.blocks.len() as f64
    }

    fn words(&self) -> impl Iterator<Item = u64> {
        self.blocks.iter().flat_map(|Block(words)| words).map(|word| word.load(Ordering::Relaxed))
    }

    /// How many keys it holds, and its words in order, for keeping them.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.len().to_le_bytes());
        self.words().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
    }

    /// Fills an empty filter of the same size with what [`Filter::write`] wrote; `false` if it is of another size.
    pub(super) fn read(&self, bytes: &[u8]) -> bool {
        let Some((keys, words)) = bytes.split_first_chunk::<8>() else { return false };
        let (words, rest) = words.as_chunks::<8>();
        if words.len() != self.blocks.len() * WORDS || !rest.is_empty() {
            return false;
        }
        for (word, kept) in self.blocks.iter().flat_map(|Block(words)| words).zip(words) {
            word.store(u64::from_le_bytes(*kept), Ordering::Relaxed);
        }
        self.shards[0].0.store(u64::from_le_bytes(*keys), Ordering::Relaxed);
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
            assert!((0.97..=1.03).contains(&found), "it counted {found} of them");
        }
    }

    #[test]
    fn keys_that_look_alike_make_no_more_mistakes() {
        let hash = |n: u64| xxhash_rust::xxh3::xxh3_64_with_seed(format!("order:{n}").as_bytes(), 7);
        let keys = 200_000;
        let filter = Filter::new(keys, 10.5);
        (0..keys).for_each(|n| _ = filter.insert(hash(n)));
        assert!((0..keys).all(|n| filter.contains(hash(n))));
        let wrong = (keys..4 * keys).filter(|n| filter.contains(hash(*n))).count();
        let rate = wrong as f64 / (3 * keys) as f64;
        assert!(rate < 0.01, "{rate}");
    }

    #[test]
    fn in_a_large_filter_block_and_bits_are_independent_too() {
        // A sparse part of a filter of 2^26 blocks: hashes whose highest 18 bits are the same meet in 256 of them.
        let rng = SplitMix::seeded(9);
        let blocks = 1_u128 << 26;
        let mut words = std::collections::HashMap::new();
        let place = |hash: u64| {
            let bits = Bits::of(hash.wrapping_mul(SPREAD));
            (((u128::from(hash) * blocks) >> 64) as u64, bits)
        };
        let draw = || 0x2a5a_u64 << 48 | rng.next_u64() >> 18;
        for _ in 0..256 * 48 {
            let (block, bits) = place(draw());
            for at in 0..2 {
                *words.entry((block, bits.words[at])).or_insert(0_u64) |= bits.masks[at];
            }
        }
        let asked = 200_000;
        let wrong = (0..asked).filter(|_| {
            let (block, bits) = place(draw());
            (0..2).all(|at| {
                words
                    .get(&(block, bits.words[at]))
                    .is_some_and(|word| word & bits.masks[at] == bits.masks[at])
            })
        });
        let rate = wrong.count() as f64 / f64::from(asked);
        assert!((0.006..0.011).contains(&rate), "{rate}");
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
