//! How one entry leaves and another comes, without any total changing.

use super::{Incoming, Locked, index_hash};
use crate::cell::flag;
use crate::entry::{Cause, Priority};
use crate::eviction::{Policy, Standing};

/// A victim, which the policy has forgotten, and a cell for whom it leaves.
pub(crate) struct Pairing {
    victim: u32,
    fresh: u32,
    pub(crate) cause: Cause,
}

impl<K, V, P: Policy> Locked<'_, K, V, P> {
    /// The policy's victim and a cell for its successor, unless a timer may know of a better one, or there is neither.
    #[inline]
    pub(crate) fn pair_up(&mut self, now: u64) -> Option<Pairing> {
        if self.state.wheel.is_awake() {
            return None;
        }
        let fresh = self.core.take_cell(&mut self.state.space)?;
        let Some(victim) = self.policy_victim() else {
            self.core.slab.put_back(&mut self.state.space, fresh);
            return None;
        };
        let cause = self.dead(victim, now).unwrap_or(Cause::Capacity);
        Some(Pairing { victim, fresh, cause })
    }

    /// Takes the one out and puts the other in, which weighs as much. Returns the victim's cell, which is the caller's then.
    #[inline]
    pub(crate) fn exchange(&mut self, pairing: Pairing, new: Incoming<K, V>) -> u32 {
        let Pairing { victim, fresh, .. } = pairing;
        let Incoming { hash, pair, weight, .. } = new;
        let cell = self.core.slab.cell(victim);
        let table = self.core.table(&self.state.space);
        table.take_out(cell.word(), victim);
        cell.set(flag::LIVE, false);
        if cell.is(flag::TIMED) {
            self.state.wheel.disarm(victim);
        }
        self.core.depart(&mut self.state.space, (victim, cell), weight);
        self.core.fill(fresh, pair, index_hash(hash), 0, flag::LIVE);
        self.with_policy(|policy, marks, names| {
            let slot = names.slot(fresh);
            policy.insert(Standing { slot, hash, weight, priority: Priority::Normal }, marks);
        });
        self.core.table(&self.state.space).put_in(index_hash(hash), fresh);
        victim
    }
}
