//! A clock that stands still until it is told to move.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::clock::Clock;
use crate::store::BoxFuture;

/// A [`Clock`] under the test's control. Monotonic and wall time can be moved together or apart; sleepers wake
/// when [`FrozenClock::advance`] passes their time.
#[derive(Clone, Default)]
pub struct FrozenClock(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    now: Duration,
    wall_ms: u64,
    next: u64,
    sleepers: BTreeMap<(Duration, u64), Option<Waker>>,
}

impl FrozenClock {
    /// A clock whose wall time is this, and whose monotonic time begins at zero.
    pub fn at_wall_ms(wall_ms: u64) -> Self {
        let clock = Self::default();
        clock.state(|state| state.wall_ms = wall_ms);
        clock
    }

    fn state<T>(&self, with: impl FnOnce(&mut State) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets both times pass, and wakes the sleepers whose time has come.
    pub fn advance(&self, by: Duration) {
        let due = self.state(|state| {
            state.now += by;
            state.wall_ms = state.wall_ms.saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX));
            let later = state.sleepers.split_off(&(state.now, u64::MAX));
            std::mem::replace(&mut state.sleepers, later)
        });
        due.into_values().flatten().for_each(Waker::wake);
    }

    /// Lets both times pass, in milliseconds.
    pub fn advance_ms(&self, ms: u64) {
        self.advance(Duration::from_millis(ms));
    }

    /// Sets the wall clock, forwards or back, as an administrator or a time server would.
    pub fn set_wall_ms(&self, wall_ms: u64) {
        self.state(|state| state.wall_ms = wall_ms);
    }

    /// How many sleepers wait.
    pub fn sleepers(&self) -> usize {
        self.state(|state| state.sleepers.len())
    }
}

impl Clock for FrozenClock {
    fn now(&self) -> Duration {
        self.state(|state| state.now)
    }

    fn wall_ms(&self) -> u64 {
        self.state(|state| state.wall_ms)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let key = self.state(|state| {
            state.next += 1;
            let key = (state.now + duration, state.next);
            state.sleepers.insert(key, None);
            key
        });
        Box::pin(Sleep { clock: self.clone(), key })
    }
}

struct Sleep {
    clock: FrozenClock,
    key: (Duration, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.clock.state(|state| {
            if state.now >= self.key.0 {
                return Poll::Ready(());
            }
            state.sleepers.insert(self.key, Some(context.waker().clone()));
            Poll::Pending
        })
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.clock.state(|state| state.sleepers.remove(&self.key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block_on::poll_once;

    #[test]
    fn a_sleeper_wakes_when_its_time_has_come_and_not_before() {
        let clock = FrozenClock::at_wall_ms(1_000_000);
        let sleep = clock.sleep(Duration::from_millis(10));
        clock.advance_ms(9);
        let sleep = poll_once(sleep).unwrap_err();
        clock.advance_ms(1);
        assert!(poll_once(sleep).is_ok());
        assert_eq!((clock.wall_ms(), clock.now_ms(), clock.sleepers()), (1_000_010, 10, 0));
    }

    #[test]
    fn the_wall_clock_can_go_back_while_time_goes_on() {
        let clock = FrozenClock::at_wall_ms(5_000);
        clock.set_wall_ms(1_000);
        clock.advance_ms(5);
        assert_eq!((clock.wall_ms(), clock.now_ms()), (1_005, 5));
    }
}
