//! How often a filter was asked, and what came of it.
//!
//! Decision: each thread counts on a line of its own among a few, so that threads that only ask do not wait for each other.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// How many lines there are. More threads share them.
const LINES: usize = 16;

#[repr(align(64))]
#[derive(Default)]
struct Line {
    positives: AtomicU64,
    negatives: AtomicU64,
    false_positives: AtomicU64,
    foreign: AtomicU64,
}

#[derive(Default)]
pub(super) struct Counts([Line; LINES]);

/// What all threads counted.
#[derive(Default)]
pub(super) struct Counted {
    pub(super) positives: u64,
    pub(super) negatives: u64,
    pub(super) false_positives: u64,
    pub(super) foreign: u64,
}

/// How many threads have counted.
static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The number of this thread's line; none before it counted.
    static OWN: Cell<usize> = const { Cell::new(usize::MAX) };
}

fn own() -> usize {
    OWN.with(|own| {
        if own.get() == usize::MAX {
            own.set(THREADS.fetch_add(1, Ordering::Relaxed) % LINES);
        }
        own.get() % LINES
    })
}

impl Counts {
    fn line(&self) -> &Line {
        &self.0[own()]
    }

    /// A key was looked up, and found or not.
    pub(super) fn checked(&self, found: bool) {
        let Line { positives, negatives, .. } = self.line();
        (if found { positives } else { negatives }).fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn false_positive(&self) {
        self.line().false_positives.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn foreign(&self) {
        self.line().foreign.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn sum(&self) -> Counted {
        let mut sum = Counted::default();
        for line in &self.0 {
            sum.positives += line.positives.load(Ordering::Relaxed);
            sum.negatives += line.negatives.load(Ordering::Relaxed);
            sum.false_positives += line.false_positives.load(Ordering::Relaxed);
            sum.foreign += line.foreign.load(Ordering::Relaxed);
        }
        sum
    }
}
