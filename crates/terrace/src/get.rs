//! A read on its way.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use terrace_store::{Error, ErrorKind, Result};
use terrace_tiers::{Fetch, Found};

/// The future of a read. After a hot hit it is ready and nothing was allocated; otherwise it waits for the flight
/// of its key. Dropping it leaves the flight to the others.
#[must_use = "futures do nothing unless awaited"]
pub struct Get<T> {
    state: State<T>,
}

enum State<T> {
    Ready(Option<Result<T>>),
    Fetching(Fetch, Box<dyn FnOnce(Found) -> Result<T> + Send>),
    Done,
}

/// No part of a `Get` is pinned: the fetch can move, and the rest is plain data.
impl<T> Unpin for Get<T> {}

impl<T> Get<T> {
    #[inline]
    pub(crate) fn ready(result: Result<T>) -> Self {
        Self { state: State::Ready(Some(result)) }
    }

    /// Waits for a fetch, and takes the value out of what it found.
    pub(crate) fn fetching(
        fetch: Result<Fetch>,
        take: impl FnOnce(Found) -> Result<T> + Send + 'static,
    ) -> Self {
        match fetch {
            Ok(fetch) => Self { state: State::Fetching(fetch, Box::new(take)) },
            Err(error) => Self::ready(Err(error)),
        }
    }
}

impl<T> Future for Get<T> {
    type Output = Result<T>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let found = match &mut self.state {
            State::Ready(result) => return Poll::Ready(result.take().unwrap_or_else(|| Err(polled_again()))),
            State::Fetching(fetch, _) => match Pin::new(fetch).poll(context) {
                Poll::Ready(found) => found,
                Poll::Pending => return Poll::Pending,
            },
            State::Done => return Poll::Ready(Err(polled_again())),
        };
        match std::mem::replace(&mut self.state, State::Done) {
            State::Fetching(_, take) => Poll::Ready(found.and_then(take)),
            _ => Poll::Ready(Err(polled_again())),
        }
    }
}

fn polled_again() -> Error {
    Error::new(ErrorKind::Invalid, "get").because("the future was polled after it had completed")
}
