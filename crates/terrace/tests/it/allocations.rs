//! A hot hit allocates nothing: counted by the allocator itself.

#![allow(unsafe_code, reason = "a global allocator can only be written so")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use terrace::Cache;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting by thread.
pub(crate) struct Counting;

// SAFETY: every call is passed to the system's allocator as it is; the counter touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // The counter may be gone while a thread ends.
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// How often this thread allocated while `run` ran.
fn allocations<T>(run: impl FnOnce() -> T) -> (u64, T) {
    let before = ALLOCATIONS.get();
    let result = run();
    (ALLOCATIONS.get() - before, result)
}

#[test]
fn a_hot_hit_is_ready_at_once_and_allocates_nothing() {
    let cache = Cache::<String, u64>::builder("n").build_blocking().unwrap();
    let mixed = Cache::<String>::builder("m").build_blocking().unwrap();
    cache.blocking().put("plain", 1).unwrap();
    cache.blocking().run(cache.put("tagged", 2).tag("t").ttl("1h")).unwrap();
    mixed.blocking().put("plain", &3u64).unwrap();
    let poll = terrace::store::block_on::poll_once::<terrace::Get<Option<u64>>>;
    // More reads than it takes for one to be timed.
    for _ in 0..3000 {
        let (count, values) = allocations(|| {
            [poll(cache.get("plain")), poll(cache.get("tagged")), poll(mixed.get("plain"))]
                .map(|ready| ready.ok().and_then(Result::ok).flatten())
        });
        assert_eq!((count, values), (0, [Some(1), Some(2), Some(3)]));
    }
}
