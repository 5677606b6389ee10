//! Making room: in the own shard, or in another one.

use std::sync::atomic::Ordering;

use crate::entry::{Cause, Inserted};
use crate::eviction::Policy;
use crate::gone::{Evicted, Gone};
use crate::memory::Memory;
use crate::shard::{Incoming, Locked, Victim};
use crate::sync::yield_now;

/// How often the other shards are asked before a value is refused because all of them were busy.
const ROUNDS: usize = 64;

impl<K, V, P: Policy, S> Memory<K, V, P, S> {
    /// Makes room for what comes in beside what the entry in `found` holds already, evicting for it, and returns how much
    /// weight is the caller's then: as much as is needed or more. The entry itself may be the victim; then its value counts
    /// as replaced and `found` becomes `None`. `None` if no room can be made; nothing is the caller's then.
    #[inline]
    pub(super) fn make_room<'a>(
        &'a self,
        locked: &mut Locked<'a, K, V, P>,
        found: &mut Option<u32>,
        new: &Incoming<K, V>,
        now: u64,
        done: &mut Inserted<'a, K, V>,
    ) -> Option<u64> {
        let weight = u64::from(new.weight);
        let mut lent = 0;
        loop {
            let held = found.map_or(0, |number| u64::from(locked.core.slab.weight(number))) + lent;
            if weight <= held {
                return Some(lent);
            }
            if self.budget.reserve(weight - held) {
                return Some(lent + (weight - held));
            }
            if self.is_starved(locked, weight) && self.evict_elsewhere(new.hash, self.share(), now, 1, done) {
                continue;
            }
            let Some(Victim { number, weight, cause }) = locked.take_victim(now) else {
                if self.evict_elsewhere(new.hash, 0, now, ROUNDS, done) {
                    continue;
                }
                self.give_back(lent);
                return None;
            };
            lent += u64::from(weight);
            let gone = Gone::unlinked(locked.core, number);
            if *found == Some(number) {
                done.replaced = Some(gone);
                *found = None;
            } else {
                locked.writers.counters.left(cause);
                done.evicted.push(Evicted { gone, weight: u64::from(weight), cause });
            }
        }
    }

    /// What is a shard's if all have equal parts.
    #[inline]
    fn share(&self) -> u64 {
        // The number of shards is a power of two.
        self.budget.limit() >> self.shards.len().trailing_zeros()
    }

    /// Whether a shard has far less than its part.
    #[inline]
    pub(super) fn is_starved(&self, locked: &Locked<'_, K, V, P>, weight: u64) -> bool {
        self.shards.len() > 1 && locked.state.weight + weight <= self.share() / 2
    }

    /// Evicts one entry from another shard than this hash's that weighs more than `heavier_than`, if one can be had
    /// within so many rounds over shards that may be busy.
    #[cold]
    #[inline(never)]
    fn evict_elsewhere<'a>(
        &'a self,
        hash: u64,
        heavier_than: u64,
        now: u64,
        rounds: usize,
        done: &mut Inserted<'a, K, V>,
    ) -> bool {
        let (index, _) = self.shard_of(hash);
        for _ in 0..rounds {
            let mut busy = false;
            for step in 1..self.shards.len() {
                let shard = &self.shards[(index + step) & (self.shards.len() - 1)];
                if shard.writers.weight.load(Ordering::Relaxed) <= heavier_than {
                    continue;
                }
                let Some(mut locked) = shard.try_lock() else {
                    busy = true;
                    continue;
                };
                if let Some(victim) = locked.take_victim(now) {
                    done.evicted.push(self.evicted(&locked, victim));
                    locked.publish_totals();
                    return true;
                }
            }
            if !busy {
                return false;
            }
            yield_now();
        }
        false
    }

    #[inline]
    pub(super) fn give_back(&self, weight: u64) {
        if weight > 0 {
            self.budget.release(weight);
        }
    }

    /// Takes an entry out of its shard and gives its weight back to the budget.
    pub(crate) fn take_out<'a>(&self, locked: &mut Locked<'a, K, V, P>, number: u32) -> Gone<'a, K, V> {
        let weight = locked.take(number);
        self.give_back(u64::from(weight));
        Gone::unlinked(locked.core, number)
    }

    /// Gives a victim's weight back to the budget, counts it and hands it over.
    pub(crate) fn evicted<'a>(&self, locked: &Locked<'a, K, V, P>, victim: Victim) -> Evicted<'a, K, V> {
        let Victim { number, weight, cause } = victim;
        self.give_back(u64::from(weight));
        locked.writers.counters.left(cause);
        Evicted { gone: Gone::unlinked(locked.core, number), weight: u64::from(weight), cause }
    }

    /// Takes an entry out for a cause, counts it and hands it over.
    pub(crate) fn evict<'a>(
        &self,
        locked: &mut Locked<'a, K, V, P>,
        number: u32,
        cause: Cause,
    ) -> Evicted<'a, K, V> {
        let gone = self.take_out(locked, number);
        locked.writers.counters.left(cause);
        Evicted { weight: u64::from(locked.core.slab.weight(number)), gone, cause }
    }
}
