//! What comes into the hot tier, and what leaves it.

use std::num::NonZeroU64;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use terrace_memory::{Cause, Decision, Evictions, Options, Outcome, Priority};
use terrace_store::{Condition, Entry, Error, ErrorKind, Key, Result, Version, Written};

use super::{Held, HotTier};
use crate::generations::Verdict;
use crate::key::CacheKey;

impl<K: CacheKey, L: Clone + Send + Sync + 'static> HotTier<K, L> {
    /// Puts a live value there if its condition holds. As [`Hot::put`](super::Hot::put), for those who know the types; they
    /// call [`Hot::tell`](super::Hot::tell), too.
    ///
    /// # Errors
    /// `Full` if it is too heavy, or there is no room and nothing may leave.
    pub fn insert(
        &self,
        (key, flat): (K, &Key),
        value: L,
        (entry, weight): (&Entry, u64),
        condition: Condition,
        next: &dyn Fn() -> Version,
    ) -> Result<Written> {
        let options = self.options(&key, entry, weight);
        let now = self.now();
        let mut written = Written::Conflict { current: None };
        let upserted = self.memory.upsert(key, now, |held| {
            let live = held.filter(|held| self.judge(flat, held).is_some());
            let current = live.map(Held::version);
            let known = held.map_or(Version::ZERO, Held::version);
            match admit(condition, current, || known.max(self.floors.of(flat)), next) {
                Some(version) => {
                    written = Written::Stored { version, replaced: current.is_some() };
                    Decision::Put(self.hold_as(flat, value, version, entry), options)
                }
                None => {
                    written = Written::Conflict { current };
                    Decision::Keep
                }
            }
        });
        self.note(upserted.evicted);
        if upserted.outcome == Outcome::Refused {
            let limit = self.memory.capacity();
            return Err(Error::new(ErrorKind::Full, "put")
                .with("weight", weight)
                .with("capacity", limit)
                .because("there is no room in memory for this value"));
        }
        Ok(written)
    }

    /// An entry on its way in, whose stamp gives way to the number of an invalidation.
    fn hold_as(&self, key: &Key, value: L, version: Version, entry: &Entry) -> Held<L> {
        // Read first: what is invalidated meanwhile the entry has not outlived.
        let seen = self.generations.outlived();
        match self.generations.verdict_of(key, entry) {
            Verdict::Valid => Held::new(value, version, entry, seen),
            // Whoever reads it judges it again, by everything that was ever invalidated.
            Verdict::Purged => Held::new(value, version, entry, 0),
            Verdict::Expired => {
                let stale = Entry { fresh_until_ms: Some(NonZeroU64::MIN), ..entry.clone() };
                Held::new(value, version, &stale, seen)
            }
        }
    }

    pub(super) fn options(&self, key: &K, entry: &Entry, weight: u64) -> Options {
        // An engine without overhead counts entries, not bytes.
        let bytes = weight + (size_of::<K>() + key.heap_size()) as u64;
        let mut options = Options::weighing(if self.overhead == 0 { 1 } else { bytes });
        if let Some(expires) = entry.expires_ms {
            // What is left by the wall clock now runs off on the monotonic one.
            let left = expires.get().saturating_sub(self.clock.wall_ms());
            options.expires_at = Some(self.clock.now_ms().saturating_add(left));
        }
        options.idle = entry.idle_ms.map(NonZeroU64::get);
        options.priority = priority_of(entry);
        options.pinned = self.keep_unexpiring && entry.expires_ms.is_none();
        if options.expires_at.is_some() || options.idle.is_some() {
            self.lifetimes.store(true, Ordering::Relaxed);
        }
        options
    }

    /// Remembers these for the listener, and which of them went unused for too long.
    pub(super) fn note(&self, evicted: Evictions<'_, K, Held<L>>) {
        for gone in &evicted {
            self.note_one(&gone.key, &gone.value, gone.cause);
        }
    }

    pub(super) fn note_one(&self, key: &K, held: &Held<L>, cause: Cause) {
        if cause == Cause::Idle
            && let Ok(key) = K::flat(key.borrow(), &self.namespace)
        {
            self.idled.lock().unwrap_or_else(PoisonError::into_inner).push((key, held.version()));
        }
        if let Some(telling) = &self.telling {
            telling.note(key.clone(), held.value.clone(), cause);
        }
    }

    pub(super) fn typed(&self, key: &Key) -> Option<K> {
        K::from_key(key)
    }
}

/// What the priority of an entry means to the engine: a signed number.
fn priority_of(entry: &Entry) -> Priority {
    match entry.priority.cast_signed() {
        0 => Priority::Normal,
        1.. => Priority::High,
        _ => Priority::Low,
    }
}

/// The version a write gets, or `None` if its condition does not hold.
pub(super) fn admit(
    condition: Condition,
    current: Option<Version>,
    floor: impl FnOnce() -> Version,
    next: &dyn Fn() -> Version,
) -> Option<Version> {
    match condition {
        Condition::Any => Some(next()),
        Condition::Absent if current.is_none() => Some(next()),
        Condition::Match(expected) if current == Some(expected) => Some(next()),
        Condition::Newer(version) if version > floor() => Some(version),
        _ => None,
    }
}
