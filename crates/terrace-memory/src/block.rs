//! Memory for very many small things that are looked at in no order.
//!
//! Decision: where there is enough of it, it is asked for in pages of two mebibytes. A hit in a large cache touches one
//! line of the index and one of the entry, and each of them costs a walk through the page tables as well as the
//! line itself; with large pages those tables stay in the processor's cache. Memory that was asked for and not yet
//! filled is not touched, so it is only an address until then.

#![allow(unsafe_code, reason = "memory is filled part by part and shared meanwhile; UNSAFE.md argues it")]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::{self, NonNull};

/// The size of a large page, and what has to be reached for it to be worth asking.
pub(crate) const LARGE_PAGE: usize = 2 << 20;

/// A fixed number of places, filled from the first on, freed together.
pub(crate) struct Block<T> {
    first: NonNull<T>,
    places: usize,
    filled: usize,
}

// SAFETY: a block owns what is in it, as a vector would.
unsafe impl<T: Send> Send for Block<T> {}
// SAFETY: shared access gives shared access to what is in it, as a vector would.
unsafe impl<T: Sync> Sync for Block<T> {}

impl<T> Block<T> {
    /// A block with so many places, at least one, all of them free.
    pub(crate) fn with_places(places: usize) -> Self {
        Self::try_with_places(places).unwrap_or_else(|| handle_alloc_error(layout::<T>(places.max(1))))
    }

    /// The same, or `None` if there is not so much memory to be had.
    pub(crate) fn try_with_places(places: usize) -> Option<Self> {
        const { assert!(size_of::<T>() > 0) };
        let places = places.max(1);
        let layout = layout::<T>(places);
        // SAFETY: the layout's size is not zero.
        let start = unsafe { alloc(layout) };
        let first = NonNull::new(start.cast())?;
        prefer_large_pages(start, layout.size());
        Some(Block { first, places, filled: 0 })
    }

    /// Where the first place is.
    pub(crate) fn first(&self) -> *mut T {
        self.first.as_ptr()
    }

    /// How many places there are.
    pub(crate) fn places(&self) -> usize {
        self.places
    }

    /// How many places are free.
    pub(crate) fn left(&self) -> usize {
        self.places - self.filled
    }

    /// Fills the next places, at most so many, and tells where the first of them is. What it points to stays where
    /// it is as long as the block lives.
    pub(crate) fn fill(&mut self, count: usize, make: impl Fn() -> T) -> *mut T {
        let from = self.filled;
        for place in from..from + count.min(self.left()) {
            // SAFETY: the place is within the block and was never filled, so nobody knows it.
            unsafe { self.first.add(place).write(make()) };
            self.filled = place + 1;
        }
        // SAFETY: at most one past the last place.
        unsafe { self.first.add(from).as_ptr() }
    }

    /// What is in the places that are filled.
    #[inline]
    pub(crate) fn filled(&self) -> &[T] {
        // SAFETY: so many places have been filled, and nothing is taken out before the block is dropped.
        unsafe { std::slice::from_raw_parts(self.first.as_ptr(), self.filled) }
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.filled * size_of::<T>()
    }
}

impl<T> Drop for Block<T> {
    fn drop(&mut self) {
        // SAFETY: the filled places are dropped once, here, and the memory came from `alloc` with this layout.
        unsafe {
            ptr::drop_in_place(ptr::slice_from_raw_parts_mut(self.first.as_ptr(), self.filled));
            dealloc(self.first.as_ptr().cast(), layout::<T>(self.places));
        }
    }
}

/// Asks the processor for a line that will be looked at soon. No promise, and no access.
#[inline]
pub(crate) fn prefetch<T>(place: &T) {
    #[cfg(all(target_arch = "x86_64", not(shuttle)))]
    // SAFETY: every x86-64 processor has the instruction, and it changes nothing that a program could see.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(ptr::from_ref(place).cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(shuttle))))]
    let _ = place;
}

/// Of so many places; where they fill a large page, they begin with one.
fn layout<T>(places: usize) -> Layout {
    let whole = Layout::array::<T>(places)
        .and_then(|layout| if layout.size() < LARGE_PAGE { Ok(layout) } else { layout.align_to(LARGE_PAGE) });
    // As a vector does that is asked for more than there are addresses.
    whole.unwrap_or_else(|_| handle_alloc_error(Layout::new::<T>()))
}

/// Asks for large pages where whole ones fit. Refusal does not matter: then the pages are small.
fn prefer_large_pages(start: *mut u8, bytes: usize) {
    let whole = bytes / LARGE_PAGE * LARGE_PAGE;
    if whole == 0 {
        return;
    }
    #[cfg(target_os = "linux")]
    // SAFETY: the range is within memory that was just allocated, and the advice changes nothing in it.
    let _ = unsafe { rustix::mm::madvise(start.cast(), whole, rustix::mm::Advice::LinuxHugepage) };
    #[cfg(not(target_os = "linux"))]
    let _ = start;
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_was_filled_stays_where_it_is_and_is_dropped_once() {
        let witness = Arc::new(());
        let mut block = Block::with_places(5);
        let first = block.fill(2, || witness.clone());
        let second = block.fill(9, || witness.clone());
        assert_eq!((block.left(), block.filled().len(), Arc::strong_count(&witness)), (0, 5, 6));
        assert_eq!(second, first.wrapping_add(2));
        assert_eq!(block.heap_bytes(), 5 * size_of::<usize>());
        drop(block);
        assert_eq!(Arc::strong_count(&witness), 1);
    }

    #[test]
    fn a_large_block_begins_with_a_large_page() {
        let mut block = Block::with_places(LARGE_PAGE / 8 + 3);
        let first = block.fill(usize::MAX, || 7u64);
        assert_eq!(first.addr() % LARGE_PAGE, 0);
        assert!(block.filled().iter().all(|word| *word == 7));
    }
}
