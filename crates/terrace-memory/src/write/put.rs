//! Storing or refusing a value, under the shard's lock.
//!
//! Decision: a new value that is refused takes the old one with it: the caller has said that the old one is out of date.
//! What leaves to make room in the own shard lends its weight to what comes, so a cache that is full changes the common
//! budget only where the two differ.

use crate::entry::{Cause, Inserted};
use crate::eviction::Policy;
use crate::gone::{Evicted, Gone};
use crate::memory::Memory;
use crate::shard::{Incoming, Locked};

impl<K, V, P: Policy, S> Memory<K, V, P, S> {
    /// Stores or refuses a value whose key has its live entry in `found`, and tells of it in `done`.
    #[inline]
    pub(super) fn put<'a>(
        &'a self,
        locked: &mut Locked<'a, K, V, P>,
        mut found: Option<u32>,
        mut new: Incoming<K, V>,
        now: u64,
        done: &mut Inserted<'a, K, V>,
    ) {
        if let Some(number) = found {
            locked.used(number);
        }
        let weight = new.options.weight.saturating_add(u64::from(self.overhead));
        new.weight = match self.admit(weight, &new, now) {
            Ok(admitted) => admitted,
            Err(cause) => return self.refuse(locked, found, (new, weight), cause, done),
        };
        match found {
            None => {
                if let Some(pairing) = self.partner(locked, &new, now) {
                    return Self::exchange(locked, pairing, new, done);
                }
            }
            Some(number) if locked.is_alike(number, &new) => match Self::renew(locked, number, new, done) {
                Ok(()) => return,
                Err(new) => return self.refuse(locked, found, (new, weight), Cause::Full, done),
            },
            Some(_) => {}
        }
        let Some(mut lent) = self.make_room(locked, &mut found, &new, now, done) else {
            return self.refuse(locked, found, (new, weight), Cause::Full, done);
        };
        let stored = match found {
            None => locked.add(new, now),
            Some(number) => {
                let stored = locked.replace(number, new, now);
                if stored.is_ok() {
                    lent += u64::from(locked.core.slab.weight(number));
                    done.replaced = Some(Gone::unlinked(locked.core, number));
                }
                stored
            }
        };
        if let Err(new) = stored {
            self.give_back(lent);
            return self.refuse(locked, found, (new, weight), Cause::Full, done);
        }
        locked.writers.counters.inserts.add(1);
        locked.publish_totals();
        done.stored = true;
        self.give_back(lent - weight);
    }

    /// The weight as it is stored, unless the entry can be refused without looking for room.
    #[inline]
    fn admit(&self, weight: u64, new: &Incoming<K, V>, now: u64) -> Result<u32, Cause> {
        if let Some(cause) = new.options.dead_on_arrival(now) {
            return Err(cause);
        }
        let fits = weight <= self.budget.limit();
        u32::try_from(weight).ok().filter(|_| fits).ok_or(Cause::TooHeavy)
    }

    /// The value comes back, and the old one, if there is one, leaves with it.
    #[cold]
    #[inline(never)]
    fn refuse<'a>(
        &'a self,
        locked: &mut Locked<'a, K, V, P>,
        found: Option<u32>,
        (new, weight): (Incoming<K, V>, u64),
        cause: Cause,
        done: &mut Inserted<'a, K, V>,
    ) {
        if let Some(number) = found {
            done.replaced = Some(self.take_out(locked, number));
        }
        locked.publish_totals();
        locked.writers.counters.left(cause);
        let gone = Gone::own(new.pair.key, new.pair.value);
        done.evicted.push(Evicted { gone, weight, cause });
    }
}
