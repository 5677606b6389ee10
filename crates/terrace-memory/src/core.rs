//! The part of a shard that readers share: index and cells, and the time of grace between leaving the index and
//! being freed.
//!
//! Decision: what a writer unlinks is listed under the shard's lock, and once enough has gathered the list goes into
//! *limbo*, where one barrier and one look at the readers' lines serve for all of it, and whoever looked drops the pairs,
//! outside every lock. Whoever holds what left gives it up by a plain store; what is not given up by then stays in limbo.
//! If some reader is still at it, nobody waits: the next writer looks again. Only when limbo grows beyond its bound does
//! the writer wait, for a while, and never if it is reading itself.

#![allow(unsafe_code, reason = "readers hold no lock; UNSAFE.md argues each use")]

use std::borrow::Borrow;
use std::mem::needs_drop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{self, Ordering};

use crate::cell::{Cell, Pair, flag};
use crate::entry::Cause;
use crate::gone::Gone;
use crate::readers::{Grace, Pin, Readers};
use crate::slab::{Chain, NIL, Slab, Space};
use crate::sync::{AtomicPtr, AtomicU32, AtomicU64, Mutex, yield_now};
use crate::table::Table;

/// How often a writer that waits for readers lets another thread run before it gives up.
const PATIENCE: u32 = if cfg!(shuttle) { 20 } else { 10_000 };
/// How often it looks again at once: most reads are over in the time that this takes.
const GLANCES: u32 = if cfg!(shuttle) { 1 } else { 64 };

/// How many wait in limbo, and the first of them, in one word.
#[derive(Clone, Copy)]
struct List(u64);

impl List {
    const EMPTY: List = List(NIL as u64);

    fn new(first: u32, len: u32) -> Self {
        List(u64::from(len) << 32 | u64::from(first))
    }

    fn first(self) -> u32 {
        self.0 as u32
    }

    fn len(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// An index that was replaced, and its size. Not a box, which would say that nobody else looks at it.
struct OldTable(*mut Table, usize);

// SAFETY: the index is all atomics, and this is its only owner.
unsafe impl Send for OldTable {}

impl Drop for OldTable {
    fn drop(&mut self) {
        // SAFETY: it came from a box, and is dropped after the time of grace, or with the engine.
        drop(unsafe { Box::from_raw(self.0) });
    }
}

/// What was unlinked before some moment, and the readers that were reading then.
struct Batch {
    /// `None` as long as the system refused the barrier.
    grace: Option<Grace>,
    cells: List,
    tables: Vec<OldTable>,
}

#[derive(Default)]
struct Retired {
    batch: Option<Batch>,
    tables: Vec<OldTable>,
}

/// The limits of limbo.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// So many cells are worth a barrier.
    pub(crate) batch: u32,
    /// More weight than this is not left there.
    pub(crate) weight: u64,
}

/// Index and cells of a shard.
pub(crate) struct Core<K, V> {
    table: AtomicPtr<Table>,
    pub(crate) slab: Slab<K, V>,
    readers: Arc<Readers>,
    limbo: AtomicU64,
    /// Cells that may be used again, in a list.
    freed: AtomicU32,
    retired: Mutex<Retired>,
    /// An index was replaced, and nobody has tried to free it since.
    old_index: atomic::AtomicBool,
    /// Enough has come into limbo, and nobody has tried to free it since.
    due: atomic::AtomicBool,
    /// The weight of all that was ever unlinked, and of all of that which was freed.
    unlinked: atomic::AtomicU64,
    released: atomic::AtomicU64,
    batch: u32,
    most_weight: atomic::AtomicU64,
}

/// An entry that a reader found.
pub(crate) struct Found<'p, K, V> {
    core: &'p Core<K, V>,
    pub(crate) cell: &'p Cell<K, V>,
    pub(crate) number: u32,
}

impl<'p, K, V> Found<'p, K, V> {
    #[inline]
    pub(crate) fn pair(&self) -> &'p Pair<K, V> {
        // SAFETY: it was found in the table, under a pin or a lock that outlives `'p`.
        unsafe { self.cell.pair() }
    }

    /// Why it is dead at `now`, if it is.
    #[inline]
    pub(crate) fn dead(&self, now: u64) -> Option<Cause> {
        if self.cell.is(flag::TIMED) { self.dead_by_time(now) } else { None }
    }

    #[inline(never)]
    fn dead_by_time(&self, now: u64) -> Option<Cause> {
        let (columns, place) = self.core.slab.columns(self.number);
        columns.dead(place, now)
    }

    /// Whether it is alive; if so, notes a use for the idle limit. Asks the time only if that matters.
    #[inline]
    pub(crate) fn use_at(&self, now: impl FnOnce() -> u64) -> bool {
        !self.cell.is(flag::TIMED) || self.use_by_time(now())
    }

    #[inline(never)]
    fn use_by_time(&self, now: u64) -> bool {
        let (columns, place) = self.core.slab.columns(self.number);
        let lives = columns.dead(place, now).is_none();
        if lives {
            columns.touch(place, now);
        }
        lives
    }
}

impl<K, V> Core<K, V> {
    pub(crate) fn new(
        readers: Arc<Readers>,
        (expected, known): (u64, bool),
        limits: Limits,
    ) -> (Self, Space<K, V>) {
        let (slab, space) = Slab::new(expected, known);
        let core = Core {
            table: AtomicPtr::new(Box::into_raw(Box::new(Table::with_room(1)))),
            slab,
            readers,
            limbo: AtomicU64::new(List::EMPTY.0),
            freed: AtomicU32::new(NIL),
            retired: Mutex::new(Retired::default()),
            old_index: atomic::AtomicBool::new(false),
            due: atomic::AtomicBool::new(false),
            unlinked: atomic::AtomicU64::new(0),
            released: atomic::AtomicU64::new(0),
            batch: limits.batch,
            most_weight: atomic::AtomicU64::new(limits.weight),
        };
        (core, space)
    }

    /// The entry of a key, dead or alive.
    #[inline]
    pub(crate) fn find<'p, Q>(&'p self, _pin: &'p Pin<'_>, hash: u32, key: &Q) -> Option<Found<'p, K, V>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        // SAFETY: the table was published, and is freed only after a time of grace, which the pin holds off.
        let table = unsafe { &*self.table.load(Ordering::Acquire) };
        self.find_in(table, hash, key)
    }

    #[inline]
    fn find_in<'p, Q>(&'p self, table: &Table, hash: u32, key: &Q) -> Option<Found<'p, K, V>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        // Two words, which fit registers: through memory they would cost as much as the rest.
        let (cell, number) = table.find(hash, |number| {
            let cell = self.slab.cell(number);
            let found = Found { core: self, cell, number };
            (found.pair().key.borrow() == key).then_some((cell, number))
        })?;
        Some(Found { core: self, cell, number })
    }

    /// An entry by its number, for a writer: one who holds the shard's lock, which the space stands for, and
    /// knows that the entry is live.
    pub(crate) fn entry<'p>(&'p self, _space: &'p Space<K, V>, number: u32) -> Found<'p, K, V> {
        Found { core: self, cell: self.slab.cell(number), number }
    }

    /// A live entry that was noted under this pin, whether it has left since or not.
    pub(crate) fn noted<'p>(&'p self, _pin: &'p Pin<'_>, number: u32) -> Found<'p, K, V> {
        Found { core: self, cell: self.slab.cell(number), number }
    }

    /// The entry of a key, for a writer.
    #[inline(always)]
    pub(crate) fn locate<'p, Q>(
        &'p self,
        space: &'p Space<K, V>,
        hash: u32,
        key: &Q,
    ) -> Option<Found<'p, K, V>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        self.find_in(self.table(space), hash, key)
    }

    /// The table, for a writer.
    #[inline]
    pub(crate) fn table<'p>(&'p self, _space: &'p Space<K, V>) -> &'p Table {
        // SAFETY: only writers replace it, and the caller holds the shard's lock as long as it has the space.
        unsafe { &*self.table.load(Ordering::Acquire) }
    }

    /// The pair of an entry that was unlinked and not yet given up, as whoever holds it knows.
    pub(crate) fn unlinked_pair<'g>(&'g self, number: u32, _holder: &'g Gone<'_, K, V>) -> &'g Pair<K, V> {
        // SAFETY: the holder unlinked it, and gives it up only when it is dropped.
        unsafe { self.slab.cell(number).pair() }
    }

    /// Replaces the table by one with room for so many.
    pub(crate) fn rebuild(&self, space: &mut Space<K, V>, room: usize) {
        let table = Table::with_room(room);
        for number in self.table(space).cells() {
            table.insert(self.slab.cell(number).word(), number);
        }
        self.replace_table(table);
    }

    /// Leaves the table empty and small.
    pub(crate) fn empty_table(&self, _space: &mut Space<K, V>) {
        self.replace_table(Table::with_room(1));
    }

    fn replace_table(&self, table: Table) {
        let old = self.table.swap(Box::into_raw(Box::new(table)), Ordering::AcqRel);
        // SAFETY: it is freed only after this, by whoever finds it among the retired.
        let bytes = unsafe { &*old }.heap_bytes();
        self.retired.lock().tables.push(OldTable(old, bytes));
        self.old_index.store(true, Ordering::Relaxed);
    }

    /// Frees an index that was replaced, if it can be. It may be as large as everything else in limbo together, so
    /// it is not left there until enough entries have come. Not under any lock.
    #[inline]
    pub(crate) fn reclaim_old_index(&self) {
        if self.old_index.load(Ordering::Relaxed) && self.old_index.swap(false, Ordering::Relaxed) {
            self.reclaim();
        }
    }

    /// A cell that nobody else knows; `None` if every number is in use.
    #[inline]
    pub(crate) fn take_cell(&self, space: &mut Space<K, V>) -> Option<u32> {
        if !Slab::has_free(space) && self.freed.load(Ordering::Relaxed) != NIL {
            let freed = self.freed.swap(NIL, Ordering::Acquire);
            self.slab.give_back(space, freed);
        }
        self.slab.take(space)
    }

    /// Fills a cell that was just taken. It is not in the table yet.
    #[inline(always)]
    pub(crate) fn fill(&self, number: u32, pair: Pair<K, V>, hash: u32, mark: u8, flags: u8) {
        // SAFETY: the callers, in `shard`, hold the lock and just got the number from `take_cell`.
        unsafe { self.slab.cell(number).fill(pair, hash, mark, flags) };
    }

    /// Lists a cell that has just left the table, with its weight. It is somebody's who gives it up later.
    #[inline]
    pub(crate) fn depart(&self, space: &mut Space<K, V>, number: u32, weight: u32) {
        self.count_unlinked(u64::from(weight));
        let chain = &mut space.departed;
        self.link(chain, number);
        if chain.len >= self.batch || self.is_over() {
            self.send_departed(space);
            self.due.store(true, Ordering::Relaxed);
        }
    }

    /// Puts into limbo what departed.
    pub(crate) fn send_departed(&self, space: &mut Space<K, V>) {
        let Chain { first, last, len } = std::mem::replace(&mut space.departed, Chain::EMPTY);
        if len > 0 {
            self.push(first, last, len);
        }
    }

    /// Counts weight that has just left the table. Under the shard's lock.
    #[inline]
    pub(crate) fn count_unlinked(&self, weight: u64) {
        let sum = self.unlinked.load(Ordering::Relaxed).wrapping_add(weight);
        self.unlinked.store(sum, Ordering::Relaxed);
    }

    /// Whether more waits to be freed than should.
    #[inline]
    fn is_over(&self) -> bool {
        self.retired_weight() > self.most_weight.load(Ordering::Relaxed)
    }

    /// The weight of what was unlinked and not freed.
    pub(crate) fn retired_weight(&self) -> u64 {
        let released = self.released.load(Ordering::Relaxed);
        self.unlinked.load(Ordering::Relaxed).saturating_sub(released)
    }

    pub(crate) fn set_most_weight(&self, weight: u64) {
        self.most_weight.store(weight, Ordering::Relaxed);
    }

    /// Gives up an unlinked cell: it will be freed when nobody can be looking at it. Not under any lock, because
    /// values are dropped here.
    #[inline]
    pub(crate) fn retire(&self, number: u32) {
        self.slab.cell(number).set(flag::GIVEN_UP, true);
        if self.due.load(Ordering::Relaxed) || self.is_over() {
            self.reclaim_due();
        }
    }

    #[cold]
    fn reclaim_due(&self) {
        self.due.store(false, Ordering::Relaxed);
        let over = || self.is_over();
        // What callers still hold counts too, but there is no use in waiting for that: it may be this very thread.
        if !self.reclaim() && over() {
            self.wait_while(over);
        }
    }

    /// Adds a chain of cells to limbo.
    pub(crate) fn push(&self, first: u32, last: u32, count: u32) {
        let mut seen = self.limbo.load(Ordering::Relaxed);
        loop {
            let list = List(seen);
            self.slab.cell(last).set_word(list.first());
            let new = List::new(first, list.len() + count);
            match self.limbo.compare_exchange_weak(seen, new.0, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }

    /// Waits for readers, but not for itself, and not for ever.
    #[cold]
    fn wait_while(&self, over: impl Fn() -> bool) {
        for _ in 0..PATIENCE {
            if self.readers.is_pinned() || !over() {
                return;
            }
            yield_now();
            if self.reclaim() {
                return;
            }
        }
    }

    /// Frees what no reader can be looking at any more, and tells whether that was all that was given up. Not
    /// under any lock.
    pub(crate) fn reclaim(&self) -> bool {
        // Twice: first what an earlier call had to leave, then what has come since.
        for _ in 0..2 {
            let Some(mut retired) = self.retired.try_lock() else { return false };
            if retired.batch.is_none() {
                retired.batch = self.gather(&mut retired.tables);
            }
            let Some(batch) = &mut retired.batch else { return true };
            if batch.grace.is_none() {
                batch.grace = self.readers.grace();
            }
            let passed = batch.grace.as_mut().is_some_and(|grace| self.passes(grace));
            let Some(batch) = passed.then(|| retired.batch.take()).flatten() else { return false };
            // User code runs in `free`, and may come here again.
            drop(retired);
            self.free(batch);
        }
        true
    }

    fn passes(&self, grace: &mut Grace) -> bool {
        (0..GLANCES).any(|glance| {
            if glance > 0 {
                std::hint::spin_loop();
            }
            self.readers.passed(grace)
        })
    }

    fn gather(&self, tables: &mut Vec<OldTable>) -> Option<Batch> {
        let cells = List(self.limbo.swap(List::EMPTY.0, Ordering::AcqRel));
        let tables = std::mem::take(tables);
        let nothing = cells.first() == NIL && tables.is_empty();
        (!nothing).then_some(Batch { grace: None, cells, tables })
    }

    /// Drops what is in a batch whose time of grace is over.
    fn free(&self, batch: Batch) {
        drop(batch.tables);
        let (mut freed, mut held) = (Chain::EMPTY, Chain::EMPTY);
        let (mut weight, mut panicked) = (0, None);
        let mut next = batch.cells.first();
        while next != NIL {
            let number = next;
            let cell = self.slab.cell(number);
            next = cell.word();
            if !cell.is_given_up() {
                self.link(&mut held, number);
                continue;
            }
            weight += u64::from(self.slab.weight(number));
            // SAFETY: the cell is filled and was unlinked, whoever unlinked it gave it up, and every reader who
            // can have found it has gone on.
            let pair = unsafe { cell.empty() };
            self.link(&mut freed, number);
            if needs_drop::<Pair<K, V>>() {
                let dropped = catch_unwind(AssertUnwindSafe(|| drop(pair)));
                panicked = panicked.or(dropped.err());
            }
        }
        if held.len > 0 {
            self.push(held.first, held.last, held.len);
        }
        if freed.len > 0 {
            self.released.fetch_add(weight, Ordering::Relaxed);
            self.push_freed(freed.first, freed.last);
        }
        if let Some(panic) = panicked
            && !std::thread::panicking()
        {
            resume_unwind(panic);
        }
    }

    /// Puts a cell before those of a chain.
    #[inline]
    fn link(&self, chain: &mut Chain, number: u32) {
        self.slab.cell(number).set_word(chain.first);
        chain.first = number;
        if chain.last == NIL {
            chain.last = number;
        }
        chain.len += 1;
    }

    fn push_freed(&self, first: u32, last: u32) {
        let mut seen = self.freed.load(Ordering::Relaxed);
        loop {
            self.slab.cell(last).set_word(seen);
            match self.freed.compare_exchange_weak(seen, first, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }

    /// Gives memory back if nothing is in use any more.
    pub(crate) fn shrink(&self, space: &mut Space<K, V>) {
        if !Slab::has_free(space) {
            let freed = self.freed.swap(NIL, Ordering::Acquire);
            self.slab.give_back(space, freed);
            self.slab.shrink(space);
        }
    }

    pub(crate) fn heap_bytes(&self, space: &Space<K, V>) -> usize {
        let retired = self.retired.lock();
        let batch = retired.batch.iter().flat_map(|batch| &batch.tables);
        let old: usize = retired.tables.iter().chain(batch).map(|table| table.1).sum();
        self.slab.heap_bytes(space) + self.table(space).heap_bytes() + old
    }

    /// Drops everything.
    pub(crate) fn dismantle(&mut self, space: &mut Space<K, V>) {
        // SAFETY: the exclusive reference says that nobody reads, and the shard drops both parts after this.
        unsafe {
            drop(Box::from_raw(self.table.load(Ordering::Relaxed)));
            self.slab.dismantle(space);
        }
    }
}
