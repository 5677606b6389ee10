//! hedge: a read that takes longer than most is asked a second time, and whichever answers first counts.
//!
//! Decision: only `get`, `exists` and `get_many`, which change nothing. The second question is asked after a delay, which
//! is given or follows the times that were measured: the 95th percentile of the last few hundred reads. Only so many
//! in a hundred reads are asked twice, since a store that is slow because it is overloaded would only become slower.
//! An error ends the race only if the other question has failed as well, or was never asked. Both questions run in the
//! caller's task: whoever stops waiting stops both.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;
use terrace_store::{BoxFuture, Capabilities, Clock, Result, Store};

use crate::answer::Answer;
use crate::call::{Call, Operation};
use crate::guard::{Guarded, Policy};
use crate::world::World;

/// When reads are asked twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HedgeConfig {
    /// After how long; `None` for as long as 95 of 100 reads take.
    pub delay: Option<Duration>,
    /// Never sooner than this.
    pub least_delay: Duration,
    /// How many in a hundred reads at most.
    pub percent: u32,
}

impl Default for HedgeConfig {
    /// After as long as 95 of 100 reads take, at least a millisecond; five in a hundred.
    fn default() -> Self {
        Self { delay: None, least_delay: Duration::from_millis(1), percent: 5 }
    }
}

/// A store whose slow reads are asked twice.
pub type Hedge = Guarded<Race>;

impl Hedge {
    /// Asks slow reads of the store twice.
    pub fn over(inner: Arc<dyn Store>, config: HedgeConfig, world: &World) -> Self {
        Self::new(inner, Race::new(config, Arc::clone(&world.clock)))
    }
}

/// A hundred of these are one second question.
const PRICE: u64 = 100;
/// As many second questions may come at once.
const BURST: u64 = 10 * PRICE;
/// Times that are remembered.
const TIMES: usize = 256;

/// Lets questions race. Made by [`Hedge::over`].
pub struct Race {
    config: HedgeConfig,
    clock: Arc<dyn Clock>,
    tokens: AtomicU64,
    times: Mutex<Times>,
    /// The percentile in nanoseconds, computed anew every so often; 0 is unknown.
    usual_ns: AtomicU64,
    asked: AtomicU64,
    won: AtomicU64,
}

struct Times {
    ns: [u64; TIMES],
    seen: usize,
}

impl Race {
    fn new(config: HedgeConfig, clock: Arc<dyn Clock>) -> Self {
        Self {
            config,
            clock,
            tokens: AtomicU64::new(BURST),
            times: Mutex::new(Times { ns: [0; TIMES], seen: 0 }),
            usual_ns: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            won: AtomicU64::new(0),
        }
    }

    /// How many reads were asked twice.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// How many of those the second question won.
    pub fn won(&self) -> u64 {
        self.won.load(Ordering::Relaxed)
    }

    /// After how long a second question is asked now; `None` while too little is known.
    pub fn delay(&self) -> Option<Duration> {
        let usual = match self.usual_ns.load(Ordering::Relaxed) {
            0 => None,
            ns => Some(Duration::from_nanos(ns)),
        };
        Some(self.config.delay.or(usual)?.max(self.config.least_delay))
    }

    fn learn(&self, took: Duration) {
        let mut times = self.times.lock();
        let at = times.seen % TIMES;
        times.ns[at] = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        times.seen += 1;
        // Sorting 256 numbers takes some microseconds: once in 64 reads that is nothing.
        if times.seen >= 64 && times.seen.is_multiple_of(64) {
            let mut known = times.ns;
            let known = &mut known[..times.seen.min(TIMES)];
            let at = known.len() * 95 / 100;
            let usual = *known.select_nth_unstable(at).1;
            self.usual_ns.store(usual.max(1), Ordering::Relaxed);
        }
    }

    fn earn(&self) {
        let percent = u64::from(self.config.percent.min(100));
        let more = |tokens: u64| (tokens < BURST).then(|| (tokens + percent).min(BURST));
        let _ = self.tokens.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    fn pay(&self) -> bool {
        let less = |tokens: u64| tokens.checked_sub(PRICE);
        self.config.percent > 0
            && self.tokens.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

impl Policy for Race {
    const REPEATS: bool = true;

    fn capabilities(&self, beneath: Capabilities) -> Capabilities {
        beneath
    }

    async fn run<'a, T, M>(&'a self, call: Call<'a>, mut make: M) -> Result<T>
    where
        T: Answer + 'a,
        M: FnMut() -> BoxFuture<'a, Result<T>> + Send + 'a,
    {
        if !matches!(call.operation, Operation::Get | Operation::Exists | Operation::GetMany) {
            return make().await;
        }
        self.earn();
        let began = self.clock.now();
        let (mut first, mut second) = (Some(make()), None::<BoxFuture<'a, Result<T>>>);
        let mut timer = self.delay().map(|delay| (delay, None));
        let mut failed = None;
        let (result, by_second) = poll_fn(|context| {
            if let Some(Poll::Ready(result)) = first.as_mut().map(|first| first.as_mut().poll(context)) {
                first = None;
                match result {
                    Err(error) if second.is_some() => failed = Some(error),
                    result => return Poll::Ready((result, false)),
                }
            }
            if let Some((delay, sleep)) = &mut timer {
                let sleep = sleep.get_or_insert_with(|| self.clock.sleep(*delay));
                if sleep.as_mut().poll(context).is_ready() {
                    timer = None;
                    if self.pay() {
                        self.asked.fetch_add(1, Ordering::Relaxed);
                        second = Some(make());
                    }
                }
            }
            let Some(Poll::Ready(result)) = second.as_mut().map(|second| second.as_mut().poll(context))
            else {
                return Poll::Pending;
            };
            second = None;
            match (result, failed.take()) {
                (Ok(answer), _) => Poll::Ready((Ok(answer), true)),
                (Err(_), Some(error)) => Poll::Ready((Err(error), false)),
                (Err(_), None) => Poll::Pending,
            }
        })
        .await;
        if result.is_ok() {
            self.learn(self.clock.now().saturating_sub(began));
            self.won.fetch_add(u64::from(by_second), Ordering::Relaxed);
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use terrace_store::block_on::poll_once;
    use terrace_store::fakes::{Fault, Flaky, FrozenClock, MapStore, Operation as On, Recording, Slow, When};
    use terrace_store::{ErrorKind, Key, StoreExt, block_on};

    use super::*;
    use crate::world::tests::world;

    struct Scene {
        clock: FrozenClock,
        recording: Arc<Recording>,
        flaky: Arc<Flaky>,
        slow: Arc<Slow>,
        store: Hedge,
        key: Key,
    }

    fn scene(config: HedgeConfig) -> Scene {
        let clock = FrozenClock::default();
        let map = Arc::new(MapStore::default());
        let flaky = Arc::new(Flaky::over(map));
        let slow = Arc::new(Slow::over(flaky.clone(), Arc::new(clock.clone())));
        let recording = Arc::new(Recording::over(slow.clone()));
        let store = Hedge::over(recording.clone(), config, &world(&clock));
        Scene { clock, recording, flaky, slow, store, key: Key::new("n", "k").unwrap() }
    }

    fn after_ms(ms: u64) -> HedgeConfig {
        HedgeConfig { delay: Some(Duration::from_millis(ms)), ..HedgeConfig::default() }
    }

    #[test]
    fn a_slow_read_is_asked_again_and_the_first_answer_counts() {
        let scene = scene(after_ms(10));
        scene.slow.control().hold(&[On::Get]);
        let get = poll_once(scene.store.get(&scene.key)).expect_err("it hangs");
        scene.clock.advance_ms(10);
        let get = poll_once(get).expect_err("both hang");
        assert_eq!((scene.recording.control().count(On::Get), scene.slow.control().hanging()), (2, 2));
        scene.slow.control().release();
        assert_eq!(block_on(get).unwrap(), None);
        assert_eq!(scene.store.policy().asked(), 1);
    }

    #[test]
    fn writes_are_never_asked_twice() {
        let scene = scene(after_ms(10));
        scene.slow.control().hold(&[On::Put, On::Reserve]);
        let put = poll_once(Box::pin(async { scene.store.put_with(&scene.key, "v").await }));
        let put = put.expect_err("it hangs");
        scene.clock.advance_ms(1_000);
        let put = poll_once(put).expect_err("it hangs");
        assert_eq!(scene.slow.control().hanging(), 1);
        drop(put);
    }

    #[test]
    fn an_error_waits_for_the_other_question() {
        let scene = scene(after_ms(10));
        scene.slow.control().delay(&[On::Get], Duration::from_millis(20));
        scene.flaky.control().inject(Fault::fail(ErrorKind::Network).when(When::Nth(1)));
        let get = poll_once(scene.store.get(&scene.key)).expect_err("it is slow");
        scene.clock.advance_ms(10);
        let get = poll_once(get).expect_err("both are slow");
        scene.clock.advance_ms(10);
        let get = poll_once(get).expect_err("the first failed, the second is under way");
        scene.clock.advance_ms(10);
        assert_eq!(block_on(get).unwrap(), None);
        assert_eq!(scene.store.policy().won(), 1);
    }

    #[test]
    fn only_so_many_reads_are_asked_twice() {
        let scene = scene(HedgeConfig { percent: 10, ..after_ms(10) });
        scene.slow.control().delay(&[On::Get], Duration::from_millis(20));
        for _ in 0..1_000 {
            let get = poll_once(scene.store.get(&scene.key)).expect_err("it is slow");
            scene.clock.advance_ms(10);
            let get = poll_once(get).expect_err("it is slow");
            scene.clock.advance_ms(10);
            assert!(block_on(get).is_ok());
        }
        let asked = scene.store.policy().asked();
        assert!((100..=112).contains(&asked), "{asked} of 1000");
    }

    #[test]
    fn the_delay_is_learned_from_the_times_of_reads() {
        let scene = scene(HedgeConfig { percent: 0, ..HedgeConfig::default() });
        assert_eq!(scene.store.policy().delay(), None);
        for n in 0..256 {
            let ms = if n % 10 == 0 { 50 } else { 4 };
            scene.slow.control().delay(&[On::Get], Duration::from_millis(ms));
            let get = poll_once(scene.store.get(&scene.key)).expect_err("it is slow");
            scene.clock.advance_ms(ms);
            assert!(block_on(get).is_ok());
        }
        assert_eq!(scene.store.policy().delay(), Some(Duration::from_millis(50)));
    }
}
