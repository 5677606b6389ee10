//! What entries really cost, measured by an allocator that counts for each thread.
#![allow(
    unsafe_code,
    reason = "a global allocator cannot be written without it; this one only counts and passes on"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use terrace_memory::warm::{Attributes, Config, Warm};

use super::json::{Chance, order};

struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // A thread that is ending has no counter any more, and no test that looks at it.
    let _ = HELD.try_with(|held| held.set(held.get() + bytes));
}

// SAFETY: every call is passed to the system allocator with the caller's own arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises about `layout` are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: `block` came from `System` through one of the methods here.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size as isize - layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Incompressible, so that what is stored is known: as many bytes as the value has.
fn noise(number: u64, len: usize) -> Vec<u8> {
    let mut chance = Chance(number);
    (0..len).map(|_| chance.next() as u8).collect()
}

/// The thread's workspace belongs to the thread, not to the entries: a short value and one that is longer than all others
/// make every algorithm take what it needs.
fn make_the_workspace() {
    let warm = Warm::new(Config::bytes(1 << 20));
    for value in [order(1), order(1).repeat(100)] {
        let _ = warm.insert(b"k", &value, Attributes::default(), 0);
    }
}

#[test]
fn an_entry_costs_at_most_twenty_four_bytes_beside_its_key_and_encoded_value() {
    make_the_workspace();
    for (value_len, entries) in [(400, 21_000), (550, 40_000), (700, 27_777)] {
        let before = HELD.get();
        let warm = Warm::new(Config::bytes(64 << 20).shards(4));
        let mut content = 0;
        for number in 0..entries {
            let key = format!("user:{number:08}");
            let attributes = Attributes { expires_at: Some(1_800_003_600_000), ..Attributes::default() };
            let done = warm.insert(key.as_bytes(), &noise(number, value_len), attributes, 1_800_000_000_000);
            assert!(done.stored && done.evicted.is_empty());
            content += key.len() + value_len;
        }
        let heap = HELD.get() - before;
        assert!(heap as u64 <= warm.weight() + 4096, "{heap} bytes held, {} counted", warm.weight());
        // The last block of each shard is still being filled: what it has left is no entry's.
        let unused = warm.unused_bytes() as f64;
        let each = (heap as f64 - content as f64 - unused) / entries as f64;
        println!("{value_len}: {each:.2} bytes of overhead an entry");
        assert!(each <= 24.0, "{value_len}: {each} bytes of overhead");
    }
}

#[test]
fn the_heap_never_holds_more_than_the_capacity() {
    make_the_workspace();
    for capacity in [64 << 10, 1 << 20, 6_000_000] {
        let before = HELD.get();
        let warm = Warm::new(Config::bytes(capacity).shards(2));
        let (mut chance, mut fullest) = (Chance(capacity), 0);
        for number in 0..30_000 {
            let key = chance.below(20_000).to_le_bytes();
            let value = match chance.below(100) {
                0 => noise(number, chance.below(40_000) as usize),
                1 => Vec::new(),
                _ => order(number),
            };
            let held = value.capacity() as isize;
            let done = warm.insert(&key, &value, Attributes::default(), number);
            let evicted = done.evicted.heap_bytes() as isize;
            assert!(warm.weight() <= capacity);
            fullest = fullest.max(warm.weight());
            let heap = HELD.get() - before - held - evicted;
            assert!(heap <= capacity as isize + 4096, "{heap} of {capacity}");
            drop(done);
        }
        assert!(fullest > capacity * 9 / 10, "{fullest} of {capacity}");
    }
}
