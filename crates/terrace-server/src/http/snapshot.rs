//! Everything the server tells of itself at one moment: what `/v1/stats` gives, the page shows and `/metrics` counts.

use serde::Serialize;
use terrace::tiers::{LoadStats, Tier, TierStats};
use terrace_store::Health;

use super::policy::Policy;
use super::process::{self, Process};
use super::state::{Activity, HttpState};
use crate::keyspace::DATABASES;

/// The server at one moment. Counts are since the start.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Snapshot {
    pub(crate) version: String,
    /// Wall time, in milliseconds since the Unix epoch.
    pub(crate) time_ms: u64,
    pub(crate) uptime_ms: u64,
    pub(crate) state: State,
    /// Why the state is not `up`.
    pub(crate) reasons: Vec<String>,
    pub(crate) totals: Totals,
    pub(crate) tiers: Vec<TierSnapshot>,
    pub(crate) loads: LoadStats,
    /// Flights under way.
    pub(crate) flights: usize,
    /// What left a tier by itself, or was refused, by cause.
    pub(crate) evictions: Vec<Eviction>,
    /// What the hot tier's eviction policy has learned; nothing where there is no hot tier.
    pub(crate) policy: Option<Policy>,
    /// The databases that hold keys.
    pub(crate) databases: Vec<Database>,
    pub(crate) redis: Activity,
    pub(crate) http: Http,
    pub(crate) process: Option<Process>,
    pub(crate) server: Server,
}

/// How the server is doing as a whole: as its worst tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Up,
    Degraded,
    Down,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Totals {
    pub(crate) keys: u64,
    /// Bytes of keys and values.
    pub(crate) bytes: u64,
    /// Reads that some tier answered.
    pub(crate) hits: u64,
    /// Reads that no tier answered.
    pub(crate) misses: u64,
    /// From 0 to 1; nothing before the first read.
    pub(crate) hit_ratio: Option<f64>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct TierSnapshot {
    #[serde(flatten)]
    pub(crate) stats: TierStats,
    /// The engine's name.
    pub(crate) store: String,
    pub(crate) state: State,
    /// The part of the reads that came to this tier and that it answered.
    pub(crate) hit_ratio: Option<f64>,
    pub(crate) entries: Option<u64>,
    pub(crate) bytes: Option<u64>,
    pub(crate) capacity_bytes: Option<u64>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Eviction {
    pub(crate) tier: Tier,
    pub(crate) cause: &'static str,
    pub(crate) count: u64,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Database {
    pub(crate) db: usize,
    pub(crate) keys: u64,
    pub(crate) bytes: u64,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Http {
    pub(crate) connections: u64,
    pub(crate) connections_total: u64,
    pub(crate) requests_total: u64,
    /// By the first digit of the status, from 1.
    #[serde(skip)]
    pub(crate) answers: [u64; 5],
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Server {
    redis_address: Option<String>,
    http_address: Option<String>,
    tls: bool,
    password: bool,
    settings: Vec<(String, String)>,
}

/// The part of hits among both; nothing if there was neither.
pub(crate) fn ratio(hits: u64, misses: u64) -> Option<f64> {
    let reads = hits + misses;
    (reads > 0).then(|| hits as f64 / reads as f64)
}

/// Looks at everything.
///
/// # Cost
/// Some tens of microseconds, and what the stores' own counts and health cost.
pub(crate) async fn take(state: &HttpState) -> Snapshot {
    let tiers = state.keyspace.tiers();
    let stats = tiers.stats();
    let databases = databases(state).await;
    let (keys, bytes) = databases.iter().fold((0, 0), |sum, db| (sum.0 + db.keys, sum.1 + db.bytes));
    let (healths, reasons) = healths(state).await;
    let levels: Vec<TierSnapshot> = stats
        .tiers
        .iter()
        .map(|level| {
            let mut seen = tier(state, level, &healths);
            if level.tier == Tier::Hot {
                seen.entries = Some(stats.hot_entries);
                seen.bytes = Some(stats.hot_bytes);
                seen.capacity_bytes = Some(stats.hot_capacity);
            } else if is_authority(state, level.tier) {
                (seen.entries, seen.bytes) = (Some(keys), Some(bytes));
            }
            seen
        })
        .collect();
    let hits = stats.tiers.iter().map(|level| level.hits).sum();
    let misses = stats.tiers.last().map_or(0, |level| level.misses + level.errors);
    let answers = state.traffic.answers();
    Snapshot {
        version: state.facts.version.clone(),
        time_ms: state.wall_ms(),
        uptime_ms: u64::try_from((state.clock().now().saturating_sub(state.started)).as_millis())
            .unwrap_or(u64::MAX),
        state: healths.iter().map(|(_, state)| *state).max().unwrap_or(State::Up),
        reasons,
        totals: Totals { keys, bytes, hits, misses, hit_ratio: ratio(hits, misses) },
        tiers: levels,
        loads: stats.loads,
        flights: stats.flights,
        evictions: evictions(state),
        policy: Policy::of(tiers, &stats),
        databases,
        redis: (state.activity)(),
        http: Http {
            connections: state.traffic.connections(),
            connections_total: state.traffic.connections_total(),
            requests_total: answers.iter().sum(),
            answers,
        },
        process: process::usage(),
        server: Server {
            redis_address: state.facts.redis_address.clone(),
            http_address: state.facts.http_address.clone(),
            tls: state.facts.tls,
            password: state.live.password().is_some(),
            settings: state.live.settings(),
        },
    }
}

fn tier(state: &HttpState, stats: &TierStats, healths: &[(Tier, State)]) -> TierSnapshot {
    let store = state.keyspace.tiers().lower().iter().find(|lower| lower.tier == stats.tier);
    let capacity = state.facts.capacities.iter().find(|(tier, _)| *tier == stats.tier);
    TierSnapshot {
        stats: *stats,
        store: store.map_or("memory", |lower| lower.store.name()).to_owned(),
        state: healths.iter().find(|(tier, _)| *tier == stats.tier).map_or(State::Up, |(_, state)| *state),
        hit_ratio: ratio(stats.hits, stats.misses),
        entries: None,
        bytes: None,
        capacity_bytes: capacity.map(|(_, bytes)| *bytes),
    }
}

/// The hot tier tells its causes; keys leave the store that decides only to make room for others.
fn evictions(state: &HttpState) -> Vec<Eviction> {
    let tiers = state.keyspace.tiers();
    let hot = tiers.hot_left().into_iter().map(|(cause, count)| Eviction { tier: Tier::Hot, cause, count });
    let below = tiers.lower().iter().filter(|lower| is_authority(state, lower.tier)).map(|lower| Eviction {
        tier: lower.tier,
        cause: "capacity",
        count: state.keyspace.evicted(),
    });
    hot.chain(below).collect()
}

fn is_authority(state: &HttpState, tier: Tier) -> bool {
    let lower = state.keyspace.tiers().lower().iter().rfind(|lower| lower.tier == tier);
    lower.is_some_and(|lower| std::sync::Arc::ptr_eq(&lower.store, state.keyspace.authority()))
}

/// The databases that hold anything. A store that cannot say shows none, and says why by its health.
async fn databases(state: &HttpState) -> Vec<Database> {
    let mut all = Vec::new();
    let Some(iterate) = state.keyspace.authority().as_iterate() else { return all };
    for db in 0..DATABASES {
        let Some(namespace) = state.keyspace.namespace(db) else { continue };
        let keys = iterate.count(namespace).await.unwrap_or(0);
        if keys > 0 {
            all.push(Database { db, keys, bytes: iterate.bytes(namespace).await.unwrap_or(0) });
        }
    }
    all
}

/// The state of every tier below the hot one, and what is wrong.
pub(crate) async fn healths(state: &HttpState) -> (Vec<(Tier, State)>, Vec<String>) {
    let mut reasons = Vec::new();
    let mut states = Vec::new();
    for (tier, health) in state.keyspace.tiers().health().await {
        states.push((
            tier,
            match health {
                Health::Up => State::Up,
                Health::Degraded(reason) => {
                    reasons.push(format!("{tier}: {reason}"));
                    State::Degraded
                }
                Health::Down(reason) => {
                    reasons.push(format!("{tier}: {reason}"));
                    State::Down
                }
            },
        ));
    }
    (states, reasons)
}
