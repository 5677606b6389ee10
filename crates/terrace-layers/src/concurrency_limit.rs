//! concurrency_limit: so many calls at a time, the rest wait in a bounded line or are told that the store is busy.
//!
//! Decision: places are given in the order in which they were asked for. A place that is free while nobody waits costs
//! one lock. Closing is never kept waiting.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use terrace_store::{BoxFuture, Capabilities, Clock, Error, ErrorKind, Result, Store};

use crate::answer::Answer;
use crate::call::{Call, Operation};
use crate::guard::{Guarded, Policy};
use crate::timeout::within;
use crate::world::World;

/// How many calls at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConcurrencyLimitConfig {
    /// How many calls are made at a time; 0 counts as 1.
    pub places: usize,
    /// How many may wait for a place; more are `Busy` at once.
    pub queue: usize,
    /// How long one waits at most before it is `Busy`.
    pub max_wait: Duration,
}

impl Default for ConcurrencyLimitConfig {
    /// 64 at a time, 1,024 waiting, for a second.
    fn default() -> Self {
        Self { places: 64, queue: 1_024, max_wait: Duration::from_secs(1) }
    }
}

/// A store that gets so many calls at a time.
pub type ConcurrencyLimit = Guarded<Places>;

impl ConcurrencyLimit {
    /// Limits the calls to the store.
    pub fn over(inner: Arc<dyn Store>, config: ConcurrencyLimitConfig, world: &World) -> Self {
        let line = Line { free: config.places.max(1), ..Line::default() };
        Self::new(inner, Places { config, clock: Arc::clone(&world.clock), line: Mutex::new(line) })
    }
}

/// Gives places. Made by [`ConcurrencyLimit::over`].
pub struct Places {
    config: ConcurrencyLimitConfig,
    clock: Arc<dyn Clock>,
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    free: usize,
    next: u64,
    /// Who waits, the longest first.
    waiting: VecDeque<(u64, Waker)>,
    /// Places given to those who have not taken them up yet.
    given: Vec<u64>,
    busy: u64,
}

impl Places {
    /// How many calls are under way.
    pub fn used(&self) -> usize {
        self.config.places.max(1) - self.line.lock().free
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.line.lock().waiting.len()
    }

    /// How many were told that the store is busy.
    pub fn busy(&self) -> u64 {
        self.line.lock().busy
    }

    fn refuse(&self, operation: Operation, why: &'static str) -> Error {
        self.line.lock().busy += 1;
        Error::new(ErrorKind::Busy, operation.name()).because(why).with("places", self.config.places)
    }

    async fn place(&self, operation: Operation) -> Result<Place<'_>> {
        let number = {
            let mut line = self.line.lock();
            if line.free > 0 {
                line.free -= 1;
                return Ok(Place(self));
            }
            if line.waiting.len() >= self.config.queue {
                drop(line);
                return Err(self.refuse(operation, "too many calls wait for the store; ask again later"));
            }
            line.next += 1;
            let number = line.next;
            line.waiting.push_back((number, Waker::noop().clone()));
            number
        };
        let mut waiting = Waiting { places: self, number: Some(number) };
        let turn = poll_fn(|context| {
            let mut line = self.line.lock();
            if let Some(at) = line.given.iter().position(|given| *given == number) {
                line.given.swap_remove(at);
                return Poll::Ready(());
            }
            if let Some((_, waker)) = line.waiting.iter_mut().find(|(waiting, _)| *waiting == number) {
                waker.clone_from(context.waker());
            }
            Poll::Pending
        });
        match within(&*self.clock, self.config.max_wait, turn).await {
            Some(()) => {
                waiting.number = None;
                Ok(Place(self))
            }
            None => {
                drop(waiting);
                Err(self.refuse(operation, "it waited too long for its turn; ask again later"))
            }
        }
    }

    /// Gives a place to the next in line, or back.
    fn leave(&self) {
        let next = {
            let mut line = self.line.lock();
            match line.waiting.pop_front() {
                Some((number, waker)) => {
                    line.given.push(number);
                    Some(waker)
                }
                None => {
                    line.free += 1;
                    None
                }
            }
        };
        if let Some(waker) = next {
            waker.wake();
        }
    }
}

struct Place<'a>(&'a Places);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// Leaves the line when it is dropped, and hands on a place that came too late.
struct Waiting<'a> {
    places: &'a Places,
    number: Option<u64>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let mut line = self.places.line.lock();
        line.waiting.retain(|(waiting, _)| *waiting != number);
        let given = line.given.iter().position(|given| *given == number);
        if let Some(at) = given {
            line.given.swap_remove(at);
            drop(line);
            self.places.leave();
        }
    }
}

impl Policy for Places {
    fn capabilities(&self, beneath: Capabilities) -> Capabilities {
        Capabilities { in_place: false, ..beneath }
    }

    async fn run<'a, T, M>(&'a self, call: Call<'a>, mut make: M) -> Result<T>
    where
        T: Answer + 'a,
        M: FnMut() -> BoxFuture<'a, Result<T>> + Send + 'a,
    {
        if call.operation == Operation::Close {
            return make().await;
        }
        let _place = self.place(call.operation).await?;
        make().await
    }
}

#[cfg(test)]
mod tests {
    use terrace_store::block_on::poll_once;
    use terrace_store::fakes::{FrozenClock, MapStore, Operation as On, Slow};
    use terrace_store::{Key, block_on};

    use super::*;
    use crate::world::tests::world;

    #[test]
    fn no_more_calls_than_places_are_made_and_the_line_is_served_in_order() {
        let clock = FrozenClock::default();
        let slow = Arc::new(Slow::over(Arc::new(MapStore::default()), Arc::new(clock.clone())));
        let config = ConcurrencyLimitConfig { places: 2, queue: 3, ..ConcurrencyLimitConfig::default() };
        let store = ConcurrencyLimit::over(slow.clone(), config, &world(&clock));
        let key = Key::new("n", "k").unwrap();
        slow.control().hold(&[On::Get]);
        let begin = || poll_once(store.get(&key)).expect_err("it hangs or waits");
        let (first, second) = (begin(), begin());
        let (third, fourth, fifth) = (begin(), begin(), begin());
        assert_eq!((slow.control().hanging(), store.policy().used(), store.policy().waiting()), (2, 2, 3));
        let refused = block_on(store.get(&key)).unwrap_err();
        assert_eq!((refused.kind(), store.policy().busy()), (ErrorKind::Busy, 1));
        drop(first);
        drop(third);
        // The third's place goes on to the fourth, and the fifth goes on waiting.
        let fifth = poll_once(fifth).expect_err("it waits");
        let fourth = poll_once(fourth).expect_err("it hangs in the store");
        assert_eq!((slow.control().hanging(), store.policy().waiting()), (2, 1));
        slow.control().release();
        assert!(block_on(second).is_ok() && block_on(fourth).is_ok() && block_on(fifth).is_ok());
        assert_eq!((store.policy().used(), store.policy().waiting()), (0, 0));
    }

    #[test]
    fn who_waits_too_long_is_told_so() {
        let clock = FrozenClock::default();
        let slow = Arc::new(Slow::over(Arc::new(MapStore::default()), Arc::new(clock.clone())));
        let config = ConcurrencyLimitConfig { places: 1, ..ConcurrencyLimitConfig::default() };
        let store = ConcurrencyLimit::over(slow.clone(), config, &world(&clock));
        let key = Key::new("n", "k").unwrap();
        slow.control().hold(&[On::Get]);
        let held = poll_once(store.get(&key)).expect_err("it hangs");
        let waits = poll_once(store.exists(&key)).expect_err("it waits");
        clock.advance_ms(1_000);
        assert_eq!(block_on(waits).unwrap_err().kind(), ErrorKind::Busy);
        drop(held);
        assert!(block_on(store.exists(&key)).is_ok(), "the place is free again");
        assert!(block_on(store.close()).is_ok());
    }
}
