//! Memory of entries that left: fingerprints in the order of their leaving, no keys and no values.
//!
//! Decision: a ring of 32-bit fingerprints and a hash table of positions in it, about 15 bytes a ghost. Two
//! keys with one fingerprint are taken for each other, once in four thousand million, which costs at most one
//! entry a better place than it deserves.

use std::collections::VecDeque;

use hashbrown::HashTable;

/// Marks a record whose ghost came back; its place in the ring is dropped when its turn comes.
const GONE: u32 = u32::MAX;

struct Record<T> {
    fingerprint: u32,
    weight: u32,
    past: T,
}

/// A bounded first-in-first-out set of fingerprints, each with a weight and what else is worth remembering.
pub(super) struct Ghost<T = ()> {
    /// Oldest first.
    ring: VecDeque<Record<T>>,
    /// Sequence number of the oldest record; numbers wrap.
    oldest: u32,
    /// Sequence numbers of the records that are not gone.
    table: HashTable<u32>,
    weight: u64,
}

impl<T> Default for Ghost<T> {
    fn default() -> Self {
        Ghost { ring: VecDeque::new(), oldest: 0, table: HashTable::new(), weight: 0 }
    }
}

impl<T: Copy> std::fmt::Debug for Ghost<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ghost").field("len", &self.len()).field("weight", &self.weight).finish()
    }
}

/// The part of a hash a ghost is known by. The high bits choose the shard, so the low ones are taken.
pub(super) fn fingerprint(hash: u64) -> u32 {
    hash as u32
}

/// The hash of a fingerprint for the table. The multiplication spreads it over the high bits the table uses.
pub(super) fn spread(fingerprint: u32) -> u64 {
    u64::from(fingerprint).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Ghost {
    /// Remembers an entry that left, and forgets the oldest ones beyond `max_weight` or `max_len`.
    pub(super) fn remember(&mut self, fingerprint: u32, weight: u32, max_weight: u64, max_len: usize) {
        self.remember_with(fingerprint, weight, (), max_weight, max_len);
    }

    /// Whether the entry left not long ago; it is forgotten by the question.
    pub(super) fn recall(&mut self, fingerprint: u32) -> bool {
        self.take(fingerprint).is_some()
    }

    /// The weight of an entry that left not long ago; it is forgotten by the question.
    pub(super) fn take(&mut self, fingerprint: u32) -> Option<u32> {
        self.take_with(fingerprint).map(|(weight, ())| weight)
    }
}

impl<T: Copy> Ghost<T> {
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// Remembers an entry that left, and forgets the oldest ones beyond `max_weight` or `max_len`.
    pub(super) fn remember_with(
        &mut self,
        fingerprint: u32,
        weight: u32,
        past: T,
        max_weight: u64,
        max_len: usize,
    ) {
        self.take_with(fingerprint);
        let weight = weight.min(GONE - 1);
        let sequence = self.oldest.wrapping_add(self.ring.len() as u32);
        // By a quarter, as everything that grows with the entries.
        if self.ring.len() == self.ring.capacity() {
            self.ring.reserve_exact((self.ring.len() / 4).max(16));
        }
        self.ring.push_back(Record { fingerprint, weight, past });
        let (ring, oldest) = (&self.ring, self.oldest);
        self.table.insert_unique(spread(fingerprint), sequence, |sequence| {
            spread(ring[sequence.wrapping_sub(oldest) as usize].fingerprint)
        });
        self.weight += u64::from(weight);
        while self.table.len() > max_len || self.weight > max_weight {
            self.forget_oldest();
        }
        self.drop_gone();
    }

    pub(super) fn weight(&self) -> u64 {
        self.weight
    }

    /// The weight of an entry that left not long ago and what else was remembered of it; it is forgotten by
    /// the question.
    pub(super) fn take_with(&mut self, fingerprint: u32) -> Option<(u32, T)> {
        let (ring, oldest) = (&mut self.ring, self.oldest);
        let found = self.table.find_entry(spread(fingerprint), |sequence| {
            ring[sequence.wrapping_sub(oldest) as usize].fingerprint == fingerprint
        });
        let (sequence, _) = found.ok()?.remove();
        let record = &mut ring[sequence.wrapping_sub(oldest) as usize];
        let weight = std::mem::replace(&mut record.weight, GONE);
        self.weight -= u64::from(weight);
        Some((weight, record.past))
    }

    /// Forgets the oldest entry, and tells whether there was one.
    pub(super) fn pop_oldest(&mut self) -> bool {
        let before = self.table.len();
        while self.table.len() == before && !self.ring.is_empty() {
            self.forget_oldest();
        }
        before > 0
    }

    fn forget_oldest(&mut self) {
        let Some(record) = self.ring.pop_front() else { return };
        let sequence = self.oldest;
        self.oldest = self.oldest.wrapping_add(1);
        if record.weight == GONE {
            return;
        }
        self.weight -= u64::from(record.weight);
        if let Ok(entry) = self.table.find_entry(spread(record.fingerprint), |other| *other == sequence) {
            entry.remove();
        }
    }

    /// Keeps records of ghosts that came back from piling up behind an old one that did not.
    fn drop_gone(&mut self) {
        while self.ring.front().is_some_and(|record| record.weight == GONE) {
            self.forget_oldest();
        }
        if self.ring.len() > 2 * self.table.len() + 64 {
            self.ring.retain(|record| record.weight != GONE);
            self.table.clear();
            self.oldest = 0;
            let ring = &self.ring;
            for (sequence, record) in ring.iter().enumerate() {
                self.table.insert_unique(spread(record.fingerprint), sequence as u32, |sequence| {
                    spread(ring[*sequence as usize].fingerprint)
                });
            }
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.ring.capacity() * size_of::<Record<T>>() + self.table.allocation_size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten_first_by_weight_and_by_count() {
        let mut ghost: Ghost = Ghost::default();
        for fingerprint in 0..10 {
            ghost.remember(fingerprint, 10, 50, 100);
        }
        assert_eq!((ghost.len(), ghost.weight()), (5, 50));
        assert!(!ghost.recall(4));
        assert!(ghost.recall(5));
        assert!(!ghost.recall(5));
        ghost.remember(11, 0, 50, 2);
        assert_eq!(ghost.len(), 2);
        assert!(ghost.recall(9) && ghost.recall(11));
        assert_eq!((ghost.len(), ghost.weight), (0, 0));
        assert!(!ghost.pop_oldest());
        for fingerprint in [5, 6, 7] {
            ghost.remember(fingerprint, 3, 50, 100);
        }
        assert_eq!(ghost.take(5), Some(3));
        assert!(ghost.pop_oldest());
        assert_eq!((ghost.len(), ghost.take(6), ghost.take(7)), (1, None, Some(3)));
    }

    #[test]
    fn ghosts_that_come_back_leave_no_litter() {
        let mut ghost: Ghost = Ghost::default();
        ghost.remember(u32::MAX, 1, 1000, 1000);
        for fingerprint in 0..100_000 {
            ghost.remember(fingerprint, 1, 1000, 1000);
            assert!(ghost.recall(fingerprint));
        }
        assert!(ghost.ring.len() < 100, "{} records", ghost.ring.len());
        assert!(ghost.recall(u32::MAX));
    }

    #[test]
    fn remembering_again_renews() {
        let mut ghost: Ghost = Ghost::default();
        for fingerprint in [1, 2, 3, 1, 4, 5] {
            ghost.remember(fingerprint, 1, 3, 100);
        }
        assert!(ghost.recall(1) && ghost.recall(4) && ghost.recall(5));
        assert!(!ghost.recall(2) && !ghost.recall(3));
    }
}
