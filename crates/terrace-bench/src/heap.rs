//! How much of the heap is in use, by what was asked of the allocator.
//!
//! Decision: bytes are counted only while somebody wants to know, and otherwise each call costs one look at a flag
//! that does not change, so that no subject is slowed down by being weighed at another time.

#![allow(unsafe_code, reason = "an allocator is unsafe to write; this one only counts and passes on")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

#[global_allocator]
static COUNTED: Counted = Counted;

static COUNTING: AtomicBool = AtomicBool::new(false);
static BYTES: AtomicI64 = AtomicI64::new(0);

struct Counted;

fn count(bytes: i64) {
    if COUNTING.load(Ordering::Relaxed) {
        BYTES.fetch_add(bytes, Ordering::Relaxed);
    }
}

// SAFETY: every call is the system allocator's, with the same arguments, and counting touches no memory of its own.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as i64 - layout.size() as i64);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(memory, layout, size) }
    }
}

/// What `make` makes, and by how many bytes the heap has grown meanwhile, in all threads. One at a time.
pub(crate) fn growth<T>(make: impl FnOnce() -> T) -> (T, i64) {
    BYTES.store(0, Ordering::Relaxed);
    COUNTING.store(true, Ordering::Relaxed);
    let made = make();
    COUNTING.store(false, Ordering::Relaxed);
    (made, BYTES.load(Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_kept_is_counted_and_what_was_freed_is_not() {
        let (kept, bytes) = super::growth(|| {
            drop(vec![0u8; 9 << 20]);
            let mut kept = vec![1u8; 5 << 20];
            kept.reserve_exact(1 << 20);
            kept
        });
        // Other tests run meanwhile.
        assert!((5 << 20..7 << 20).contains(&bytes), "{bytes}");
        assert_eq!(kept.len(), 5 << 20);
    }
}
