//! What is told to one listener and not read yet: a bounded queue with a mark where something was dropped.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use terrace_store::BoxFuture;

/// How many unread items are kept.
const KEPT: usize = 4096;

/// The queue of one listener.
pub(crate) struct Inbox<T>(Mutex<State<T>>);

struct State<T> {
    items: VecDeque<T>,
    lagging: bool,
    closed: bool,
    waker: Option<Waker>,
}

impl<T> Default for Inbox<T> {
    fn default() -> Self {
        Self(Mutex::new(State { items: VecDeque::new(), lagging: false, closed: false, waker: None }))
    }
}

impl<T: Send> Inbox<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an item, or once `lagged` in the place of those for which there is no room.
    pub(crate) fn push(&self, item: T, lagged: T) {
        let mut state = self.state();
        if state.items.len() < KEPT {
            state.items.push_back(item);
            state.lagging = false;
        } else if !std::mem::replace(&mut state.lagging, true) {
            state.items.push_back(lagged);
        }
        if let Some(waker) = state.waker.take() {
            drop(state);
            waker.wake();
        }
    }

    /// Lets the listener end once it has read what is there.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        if let Some(waker) = state.waker.take() {
            drop(state);
            waker.wake();
        }
    }

    /// The next item; `None` at the end.
    pub(crate) fn next(&self) -> BoxFuture<'_, Option<T>> {
        Box::pin(std::future::poll_fn(|context| {
            let mut state = self.state();
            match state.items.pop_front() {
                Some(item) => Poll::Ready(Some(item)),
                None if state.closed => Poll::Ready(None),
                None => {
                    state.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use terrace_store::block_on::poll_once;

    #[test]
    fn where_items_are_dropped_there_is_one_mark() {
        let inbox = Inbox::default();
        (0..KEPT + 10).for_each(|n| inbox.push(Some(n), None));
        let mut read = Vec::new();
        for _ in 0..=KEPT {
            read.push(poll_once(inbox.next()).ok().unwrap().unwrap());
        }
        assert_eq!(read.iter().filter(|item| item.is_none()).count(), 1);
        assert_eq!(read.last(), Some(&None));
        inbox.push(Some(7), None);
        inbox.close();
        assert_eq!(poll_once(inbox.next()).ok().unwrap(), Some(Some(7)));
        assert_eq!(poll_once(inbox.next()).ok().unwrap(), None);
    }
}
