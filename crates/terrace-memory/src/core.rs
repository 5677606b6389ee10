//! The part of a shard that readers share: index and cells, and the time of grace between leaving the index and
//! being freed.
//!
//! Decision: a reader has a pin and nothing else, so whatever it may have seen is kept until its time of grace is over;
//! see [`limbo`].

#![allow(unsafe_code, reason = "readers hold no lock; UNSAFE.md argues each use")]

mod found;
mod limbo;

use std::borrow::Borrow;
use std::sync::Arc;
use std::sync::atomic::{self, Ordering};

pub(crate) use self::found::Found;
use self::limbo::{List, Retired};
use crate::block::prefetch;
use crate::cell::Pair;
use crate::entry::Cause;
use crate::gone::Gone;
use crate::readers::{Pin, Pinned, Readers};
use crate::slab::{NIL, Slab, Space};
use crate::sync::{AtomicPtr, AtomicU32, AtomicU64, Mutex};
use crate::table::{AtHome, Table};

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
    /// Cells to be given up before limbo is gone through again.
    rest: atomic::AtomicU32,
    /// The weight of all that was ever unlinked, and of all of that which was freed.
    unlinked: atomic::AtomicU64,
    released: atomic::AtomicU64,
    batch: u32,
    most_weight: atomic::AtomicU64,
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
            rest: atomic::AtomicU32::new(0),
            unlinked: atomic::AtomicU64::new(0),
            released: atomic::AtomicU64::new(0),
            batch: limits.batch,
            most_weight: atomic::AtomicU64::new(limits.weight),
        };
        (core, space)
    }

    /// The entry of a key, dead or alive.
    #[inline]
    pub(crate) fn find<'p, Q>(&'p self, _pin: Pinned<'p>, hash: u32, key: &Q) -> Option<Found<'p, K, V>>
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
        // Two words, which fit registers: through memory they would cost as much as the rest. For the same reason the
        // closure has the key's address, not the place where that is kept.
        let (cell, number) = table.find(hash, move |number| {
            let cell = self.slab.cell(number);
            let found = Found { core: self, cell, number };
            (found.pair().key.borrow() == key).then_some((cell, number))
        })?;
        Some(Found { core: self, cell, number })
    }

    // By values, so that what was found need not be in memory.
    #[inline(never)]
    fn dead_by_time(&self, number: u32, now: u64) -> Option<Cause> {
        let (columns, place) = self.slab.columns(number);
        columns.dead(place, now)
    }

    #[inline(never)]
    fn use_in_time(&self, number: u32, now: u64) -> bool {
        let (columns, place) = self.slab.columns(number);
        let alive = columns.dead(place, now).is_none();
        if alive {
            columns.touch(place, now);
        }
        alive
    }

    /// Asks for the line of the index that a hash will be looked for in.
    #[inline]
    pub(crate) fn prefetch_index(&self, _pin: Pinned<'_>, hash: u32) {
        // SAFETY: as in `find`.
        unsafe { &*self.table.load(Ordering::Acquire) }.prefetch(hash);
    }

    /// Asks for the line of the entry that a hash most probably leads to.
    #[inline]
    pub(crate) fn prefetch_entry(&self, pin: Pinned<'_>, hash: u32) {
        if let Some(number) = self.at_home(pin, hash).next() {
            prefetch(self.slab.cell(number));
        }
    }

    /// The entries that a hash leads to at once, which is where nearly all are.
    #[inline(always)]
    pub(crate) fn at_home<'p>(&'p self, _pin: Pinned<'p>, hash: u32) -> AtHome<'p> {
        // SAFETY: as in `find`.
        unsafe { &*self.table.load(Ordering::Acquire) }.at_home(hash)
    }

    /// One of them.
    #[inline(always)]
    pub(crate) fn candidate<'p>(&'p self, _pin: Pinned<'p>, number: u32) -> Found<'p, K, V> {
        Found { core: self, cell: self.slab.cell(number), number }
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

    /// Gives memory back if nothing is in use any more.
    pub(crate) fn shrink(&self, space: &mut Space<K, V>) {
        if !Slab::has_free(space) {
            let freed = self.freed.swap(NIL, Ordering::Acquire);
            self.slab.give_back(space, freed);
            self.slab.shrink(space);
        }
    }

    pub(crate) fn heap_bytes(&self, space: &Space<K, V>) -> usize {
        let old = self.retired.lock().heap_bytes();
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
