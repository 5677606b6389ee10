//! From when until when a store may be used, and what time it is to it.

#[cfg(feature = "nats")]
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use terrace_store::store::FLOOR_RETENTION;
use terrace_store::{Clock, Error, ErrorKind, Result, Spawn, Tasks};
use tokio::sync::watch;

use super::leaving::Leaving;

/// How long tasks may take to end at a close.
const GRACE: Duration = Duration::from_secs(2);

/// An open store: its clock, its tasks, and whether it is open still.
pub(crate) struct Life {
    name: &'static str,
    pub(crate) clock: Arc<dyn Clock>,
    /// Wall time less monotonic time when the store was opened, in milliseconds.
    origin_ms: u64,
    closed: AtomicBool,
    /// Ends those who listen.
    pub(super) ending: watch::Sender<bool>,
    pub(super) listeners: Tasks,
    pub(crate) leaving: Arc<Leaving>,
}

impl Life {
    pub(crate) fn begin(name: &'static str, clock: Arc<dyn Clock>, spawn: Arc<dyn Spawn>) -> Self {
        Self {
            name,
            origin_ms: clock.wall_ms().saturating_sub(clock.now_ms()),
            clock,
            closed: AtomicBool::new(false),
            ending: watch::Sender::new(false),
            listeners: Tasks::new(spawn),
            leaving: Arc::default(),
        }
    }

    pub(crate) fn check_open(&self, operation: &'static str) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, operation).with("store", self.name));
        }
        Ok(())
    }

    /// Starts a task that ends once what it is given says so, at the latest when the store does.
    #[cfg(feature = "nats")]
    pub(crate) fn task<F: Future<Output = ()> + Send + 'static>(
        &self,
        name: &'static str,
        task: impl FnOnce(watch::Receiver<bool>) -> F,
    ) {
        self.listeners.spawn(name, task(self.ending.subscribe()));
    }

    /// Ends it, and waits for those who listen. `false` if it had ended before.
    pub(crate) async fn end(&self) -> bool {
        if self.closed.swap(true, Ordering::AcqRel) {
            return false;
        }
        let _ = self.ending.send(true);
        self.listeners.close(&*self.clock, GRACE).await;
        true
    }

    /// Wall time in milliseconds.
    pub(crate) fn wall_ms(&self) -> u64 {
        self.clock.wall_ms()
    }

    /// The time before which floors may be forgotten. It runs no faster than monotonic time while the store is
    /// open, so a wall clock that jumps ahead forgets nothing too early.
    pub(crate) fn floor_now(&self) -> u64 {
        self.clock.wall_ms().min(self.origin_ms + self.clock.now_ms())
    }

    /// The time from which a floor left now may be forgotten.
    pub(crate) fn floor_deadline(&self) -> u64 {
        let now = self.clock.wall_ms().max(self.origin_ms + self.clock.now_ms());
        now.saturating_add(u64::try_from(FLOOR_RETENTION.as_millis()).unwrap_or(u64::MAX))
    }
}
