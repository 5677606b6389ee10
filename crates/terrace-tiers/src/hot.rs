//! The hot tier: the memory engine, and the rules every tier keeps, around it.
//!
//! The engine knows neither clocks nor versions; here it gets both. [`HotTier`] is generic, so that a hit
//! compiles to the engine's own lookup; the ways through the tiers see it erased, as [`Hot`].
//!
//! Decision: what a hit does beside the lookup is one comparison, of the number of the last invalidation with the one
//! that the entry is known to have outlived. The time is asked only for an entry that can end.

mod erased;
mod held;
mod write;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use terrace_memory::{Config, Memory};
use terrace_store::{Clock, Key, Namespace, Version};

use crate::floors::Floors;
use crate::generations::{Generations, Verdict};
use crate::histogram::Histogram;
use crate::key::CacheKey;
use crate::listener::{Listener, Telling};
use crate::parcel::Live;
use crate::stats::is_timed;

pub use erased::{Hot, Usage};
pub use held::Held;

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

    /// The time, as far as it matters to anybody.
    fn now(&self) -> u64 {
        if self.lifetimes.load(Ordering::Relaxed) { self.clock.now_ms() } else { 0 }
    }

    /// Reads an entry that may be served. Takes no lock a reader can wait on, allocates nothing, and asks the
    /// time only if this entry can expire.
    #[inline]
    pub fn get<R>(&self, key: &K::Borrowed, read: impl FnOnce(&Held<L>, Freshness) -> R) -> Option<R> {
        if is_timed(TIMED) {
            return self.timed(key, read);
        }
        self.read(key, read)
    }

    /// Shows `each` what may be served of these keys, with a key's place among them, in their order. Otherwise as so
    /// many calls of [`get`](Self::get), but waiting for the lines of several keys at once; it is not part of the
    /// times that are taken of reads.
    #[inline]
    pub fn get_many(
        &self,
        keys: &[&K::Borrowed],
        mut each: impl FnMut(usize, Option<(&Held<L>, Freshness)>),
    ) {
        self.memory.get_many_at(
            keys,
            || self.clock.now_ms(),
            |place, held| {
                each(place, held.and_then(|held| Some((held, self.freshness(keys[place], held)?))));
            },
        );
    }

    #[inline]
    fn read<R>(&self, key: &K::Borrowed, read: impl FnOnce(&Held<L>, Freshness) -> R) -> Option<R> {
        let now = || self.clock.now_ms();
        self.memory
            .get_at(key, now, |held| self.freshness(key, held).map(|freshness| read(held, freshness)))?
    }

    /// A read that is timed: looking at the clock twice costs more than most reads.
    #[cold]
    #[inline(never)]
    fn timed<R>(&self, key: &K::Borrowed, read: impl FnOnce(&Held<L>, Freshness) -> R) -> Option<R> {
        let began = self.clock.now();
        // With a closure of its own this is a function of its own, and the other one has a single caller, into which
        // the compiler puts it.
        let answer = self.read(key, |held, freshness| read(held, freshness));
        self.latency.record(self.clock.now().saturating_sub(began));
        answer
    }

    /// Whether an entry may be served; `None` if it was purged.
    #[inline]
    fn freshness(&self, key: &K::Borrowed, held: &Held<L>) -> Option<Freshness> {
        if held.seen().load(Ordering::Relaxed) >= self.generations.number() {
            return Some(self.softness(held));
        }
        self.judge_unseen(key, held)
    }

    #[cold]
    #[inline(never)]
    fn judge_unseen(&self, key: &K::Borrowed, held: &Held<L>) -> Option<Freshness> {
        self.judge(&K::flat(key, &self.namespace).ok()?, held)
    }

    /// Something was invalidated since the entry was last looked at: was it this?
    fn judge(&self, key: &Key, held: &Held<L>) -> Option<Freshness> {
        // Read first: what is invalidated meanwhile is for the next to find out.
        let outlived = self.generations.outlived();
        let seen = held.seen().load(Ordering::Relaxed);
        match self.generations.verdict_after(key, held.tags(), seen) {
            Verdict::Purged => None,
            Verdict::Expired => Some(Freshness::Stale),
            Verdict::Valid => {
                held.outlived(outlived);
                Some(self.softness(held))
            }
        }
    }

    #[inline]
    fn softness(&self, held: &Held<L>) -> Freshness {
        match held.fresh_until_ms() {
            Some(until) if self.clock.wall_ms() >= until.get() => Freshness::Stale,
            _ => Freshness::Fresh,
        }
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests;
