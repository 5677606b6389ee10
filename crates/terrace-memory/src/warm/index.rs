//! Where the records are: a table of 8 bytes an entry that is never less than seven eighths full for long.
//!
//! Decision: linear probing in the order of the hashes. A slot holds 26 bits of the hash, 2 bits of use and 36
//! bits of place, so the table is rebuilt from itself without touching a record. Because the order is that of
//! the hashes, a search ends at the first greater one, which lets the table be filled to fifteen sixteenths and
//! grow by a sixteenth: 8.5 to 9.1 bytes an entry, where doubling at seven eighths takes 9 to 18. What it costs
//! is an insertion that moves some hundred neighbours by 8 bytes, which is little beside compressing a value.
//!
//! The hash finds candidates only; whoever searches compares the key in the record.

use std::sync::atomic::{AtomicU64, Ordering};

const HASH_BITS: u32 = 26;
const USE_BITS: u32 = 2;
const OFFSET_BITS: u32 = 20;
const BLOCK_BITS: u32 = 64 - HASH_BITS - USE_BITS - OFFSET_BITS;

const USE_SHIFT: u32 = OFFSET_BITS + BLOCK_BITS;
const HASH_SHIFT: u32 = USE_SHIFT + USE_BITS;

/// No entry. It is greater than every entry, since no place has all bits set.
const EMPTY: u64 = u64::MAX;

/// The most that uses are counted to.
pub(super) const MOST_USES: u8 = (1 << USE_BITS) - 1;

/// Blocks have numbers below this.
pub(super) const MAX_BLOCKS: usize = (1 << BLOCK_BITS) - 1;

/// Records begin at offsets below this.
pub(super) const MAX_BLOCK_LEN: usize = 1 << OFFSET_BITS;

/// Where a record begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) block: u16,
    pub(super) offset: u32,
}

impl Place {
    fn bits(self) -> u64 {
        u64::from(self.block) << OFFSET_BITS | u64::from(self.offset)
    }
}

fn place_of(slot: u64) -> Place {
    Place {
        block: (slot >> OFFSET_BITS & ((1 << BLOCK_BITS) - 1)) as u16,
        offset: (slot & ((1 << OFFSET_BITS) - 1)) as u32,
    }
}

fn uses_of(slot: u64) -> u8 {
    (slot >> USE_SHIFT) as u8 & MOST_USES
}

/// The part of a hash that the table knows. The highest bits choose the shard, so the lowest are taken.
pub(super) fn short(hash: u64) -> u64 {
    hash & ((1 << HASH_BITS) - 1)
}

#[derive(Default)]
pub(super) struct Index {
    slots: Vec<AtomicU64>,
    /// Hashes are spread over so many slots; those behind them take what the last ones push on.
    homes: usize,
    len: usize,
}

impl Index {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.slots.capacity() * 8
    }

    fn slot(&self, position: usize) -> u64 {
        // A hit may be adding to the uses at this moment; everything else changes only under `&mut`.
        self.slots.get(position).map_or(EMPTY, |slot| slot.load(Ordering::Relaxed))
    }

    fn home(&self, short: u64) -> usize {
        ((short * self.homes as u64) >> HASH_BITS) as usize
    }

    /// The entries whose hash agrees as far as the table knows it: their positions and places.
    pub(super) fn candidates(&self, hash: u64) -> impl Iterator<Item = (usize, Place)> {
        let short = short(hash);
        let mut position = self.home(short);
        while position < self.slots.len() && self.slot(position) >> HASH_SHIFT < short {
            position += 1;
        }
        std::iter::from_fn(move || {
            let slot = self.slot(position);
            let found = slot != EMPTY && slot >> HASH_SHIFT == short;
            position += 1;
            found.then(|| (position - 1, place_of(slot)))
        })
    }

    /// The position of the entry with this hash whose record is at this place.
    pub(super) fn position(&self, hash: u64, place: Place) -> Option<usize> {
        self.candidates(hash).find(|(_, other)| *other == place).map(|(position, _)| position)
    }

    pub(super) fn uses(&self, position: usize) -> u8 {
        uses_of(self.slot(position))
    }

    /// Counts a use. Two at the same moment may count as one.
    pub(super) fn mark_used(&self, position: usize) {
        if let Some(slot) = self.slots.get(position) {
            let seen = slot.load(Ordering::Relaxed);
            if uses_of(seen) < MOST_USES {
                slot.store(seen + (1 << USE_SHIFT), Ordering::Relaxed);
            }
        }
    }

    /// The record of the entry at this position is elsewhere now, and its uses are these.
    pub(super) fn relocate(&mut self, position: usize, place: Place, uses: u8) {
        if let Some(slot) = self.slots.get_mut(position) {
            let slot = slot.get_mut();
            *slot = (*slot >> HASH_SHIFT << HASH_SHIFT) | u64::from(uses) << USE_SHIFT | place.bits();
        }
    }

    /// How many slots the table must have before one more entry is inserted, if it must grow.
    pub(super) fn growth(&self) -> Option<usize> {
        (self.len >= self.homes - self.homes / 16).then(|| slots_for(self.homes + self.homes / 16 + 16))
    }

    /// Rebuilds the table with about so many slots.
    pub(super) fn grow(&mut self, slots: usize) {
        let mut homes = slots - slack(slots);
        while !self.rebuild(homes) {
            homes += homes / 16 + 1;
        }
    }

    /// Whether less than half of a table that is worth the trouble is used.
    pub(super) fn is_sparse(&self) -> bool {
        self.homes > 64 && self.len < self.homes / 2
    }

    /// Rebuilds the table with room for a few more entries than it has.
    pub(super) fn shrink(&mut self) {
        self.grow(slots_for(self.len + self.len / 8 + 16));
    }

    fn rebuild(&mut self, homes: usize) -> bool {
        let mut next = Index { slots: Vec::new(), homes, len: self.len };
        let slots = slots_for(homes);
        next.slots.reserve_exact(slots);
        next.slots.resize_with(slots, || AtomicU64::new(EMPTY));
        let mut free = 0;
        for slot in self.slots.iter_mut().map(|slot| *slot.get_mut()).filter(|slot| *slot != EMPTY) {
            let position = next.home(slot >> HASH_SHIFT).max(free);
            let Some(to) = next.slots.get_mut(position) else { return false };
            *to.get_mut() = slot;
            free = position + 1;
        }
        *self = next;
        true
    }

    /// Inserts an entry. `false` if the table has to grow first, although it is not full: its end is.
    #[must_use]
    pub(super) fn insert(&mut self, hash: u64, place: Place, uses: u8) -> bool {
        let short = short(hash);
        let slot = short << HASH_SHIFT | u64::from(uses) << USE_SHIFT | place.bits();
        let mut position = self.home(short);
        while position < self.slots.len() && self.slot(position) < slot {
            position += 1;
        }
        let Some(run) = self.slots.get(position..) else { return false };
        let Some(gap) = run.iter().position(|slot| slot.load(Ordering::Relaxed) == EMPTY) else {
            return false;
        };
        if let Some(run) = self.slots.get_mut(position..=position + gap) {
            run.rotate_right(1);
        }
        if let Some(to) = self.slots.get_mut(position) {
            *to.get_mut() = slot;
        }
        self.len += 1;
        true
    }

    /// Removes the entry at this position; those behind it may move.
    pub(super) fn remove(&mut self, position: usize) {
        let mut end = position + 1;
        while self.slot(end) != EMPTY && self.home(self.slot(end) >> HASH_SHIFT) < end {
            end += 1;
        }
        if let Some(run) = self.slots.get_mut(position..end) {
            run.rotate_left(1);
        }
        if let Some(last) = self.slots.get_mut(end - 1) {
            *last.get_mut() = EMPTY;
        }
        self.len -= 1;
    }

    /// Removes every entry of this block whose offset and [`short`] hash do not stay; for blocks that cannot be
    /// walked.
    pub(super) fn purge(&mut self, block: u16, stays: impl Fn((u32, u64)) -> bool) -> usize {
        let before = self.len;
        let mut position = 0;
        while position < self.slots.len() {
            let slot = self.slot(position);
            let place = place_of(slot);
            if slot != EMPTY && place.block == block && !stays((place.offset, slot >> HASH_SHIFT)) {
                // What stood behind it may stand here now.
                self.remove(position);
            } else {
                position += 1;
            }
        }
        before - self.len
    }

    /// The place of the first entry at this position or behind it, and the position after it.
    pub(super) fn next(&self, from: usize) -> Option<(usize, Place)> {
        let found = self.slots.get(from..)?.iter().position(|slot| slot.load(Ordering::Relaxed) != EMPTY)?;
        let position = from + found;
        Some((position + 1, place_of(self.slot(position))))
    }

    /// How many positions there are.
    pub(super) fn positions(&self) -> usize {
        self.slots.len()
    }
}

/// Slots behind the last home. What is pushed past them makes the table grow a little early.
fn slack(homes: usize) -> usize {
    (homes / 16).clamp(8, 64)
}

fn slots_for(homes: usize) -> usize {
    homes + slack(homes)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn mix(n: u64) -> u64 {
        (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 7
    }

    fn place(n: u64) -> Place {
        Place { block: (n >> 12) as u16, offset: (n & 0xfff) as u32 }
    }

    fn put(index: &mut Index, n: u64) {
        while index.growth().is_some() || !index.insert(mix(n), place(n), 0) {
            let slots = index.growth().unwrap_or(index.positions() + index.positions() / 16);
            index.grow(slots);
        }
    }

    #[test]
    fn it_finds_what_was_inserted_and_not_removed() {
        let mut index = Index::default();
        let mut model = HashMap::new();
        for n in 0..50_000_u64 {
            put(&mut index, n);
            model.insert(n, ());
            if n % 3 == 0 {
                let gone = mix(n) % (n + 1);
                if model.remove(&gone).is_some() {
                    let position = index.position(mix(gone), place(gone)).unwrap();
                    index.remove(position);
                }
            }
        }
        assert_eq!(index.len(), model.len());
        for n in 0..50_000 {
            assert_eq!(index.position(mix(n), place(n)).is_some(), model.contains_key(&n), "{n}");
        }
    }

    #[test]
    fn an_entry_costs_at_most_nine_and_a_fifth_bytes() {
        let mut index = Index::default();
        for n in 0..200_000 {
            put(&mut index, n);
            if n > 20_000 {
                let each = index.heap_bytes() as f64 / index.len() as f64;
                assert!(each < 9.2, "{each} bytes an entry at {n}");
            }
        }
    }

    #[test]
    fn equal_hashes_stand_side_by_side() {
        let mut index = Index::default();
        index.grow(slots_for(64));
        for n in 0..20 {
            assert!(index.insert(7, place(n), 0));
        }
        assert_eq!(index.candidates(7).count(), 20);
        let position = index.position(7, place(11)).unwrap();
        index.remove(position);
        assert_eq!(index.position(7, place(11)), None);
        assert_eq!(index.candidates(7).count(), 19);
        assert_eq!(index.purge(0, |(offset, _)| offset < 5), 14);
        assert_eq!(index.candidates(7).count(), 5);
    }

    #[test]
    fn uses_are_counted_to_three_and_survive_a_move() {
        let mut index = Index::default();
        put(&mut index, 1);
        let position = index.position(mix(1), place(1)).unwrap();
        for expected in [1, 2, 3, 3] {
            index.mark_used(position);
            assert_eq!(index.uses(position), expected);
        }
        index.relocate(position, place(9), 2);
        assert_eq!(index.position(mix(1), place(9)), Some(position));
        assert_eq!(index.uses(position), 2);
    }

    #[test]
    fn an_empty_table_takes_no_memory_and_finds_nothing() {
        let index = Index::default();
        assert_eq!((index.heap_bytes(), index.candidates(5).count(), index.next(0)), (0, 0, None));
        assert!(index.growth().is_some());
    }
}
