//! Where the program's memory comes from.
//!
//! Decision: small blocks from mimalloc, where the C library's allocator spends a tenth of a write on them; blocks of 8 KiB
//! and more from the C library, which gives them back. mimalloc keeps pages for each thread and size, and with values of
//! up to a mebibyte the process grew to more than twice the capacity. `docs/decisions/0019-what-the-process-occupies.md`
//! has the figures.

#![allow(unsafe_code, reason = "an allocator is unsafe by its interface; UNSAFE.md argues each use")]

use std::alloc::{GlobalAlloc, Layout, System};

use mimalloc::MiMalloc;

/// Blocks of so many bytes and more are the C library's.
const LARGE: usize = 8 << 10;
/// Of those, blocks of so many bytes and more are mapped one by one, and are the system's again as soon as they are freed.
#[cfg(target_env = "gnu")]
const MAPPED: i32 = 128 << 10;

/// Two allocators, chosen by the size of a block.
pub(crate) struct BySize;

#[inline]
fn is_large(size: usize) -> bool {
    size >= LARGE
}

/// Keeps the C library from raising the size from which it maps blocks whenever it frees one, until it maps none.
/// Called before there are other threads.
pub(crate) fn return_large_blocks() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it changes a setting of the allocator, under the allocator's lock. Refusal does not matter: then memory
    // comes back later.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED);
    }
}

// SAFETY: every block comes from one of two allocators that keep the contract, and goes back to the one it came from,
// because that follows from its size, which whoever gives it back has to tell.
unsafe impl GlobalAlloc for BySize {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those that both ask for.
        unsafe { if is_large(layout.size()) { System.alloc(layout) } else { MiMalloc.alloc(layout) } }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe {
            if is_large(layout.size()) { System.alloc_zeroed(layout) } else { MiMalloc.alloc_zeroed(layout) }
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above, and the size says whose it is.
        unsafe {
            if is_large(layout.size()) {
                System.dealloc(block, layout);
            } else {
                MiMalloc.dealloc(block, layout);
            }
        }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above, and both sizes are on the same side.
        unsafe {
            match (is_large(layout.size()), is_large(size)) {
                (false, false) => MiMalloc.realloc(block, layout, size),
                (true, true) => System.realloc(block, layout, size),
                _ => self.change_sides(block, layout, size),
            }
        }
    }
}

impl BySize {
    /// A block that grows to be large, or shrinks to be small, is another allocator's from then on.
    ///
    /// # Safety
    ///
    /// As of [`GlobalAlloc::realloc`].
    #[cold]
    unsafe fn change_sides(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that the size is not zero and fits with this alignment; both blocks have the lesser
        // of the two sizes; and the old one is given up only if there is a new one.
        unsafe {
            let other = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !other.is_null() {
                block.copy_to_nonoverlapping(other, layout.size().min(size));
                self.dealloc(block, layout);
            }
            other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a block of this size, filled, that becomes one of another size: what both have is as it was.
    fn resized(from: usize, to: usize, align: usize) {
        let layout = |size| Layout::from_size_align(size, align).unwrap();
        // SAFETY: the sizes are not zero; each block is given back once, with the layout it has then; and what is read
        // was written or asked for as zeros.
        unsafe {
            let block = BySize.alloc_zeroed(layout(from));
            assert!(!block.is_null() && block.addr() % align == 0);
            for place in 0..from {
                assert_eq!(*block.add(place), 0);
                *block.add(place) = place as u8;
            }
            let block = BySize.realloc(block, layout(from), to);
            assert!(!block.is_null() && block.addr() % align == 0);
            assert!((0..from.min(to)).all(|place| *block.add(place) == place as u8), "{from} to {to}");
            BySize.dealloc(block, layout(to));
        }
    }

    #[test]
    fn a_block_keeps_what_is_in_it_when_it_changes_sides() {
        return_large_blocks();
        for align in [1, 16, 4096] {
            for (small, large) in [(1, LARGE), (LARGE - 1, LARGE), (100, 1 << 20), (LARGE - 1, 3 << 20)] {
                resized(small, large, align);
                resized(large, small, align);
                resized(large, large + 4096, align);
                resized(small, small + 1, align);
            }
        }
    }
}
