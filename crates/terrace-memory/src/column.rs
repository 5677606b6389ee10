//! What only some entries have: a weight of their own, an end, an idle limit.
//!
//! Decision: beside each chunk of cells stand columns that are allocated when the first entry of the chunk needs
//! them. Readers need them without a lock, so they are atomics.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::entry::Cause;
use crate::wheel::{Lifetime, Look};

/// No deadline.
pub(crate) const NEVER: u64 = u64::MAX;
/// A use is stamped when the last stamp is older than this part of the idle limit.
const STAMP_PART: u64 = 16;

#[derive(Default)]
struct Idle {
    /// 0 if the entry has no idle limit.
    limit: AtomicU64,
    used: AtomicU64,
}

/// The columns of one chunk.
pub(crate) struct Columns {
    len: usize,
    weights: OnceLock<Box<[AtomicU32]>>,
    expires: OnceLock<Box<[AtomicU64]>>,
    idle: OnceLock<Box<[Idle]>>,
}

impl Columns {
    pub(crate) fn new(len: usize) -> Self {
        Columns { len, weights: OnceLock::new(), expires: OnceLock::new(), idle: OnceLock::new() }
    }

    /// The weight of the entry in this place, if it is not the usual one.
    #[inline]
    pub(crate) fn weight(&self, place: usize, usual: u32) -> u32 {
        self.weights.get().map_or(usual, |weights| weights[place].load(Ordering::Relaxed))
    }

    #[inline]
    pub(crate) fn set_weight(&self, place: usize, usual: u32, weight: u32) {
        let weights = match self.weights.get() {
            Some(weights) => weights,
            None if weight == usual => return,
            None => self.weights.get_or_init(|| (0..self.len).map(|_| AtomicU32::new(usual)).collect()),
        };
        weights[place].store(weight, Ordering::Relaxed);
    }

    fn expires(&self, place: usize) -> u64 {
        self.expires.get().map_or(NEVER, |expires| expires[place].load(Ordering::Relaxed))
    }

    fn idle(&self, place: usize) -> Option<(u64, &AtomicU64)> {
        let idle = &self.idle.get()?[place];
        let limit = idle.limit.load(Ordering::Relaxed);
        (limit != 0).then_some((limit, &idle.used))
    }

    pub(crate) fn set_lifetime(&self, place: usize, lifetime: Lifetime, now: u64) {
        let expires_at = lifetime.expires_at.unwrap_or(NEVER);
        if expires_at != NEVER || self.expires.get().is_some() {
            let new = || (0..self.len).map(|_| AtomicU64::new(NEVER)).collect();
            self.expires.get_or_init(new)[place].store(expires_at, Ordering::Relaxed);
        }
        if lifetime.idle.is_some() || self.idle.get().is_some() {
            let idle = &self.idle.get_or_init(|| (0..self.len).map(|_| Idle::default()).collect())[place];
            idle.used.store(now, Ordering::Relaxed);
            idle.limit.store(lifetime.idle.unwrap_or(0), Ordering::Relaxed);
        }
    }

    pub(crate) fn lifetime(&self, place: usize) -> Lifetime {
        let expires_at = self.expires(place);
        Lifetime {
            expires_at: (expires_at != NEVER).then_some(expires_at),
            idle: self.idle(place).map(|(limit, _)| limit),
        }
    }

    pub(crate) fn deadline(&self, place: usize) -> u64 {
        let pause = |(limit, used): (u64, &AtomicU64)| used.load(Ordering::Relaxed).saturating_add(limit);
        self.expires(place).min(self.idle(place).map_or(NEVER, pause))
    }

    /// Why the entry is dead at `now`, if it is.
    pub(crate) fn dead(&self, place: usize, now: u64) -> Option<Cause> {
        let expires_at = self.expires(place);
        if expires_at <= now && expires_at != NEVER {
            return Some(Cause::Expired);
        }
        let (limit, used) = self.idle(place)?;
        (now.saturating_sub(used.load(Ordering::Relaxed)) >= limit).then_some(Cause::Idle)
    }

    /// Looks at those entries, a bit each, of the row that begins in this place. Stops at the second dead one: the
    /// rest are looked at when it is.
    pub(crate) fn look(&self, first: usize, armed: u32, now: u64) -> Look {
        let mut look = Look { dead: None, next: NEVER };
        let mut rest = armed;
        while rest != 0 {
            let place = rest.trailing_zeros();
            rest &= rest - 1;
            match (self.dead(first + place as usize, now), look.dead) {
                (Some(cause), None) => look.dead = Some((place, cause)),
                (Some(_), Some(_)) => return Look { next: now, ..look },
                // What lives now is never due now, even where the end of time rounds its deadline.
                (None, _) => {
                    let deadline = self.deadline(first + place as usize);
                    look.next = look.next.min(deadline.max(now.saturating_add(1)));
                }
            }
        }
        look
    }

    /// Notes a use of the entry, if the last note is old enough to matter, or from a clock that has since gone
    /// back.
    pub(crate) fn touch(&self, place: usize, now: u64) {
        if let Some((limit, used)) = self.idle(place)
            && used.load(Ordering::Relaxed).abs_diff(now) > limit / STAMP_PART
        {
            used.store(now, Ordering::Relaxed);
        }
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let weights = if self.weights.get().is_some() { size_of::<AtomicU32>() } else { 0 };
        let expires = if self.expires.get().is_some() { size_of::<AtomicU64>() } else { 0 };
        let idle = if self.idle.get().is_some() { size_of::<Idle>() } else { 0 };
        self.len * (weights + expires + idle)
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn use_keeps_an_idle_entry_and_is_stamped_a_sixteenth_apart() {
        let columns = Columns::new(1);
        columns.set_lifetime(0, Lifetime { expires_at: None, idle: Some(1600) }, 0);
        columns.touch(0, 100);
        assert_eq!(columns.deadline(0), 1600);
        columns.touch(0, 101);
        assert_eq!(columns.deadline(0), 1701);
        assert_eq!((columns.dead(0, 1700), columns.dead(0, 1701)), (None, Some(Cause::Idle)));
    }

    #[test]
    fn nothing_is_allocated_until_something_differs() {
        let columns = Columns::new(8);
        columns.set_weight(3, 9, 9);
        columns.set_lifetime(3, Lifetime::default(), 5);
        columns.touch(3, 6);
        assert_eq!((columns.weight(3, 9), columns.deadline(3), columns.heap_bytes()), (9, NEVER, 0));
        columns.set_weight(3, 9, 8);
        assert_eq!((columns.weight(2, 9), columns.weight(3, 9), columns.heap_bytes()), (9, 8, 32));
    }
}
