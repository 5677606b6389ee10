//! One shard: what readers share, and the writers' part: the policy, the timers, and who has which slot.
//!
//! Decision: everything that changes runs under the shard's lock and knows nothing of the budget; weights are
//! released by whoever takes an entry out. Cells keep 32 bits of the hash, so that growing the index and evicting
//! never hash a key again.

mod coming;
mod exchange;
mod leaving;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

pub(crate) use self::coming::Incoming;
pub(crate) use self::exchange::Pairing;
pub(crate) use self::leaving::{Drained, Victim};
use crate::cell::flag;
use crate::core::{Core, Limits};
use crate::entry::{Cause, Meta, Priority};
use crate::eviction::{Hits, Marks, Policy, Ranked, Setup};
use crate::flight::Flights;
use crate::names::Names;
use crate::readers::Readers;
use crate::slab::Space;
use crate::stats::Counters;
use crate::sync::{Mutex, MutexGuard};
use crate::wheel::{Lifetime, Wheel};

/// A shard. What readers need stands on cache lines of its own, and first, so that it is where the shard is.
#[repr(C, align(128))]
pub(crate) struct Shard<K, V, P> {
    pub(crate) core: Core<K, V>,
    pub(crate) writers: Writers<K, V, P>,
}

/// What writers need.
#[repr(align(128))]
pub(crate) struct Writers<K, V, P> {
    lock: Mutex<State<K, V, P>>,
    pub(crate) counters: Counters,
    pub(crate) len: AtomicUsize,
    pub(crate) weight: AtomicU64,
}

/// What is under the lock.
pub(crate) struct State<K, V, P> {
    pub(crate) space: Space<K, V>,
    pub(crate) policy: Ranked<P>,
    pub(crate) wheel: Wheel,
    pub(crate) names: Names,
    pub(crate) flights: Flights,
    pub(crate) weight: u64,
    pub(crate) len: usize,
    /// The number of entries this shard will hold when it is full, if that can be known.
    expected: usize,
}

/// How a shard is made.
pub(crate) struct Plan {
    pub(crate) setup: Setup,
    /// Entries it will hold, roughly.
    pub(crate) expected: u64,
    /// Whether that is known rather than guessed.
    pub(crate) exact: bool,
    pub(crate) limits: Limits,
}

impl<K, V, P: Policy> Shard<K, V, P> {
    pub(crate) fn new(plan: &Plan, readers: &Arc<Readers>, shared: &Arc<P::Shared>) -> Self {
        let (core, space) = Core::new(readers.clone(), (plan.expected, plan.exact), plan.limits);
        let state = State {
            space,
            policy: Ranked::new(P::new(plan.setup, shared)),
            wheel: Wheel::default(),
            names: Names::default(),
            flights: Flights::default(),
            weight: 0,
            len: 0,
            expected: if plan.exact {
                usize::try_from(plan.expected).unwrap_or(usize::MAX)
            } else {
                usize::MAX
            },
        };
        let writers = Writers {
            lock: Mutex::new(state),
            counters: Counters::default(),
            len: AtomicUsize::new(0),
            weight: AtomicU64::new(0),
        };
        Shard { core, writers }
    }
}

impl<K, V, P> Shard<K, V, P> {
    pub(crate) fn lock(&self) -> Locked<'_, K, V, P> {
        Locked { core: &self.core, writers: &self.writers, state: self.writers.lock.lock() }
    }

    pub(crate) fn try_lock(&self) -> Option<Locked<'_, K, V, P>> {
        let state = self.writers.lock.try_lock()?;
        Some(Locked { core: &self.core, writers: &self.writers, state })
    }
}

impl<K, V, P> Drop for Shard<K, V, P> {
    fn drop(&mut self) {
        self.core.dismantle(&mut self.writers.lock.get_mut().space);
    }
}

/// The marks of a shard's entries, as its policy sees them.
struct CellMarks<'a, K, V> {
    core: &'a Core<K, V>,
    names: &'a Names,
}

impl<K, V> Marks for CellMarks<'_, K, V> {
    #[inline]
    fn get(&self, slot: u32) -> u8 {
        self.core.slab.cell(self.names.cell(slot)).mark.load(Ordering::Relaxed)
    }

    #[inline]
    fn set(&self, slot: u32, mark: u8) {
        self.core.slab.cell(self.names.cell(slot)).mark.store(mark, Ordering::Relaxed);
    }

    #[inline]
    fn hash(&self, slot: u32) -> u32 {
        self.core.slab.cell(self.names.cell(slot)).word()
    }
}

/// A shard whose lock is held.
pub(crate) struct Locked<'a, K, V, P> {
    pub(crate) core: &'a Core<K, V>,
    pub(crate) writers: &'a Writers<K, V, P>,
    pub(crate) state: MutexGuard<'a, State<K, V, P>>,
}

/// The part of a hash that the index goes by. The shard is chosen by other bits.
#[inline]
pub(crate) fn index_hash(hash: u64) -> u32 {
    hash as u32
}

impl<'a, K, V, P: Policy> Locked<'a, K, V, P> {
    /// Lets everybody see the totals. Called after anything that changed them.
    pub(crate) fn publish_totals(&self) {
        self.writers.len.store(self.state.len, Ordering::Relaxed);
        self.writers.weight.store(self.state.weight, Ordering::Relaxed);
    }

    /// Why the live entry in this cell is dead, if it is.
    pub(crate) fn dead(&self, number: u32, now: u64) -> Option<Cause> {
        self.core.entry(&self.state.space, number).dead(now)
    }

    /// Runs the policy with the marks it needs.
    fn with_policy<R>(&mut self, work: impl FnOnce(&mut Ranked<P>, &CellMarks<'_, K, V>, &Names) -> R) -> R {
        let State { policy, names, .. } = &mut *self.state;
        work(policy, &CellMarks { core: self.core, names }, names)
    }

    /// Notes a use of a live entry by a writer.
    pub(crate) fn used(&mut self, number: u32) {
        match P::HITS {
            Hits::Mark => mark_use::<P, _, _>(self.core.slab.cell(number)),
            Hits::Exclusive => {
                self.with_policy(|policy, marks, names| policy.used(names.slot(number), marks));
            }
        }
    }

    /// Shows every entry but the pinned ones with the policy's warmth for it.
    pub(crate) fn survey(&self, mut show: impl FnMut(u32, f64)) {
        let State { policy, names, .. } = &*self.state;
        policy.survey(&CellMarks { core: self.core, names }, &mut |slot, warmth| {
            show(names.cell(slot), warmth);
        });
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let State { policy, wheel, names, space, .. } = &*self.state;
        self.core.heap_bytes(space) + policy.heap_bytes() + wheel.heap_bytes() + names.heap_bytes()
    }

    /// Everything that must agree, compared entry by entry. For tests.
    pub(crate) fn check(&self) -> Result<(), String> {
        let (mut weight, mut len) = (0, 0);
        let table = self.core.table(&self.state.space);
        for number in self.core.slab.numbers(&self.state.space) {
            let cell = self.core.slab.cell(number);
            if !cell.is(flag::LIVE) {
                continue;
            }
            weight += u64::from(self.core.slab.weight(number));
            len += 1;
            if table.find(cell.word(), |other| (other == number).then_some(())).is_none() {
                return Err(format!("cell {number} is not in the table"));
            }
        }
        if (weight, len) != (self.state.weight, self.state.len) {
            let State { weight: said, len: counted, .. } = &*self.state;
            return Err(format!("{len} entries weigh {weight}, the shard says {counted} and {said}"));
        }
        if table.len() != len {
            return Err(format!("{} cells in the table, {len} in use", table.len()));
        }
        Ok(())
    }
}

/// Marks a use, with a store only if that changes anything.
#[inline]
pub(crate) fn mark_use<P: Policy, K, V>(cell: &crate::cell::Cell<K, V>) {
    let mark = cell.mark.load(Ordering::Relaxed);
    let after = P::on_hit(mark);
    // Two uses at once may count as one. That is cheaper than an atomic addition and harms nothing.
    if after != mark {
        cell.mark.store(after, Ordering::Relaxed);
    }
}

/// What the engine knows of an entry beside key and value.
pub(crate) fn meta<K, V>(core: &Core<K, V>, number: u32) -> Meta {
    let cell = core.slab.cell(number);
    let timed = cell.is(flag::TIMED);
    let (columns, place) = core.slab.columns(number);
    let lifetime = if timed { columns.lifetime(place) } else { Lifetime::default() };
    Meta {
        weight: u64::from(core.slab.weight(number)),
        expires_at: lifetime.expires_at,
        idle: lifetime.idle,
        pinned: cell.is(flag::PINNED),
        priority: match (cell.is(flag::LOW), cell.is(flag::HIGH)) {
            (true, _) => Priority::Low,
            (_, true) => Priority::High,
            _ => Priority::Normal,
        },
    }
}
