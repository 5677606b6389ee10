//! Leases within the process, by monotonic time.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use terrace_store::capability::{Lease, Lock};
use terrace_store::{BoxFuture, Result};

use super::MemoryStore;

/// How many leases are held before those that have ended are looked for.
const SWEEP_FROM: usize = 1024;

/// The leases that were granted and may not have ended.
#[derive(Default)]
pub(super) struct Leases(Mutex<State>);

#[derive(Default)]
struct State {
    /// Token, and the monotonic time of the end.
    held: HashMap<Bytes, (u64, Duration)>,
    token: u64,
    sweep_at: usize,
}

impl Leases {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn acquire(&self, name: &[u8], ttl: Duration, now: Duration) -> Option<Lease> {
        let mut state = self.state();
        if state.held.get(name).is_some_and(|(_, end)| *end > now) {
            return None;
        }
        if state.held.len() >= state.sweep_at.max(SWEEP_FROM) {
            state.held.retain(|_, (_, end)| *end > now);
            state.sweep_at = 2 * state.held.len();
        }
        state.token += 1;
        let lease = Lease { name: Bytes::copy_from_slice(name), token: state.token, ttl };
        let token = state.token;
        state.held.insert(lease.name.clone(), (token, now.saturating_add(ttl)));
        Some(lease)
    }

    /// Gives a lease that has not ended another end, or none.
    fn change(&self, lease: &Lease, now: Duration, end: Option<Duration>) -> bool {
        let mut state = self.state();
        let Some(held) = state.held.get_mut(&lease.name) else { return false };
        if held.0 != lease.token || held.1 <= now {
            return false;
        }
        match end {
            Some(end) => held.1 = end,
            None => drop(state.held.remove(&lease.name)),
        }
        true
    }
}

impl Lock for MemoryStore {
    fn try_acquire<'a>(&'a self, name: &'a [u8], ttl: Duration) -> BoxFuture<'a, Result<Option<Lease>>> {
        super::done(self.table("lock").map(|table| table.leases.acquire(name, ttl, table.clock.now())))
    }

    fn renew<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<bool>> {
        super::done(self.table("lock").map(|table| {
            let now = table.clock.now();
            table.leases.change(lease, now, Some(now.saturating_add(lease.ttl)))
        }))
    }

    fn release<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<bool>> {
        super::done(self.table("lock").map(|table| table.leases.change(lease, table.clock.now(), None)))
    }
}
