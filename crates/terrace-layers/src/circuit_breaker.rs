//! circuit_breaker: a store that keeps failing is left alone for a while, and its callers are told at once.
//!
//! Closed, it lets calls through and counts. It opens after so many failures in a row, or when too great a part of the
//! calls in a window failed. Open, it refuses everything until `retry_interval` has passed. Then it is half-open: a few
//! calls at a time are let through to see, and so many successes close it, one failure opens it again.
//!
//! Decision: a failure is what says that the *store* is not well: network, timeout, unavailable, an unknown outcome, and a
//! call that has not come back after `hang_after`, counted then and not when it returns. A conflict, a refusal, a full
//! disk or damaged bytes are answers. The window is a ring of ten parts, so that counting costs one lock for a few
//! nanoseconds and forgets by the part.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;
use terrace_store::{BoxFuture, Clock, Error, ErrorKind, Health, Result, Store};

use crate::answer::Answer;
use crate::call::{Call, Operation};
use crate::guard::{Guarded, Policy};
use crate::world::World;

/// When a breaker opens and closes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CircuitBreakerConfig {
    /// It opens after this many failures in a row; 0 counts as 1.
    pub max_failures: u32,
    /// It opens when this part of the calls in the window failed, 0 to 1; above 1 never.
    pub failure_rate: f64,
    /// But not before the window has seen this many.
    pub min_calls: u32,
    /// How long the window is.
    pub window: Duration,
    /// How long it stays open.
    pub retry_interval: Duration,
    /// How many calls are let through at a time when it is half-open; 0 counts as 1.
    pub probes: u32,
    /// How many successes close it then; 0 counts as 1.
    pub successes_to_close: u32,
    /// A call that takes longer than this has failed, whatever comes of it.
    pub hang_after: Duration,
}

impl Default for CircuitBreakerConfig {
    /// Five failures in a row or half of at least twenty in ten seconds; open for five seconds; one probe at a time, two
    /// successes to close; a call hangs after five seconds.
    fn default() -> Self {
        Self {
            max_failures: 5,
            failure_rate: 0.5,
            min_calls: 20,
            window: Duration::from_secs(10),
            retry_interval: Duration::from_secs(5),
            probes: 1,
            successes_to_close: 2,
            hang_after: Duration::from_secs(5),
        }
    }
}

/// What a breaker does with calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// It lets them through.
    Closed,
    /// It refuses them.
    Open,
    /// It lets a few through to see.
    HalfOpen,
}

impl BreakerState {
    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// A store that is left alone while it fails.
pub type CircuitBreaker = Guarded<Breaker>;

impl CircuitBreaker {
    /// Puts a breaker before the store.
    pub fn over(inner: Arc<dyn Store>, config: CircuitBreakerConfig, world: &World) -> Self {
        Self::new(inner, Breaker::new(config, Arc::clone(&world.clock)))
    }
}

const PARTS: usize = 10;

/// Counts failures and decides. Made by [`CircuitBreaker::over`].
pub struct Breaker {
    config: CircuitBreakerConfig,
    clock: Arc<dyn Clock>,
    circuit: Mutex<Circuit>,
    refused: AtomicU64,
    opened: AtomicU64,
}

#[derive(Default)]
struct Circuit {
    phase: Phase,
    in_a_row: u32,
    /// Calls and failures of each part of the window.
    parts: [(u32, u32); PARTS],
    /// The number of the part that is counted in, since the beginning of time.
    part: u64,
    /// Grows with each change of phase: an outcome counts for the phase its call began in.
    turn: u64,
}

#[derive(Clone, Copy, Default)]
enum Phase {
    #[default]
    Closed,
    Open {
        until: Duration,
    },
    HalfOpen {
        probing: u32,
        succeeded: u32,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Success,
    Failure,
    /// It was dropped before it came to anything.
    Nothing,
}

impl Circuit {
    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.turn += 1;
        self.in_a_row = 0;
        self.parts = Default::default();
    }

    fn count(&mut self, config: &CircuitBreakerConfig, now: Duration, failed: bool) -> bool {
        let part = (now.as_nanos() * PARTS as u128 / config.window.as_nanos().max(1)) as u64;
        for gone in (self.part + 1..=part).take(PARTS) {
            self.parts[gone as usize % PARTS] = (0, 0);
        }
        self.part = self.part.max(part);
        let (calls, failures) = &mut self.parts[self.part as usize % PARTS];
        *calls = calls.saturating_add(1);
        *failures = failures.saturating_add(u32::from(failed));
        self.in_a_row = if failed { self.in_a_row.saturating_add(1) } else { 0 };
        if !failed {
            return false;
        }
        let (calls, failures) = self.parts.iter().fold((0_u64, 0_u64), |(calls, failures), part| {
            (calls + u64::from(part.0), failures + u64::from(part.1))
        });
        let rate = failures as f64 / calls as f64;
        self.in_a_row >= config.max_failures.max(1)
            || (calls >= u64::from(config.min_calls) && rate >= config.failure_rate)
    }
}

impl Breaker {
    fn new(config: CircuitBreakerConfig, clock: Arc<dyn Clock>) -> Self {
        let (refused, opened) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { config, clock, circuit: Mutex::default(), refused, opened }
    }

    /// What it does now.
    pub fn state(&self) -> BreakerState {
        match self.circuit.lock().phase {
            Phase::Closed => BreakerState::Closed,
            Phase::Open { until } if self.clock.now() < until => BreakerState::Open,
            Phase::Open { .. } | Phase::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// How many calls were refused without asking the store.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// How many times it opened.
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// The turn in which the call counts, or how long callers should stay away.
    fn admit(&self) -> Result<u64, Duration> {
        let mut circuit = self.circuit.lock();
        if let Phase::Open { until } = circuit.phase {
            let left = until.saturating_sub(self.clock.now());
            if !left.is_zero() {
                return Err(left);
            }
            circuit.enter(Phase::HalfOpen { probing: 0, succeeded: 0 });
        }
        if let Phase::HalfOpen { probing, .. } = &mut circuit.phase {
            if *probing >= self.config.probes.max(1) {
                return Err(Duration::ZERO);
            }
            *probing += 1;
        }
        Ok(circuit.turn)
    }

    fn settle(&self, turn: u64, verdict: Verdict) {
        let now = self.clock.now();
        let mut circuit = self.circuit.lock();
        if circuit.turn != turn {
            return;
        }
        let opens = match (&mut circuit.phase, verdict) {
            (Phase::Closed, Verdict::Nothing) | (Phase::Open { .. }, _) => false,
            (Phase::Closed, verdict) => circuit.count(&self.config, now, verdict == Verdict::Failure),
            (Phase::HalfOpen { .. }, Verdict::Failure) => true,
            (Phase::HalfOpen { probing, .. }, Verdict::Nothing) => {
                *probing -= 1;
                false
            }
            (Phase::HalfOpen { probing, succeeded }, Verdict::Success) => {
                *probing -= 1;
                *succeeded += 1;
                if *succeeded >= self.config.successes_to_close.max(1) {
                    circuit.enter(Phase::Closed);
                }
                false
            }
        };
        if opens {
            circuit.enter(Phase::Open { until: now + self.config.retry_interval });
            self.opened.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A call under way: it comes to a verdict once, also when it is dropped.
struct Trial<'a> {
    breaker: &'a Breaker,
    turn: Option<u64>,
}

impl Trial<'_> {
    fn settle(&mut self, verdict: Verdict) {
        if let Some(turn) = self.turn.take() {
            self.breaker.settle(turn, verdict);
        }
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        self.settle(Verdict::Nothing);
    }
}

fn judge<T>(result: &Result<T>) -> Verdict {
    match result.as_ref().map_err(Error::kind) {
        Err(ErrorKind::Network | ErrorKind::Timeout | ErrorKind::Unavailable | ErrorKind::Unknown) => {
            Verdict::Failure
        }
        _ => Verdict::Success,
    }
}

impl Policy for Breaker {
    fn health<'a>(&'a self, beneath: &'a dyn Store) -> BoxFuture<'a, Health> {
        Box::pin(async move {
            match self.state() {
                BreakerState::Closed => beneath.health().await,
                BreakerState::Open => Health::Down("it kept failing; its circuit is open".into()),
                BreakerState::HalfOpen => {
                    Health::Degraded("it kept failing; its circuit is half-open".into())
                }
            }
        })
    }

    async fn run<'a, T, M>(&'a self, call: Call<'a>, mut make: M) -> Result<T>
    where
        T: Answer + 'a,
        M: FnMut() -> BoxFuture<'a, Result<T>> + Send + 'a,
    {
        // A store can always be closed.
        if call.operation == Operation::Close {
            return make().await;
        }
        let turn = self.admit().map_err(|left| {
            self.refused.fetch_add(1, Ordering::Relaxed);
            Error::new(ErrorKind::Unavailable, call.operation.name())
                .because("the store kept failing and is left alone for now")
                .with("retry_after", format!("{left:?}"))
        })?;
        let mut trial = Trial { breaker: self, turn: Some(turn) };
        let (mut made, mut timer) = (make(), None);
        let result = poll_fn(|context| {
            if let Poll::Ready(result) = made.as_mut().poll(context) {
                return Poll::Ready(result);
            }
            if trial.turn.is_some() {
                let timer = timer.get_or_insert_with(|| self.clock.sleep(self.config.hang_after));
                if timer.as_mut().poll(context).is_ready() {
                    trial.settle(Verdict::Failure);
                }
            }
            Poll::Pending
        })
        .await;
        trial.settle(judge(&result));
        result
    }
}

#[cfg(test)]
mod tests {
    use terrace_store::block_on::poll_once;
    use terrace_store::fakes::{Fault, Flaky, FrozenClock, MapStore, Operation as On, Slow};
    use terrace_store::{Key, block_on};

    use super::*;
    use crate::world::tests::world;

    struct Scene {
        clock: FrozenClock,
        flaky: Arc<Flaky>,
        slow: Arc<Slow>,
        store: CircuitBreaker,
        key: Key,
    }

    fn scene(config: CircuitBreakerConfig) -> Scene {
        let clock = FrozenClock::default();
        let flaky = Arc::new(Flaky::over(Arc::new(MapStore::default())));
        let slow = Arc::new(Slow::over(flaky.clone(), Arc::new(clock.clone())));
        let store = CircuitBreaker::over(slow.clone(), config, &world(&clock));
        Scene { clock, flaky, slow, store, key: Key::new("n", "k").unwrap() }
    }

    impl Scene {
        fn get(&self) -> Option<ErrorKind> {
            block_on(self.store.get(&self.key)).err().map(|error| error.kind())
        }

        fn state(&self) -> BreakerState {
            self.store.policy().state()
        }

        fn break_it(&self) {
            self.flaky.control().inject(Fault::fail(ErrorKind::Network));
            while self.state() == BreakerState::Closed {
                assert!(self.get().is_some());
            }
        }
    }

    #[test]
    fn failures_in_a_row_open_it_and_it_refuses_without_asking() {
        let scene = scene(CircuitBreakerConfig::default());
        scene.break_it();
        assert_eq!(scene.flaky.control().struck(), 5);
        assert_eq!(scene.get(), Some(ErrorKind::Unavailable));
        assert_eq!((scene.flaky.control().struck(), scene.store.policy().refused()), (5, 1));
        assert!(matches!(block_on(scene.store.health()), Health::Down(_)));
        assert!(block_on(scene.store.close()).is_err(), "closing is never refused: it fails by itself");
        assert_eq!(scene.flaky.control().struck(), 6);
    }

    #[test]
    fn after_its_interval_probes_close_it_or_open_it_again() {
        let scene = scene(CircuitBreakerConfig::default());
        scene.break_it();
        scene.clock.advance_ms(4_999);
        assert_eq!(scene.state(), BreakerState::Open);
        scene.clock.advance_ms(1);
        assert_eq!(scene.state(), BreakerState::HalfOpen);
        assert_eq!(scene.get(), Some(ErrorKind::Network), "a probe is let through");
        assert_eq!((scene.state(), scene.store.policy().opened()), (BreakerState::Open, 2));
        scene.clock.advance_ms(5_000);
        scene.flaky.control().heal();
        assert_eq!((scene.get(), scene.state()), (None, BreakerState::HalfOpen));
        assert_eq!((scene.get(), scene.state()), (None, BreakerState::Closed));
    }

    #[test]
    fn half_open_lets_as_many_through_as_it_may_and_a_dropped_probe_gives_its_place_back() {
        let scene = scene(CircuitBreakerConfig::default());
        scene.break_it();
        scene.flaky.control().heal();
        scene.clock.advance_ms(5_000);
        scene.slow.control().hold(&On::ALL);
        let probe = poll_once(scene.store.get(&scene.key)).expect_err("it hangs");
        assert_eq!(scene.get(), Some(ErrorKind::Unavailable));
        drop(probe);
        scene.slow.control().release();
        assert_eq!(scene.get(), None);
    }

    #[test]
    fn a_part_of_the_window_opens_it_once_there_were_enough() {
        let config = CircuitBreakerConfig { max_failures: 1_000, ..CircuitBreakerConfig::default() };
        let scene = scene(config);
        for n in 0..19 {
            scene.flaky.control().heal();
            if n % 2 == 0 {
                scene.flaky.control().inject(Fault::fail(ErrorKind::Timeout));
            }
            let _ = scene.get();
        }
        assert_eq!(scene.state(), BreakerState::Closed, "nineteen are not enough");
        scene.flaky.control().inject(Fault::fail(ErrorKind::Timeout));
        let _ = scene.get();
        assert_eq!(scene.state(), BreakerState::Open);
    }

    #[test]
    fn the_window_forgets() {
        let config = CircuitBreakerConfig { max_failures: u32::MAX, ..CircuitBreakerConfig::default() };
        let scene = scene(config);
        scene.flaky.control().inject(Fault::fail(ErrorKind::Timeout));
        for _ in 0..100 {
            for _ in 0..19 {
                let _ = scene.get();
            }
            scene.clock.advance_ms(10_000);
            assert_eq!(scene.state(), BreakerState::Closed);
        }
    }

    #[test]
    fn a_hang_is_a_failure_when_it_is_noticed() {
        let scene = scene(CircuitBreakerConfig { max_failures: 2, ..CircuitBreakerConfig::default() });
        scene.slow.control().hold(&On::ALL);
        let calls = [(); 2].map(|()| poll_once(scene.store.get(&scene.key)).expect_err("it hangs"));
        scene.clock.advance_ms(5_000);
        let calls = calls.map(|call| poll_once(call).expect_err("it still hangs"));
        assert_eq!(scene.state(), BreakerState::Open);
        scene.slow.control().release();
        for call in calls {
            assert!(block_on(call).is_ok(), "its answer is still worth having");
        }
    }

    #[test]
    fn answers_that_are_no_failures_of_the_store_do_not_count() {
        let scene = scene(CircuitBreakerConfig::default());
        for kind in
            [ErrorKind::Conflict, ErrorKind::Full, ErrorKind::Corrupt, ErrorKind::Denied, ErrorKind::Busy]
        {
            scene.flaky.control().heal();
            scene.flaky.control().inject(Fault::fail(kind));
            for _ in 0..10 {
                assert_eq!(scene.get(), Some(kind));
            }
        }
        assert_eq!(scene.state(), BreakerState::Closed);
    }
}
