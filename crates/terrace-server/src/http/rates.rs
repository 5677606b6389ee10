//! What happened a second, between two snapshots.

use serde::Serialize;
use terrace::tiers::Tier;

use super::snapshot::{Snapshot, ratio};

/// What happened a second, in the time since the snapshot before.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Rates {
    /// When, in milliseconds of wall time.
    time_ms: u64,
    /// Redis commands a second.
    commands: f64,
    /// HTTP requests a second.
    http_requests: f64,
    /// Reads a second.
    reads: f64,
    /// Writes a second, as the authority took them.
    writes: f64,
    /// Of the reads, from 0 to 1; nothing if there were none.
    hit_ratio: Option<f64>,
    /// Entries a second that left a tier by themselves.
    evictions: f64,
    /// Processors kept busy.
    cpu: Option<f64>,
    tiers: Vec<TierRates>,
}

/// The same of one tier.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct TierRates {
    tier: Tier,
    hits: f64,
    misses: f64,
    hit_ratio: Option<f64>,
    /// The part of all reads that this tier answered.
    share: Option<f64>,
}

/// The rates between two snapshots.
pub(crate) fn between(before: &Snapshot, after: &Snapshot) -> Rates {
    // Two snapshots of one instant divide by a millisecond, not by nothing.
    let seconds = after.uptime_ms.saturating_sub(before.uptime_ms).max(1) as f64 / 1000.0;
    let a_second = |before: u64, after: u64| after.saturating_sub(before) as f64 / seconds;
    let gone = |snapshot: &Snapshot| snapshot.evictions.iter().map(|eviction| eviction.count).sum();
    let writes = |snapshot: &Snapshot| snapshot.tiers.last().map_or(0, |tier| tier.stats.writes);
    let hits = after.totals.hits.saturating_sub(before.totals.hits);
    let misses = after.totals.misses.saturating_sub(before.totals.misses);
    let tiers = before.tiers.iter().zip(&after.tiers).map(|(before, after)| {
        let tier_hits = after.stats.hits.saturating_sub(before.stats.hits);
        let tier_misses = after.stats.misses.saturating_sub(before.stats.misses);
        TierRates {
            tier: after.stats.tier,
            hits: tier_hits as f64 / seconds,
            misses: tier_misses as f64 / seconds,
            hit_ratio: ratio(tier_hits, tier_misses),
            share: ratio(tier_hits, (hits + misses).saturating_sub(tier_hits)),
        }
    });
    Rates {
        time_ms: after.time_ms,
        commands: a_second(before.redis.commands_total, after.redis.commands_total),
        http_requests: a_second(before.http.requests_total, after.http.requests_total),
        reads: (hits + misses) as f64 / seconds,
        writes: a_second(writes(before), writes(after)),
        hit_ratio: ratio(hits, misses),
        evictions: a_second(gone(before), gone(after)),
        cpu: before
            .process
            .zip(after.process)
            .map(|(before, after)| ((after.cpu_seconds - before.cpu_seconds) / seconds).max(0.0)),
        tiers: tiers.collect(),
    }
}
