//! How one entry leaves and another comes, or a value takes the place of another, without any total changing.

use std::sync::atomic::Ordering;

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

    /// Whether this value can take the place of an entry's without any total changing: both weigh what everything weighs,
    /// and nothing else is asked of either.
    #[inline]
    pub(crate) fn is_alike(&self, old: u32, new: &Incoming<K, V>) -> bool {
        new.options.is_plain()
            && self.core.slab.is_usual_for_all(new.weight)
            && self.core.slab.cell(old).is_plain()
    }

    /// Puts a new cell in the place of such an entry's, of which the policy notices nothing. The old cell is the caller's
    /// then. Gives the value back if every number is in use.
    #[inline]
    pub(crate) fn renew(&mut self, old: u32, new: Incoming<K, V>) -> Result<(), Incoming<K, V>> {
        let Some(fresh) = self.core.take_cell(&mut self.state.space) else { return Err(new) };
        let Incoming { hash, pair, weight, .. } = new;
        let cell = self.core.slab.cell(old);
        self.core.fill(fresh, pair, index_hash(hash), cell.mark.load(Ordering::Relaxed), flag::LIVE);
        self.state.names.exchange(old, fresh);
        self.core.table(&self.state.space).exchange(index_hash(hash), old, fresh);
        cell.set(flag::LIVE, false);
        self.core.depart(&mut self.state.space, (old, cell), weight);
        Ok(())
    }
}
