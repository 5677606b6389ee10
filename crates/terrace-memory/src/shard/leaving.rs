//! How entries leave: by name, by the timers, as the policy's victims, or all together.
//!
//! Decision: whoever takes an entry out has its cell and its weight in hand, and releases both.

use super::{Locked, State};
use crate::block::prefetch;
use crate::cell::flag;
use crate::entry::Cause;
use crate::eviction::Policy;
use crate::names::Names;

/// How many timers a writer looks at before it asks the policy for a victim.
const STEPS_BEFORE_EVICTION: usize = 8;

/// From so many entries on they do not fit the processor's nearer caches, and victims are brought nearer in time.
const FAR: usize = 1 << 14;
/// How many victims ahead an entry is asked for, and then its place in the index.
const AHEAD: (usize, usize) = (16, 8);

/// What [`Locked::take_victim`] took out.
pub(crate) struct Victim {
    pub(crate) number: u32,
    pub(crate) weight: u32,
    pub(crate) cause: Cause,
}

/// What [`Locked::drain`] took out.
pub(crate) struct Drained {
    /// First and last of a chain of cells.
    pub(crate) chain: Option<(u32, u32)>,
    pub(crate) len: u32,
    pub(crate) weight: u64,
}

impl<K, V, P: Policy> Locked<'_, K, V, P> {
    /// Takes a live entry out of everything, and returns its weight. The cell is the caller's then; the caller
    /// releases the weight.
    pub(crate) fn take(&mut self, number: u32) -> u32 {
        if !self.core.slab.cell(number).is(flag::PINNED) {
            self.with_policy(|policy, marks, names| policy.remove(names.slot(number), marks));
        }
        self.take_forgotten(number)
    }

    /// The same for an entry that the policy does not know, or no longer.
    #[inline]
    pub(crate) fn take_forgotten(&mut self, number: u32) -> u32 {
        let cell = self.core.slab.cell(number);
        self.core.table(&self.state.space).remove(cell.word(), number);
        cell.set(flag::LIVE, false);
        if cell.is(flag::TIMED) {
            self.state.wheel.disarm(number);
        }
        let weight = self.core.slab.weight(number);
        self.core.depart(&mut self.state.space, (number, cell), weight);
        self.state.weight -= u64::from(weight);
        self.state.len -= 1;
        weight
    }

    /// Takes out the entry that should leave next: a dead one if the timers have one at hand, else the policy's
    /// choice. As with [`take`](Self::take) its cell and its weight are the caller's then.
    #[inline]
    pub(crate) fn take_victim(&mut self, now: u64) -> Option<Victim> {
        let mut steps = STEPS_BEFORE_EVICTION;
        if let Some((number, cause)) = self.expire(now, &mut steps) {
            return Some(Victim { number, weight: self.take(number), cause });
        }
        let number = self.policy_victim()?;
        let cause = self.dead(number, now).unwrap_or(Cause::Capacity);
        Some(Victim { number, weight: self.take_forgotten(number), cause })
    }

    /// The policy's choice, which it then forgets.
    #[inline]
    pub(super) fn policy_victim(&mut self) -> Option<u32> {
        if self.state.len >= FAR {
            self.bring_nearer();
        }
        let held = self.state.weight;
        let slot = self.with_policy(|policy, marks, _| policy.victim(held, marks))?;
        Some(self.state.names.cell(slot))
    }

    /// Asks for the lines of those who will leave soon. In a large cache they come from memory, and one after
    /// another they are most of what an eviction takes.
    #[inline]
    fn bring_nearer(&self) {
        let State { policy, names, space, .. } = &*self.state;
        for queue in 0..2 {
            if let Some(slot) = policy.upcoming(queue, AHEAD.0) {
                prefetch(self.core.slab.cell(names.cell(slot)));
            }
            if let Some(slot) = policy.upcoming(queue, AHEAD.1) {
                let hash = self.core.slab.cell(names.cell(slot)).word();
                self.core.table(space).prefetch(hash);
            }
        }
    }

    /// The next entry that the timers find dead.
    pub(crate) fn expire(&mut self, now: u64, steps: &mut usize) -> Option<(u32, Cause)> {
        self.state.wheel.expire(&self.core.slab, now, steps)
    }

    /// Empties the shard. Returns the cells, in a chain of so many, and their weight.
    pub(crate) fn drain(&mut self) -> Drained {
        self.core.empty_table(&mut self.state.space);
        let mut drained = Drained { chain: None, len: 0, weight: self.state.weight };
        for number in self.core.slab.numbers(&self.state.space) {
            let cell = self.core.slab.cell(number);
            if cell.is(flag::LIVE) {
                cell.set(flag::LIVE, false);
                cell.set(flag::GIVEN_UP, true);
                let (first, last) = drained.chain.unwrap_or((crate::slab::NIL, number));
                cell.set_word(first);
                drained.chain = Some((number, last));
                drained.len += 1;
            }
        }
        self.core.count_unlinked(drained.weight);
        self.core.send_departed(&mut self.state.space);
        let state = &mut *self.state;
        state.policy.clear();
        state.wheel.clear();
        state.names = Names::default();
        (state.weight, state.len) = (0, 0);
        drained
    }
}
