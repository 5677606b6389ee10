//! What learning costs: the default policy beside the same structure with its adaptation switched off.
//!
//! ```text
//! cargo run --release -p terrace-sim --example cost [-- REQUESTS [ROUNDS]]
//! ```
//!
//! Zipf 0.9 over ten times as many keys as entries, through the policy alone and through the engine, in turns. Told is the
//! least time of the rounds: what else the machine does can only add to it.

use std::error::Error;
use std::time::Instant;

use terrace_memory::eviction::{Adaptive, Policy, Unadapted};
use terrace_memory::{Config, Memory, Options, RandomHash};
use terrace_sim::{Trace, Unit, replay};

const CAPACITIES: [u64; 6] = [100, 300, 1000, 3000, 10_000, 100_000];

/// Nanoseconds a request through the engine.
fn engine<P: Policy>(trace: &Trace, entries: u64, round: u64) -> f64 {
    let hasher = RandomHash::seeded(round);
    let memory: Memory<u64, (), P> = Memory::with_hasher(Config::entries(entries), hasher);
    let start = Instant::now();
    for record in trace.records() {
        if memory.get(&record.key, 0).is_none() {
            drop(memory.insert(record.key, (), Options::default(), 0));
        }
    }
    start.elapsed().as_nanos() as f64 / trace.records().len() as f64
}

/// Nanoseconds a request through a policy alone.
fn alone(trace: &Trace, policy: &str, entries: u64) -> Result<f64, Box<dyn Error>> {
    Ok(replay(trace, policy, entries, Unit::Objects, &mut |_| {})?.ns_per_request)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let requests: u64 = words.next().map_or(Ok(1_000_000), |word| word.parse())?;
    let rounds: u64 = words.next().map_or(Ok(5), |word| word.parse())?;
    println!("{requests} requests, ns each, the least of {rounds} rounds");
    println!("{:>8}  {:^25}  {:^25}", "entries", "policy: on, off", "engine: on, off");
    for entries in CAPACITIES {
        let trace = Trace::open(&format!("zipf:keys={},theta=0.9,requests={requests}", 10 * entries))?;
        let mut least = [f64::MAX; 4];
        for round in 0..rounds {
            let found = [
                alone(&trace, "adaptive", entries)?,
                alone(&trace, "adaptive-off", entries)?,
                engine::<Adaptive>(&trace, entries, round),
                engine::<Unadapted>(&trace, entries, round),
            ];
            for (least, found) in least.iter_mut().zip(found) {
                *least = least.min(found);
            }
        }
        let [on, off, engine_on, engine_off] = least;
        println!(
            "{entries:>8}  {on:>7.1} {off:>7.1} {:>6.2} x  {engine_on:>7.1} {engine_off:>7.1} {:>6.2} x",
            on / off,
            engine_on / engine_off
        );
    }
    Ok(())
}
