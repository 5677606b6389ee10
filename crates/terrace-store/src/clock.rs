//! Time, handed in: nothing in Terrace asks the operating system for it directly, so that expiry, timeouts and
//! clock faults are ordinary unit tests.

use std::time::Duration;

use crate::store::BoxFuture;

/// A source of time.
pub trait Clock: Send + Sync + 'static {
    /// Time since some fixed instant of this process's life. Never goes back; says nothing about the date.
    fn now(&self) -> Duration;

    /// Milliseconds of wall time since the Unix epoch. May jump either way; orders nothing.
    fn wall_ms(&self) -> u64;

    /// Completes once [`Clock::now`] has advanced by this much. Dropping it cancels it.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;

    /// [`Clock::now`] in whole milliseconds.
    fn now_ms(&self) -> u64 {
        let now = self.now();
        // `as_millis` divides numbers of 128 bits, which takes longer than reading the clock.
        now.as_secs().saturating_mul(1000).saturating_add(u64::from(now.subsec_millis()))
    }
}
