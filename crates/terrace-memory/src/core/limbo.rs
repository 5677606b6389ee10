//! Limbo: between leaving the index and being freed.
//!
//! Decision: what a writer unlinks is listed under the shard's lock, and once enough has gathered the list goes into
//! *limbo*, where one barrier and one look at the readers' lines serve for all of it, and whoever looked drops the pairs,
//! outside every lock. Whoever holds what left gives it up by a plain store; what is not given up by then stays in limbo.
//! If some reader is still at it, nobody waits: the next writer looks again. Only when limbo grows beyond its bound does
//! the writer wait, for a while, and never if it is reading itself.
//!
//! What callers hold is gone through in vain, and there may be much of it: a cache that was made smaller hands out all that
//! had to leave. So the next to go through limbo does so when a part of that can have been given up.

use std::mem::needs_drop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering;

use super::Core;
use crate::cell::{Cell, Pair, flag};
use crate::readers::Grace;
use crate::slab::{Chain, NIL, Space};
use crate::sync::yield_now;
use crate::table::Table;

/// How often a writer that waits for readers lets another thread run before it gives up.
const PATIENCE: u32 = if cfg!(shuttle) { 20 } else { 10_000 };
/// How often it looks again at once: most reads are over in the time that this takes.
const GLANCES: u32 = if cfg!(shuttle) { 1 } else { 64 };

/// Of what callers still held, so much is awaited before limbo is gone through again. Then going through it costs each cell
/// a few steps, however many are held and in whatever order they are given up.
const PART_GIVEN_UP: u32 = 4;
/// So many are gone through each time: more than writers hold who look at one thing each, so that what they give up is freed
/// at once where its weight asks for that.
const MANY_HELD: u32 = 1024;

/// How many wait in limbo, and the first of them, in one word.
#[derive(Clone, Copy)]
pub(super) struct List(pub(super) u64);

impl List {
    pub(super) const EMPTY: List = List(NIL as u64);

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
pub(super) struct Retired {
    batch: Option<Batch>,
    tables: Vec<OldTable>,
}

impl Retired {
    /// What the indexes occupy that were replaced and not yet freed.
    pub(super) fn heap_bytes(&self) -> usize {
        let waiting = self.batch.iter().flat_map(|batch| &batch.tables);
        self.tables.iter().chain(waiting).map(|table| table.1).sum()
    }
}

impl<K, V> Core<K, V> {
    pub(super) fn replace_table(&self, table: Table) {
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

    /// Lists a cell that has just left the table, with its weight. It is somebody's who gives it up later.
    #[inline]
    pub(crate) fn depart(&self, space: &mut Space<K, V>, (number, cell): (u32, &Cell<K, V>), weight: u32) {
        self.count_unlinked(u64::from(weight));
        let chain = &mut space.departed;
        chain.put_first(number, cell);
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
        let given_up = if self.due.load(Ordering::Relaxed) { self.batch } else { 1 };
        self.due.store(false, Ordering::Relaxed);
        let rest = self.rest.load(Ordering::Relaxed);
        if rest > 0 {
            self.rest.store(rest.saturating_sub(given_up), Ordering::Relaxed);
            return;
        }
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
                held.put_first(number, cell);
                continue;
            }
            weight += u64::from(self.slab.weight(number));
            // SAFETY: the cell is filled and was unlinked, whoever unlinked it gave it up, and every reader who
            // can have found it has gone on.
            let pair = unsafe { cell.empty() };
            freed.put_first(number, cell);
            if needs_drop::<Pair<K, V>>() {
                let dropped = catch_unwind(AssertUnwindSafe(|| drop(pair)));
                panicked = panicked.or(dropped.err());
            }
        }
        self.rest.store(held.len.saturating_sub(MANY_HELD) / PART_GIVEN_UP, Ordering::Relaxed);
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
}
