//! The hot tier without its types, as the ways through the tiers see it.

use std::num::NonZeroU64;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use terrace_memory::{Cause, Decision, Options};
use terrace_store::{Condition, Deleted, Key, Result, Version, Written};

use super::write::admit;
use super::{Held, HotTier};
use crate::PolicyReport;
use crate::histogram::Latencies;
use crate::key::CacheKey;
use crate::parcel::Parcel;

/// What the ways through the tiers ask of the hot tier, without knowing its types.
pub trait Hot: Send + Sync {
    /// Puts a value there if its condition holds; `next` gives the version where the condition carries none.
    ///
    /// # Errors
    /// `Full` if it is too heavy; the key then holds nothing.
    fn put(
        &self,
        key: &Key,
        parcel: &Parcel,
        condition: Condition,
        next: &dyn Fn() -> Version,
    ) -> Result<Written>;

    /// Tells the listener, if there is one, of what was evicted. Every other call does so by itself; [`put`](Hot::put)
    /// leaves it to its caller, who may hold a lock.
    fn tell(&self);

    /// Removes what is there if the condition holds, for the cache whose authority the hot tier is.
    fn delete(&self, key: &Key, condition: Condition, next: &dyn Fn() -> Version) -> Deleted;

    /// Removes what is at or below this version, and refuses it from now on.
    fn forget(&self, key: &Key, up_to: Version);

    /// The version of what is there, if it may be served at all.
    fn version(&self, key: &Key) -> Option<Version>;

    /// Marks what is there as stale.
    fn expire(&self, key: &Key);

    /// Removes everything that was invalidated, and returns how much that was.
    fn reclaim(&self) -> u64;

    /// Removes at most `limit` entries whose time is over, and returns those that went unused for too long: the
    /// tiers below do not know that.
    fn advance(&self, limit: usize) -> Vec<(Key, Version)>;

    /// How full it is and what happened in it.
    fn usage(&self) -> Usage;

    /// What its eviction policy has learned.
    fn policy(&self) -> PolicyReport;

    /// Changes how many bytes it may hold; what does not fit leaves at once.
    fn set_capacity(&self, capacity: u64);
}

/// How full the hot tier is and what happened in it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Entries.
    pub entries: u64,
    /// Bytes: keys, values and overhead.
    pub bytes: u64,
    /// Bytes it may hold.
    pub capacity: u64,
    /// Reads that found an entry.
    pub hits: u64,
    /// Reads that did not.
    pub misses: u64,
    /// Entries that came in.
    pub inserts: u64,
    /// Entries that left, by [`Cause::ALL`].
    pub left: [u64; 5],
    /// How long reads took: one of 1,024.
    pub latency: Latencies,
}

impl<K: CacheKey, L: Clone + Send + Sync + 'static> Hot for HotTier<K, L> {
    fn put(
        &self,
        key: &Key,
        parcel: &Parcel,
        condition: Condition,
        next: &dyn Fn() -> Version,
    ) -> Result<Written> {
        let value = parcel.live.as_ref().and_then(self.hold);
        match (self.typed(key), value) {
            (Some(typed), Some(value)) => {
                self.insert((typed, key), value, (&parcel.entry, parcel.weight), condition, next)
            }
            // Not a key or a value this tier can hold: it is served from below.
            _ => Ok(Written::Conflict { current: None }),
        }
    }

    fn tell(&self) {
        if let Some(telling) = &self.telling {
            telling.tell();
        }
    }

    fn delete(&self, key: &Key, condition: Condition, next: &dyn Fn() -> Version) -> Deleted {
        let Some(typed) = self.typed(key) else { return Deleted::Conflict { current: None } };
        let mut deleted = Deleted::Conflict { current: None };
        let upserted = self.memory.upsert(typed, self.now(), |held| {
            let current = held.filter(|held| self.judge(key, held).is_some()).map(Held::version);
            let known = held.map_or(Version::ZERO, Held::version);
            match admit(condition, current, || known.max(self.floors.of(key)), next) {
                Some(version) => {
                    self.floors.raise(key, version);
                    deleted = Deleted::Done { version, existed: current.is_some() };
                    Decision::Remove
                }
                None => {
                    deleted = Deleted::Conflict { current };
                    Decision::Keep
                }
            }
        });
        self.note(upserted.evicted);
        self.tell();
        deleted
    }

    fn forget(&self, key: &Key, up_to: Version) {
        // The floor first: whatever is offered from now on meets it, whatever was offered before is removed.
        self.floors.raise(key, up_to);
        if let Some(typed) = self.typed(key) {
            let upserted = self.memory.upsert(typed, self.now(), |held| match held {
                Some(held) if held.version() <= up_to => Decision::Remove,
                _ => Decision::Keep,
            });
            self.note(upserted.evicted);
            self.tell();
        }
    }

    fn version(&self, key: &Key) -> Option<Version> {
        let typed = self.typed(key)?;
        self.memory.peek_with::<K::Borrowed, _>(typed.borrow(), self.now(), |held, _| {
            self.judge(key, held).map(|_| held.version())
        })?
    }

    fn expire(&self, key: &Key) {
        let Some(typed) = self.typed(key) else { return };
        let now = self.now();
        let overhead = u64::from(self.overhead);
        let found = self.memory.peek_with::<K::Borrowed, _>(typed.borrow(), now, |held, meta| {
            (held.version(), held.value.clone(), held.entry(), meta.weight.saturating_sub(overhead))
        });
        let Some((version, value, mut entry, weight)) = found else { return };
        entry.fresh_until_ms = NonZeroU64::new(self.clock.wall_ms().max(1));
        let options = Options { weight, ..self.options(&typed, &entry, 0) };
        let upserted = self.memory.upsert(typed, now, |held| match held {
            Some(held) if held.version() == version => {
                let seen = held.seen().load(Ordering::Relaxed);
                Decision::Put(Held::new(value, version, &entry, seen), options)
            }
            _ => Decision::Keep,
        });
        self.note(upserted.evicted);
        self.tell();
    }

    fn reclaim(&self) -> u64 {
        let served = |key: &K, held: &Held<L>| {
            K::flat(key.borrow(), &self.namespace).is_ok_and(|flat| self.judge(&flat, held).is_some())
        };
        let removed = self.memory.retain_telling(self.now(), served, |key, held, cause| {
            if let Some(cause) = cause {
                self.note_one(key, held, cause);
            }
        });
        self.tell();
        removed as u64
    }

    fn advance(&self, limit: usize) -> Vec<(Key, Version)> {
        if self.lifetimes.load(Ordering::Relaxed) {
            let gone = self.memory.advance(self.clock.now_ms(), limit);
            self.note(gone);
        }
        self.tell();
        std::mem::take(&mut *self.idled.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn policy(&self) -> PolicyReport {
        self.memory.policy().report()
    }

    fn usage(&self) -> Usage {
        let stats = self.memory.stats();
        Usage {
            entries: self.memory.len() as u64,
            bytes: self.memory.weight(),
            capacity: self.memory.capacity(),
            hits: stats.hits,
            misses: stats.misses,
            inserts: stats.inserts,
            left: Cause::ALL.map(|cause| stats.by_cause(cause)),
            latency: self.latency.latencies(),
        }
    }

    fn set_capacity(&self, capacity: u64) {
        let gone = self.memory.set_capacity(capacity, self.now());
        self.note(gone);
        self.tell();
    }
}
