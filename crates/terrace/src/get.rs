//! A read on its way.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use terrace_store::{BoxFuture, Error, ErrorKind, Result};
use terrace_tiers::{Fetch, Found};

/// The future of a read. After a hot hit it is ready and nothing was allocated; otherwise it waits for the flight
/// of its key. Dropping it leaves the flight to the others.
#[must_use = "futures do nothing unless awaited"]
pub struct Get<T> {
    state: State<T>,
}

enum State<T> {
    Ready(Result<T>),
    /// Boxed and erased, so that a hit carries neither room for it nor the code that drops it.
    Fetching(BoxFuture<'static, Result<T>>),
    Done,
}

/// No part of a `Get` is pinned: what waits is in a box, and the rest is plain data.
impl<T> Unpin for Get<T> {}

impl<T> Get<T> {
    #[inline]
    pub(crate) fn ready(result: Result<T>) -> Self {
        Self { state: State::Ready(result) }
    }
}

impl<T: 'static> Get<T> {
    /// Waits for a fetch, unless it is over already, and takes the value out of what it found.
    pub(crate) fn fetching(
        fetch: Result<Fetch>,
        take: impl FnOnce(Found) -> Result<T> + Send + 'static,
    ) -> Self {
        match fetch.map(|mut fetch| (fetch.now(), fetch)) {
            Ok((None, fetch)) => Self { state: State::Fetching(Box::pin(async { take(fetch.await?) })) },
            Ok((Some(outcome), _)) => Self::ready(outcome.and_then(take)),
            Err(error) => Self::ready(Err(error)),
        }
    }
}

impl<T> Future for Get<T> {
    type Output = Result<T>;

    // Always: of a hit that is awaited where it was asked for nothing but its value is left.
    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        if let State::Fetching(fetching) = &mut self.state {
            let polled = fetching.as_mut().poll(context);
            if polled.is_ready() {
                self.state = State::Done;
            }
            return polled;
        }
        match std::mem::replace(&mut self.state, State::Done) {
            State::Ready(result) => Poll::Ready(result),
            _ => Poll::Ready(Err(polled_again())),
        }
    }
}

#[cold]
fn polled_again() -> Error {
    Error::new(ErrorKind::Invalid, "get").because("the future was polled after it had completed")
}
