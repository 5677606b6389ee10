//! What a layer adds to a call of the bare store, in time, on the heap and in what is stored.
//!
//! Decision: the bare store is the one in memory, which does next to nothing, so what a layer adds is most of what is seen.
//! Futures are polled in place, as by a caller whose store answers at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use terrace_layers::World;
use terrace_store::block_on::poll_once;
use terrace_store::capability::Iterate;
use terrace_store::rng::SplitMix;
use terrace_store::tokio_runtime::{TokioClock, TokioSpawn};
use terrace_store::{BoxFuture, Entry, Key, PutOptions, Store, block_on};

use super::stacked::{self, Stacked};
use crate::measure::{in_turns, timed};
use crate::report::{Against, Metric, Report, Row};
use crate::suite::disk::values::Chance;
use crate::suite::{Failure, Plan};

const KEYS: usize = 512;

/// About a kilobyte of JSON.
const LENGTH: usize = 1024;

const FIGURES: [Metric; 3] = [
    Metric { name: "cpu", unit: "ns/op" },
    Metric { name: "added", unit: "ns/op" },
    Metric { name: "wall", unit: "ns/op" },
];

const BYTES: [Metric; 2] =
    [Metric { name: "stored", unit: "B/entry" }, Metric { name: "opened", unit: "KiB of heap" }];

pub(super) fn run(plan: &Plan, report: &mut Report) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let _entered = runtime.enter();
    let world = World::new(
        Arc::new(TokioClock::current()?),
        Arc::new(SplitMix::seeded(1)),
        Arc::new(TokioSpawn::current()?),
    );
    let (present, absent) = (keys("order")?, keys("none")?);
    let bare = stacked::memory(&world)?;
    let mut subjects = vec![Stacked {
        name: "memory",
        store: bare.clone(),
        beneath: bare,
        opened_bytes: 0,
        reads_only: false,
    }];
    subjects.extend(stacked::all(&world)?);
    for subject in &subjects {
        let filled: &dyn Store = if subject.reads_only { &*subject.beneath } else { &*subject.store };
        for (n, key) in present.iter().enumerate() {
            let _ = block_on(filled.put(key, Entry::new(json(n)), PutOptions::default()))?;
        }
    }
    bytes(plan, report, &subjects)?;
    for threads in [1, 2] {
        let case = |what: &str| format!("layers, {what}, {threads}t");
        calls(plan, report, &case("get"), &subjects, threads, |subject, n| {
            get(subject, &present[n % KEYS], true)
        })?;
        calls(plan, report, &case("get of what is not there"), &subjects, threads, |subject, n| {
            get(subject, &absent[n % KEYS], false)
        })?;
    }
    subjects.retain(|subject| !subject.reads_only);
    let entries: Vec<Entry> = (0..KEYS).map(|n| Entry::new(json(n))).collect();
    calls(plan, report, "layers, put, 1t", &subjects, 1, |subject, n| {
        let put = subject.store.put(&present[n % KEYS], entries[n % KEYS].clone(), PutOptions::default());
        now(put).is_ok_and(|written| written.version().is_some())
    })
}

fn keys(kind: &str) -> Result<Vec<Key>, Failure> {
    Ok((0..KEYS).map(|n| Key::new("orders", format!("{kind}:{n}"))).collect::<Result<_, _>>()?)
}

/// Completes a future, in place if it can be.
fn now<T>(future: BoxFuture<'_, T>) -> T {
    poll_once(future).unwrap_or_else(block_on)
}

fn get(subject: &Stacked, key: &Key, there: bool) -> bool {
    now(subject.store.get(key)).is_ok_and(|found| found.is_some() == there)
}

fn json(n: usize) -> Vec<u8> {
    let (mut text, mut chance) = (String::new(), Chance::new(n as u64));
    while text.len() < LENGTH {
        let draw = chance.next();
        text.push_str(&format!(
            "{{\"id\":{},\"name\":\"user-{}\",\"city\":\"Springfield\",\"score\":{}}},",
            draw >> 44,
            draw >> 20 & 0xf_ffff,
            draw % 97
        ));
    }
    text.truncate(LENGTH);
    text.into_bytes()
}

fn bytes(plan: &Plan, report: &mut Report, subjects: &[Stacked]) -> Result<(), Failure> {
    if !plan.wants("layers, bytes") {
        return Ok(());
    }
    let mut rows = Vec::new();
    for subject in subjects {
        let mut stored = 0;
        for namespace in block_on(subject.beneath.namespaces())? {
            stored += block_on(Iterate::bytes(&*subject.beneath, &namespace))?;
        }
        let rounds = vec![vec![stored as f64 / KEYS as f64, subject.opened_bytes as f64 / 1024.0]];
        rows.push(Row {
            subject: subject.name,
            against: Against::just("memory").filter(|_| subject.name != "memory"),
            rounds,
        });
    }
    Ok(report.case("layers, bytes", &BYTES, &rows)?)
}

/// Measures a call through each layer, in turns.
fn calls(
    plan: &Plan,
    report: &mut Report,
    case: &str,
    subjects: &[Stacked],
    threads: usize,
    call: impl Fn(&Stacked, usize) -> bool + Sync,
) -> Result<(), Failure> {
    if !plan.wants(case) {
        return Ok(());
    }
    let calls = plan.operations(20_000);
    let figures = in_turns(plan.rounds, subjects.len(), |subject| -> Result<Vec<f64>, Failure> {
        let (subject, wrong) = (&subjects[subject], AtomicUsize::new(0));
        let cost = timed(threads, |thread| {
            let began = thread * KEYS / threads;
            let failed = (began..began + calls).filter(|n| !call(subject, n * 7)).count();
            wrong.fetch_add(failed, Ordering::Relaxed);
            calls
        });
        match wrong.into_inner() {
            0 => Ok(cost.figures()),
            _ => Err(format!("{case}: a call through {} was answered wrongly", subject.name).into()),
        }
    })?;
    let bare = &figures[0];
    let rows = subjects.iter().zip(&figures).map(|(subject, rounds)| Row {
        subject: subject.name,
        against: Against::just("memory").filter(|_| subject.name != "memory"),
        rounds: rounds.iter().zip(bare).map(|(own, bare)| vec![own[0], own[0] - bare[0], own[1]]).collect(),
    });
    Ok(report.case(case, &FIGURES, &rows.collect::<Vec<_>>())?)
}
