//! Leases with fencing tokens from a sequence.
//!
//! Whether a lease of this process has ended its own monotonic clock says; whether that of another one has, the
//! server's clock, to which it was granted. So no two processes need clocks that agree.

use std::hash::{BuildHasher, RandomState};
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use terrace_store::capability::{Lease, Lock};
use terrace_store::{BoxFuture, Result};

use super::PostgresStore;
use super::link::writes;

type Held = std::collections::HashMap<Bytes, (i64, u64)>;

/// A number that no other holder has.
pub(super) fn holder() -> [u8; 16] {
    let half = || RandomState::new().hash_one(std::process::id());
    (u128::from(half()) << 64 | u128::from(half())).to_be_bytes()
}

fn interval(ttl: Duration) -> String {
    format!("{} milliseconds", ttl.as_millis())
}

impl PostgresStore {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ends(&self, ttl: Duration) -> u64 {
        self.clock.now_ms().saturating_add(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX))
    }

    /// Whether this process holds the lease still.
    fn holds(&self, lease: &Lease) -> bool {
        let token = lease.token.cast_signed();
        self.held().get(&lease.name).is_some_and(|(held, ends)| *held == token && self.clock.now_ms() < *ends)
    }

    async fn acquire(&self, name: &[u8], ttl: Duration) -> Result<Option<Lease>> {
        self.ready("acquire").await?;
        // One at a time, so that what this process was granted is known before it asks again.
        let _turn = self.acquiring.lock().await;
        // It lasts from before it was asked for.
        let ends = self.ends(ttl);
        let known = self.held().get(name).map(|(token, ends)| (*token, *ends <= self.clock.now_ms()));
        let (token, over) = known.unzip();
        let holder = &self.holder[..];
        let arguments: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
            [&name, &holder, &interval(ttl), &token, &over];
        let rows = self.link.query(writes("acquire"), &self.sql.acquire, &arguments).await?;
        let Some(token) = rows.first().and_then(|row| row.get::<_, Option<i64>>(0)) else { return Ok(None) };
        let name = Bytes::copy_from_slice(name);
        self.held().insert(name.clone(), (token, ends));
        Ok(Some(Lease { name, token: token.cast_unsigned(), ttl }))
    }

    async fn prolong(&self, lease: &Lease) -> Result<bool> {
        self.ready("renew").await?;
        let (ends, token, holder) = (self.ends(lease.ttl), lease.token.cast_signed(), &self.holder[..]);
        let renew = format!("{} RETURNING token", self.sql.renew);
        let lasts = interval(lease.ttl);
        if !self.holds(lease) {
            return Ok(false);
        }
        let arguments: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&&lease.name[..], &token, &holder, &lasts];
        let renewed = !self.link.query(writes("renew"), &renew, &arguments).await?.is_empty();
        if renewed {
            self.held().insert(lease.name.clone(), (token, ends));
        }
        Ok(renewed)
    }

    async fn give_up(&self, lease: &Lease) -> Result<bool> {
        self.ready("release").await?;
        let (held, token, holder) = (self.holds(lease), lease.token.cast_signed(), &self.holder[..]);
        let release = format!("{} RETURNING token", self.sql.release);
        let arguments: [&(dyn tokio_postgres::types::ToSql + Sync); 3] = [&&lease.name[..], &token, &holder];
        let released = !self.link.query(writes("release"), &release, &arguments).await?.is_empty();
        if released {
            self.held().remove(&lease.name);
        }
        Ok(held && released)
    }
}

impl Lock for PostgresStore {
    fn try_acquire<'a>(&'a self, name: &'a [u8], ttl: Duration) -> BoxFuture<'a, Result<Option<Lease>>> {
        Box::pin(self.acquire(name, ttl))
    }

    fn renew<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<bool>> {
        Box::pin(self.prolong(lease))
    }

    fn release<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<bool>> {
        Box::pin(self.give_up(lease))
    }
}
