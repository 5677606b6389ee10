//! The entries at both ends of the policy's order: what it would keep longest, and what would leave next.
//!
//! Decision: made when somebody asks, from what the policy knows anyway, so it costs nothing until then. Shards
//! decide apart, so between entries of equal warmth the place in their shard's order decides, as a part of its
//! length.

use std::cmp::Ordering;

use crate::entry::Meta;
use crate::eviction::Policy;
use crate::memory::Memory;
use crate::shard::{Shard, meta};

/// An entry and its place in the order, coldest first.
struct Ranked {
    warmth: f64,
    /// Its place in the shard's order; from 0 to 1 once the shard's length is known.
    place: f64,
    shard: u32,
    number: u32,
}

impl Ranked {
    fn order(&self, other: &Ranked) -> Ordering {
        self.warmth.total_cmp(&other.warmth).then(self.place.total_cmp(&other.place))
    }
}

impl<K, V, P: Policy, S> Memory<K, V, P, S> {
    /// Shows the entries that the policy would let go next if nothing were used from now on, the first to go at the
    /// beginning, at most `limit` of them. `visit` runs without a lock.
    ///
    /// The order is the policy's as far as it can tell without choosing: what it learns from what comes in, or draws
    /// at random, is not foreseen. Pinned entries are never let go, and not shown.
    ///
    /// # Cost
    ///
    /// Visits every entry, with the lock of one shard at a time: some 10 to 100 ns each, while reads go on.
    pub fn coldest(&self, limit: usize, now: u64, visit: impl FnMut(&K, &V, Meta)) {
        self.ranked(limit, now, Ranked::order, visit);
    }

    /// Shows the entries that the policy would keep longest, the warmest first, at most `limit` of them; otherwise as
    /// [`coldest`](Memory::coldest).
    pub fn hottest(&self, limit: usize, now: u64, visit: impl FnMut(&K, &V, Meta)) {
        self.ranked(limit, now, |a, b| b.order(a), visit);
    }

    fn ranked(
        &self,
        limit: usize,
        now: u64,
        order: impl Fn(&Ranked, &Ranked) -> Ordering,
        mut visit: impl FnMut(&K, &V, Meta),
    ) {
        let pin = self.readers.pin();
        let mut all = Vec::new();
        for (index, shard) in self.shards.iter().enumerate() {
            let mut here = survey(shard, index as u32, now);
            if here.len() > limit {
                here.select_nth_unstable_by(limit, &order);
                here.truncate(limit);
            }
            all.append(&mut here);
        }
        all.sort_unstable_by(&order);
        for Ranked { shard, number, .. } in all.into_iter().take(limit) {
            let core = &self.shards[shard as usize].core;
            let found = core.noted(&pin, number);
            visit(&found.pair().key, &found.pair().value, meta(core, number));
        }
    }
}

/// The live entries of a shard.
fn survey<K, V, P: Policy>(shard: &Shard<K, V, P>, index: u32, now: u64) -> Vec<Ranked> {
    let locked = shard.lock();
    let mut all = Vec::with_capacity(locked.state.len);
    locked.survey(|number, warmth| {
        if locked.dead(number, now).is_none() {
            all.push(Ranked { warmth, place: all.len() as f64, shard: index, number });
        }
    });
    drop(locked);
    let len = all.len() as f64;
    all.iter_mut().for_each(|entry| entry.place /= len);
    all
}
