//! Leases with fencing tokens from a sequence.

use std::time::Duration;

use bytes::Bytes;
use terrace_store::capability::{Lease, Lock};
use terrace_store::{BoxFuture, Result};

use super::Postgres;
use super::link::writes;
use crate::remote::Held;

fn interval(ttl: Duration) -> String {
    format!("{} milliseconds", ttl.as_millis())
}

impl Postgres {
    async fn acquire(&self, name: &[u8], ttl: Duration) -> Result<Option<Lease>> {
        self.ready("acquire").await?;
        let _turn = self.held.turn.lock().await;
        let (clock, held) = (&*self.life.clock, &self.held);
        let until = Held::until(clock, ttl);
        let (token, over) = held.known(clock, name).map(|(token, over)| (token.cast_signed(), over)).unzip();
        let holder = &self.holder[..];
        let arguments: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
            [&name, &holder, &interval(ttl), &token, &over];
        let rows = self.link.query(writes("acquire"), &self.sql.acquire, &arguments).await?;
        let Some(token) = rows.first().and_then(|row| row.get::<_, Option<i64>>(0)) else { return Ok(None) };
        let name = Bytes::copy_from_slice(name);
        let token = token.cast_unsigned();
        held.granted(clock, &name, token, until);
        Ok(Some(Lease { name, token, ttl }))
    }

    async fn prolong(&self, lease: &Lease) -> Result<bool> {
        self.ready("renew").await?;
        let (clock, token, holder) = (&*self.life.clock, lease.token.cast_signed(), &self.holder[..]);
        let until = Held::until(clock, lease.ttl);
        let renew = format!("{} RETURNING token", self.sql.renew);
        let lasts = interval(lease.ttl);
        if !self.held.holds(clock, lease) {
            return Ok(false);
        }
        let arguments: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&&lease.name[..], &token, &holder, &lasts];
        let renewed = !self.link.query(writes("renew"), &renew, &arguments).await?.is_empty();
        if renewed {
            self.held.granted(clock, &lease.name, lease.token, until);
        }
        Ok(renewed)
    }

    async fn give_up(&self, lease: &Lease) -> Result<bool> {
        self.ready("release").await?;
        let held = self.held.holds(&*self.life.clock, lease);
        let (token, holder) = (lease.token.cast_signed(), &self.holder[..]);
        let release = format!("{} RETURNING token", self.sql.release);
        let arguments: [&(dyn tokio_postgres::types::ToSql + Sync); 3] = [&&lease.name[..], &token, &holder];
        let released = !self.link.query(writes("release"), &release, &arguments).await?.is_empty();
        if released {
            self.held.released(lease);
        }
        Ok(held && released)
    }
}

impl Lock for Postgres {
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
