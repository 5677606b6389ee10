//! Runs a trace through a policy and reports what it hit.
//!
//! Decision: a named policy is driven directly, as one shard, which is what the literature measures; the code
//! is the one that ships. `terrace` runs the engine as it is configured by default, with its hash table,
//! budget and locks, so its figure is a figure of the product. Weights are the object alone, without the
//! engine's overhead, so that capacities mean the same for every policy. Hashes are seeded: a replay repeats.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Instant;

use serde::Serialize;
use terrace_memory::eviction::Aim;

use crate::bound::upper_bound;
use crate::engine::shipped_on_threads;
use crate::policies::{ENGINE, Kind, POLICIES, find};
use crate::source::Trace;
use crate::trace::Record;

/// Progress is told once in this many requests.
pub(crate) const PROGRESS_STEP: usize = 1 << 16;
/// Any seed would do; it only has to stay the same.
pub(crate) const SEED: u64 = 0x7e44_ace5;

/// What a capacity counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// Every object counts one.
    #[default]
    Objects,
    /// An object counts its size when it came in.
    Bytes,
}

/// How a trace is replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The cache's size in entries or bytes.
    pub capacity: u64,
    /// Which of them it is.
    pub unit: Unit,
    /// What policies should hit that can serve either aim: `adaptive` and `terrace`.
    pub aim: Aim,
    /// On how many threads. More than one only for `terrace`, and then what hits may differ from run to run: they take
    /// requests from the trace in small pieces, so it is replayed nearly in its order.
    pub threads: NonZeroUsize,
}

impl Setting {
    /// On one thread, with the usual aim of hitting many requests.
    pub fn new(capacity: u64, unit: Unit) -> Self {
        Setting { capacity, unit, aim: Aim::Objects, threads: NonZeroUsize::MIN }
    }
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
    /// The bytes of the requests that hit divided by the bytes of all; `None` where no bytes were counted.
    pub byte_hit_ratio: Option<f64>,
    /// Wall time of the replay divided by requests, in nanoseconds.
    pub ns_per_request: f64,
    /// Heap bytes per entry held at the end: of the policy, or for `terrace` of the whole engine, keys (8
    /// bytes each) included; `None` where nothing is held or the future was known.
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
    /// An optimum for objects of one size was asked for in bytes.
    NoOptimumForSizes,
    /// More than one thread was asked for, and the policy is not `terrace`.
    OneThreadOnly(String),
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReplayError::UnknownPolicy(name) => {
                write!(f, "no policy is named `{name}`; there are {}", POLICIES.join(", "))
            }
            ReplayError::NoOptimumForSizes => f.write_str(
                "the optimum is exact only for objects of one size: count objects, or leave `opt` and `min` \
                 out; `bound` is an upper bound for objects of any size",
            ),
            ReplayError::OneThreadOnly(name) => {
                write!(f, "`{name}` is replayed on one thread: only `terrace`, the engine, takes several")
            }
        }
    }
}

impl std::error::Error for ReplayError {}

/// Replays a trace through a policy of this capacity, on one thread. `progress` is told now and then how many requests
/// are done (clairvoyant ones tell only of their end).
///
/// # Errors
///
/// As [`replay_in`].
///
/// # Panics
///
/// As [`replay_in`].
pub fn replay(
    trace: &Trace,
    policy: &str,
    capacity: u64,
    unit: Unit,
    progress: &mut dyn FnMut(u64),
) -> Result<Report, ReplayError> {
    replay_in(trace, policy, Setting::new(capacity, unit), progress)
}

/// Replays a trace through a policy in this setting.
///
/// # Errors
///
/// [`ReplayError::UnknownPolicy`]; [`ReplayError::NoOptimumForSizes`] for `opt` and `min` in bytes;
/// [`ReplayError::OneThreadOnly`] for several threads and another policy than `terrace`.
///
/// # Panics
///
/// If a policy or the engine ever holds more than its capacity or its books do not balance. A hit ratio bought
/// with more memory than allowed would be worthless, and it would be a defect here.
pub fn replay_in(
    trace: &Trace,
    policy: &str,
    setting: Setting,
    progress: &mut dyn FnMut(u64),
) -> Result<Report, ReplayError> {
    let kind = find(policy)?;
    let Setting { capacity, unit, aim, threads } = setting;
    let run = Run { trace, capacity, unit, aim };
    let start = Instant::now();
    let done = trace.records().len() as u64;
    let outcome = match kind {
        _ if threads.get() > 1 && policy != ENGINE => {
            return Err(ReplayError::OneThreadOnly(policy.to_string()));
        }
        Kind::Driven(_) if threads.get() > 1 => {
            let outcome = shipped_on_threads(&run, threads.get());
            progress(done);
            outcome
        }
        Kind::Driven(drive) => drive(&run, progress),
        Kind::Bound => run.bound(progress),
        Kind::Clairvoyant(_) if unit == Unit::Bytes => return Err(ReplayError::NoOptimumForSizes),
        Kind::Clairvoyant(hits) => {
            let hits = hits(trace, capacity);
            progress(done);
            Outcome { hits, ..Outcome::default() }
        }
    };
    Ok(run.report(policy, outcome, start.elapsed().as_nanos() as f64))
}

/// One trace at one capacity.
pub(crate) struct Run<'a> {
    pub(crate) trace: &'a Trace,
    pub(crate) capacity: u64,
    pub(crate) unit: Unit,
    pub(crate) aim: Aim,
}

/// What a replay counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) hits: u64,
    /// The bytes of all requests, and of those that hit.
    pub(crate) bytes: u64,
    pub(crate) hit_bytes: u64,
    pub(crate) bytes_per_entry: Option<f64>,
}

impl Outcome {
    #[inline]
    pub(crate) fn count(&mut self, hit: bool, record: &Record) {
        let size = u64::from(record.size);
        self.hits += u64::from(hit);
        self.bytes += size;
        self.hit_bytes += if hit { size } else { 0 };
    }
}

impl Outcome {
    /// Both together.
    pub(crate) fn and(self, other: Outcome) -> Outcome {
        Outcome {
            hits: self.hits + other.hits,
            bytes: self.bytes + other.bytes,
            hit_bytes: self.hit_bytes + other.hit_bytes,
            bytes_per_entry: None,
        }
    }
}

impl Run<'_> {
    /// What a request's object weighs.
    #[inline]
    pub(crate) fn weight(&self, record: &Record) -> u32 {
        match self.unit {
            Unit::Objects => 1,
            Unit::Bytes => record.size,
        }
    }

    fn bound(&self, progress: &mut dyn FnMut(u64)) -> Outcome {
        let bound = upper_bound(self.trace, self.capacity, |size| match self.unit {
            Unit::Objects => 1,
            Unit::Bytes => size,
        });
        progress(self.trace.records().len() as u64);
        let bytes = self.trace.records().iter().map(|record| u64::from(record.size)).sum();
        Outcome { hits: bound.hits, bytes, hit_bytes: bound.hit_bytes, bytes_per_entry: None }
    }

    pub(crate) fn report(&self, policy: &str, outcome: Outcome, nanoseconds: f64) -> Report {
        let requests = self.trace.records().len() as u64;
        let per_request = |total: f64| if requests == 0 { 0.0 } else { total / requests as f64 };
        Report {
            trace: self.trace.name().to_string(),
            policy: policy.to_string(),
            capacity: self.capacity,
            requests,
            hits: outcome.hits,
            hit_ratio: per_request(outcome.hits as f64),
            byte_hit_ratio: (outcome.bytes > 0).then(|| outcome.hit_bytes as f64 / outcome.bytes as f64),
            ns_per_request: per_request(nanoseconds),
            bytes_per_entry: outcome.bytes_per_entry,
        }
    }
}
