//! Waiting for a future on this thread, for callers that are not asynchronous.

use std::future::{Future, IntoFuture};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs the future on this thread, parking it whenever there is nothing to do.
///
/// A future that needs this very thread to make progress elsewhere (a task on a runtime that runs on it) never
/// completes: see [`Spawn::may_block`](crate::Spawn::may_block).
pub fn block_on<F: IntoFuture>(future: F) -> F::Output {
    let mut future = pin!(future.into_future());
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Polls the future once; `None` if it is not ready. For futures that are known to complete in place.
// Always: of a future that is ready nothing is left where it is in line.
#[inline(always)]
pub fn poll_once<F: Future + Unpin>(mut future: F) -> Result<F::Output, F> {
    let mut context = Context::from_waker(Waker::noop());
    match std::pin::Pin::new(&mut future).poll(&mut context) {
        Poll::Ready(output) => Ok(output),
        Poll::Pending => Err(future),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_future_woken_by_another_thread_completes() {
        let (sender, receiver) = std::sync::mpsc::channel::<Waker>();
        let worker = thread::spawn(move || receiver.recv().unwrap().wake());
        let mut polls = 0;
        let answer = block_on(std::future::poll_fn(|context| {
            polls += 1;
            if polls == 1 {
                sender.send(context.waker().clone()).unwrap();
                return Poll::Pending;
            }
            Poll::Ready(7)
        }));
        worker.join().unwrap();
        assert_eq!(answer, 7);
    }

    #[test]
    fn polling_once_gives_the_future_back_when_it_is_not_ready() {
        assert_eq!(poll_once(std::future::ready(1)).ok(), Some(1));
        let pending = poll_once(std::future::pending::<()>());
        assert!(pending.is_err());
    }
}
