//! Leases with fencing tokens from a sequence.

use std::time::Duration;

use bytes::Bytes;
use terrace_store::capability::{Lease, Lock};
use terrace_store::{BoxFuture, Result};
use xxhash_rust::xxh3::xxh3_128;

use super::Mysql;
use super::link::writes;
use crate::remote::Held;

/// Names are of any length, and the rows of leases are found by their hash.
fn hash(name: &[u8]) -> Vec<u8> {
    xxh3_128(name).to_be_bytes().to_vec()
}

fn ms(ttl: Duration) -> u64 {
    // So that no sum overflows.
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).min(1 << 60)
}

impl Mysql {
    async fn acquire(&self, name: &[u8], ttl: Duration) -> Result<Option<Lease>> {
        self.ready("acquire").await?;
        let _turn = self.held.turn.lock().await;
        let (clock, held) = (&*self.life.clock, &self.held);
        let until = Held::until(clock, ttl);
        let (known, over) = held.known(clock, name).unzip();
        let arguments = (hash(name), self.holder.to_vec(), ms(ttl), known, over.unwrap_or(false));
        let call = self.sql("CALL {p}_acquire(?,?,?,?,?)");
        let token: Vec<Option<u64>> = self.link.query(writes("acquire"), &call, arguments).await?;
        let Some(token) = token.first().copied().flatten() else { return Ok(None) };
        let name = Bytes::copy_from_slice(name);
        held.granted(clock, &name, token, until);
        Ok(Some(Lease { name, token, ttl }))
    }

    async fn prolong(&self, lease: &Lease) -> Result<bool> {
        self.ready("renew").await?;
        let clock = &*self.life.clock;
        let until = Held::until(clock, lease.ttl);
        if !self.held.holds(clock, lease) {
            return Ok(false);
        }
        // One more bit, so that a renewal is told from no change at all.
        let renew = self.sql(
            "UPDATE {p}_leases SET ends = GREATEST(ends + 1, ROUND(UNIX_TIMESTAMP(SYSDATE(3)) * 1000) + ?) \
             WHERE hash = ? AND token = ? AND holder = ?",
        );
        let arguments = (ms(lease.ttl), hash(&lease.name), lease.token, self.holder.to_vec());
        let renewed = self.link.run(writes("renew"), &renew, arguments).await? > 0;
        if renewed {
            self.held.granted(clock, &lease.name, lease.token, until);
        }
        Ok(renewed)
    }

    async fn give_up(&self, lease: &Lease) -> Result<bool> {
        self.ready("release").await?;
        let held = self.held.holds(&*self.life.clock, lease);
        let release = self.sql("DELETE FROM {p}_leases WHERE hash = ? AND token = ? AND holder = ?");
        let arguments = (hash(&lease.name), lease.token, self.holder.to_vec());
        let released = self.link.run(writes("release"), &release, arguments).await? > 0;
        if released {
            self.held.released(lease);
        }
        Ok(held && released)
    }
}

impl Lock for Mysql {
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
