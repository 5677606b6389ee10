//! Suite `tiers`: what the coordinator adds to a hit, and what it costs when many ask for the same absent key.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use terrace::store::block_on::poll_once;
use terrace::{Cache, Size};
use tokio::runtime::{Builder, Runtime};

use crate::keys::{self, Law};
use crate::measure::{in_turns, process_cpu_ns, timed};
use crate::report::{Against, COST, Metric, Report, Row};
use crate::suite::{Failure, Plan};

pub(super) fn run(plan: &Plan, report: &mut Report) -> Result<(), Failure> {
    hits(plan, report)?;
    flights(plan, report)
}

const ENTRIES: usize = 10_000;

/// `get_or_load` of keys that are there, against `get` of the same.
fn hits(plan: &Plan, report: &mut Report) -> Result<(), Failure> {
    let cache = Cache::<u64, u64>::builder("hits").hot(64.mib()).build_blocking()?;
    for key in keys::all(ENTRIES)? {
        cache.blocking().put(key, key)?;
    }
    let order = keys::order(Law::Uniform, ENTRIES, plan.operations(1_000_000))?;
    let read = |key: &u64| poll_once(cache.get(key)).ok().and_then(Result::ok).flatten();
    let load = |key: &u64| {
        let loader = |_| std::future::ready(Ok::<u64, std::io::Error>(0));
        poll_once(cache.get_or_load(key, loader)).ok().and_then(Result::ok)
    };
    let sample = |subject: usize| -> Result<Vec<f64>, Failure> {
        let wrong = AtomicUsize::new(0);
        let cost = timed(1, |_| {
            let found = match subject {
                0 => order.iter().filter(|key| black_box(load(key)) == Some(**key)).count(),
                _ => order.iter().filter(|key| black_box(read(key)) == Some(**key)).count(),
            };
            wrong.store(order.len() - found, Ordering::Relaxed);
            found
        });
        match wrong.into_inner() {
            0 => Ok(cost.figures()),
            wrong => Err(format!("{wrong} of {} reads were wrong", order.len()).into()),
        }
    };
    in_turns(1, 2, sample)?;
    let mut figures = in_turns(plan.rounds, 2, sample)?.into_iter();
    let mut row = |subject, against| Row { subject, against, rounds: figures.next().unwrap_or_default() };
    let rows = [row("terrace get_or_load", Against::just("terrace get")), row("terrace get", None)];
    Ok(report.case("hit of get_or_load 10k uniform 1t", &COST, &rows)?)
}

/// How many ask for a key at once.
const ASKERS: usize = 8;

/// What a key costs all who ask for it together, in this whole process.
const PER_KEY: [Metric; 1] = [Metric { name: "cpu", unit: "ns/key" }];

/// Eight ask for an absent key whose load yields once; all must get the value of one load.
fn flights(plan: &Plan, report: &mut Report) -> Result<(), Failure> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let keys = plan.operations(50_000);
    let mut batch = 0;
    let mut sample = |subject: usize| -> Result<Vec<f64>, Failure> {
        batch += 1;
        let keys = keys::fresh(batch, keys)?;
        let loads = Arc::new(AtomicUsize::new(0));
        let cpu_ns = match subject {
            0 => terrace_flights(&runtime, &keys, &loads)?,
            _ => moka_flights(&runtime, &keys, &loads)?,
        };
        match loads.load(Ordering::Relaxed) {
            loads if loads == keys.len() => Ok(vec![cpu_ns / keys.len() as f64]),
            loads => Err(format!("{loads} loads of {} keys", keys.len()).into()),
        }
    };
    in_turns(1, 2, &mut sample)?;
    let mut figures = in_turns(plan.rounds, 2, &mut sample)?.into_iter();
    let mut row = |subject, against| Row { subject, against, rounds: figures.next().unwrap_or_default() };
    let rows = [row("terrace", Against::just("moka")), row("moka", None)];
    Ok(report.case("single flight, 8 ask for an absent key", &PER_KEY, &rows)?)
}

/// What every load does: it counts itself, lets the others ask, and answers.
async fn load(key: u64, loads: Arc<AtomicUsize>) -> u64 {
    loads.fetch_add(1, Ordering::Relaxed);
    tokio::task::yield_now().await;
    key
}

/// Lets this many ask at once, in one task: no answer is waited for before all have asked.
async fn ask<F: Future<Output = Option<u64>>>(key: u64, one: impl Fn() -> F) -> Result<(), Failure> {
    let answers: [Option<u64>; ASKERS] =
        tokio::join!(one(), one(), one(), one(), one(), one(), one(), one()).into();
    if answers.iter().all(|answer| *answer == Some(key)) {
        return Ok(());
    }
    Err(format!("asked for {key}, got {answers:?}").into())
}

fn terrace_flights(runtime: &Runtime, keys: &[u64], loads: &Arc<AtomicUsize>) -> Result<f64, Failure> {
    runtime.block_on(async {
        let cache = Cache::<u64, u64>::builder("flights").hot(256.mib()).build().await?;
        let before = process_cpu_ns();
        for &key in keys {
            ask(key, || async {
                let loads = Arc::clone(loads);
                let get = cache.get_or_load(&key, move |_| async move {
                    Ok::<u64, std::io::Error>(load(key, loads).await)
                });
                get.await.ok()
            })
            .await?;
        }
        let spent = process_cpu_ns() - before;
        cache.close().await?;
        Ok(spent)
    })
}

fn moka_flights(runtime: &Runtime, keys: &[u64], loads: &Arc<AtomicUsize>) -> Result<f64, Failure> {
    runtime.block_on(async {
        let cache = moka::future::Cache::<u64, u64>::new(2 * keys.len() as u64);
        let before = process_cpu_ns();
        for &key in keys {
            ask(key, || async { Some(cache.get_with(key, load(key, Arc::clone(loads))).await) }).await?;
        }
        Ok(process_cpu_ns() - before)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_who_ask_at_once_share_one_load() {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let keys: Vec<u64> = (0..20).collect();
        for flights in [terrace_flights, moka_flights] {
            let loads = Arc::new(AtomicUsize::new(0));
            assert!(flights(&runtime, &keys, &loads).unwrap() > 0.0);
            assert_eq!(loads.load(Ordering::Relaxed), keys.len());
        }
    }
}
