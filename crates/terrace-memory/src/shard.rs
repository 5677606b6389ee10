//! One shard: what readers share, and the writers' part: the policy, the timers, and who has which slot.
//!
//! Decision: everything that changes runs under the shard's lock and knows nothing of the budget; weights are
//! released by whoever takes an entry out. An entry's cell never changes while it is reachable: a replaced value
//! is a new cell in the old one's place. Cells keep 32 bits of the hash, so that growing the index and evicting
//! never hash a key again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::block::prefetch;
use crate::cell::{Pair, flag};
use crate::core::{Core, Limits};
use crate::entry::{Cause, Meta, Priority};
use crate::eviction::{Hits, Marks, Policy, Ranked, Setup, Standing};
use crate::flight::Flights;
use crate::names::Names;
use crate::readers::Readers;
use crate::slab::Space;
use crate::stats::Counters;
use crate::sync::{Mutex, MutexGuard};
use crate::wheel::{Lifetime, Wheel};

/// How many timers a writer looks at before it asks the policy for a victim.
const STEPS_BEFORE_EVICTION: usize = 8;

/// From so many entries on they do not fit the processor's nearer caches, and victims are brought nearer in time.
const FAR: usize = 1 << 14;
/// How many victims ahead an entry is asked for, and then its place in the index.
const AHEAD: (usize, usize) = (16, 8);

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

/// A value on its way into a cell.
pub(crate) struct Incoming<K, V> {
    pub(crate) hash: u64,
    pub(crate) pair: Pair<K, V>,
    pub(crate) weight: u32,
    pub(crate) pinned: bool,
    pub(crate) priority: Priority,
    pub(crate) lifetime: Lifetime,
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

    /// Adds an entry under a key that has none. `false`, and the entry back, if every number is in use.
    #[inline(always)]
    pub(crate) fn add(&mut self, new: Incoming<K, V>, now: u64) -> Result<(), Pair<K, V>> {
        self.grow();
        let Some(number) = self.core.take_cell(&mut self.state.space) else { return Err(new.pair) };
        let (hash, weight, priority) = (new.hash, new.weight, new.priority);
        self.fill(number, new, 0, now);
        if !self.core.slab.cell(number).is(flag::PINNED) {
            self.with_policy(|policy, marks, names| {
                policy.insert(Standing { slot: names.slot(number), hash, weight, priority }, marks);
            });
        }
        self.core.table(&self.state.space).insert(index_hash(hash), number);
        self.state.weight += u64::from(weight);
        self.state.len += 1;
        Ok(())
    }

    /// Puts a new cell in a live entry's place. The old cell is the caller's then, and its weight is not yet
    /// released.
    pub(crate) fn replace(&mut self, old: u32, new: Incoming<K, V>, now: u64) -> Result<(), Pair<K, V>> {
        let Some(number) = self.core.take_cell(&mut self.state.space) else { return Err(new.pair) };
        let Incoming { hash, weight, pinned, priority, .. } = new;
        let cell = self.core.slab.cell(old);
        let (was_pinned, before) = (cell.is(flag::PINNED), self.core.slab.weight(old));
        if cell.is(flag::TIMED) {
            self.state.wheel.disarm(old);
        }
        self.fill(number, new, cell.mark.load(Ordering::Relaxed), now);
        self.state.names.exchange(old, number);
        self.core.table(&self.state.space).exchange(index_hash(hash), old, number);
        cell.set(flag::LIVE, false);
        self.state.weight = self.state.weight - u64::from(before) + u64::from(weight);
        self.with_policy(|policy, marks, names| {
            let slot = names.slot(number);
            let standing = Standing { slot, hash, weight, priority };
            match (was_pinned, pinned) {
                (false, false) => policy.replaced(standing, before, marks),
                (false, true) => policy.remove(slot, marks),
                (true, false) => policy.insert(standing, marks),
                (true, true) => {}
            }
        });
        self.core.depart(&mut self.state.space, old, before);
        Ok(())
    }

    /// Fills a fresh cell, which nobody can find yet.
    #[inline(always)]
    fn fill(&mut self, number: u32, new: Incoming<K, V>, mark: u8, now: u64) {
        self.core.slab.set_weight(number, new.weight);
        let pinned = if new.pinned { flag::PINNED } else { 0 };
        let timed = if new.lifetime.ends() { flag::TIMED } else { 0 };
        let priority = match new.priority {
            Priority::Low => flag::LOW,
            Priority::Normal => 0,
            Priority::High => flag::HIGH,
        };
        if timed != 0 {
            self.set_times(number, new.lifetime, now);
        }
        self.core.fill(number, new.pair, index_hash(new.hash), mark, flag::LIVE | pinned | timed | priority);
        if timed != 0 {
            self.arm(number, now);
        }
    }

    fn set_times(&self, number: u32, lifetime: Lifetime, now: u64) {
        let (columns, place) = self.core.slab.columns(number);
        columns.set_lifetime(place, lifetime, now);
    }

    fn arm(&mut self, number: u32, now: u64) {
        let State { wheel, .. } = &mut *self.state;
        wheel.arm(&self.core.slab, number, now);
    }

    /// Gives a live entry another lifetime.
    pub(crate) fn set_lifetime(&mut self, number: u32, lifetime: Lifetime, now: u64) {
        let cell = self.core.slab.cell(number);
        let (columns, place) = self.core.slab.columns(number);
        columns.set_lifetime(place, lifetime, now);
        // The flag after the times, so that whoever sees it sees them.
        cell.set(flag::TIMED, lifetime.ends());
        if lifetime.ends() {
            self.state.wheel.arm(&self.core.slab, number, now);
        } else {
            self.state.wheel.disarm(number);
        }
    }

    /// Makes the index larger if one more would not fit.
    #[inline]
    fn grow(&mut self) {
        let table = self.core.table(&self.state.space);
        if table.len() >= table.room() {
            self.enlarge();
        }
    }

    #[cold]
    fn enlarge(&mut self) {
        let table = self.core.table(&self.state.space);
        let (room, expected) = (table.room(), self.state.expected);
        let larger = room + room / 2 + 8;
        // Where the end can be foreseen the last step goes there and no further.
        let last = expected.saturating_add(expected / 64).saturating_add(8);
        let room = if room < last && larger.saturating_add(larger / 4) > last { last } else { larger };
        self.core.rebuild(&mut self.state.space, room);
    }

    /// Takes a live entry out of everything, and returns its weight. The cell is the caller's then; the caller
    /// releases the weight.
    pub(crate) fn take(&mut self, number: u32) -> u32 {
        if !self.core.slab.cell(number).is(flag::PINNED) {
            self.with_policy(|policy, marks, names| policy.remove(names.slot(number), marks));
        }
        self.take_forgotten(number)
    }

    /// The same for an entry that the policy does not know, or no longer.
    #[inline]
    pub(crate) fn take_forgotten(&mut self, number: u32) -> u32 {
        let cell = self.core.slab.cell(number);
        self.core.table(&self.state.space).remove(cell.word(), number);
        cell.set(flag::LIVE, false);
        if cell.is(flag::TIMED) {
            self.state.wheel.disarm(number);
        }
        let weight = self.core.slab.weight(number);
        self.core.depart(&mut self.state.space, number, weight);
        self.state.weight -= u64::from(weight);
        self.state.len -= 1;
        weight
    }

    /// Takes out the entry that should leave next: a dead one if the timers have one at hand, else the policy's
    /// choice. As with [`take`](Self::take) its cell and its weight are the caller's then.
    #[inline]
    pub(crate) fn take_victim(&mut self, now: u64) -> Option<Victim> {
        let mut steps = STEPS_BEFORE_EVICTION;
        if let Some((number, cause)) = self.expire(now, &mut steps) {
            return Some(Victim { number, weight: self.take(number), cause });
        }
        if self.state.len >= FAR {
            self.bring_nearer();
        }
        let held = self.state.weight;
        let slot = self.with_policy(|policy, marks, _| policy.victim(held, marks))?;
        let number = self.state.names.cell(slot);
        let cause = self.dead(number, now).unwrap_or(Cause::Capacity);
        Some(Victim { number, weight: self.take_forgotten(number), cause })
    }

    /// Asks for the lines of those who will leave soon. In a large cache they come from memory, and one after
    /// another they are most of what an eviction takes.
    #[inline]
    fn bring_nearer(&self) {
        let State { policy, names, space, .. } = &*self.state;
        for queue in 0..2 {
            if let Some(slot) = policy.upcoming(queue, AHEAD.0) {
                prefetch(self.core.slab.cell(names.cell(slot)));
            }
            if let Some(slot) = policy.upcoming(queue, AHEAD.1) {
                let hash = self.core.slab.cell(names.cell(slot)).word();
                self.core.table(space).prefetch(hash);
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

    /// The next entry that the timers find dead.
    pub(crate) fn expire(&mut self, now: u64, steps: &mut usize) -> Option<(u32, Cause)> {
        self.state.wheel.expire(&self.core.slab, now, steps)
    }

    /// Empties the shard. Returns the cells, in a chain of so many, and their weight.
    pub(crate) fn drain(&mut self) -> Drained {
        self.core.empty_table(&mut self.state.space);
        let mut drained = Drained { chain: None, len: 0, weight: self.state.weight };
        for number in self.core.slab.numbers(&self.state.space) {
            let cell = self.core.slab.cell(number);
            if cell.is(flag::LIVE) {
                cell.set(flag::LIVE, false);
                cell.set(flag::GIVEN_UP, true);
                let (first, last) = drained.chain.unwrap_or((crate::slab::NIL, number));
                cell.set_word(first);
                drained.chain = Some((number, last));
                drained.len += 1;
            }
        }
        self.core.count_unlinked(drained.weight);
        self.core.send_departed(&mut self.state.space);
        let state = &mut *self.state;
        state.policy.clear();
        state.wheel.clear();
        state.names = Names::default();
        (state.weight, state.len) = (0, 0);
        drained
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

/// What [`Locked::take_victim`] took out.
pub(crate) struct Victim {
    pub(crate) number: u32,
    pub(crate) weight: u32,
    pub(crate) cause: Cause,
}

/// What [`Locked::drain`] took out.
pub(crate) struct Drained {
    /// First and last of a chain of cells.
    pub(crate) chain: Option<(u32, u32)>,
    pub(crate) len: u32,
    pub(crate) weight: u64,
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
