//! Taking turns without blocking a thread: a lock that may be held while something is awaited.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Poll, Waker};

use parking_lot::Mutex;

/// A lock. Whoever waits is woken in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<Line>);

#[derive(Debug, Default)]
struct Line {
    taken: bool,
    next: u64,
    waiting: VecDeque<(u64, Waker)>,
}

impl Turns {
    /// Waits for the lock. Dropping it gives it back.
    pub(crate) async fn take(&self) -> Turn<'_> {
        let mut place = Place { turns: self, number: None };
        poll_fn(|context| {
            let mut line = self.0.lock();
            if !line.taken {
                line.taken = true;
                return Poll::Ready(());
            }
            let number = *place.number.get_or_insert_with(|| {
                line.next += 1;
                line.next
            });
            line.waiting.retain(|(waiting, _)| *waiting != number);
            let at = line.waiting.partition_point(|(waiting, _)| *waiting < number);
            line.waiting.insert(at, (number, context.waker().clone()));
            Poll::Pending
        })
        .await;
        Turn(self)
    }

    fn wake_next(&self) {
        let next = self.0.lock().waiting.front().map(|(_, waker)| waker.clone());
        if let Some(waker) = next {
            waker.wake();
        }
    }
}

/// A place in the line, left when it is dropped.
struct Place<'a> {
    turns: &'a Turns,
    number: Option<u64>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let free = {
            let mut line = self.turns.0.lock();
            line.waiting.retain(|(waiting, _)| *waiting != number);
            !line.taken
        };
        // Whoever gives up may have been the one that was woken.
        if free {
            self.turns.wake_next();
        }
    }
}

/// The lock, held.
#[derive(Debug)]
pub(crate) struct Turn<'a>(&'a Turns);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.0.lock().taken = false;
        self.0.wake_next();
    }
}

#[cfg(test)]
mod tests {
    use terrace_store::block_on;
    use terrace_store::block_on::poll_once;

    use super::*;

    #[test]
    fn one_holds_it_at_a_time_and_who_gives_up_is_passed_over() {
        let turns = Turns::default();
        let held = block_on(turns.take());
        let second = poll_once(Box::pin(turns.take())).expect_err("it waits");
        let third = poll_once(Box::pin(turns.take())).expect_err("it waits");
        drop(second);
        drop(held);
        let Ok(held) = poll_once(third) else { panic!("it is its turn") };
        assert!(poll_once(Box::pin(turns.take())).is_err());
        drop(held);
        assert!(poll_once(Box::pin(turns.take())).is_ok());
    }

    #[test]
    fn threads_that_take_turns_are_never_in_at_once() {
        let turns = Turns::default();
        let inside = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        let _turn = block_on(turns.take());
                        assert_eq!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                        inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                    }
                });
            }
        });
    }
}
