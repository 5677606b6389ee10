//! A gate that many pass at once, until somebody closes it and waits for all to be through.

use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

/// A gate.
#[derive(Default)]
pub(super) struct Gate(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    inside: usize,
    closed: bool,
    waiting: Vec<Waker>,
}

impl Inner {
    fn wait(&mut self, context: &Context<'_>) {
        if !self.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
            self.waiting.push(context.waker().clone());
        }
    }
}

impl Gate {
    /// Goes in, when it is open.
    pub(super) async fn enter(&self) -> Inside<'_> {
        poll_fn(|context| {
            let mut inner = self.0.lock();
            if inner.closed {
                inner.wait(context);
                return Poll::Pending;
            }
            inner.inside += 1;
            Poll::Ready(())
        })
        .await;
        Inside(self)
    }

    /// Closes it, and waits until nobody is inside. It opens again when what it gives is dropped.
    pub(super) async fn close(&self) -> Closed<'_> {
        poll_fn(|context| {
            let mut inner = self.0.lock();
            if inner.closed {
                inner.wait(context);
                return Poll::Pending;
            }
            inner.closed = true;
            Poll::Ready(())
        })
        .await;
        // From here on dropping the future opens it again.
        let closed = Closed(self);
        poll_fn(|context| {
            let mut inner = self.0.lock();
            if inner.inside > 0 {
                inner.wait(context);
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
        closed
    }

    fn change(&self, change: impl FnOnce(&mut Inner)) {
        let waiting = {
            let mut inner = self.0.lock();
            change(&mut inner);
            std::mem::take(&mut inner.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }
}

/// Somebody inside.
pub(super) struct Inside<'a>(&'a Gate);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.change(|inner| inner.inside -= 1);
    }
}

/// The gate, closed and empty.
pub(super) struct Closed<'a>(&'a Gate);

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.0.change(|inner| inner.closed = false);
    }
}

#[cfg(test)]
mod tests {
    use terrace_store::block_on;
    use terrace_store::block_on::poll_once;

    use super::*;

    #[test]
    fn who_closes_it_waits_for_those_inside_and_lets_nobody_in() {
        let gate = Gate::default();
        let inside = block_on(gate.enter());
        let also = block_on(gate.enter());
        let closing = poll_once(Box::pin(gate.close())).err().expect("it waits");
        let entering = poll_once(Box::pin(gate.enter())).err().expect("it waits");
        drop(inside);
        let closing = poll_once(closing).err().expect("it waits");
        drop(also);
        let Ok(closed) = poll_once(closing) else { panic!("nobody is inside") };
        let entering = poll_once(entering).err().expect("it waits");
        drop(closed);
        assert!(poll_once(entering).is_ok());
    }

    #[test]
    fn who_gives_up_closing_it_leaves_it_open() {
        let gate = Gate::default();
        let inside = block_on(gate.enter());
        drop(poll_once(Box::pin(gate.close())).err().expect("it waits"));
        assert!(poll_once(Box::pin(gate.enter())).is_ok());
        drop(inside);
    }

    #[test]
    fn threads_are_never_inside_while_it_is_closed() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let (gate, inside) = (Gate::default(), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        let _pass = block_on(gate.enter());
                        inside.fetch_add(1, Ordering::SeqCst);
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
            for _ in 0..500 {
                let _closed = block_on(gate.close());
                assert_eq!(inside.load(Ordering::SeqCst), 0);
            }
        });
    }
}
