//! A part of the entries under one lock: index, blocks, and what happens to them.
//!
//! Decision: each shard has its part of the capacity and nothing is borrowed, so the bound is exact without a
//! shared counter. A hash spreads thousands of entries evenly enough.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use terrace_envelope::codec::Dictionary;

use super::block::{Block, Log, Queue};
use super::evicted::Evicted;
use super::ghosts::Ghosts;
use super::index::{Index, MAX_BLOCK_LEN, Place};
use super::record::{DICTIONARY_SLOTS, Record, checksum_of};
use super::stats::Tally;
use crate::{Cause, RandomHash};

/// What a block costs beside its data: its place in the table of blocks and in its log, with what growing
/// vectors keep in reserve.
pub(super) const BLOCK_OVERHEAD: usize = 2 * size_of::<Block>() + 16;

/// A shard is at least so many blocks, or evicting one would empty a noticeable part of it.
const BLOCKS_PER_SHARD: u64 = 64;

/// The shortest block that is worth its overhead, and the longest.
const BLOCK_LEN: (u64, u64) = (4 << 10, MAX_BLOCK_LEN as u64);

/// The dictionaries by their slot; those that no entry needs any more are none.
pub(super) type Dictionaries = [Option<Arc<Dictionary>>; DICTIONARY_SLOTS];

pub(super) struct Shard {
    pub(super) index: Index,
    pub(super) ghosts: Ghosts,
    pub(super) blocks: Vec<Block>,
    /// Numbers of blocks that are not in use.
    pub(super) free: Vec<u16>,
    pub(super) probation: Log,
    pub(super) main: Log,
    /// A block that was emptied and will be needed at once.
    pub(super) spare: Option<Vec<u8>>,
    /// The capacities of all blocks and of the spare one.
    pub(super) block_bytes: usize,
    pub(super) block_len: usize,
    pub(super) budget: u64,
    pub(super) dictionaries: Dictionaries,
    /// The slot of the one that new values are encoded with; 0 is none.
    pub(super) current: u8,
    /// How many entries were encoded with each of them.
    pub(super) encoded_with: [u32; DICTIONARY_SLOTS],
    pub(super) hasher: RandomHash,
    pub(super) tally: Tally,
    pub(super) hits: AtomicU64,
    pub(super) misses: AtomicU64,
}

/// A record that was found.
pub(super) struct Hit<'a> {
    pub(super) position: usize,
    pub(super) place: Place,
    pub(super) record: Record<'a>,
    /// The record with its checksum.
    pub(super) bytes: &'a [u8],
}

/// Why an entry was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Cause(Cause),
    /// Its dictionary is no longer in use.
    Dictionary,
    /// There is one that is as new.
    NotNewer,
}

impl Shard {
    pub(super) fn new(budget: u64, hasher: RandomHash) -> Self {
        Shard {
            index: Index::default(),
            ghosts: Ghosts::default(),
            blocks: Vec::new(),
            free: Vec::new(),
            probation: Log::default(),
            main: Log::default(),
            spare: None,
            block_bytes: 0,
            block_len: block_len(budget),
            budget,
            dictionaries: Dictionaries::default(),
            current: 0,
            encoded_with: [0; DICTIONARY_SLOTS],
            hasher,
            tally: Tally::default(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// The bytes it holds on the heap; where vectors may hold a little less, their upper bound.
    pub(super) fn weight(&self) -> u64 {
        let table = self.index.heap_bytes() + self.ghosts.heap_bytes();
        (self.block_bytes + table + self.blocks.len() * BLOCK_OVERHEAD) as u64
    }

    /// What the active blocks and the spare one have left.
    pub(super) fn unused_bytes(&self) -> u64 {
        let active = [self.probation.active, self.main.active].into_iter().flatten();
        let blocks = active.filter_map(|id| self.blocks.get(usize::from(id)));
        let left: usize = blocks.map(|block| block.data.capacity() - block.data.len()).sum();
        (left + self.spare.as_ref().map_or(0, Vec::capacity)) as u64
    }

    pub(super) fn set_budget(&mut self, budget: u64, now: u64, evicted: &mut Evicted) {
        self.budget = budget;
        self.block_len = block_len(budget);
        while self.weight() > self.budget {
            if self.index.is_sparse() {
                self.index.shrink();
                self.ghosts.resize(self.index.positions());
            } else if let Some(spare) = self.spare.take() {
                self.block_bytes -= spare.capacity();
            } else if !self.reclaim(now, evicted) {
                // All entries have left; only the tables are still as large as they were.
                self.clear();
                break;
            }
        }
    }

    /// Evicts until so many bytes more may be allocated; `false` if even an empty shard could not.
    fn make_room(&mut self, bytes: usize, now: u64, evicted: &mut Evicted) -> bool {
        while self.weight() + bytes as u64 > self.budget {
            if let Some(spare) = self.spare.take() {
                self.block_bytes -= spare.capacity();
            } else if !self.reclaim(now, evicted) {
                return false;
            }
        }
        true
    }

    pub(super) fn find(&self, hash: u64, key: &[u8]) -> Option<Hit<'_>> {
        self.index.candidates(hash).find_map(|(position, place)| {
            let (record, bytes) = self.record(place)?;
            (record.key == key).then_some(Hit { position, place, record, bytes })
        })
    }

    /// The record at this place, and its bytes. Nothing is verified.
    pub(super) fn record(&self, place: Place) -> Option<(Record<'_>, &[u8])> {
        let block = self.blocks.get(usize::from(place.block))?;
        let bytes = block.data.get(place.offset as usize..)?;
        let (record, len) = Record::read(bytes, block.base)?;
        Some((record, bytes.get(..len)?))
    }

    /// Stores a record in the place of any that the key has. If it is refused for a cause, the key holds nothing.
    pub(super) fn insert(
        &mut self,
        hash: u64,
        record: &Record<'_>,
        dictionary: Option<&Arc<Dictionary>>,
        only_newer: bool,
        now: u64,
        evicted: &mut Evicted,
    ) -> Result<bool, Refusal> {
        let known = self.dictionaries.get(usize::from(record.dictionary)).and_then(Option::as_ref);
        if record.dictionary != 0 && !known.zip(dictionary).is_some_and(|(a, b)| Arc::ptr_eq(a, b)) {
            return Err(Refusal::Dictionary);
        }
        let old = self.find(hash, record.key).map(|old| {
            let queue = self.blocks.get(usize::from(old.place.block)).map_or(Queue::Probation, |b| b.queue);
            (old.position, old.record.version, old.record.is_dead(now), self.index.uses(old.position), queue)
        });
        let (mut uses, mut queue) = (0, Queue::Probation);
        if let Some((position, version, dead, old_uses, old_queue)) = old {
            if only_newer && !dead && version >= record.version {
                return Err(Refusal::NotNewer);
            }
            (uses, queue) = (old_uses, old_queue);
            self.drop_at(position);
        } else if self.ghosts.recall(hash) {
            queue = Queue::Main;
        }
        while !self.place(hash, record, queue, uses, now, evicted).map_err(Refusal::Cause)? {}
        if let Some(count) = self.encoded_with.get_mut(usize::from(record.dictionary)) {
            *count += 1;
        }
        Ok(old.is_some())
    }

    /// Stores a record; `Ok(false)` if it has to be tried again after the index has grown.
    fn place(
        &mut self,
        hash: u64,
        record: &Record<'_>,
        queue: Queue,
        uses: u8,
        now: u64,
        evicted: &mut Evicted,
    ) -> Result<bool, Cause> {
        if let Some(slots) = self.index.growth() {
            self.grow_index(slots, now, evicted)?;
        }
        // A new block's base is `now`; in an older one the expiry may take a byte more.
        let longest = record.len(now) + 6;
        let id = self.block_for(longest, queue, now, evicted)?;
        let Some(block) = self.blocks.get_mut(usize::from(id)) else { return Err(Cause::TooHeavy) };
        let offset = block.data.len();
        record.append(block.base, &mut block.data);
        if self.index.insert(hash, Place { block: id, offset: offset as u32 }, uses) {
            block.live += 1;
            block.expires(record.expires_at);
            return Ok(true);
        }
        block.data.truncate(offset);
        self.drop_if_empty(id);
        let slots = self.index.positions();
        self.grow_index(slots + slots / 16 + 16, now, evicted)?;
        Ok(false)
    }

    fn grow_index(&mut self, slots: usize, now: u64, evicted: &mut Evicted) -> Result<(), Cause> {
        // The old table is there until the new one is filled, so there must be room for both.
        let bytes = slots * 8 + 2 * slots;
        if !self.make_room(bytes, now, evicted) {
            return Err(Cause::TooHeavy);
        }
        if self.index.growth().is_some() || self.index.positions() < slots {
            self.index.grow(slots);
            self.ghosts.resize(self.index.positions());
        }
        Ok(())
    }

    /// Forgets the entry at this position of the index. Its bytes stay in the block until the block's turn,
    /// unless it was the last there.
    pub(super) fn drop_at(&mut self, position: usize) {
        let Some((_, place)) = self.index.next(position) else { return };
        let dictionary = self.record(place).map_or(0, |(record, _)| record.dictionary);
        self.forget(position, place.block, dictionary);
        self.drop_if_empty(place.block);
    }

    /// The same without looking whether the block is empty now.
    pub(super) fn forget(&mut self, position: usize, block: u16, dictionary: u8) {
        self.index.remove(position);
        if let Some(count) = self.encoded_with.get_mut(usize::from(dictionary)) {
            *count = count.saturating_sub(1);
        }
        if let Some(block) = self.blocks.get_mut(usize::from(block)) {
            block.live = block.live.saturating_sub(1);
        }
    }

    /// Removes the damaged record that a reader met, if it is still there.
    pub(super) fn remove_damaged(&mut self, hash: u64, place: Place, checksum: [u8; 4]) {
        let same = self.record(place).is_some_and(|(_, bytes)| checksum_of(bytes) == checksum);
        if let Some(position) = self.index.position(hash, place).filter(|_| same) {
            self.drop_at(position);
            self.tally.damaged += 1;
        }
    }

    /// Counts anew which dictionaries are needed, after entries were lost without being looked at.
    pub(super) fn recount(&mut self) {
        let mut counts = [0; DICTIONARY_SLOTS];
        let mut from = 0;
        while let Some((next, place)) = self.index.next(from) {
            let dictionary = self.record(place).map_or(0, |(record, _)| record.dictionary);
            if let Some(count) = counts.get_mut(usize::from(dictionary)) {
                *count += 1;
            }
            from = next;
        }
        self.encoded_with = counts;
    }

    /// Forgets everything and gives all memory back.
    pub(super) fn clear(&mut self) {
        let empty = Shard::new(self.budget, self.hasher.clone());
        let old = std::mem::replace(self, empty);
        self.dictionaries = old.dictionaries;
        self.current = old.current;
        self.tally = old.tally;
        self.hits = AtomicU64::new(old.hits.load(Ordering::Relaxed));
        self.misses = AtomicU64::new(old.misses.load(Ordering::Relaxed));
    }
}

fn block_len(budget: u64) -> usize {
    let even = budget / BLOCKS_PER_SHARD;
    // A tiny shard has short blocks and few of them.
    let least = BLOCK_LEN.0.min(budget / 8);
    even.clamp(least, BLOCK_LEN.1) as usize
}
