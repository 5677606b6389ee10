//! The engine that ships, replayed as a cache that is filled on demand.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use terrace_memory::{Config, Memory, Options, RandomHash};

use crate::replay::{Outcome, PROGRESS_STEP, Run, SEED, Unit};
use crate::trace::Record;

/// The engine with its default policy, whichever that is.
type Shipped = Memory<u64, ()>;

/// Replays a whole trace through the engine on this thread.
pub(crate) fn shipped(run: &Run<'_>, progress: &mut dyn FnMut(u64)) -> Outcome {
    let memory = open(run);
    let mut outcome = Outcome::default();
    let mut done = 0;
    for chunk in run.trace.records().chunks(PROGRESS_STEP) {
        for record in chunk {
            outcome.count(request(&memory, run, record), record);
        }
        done += chunk.len() as u64;
        progress(done);
    }
    close(&memory, outcome)
}

/// Requests a thread takes from the trace at once: few, so that no thread runs far ahead.
const PIECE: usize = 64;

/// Replays a whole trace through the engine on so many threads.
pub(crate) fn shipped_on_threads(run: &Run<'_>, threads: usize) -> Outcome {
    let memory = open(run);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut outcome = Outcome::default();
        loop {
            let start = next.fetch_add(PIECE, Ordering::Relaxed);
            let Some(rest) = run.trace.records().get(start..).filter(|rest| !rest.is_empty()) else {
                return outcome;
            };
            for record in rest.iter().take(PIECE) {
                outcome.count(request(&memory, run, record), record);
            }
        }
    };
    let outcome = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let outcomes = workers.into_iter().map(|worker| match worker.join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        outcomes.fold(Outcome::default(), Outcome::and)
    });
    close(&memory, outcome)
}

/// The default configuration but for the overhead and the aim. The number of shards is the one a cache of this many bytes
/// or entries would get.
fn open(run: &Run<'_>) -> Shipped {
    let shards = match run.unit {
        Unit::Objects => None,
        Unit::Bytes => Some(Config::bytes(run.capacity).shard_count()),
    };
    let config = Config { shards, aim: run.aim, ..Config::entries(run.capacity) };
    Memory::with_hasher(config, RandomHash::seeded(SEED))
}

/// Asks for a key, stores it if it is not there, and tells whether it was.
fn request(memory: &Shipped, run: &Run<'_>, record: &Record) -> bool {
    let now = u64::from(record.time) * 1000;
    let hit = memory.get(&record.key, now).is_some();
    if !hit {
        let options = Options::weighing(u64::from(run.weight(record)));
        drop(memory.insert(record.key, (), options, now));
    }
    let weight = memory.weight();
    assert!(weight <= run.capacity, "the engine holds {weight} of {}", run.capacity);
    hit
}

fn close(memory: &Shipped, mut outcome: Outcome) -> Outcome {
    assert_eq!(memory.check(), Ok(()), "the engine's books do not balance");
    let entries = memory.len();
    outcome.bytes_per_entry = (entries > 0).then(|| memory.footprint() as f64 / entries as f64);
    outcome
}
