//! A store that takes its time, or hangs until it is let go.

use std::collections::{HashMap, HashSet};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use super::wrapped::{Call, Control, Course, Operation, Wrapped};
use crate::clock::Clock;
use crate::store::{BoxFuture, Store};

/// A store whose calls take the time they are told to, by its clock, or hang until they are let go. The delay
/// comes before the call: nothing has happened yet when a delayed call is dropped.
pub type Slow = Wrapped<Delays>;

impl Slow {
    /// Wraps the store. Nothing is slow until it is made so.
    pub fn over(inner: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self::new(inner, Delays { clock, state: Mutex::default() })
    }
}

/// The delays of a [`Slow`] store.
pub struct Delays {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    delays: HashMap<Operation, Duration>,
    held: HashSet<Operation>,
    waiting: Vec<Waker>,
    hanging: usize,
}

impl Delays {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets these operations take this long from now on; zero lets them go at once.
    pub fn delay(&self, operations: &[Operation], by: Duration) {
        let mut state = self.state();
        for operation in operations {
            match by {
                Duration::ZERO => state.delays.remove(operation),
                by => state.delays.insert(*operation, by),
            };
        }
    }

    /// Lets these operations hang.
    pub fn hold(&self, operations: &[Operation]) {
        self.state().held.extend(operations);
    }

    /// Lets everything go that hangs, and hang no more.
    pub fn release(&self) {
        let waiting = {
            let mut state = self.state();
            state.held.clear();
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// How many calls hang at the moment.
    pub fn hanging(&self) -> usize {
        self.state().hanging
    }
}

/// Counts a call as hanging for as long as it does, also when it is dropped.
struct Hanging<'a>(&'a Delays);

impl<'a> Hanging<'a> {
    fn begin(delays: &'a Delays) -> Self {
        delays.state().hanging += 1;
        Self(delays)
    }
}

impl Drop for Hanging<'_> {
    fn drop(&mut self) {
        self.0.state().hanging -= 1;
    }
}

impl Control for Delays {
    fn before<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Course> {
        let operation = call.operation;
        Box::pin(async move {
            let delay = self.state().delays.get(&operation).copied();
            if let Some(delay) = delay {
                self.clock.sleep(delay).await;
            }
            let mut hanging = None;
            poll_fn(|context| {
                if !self.state().held.contains(&operation) {
                    return Poll::Ready(());
                }
                hanging.get_or_insert_with(|| Hanging::begin(self));
                self.state().waiting.push(context.waker().clone());
                Poll::Pending
            })
            .await;
            Course::Through
        })
    }

    fn after(&self, _call: Call<'_>, _bytes_out: u64) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block_on::poll_once;
    use crate::fakes::{FrozenClock, MapStore};
    use crate::{Key, block_on};

    fn slow() -> (Slow, FrozenClock, Key) {
        let clock = FrozenClock::default();
        let slow = Slow::over(Arc::new(MapStore::default()), Arc::new(clock.clone()));
        (slow, clock, Key::new("n", "k").unwrap())
    }

    #[test]
    fn a_delayed_call_takes_its_time_by_the_clock_and_others_do_not() {
        let (slow, clock, key) = slow();
        slow.control().delay(&[Operation::Get], Duration::from_millis(10));
        assert!(poll_once(slow.exists(&key)).is_ok());
        let get = poll_once(slow.get(&key)).expect_err("it is delayed");
        clock.advance_ms(9);
        let get = poll_once(get).expect_err("it is not yet time");
        clock.advance_ms(1);
        assert!(poll_once(get).is_ok());
        slow.control().delay(&[Operation::Get], Duration::ZERO);
        assert!(poll_once(slow.get(&key)).is_ok());
    }

    #[test]
    fn a_held_call_hangs_until_it_is_let_go() {
        let (slow, _, key) = slow();
        slow.control().hold(&Operation::READS);
        let get = poll_once(slow.get(&key)).expect_err("it hangs");
        let dropped = poll_once(slow.get(&key)).expect_err("it hangs");
        assert_eq!(slow.control().hanging(), 2);
        drop(dropped);
        assert_eq!(slow.control().hanging(), 1);
        slow.control().release();
        assert_eq!(block_on(get).unwrap(), None);
        assert_eq!(slow.control().hanging(), 0);
    }
}
