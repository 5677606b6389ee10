//! A bounded rate for what reads or writes a whole store: no more time is spent than has passed.

use std::time::Duration;

use terrace_store::Clock;

/// How fast at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) bytes_per_second: u64,
    pub(crate) entries_per_second: u64,
}

/// Keeps a rate.
pub(crate) struct Pace {
    rate: Rate,
    began: Duration,
    spent: Duration,
}

impl Pace {
    pub(crate) fn new(rate: Rate, clock: &dyn Clock) -> Self {
        Self { rate, began: clock.now(), spent: Duration::ZERO }
    }

    /// So many entries with so many bytes were moved.
    pub(crate) fn spend(&mut self, entries: u64, bytes: u64) {
        let time = |amount: u64, rate: u64| {
            let nanos = u128::from(amount) * 1_000_000_000 / u128::from(rate.max(1));
            Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
        };
        let cost = time(bytes, self.rate.bytes_per_second).max(time(entries, self.rate.entries_per_second));
        self.spent = self.spent.saturating_add(cost);
    }

    /// Waits until the rate is kept.
    pub(crate) async fn keep(&self, clock: &dyn Clock) {
        let ahead = self.began.saturating_add(self.spent).saturating_sub(clock.now());
        // Shorter sleeps than that cost more than they are worth.
        if ahead >= Duration::from_millis(5) {
            clock.sleep(ahead).await;
        }
    }
}
