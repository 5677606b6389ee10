//! metrics: what was asked of a store, how often, how it ended, how long it took and how many bytes went through.
//!
//! Decision: counters of its own, a few relaxed additions a call, written out as text for Prometheus or read as numbers;
//! whoever has another recorder reads the numbers. Times are counted in powers of two of a microsecond, so a quantile is
//! at most twice the truth. No key is ever a label.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use terrace_store::{BoxFuture, Clock, ErrorKind, Result, Store};

use crate::answer::Answer;
use crate::call::{Call, Operation};
use crate::guard::{Guarded, Policy};
use crate::world::World;

/// A store whose calls are counted.
pub type Metrics = Guarded<Counters>;

impl Metrics {
    /// Counts the calls to the store.
    pub fn over(inner: Arc<dyn Store>, world: &World) -> Self {
        let name = inner.name().to_owned();
        let clock = Arc::clone(&world.clock);
        let rows = Operation::ALL.iter().map(|_| Row::default()).collect();
        Self::new(inner, Counters { name, clock, rows })
    }
}

/// Up to a microsecond, two, four, ... half a minute, and more.
const BUCKETS: usize = 26;

#[derive(Default)]
struct Row {
    calls: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
    conflicts: AtomicU64,
    errors: AtomicU64,
    unknown: AtomicU64,
    dropped: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    nanos: AtomicU64,
    times: [AtomicU64; BUCKETS],
}

/// Counts calls. Made by [`Metrics::over`].
pub struct Counters {
    name: String,
    clock: Arc<dyn Clock>,
    rows: Box<[Row]>,
}

/// What is known of one operation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OperationMetrics {
    /// Calls that were made, however they ended.
    pub calls: u64,
    /// Reads of one key that found something.
    pub hits: u64,
    /// Reads of one key that found nothing.
    pub misses: u64,
    /// Writes whose condition did not hold.
    pub conflicts: u64,
    /// Calls that failed, without those whose outcome is unknown.
    pub errors: u64,
    /// Calls whose outcome is unknown.
    pub unknown: u64,
    /// Calls that their caller dropped before they ended.
    pub dropped: u64,
    /// Bytes of values that went in.
    pub bytes_in: u64,
    /// Bytes of values that came out.
    pub bytes_out: u64,
    /// How long all calls that ended took together.
    pub time: Duration,
    /// How many calls took at most 1, 2, 4, ... microseconds, each without those before; the last took longer.
    pub times: Vec<u64>,
}

impl OperationMetrics {
    /// The time that this part of the calls did not exceed, rounded up to a power of two of a microsecond; `None` if
    /// none ended.
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        let ended: u64 = self.times.iter().sum();
        let wanted = (ended as f64 * part.clamp(0.0, 1.0)).ceil().max(1.0) as u64;
        let mut seen = 0;
        let at = self.times.iter().position(|count| {
            seen += count;
            seen >= wanted
        })?;
        Some(Duration::from_micros(1 << at))
    }
}

impl Counters {
    fn row(&self, operation: Operation) -> Option<&Row> {
        self.rows.get(operation as usize)
    }

    /// What is known of this operation.
    pub fn of(&self, operation: Operation) -> OperationMetrics {
        let Some(row) = self.row(operation) else { return OperationMetrics::default() };
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        OperationMetrics {
            calls: read(&row.calls),
            hits: read(&row.hits),
            misses: read(&row.misses),
            conflicts: read(&row.conflicts),
            errors: read(&row.errors),
            unknown: read(&row.unknown),
            dropped: read(&row.dropped),
            bytes_in: read(&row.bytes_in),
            bytes_out: read(&row.bytes_out),
            time: Duration::from_nanos(read(&row.nanos)),
            times: row.times.iter().map(read).collect(),
        }
    }

    /// Appends everything that ever happened in the text format of Prometheus.
    pub fn render(&self, out: &mut String) {
        let store = self.name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let mut table = Vec::new();
        for operation in Operation::ALL {
            let of = self.of(*operation);
            if of.calls > 0 {
                table.push((operation.name(), of));
            }
        }
        out.push_str("# TYPE terrace_store_calls_total counter\n");
        for (operation, of) in &table {
            let done = of.calls - of.errors - of.unknown - of.dropped - of.conflicts;
            let outcomes = [
                ("ok", done.saturating_sub(of.hits + of.misses)),
                ("hit", of.hits),
                ("miss", of.misses),
                ("conflict", of.conflicts),
                ("error", of.errors),
                ("unknown", of.unknown),
                ("dropped", of.dropped),
            ];
            for (outcome, count) in outcomes.into_iter().filter(|(_, count)| *count > 0) {
                let labels = format!("store=\"{store}\",operation=\"{operation}\",outcome=\"{outcome}\"");
                let _ = writeln!(out, "terrace_store_calls_total{{{labels}}} {count}");
            }
        }
        out.push_str("# TYPE terrace_store_bytes_total counter\n");
        for (operation, of) in &table {
            for (way, count) in [("in", of.bytes_in), ("out", of.bytes_out)] {
                let labels = format!("store=\"{store}\",operation=\"{operation}\",direction=\"{way}\"");
                let _ = writeln!(out, "terrace_store_bytes_total{{{labels}}} {count}");
            }
        }
        out.push_str("# TYPE terrace_store_call_seconds histogram\n");
        for (operation, of) in &table {
            render_times(out, &store, operation, of);
        }
    }
}

fn render_times(out: &mut String, store: &str, operation: &str, of: &OperationMetrics) {
    let labels = format!("store=\"{store}\",operation=\"{operation}\"");
    let mut sum = 0;
    for (at, count) in of.times.iter().enumerate() {
        sum += count;
        let last = at + 1 == of.times.len();
        let limit =
            if last { "+Inf".to_owned() } else { (Duration::from_micros(1 << at).as_secs_f64()).to_string() };
        let _ = writeln!(out, "terrace_store_call_seconds_bucket{{{labels},le=\"{limit}\"}} {sum}");
    }
    let _ = writeln!(out, "terrace_store_call_seconds_sum{{{labels}}} {}", of.time.as_secs_f64());
    let _ = writeln!(out, "terrace_store_call_seconds_count{{{labels}}} {sum}");
}

/// Counts a call as dropped unless it ended.
struct UnderWay<'a>(Option<&'a Row>);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some(row) = self.0 {
            row.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn add(counter: &AtomicU64, amount: u64) {
    if amount > 0 {
        counter.fetch_add(amount, Ordering::Relaxed);
    }
}

impl Policy for Counters {
    async fn run<'a, T, M>(&'a self, call: Call<'a>, mut make: M) -> Result<T>
    where
        T: Answer + 'a,
        M: FnMut() -> BoxFuture<'a, Result<T>> + Send + 'a,
    {
        let Some(row) = self.row(call.operation) else { return make().await };
        let began = self.clock.now();
        add(&row.calls, 1);
        add(&row.bytes_in, call.bytes_in);
        let mut under_way = UnderWay(Some(row));
        let result = make().await;
        under_way.0 = None;
        let took = self.clock.now().saturating_sub(began);
        add(&row.nanos, u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        let bucket =
            (took.as_nanos().saturating_sub(1) / 1_000).checked_ilog2().map_or(0, |log| log as usize + 1);
        add(&row.times[bucket.min(BUCKETS - 1)], 1);
        match &result {
            Ok(answer) => {
                add(&row.bytes_out, answer.bytes());
                add(&row.conflicts, u64::from(answer.is_conflict()));
                add(&row.hits, u64::from(answer.hit() == Some(true)));
                add(&row.misses, u64::from(answer.hit() == Some(false)));
            }
            Err(error) if error.kind() == ErrorKind::Unknown => add(&row.unknown, 1),
            Err(_) => add(&row.errors, 1),
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use terrace_store::block_on::poll_once;
    use terrace_store::fakes::{Fault, Flaky, FrozenClock, MapStore, Operation as On, Slow, When};
    use terrace_store::{Condition, Entry, Key, PutOptions, StoreExt, block_on};

    use super::*;
    use crate::world::tests::world;

    #[test]
    fn every_call_is_counted_once_with_its_outcome_time_and_bytes() {
        let clock = FrozenClock::default();
        let flaky = Arc::new(Flaky::over(Arc::new(MapStore::default())));
        let slow = Arc::new(Slow::over(flaky.clone(), Arc::new(clock.clone())));
        let store = Metrics::over(slow.clone(), &world(&clock));
        let key = Key::new("n", "k").unwrap();
        let _ = block_on(store.put_with(&key, "12345")).unwrap();
        let absent = PutOptions { condition: Condition::Absent, ..PutOptions::default() };
        let _ = block_on(store.put(&key, Entry::new("1"), absent)).unwrap();
        assert!(block_on(store.get(&key)).unwrap().is_some());
        assert!(block_on(store.get(&Key::new("n", "none").unwrap())).unwrap().is_none());
        flaky.control().inject(Fault::lose_answer().of(&[On::Delete]).when(When::Nth(1)));
        assert!(block_on(store.remove(&key)).is_err());
        slow.control().delay(&[On::Get], Duration::from_millis(3));
        let get = poll_once(store.get(&key)).expect_err("it is slow");
        clock.advance_ms(3);
        assert!(block_on(get).is_ok());
        drop(poll_once(store.get(&key)).expect_err("it is slow"));

        let of = |operation| store.policy().of(operation);
        let (put, get, delete) = (of(Operation::Put), of(Operation::Get), of(Operation::Delete));
        assert_eq!((put.calls, put.conflicts, put.bytes_in), (2, 1, 6));
        assert_eq!((get.calls, get.hits, get.misses, get.dropped, get.bytes_out), (4, 1, 2, 1, 5));
        assert_eq!((delete.calls, delete.unknown, delete.errors), (1, 1, 0));
        assert_eq!(get.time, Duration::from_millis(3));
        assert_eq!(get.quantile(0.5), Some(Duration::from_micros(1)));
        assert_eq!(get.quantile(1.0), Some(Duration::from_micros(4_096)));
        assert_eq!(of(Operation::Watch).quantile(0.5), None);
        let mut text = String::new();
        store.policy().render(&mut text);
        for line in [
            "terrace_store_calls_total{store=\"map\",operation=\"get\",outcome=\"miss\"} 2",
            "terrace_store_calls_total{store=\"map\",operation=\"put\",outcome=\"ok\"} 1",
            "terrace_store_calls_total{store=\"map\",operation=\"delete\",outcome=\"unknown\"} 1",
            "terrace_store_bytes_total{store=\"map\",operation=\"put\",direction=\"in\"} 6",
            "terrace_store_call_seconds_count{store=\"map\",operation=\"get\"} 3",
            "terrace_store_call_seconds_sum{store=\"map\",operation=\"get\"} 0.003",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
