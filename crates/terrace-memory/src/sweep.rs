//! Walking over all entries: timers, scans, conditions, clearing, and changes of capacity.
//!
//! Decision: nothing here stops the world. Each step takes one shard's lock for a bounded number of entries, so
//! what a walk sees is no snapshot. Walks go through a shard in the order of hashes, which neither a larger index
//! nor another value changes, so an entry that stays throughout is met exactly once.

use std::sync::atomic::Ordering;

use crate::cell::flag;
use crate::entry::Meta;
use crate::eviction::Policy;
use crate::gone::{Evictions, Gone};
use crate::memory::{Memory, most_retired, setup};
use crate::readers::Pin;
use crate::shard::{Drained, Shard, meta};

/// Entries that [`Memory::retain`] looks at in one step.
const RETAIN_STEP: usize = 256;
/// Timers looked at for each entry that [`Memory::advance`] may return: an idle entry that was used since is
/// put back, which is work too.
const STEPS_PER_ENTRY: usize = 4;

/// One past the largest hash that the index goes by.
const END: u64 = 1 << 32;

impl<K, V, P: Policy, S> Memory<K, V, P, S> {
    /// Takes out entries that are dead at `now`, at most `limit` of them, and returns them with their cause.
    /// Entries die on time without this; it only frees their memory and tells of them. It also drops what left
    /// earlier.
    ///
    /// # Cost
    ///
    /// The lock of each shard. The timers looked at are limited too, to four per entry wanted and shard, so after
    /// a long pause a call may return fewer than `limit` although more are dead; the next call goes on.
    pub fn advance(&self, now: u64, limit: usize) -> Evictions<'_, K, V> {
        let mut evicted = Evictions::default();
        self.reclaim();
        let first = self.sweep.load(Ordering::Relaxed);
        for step in 0..self.shards.len() {
            let index = (first + step) & (self.shards.len() - 1);
            if evicted.len() >= limit {
                self.sweep.store(index, Ordering::Relaxed);
                break;
            }
            let mut locked = self.shards[index].lock();
            if !locked.state.wheel.is_due(now) {
                continue;
            }
            while evicted.len() < limit {
                let mut steps = STEPS_PER_ENTRY.saturating_mul(limit - evicted.len());
                let Some((number, cause)) = locked.expire(now, &mut steps) else { break };
                evicted.push(self.evict(&mut locked, number, cause));
            }
            locked.publish_totals();
        }
        evicted
    }

    /// Shows live entries to `visit`, beginning where an earlier call left off (0 begins anew), and returns
    /// where to go on, 0 at the end. Looks at about `limit` entries or empty places (at least one; more only where
    /// hashes are equal), so a call may visit fewer entries than that, or none, before the end.
    ///
    /// An entry that stays from the first call to the last is visited exactly once, even if its value is
    /// replaced; one that comes or goes meanwhile may be visited or not. `visit` runs without a lock.
    pub fn scan(&self, cursor: u64, limit: usize, now: u64, mut visit: impl FnMut(&K, &V, Meta)) -> u64 {
        let (mut index, mut from) = ((cursor >> 32) as usize, cursor & (END - 1));
        let mut left = limit.max(1);
        while let Some(shard) = self.shards.get(index) {
            let pin = self.readers.pin();
            let step = collect(shard, &pin, from, left);
            left = left.saturating_sub(step.looked);
            for number in step.numbers {
                let found = shard.core.noted(&pin, number);
                if found.dead(now).is_none() {
                    visit(&found.pair().key, &found.pair().value, meta(&shard.core, number));
                }
            }
            if step.next < END {
                return (index as u64) << 32 | step.next;
            }
            (index, from) = (index + 1, 0);
            if left == 0 && index < self.shards.len() {
                return (index as u64) << 32;
            }
        }
        0
    }

    /// Removes every entry that does not satisfy `keep`, and every dead one, and returns how many that were.
    /// Entries that come in meanwhile may be judged or not. `keep` runs without a lock; an entry that is replaced
    /// while it is judged stays.
    pub fn retain(&self, now: u64, mut keep: impl FnMut(&K, &V) -> bool) -> usize {
        let mut removed = 0;
        for shard in &self.shards {
            let mut from = 0;
            while from < END {
                // The pin ends before anything is dropped, so that it can be freed at once.
                let (next, gone) = self.retain_step(shard, from, now, &mut keep);
                from = next;
                removed += gone.len();
            }
        }
        self.reclaim();
        removed
    }

    fn retain_step<'a>(
        &self,
        shard: &'a Shard<K, V, P>,
        from: u64,
        now: u64,
        keep: &mut impl FnMut(&K, &V) -> bool,
    ) -> (u64, Vec<Gone<'a, K, V>>) {
        let pin = self.readers.pin();
        let step = collect(shard, &pin, from, RETAIN_STEP);
        let mut out = Vec::new();
        for number in step.numbers {
            let found = shard.core.noted(&pin, number);
            let dead = found.dead(now);
            if dead.is_none() && keep(&found.pair().key, &found.pair().value) {
                continue;
            }
            let mut locked = shard.lock();
            // The pin keeps the cell from being another entry's by now.
            if !found.cell.is(flag::LIVE) {
                continue;
            }
            match dead {
                Some(cause) => locked.writers.counters.left(cause),
                None => locked.writers.counters.removals.add(1),
            }
            out.push(self.take_out(&mut locked, number));
            locked.publish_totals();
        }
        (step.next, out)
    }

    /// Removes everything, pinned entries too, gives the memory back, and returns how many entries that were.
    /// Entries that other threads insert meanwhile may stay.
    pub fn clear(&self) -> usize {
        let mut removed = 0;
        for shard in &self.shards {
            let mut locked = shard.lock();
            let Drained { chain, len, weight } = locked.drain();
            self.budget.release(weight);
            locked.writers.counters.removals.add(u64::from(len));
            locked.publish_totals();
            drop(locked);
            if let Some((first, last)) = chain {
                shard.core.push(first, last, len);
            }
            shard.core.reclaim();
            let mut locked = shard.lock();
            shard.core.shrink(&mut locked.state.space);
            removed += len as usize;
        }
        removed
    }

    /// Changes the capacity, evicting what no longer fits, and returns that. Writers obey a smaller capacity at
    /// once; [`capacity`](Memory::capacity) tells of it when the weight is within it.
    ///
    /// Pinned entries stay: if they alone weigh more than `capacity`, what they weigh is the new capacity.
    pub fn set_capacity(&self, capacity: u64, now: u64) -> Evictions<'_, K, V> {
        let _one_at_a_time = self.resize.lock();
        self.budget.begin_resize(capacity);
        let shards = self.shards.len();
        let share = capacity / shards as u64;
        for shard in &self.shards {
            shard.lock().state.policy.set_capacity(setup(capacity, shards));
            let least_weight = if self.overhead == 0 { 1 } else { u64::from(self.overhead) };
            shard.core.set_most_weight(most_retired(capacity, least_weight, shards));
        }
        let mut evicted = Evictions::default();
        // First every shard comes down to its part, then, where pinned entries or large ones left too much, to
        // whatever it takes.
        for floor in [share, 0] {
            for shard in &self.shards {
                let mut locked = shard.lock();
                while self.budget.used() > capacity
                    && locked.state.weight > floor
                    && let Some(victim) = locked.take_victim(now)
                {
                    evicted.push(self.evicted(&locked, victim));
                }
                locked.publish_totals();
            }
        }
        self.budget.finish_resize(capacity.max(self.budget.used()));
        evicted
    }

    /// The live entries' keys. For tests and small caches.
    ///
    /// # Cost
    ///
    /// Visits every entry and clones every key, with the lock of one shard at a time.
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

/// A step of a walk through a shard.
struct Step {
    /// Entries that were live, in the order of their hashes.
    numbers: Vec<u32>,
    /// How many entries and empty groups were looked at.
    looked: usize,
    /// The hash to go on with, [`END`] at the end.
    next: u64,
}

/// The next entries of a shard whose hashes are not below `from`, about `limit` of them. They stay what they are
/// for as long as the pin lives, even if they leave.
fn collect<K, V, P: Policy>(shard: &Shard<K, V, P>, _pin: &Pin<'_>, from: u64, limit: usize) -> Step {
    let locked = shard.lock();
    let table = locked.core.table(&locked.state.space);
    let mut step = Step { numbers: Vec::new(), looked: 0, next: END };
    let mut here: Vec<(u32, u32)> = Vec::new();
    for group in table.home(from as u32)..table.group_count() {
        let with_hash = |number: u32| (locked.core.slab.cell(number).word(), number);
        let own = |(hash, _): &(u32, u32)| u64::from(*hash) >= from && table.home(*hash) == group;
        here.clear();
        here.extend(table.cells_from(group).map(with_hash).filter(own));
        here.sort_unstable();
        step.looked += usize::from(here.is_empty());
        let mut last = None;
        for (hash, number) in &here {
            // Equal hashes are not parted: the next step could not tell which of them it has seen.
            if step.looked >= limit && last != Some(*hash) {
                step.next = u64::from(*hash);
                return step;
            }
            step.numbers.push(*number);
            step.looked += 1;
            last = Some(*hash);
        }
        if step.looked >= limit {
            step.next = table.first_hash_of(group + 1);
            return step;
        }
    }
    step
}
