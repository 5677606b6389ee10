//! Latencies, counted in buckets whose width grows with the value: four to each power of two, so a quantile is
//! at most 25 % above the truth. Recording is one relaxed add.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const SUB_BITS: u32 = 2;
const BUCKETS: usize = 64 << SUB_BITS;

/// A concurrent histogram of durations in nanoseconds.
pub struct Histogram {
    buckets: Box<[AtomicU64; BUCKETS]>,
    sum_ns: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: Box::new([const { AtomicU64::new(0) }; BUCKETS]), sum_ns: AtomicU64::new(0) }
    }
}

fn bucket(ns: u64) -> usize {
    let ns = ns.max(1 << SUB_BITS);
    let exponent = 63 - ns.leading_zeros();
    let sub = (ns >> (exponent - SUB_BITS)) & ((1 << SUB_BITS) - 1);
    (((exponent as usize) << SUB_BITS) | sub as usize).min(BUCKETS - 1)
}

/// The first value above those of a bucket.
fn upper(bucket: usize) -> u64 {
    let (exponent, sub) = (bucket >> SUB_BITS, bucket & ((1 << SUB_BITS) - 1));
    if exponent < SUB_BITS as usize {
        return 1 << SUB_BITS;
    }
    let step = 1u64 << (exponent - SUB_BITS as usize);
    (1u64 << exponent).saturating_add(step.saturating_mul(sub as u64 + 1))
}

impl Histogram {
    /// Counts a duration.
    pub fn record(&self, duration: Duration) {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(ns)].fetch_add(1, Ordering::Relaxed);
        self.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub fn latencies(&self) -> Latencies {
        let counts: Vec<u64> = self.buckets.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let count: u64 = counts.iter().sum();
        let quantile = |q: f64| {
            let rank = ((count as f64 * q).ceil() as u64).max(1);
            let mut seen = 0;
            let found = counts.iter().position(|n| {
                seen += n;
                seen >= rank
            });
            found.map_or(0, upper)
        };
        Latencies {
            count,
            sum_ns: self.sum_ns.load(Ordering::Relaxed),
            p50_ns: quantile(0.50),
            p99_ns: quantile(0.99),
            p999_ns: quantile(0.999),
        }
    }
}

/// Quantiles of a [`Histogram`], in nanoseconds, each at most 25 % above the truth; 0 if nothing was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Latencies {
    /// How many were counted.
    pub count: u64,
    /// Their sum.
    pub sum_ns: u64,
    /// Half are at most this.
    pub p50_ns: u64,
    /// 99 of 100 are at most this.
    pub p99_ns: u64,
    /// 999 of 1000 are at most this.
    pub p999_ns: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_at_most_a_quarter_above_the_truth() {
        let histogram = Histogram::default();
        for us in 1..=1000u64 {
            histogram.record(Duration::from_micros(us));
        }
        let got = histogram.latencies();
        assert_eq!((got.count, got.sum_ns), (1000, 500_500_000));
        for (quantile, truth) in [(got.p50_ns, 500_000), (got.p99_ns, 990_000), (got.p999_ns, 999_000)] {
            assert!(quantile >= truth && quantile <= truth * 5 / 4, "{quantile} for {truth}");
        }
    }

    #[test]
    fn the_extremes_have_a_bucket() {
        let histogram = Histogram::default();
        histogram.record(Duration::ZERO);
        histogram.record(Duration::MAX);
        assert_eq!(histogram.latencies().count, 2);
        assert_eq!(Histogram::default().latencies(), Latencies::default());
    }
}
