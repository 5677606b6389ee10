//! throttle: so many calls and so many bytes a second.
//!
//! Decision: two buckets of tokens, one for calls, one for the bytes of values. What comes out of a read is known only
//! afterwards: it is taken then, and the next call waits for it. A call that would have to wait longer than it may is
//! `Busy` at once and takes nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use terrace_store::{BoxFuture, Capabilities, Clock, Error, ErrorKind, Result, Store};

use crate::answer::Answer;
use crate::call::{Call, Class};
use crate::guard::{Guarded, Policy};
use crate::world::World;

/// How fast calls may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThrottleConfig {
    /// Calls a second; `None` for any number.
    pub calls_per_second: Option<u64>,
    /// Bytes of values a second, both ways together; `None` for any number.
    pub bytes_per_second: Option<u64>,
    /// For how long a pause may be made up for: what a bucket holds, as time.
    pub burst: Duration,
    /// How long a call waits at most.
    pub max_wait: Duration,
}

impl Default for ThrottleConfig {
    /// No limit; bursts of a second, waits of a second.
    fn default() -> Self {
        let second = Duration::from_secs(1);
        Self { calls_per_second: None, bytes_per_second: None, burst: second, max_wait: second }
    }
}

/// A store that is called only so fast.
pub type Throttle = Guarded<Pace>;

impl Throttle {
    /// Slows calls to the store down.
    pub fn over(inner: Arc<dyn Store>, config: ThrottleConfig, world: &World) -> Self {
        Self::new(inner, Pace::new(config, Arc::clone(&world.clock)))
    }
}

/// Keeps a pace. Made by [`Throttle::over`].
pub struct Pace {
    config: ThrottleConfig,
    clock: Arc<dyn Clock>,
    buckets: Mutex<Buckets>,
    refused: AtomicU64,
    delayed: AtomicU64,
}

/// For each limit, the time from which on its bucket is full; ahead of now it is what callers wait for.
#[derive(Default)]
struct Buckets {
    calls: Bucket,
    bytes: Bucket,
}

/// A bucket as one instant (the generic cell rate algorithm): everything taken moves it on.
#[derive(Clone, Copy, Default)]
struct Bucket(Duration);

impl Bucket {
    fn take(self, now: Duration, burst: Duration, rate: Option<u64>, amount: u64) -> (Self, Duration) {
        let Some(rate) = rate else { return (self, Duration::ZERO) };
        let nanos = u128::from(amount) * 1_000_000_000 / u128::from(rate.max(1));
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let next = self.0.max(now).saturating_add(cost);
        (Self(next), next.saturating_sub(now.saturating_add(burst)))
    }
}

impl Pace {
    fn new(config: ThrottleConfig, clock: Arc<dyn Clock>) -> Self {
        let (refused, delayed) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { config, clock, buckets: Mutex::default(), refused, delayed }
    }

    /// How many calls had to wait.
    pub fn delayed(&self) -> u64 {
        self.delayed.load(Ordering::Relaxed)
    }

    /// How many were refused.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// How long a call that brings so many bytes has to wait; or, if that is too long, `Err` of it.
    fn enter(&self, bytes: u64) -> Result<Duration, Duration> {
        let (now, config) = (self.clock.now(), &self.config);
        let mut buckets = self.buckets.lock();
        let (calls, first) = buckets.calls.take(now, config.burst, config.calls_per_second, 1);
        let (bytes, second) = buckets.bytes.take(now, config.burst, config.bytes_per_second, bytes);
        let wait = first.max(second);
        if wait > config.max_wait {
            return Err(wait);
        }
        *buckets = Buckets { calls, bytes };
        Ok(wait)
    }

    /// Takes what came out of a call.
    fn charge(&self, bytes: u64) {
        if bytes > 0 && self.config.bytes_per_second.is_some() {
            let (now, config) = (self.clock.now(), &self.config);
            let mut buckets = self.buckets.lock();
            buckets.bytes = buckets.bytes.take(now, config.burst, config.bytes_per_second, bytes).0;
        }
    }
}

impl Policy for Pace {
    fn capabilities(&self, beneath: Capabilities) -> Capabilities {
        Capabilities { in_place: false, ..beneath }
    }

    async fn run<'a, T, M>(&'a self, call: Call<'a>, mut make: M) -> Result<T>
    where
        T: Answer + 'a,
        M: FnMut() -> BoxFuture<'a, Result<T>> + Send + 'a,
    {
        if call.operation.class() == Class::Upkeep {
            return make().await;
        }
        let wait = self.enter(call.bytes_in).map_err(|wait| {
            self.refused.fetch_add(1, Ordering::Relaxed);
            Error::new(ErrorKind::Busy, call.operation.name())
                .because("calls come faster than the store is allowed to be asked; ask again later")
                .with("retry_after", format!("{wait:?}"))
        })?;
        if !wait.is_zero() {
            self.delayed.fetch_add(1, Ordering::Relaxed);
            self.clock.sleep(wait).await;
        }
        let answer = make().await?;
        self.charge(answer.bytes());
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use terrace_store::block_on::poll_once;
    use terrace_store::fakes::{FrozenClock, MapStore};
    use terrace_store::{Key, StoreExt, block_on};

    use super::*;
    use crate::world::tests::world;

    fn throttled(config: ThrottleConfig) -> (Throttle, FrozenClock, Key) {
        let clock = FrozenClock::default();
        let store = Throttle::over(Arc::new(MapStore::default()), config, &world(&clock));
        (store, clock, Key::new("n", "k").unwrap())
    }

    #[test]
    fn calls_beyond_the_burst_wait_their_time_and_no_longer_than_they_may() {
        let config = ThrottleConfig {
            calls_per_second: Some(10),
            max_wait: Duration::from_millis(250),
            ..ThrottleConfig::default()
        };
        let (store, clock, key) = throttled(config);
        for _ in 0..10 {
            assert!(poll_once(store.get(&key)).is_ok());
        }
        let waiting = [(); 2].map(|()| poll_once(store.get(&key)).expect_err("it waits"));
        assert_eq!(block_on(store.get(&key)).unwrap_err().kind(), ErrorKind::Busy);
        assert_eq!((store.policy().delayed(), store.policy().refused()), (2, 1));
        let [first, second] = waiting;
        clock.advance_ms(100);
        assert!(poll_once(first).is_ok());
        let second = poll_once(second).expect_err("it is not yet its turn");
        clock.advance_ms(100);
        assert!(poll_once(second).is_ok());
    }

    #[test]
    fn over_a_long_time_there_are_as_many_calls_as_the_rate_allows() {
        let config = ThrottleConfig {
            calls_per_second: Some(100),
            max_wait: Duration::ZERO,
            ..ThrottleConfig::default()
        };
        let (store, clock, key) = throttled(config);
        let mut done = 0;
        for _ in 0..10_000 {
            done += u32::from(matches!(poll_once(store.get(&key)), Ok(Ok(_))));
            clock.advance_ms(1);
        }
        assert!((1_090..=1_101).contains(&done), "{done} calls in ten seconds with a burst of one");
    }

    #[test]
    fn bytes_read_are_paid_for_by_the_next_call() {
        let config = ThrottleConfig {
            bytes_per_second: Some(1_000),
            max_wait: Duration::from_secs(10),
            ..ThrottleConfig::default()
        };
        let (store, clock, key) = throttled(config);
        let _ = block_on(store.put_with(&key, vec![7; 1_000])).unwrap();
        assert!(poll_once(store.get(&key)).is_ok(), "it was not known what would come");
        let next = poll_once(store.get(&key)).expect_err("it pays for the one before");
        clock.advance_ms(1_000);
        assert!(poll_once(next).is_ok());
        assert!(poll_once(store.flush()).is_ok(), "upkeep is never kept waiting");
    }
}
