//! Where entries live: cells that never move, in chunks that are added as they are needed.
//!
//! Decision: a cell is known by a number of 32 bits and stays where it is for as long as a reader may look at
//! it. Writers take cells that are free and fill them before anybody else can know their number. Lists of cells
//! go through the word that otherwise holds the entry's hash, so they cost nothing.
//!
//! The first chunks lie side by side, as many as there will be where that can be known, so that where a cell is follows from
//! its number alone. What a hit reckons between its two lines is what keeps it from asking for those of later hits.

#![allow(unsafe_code, reason = "cells are shared with readers who hold no lock; UNSAFE.md argues each use")]

mod chain;
mod directory;
mod parallel;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

pub(crate) use self::chain::Chain;
use self::directory::Directory;
pub(crate) use self::parallel::{cover, make_room};
use crate::block::{Block, LARGE_PAGE};
use crate::cell::{Cell, flag};
use crate::column::Columns;
use crate::sync::AtomicPtr;

/// The number of no cell.
pub(crate) const NIL: u32 = u32::MAX;
/// A chunk has room for two to the power of this many cells. A constant, because a hit reckons with it.
const SHIFT: u32 = 10;
const CHUNK: usize = 1 << SHIFT;
/// Chunks a directory has places for at first.
const FIRST_DIRECTORY: usize = 16;
/// The most bytes that are asked for at once before anything is in them. They are addresses until then, but not
/// every system gives those away freely.
const MOST_NEAR: usize = 256 << 20;
/// Where the number of entries can be foreseen and there are more, the memory for the rest is asked for when this
/// part of it is full.
const FORESEEN_PART: usize = 8;
/// Elsewhere as much more as this part of what there is, if that is a large page.
const MORE_PART: usize = 8;
/// The fewest cells of the first chunk, which is smaller than the others in a small cache.
const LEAST: u64 = 16;

/// The cells of one shard.
pub(crate) struct Slab<K, V> {
    /// The cells of the first chunks, and how many numbers they take. None before the first chunk is there.
    near: AtomicPtr<Cell<K, V>>,
    near_len: AtomicU32,
    /// Where the cells of each chunk are, in the present directory.
    cells: AtomicPtr<AtomicPtr<Cell<K, V>>>,
    columns: AtomicPtr<AtomicPtr<Columns>>,
    /// How many cells the first chunk has; the numbers from there to the second chunk are left out.
    first_chunk: u32,
    /// What an entry weighs unless its chunk's column says otherwise: what the first one weighed. [`NIL`] before that.
    usual_weight: AtomicU32,
    /// Whether any entry ever had another weight.
    unusual: AtomicBool,
    /// Chunks there will be, if that can be known.
    foreseen: Option<usize>,
}

/// The writer's part of a slab: under the shard's lock.
pub(crate) struct Space<K, V> {
    /// The directory, last, and those that it replaced, which readers may still be looking into. Together they
    /// are smaller than twice the last.
    directories: Vec<Directory<K, V>>,
    /// Chunks there are.
    chunks: usize,
    /// What the chunks are parts of.
    blocks: Vec<Block<Cell<K, V>>>,
    /// Cells that were never used, from this one on.
    fresh: u32,
    /// The first free cell of those that were.
    free: u32,
    /// Cells that were unlinked not long ago.
    pub(crate) departed: Chain,
}

// SAFETY: a slab hands out pairs by shared reference to any thread and lets any thread take them out, so both
// keys and values must be both. The pointers are owned: they stand for boxes.
unsafe impl<K: Send + Sync, V: Send + Sync> Send for Slab<K, V> {}
// SAFETY: as above; everything else in it is atomic.
unsafe impl<K: Send + Sync, V: Send + Sync> Sync for Slab<K, V> {}
// SAFETY: as for the slab: what it points to is the slab's.
unsafe impl<K: Send + Sync, V: Send + Sync> Send for Space<K, V> {}

impl<K, V> Slab<K, V> {
    /// A slab for about so many entries; whether that is known rather than guessed.
    pub(crate) fn new(expected: u64, known: bool) -> (Self, Space<K, V>) {
        // With some for what is in limbo.
        let first_chunk =
            expected.saturating_add(expected / 8).saturating_add(2).clamp(LEAST, CHUNK as u64) as u32;
        let all = expected.saturating_add(expected / 64).div_ceil(CHUNK as u64);
        let slab = Slab {
            foreseen: usize::try_from(all).ok().filter(|_| known),
            near: AtomicPtr::new(ptr::null_mut()),
            near_len: AtomicU32::new(0),
            cells: AtomicPtr::new(ptr::null_mut()),
            columns: AtomicPtr::new(ptr::null_mut()),
            first_chunk,
            usual_weight: AtomicU32::new(NIL),
            unusual: AtomicBool::new(false),
        };
        let mut space = Space {
            directories: Vec::new(),
            chunks: 0,
            blocks: Vec::new(),
            fresh: 0,
            free: NIL,
            departed: Chain::EMPTY,
        };
        slab.replace_directory(&mut space);
        (slab, space)
    }

    /// The cell of a number that [`take`](Slab::take) gave out.
    #[inline]
    pub(crate) fn cell(&self, number: u32) -> &Cell<K, V> {
        if number < self.near_len.load(Ordering::Acquire) {
            // SAFETY: numbers come from `take` alone, which fills a chunk before it gives numbers in it out. Those below
            // `near_len` are of chunks that lie side by side from here on; both change only while no number is known.
            return unsafe { &*self.near.load(Ordering::Relaxed).add(number as usize) };
        }
        // SAFETY: `take` publishes a directory that covers a number, and puts the chunk there, before it gives the
        // number out. Directories are kept until the slab is dismantled, chunks until none of their cells is in use or
        // can be known to anybody. What the directory tells was reckoned back from the chunk by the numbers before it.
        unsafe {
            let chunk = &*self.cells.load(Ordering::Acquire).add(number as usize >> SHIFT);
            &*chunk.load(Ordering::Acquire).wrapping_add(number as usize)
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

    #[inline]
    pub(crate) fn weight(&self, number: u32) -> u32 {
        // Whoever knows the number knows of its weight: both were published together.
        if self.unusual.load(Ordering::Relaxed) { self.own_weight(number) } else { self.usual_weight() }
    }

    /// Whether this is what every entry weighs.
    #[inline]
    pub(crate) fn is_usual_for_all(&self, weight: u32) -> bool {
        weight == self.usual_weight() && !self.unusual.load(Ordering::Relaxed)
    }

    #[inline]
    fn usual_weight(&self) -> u32 {
        self.usual_weight.load(Ordering::Relaxed)
    }

    fn own_weight(&self, number: u32) -> u32 {
        let (columns, place) = self.columns(number);
        columns.weight(place, self.usual_weight())
    }

    /// Of a cell that was just taken, under the shard's lock.
    #[inline]
    pub(crate) fn set_weight(&self, number: u32, weight: u32) {
        if weight != self.usual_weight() || self.unusual.load(Ordering::Relaxed) {
            self.set_own_weight(number, weight);
        }
    }

    fn set_own_weight(&self, number: u32, weight: u32) {
        let first = self.usual_weight() == NIL && !self.unusual.load(Ordering::Relaxed);
        if first && weight != NIL {
            self.usual_weight.store(weight, Ordering::Relaxed);
            return;
        }
        self.unusual.store(true, Ordering::Relaxed);
        let (columns, place) = self.columns(number);
        columns.set_weight(place, self.usual_weight(), weight);
    }

    /// A free cell's number; `None` if every number is in use.
    #[inline]
    pub(crate) fn take(&self, space: &mut Space<K, V>) -> Option<u32> {
        if space.free != NIL {
            let number = space.free;
            space.free = self.cell(number).word();
            return Some(number);
        }
        self.take_fresh(space)
    }

    /// A cell that was taken is free again, never having been filled.
    pub(crate) fn put_back(&self, space: &mut Space<K, V>, number: u32) {
        self.cell(number).set_word(space.free);
        space.free = number;
    }

    fn take_fresh(&self, space: &mut Space<K, V>) -> Option<u32> {
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
        let len = self.chunk_len(chunk);
        if space.blocks.last().is_none_or(|block| block.left() < len) {
            let block = if chunk == 0 { self.near_block(len) } else { None };
            space
                .blocks
                .push(block.unwrap_or_else(|| Block::with_places(len * self.chunks_to_a_block(chunk))));
        }
        let (Some(directory), Some(block)) = (space.directories.last(), space.blocks.last_mut()) else {
            return;
        };
        let cells = block.fill(len, Cell::free);
        let columns = Box::new(Columns::new(len));
        directory.columns()[chunk].store(Box::into_raw(columns), Ordering::Release);
        directory.cells()[chunk].store(cells.wrapping_sub(chunk << SHIFT), Ordering::Release);
        if chunk == 0 {
            // The chunks after it will be in the same block for as long as it has room.
            self.near.store(block.first(), Ordering::Relaxed);
            self.near_len.store(u32::try_from(block.places()).unwrap_or(0), Ordering::Release);
        }
        space.chunks += 1;
    }

    /// Memory for the first chunk, which has so many cells, and for those that are foreseen, if it can be had.
    fn near_block(&self, len: usize) -> Option<Block<Cell<K, V>>> {
        let most = MOST_NEAR / (CHUNK * size_of::<Cell<K, V>>());
        let chunks = self.foreseen.filter(|_| len == CHUNK)?.min(most);
        if chunks > 1 { Block::try_with_places(chunks * CHUNK) } else { None }
    }

    /// For how many chunks to ask at once where there are so many.
    fn chunks_to_a_block(&self, chunks: usize) -> usize {
        match self.foreseen {
            Some(all) if (all / FORESEEN_PART..all).contains(&chunks) && chunks > 0 => all - chunks,
            _ => {
                let more = chunks / MORE_PART;
                if more * CHUNK * size_of::<Cell<K, V>>() < LARGE_PAGE { 1 } else { more }
            }
        }
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
            directory.cells()[chunk].store(ptr::null_mut(), Ordering::Relaxed);
            let columns = directory.columns()[chunk].swap(ptr::null_mut(), Ordering::Relaxed);
            // SAFETY: they come from a box, and are freed once, because their place is empty now. No cell is in use,
            // or, when the slab is dismantled, nobody is there to use one.
            unsafe { drop(Box::from_raw(columns)) };
        }
        self.near_len.store(0, Ordering::Relaxed);
        // For the same reason nobody looks into these any more.
        space.blocks.clear();
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
        let cells: usize = space.blocks.iter().map(Block::heap_bytes).sum();
        let columns = |chunk: usize| self.columns((chunk << SHIFT) as u32).0.heap_bytes();
        places * 2 * size_of::<usize>()
            + cells
            + space.chunks * size_of::<Columns>()
            + (0..space.chunks).map(columns).sum::<usize>()
    }
}
