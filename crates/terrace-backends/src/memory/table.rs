//! The entries themselves: the engine, and what has to agree with it at every instant.
//!
//! A write is one `upsert` of the engine: what depends on the entry that was there (condition, version, counters,
//! deadline, what watchers are told) happens in its closure, under the lock of the key. The engine is told of no
//! deadlines and given no time: whether an entry has ended is read from the entry by wall time, and `index` knows
//! which end first.
//!
//! The gate orders what concerns more than one key. Plain writes pass it together; a batch, a clear, a snapshot
//! and a carried write into a store that evicts pass alone. The last because an eviction raises its key's floor
//! only after the entry has left: a carried write between the two could bring something older back.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use terrace_memory::{
    Config, Decision, ENTRY_OVERHEAD, Evicted, Evictions as Left, Memory, Options, Outcome as Engine, Pair,
};
use terrace_store::capability::Change;
use terrace_store::store::{FLOOR_RETENTION, VALUE_LIMIT};
use terrace_store::{
    Clock, Condition, DeleteOptions, Deleted, Entry, Error, ErrorKind, Key, PutOptions, Result, Version,
    Written,
};

use super::config::{Evict, MemoryConfig};
use super::evict::{Choice, engine_capacity};
use super::floors::Floors;
use super::held::Held;
use super::lock::Leases;
use super::publish::Channels;
use crate::spaces::{Amount, Spaces};
use crate::watchers::Watchers;

/// What a deadline costs in the index, in bytes: a key, a number, and the slack of the tree.
const DEADLINE_COST: u64 = 80;
/// How often a put is tried again that the engine refused though there is room, because others were evicting.
const ROOM_ATTEMPTS: usize = 10_000;

/// The entries.
pub(super) struct Table {
    pub(super) engine: Memory<Key, Held>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) gate: RwLock<()>,
    pub(super) spaces: Spaces,
    pub(super) floors: Floors,
    /// Floors of namespaces, and the monotonic millisecond from which each may be forgotten.
    pub(super) cleared: Mutex<HashMap<Bytes, (Version, u64)>>,
    /// Which entry ends when.
    pub(super) index: Mutex<BTreeSet<(u64, Key)>>,
    pub(super) watchers: Arc<Watchers>,
    pub(super) channels: Arc<Channels>,
    pub(super) leases: Leases,
    pub(super) evictions: Evictions,
    /// What is evicted now; the configuration says what was in the beginning.
    pub(super) choice: Choice,
    config: MemoryConfig,
    sequence: AtomicU64,
}

/// What was evicted.
#[derive(Default)]
pub(super) struct Evictions {
    pub(super) count: AtomicU64,
    pub(super) recent: Mutex<VecDeque<Key>>,
}

/// What a write finds under its key.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Prior {
    /// The version of the entry, ended or not; zero if there is none.
    pub(super) version: Version,
    /// Whether it is live.
    pub(super) live: bool,
    /// What it counts for.
    pub(super) amount: Amount,
    /// When it ends.
    pub(super) deadline_ms: Option<u64>,
}

impl Prior {
    pub(super) fn current(&self) -> Option<Version> {
        self.live.then_some(self.version)
    }
}

impl Table {
    pub(super) fn new(config: MemoryConfig, clock: Arc<dyn Clock>) -> Self {
        Self {
            engine: Memory::new(Config::bytes(engine_capacity(&config, config.evict))),
            choice: Choice::new(config.evict),
            clock,
            gate: RwLock::default(),
            spaces: Spaces::default(),
            floors: Floors::default(),
            cleared: Mutex::default(),
            index: Mutex::default(),
            watchers: Arc::default(),
            channels: Arc::default(),
            leases: Leases::default(),
            evictions: Evictions::default(),
            config,
            sequence: AtomicU64::new(0),
        }
    }

    pub(super) fn config(&self) -> &MemoryConfig {
        &self.config
    }

    pub(super) fn next_version(&self) -> Version {
        Version(self.sequence.fetch_add(1, Ordering::AcqRel) + 1)
    }

    /// When a floor left now may be forgotten.
    pub(super) fn floor_end(&self) -> u64 {
        self.clock.now_ms().saturating_add(FLOOR_RETENTION.as_millis() as u64)
    }

    pub(super) fn index(&self) -> MutexGuard<'_, BTreeSet<(u64, Key)>> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an entry's time is over. The clock is read only if it has one.
    pub(super) fn is_over(&self, deadline_ms: Option<u64>) -> bool {
        deadline_ms.is_some_and(|deadline| self.clock.wall_ms() >= deadline)
    }

    /// The live entry of a key.
    pub(super) fn get(&self, key: &Key) -> Option<Entry> {
        let live = |held: &Held| (!self.is_over(held.deadline_ms())).then(|| held.entry());
        self.engine.get_with(key, 0, live).flatten()
    }

    /// Whether the key has a live entry.
    pub(super) fn exists(&self, key: &Key) -> bool {
        self.engine.peek_with(key, 0, |held, _| !self.is_over(held.deadline_ms())).unwrap_or(false)
    }

    pub(super) fn put(&self, key: &Key, entry: Entry, options: PutOptions) -> Result<Written> {
        check_value(&entry)?;
        let mut held = Held::new(entry, Version::ZERO);
        let mut verdict = Ok(Written::Conflict { current: None });
        self.passing(options.condition, || {
            let done = self.engine.upsert(key.clone(), 0, |current| {
                let prior = self.prior(key, current);
                let version = match self.judge(key, &prior, options.condition) {
                    Ok(Ok(version)) => version,
                    Ok(Err(current)) => {
                        verdict = Ok(Written::Conflict { current });
                        return Decision::Keep;
                    }
                    Err(error) => {
                        verdict = Err(error);
                        return Decision::Keep;
                    }
                };
                held.version = version;
                let after = self.amount(key, &held);
                if !self.reserve(prior.amount.stored, after.stored, self.weight(key, &held)) {
                    verdict = Err(self.full());
                    return Decision::Keep;
                }
                verdict = Ok(Written::Stored { version, replaced: prior.live });
                self.spaces.release(prior.amount.stored.saturating_sub(after.stored));
                self.replace(key, &prior, after, held.deadline_ms());
                self.watchers.tell(key, || Change::Put { key: key.clone(), version });
                let options = self.options(key, &held);
                Decision::Put(held, options)
            });
            self.settle(done.evicted, done.outcome)
        })?;
        verdict
    }

    pub(super) fn delete(&self, key: &Key, options: DeleteOptions) -> Result<Deleted> {
        check_delete(options)?;
        let mut verdict = Ok(Deleted::Conflict { current: None });
        self.passing(options.condition, || {
            let done = self.engine.upsert(key.clone(), 0, |current| {
                let prior = self.prior(key, current);
                match self.judge(key, &prior, options.condition) {
                    Ok(Ok(version)) => {
                        verdict = Ok(Deleted::Done { version, existed: prior.live });
                        self.spaces.release(prior.amount.stored);
                        self.removing(key, &prior, version);
                        Decision::Remove
                    }
                    Ok(Err(current)) => {
                        verdict = Ok(Deleted::Conflict { current });
                        Decision::Keep
                    }
                    Err(error) => {
                        verdict = Err(error);
                        Decision::Keep
                    }
                }
            });
            self.settle(done.evicted, done.outcome)
        })?;
        verdict
    }

    /// Removes the entry of a key if it ended at this time or before. Returns whether it did.
    pub(super) fn expire(&self, key: &Key, deadline_ms: u64) -> bool {
        let mut expired = false;
        let done = self.engine.upsert(key.clone(), 0, |current| {
            let prior = self.prior(key, current);
            // An entry that was written since has a deadline, and a place in the index, of its own.
            if current.is_none() || prior.deadline_ms != Some(deadline_ms) {
                return Decision::Keep;
            }
            if prior.live {
                // The clock has gone back since the entry was found to be over.
                self.index().insert((deadline_ms, key.clone()));
                return Decision::Keep;
            }
            expired = true;
            self.spaces.release(prior.amount.stored);
            self.removing(key, &prior, prior.version);
            Decision::Remove
        });
        debug_assert!(done.evicted.is_empty(), "a removal evicts nothing");
        expired
    }

    /// What goes with the removal of an entry, under its lock. The budget is the caller's to settle.
    pub(super) fn removing(&self, key: &Key, prior: &Prior, floor: Version) {
        self.floors.raise(key, floor, self.floor_end());
        self.replace(key, prior, Amount::default(), None);
        self.watchers.tell(key, || Change::Deleted { key: key.clone(), version: floor });
    }

    /// Passes the gate, alone if the write has to be.
    fn passing<T>(&self, condition: Condition, work: impl FnOnce() -> T) -> T {
        let carried = matches!(condition, Condition::Newer(_));
        {
            let _gate = self.gate.read().unwrap_or_else(PoisonError::into_inner);
            // Asked behind the gate, which keeps the answer as it is.
            if !carried || self.choice.get() == Evict::None {
                return work();
            }
        }
        let _gate = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        work()
    }

    pub(super) fn prior(&self, key: &Key, current: Option<&Held>) -> Prior {
        let Some(held) = current else { return Prior::default() };
        let deadline_ms = held.deadline_ms();
        Prior {
            version: held.version,
            live: !self.is_over(deadline_ms),
            amount: self.amount(key, held),
            deadline_ms,
        }
    }

    /// The version a write gets, or the live version that stands against it.
    pub(super) fn judge(
        &self,
        key: &Key,
        prior: &Prior,
        condition: Condition,
    ) -> Result<std::result::Result<Version, Option<Version>>> {
        let current = prior.current();
        Ok(match condition {
            Condition::Any => Ok(self.next_version()),
            Condition::Absent if current.is_none() => Ok(self.next_version()),
            Condition::Match(expected) if current == Some(expected) => Ok(self.next_version()),
            Condition::Newer(version) if version >= Version::LIMIT => {
                return Err(Error::new(ErrorKind::Invalid, "write")
                    .with("version", version)
                    .because("a write carries a version below 2^63"));
            }
            Condition::Newer(version)
                if version > prior.version.max(self.spaces.floor(key)).max(self.floors.of(key)) =>
            {
                self.sequence.fetch_max(version.0, Ordering::AcqRel);
                Ok(version)
            }
            _ => Err(current),
        })
    }

    /// What the engine weighs an entry with, its own overhead apart.
    fn weight(&self, key: &Key, held: &Held) -> u64 {
        let inline = (size_of::<Key>() + size_of::<Held>()) as u64;
        let deadline = if held.deadline_ms().is_some() { DEADLINE_COST } else { 0 };
        let weight = key.flat().len() as u64 + held.size() + inline + deadline;
        // The engine counts in 32 bits; a caller's word may be greater.
        weight.min(u64::from(u32::MAX - ENTRY_OVERHEAD))
    }

    pub(super) fn options(&self, key: &Key, held: &Held) -> Options {
        self.options_under(self.choice.get(), key, held)
    }

    pub(super) fn options_under(&self, evict: Evict, key: &Key, held: &Held) -> Options {
        Options { pinned: evict.pins(held), ..Options::weighing(self.weight(key, held)) }
    }

    /// What an entry counts for. The budget counts what cannot be evicted.
    pub(super) fn amount(&self, key: &Key, held: &Held) -> Amount {
        self.amount_under(self.choice.get(), key, held)
    }

    pub(super) fn amount_under(&self, evict: Evict, key: &Key, held: &Held) -> Amount {
        let stored = if evict.pins(held) { self.weight(key, held) + u64::from(ENTRY_OVERHEAD) } else { 0 };
        Amount { count: 1, bytes: (key.bytes().len() + held.value.len()) as u64, stored }
    }

    /// Takes what cannot be evicted from the budget, if all of it, and the entry itself, then still fits.
    pub(super) fn reserve(&self, before: u64, after: u64, weight: u64) -> bool {
        let Some(capacity) = self.config.capacity else { return true };
        if after != 0 {
            return self.spaces.reserve(after.saturating_sub(before), Some(capacity));
        }
        let others = self.spaces.stored().saturating_sub(before);
        others + weight + u64::from(ENTRY_OVERHEAD) <= capacity
    }

    /// Counts and indexes the change of an entry, under its lock.
    pub(super) fn replace(&self, key: &Key, prior: &Prior, after: Amount, deadline_ms: Option<u64>) {
        self.spaces.replace(key, prior.amount, after);
        if prior.deadline_ms == deadline_ms {
            return;
        }
        let mut index = self.index();
        if let Some(old) = prior.deadline_ms {
            index.remove(&(old, key.clone()));
        }
        if let Some(new) = deadline_ms {
            index.insert((new, key.clone()));
        }
    }

    /// Does what evictions make necessary.
    ///
    /// # Errors
    /// `Unknown` if the engine had no room for what was to be stored, and none came.
    pub(super) fn settle(&self, mut evicted: Left<'_, Key, Held>, outcome: Engine) -> Result<()> {
        let refused = if outcome == Engine::Refused { evicted.pop() } else { None };
        for entry in &evicted {
            self.note_eviction(&entry.key, &entry.value);
        }
        match refused {
            Some(refused) => self.insist(refused),
            None => Ok(()),
        }
    }

    pub(super) fn note_eviction(&self, key: &Key, held: &Held) {
        self.floors.raise_bucket(key, held.version);
        let amount = self.amount(key, held);
        self.spaces.release(amount.stored);
        self.spaces.replace(key, amount, Amount::default());
        if let Some(deadline) = held.deadline_ms() {
            self.index().remove(&(deadline, key.clone()));
        }
        self.evictions.count.fetch_add(1, Ordering::Relaxed);
        if self.config.report_evicted != 0 {
            let mut recent = self.evictions.recent.lock().unwrap_or_else(PoisonError::into_inner);
            if recent.len() >= self.config.report_evicted {
                recent.pop_front();
            }
            recent.push_back(key.clone());
        }
    }

    /// Stores what the engine refused because other threads were evicting just then. The write was admitted and
    /// counted already, so it is stored, unless a later one of its key has come meanwhile.
    fn insist(&self, refused: Evicted<'_, Key, Held>) -> Result<()> {
        let Pair { key, value: held } = refused.into_pair();
        for _ in 0..ROOM_ATTEMPTS {
            std::thread::yield_now();
            let mut overtaken = false;
            let mut done = self.engine.upsert(key.clone(), 0, |current| {
                if current.is_some() || self.floors.may_cover(&key, held.version) {
                    overtaken = true;
                    return Decision::Keep;
                }
                Decision::Put(held.clone(), self.options(&key, &held))
            });
            let refused = done.outcome == Engine::Refused;
            if refused {
                done.evicted.pop();
            }
            for entry in &done.evicted {
                self.note_eviction(&entry.key, &entry.value);
            }
            if overtaken {
                // The later write found nothing, and so did not take this one's counts away.
                self.forget(&key, &held);
                return Ok(());
            }
            if !refused {
                return Ok(());
            }
        }
        self.forget(&key, &held);
        Err(Error::new(ErrorKind::Unknown, "put")
            .with("store", super::NAME)
            .because("no room came free for an entry that was admitted, and what it replaced is gone"))
    }

    fn forget(&self, key: &Key, held: &Held) {
        let amount = self.amount(key, held);
        self.spaces.release(amount.stored);
        self.spaces.replace(key, amount, Amount::default());
    }

    pub(super) fn full(&self) -> Error {
        Error::new(ErrorKind::Full, "put")
            .with("store", super::NAME)
            .with("capacity", self.config.capacity.unwrap_or(u64::MAX))
            .because("the memory budget is used up by what may not be evicted; delete something or raise it")
    }
}

pub(super) fn check_value(entry: &Entry) -> Result<()> {
    if entry.value.len() <= VALUE_LIMIT {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Invalid, "put")
        .with("length", entry.value.len())
        .because(format!("a value is at most {VALUE_LIMIT} bytes long")))
}

pub(super) fn check_delete(options: DeleteOptions) -> Result<()> {
    if options.condition != Condition::Absent {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Invalid, "delete").because("a delete cannot depend on the entry's absence"))
}
