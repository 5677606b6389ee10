//! Where entries live: cells that never move, in chunks that are added as they are needed.
//!
//! Decision: a cell is known by a number of 32 bits and stays where it is for as long as a reader may look at
//! it. Writers take cells that are free and fill them before anybody else can know their number. Lists of cells
//! go through the word that otherwise holds the entry's hash, so they cost nothing.

#![allow(unsafe_code, reason = "cells are shared with readers who hold no lock; UNSAFE.md argues each use")]

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU8, Ordering};

use crate::column::Columns;
use crate::sync::{AtomicPtr, AtomicU32};

/// The number of no cell.
pub(crate) const NIL: u32 = u32::MAX;
/// A chunk has room for two to the power of this many cells. A constant, because a hit reckons with it.
const SHIFT: u32 = 10;
const CHUNK: usize = 1 << SHIFT;
/// Chunks a directory has places for at first.
const FIRST_DIRECTORY: usize = 16;
/// The fewest cells of the first chunk, which is smaller than the others in a small cache.
const LEAST: u64 = 16;

/// A key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair<K, V> {
    /// The key.
    pub key: K,
    /// The value.
    pub value: V,
}

/// Bits of a cell's flags.
pub(crate) mod flag {
    /// There is a pair in it.
    pub(crate) const FILLED: u8 = 1;
    /// The table knows it.
    pub(crate) const LIVE: u8 = 2;
    /// The policy does not know it.
    pub(crate) const PINNED: u8 = 4;
    /// It may expire.
    pub(crate) const TIMED: u8 = 8;
}

/// The place of one entry.
pub(crate) struct Cell<K, V> {
    pair: UnsafeCell<MaybeUninit<Pair<K, V>>>,
    /// The part of the key's hash that the table goes by; while the cell is in a list, the next one.
    word: AtomicU32,
    /// What the policy knows of its use.
    pub(crate) mark: AtomicU8,
    flags: AtomicU8,
}

impl<K, V> Cell<K, V> {
    fn free() -> Self {
        Cell {
            pair: UnsafeCell::new(MaybeUninit::uninit()),
            word: AtomicU32::new(NIL),
            mark: AtomicU8::new(0),
            flags: AtomicU8::new(0),
        }
    }

    #[inline]
    pub(crate) fn is(&self, flag: u8) -> bool {
        self.flags.load(Ordering::Relaxed) & flag != 0
    }

    /// Under the shard's lock.
    pub(crate) fn set(&self, flag: u8, on: bool) {
        let flags = self.flags.load(Ordering::Relaxed);
        self.flags.store(if on { flags | flag } else { flags & !flag }, Ordering::Release);
    }

    /// The hash of a live entry, or the next cell of a list.
    #[inline]
    pub(crate) fn word(&self) -> u32 {
        self.word.load(Ordering::Relaxed)
    }

    pub(crate) fn set_word(&self, word: u32) {
        self.word.store(word, Ordering::Release);
    }

    /// What is in the cell.
    ///
    /// # Safety
    ///
    /// The cell has been filled, as the caller knows by having found it in the table or by having unlinked it;
    /// and for as long as the reference lives the caller holds the shard's lock, or a pin from before it found
    /// the cell, or is the one who unlinked it and has not yet given it up.
    #[inline]
    pub(crate) unsafe fn pair(&self) -> &Pair<K, V> {
        // SAFETY: a filled cell holds a pair, and nothing writes to it until it has been given up and its time
        // of grace is over, which the caller holds off.
        unsafe { (*self.pair.get()).assume_init_ref() }
    }

    /// Puts a pair into a free cell.
    ///
    /// # Safety
    ///
    /// The cell came from the list of free ones, and nobody else has been told its number since.
    pub(crate) unsafe fn fill(&self, pair: Pair<K, V>, hash: u32, mark: u8, flags: u8) {
        // SAFETY: nobody else knows the cell, so nobody looks at it while it is written.
        unsafe { (*self.pair.get()).write(pair) };
        self.word.store(hash, Ordering::Relaxed);
        self.mark.store(mark, Ordering::Relaxed);
        self.flags.store(flags | flag::FILLED, Ordering::Release);
    }

    /// Takes the pair out and leaves the cell empty.
    ///
    /// # Safety
    ///
    /// The cell is filled, was unlinked, and nobody can look at it any more.
    pub(crate) unsafe fn empty(&self) -> Pair<K, V> {
        self.flags.store(0, Ordering::Relaxed);
        // SAFETY: it is filled, and read this once, because it counts as empty from now on.
        unsafe { (*self.pair.get()).assume_init_read() }
    }
}

/// Chunk by chunk, where the cells are and where the columns beside them are.
struct Directory<K, V> {
    cells: NonNull<[AtomicPtr<Cell<K, V>>]>,
    columns: NonNull<[AtomicPtr<Columns>]>,
}

impl<K, V> Directory<K, V> {
    fn with_places(places: usize) -> Self {
        fn absent<T>(places: usize) -> NonNull<[AtomicPtr<T>]> {
            let all: Box<[_]> = (0..places).map(|_| AtomicPtr::new(ptr::null_mut())).collect();
            NonNull::from(Box::leak(all))
        }
        Directory { cells: absent(places), columns: absent(places) }
    }

    fn cells(&self) -> &[AtomicPtr<Cell<K, V>>] {
        // SAFETY: it stands for a box, which `free` alone frees.
        unsafe { self.cells.as_ref() }
    }

    fn columns(&self) -> &[AtomicPtr<Columns>] {
        // SAFETY: as above.
        unsafe { self.columns.as_ref() }
    }

    /// # Safety
    ///
    /// Nobody looks into it any more.
    unsafe fn free(self) {
        // SAFETY: both were boxes, and the directory is given up.
        unsafe {
            drop(Box::from_raw(self.cells.as_ptr()));
            drop(Box::from_raw(self.columns.as_ptr()));
        }
    }
}

/// The cells of one shard.
pub(crate) struct Slab<K, V> {
    /// Where the cells of each chunk are, in the present directory.
    cells: AtomicPtr<AtomicPtr<Cell<K, V>>>,
    columns: AtomicPtr<AtomicPtr<Columns>>,
    /// How many cells the first chunk has; the numbers from there to the second chunk are left out.
    first_chunk: u32,
    /// What an entry weighs unless its chunk's column says otherwise.
    usual_weight: u32,
}

/// The writer's part of a slab: under the shard's lock.
pub(crate) struct Space<K, V> {
    /// The directory, last, and those that it replaced, which readers may still be looking into. Together they
    /// are smaller than twice the last.
    directories: Vec<Directory<K, V>>,
    /// Chunks there are.
    chunks: usize,
    /// Cells that were never used, from this one on.
    fresh: u32,
    /// The first free cell of those that were.
    free: u32,
}

// SAFETY: a slab hands out pairs by shared reference to any thread and lets any thread take them out, so both
// keys and values must be both. The pointers are owned: they stand for boxes.
unsafe impl<K: Send + Sync, V: Send + Sync> Send for Slab<K, V> {}
// SAFETY: as above; everything else in it is atomic.
unsafe impl<K: Send + Sync, V: Send + Sync> Sync for Slab<K, V> {}
// SAFETY: as for the slab: what it points to is the slab's.
unsafe impl<K: Send + Sync, V: Send + Sync> Send for Space<K, V> {}

impl<K, V> Slab<K, V> {
    /// A slab for about so many entries.
    pub(crate) fn new(expected: u64, usual_weight: u32) -> (Self, Space<K, V>) {
        // With some for what is in limbo.
        let first_chunk =
            expected.saturating_add(expected / 8).saturating_add(2).clamp(LEAST, CHUNK as u64) as u32;
        let slab = Slab {
            cells: AtomicPtr::new(ptr::null_mut()),
            columns: AtomicPtr::new(ptr::null_mut()),
            first_chunk,
            usual_weight,
        };
        let mut space = Space { directories: Vec::new(), chunks: 0, fresh: 0, free: NIL };
        slab.replace_directory(&mut space);
        (slab, space)
    }

    /// The cell of a number that [`take`](Slab::take) gave out.
    #[inline]
    pub(crate) fn cell(&self, number: u32) -> &Cell<K, V> {
        let (chunk, place) = (number as usize >> SHIFT, number as usize & (CHUNK - 1));
        // SAFETY: numbers come from `take` alone, which publishes a directory that covers a number, and puts the
        // chunk there, before it gives the number out. Directories are kept until the slab is dismantled, chunks
        // until none of their cells is in use or can be known to anybody.
        unsafe {
            let chunk = &*self.cells.load(Ordering::Acquire).add(chunk);
            &*chunk.load(Ordering::Acquire).add(place)
        }
    }

    /// The columns beside a cell, and its place in them.
    pub(crate) fn columns(&self, number: u32) -> (&Columns, usize) {
        let (chunk, place) = (number as usize >> SHIFT, number as usize & (CHUNK - 1));
        // SAFETY: as for the cell: the columns come and go with the cells.
        let columns = unsafe {
            let chunk = &*self.columns.load(Ordering::Acquire).add(chunk);
            &*chunk.load(Ordering::Acquire)
        };
        (columns, place)
    }

    pub(crate) fn weight(&self, number: u32) -> u32 {
        let (columns, place) = self.columns(number);
        columns.weight(place, self.usual_weight)
    }

    pub(crate) fn set_weight(&self, number: u32, weight: u32) {
        let (columns, place) = self.columns(number);
        columns.set_weight(place, self.usual_weight, weight);
    }

    /// A free cell's number; `None` if every number is in use.
    pub(crate) fn take(&self, space: &mut Space<K, V>) -> Option<u32> {
        if space.free != NIL {
            let number = space.free;
            space.free = self.cell(number).word();
            return Some(number);
        }
        let number = if space.fresh == self.first_chunk { CHUNK as u32 } else { space.fresh };
        if number == NIL {
            return None;
        }
        if number as usize >> SHIFT == space.chunks {
            self.add_chunk(space);
        }
        space.fresh = number + 1;
        Some(number)
    }

    /// Makes the cells of a list, which begins with this one, free; there must be no free one now.
    pub(crate) fn give_back(&self, space: &mut Space<K, V>, first: u32) {
        debug_assert_eq!(space.free, NIL, "the free cells would be lost");
        space.free = first;
    }

    pub(crate) fn has_free(space: &Space<K, V>) -> bool {
        space.free != NIL
    }

    fn chunk_len(&self, chunk: usize) -> usize {
        if chunk == 0 { self.first_chunk as usize } else { CHUNK }
    }

    fn add_chunk(&self, space: &mut Space<K, V>) {
        let chunk = space.chunks;
        if space.directories.last().is_none_or(|directory| directory.cells().len() == chunk) {
            self.replace_directory(space);
        }
        let Some(directory) = space.directories.last() else { return };
        let cells: Box<[Cell<K, V>]> = (0..self.chunk_len(chunk)).map(|_| Cell::free()).collect();
        let columns = Box::new(Columns::new(self.chunk_len(chunk)));
        directory.columns()[chunk].store(Box::into_raw(columns), Ordering::Release);
        directory.cells()[chunk].store(Box::into_raw(cells).cast(), Ordering::Release);
        space.chunks += 1;
    }

    /// Publishes a directory with twice the places, beginning with the chunks of the present one.
    fn replace_directory(&self, space: &mut Space<K, V>) {
        fn copy<T>(from: &[AtomicPtr<T>], to: &[AtomicPtr<T>]) {
            for (old, new) in from.iter().zip(to) {
                new.store(old.load(Ordering::Relaxed), Ordering::Relaxed);
            }
        }
        let larger = Directory::with_places((2 * space.chunks).max(FIRST_DIRECTORY));
        if let Some(present) = space.directories.last() {
            copy(present.cells(), larger.cells());
            copy(present.columns(), larger.columns());
        }
        self.columns.store(larger.columns.as_ptr().cast(), Ordering::Release);
        self.cells.store(larger.cells.as_ptr().cast(), Ordering::Release);
        space.directories.push(larger);
    }

    /// Every number that was ever given out, in use or not.
    pub(crate) fn numbers(&self, space: &Space<K, V>) -> impl Iterator<Item = u32> + use<K, V> {
        let (first, second) = (self.first_chunk.min(space.fresh), CHUNK as u32);
        (0..first).chain(second..space.fresh.max(second))
    }

    /// Frees all chunks if every cell of theirs is in the list of free ones.
    pub(crate) fn shrink(&self, space: &mut Space<K, V>) {
        let mut number = space.free;
        for _ in self.numbers(space) {
            if number == NIL {
                return;
            }
            number = self.cell(number).word();
        }
        self.free_chunks(space);
        (space.fresh, space.free, space.chunks) = (0, NIL, 0);
    }

    fn free_chunks(&self, space: &mut Space<K, V>) {
        let Some(directory) = space.directories.last() else { return };
        for chunk in 0..space.chunks {
            let cells = directory.cells()[chunk].swap(ptr::null_mut(), Ordering::Relaxed);
            let columns = directory.columns()[chunk].swap(ptr::null_mut(), Ordering::Relaxed);
            // SAFETY: both come from boxes of exactly these types and lengths, and are freed once, because their
            // place is empty now. No cell is in use, or, when the slab is dismantled, nobody is there to use one.
            unsafe {
                drop(Box::from_raw(ptr::slice_from_raw_parts_mut(cells, self.chunk_len(chunk))));
                drop(Box::from_raw(columns));
            }
        }
    }

    /// Drops whatever is in the cells and frees them.
    ///
    /// # Safety
    ///
    /// Nobody else uses the slab any more, nor will.
    pub(crate) unsafe fn dismantle(&self, space: &mut Space<K, V>) {
        let mut panicked = None;
        for number in self.numbers(space) {
            let cell = self.cell(number);
            if cell.is(flag::FILLED) {
                // SAFETY: it is filled, and nobody can look at it.
                let pair = unsafe { cell.empty() };
                let dropped = catch_unwind(AssertUnwindSafe(|| drop(pair)));
                panicked = panicked.or(dropped.err());
            }
        }
        self.free_chunks(space);
        for directory in space.directories.drain(..) {
            // SAFETY: nobody is there to look into it.
            unsafe { directory.free() };
        }
        if let Some(panic) = panicked
            && !std::thread::panicking()
        {
            resume_unwind(panic);
        }
    }

    pub(crate) fn heap_bytes(&self, space: &Space<K, V>) -> usize {
        let places: usize = space.directories.iter().map(|directory| directory.cells().len()).sum();
        let cells: usize = (0..space.chunks).map(|chunk| self.chunk_len(chunk)).sum();
        let columns = |chunk: usize| self.columns((chunk << SHIFT) as u32).0.heap_bytes();
        places * 2 * size_of::<usize>()
            + cells * size_of::<Cell<K, V>>()
            + space.chunks * size_of::<Columns>()
            + (0..space.chunks).map(columns).sum::<usize>()
    }
}

/// Makes room for one more item, a quarter at a time once the vector is large.
pub(crate) fn grow_by_a_quarter<T>(items: &mut Vec<T>) {
    if items.len() == items.capacity() {
        items.reserve_exact((items.len() / 4).max(16));
    }
}

/// Lengthens a vector that runs parallel to a slab so that it has a place for `slot`.
pub(crate) fn cover<T: Default>(items: &mut Vec<T>, slot: u32) {
    while items.len() <= slot as usize {
        grow_by_a_quarter(items);
        items.push(T::default());
    }
}
