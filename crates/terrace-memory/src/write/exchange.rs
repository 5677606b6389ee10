//! One comes and one leaves, or a value is replaced by one like it: what a cache that is full does most of the time.
//!
//! Decision: where the newcomer has no deadline and no rank, and weighs what everything weighs, the victim's room is exactly
//! its room. Then neither the budget nor the shard's totals change, and what they would be asked need not be asked. The
//! victim's place in the index is free before the newcomer looks for one, so the index cannot be full. Everything else goes
//! the general way.

use crate::entry::Inserted;
use crate::eviction::Policy;
use crate::gone::{Evicted, Gone};
use crate::memory::Memory;
use crate::shard::{Incoming, Locked, Pairing};

impl<K, V, P: Policy, S> Memory<K, V, P, S> {
    /// Who is to leave for this value of a key that has none, and the cell for it, if that is all it takes.
    #[inline]
    pub(super) fn partner(
        &self,
        locked: &mut Locked<'_, K, V, P>,
        new: &Incoming<K, V>,
        now: u64,
    ) -> Option<Pairing> {
        let weight = u64::from(new.weight);
        let is_plain = new.options.is_plain() && locked.core.slab.is_usual_for_all(new.weight);
        if !is_plain || self.budget.has_room_for(weight) || self.is_starved(locked, weight) {
            return None;
        }
        locked.pair_up(now)
    }

    /// Puts the value in the victim's stead.
    #[inline]
    pub(super) fn exchange<'a>(
        locked: &mut Locked<'a, K, V, P>,
        pairing: Pairing,
        new: Incoming<K, V>,
        done: &mut Inserted<'a, K, V>,
    ) {
        let weight = u64::from(new.weight);
        let cause = pairing.cause;
        let number = locked.exchange(pairing, new);
        locked.writers.counters.left(cause);
        locked.writers.counters.inserts.add(1);
        done.stored = true;
        done.evicted.push(Evicted { gone: Gone::unlinked(locked.core, number), weight, cause });
    }

    /// Puts the value in the place of the entry's own, which is like it.
    #[inline]
    pub(super) fn renew<'a>(
        locked: &mut Locked<'a, K, V, P>,
        number: u32,
        new: Incoming<K, V>,
        done: &mut Inserted<'a, K, V>,
    ) -> Result<(), Incoming<K, V>> {
        locked.renew(number, new)?;
        locked.writers.counters.inserts.add(1);
        done.stored = true;
        done.replaced = Some(Gone::unlinked(locked.core, number));
        Ok(())
    }
}
