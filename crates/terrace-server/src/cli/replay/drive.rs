//! Drives a cache with a trace: clients that take requests in turn, a loader that takes its time, and a look at
//! every value.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use terrace::tiers::histogram::{Histogram, Latencies};
use terrace::{Cache, Lookup, Tier};
use terrace_sim::Trace;
use tokio::task::JoinSet;

use super::value;
use crate::exit::{Exit, Failure};

/// So many requests a client makes before it lets others run, hits being answered without ever waiting.
const TURN: u64 = 32;

/// What is asked of the cache.
pub(super) struct Plan {
    pub(super) trace: Trace,
    pub(super) clients: usize,
    pub(super) loader_latency: Duration,
    /// The length of a value whose length the trace does not know.
    pub(super) unknown: u32,
}

/// What one tier answered; the origin is the loader.
#[derive(Default)]
struct Answers {
    count: AtomicU64,
    bytes: AtomicU64,
    latency: Histogram,
}

/// What one tier answered, as figures.
pub(super) struct Share {
    pub(super) tier: Tier,
    pub(super) hits: u64,
    pub(super) bytes: u64,
    pub(super) latency: Latencies,
}

/// What came of it.
pub(super) struct Outcome {
    pub(super) requests: u64,
    pub(super) shares: Vec<Share>,
    pub(super) loads: u64,
    pub(super) loaded_bytes: u64,
    pub(super) took: Duration,
}

const TIERS: [Tier; 3] = [Tier::Hot, Tier::Cold, Tier::Origin];

#[derive(Default)]
struct Tally {
    next: AtomicU64,
    done: AtomicU64,
    tiers: [Answers; TIERS.len()],
    loads: AtomicU64,
    loaded_bytes: AtomicU64,
    failure: Mutex<Option<Failure>>,
}

impl Tally {
    fn answered(&self, tier: Tier, bytes: usize, took: Duration) {
        let Some(place) = TIERS.iter().position(|other| *other == tier) else { return };
        self.tiers[place].count.fetch_add(1, Ordering::Relaxed);
        self.tiers[place].bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.tiers[place].latency.record(took);
    }

    /// The first failure ends the replay.
    fn failed(&self, failure: Failure) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
        self.next.store(u64::MAX / 2, Ordering::Relaxed);
    }
}

/// Makes all requests, and tells now and then how many are done.
///
/// # Errors
/// `Wrong` if a value is not the value of its key, `Refused` if the cache fails.
pub(super) async fn drive(
    cache: &Cache<u64, Bytes>,
    plan: &Arc<Plan>,
    mut progress: impl FnMut(u64),
) -> Result<Outcome, Failure> {
    let tally = Arc::new(Tally::default());
    let begun = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..plan.clients {
        clients.spawn(client(cache.clone(), Arc::clone(plan), Arc::clone(&tally)));
    }
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    loop {
        tokio::select! {
            ended = clients.join_next() => match ended {
                Some(Ok(())) => {}
                Some(Err(error)) => tally.failed(Failure::new(Exit::Internal, format!("a client ended badly: {error}"))),
                None => break,
            },
            _ = tick.tick() => progress(tally.done.load(Ordering::Relaxed)),
        }
    }
    if let Some(failure) = tally.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(failure);
    }
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let share = |(tier, answers): (&Tier, &Answers)| Share {
        tier: *tier,
        hits: get(&answers.count),
        bytes: get(&answers.bytes),
        latency: answers.latency.latencies(),
    };
    Ok(Outcome {
        requests: get(&tally.done),
        shares: TIERS.iter().zip(&tally.tiers).map(share).collect(),
        loads: get(&tally.loads),
        loaded_bytes: get(&tally.loaded_bytes),
        took: begun.elapsed(),
    })
}

/// Takes the next request until there is none.
async fn client(cache: Cache<u64, Bytes>, plan: Arc<Plan>, tally: Arc<Tally>) {
    for turn in 1.. {
        let number = tally.next.fetch_add(1, Ordering::Relaxed);
        let Some(record) = usize::try_from(number).ok().and_then(|number| plan.trace.records().get(number))
        else {
            return;
        };
        let length = if record.size <= 1 { plan.unknown } else { record.size };
        match request(&cache, &plan, &tally, record.key, length as usize).await {
            Ok(()) => tally.done.fetch_add(1, Ordering::Relaxed),
            Err(failure) => return tally.failed(failure),
        };
        if turn % TURN == 0 {
            tokio::task::yield_now().await;
        }
    }
}

async fn request(
    cache: &Cache<u64, Bytes>,
    plan: &Arc<Plan>,
    tally: &Arc<Tally>,
    key: u64,
    length: usize,
) -> Result<(), Failure> {
    let begun = Instant::now();
    let (tier, found) = match cache.lookup(&key).await.map_err(|error| failed(&error))? {
        Lookup::Hit(item) => (item.tier, item.value),
        _ => (Tier::Origin, load(cache, plan, tally, key, length).await?),
    };
    tally.answered(tier, found.len(), begun.elapsed());
    if value::is_right(key, &found) {
        return Ok(());
    }
    let reason =
        format!("the {tier} tier gave {} bytes for key {key} that were never written for it", found.len());
    Err(Failure::new(Exit::Wrong, reason))
}

async fn load(
    cache: &Cache<u64, Bytes>,
    plan: &Arc<Plan>,
    tally: &Arc<Tally>,
    key: u64,
    length: usize,
) -> Result<Bytes, Failure> {
    let (latency, tally) = (plan.loader_latency, Arc::clone(tally));
    let loaded = cache.get_or_load(&key, move |loading| async move {
        // The bytes lie outside of the type, where the cache cannot see them.
        loading.weight(u32::try_from(size_of::<Bytes>() + length).unwrap_or(u32::MAX));
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        tally.loads.fetch_add(1, Ordering::Relaxed);
        tally.loaded_bytes.fetch_add(length as u64, Ordering::Relaxed);
        Ok::<Bytes, terrace::Error>(value::make(key, length))
    });
    loaded.await.map_err(|error| failed(&error))
}

fn failed(error: &terrace::Error) -> Failure {
    Failure::new(Exit::Refused, format!("the cache failed: {error}"))
}
