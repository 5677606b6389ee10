//! What happened, by tier.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::histogram::{Histogram, Latencies};
use crate::tier::Tier;

/// Whether this operation of this thread is one of those that are timed: the first, and then one of every so many.
/// Looking at the clock twice costs as much as a read in memory.
#[inline]
pub(crate) fn is_timed(one_of: u32) -> bool {
    thread_local! {
        static OPERATIONS: Cell<u32> = const { Cell::new(0) };
    }
    OPERATIONS.with(|operations| {
        let number = operations.get();
        operations.set(number.wrapping_add(1));
        number.is_multiple_of(one_of)
    })
}

#[derive(Default)]
pub(crate) struct TierCounters {
    hits: AtomicU64,
    misses: AtomicU64,
    errors: AtomicU64,
    damaged: AtomicU64,
    writes: AtomicU64,
    write_errors: AtomicU64,
    evicted: AtomicU64,
    reading: Histogram,
    writing: Histogram,
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn record(histogram: &Histogram, took: Option<Duration>) {
    if let Some(took) = took {
        histogram.record(took);
    }
}

impl TierCounters {
    pub(crate) fn hit(&self, took: Option<Duration>) {
        add(&self.hits);
        record(&self.reading, took);
    }
    pub(crate) fn miss(&self, took: Option<Duration>) {
        add(&self.misses);
        record(&self.reading, took);
    }
    pub(crate) fn error(&self) {
        add(&self.errors);
    }
    pub(crate) fn damaged(&self) {
        add(&self.damaged);
    }
    pub(crate) fn written(&self, took: Option<Duration>) {
        add(&self.writes);
        record(&self.writing, took);
    }
    pub(crate) fn write_error(&self) {
        add(&self.write_errors);
    }

    pub(crate) fn evicted(&self, count: u64) {
        self.evicted.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self, tier: Tier) -> TierStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TierStats {
            tier,
            hits: get(&self.hits),
            misses: get(&self.misses),
            errors: get(&self.errors),
            damaged: get(&self.damaged),
            writes: get(&self.writes),
            write_errors: get(&self.write_errors),
            evicted: get(&self.evicted),
            read_latency: self.reading.latencies(),
            write_latency: self.writing.latencies(),
        }
    }
}

/// What happened in one tier since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct TierStats {
    /// Which tier.
    pub tier: Tier,
    /// Reads it answered with an entry.
    pub hits: u64,
    /// Reads it had nothing acceptable for.
    pub misses: u64,
    /// Reads it failed.
    pub errors: u64,
    /// Entries it gave that were damaged or did not decode.
    pub damaged: u64,
    /// Writes it took.
    pub writes: u64,
    /// Writes it failed.
    pub write_errors: u64,
    /// Entries that left to make room. Of the hot tier see its causes.
    pub evicted: u64,
    /// How long its reads took: a sample where the store answers in place.
    pub read_latency: Latencies,
    /// How long its writes took: a sample where the store answers in place.
    pub write_latency: Latencies,
}

#[derive(Default)]
pub(crate) struct LoadCounters {
    joined: AtomicU64,
    loads: AtomicU64,
    errors: AtomicU64,
    late: AtomicU64,
    unkept: AtomicU64,
    loading: Histogram,
}

impl LoadCounters {
    pub(crate) fn join(&self) {
        add(&self.joined);
    }
    pub(crate) fn loaded(&self, took: Duration, ok: bool) {
        add(&self.loads);
        if !ok {
            add(&self.errors);
        }
        self.loading.record(took);
    }
    pub(crate) fn late(&self) {
        add(&self.late);
    }
    pub(crate) fn unkept(&self) {
        add(&self.unkept);
    }
    pub(crate) fn snapshot(&self) -> LoadStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        LoadStats {
            loads: get(&self.loads),
            errors: get(&self.errors),
            shared: get(&self.joined),
            late: get(&self.late),
            unkept: get(&self.unkept),
            latency: self.loading.latencies(),
        }
    }
}

/// What the loaders did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct LoadStats {
    /// Loads that ran.
    pub loads: u64,
    /// Loads that failed.
    pub errors: u64,
    /// Calls that waited for somebody else's flight instead of starting one.
    pub shared: u64,
    /// Values that came after something newer had happened, and went to their waiters only.
    pub late: u64,
    /// Values that could not be encoded, and went to their waiters only.
    pub unkept: u64,
    /// How long loads took.
    pub latency: Latencies,
}

/// Everything that happened since the start.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct TiersStats {
    /// By tier, from hot downwards.
    pub tiers: Vec<TierStats>,
    /// The loaders.
    pub loads: LoadStats,
    /// Flights under way now.
    pub flights: usize,
    /// Entries in the hot tier.
    pub hot_entries: u64,
    /// Bytes in the hot tier.
    pub hot_bytes: u64,
    /// What the hot tier may hold.
    pub hot_capacity: u64,
}
