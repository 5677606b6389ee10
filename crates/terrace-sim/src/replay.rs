//! Runs a trace through a policy and reports what it hit.
//!
//! Decision: the policies run inside the engine that ships, with its hash table, budget and locks, so a figure
//! here is a figure of the product. A named policy runs on one shard, which is what the literature measures;
//! `terrace` runs the engine as it is configured by default. Weights are the object alone, without the
//! engine's overhead, so that capacities mean the same for every policy. The hash is seeded: a replay repeats.

use std::fmt;
use std::time::Instant;

use serde::Serialize;
use terrace_memory::eviction::{Fifo, Lru, Policy, S3Fifo};
use terrace_memory::{Config, Memory, Options, RandomHash};

use crate::opt::optimal_hits;
use crate::source::Trace;

/// The policies [`replay`] knows.
pub const POLICIES: [&str; 5] = ["opt", "lru", "fifo", "s3fifo", "terrace"];

/// Progress is told once in this many requests.
const PROGRESS_STEP: usize = 1 << 16;
/// Any seed would do; it only has to stay the same.
const SEED: u64 = 0x7e44_ace5;

/// What a capacity counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// Every object counts one.
    #[default]
    Objects,
    /// An object counts its size when it came in.
    Bytes,
}

/// The outcome of one replay; serialises to the fields of one line of a report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The trace's name.
    pub trace: String,
    /// The policy's name.
    pub policy: String,
    /// Entries or bytes.
    pub capacity: u64,
    /// How many requests were made.
    pub requests: u64,
    /// How many of them hit.
    pub hits: u64,
    /// Hits divided by requests; 0 for an empty trace.
    pub hit_ratio: f64,
    /// Wall time of the replay divided by requests, in nanoseconds.
    pub ns_per_request: f64,
    /// Heap bytes of the engine per entry held at the end, keys (8 bytes each) included; `None` where no
    /// engine ran or none are held.
    pub bytes_per_entry: Option<f64>,
}

impl Report {
    /// The report as one line of JSON.
    pub fn to_json(&self) -> String {
        // A struct of strings and numbers always serialises.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Why a replay cannot be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayError {
    /// There is no such policy.
    UnknownPolicy(String),
    /// The optimum was asked for in bytes.
    NoOptimumForSizes,
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReplayError::UnknownPolicy(name) => {
                write!(f, "no policy is named `{name}`; there are {}", POLICIES.join(", "))
            }
            ReplayError::NoOptimumForSizes => f.write_str(
                "the optimum is exact only for objects of one size: count objects, or leave `opt` out",
            ),
        }
    }
}

impl std::error::Error for ReplayError {}

/// Replays a trace through a policy of this capacity. `progress` is told now and then how many requests are
/// done (the optimum tells only of its end).
///
/// # Errors
///
/// [`ReplayError::UnknownPolicy`], and [`ReplayError::NoOptimumForSizes`] for `opt` in bytes.
///
/// # Panics
///
/// If the engine ever holds more than its capacity or its books do not balance. A hit ratio bought with more
/// memory than allowed would be worthless, and it would be a defect of the engine.
pub fn replay(
    trace: &Trace,
    policy: &str,
    capacity: u64,
    unit: Unit,
    progress: &mut dyn FnMut(u64),
) -> Result<Report, ReplayError> {
    let run = Run { trace, capacity, unit };
    let one_shard = Config::entries(capacity).shards(1);
    let outcome = match policy {
        "opt" if unit == Unit::Bytes => return Err(ReplayError::NoOptimumForSizes),
        "opt" => run.optimum(progress),
        "lru" => run.engine::<Lru>(one_shard, progress),
        "fifo" => run.engine::<Fifo>(one_shard, progress),
        "s3fifo" => run.engine::<S3Fifo>(one_shard, progress),
        "terrace" => {
            // The type without arguments is the engine with its default policy, whichever that is.
            let shipped: Memory<u64, ()> = Memory::with_hasher(run.as_shipped(), RandomHash::seeded(SEED));
            run.memory(&shipped, progress)
        }
        _ => return Err(ReplayError::UnknownPolicy(policy.to_string())),
    };
    let requests = trace.records().len() as u64;
    let per_request = |total: f64| if requests == 0 { 0.0 } else { total / requests as f64 };
    Ok(Report {
        trace: trace.name().to_string(),
        policy: policy.to_string(),
        capacity,
        requests,
        hits: outcome.hits,
        hit_ratio: per_request(outcome.hits as f64),
        ns_per_request: per_request(outcome.nanoseconds),
        bytes_per_entry: outcome.bytes_per_entry,
    })
}

struct Run<'a> {
    trace: &'a Trace,
    capacity: u64,
    unit: Unit,
}

struct Outcome {
    hits: u64,
    nanoseconds: f64,
    bytes_per_entry: Option<f64>,
}

impl Run<'_> {
    fn optimum(&self, progress: &mut dyn FnMut(u64)) -> Outcome {
        let start = Instant::now();
        let hits = optimal_hits(self.trace.records(), self.capacity);
        let nanoseconds = start.elapsed().as_nanos() as f64;
        progress(self.trace.records().len() as u64);
        Outcome { hits, nanoseconds, bytes_per_entry: None }
    }

    fn engine<P: Policy>(&self, config: Config, progress: &mut dyn FnMut(u64)) -> Outcome {
        self.memory::<P>(&Memory::with_hasher(config, RandomHash::seeded(SEED)), progress)
    }

    /// The default configuration but for the overhead. The number of shards is the one a cache of this many
    /// bytes or entries would get.
    fn as_shipped(&self) -> Config {
        let shards = match self.unit {
            Unit::Objects => None,
            Unit::Bytes => Some(Config::bytes(self.capacity).shard_count()),
        };
        Config { shards, ..Config::entries(self.capacity) }
    }

    fn memory<P: Policy>(&self, memory: &Memory<u64, (), P>, progress: &mut dyn FnMut(u64)) -> Outcome {
        let start = Instant::now();
        let (mut hits, mut done) = (0, 0);
        for chunk in self.trace.records().chunks(PROGRESS_STEP) {
            for record in chunk {
                let now = u64::from(record.time) * 1000;
                if memory.get(&record.key, now).is_some() {
                    hits += 1;
                } else {
                    let weight = match self.unit {
                        Unit::Objects => 1,
                        Unit::Bytes => u64::from(record.size),
                    };
                    drop(memory.insert(record.key, (), Options::weighing(weight), now));
                }
                let weight = memory.weight();
                assert!(weight <= self.capacity, "{} holds {weight} of {}", P::NAME, self.capacity);
            }
            done += chunk.len() as u64;
            progress(done);
        }
        let nanoseconds = start.elapsed().as_nanos() as f64;
        assert_eq!(memory.check(), Ok(()), "the books of {} do not balance", P::NAME);
        let entries = memory.len();
        let bytes_per_entry = (entries > 0).then(|| memory.footprint() as f64 / entries as f64);
        Outcome { hits, nanoseconds, bytes_per_entry }
    }
}
