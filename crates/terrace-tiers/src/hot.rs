//! The hot tier: the memory engine, and the rules every tier keeps, around it.
//!
//! The engine knows neither clocks nor versions; here it gets both. [`HotTier`] is generic, so that a hit
//! compiles to the engine's own lookup; the ways through the tiers see it erased, as [`Hot`].

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use terrace_memory::{Cause, Config, Decision, Evictions, Memory, Options, Outcome, Priority};
use terrace_store::{
    Clock, Condition, Deleted, Entry, Error, ErrorKind, Key, Namespace, Result, Version, Written,
};

use crate::PolicyReport;
use crate::floors::Floors;
use crate::generations::{Generations, Verdict};
use crate::histogram::{Histogram, Latencies};
use crate::key::CacheKey;
use crate::listener::{Listener, Telling};
use crate::parcel::{Live, Parcel};
use crate::stats::is_timed;

/// What a hot entry is beside its value.
pub struct Held<L> {
    /// The live value.
    pub value: L,
    /// Which write of its key it is.
    pub version: Version,
    /// When it was written, in milliseconds of wall time.
    pub created_ms: u64,
    /// Everything else known about it, its bytes apart; `None` if nothing is.
    pub about: Option<Arc<Entry>>,
    /// The last invalidation stamp it is known to have outlived.
    stamp: AtomicU64,
}

impl<L> Held<L> {
    fn new(value: L, version: Version, entry: &Entry) -> Self {
        let plain = entry.expires_ms.is_none()
            && entry.fresh_until_ms.is_none()
            && entry.idle_ms.is_none()
            && entry.tags.is_empty()
            && entry.metadata.is_none()
            && entry.priority == 0;
        let about = || Arc::new(Entry { value: bytes::Bytes::new(), version, ..entry.clone() });
        Self {
            value,
            version,
            created_ms: entry.created_ms,
            about: (!plain).then(about),
            stamp: AtomicU64::new(entry.stamp),
        }
    }

    /// What is known about it as an entry; its value is empty.
    pub fn entry(&self) -> Entry {
        match &self.about {
            Some(about) => Entry::clone(about),
            None => {
                let stamp = self.stamp.load(Ordering::Relaxed);
                Entry { version: self.version, created_ms: self.created_ms, stamp, ..Entry::new("") }
            }
        }
    }
}

/// Of this many reads of a thread one is timed.
const TIMED: u32 = 1024;

/// Whether a hot entry may be served as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It is current.
    Fresh,
    /// It is past its soft expiry, or was invalidated with [`Mode::Expire`](crate::Mode::Expire).
    Stale,
}

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

/// What a hot tier is made with.
pub struct HotConfig<L> {
    /// Its size.
    pub memory: Config,
    /// The namespace of its keys.
    pub namespace: Namespace,
    /// Takes a value out of its erased form; `None` if it is of another type.
    pub hold: fn(&Live) -> Option<L>,
    /// Entries without an expiry are never evicted, and a put that finds no room is refused.
    pub keep_unexpiring: bool,
}

/// The hot tier.
pub struct HotTier<K, L> {
    memory: Memory<K, Held<L>>,
    namespace: Namespace,
    hold: fn(&Live) -> Option<L>,
    keep_unexpiring: bool,
    overhead: u32,
    clock: Arc<dyn Clock>,
    floors: Arc<Floors>,
    generations: Arc<Generations>,
    /// Whether any entry ever had a lifetime. Until then a hit need not ask the time, which costs more than
    /// the hit.
    lifetimes: AtomicBool,
    /// What the wheel or an insert found unused for too long, not yet told.
    idled: Mutex<Vec<(Key, Version)>>,
    latency: Histogram,
    telling: Option<Telling<K, L>>,
}

impl<K: CacheKey, L: Clone + Send + Sync + 'static> HotTier<K, L> {
    /// An empty hot tier.
    pub fn new(
        config: HotConfig<L>,
        clock: Arc<dyn Clock>,
        floors: Arc<Floors>,
        generations: Arc<Generations>,
    ) -> Self {
        Self {
            memory: Memory::new(config.memory),
            namespace: config.namespace,
            hold: config.hold,
            keep_unexpiring: config.keep_unexpiring,
            overhead: config.memory.entry_overhead,
            clock,
            floors,
            generations,
            lifetimes: AtomicBool::new(false),
            idled: Mutex::default(),
            latency: Histogram::default(),
            telling: None,
        }
    }

    /// The same, with somebody who is told of evictions.
    #[must_use]
    pub fn on_evict(mut self, listener: Listener<K, L>) -> Self {
        self.telling = Some(Telling::new(listener));
        self
    }

    /// The engine beneath.
    pub fn memory(&self) -> &Memory<K, Held<L>> {
        &self.memory
    }

    /// The namespace of its keys.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    fn now(&self) -> u64 {
        if self.lifetimes.load(Ordering::Relaxed) { self.clock.now_ms() } else { 0 }
    }

    /// Reads an entry that may be served. Takes no lock a reader can wait on, allocates nothing, and asks the
    /// time only if some entry can expire.
    #[inline]
    pub fn get<R>(&self, key: &K::Borrowed, read: impl FnOnce(&Held<L>, Freshness) -> R) -> Option<R> {
        if is_timed(TIMED) {
            return self.timed(key, read);
        }
        self.read(key, read)
    }

    #[inline]
    fn read<R>(&self, key: &K::Borrowed, read: impl FnOnce(&Held<L>, Freshness) -> R) -> Option<R> {
        let now = self.now();
        self.memory
            .get_with(key, now, |held| self.freshness(key, held).map(|freshness| read(held, freshness)))?
    }

    /// A read that is timed: looking at the clock twice costs more than most reads.
    #[cold]
    fn timed<R>(&self, key: &K::Borrowed, read: impl FnOnce(&Held<L>, Freshness) -> R) -> Option<R> {
        let began = self.clock.now();
        let answer = self.read(key, read);
        self.latency.record(self.clock.now().saturating_sub(began));
        answer
    }

    /// Whether an entry may be served; `None` if it was purged.
    #[inline]
    fn freshness(&self, key: &K::Borrowed, held: &Held<L>) -> Option<Freshness> {
        if held.stamp.load(Ordering::Relaxed) >= self.generations.stamp() {
            return Some(self.softness(held));
        }
        self.judge(&K::flat(key, &self.namespace).ok()?, held)
    }

    /// Something was invalidated since the entry was last looked at: was it this?
    #[cold]
    fn judge(&self, key: &Key, held: &Held<L>) -> Option<Freshness> {
        let current = self.generations.stamp();
        let stamp = held.stamp.load(Ordering::Relaxed);
        let tags = held.about.as_deref().map_or(&terrace_store::Tags::NONE, |about| &about.tags);
        match self.generations.verdict(key, tags, stamp) {
            Verdict::Purged => None,
            Verdict::Expired => Some(Freshness::Stale),
            Verdict::Valid => {
                // It outlived everything up to the stamp read before: that need not be asked again.
                held.stamp.fetch_max(current, Ordering::Relaxed);
                Some(self.softness(held))
            }
        }
    }

    fn softness(&self, held: &Held<L>) -> Freshness {
        match held.about.as_deref().and_then(|about| about.fresh_until_ms) {
            Some(until) if self.clock.wall_ms() >= until.get() => Freshness::Stale,
            _ => Freshness::Fresh,
        }
    }

    /// Puts a live value there if its condition holds. As [`Hot::put`], for those who know the types; they call
    /// [`Hot::tell`], too.
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
            let current = live.map(|held| held.version);
            let known = held.map_or(Version::ZERO, |held| held.version);
            match admit(condition, current, || known.max(self.floors.of(flat)), next) {
                Some(version) => {
                    written = Written::Stored { version, replaced: current.is_some() };
                    Decision::Put(Held::new(value, version, entry), options)
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

    fn options(&self, key: &K, entry: &Entry, weight: u64) -> Options {
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
    fn note(&self, evicted: Evictions<'_, K, Held<L>>) {
        for gone in &evicted {
            self.note_one(&gone.key, &gone.value, gone.cause);
        }
    }

    fn note_one(&self, key: &K, held: &Held<L>, cause: Cause) {
        if cause == Cause::Idle
            && let Ok(key) = K::flat(key.borrow(), &self.namespace)
        {
            self.idled.lock().unwrap_or_else(PoisonError::into_inner).push((key, held.version));
        }
        if let Some(telling) = &self.telling {
            telling.note(key.clone(), held.value.clone(), cause);
        }
    }

    fn typed(&self, key: &Key) -> Option<K> {
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
fn admit(
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
            let current = held.filter(|held| self.judge(key, held).is_some()).map(|held| held.version);
            let known = held.map_or(Version::ZERO, |held| held.version);
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
                Some(held) if held.version <= up_to => Decision::Remove,
                _ => Decision::Keep,
            });
            self.note(upserted.evicted);
            self.tell();
        }
    }

    fn version(&self, key: &Key) -> Option<Version> {
        let typed = self.typed(key)?;
        self.memory.peek_with::<K::Borrowed, _>(typed.borrow(), self.now(), |held, _| {
            self.judge(key, held).map(|_| held.version)
        })?
    }

    fn expire(&self, key: &Key) {
        let Some(typed) = self.typed(key) else { return };
        let now = self.now();
        let overhead = u64::from(self.overhead);
        let found = self.memory.peek_with::<K::Borrowed, _>(typed.borrow(), now, |held, meta| {
            (held.version, held.value.clone(), held.entry(), meta.weight.saturating_sub(overhead))
        });
        let Some((version, value, mut entry, weight)) = found else { return };
        entry.fresh_until_ms = NonZeroU64::new(self.clock.wall_ms().max(1));
        let options = Options { weight, ..self.options(&typed, &entry, 0) };
        let upserted = self.memory.upsert(typed, now, |held| match held {
            Some(held) if held.version == version => {
                Decision::Put(Held::new(value, version, &entry), options)
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
