//! Listeners that have gone, as long as the server may still count them.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Those who do not listen any more, but whom the server may still count.
#[derive(Default)]
pub(crate) struct Leaving {
    count: AtomicUsize,
    left: Notify,
}

impl Leaving {
    pub(crate) fn begin(&self) {
        self.count.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn end(&self) {
        self.count.fetch_sub(1, Ordering::AcqRel);
        self.left.notify_waiters();
    }

    /// Waits until nobody is leaving.
    #[cfg(any(feature = "nats", feature = "postgres", feature = "redis"))]
    pub(crate) async fn settle(&self) {
        loop {
            let left = self.left.notified();
            if self.count.load(Ordering::Acquire) == 0 {
                return;
            }
            left.await;
        }
    }
}
