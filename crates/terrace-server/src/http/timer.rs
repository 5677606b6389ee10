//! The HTTP library's timers on our clock.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};
use terrace_store::{BoxFuture, Clock};

/// Timers of a [`Clock`].
#[derive(Clone)]
pub(crate) struct ClockTimer {
    clock: Arc<dyn Clock>,
    origin: Instant,
}

impl ClockTimer {
    /// Timers of this clock.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        // An instant can only be had from the system; from here on the clock moves it.
        let origin = Instant::now().checked_sub(clock.now()).unwrap_or_else(Instant::now);
        Self { clock, origin }
    }
}

impl Timer for ClockTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(Sleeping(Mutex::new(self.clock.sleep(duration))))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        self.sleep(deadline.saturating_duration_since(self.now()))
    }

    fn now(&self) -> Instant {
        self.origin + self.clock.now()
    }
}

/// The library wants its sleepers shareable between threads; nobody shares this one.
struct Sleeping(Mutex<BoxFuture<'static, ()>>);

impl Future for Sleeping {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.get_mut().0.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut().poll(context)
    }
}

impl Sleep for Sleeping {}
