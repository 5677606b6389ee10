//! How much is allocated, measured by an allocator that counts for each thread.
#![allow(
    unsafe_code,
    reason = "a global allocator cannot be written without it; this one only counts and passes on"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::Bytes;
use terrace_envelope::{Compress, Error, Fields, Header, Limits, open, peek, peek_verified, seal};

struct Counting;

thread_local! {
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
    /// What is allocated and not yet given back, and the most that it was.
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: usize) {
    // A thread that is ending has no counter any more, and no test that looks at it.
    let _ = ALLOCATED.try_with(|allocated| allocated.set(allocated.get() + bytes));
    count_live(bytes as isize);
}

fn count_live(bytes: isize) {
    let _ = LIVE.try_with(|live| {
        live.set(live.get() + bytes);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(live.get())));
    });
}

// SAFETY: every call is passed to the system allocator with the caller's own arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promises about `layout` are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count_live(-(layout.size() as isize));
        // SAFETY: `block` came from `System` through one of the methods here.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // Old and new block may exist at once.
        count(new_size);
        count_live(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The bytes that this thread allocates while `work` runs.
pub(crate) fn allocated<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = ALLOCATED.get();
    let result = work();
    (ALLOCATED.get() - before, result)
}

/// The most bytes that are in use at once while `work` runs, beyond those that were before.
pub(crate) fn peak<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = LIVE.get();
    PEAK.set(before);
    let result = work();
    (usize::try_from(PEAK.get() - before).unwrap_or_default(), result)
}

fn sealed(payload: &[u8], compress: Compress) -> Bytes {
    let mut out = Vec::new();
    let header = Header { expires_ms: 1, ..Header::default() };
    let fields =
        Fields { header, tags: &[b"tag"], content_type: Some("text/plain"), metadata: &[("k", "v")] };
    seal(&fields, b"key", payload, compress, Limits::default(), &mut out).unwrap();
    let envelope = Bytes::from(out);
    // `Bytes` makes its reference count when it is shared for the first time; let that be done.
    drop(envelope.clone());
    envelope
}

#[test]
fn sealing_allocates_at_most_the_room_in_out() {
    let payload = vec![1; 1000];
    let mut out = Vec::with_capacity(2000);
    let fields = Fields::default();
    let (bytes, _) =
        allocated(|| seal(&fields, b"key", &payload, Compress::Never, Limits::default(), &mut out).unwrap());
    assert_eq!(bytes, 0);
    let (bytes, out) = allocated(|| {
        let mut out = Vec::new();
        seal(&fields, b"key", &payload, Compress::Never, Limits::default(), &mut out).unwrap();
        out
    });
    assert_eq!(bytes, out.capacity(), "it grows once");
    assert!(out.capacity() < payload.len() + 120);
}

#[test]
fn opening_allocates_nothing_for_a_plain_payload() {
    let envelope = sealed(&[1; 1000], Compress::Never);
    let (bytes, opened) = allocated(|| {
        peek(&envelope).unwrap();
        peek_verified(&envelope).unwrap();
        let opened = open(&envelope, b"key", Limits::default()).unwrap();
        assert_eq!((opened.tags().count(), opened.metadata().count()), (1, 1));
        opened
    });
    assert_eq!(bytes, 0);
    assert_eq!(opened.payload().len(), 1000);
}

#[test]
#[cfg_attr(not(feature = "lz4"), ignore = "needs LZ4")]
fn decompression_allocates_exactly_the_payload() {
    let envelope = sealed(&[1; 100_000], Compress::Always);
    let (bytes, opened) = allocated(|| open(&envelope, b"key", Limits::default()).unwrap());
    assert_eq!(bytes, 100_000);
    assert_eq!(opened.payload(), &[1; 100_000][..]);
}

#[test]
#[cfg_attr(not(feature = "lz4"), ignore = "needs LZ4")]
fn a_bomb_costs_nothing() {
    // A sound envelope of 64 MiB of zeros in about 256 KiB, opened by one who expects at most 1 MiB.
    let bomb = sealed(&vec![0; 64 << 20], Compress::Always);
    assert!(bomb.len() < 300 << 10);
    let limits = Limits { payload: 1 << 20 };
    let (bytes, result) = allocated(|| open(&bomb, b"key", limits));
    assert_eq!(result.unwrap_err(), Error::TooLong { what: "payload", limit: 1 << 20 });
    assert_eq!(bytes, 0);
}
