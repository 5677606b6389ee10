//! `/metrics`: the figures of a [`Snapshot`] for Prometheus. No key and no tag is ever a label, so the number of
//! series does not depend on what is stored.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use terrace::tiers::TierStats;
use terrace::tiers::histogram::Latencies;

use super::exposition::{Exposition, Family};
use super::problem::Problem;
use super::snapshot::{self, Snapshot, TierSnapshot};
use super::state::HttpState;

/// All metrics.
pub(crate) async fn get(State(state): State<Arc<HttpState>>) -> Result<Response, Problem> {
    let snapshot = state.within(async { Ok(snapshot::take(&state).await) }).await?;
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    Ok(([(CONTENT_TYPE, kind)], expose(&snapshot)).into_response())
}

fn expose(snapshot: &Snapshot) -> String {
    let mut page = Exposition::default();
    reads(&mut page, &snapshot.tiers);
    latencies(&mut page, &snapshot.tiers);
    loads(&mut page, snapshot);
    occupancy(&mut page, snapshot);
    traffic(&mut page, snapshot);
    process(&mut page, snapshot);
    page.finish()
}

fn reads(page: &mut Exposition, tiers: &[TierSnapshot]) {
    type Count = fn(&TierStats) -> u64;
    const COUNTS: [(&str, &str, Count); 6] = [
        ("cache_hits_total", "Reads that a tier answered.", |tier| tier.hits),
        ("cache_misses_total", "Reads that a tier had nothing for.", |tier| tier.misses),
        ("cache_errors_total", "Reads that a tier failed.", |tier| tier.errors),
        ("cache_damaged_total", "Entries of a tier that were damaged.", |tier| tier.damaged),
        ("cache_writes_total", "Writes that a tier took.", |tier| tier.writes),
        ("cache_write_errors_total", "Writes that a tier failed.", |tier| tier.write_errors),
    ];
    for (name, help, count) in COUNTS {
        let mut family = page.counter(name, help);
        for tier in tiers {
            family.sample(&[("layer", tier.stats.tier.name())], count(&tier.stats));
        }
    }
}

fn latencies(page: &mut Exposition, tiers: &[TierSnapshot]) {
    let mut family =
        page.summary("cache_latency_seconds", "How long a tier took; of reads in the hot tier, a sample.");
    for tier in tiers {
        let layer = ("layer", tier.stats.tier.name());
        summary(&mut family, &[layer, ("operation", "get")], &tier.stats.read_latency);
        summary(&mut family, &[layer, ("operation", "write")], &tier.stats.write_latency);
    }
}

fn summary(family: &mut Family<'_>, labels: &[(&str, &str)], latencies: &Latencies) {
    let quantiles = [("0.5", latencies.p50_ns), ("0.99", latencies.p99_ns), ("0.999", latencies.p999_ns)];
    for (quantile, ns) in quantiles {
        // Of nothing there are no quantiles.
        let value = if latencies.count == 0 { f64::NAN } else { seconds(ns) };
        family.sample(&[labels, &[("quantile", quantile)]].concat(), value);
    }
    family.suffixed("_sum", labels, seconds(latencies.sum_ns));
    family.suffixed("_count", labels, latencies.count);
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

fn loads(page: &mut Exposition, snapshot: &Snapshot) {
    let loads = &snapshot.loads;
    page.counter("cache_loads_total", "Loads that ran.").sample(&[], loads.loads);
    page.counter("cache_load_errors_total", "Loads that failed.").sample(&[], loads.errors);
    page.counter(
        "cache_flights_shared_total",
        "Reads that waited for another's flight instead of starting one.",
    )
    .sample(&[], loads.shared);
    page.gauge("cache_flights", "Flights under way.").sample(&[], snapshot.flights);
    summary(&mut page.summary("cache_load_seconds", "How long loads took."), &[], &loads.latency);
}

fn occupancy(page: &mut Exposition, snapshot: &Snapshot) {
    type Level = fn(&TierSnapshot) -> Option<u64>;
    const LEVELS: [(&str, &str, Level); 3] = [
        ("cache_entries", "Entries in a tier.", |tier| tier.entries),
        ("cache_bytes", "Bytes of a tier's entries.", |tier| tier.bytes),
        ("cache_capacity_bytes", "Bytes a tier may hold.", |tier| tier.capacity_bytes),
    ];
    for (name, help, level) in LEVELS {
        let mut family = page.gauge(name, help);
        for tier in &snapshot.tiers {
            if let Some(value) = level(tier) {
                family.sample(&[("layer", tier.stats.tier.name())], value);
            }
        }
    }
    let mut up = page.gauge("cache_up", "Whether a tier works: 1, 0.5 with restrictions, or 0.");
    for tier in &snapshot.tiers {
        let value = match tier.state {
            snapshot::State::Up => 1.0,
            snapshot::State::Degraded => 0.5,
            snapshot::State::Down => 0.0,
        };
        up.sample(&[("layer", tier.stats.tier.name())], value);
    }
    let mut evictions = page.counter(
        "cache_evictions_total",
        "Entries that left a tier by themselves, or were refused, by cause.",
    );
    for eviction in &snapshot.evictions {
        evictions.sample(&[("layer", eviction.tier.name()), ("cause", eviction.cause)], eviction.count);
    }
    let mut keys = page.gauge("terrace_keys", "Keys of a database; those without any are left out.");
    for database in &snapshot.databases {
        keys.sample(&[("db", &database.db.to_string())], database.keys);
    }
    let mut bytes = page.gauge("terrace_key_bytes", "Bytes of a database's keys and values.");
    for database in &snapshot.databases {
        bytes.sample(&[("db", &database.db.to_string())], database.bytes);
    }
}

fn traffic(page: &mut Exposition, snapshot: &Snapshot) {
    let (redis, http) = (&snapshot.redis, &snapshot.http);
    page.gauge("terrace_connections", "Connections open now.")
        .sample(&[("protocol", "redis")], redis.connections)
        .sample(&[("protocol", "http")], http.connections);
    page.counter("terrace_connections_total", "Connections accepted.")
        .sample(&[("protocol", "redis")], redis.connections_total)
        .sample(&[("protocol", "http")], http.connections_total);
    page.counter("terrace_commands_total", "Redis commands processed.").sample(&[], redis.commands_total);
    let mut answers =
        page.counter("terrace_http_requests_total", "HTTP requests answered, by class of status.");
    for (class, count) in ["1xx", "2xx", "3xx", "4xx", "5xx"].into_iter().zip(http.answers) {
        answers.sample(&[("code", class)], count);
    }
}

fn process(page: &mut Exposition, snapshot: &Snapshot) {
    page.gauge("terrace_build_info", "Always 1; the label says which version runs.")
        .sample(&[("version", &snapshot.version)], 1);
    page.gauge("terrace_uptime_seconds", "How long the server has been running.")
        .sample(&[], snapshot.uptime_ms as f64 / 1000.0);
    if let Some(process) = &snapshot.process {
        page.counter("process_cpu_seconds_total", "Processor time, user and system.")
            .sample(&[], process.cpu_seconds);
        page.gauge("process_resident_memory_bytes", "Memory of the process.")
            .sample(&[], process.resident_bytes);
    }
}
