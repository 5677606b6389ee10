//! Walking over all entries: timers, scans, conditions, clearing, and changes of capacity.
//!
//! Decision: nothing here stops the world. Each step takes one shard's lock for a bounded number of entries,
//! so what a walk sees is no snapshot; but an entry that stays throughout is met exactly once, because it
//! keeps its slot.

use std::sync::atomic::Ordering;

use crate::entry::{Evicted, Meta};
use crate::eviction::Policy;
use crate::memory::{Memory, setup};

/// Slots that [`Memory::retain`] looks at under one lock.
const RETAIN_STEP: u32 = 256;
/// Timers looked at for each entry that [`Memory::advance`] may return: an idle entry that was used since is
/// put back, which is work too.
const STEPS_PER_ENTRY: usize = 4;

impl<K, V, P: Policy, S> Memory<K, V, P, S> {
    /// Takes out entries that are dead at `now`, at most `limit` of them, and returns them with their cause.
    /// Entries die on time without this; it only frees their memory and tells of them.
    ///
    /// # Cost
    ///
    /// A read lock for each shard, and a write lock for each that has something due. The timers looked at are
    /// limited too, to four per entry wanted and shard, so after a long pause a call may return fewer than
    /// `limit` although more are dead; the next call goes on.
    pub fn advance(&self, now: u64, limit: usize) -> Vec<Evicted<K, V>> {
        let mut evicted = Vec::new();
        let first = self.sweep.load(Ordering::Relaxed);
        for step in 0..self.cells.len() {
            let index = (first + step) & (self.cells.len() - 1);
            let cell = &self.cells[index];
            if evicted.len() >= limit {
                self.sweep.store(index, Ordering::Relaxed);
                break;
            }
            if !cell.lock.read().wheel.is_due(now) {
                continue;
            }
            let mut shard = cell.lock.write();
            while evicted.len() < limit {
                let mut steps = STEPS_PER_ENTRY.saturating_mul(limit - evicted.len());
                let Some((slot, cause)) = shard.wheel.expire(now, &mut steps) else { break };
                self.evict(cell, &mut shard, slot, cause, &mut evicted);
            }
            cell.publish_totals(&shard);
        }
        evicted
    }

    /// Shows live entries to `visit`, beginning where an earlier call left off (0 begins anew), and returns
    /// where to go on, 0 at the end. Looks at `limit` slots (at least one), of which some may be empty, so a
    /// call may visit fewer entries than that, or none, before the end.
    ///
    /// An entry that stays from the first call to the last is visited exactly once, even if its value is
    /// replaced; one that comes or goes meanwhile may be visited or not. `visit` runs under a shard's lock.
    pub fn scan(&self, cursor: u64, limit: usize, now: u64, mut visit: impl FnMut(&K, &V, Meta)) -> u64 {
        let (mut index, mut slot) = ((cursor >> 32) as usize, cursor as u32);
        let mut left = limit.max(1) as u64;
        while let Some(cell) = self.cells.get(index) {
            let shard = cell.lock.read();
            let end = shard.slab.slots();
            while slot < end && left > 0 {
                if let Some(entry) = shard.slab.get(slot)
                    && shard.dead(slot, now).is_none()
                {
                    visit(&entry.key, &entry.value, shard.meta(slot, entry));
                }
                slot += 1;
                left -= 1;
            }
            if slot < end {
                return (index as u64) << 32 | u64::from(slot);
            }
            (index, slot) = (index + 1, 0);
        }
        0
    }

    /// Removes every entry that does not satisfy `keep`, and every dead one, and returns how many that were.
    /// Entries that come in meanwhile may be judged or not. `keep` runs under a shard's lock, which is
    /// released every 256 slots.
    pub fn retain(&self, now: u64, mut keep: impl FnMut(&K, &V) -> bool) -> usize {
        let mut removed = 0;
        for cell in &self.cells {
            let mut slot = 0;
            loop {
                let mut out = Vec::new();
                let mut shard = cell.lock.write();
                let end = shard.slab.slots().min(slot + RETAIN_STEP);
                if slot >= end {
                    break;
                }
                for slot in slot..end {
                    let Some(entry) = shard.slab.get(slot) else { continue };
                    let dead = shard.dead(slot, now);
                    if dead.is_none() && keep(&entry.key, &entry.value) {
                        continue;
                    }
                    match dead {
                        Some(cause) => cell.counters.left(cause),
                        None => cell.counters.removals.add(1),
                    }
                    out.extend(self.take_out(&mut shard, slot));
                    cell.publish_totals(&shard);
                }
                slot = end;
                drop(shard);
                // Keys and values are dropped here, outside the lock.
                removed += out.len();
            }
        }
        removed
    }

    /// Removes everything, pinned entries too, gives the memory back, and returns how many entries that were.
    /// Entries that other threads insert meanwhile may stay.
    pub fn clear(&self) -> usize {
        let mut removed = 0;
        for cell in &self.cells {
            let mut shard = cell.lock.write();
            let (entries, weight) = shard.drain();
            self.budget.release(weight);
            cell.publish_totals(&shard);
            drop(shard);
            cell.counters.removals.add(entries.len() as u64);
            removed += entries.len();
        }
        removed
    }

    /// Changes the capacity, evicting what no longer fits, and returns that. Writers obey a smaller capacity at
    /// once; [`capacity`](Memory::capacity) tells of it when the weight is within it.
    ///
    /// Pinned entries stay: if they alone weigh more than `capacity`, what they weigh is the new capacity.
    pub fn set_capacity(&self, capacity: u64, now: u64) -> Vec<Evicted<K, V>> {
        let _one_at_a_time = self.resize.lock();
        self.budget.begin_resize(capacity);
        let share = capacity / self.cells.len() as u64;
        for cell in &self.cells {
            cell.lock.write().policy.set_capacity(setup(capacity, self.cells.len()));
        }
        let mut evicted = Vec::new();
        // First every shard comes down to its part, then, where pinned entries or large ones left too much, to
        // whatever it takes.
        for floor in [share, 0] {
            for cell in &self.cells {
                let mut shard = cell.lock.write();
                while self.budget.used() > capacity
                    && shard.weight > floor
                    && let Some((slot, cause)) = shard.victim(now)
                {
                    self.evict(cell, &mut shard, slot, cause, &mut evicted);
                }
                cell.publish_totals(&shard);
            }
        }
        self.budget.finish_resize(capacity.max(self.budget.used()));
        evicted
    }

    /// The live entries' keys. For tests and small caches.
    ///
    /// # Cost
    ///
    /// Visits every slot and clones every key, with a read lock of one shard at a time.
    pub fn keys(&self, now: u64) -> Vec<K>
    where
        K: Clone,
    {
        let mut keys = Vec::new();
        let mut cursor = 0;
        loop {
            cursor = self.scan(cursor, 1024, now, |key, _, _| keys.push(key.clone()));
            if cursor == 0 {
                return keys;
            }
        }
    }
}
