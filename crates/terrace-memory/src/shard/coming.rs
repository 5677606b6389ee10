//! How entries come in, and how values are replaced.
//!
//! Decision: an entry's cell never changes while it is reachable, so a replaced value is a new cell in the old one's place.

use std::sync::atomic::Ordering;

use super::{Locked, State, index_hash};
use crate::cell::{Pair, flag};
use crate::entry::{Options, Priority};
use crate::eviction::{Policy, Standing};
use crate::wheel::Lifetime;

/// A value on its way into a cell.
pub(crate) struct Incoming<K, V> {
    pub(crate) hash: u64,
    pub(crate) pair: Pair<K, V>,
    pub(crate) options: Options,
    /// With the engine's overhead.
    pub(crate) weight: u32,
}

impl<K, V, P: Policy> Locked<'_, K, V, P> {
    /// Adds an entry under a key that has none. Gives it back if every number is in use.
    #[inline(always)]
    pub(crate) fn add(&mut self, new: Incoming<K, V>, now: u64) -> Result<(), Incoming<K, V>> {
        self.grow();
        let Some(number) = self.core.take_cell(&mut self.state.space) else { return Err(new) };
        let (hash, weight, Options { priority, pinned, .. }) = (new.hash, new.weight, new.options);
        self.fill(number, new, 0, now);
        if !pinned {
            self.with_policy(|policy, marks, names| {
                policy.insert(Standing { slot: names.slot(number), hash, weight, priority }, marks);
            });
        }
        self.core.table(&self.state.space).insert(index_hash(hash), number);
        self.state.weight += u64::from(weight);
        self.state.len += 1;
        Ok(())
    }

    /// Puts a new cell in a live entry's place. The old cell is the caller's then, and its weight is not yet
    /// released.
    pub(crate) fn replace(&mut self, old: u32, new: Incoming<K, V>, now: u64) -> Result<(), Incoming<K, V>> {
        let Some(number) = self.core.take_cell(&mut self.state.space) else { return Err(new) };
        let (hash, weight, Options { priority, pinned, .. }) = (new.hash, new.weight, new.options);
        let cell = self.core.slab.cell(old);
        let (was_pinned, before) = (cell.is(flag::PINNED), self.core.slab.weight(old));
        if cell.is(flag::TIMED) {
            self.state.wheel.disarm(old);
        }
        self.fill(number, new, cell.mark.load(Ordering::Relaxed), now);
        self.state.names.exchange(old, number);
        self.core.table(&self.state.space).exchange(index_hash(hash), old, number);
        cell.set(flag::LIVE, false);
        self.state.weight = self.state.weight - u64::from(before) + u64::from(weight);
        self.with_policy(|policy, marks, names| {
            let slot = names.slot(number);
            let standing = Standing { slot, hash, weight, priority };
            match (was_pinned, pinned) {
                (false, false) => policy.replaced(standing, before, marks),
                (false, true) => policy.remove(slot, marks),
                (true, false) => policy.insert(standing, marks),
                (true, true) => {}
            }
        });
        self.core.depart(&mut self.state.space, (old, cell), before);
        Ok(())
    }

    /// Fills a fresh cell, which nobody can find yet.
    #[inline(always)]
    fn fill(&mut self, number: u32, new: Incoming<K, V>, mark: u8, now: u64) {
        self.core.slab.set_weight(number, new.weight);
        let Options { expires_at, idle, pinned, priority, .. } = new.options;
        let lifetime = Lifetime { expires_at, idle };
        let pinned = if pinned { flag::PINNED } else { 0 };
        let priority = match priority {
            Priority::Low => flag::LOW,
            Priority::Normal => 0,
            Priority::High => flag::HIGH,
        };
        if !lifetime.ends() {
            return self.core.fill(
                number,
                new.pair,
                index_hash(new.hash),
                mark,
                flag::LIVE | pinned | priority,
            );
        }
        self.set_times(number, lifetime, now);
        let flags = flag::LIVE | flag::TIMED | pinned | priority;
        self.core.fill(number, new.pair, index_hash(new.hash), mark, flags);
        self.arm(number, now);
    }

    fn set_times(&self, number: u32, lifetime: Lifetime, now: u64) {
        let (columns, place) = self.core.slab.columns(number);
        columns.set_lifetime(place, lifetime, now);
    }

    fn arm(&mut self, number: u32, now: u64) {
        let State { wheel, .. } = &mut *self.state;
        wheel.arm(&self.core.slab, number, now);
    }

    /// Gives a live entry another lifetime.
    pub(crate) fn set_lifetime(&mut self, number: u32, lifetime: Lifetime, now: u64) {
        let cell = self.core.slab.cell(number);
        let (columns, place) = self.core.slab.columns(number);
        columns.set_lifetime(place, lifetime, now);
        // The flag after the times, so that whoever sees it sees them.
        cell.set(flag::TIMED, lifetime.ends());
        if lifetime.ends() {
            self.state.wheel.arm(&self.core.slab, number, now);
        } else {
            self.state.wheel.disarm(number);
        }
    }

    /// Makes the index larger if one more would not fit.
    #[inline]
    fn grow(&mut self) {
        let table = self.core.table(&self.state.space);
        if table.is_full() {
            self.enlarge();
        }
    }

    #[cold]
    fn enlarge(&mut self) {
        let table = self.core.table(&self.state.space);
        let (room, expected) = (table.room(), self.state.expected);
        let larger = room + room / 2 + 8;
        // Where the end can be foreseen the last step goes there and no further.
        let last = expected.saturating_add(expected / 64).saturating_add(8);
        let room = if room < last && larger.saturating_add(larger / 4) > last { last } else { larger };
        self.core.rebuild(&mut self.state.space, room);
    }
}
