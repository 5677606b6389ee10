//! What a store's reads and writes cost: `store_cost [URL] [KEYS] [BYTES] [ROUNDS]`, for example
//! `cargo run --release -p terrace-backends --example store_cost fjall:/tmp/cost 200000 100`.
//!
//! Puts are deferred, in batches of 16 with one commit each, as a server does for a pipeline. CPU time is that of
//! the whole process, the store's own threads included. Single gets and puts are also told by their quantiles.

use std::error::Error;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use terrace_backends::registry;
use terrace_store::block_on::poll_once;
use terrace_store::tokio_runtime::{TokioClock, TokioSpawn};
use terrace_store::{BoxFuture, Entry, Key, Namespace, PutOptions, Result, Store, block_on};

/// User and system time of this process, in microseconds, by the kernel's count of hundredths of a second.
fn cpu_us() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) * 10_000.0
}

/// Completes a future, in place if it can be.
fn now<T>(future: BoxFuture<'_, T>) -> T {
    poll_once(future).unwrap_or_else(block_on)
}

fn measure(what: &str, operations: usize, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let (cpu, wall) = (cpu_us(), Instant::now());
    work()?;
    let (n, wall) = (operations as f64, wall.elapsed().as_secs_f64() * 1e6);
    println!("{what:<24} {:>8.2} us CPU  {:>8.2} us wall", (cpu_us() - cpu) / n, wall / n);
    Ok(())
}

fn put_all(store: &dyn Store, keys: &[Key], entry: impl Fn(usize) -> Entry, deferred: bool) -> Result<()> {
    for (n, key) in keys.iter().enumerate() {
        let options = PutOptions { deferred, ..PutOptions::default() };
        let _ = now(store.put(key, entry(n), options))?;
        if deferred && n % 16 == 15 {
            now(store.commit())?;
        }
    }
    now(store.commit())
}

/// Does something for each key, and tells how long half of them took, and all but a hundredth.
fn quantiles(what: &str, keys: &[Key], mut work: impl FnMut(&Key) -> Result<()>) -> Result<()> {
    let mut times = Vec::with_capacity(keys.len());
    for key in keys {
        let began = Instant::now();
        work(key)?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    let at = |part: usize| times.get(times.len() * part / 100).map_or(0.0, |time| time.as_secs_f64() * 1e6);
    println!("{what:<24} {:>8.1} us p50  {:>8.1} us p99", at(50), at(99));
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| "memory:".into());
    let mut number = |default: usize| arguments.next().map_or(Ok(default), |text| text.parse());
    let (count, bytes, rounds) = (number(200_000)?, number(100)?, number(2)?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let _entered = runtime.enter();
    let store = registry::open(&url, Arc::new(TokioClock::current()?), Arc::new(TokioSpawn::current()?))?;
    let (namespace, value) = (Namespace::new("0")?, vec![b'v'; bytes]);
    let mut keys = Vec::with_capacity(count);
    for n in 0..count {
        keys.push(namespace.key(format!("key:{:012}", (n * 7_919) % count))?);
    }
    let plain = |_| Entry::new(Bytes::copy_from_slice(&value));
    let far = |n: usize| Entry { expires_ms: NonZeroU64::new((1 << 45) + n as u64), ..plain(n) };
    for _ in 0..rounds {
        measure("put by 16", count, || put_all(&*store, &keys, plain, true))?;
        measure("get", count, || {
            for key in &keys {
                assert!(now(store.get(key))?.is_some(), "{key:?} is gone");
            }
            Ok(())
        })?;
    }
    measure("put by 16 with a TTL", count, || put_all(&*store, &keys, far, true))?;
    measure("put one by one", count, || put_all(&*store, &keys, plain, false))?;
    quantiles("put", &keys, |key| now(store.put(key, plain(0), PutOptions::default())).map(drop))?;
    quantiles("get", &keys, |key| now(store.get(key)).map(drop))?;
    measure("close", 1, || now(store.close()))?;
    Ok(())
}
