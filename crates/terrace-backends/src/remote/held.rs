//! The leases that this process holds, by its own clock.
//!
//! Whether a lease of this process has ended its own monotonic clock says; whether that of another one has, the
//! server's clock, to which it was granted. So no two processes need clocks that agree.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use terrace_store::Clock;
use terrace_store::capability::Lease;

/// Until when this process's own leases last, by token, in monotonic milliseconds.
#[derive(Default)]
pub(crate) struct Held {
    leases: Mutex<HashMap<Bytes, (u64, u64)>>,
    /// One at a time acquires, so that what this process was granted is known before it asks again.
    pub(crate) turn: tokio::sync::Mutex<()>,
}

/// When a lease that begins now ends.
fn ends(clock: &dyn Clock, ttl: Duration) -> u64 {
    clock.now_ms().saturating_add(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX))
}

/// The end of a lease, taken before it is asked for: it lasts from then.
#[derive(Clone, Copy)]
pub(crate) struct Until(u64);

impl Held {
    fn leases(&self) -> MutexGuard<'_, HashMap<Bytes, (u64, u64)>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn until(clock: &dyn Clock, ttl: Duration) -> Until {
        Until(ends(clock, ttl))
    }

    /// The token that this process was granted for a name last, and whether its time is over.
    pub(crate) fn known(&self, clock: &dyn Clock, name: &[u8]) -> Option<(u64, bool)> {
        self.leases().get(name).map(|(token, ends)| (*token, *ends <= clock.now_ms()))
    }

    /// Whether this process holds the lease still.
    pub(crate) fn holds(&self, clock: &dyn Clock, lease: &Lease) -> bool {
        self.known(clock, &lease.name) == Some((lease.token, false))
    }

    /// It was granted, or granted again.
    pub(crate) fn granted(&self, clock: &dyn Clock, name: &Bytes, token: u64, until: Until) {
        let mut leases = self.leases();
        // What ended long ago need not be known, unless it is asked for again.
        if leases.len() >= 1024 {
            let now = clock.now_ms();
            leases.retain(|_, (_, ends)| *ends > now);
        }
        leases.insert(name.clone(), (token, until.0));
    }

    pub(crate) fn released(&self, lease: &Lease) {
        self.leases().remove(&lease.name);
    }
}
