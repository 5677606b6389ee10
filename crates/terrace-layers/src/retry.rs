//! retry: a call that failed for a reason that may pass is made again, if making it twice does no harm.
//!
//! Decision: what may be repeated follows from the contract. A write that failed with anything but `Unknown` was not
//! applied, so it may be made again like a read. An `Unknown` outcome is not repeated, but for a put that carries its
//! version: a store takes a version once, so a repetition either writes it or finds it written. What makes a promise of
//! durability (`commit`, `flush`, `close`) is never repeated, since a second sync may succeed without the bytes of the
//! first; a message is published once.
//!
//! Delays grow by powers of two and are drawn from the whole interval (full jitter). All calls draw on one budget of
//! tokens that only successes fill, so that a store which fails is not asked many times over by everybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use terrace_store::{
    BoxFuture, Capabilities, Clock, Condition, Error, ErrorKind, Result, Rng, Store, Version,
};

use crate::answer::Answer;
use crate::call::{Call, Operation};
use crate::guard::{Guarded, Policy};
use crate::world::World;

/// How calls are repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryConfig {
    /// How often a call is made at most, the first time included; 0 counts as 1.
    pub attempts: u32,
    /// The first delay is at most this long, each further one at most twice the one before.
    pub base: Duration,
    /// No delay is longer.
    pub cap: Duration,
    /// How many repetitions may be made before any success pays for more.
    pub budget: u32,
    /// How many successes pay for one repetition; 0 counts as 1.
    pub successes_per_retry: u32,
}

impl Default for RetryConfig {
    /// Three attempts, 10 ms to a second apart, a budget of 100, one repetition for ten successes.
    fn default() -> Self {
        Self {
            attempts: 3,
            base: Duration::from_millis(10),
            cap: Duration::from_secs(1),
            budget: 100,
            successes_per_retry: 10,
        }
    }
}

/// A store whose calls are repeated where that is safe.
pub type Retry = Guarded<Repetition>;

impl Retry {
    /// Repeats calls to the store.
    pub fn over(inner: Arc<dyn Store>, config: RetryConfig, world: &World) -> Self {
        Self::new(inner, Repetition::new(config, world))
    }
}

/// Repeats calls. Made by [`Retry::over`].
pub struct Repetition {
    config: RetryConfig,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    /// In parts of a repetition, as many as successes pay for one.
    tokens: AtomicU64,
    repeated: AtomicU64,
    exhausted: AtomicU64,
}

impl Repetition {
    fn new(config: RetryConfig, world: &World) -> Self {
        let mut repetition = Self {
            config,
            clock: Arc::clone(&world.clock),
            rng: Arc::clone(&world.rng),
            tokens: AtomicU64::new(0),
            repeated: AtomicU64::new(0),
            exhausted: AtomicU64::new(0),
        };
        repetition.tokens = AtomicU64::new(repetition.full());
        repetition
    }

    /// How many calls were made again.
    pub fn repeated(&self) -> u64 {
        self.repeated.load(Ordering::Relaxed)
    }

    /// How many would have been, had the budget allowed it.
    pub fn exhausted(&self) -> u64 {
        self.exhausted.load(Ordering::Relaxed)
    }

    fn price(&self) -> u64 {
        u64::from(self.config.successes_per_retry.max(1))
    }

    fn full(&self) -> u64 {
        u64::from(self.config.budget) * self.price()
    }

    fn pay(&self) -> bool {
        let price = self.price();
        let paid = self
            .tokens
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tokens| tokens.checked_sub(price))
            .is_ok();
        let counter = if paid { &self.repeated } else { &self.exhausted };
        counter.fetch_add(1, Ordering::Relaxed);
        paid
    }

    fn earn(&self) {
        let full = self.full();
        // A full budget, which is the usual one, is only looked at.
        if self.tokens.load(Ordering::Relaxed) < full {
            let more = |tokens: u64| Some((tokens + 1).min(full));
            let _ = self.tokens.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        }
    }

    /// The delay before the attempt of this number, counted from 1 for the first repetition.
    fn delay(&self, repetition: u32) -> Duration {
        let grown = self.config.base.saturating_mul(1_u32.checked_shl(repetition - 1).unwrap_or(u32::MAX));
        let most = u64::try_from(grown.min(self.config.cap).as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.rng.below(most.saturating_add(1)))
    }
}

/// The version that a put carries, which makes it safe to repeat.
fn carried(call: &Call<'_>) -> Option<Version> {
    match (call.operation, call.condition) {
        (Operation::Put, Some(Condition::Newer(version))) => Some(version),
        _ => None,
    }
}

/// Whether the call may be made again after this error.
fn is_safe(call: &Call<'_>, error: &Error) -> bool {
    if !call.repeatable || matches!(call.operation, Operation::Commit | Operation::Flush | Operation::Close) {
        return false;
    }
    match error.kind() {
        ErrorKind::Unknown => carried(call).is_some(),
        _ => error.is_transient(),
    }
}

impl Policy for Repetition {
    const REPEATS: bool = true;

    fn capabilities(&self, beneath: Capabilities) -> Capabilities {
        Capabilities { in_place: false, ..beneath }
    }

    async fn run<'a, T, M>(&'a self, call: Call<'a>, mut make: M) -> Result<T>
    where
        T: Answer + 'a,
        M: FnMut() -> BoxFuture<'a, Result<T>> + Send + 'a,
    {
        let mut unknown = false;
        let mut attempt = 1;
        loop {
            let error = match make().await {
                Ok(answer) => {
                    self.earn();
                    let version = carried(&call).filter(|_| unknown);
                    return Ok(match version {
                        Some(version) => answer.after_unknown(version),
                        None => answer,
                    });
                }
                Err(error) => error,
            };
            unknown |= error.kind() == ErrorKind::Unknown;
            if !is_safe(&call, &error) || attempt >= self.config.attempts || !self.pay() {
                return Err(settled(error, unknown, attempt));
            }
            self.clock.sleep(self.delay(attempt)).await;
            attempt += 1;
        }
    }
}

/// The last error, which must not say that nothing was applied if an earlier attempt may have been.
fn settled(error: Error, unknown: bool, attempts: u32) -> Error {
    let error = if unknown && error.kind() != ErrorKind::Unknown {
        Error::new(ErrorKind::Unknown, error.operation())
            .because("an earlier attempt may have been applied, and the last one failed; read to find out")
            .caused_by(error)
    } else {
        error
    };
    if attempts > 1 { error.with("attempts", attempts) } else { error }
}

#[cfg(test)]
mod tests {
    use terrace_store::block_on::poll_once;
    use terrace_store::fakes::{Fault, Flaky, FrozenClock, MapStore, Operation as On, Recording, When};
    use terrace_store::{Entry, Key, PutOptions, StoreExt, Written, block_on};

    use super::*;
    use crate::world::tests::world;

    struct Scene {
        clock: FrozenClock,
        recording: Arc<Recording>,
        flaky: Arc<Flaky>,
        store: Retry,
        key: Key,
    }

    fn scene(config: RetryConfig) -> Scene {
        let clock = FrozenClock::default();
        let recording = Arc::new(Recording::over(Arc::new(MapStore::default())));
        let flaky = Arc::new(Flaky::over(recording.clone()));
        let store = Retry::over(flaky.clone(), config, &world(&clock));
        Scene { clock, recording, flaky, store, key: Key::new("n", "k").unwrap() }
    }

    impl Scene {
        /// Runs the call to its end, letting the time pass that it waits for.
        fn end<T>(&self, call: BoxFuture<'_, T>) -> T {
            let mut call = call;
            for _ in 0..1_000 {
                match poll_once(call) {
                    Ok(value) => return value,
                    Err(waiting) => call = waiting,
                }
                self.clock.advance_ms(100);
            }
            panic!("the call never ends")
        }

        fn put(&self, condition: Condition) -> Result<Written> {
            let options = PutOptions { condition, ..PutOptions::default() };
            self.end(self.store.put(&self.key, Entry::new("v"), options))
        }
    }

    #[test]
    fn what_may_pass_is_tried_again_and_what_will_not_is_not() {
        let scene = scene(RetryConfig::default());
        scene.flaky.control().inject(Fault::fail(ErrorKind::Network).when(When::Nth(1)));
        assert!(scene.put(Condition::Any).is_ok());
        scene.flaky.control().heal();
        assert_eq!(scene.store.policy().repeated(), 1);
        scene.flaky.control().inject(Fault::fail(ErrorKind::Corrupt));
        assert_eq!(scene.end(scene.store.get(&scene.key)).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(scene.store.policy().repeated(), 1);
        scene.flaky.control().heal();
        scene.flaky.control().inject(Fault::fail(ErrorKind::Busy));
        let error = scene.end(scene.store.get(&scene.key)).unwrap_err();
        assert_eq!((error.kind(), scene.store.policy().repeated()), (ErrorKind::Busy, 3));
        assert!(error.to_string().contains("attempts: 3"), "{error}");
    }

    #[test]
    fn an_unknown_write_is_not_repeated_blindly() {
        let scene = scene(RetryConfig::default());
        for condition in [Condition::Any, Condition::Absent] {
            scene.flaky.control().inject(Fault::lose_answer().when(When::Nth(1)));
            assert_eq!(scene.put(condition).unwrap_err().kind(), ErrorKind::Unknown);
            scene.flaky.control().heal();
            let _ = block_on(scene.store.remove(&scene.key));
        }
        assert_eq!((scene.recording.control().count(On::Put), scene.store.policy().repeated()), (2, 0));
    }

    #[test]
    fn an_unknown_write_that_carries_its_version_is_settled_by_repeating_it() {
        let scene = scene(RetryConfig::default());
        scene.flaky.control().inject(Fault::lose_answer().when(When::Nth(1)));
        let version = Version(9);
        let written = scene.put(Condition::Newer(version)).unwrap();
        assert_eq!(written, Written::Stored { version, replaced: false });
        assert_eq!(scene.recording.control().count(On::Put), 2);
        // Something newer came between: then the truth is a conflict.
        let newer = PutOptions { condition: Condition::Newer(Version(20)), ..PutOptions::default() };
        let _ = block_on(scene.recording.put(&scene.key, Entry::new("n"), newer)).unwrap();
        let conflict = scene.put(Condition::Newer(Version(10))).unwrap();
        assert_eq!(conflict, Written::Conflict { current: Some(Version(20)) });
    }

    #[test]
    fn after_an_unknown_attempt_no_later_error_says_that_nothing_happened() {
        let scene = scene(RetryConfig::default());
        scene.flaky.control().inject(Fault::lose_answer().when(When::Nth(1)));
        scene.flaky.control().inject(Fault::fail(ErrorKind::Network).when(When::Nth(2)));
        scene.flaky.control().inject(Fault::fail(ErrorKind::Network).when(When::Nth(3)));
        assert_eq!(scene.put(Condition::Newer(Version(9))).unwrap_err().kind(), ErrorKind::Unknown);
    }

    #[test]
    fn promises_of_durability_and_messages_are_never_repeated() {
        let scene = scene(RetryConfig::default());
        scene.flaky.control().inject(Fault::fail(ErrorKind::Network));
        for call in [scene.store.commit(), scene.store.flush(), scene.store.close()] {
            assert_eq!(scene.end(call).unwrap_err().kind(), ErrorKind::Network);
        }
        assert_eq!(scene.store.policy().repeated(), 0);
    }

    #[test]
    fn a_store_that_fails_is_asked_only_as_often_as_the_budget_allows() {
        let config = RetryConfig { attempts: 4, budget: 5, successes_per_retry: 2, ..RetryConfig::default() };
        let scene = scene(config);
        scene.flaky.control().inject(Fault::fail(ErrorKind::Unavailable));
        for _ in 0..10 {
            assert!(scene.end(scene.store.get(&scene.key)).is_err());
        }
        assert_eq!((scene.store.policy().repeated(), scene.flaky.control().struck()), (5, 15));
        assert_eq!(scene.store.policy().exhausted(), 9);
        scene.flaky.control().heal();
        for _ in 0..2 {
            assert!(scene.end(scene.store.get(&scene.key)).is_ok());
        }
        scene.flaky.control().inject(Fault::fail(ErrorKind::Unavailable));
        assert!(scene.end(scene.store.get(&scene.key)).is_err());
        assert_eq!(scene.store.policy().repeated(), 6, "two successes paid for one more");
    }

    #[test]
    fn delays_grow_to_their_cap_and_are_drawn_from_the_whole_interval() {
        let scene = scene(RetryConfig::default());
        let most =
            |repetition| (0..2_000).map(|_| scene.store.policy().delay(repetition)).max().unwrap_or_default();
        for (repetition, cap_ms) in [(1, 10), (2, 20), (5, 160), (8, 1_000), (40, 1_000)] {
            let (longest, cap) = (most(repetition), Duration::from_millis(cap_ms));
            assert!(longest <= cap && longest > cap * 9 / 10, "{longest:?} of {cap:?}");
        }
    }
}
