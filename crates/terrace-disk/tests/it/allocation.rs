//! Steady-state reads and writes allocate nothing, told by an allocator that counts for each thread.
#![allow(
    unsafe_code,
    reason = "a global allocator cannot be written without it; this one only counts and passes on"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use terrace_disk::io::OsIo;
use terrace_disk::{Compression, Config, Delete, Disk, Durability, Put, Reads};

struct Counting;

thread_local! {
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    // A thread that is ending has no counter any more, and no test that looks at it.
    let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
}

// SAFETY: every call is passed to the system allocator with the caller's own arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises about `layout` are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: `block` came from `System` through one of the methods here.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn reads_and_writes_allocate_nothing_once_they_are_warm() {
    for (compression, reads) in [
        (Compression::None, Reads::Positioned),
        (Compression::Lz4, Reads::Positioned),
        (Compression::Zstd, Reads::Mapped),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let io = Arc::new(OsIo::new(folder.path()).unwrap());
        let config = Config { durability: Durability::Never, compression, reads, ..Config::store() };
        let (disk, _) = Disk::open(io, config, 0).unwrap();
        let value = b"the same words, the same words, the same words again and again".repeat(16);
        let mut out = Vec::with_capacity(4096);
        let mut round = || {
            for n in 0..300_u32 {
                let key = n.to_le_bytes();
                let put = Put { value: &value, deferred: n % 2 == 0, ..Put::default() };
                disk.put(&key, &put, 0).unwrap();
                if n % 7 == 0 {
                    disk.delete(&key, &Delete { floor_deadline_ms: 9, ..Delete::default() }, 0).unwrap();
                }
            }
            disk.commit().unwrap();
            for n in 0..600_u32 {
                out.clear();
                let found = disk.get_into(&n.to_le_bytes(), 0, &mut out).unwrap();
                assert_eq!(found.is_some(), n < 300 && n % 7 != 0);
                assert!(found.is_none() || out == value);
            }
        };
        round();
        round();
        let before = CALLS.get();
        round();
        assert_eq!(CALLS.get() - before, 0, "{compression:?}");
    }
}
