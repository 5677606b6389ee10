//! Leases: a row that is attached to one of etcd's own leases, and vanishes with it.
//!
//! The fencing token is the revision of the transaction that granted it, so tokens of all names grow together.

use std::time::Duration;

use bytes::Bytes;
use etcd_client::{Compare, CompareOp, PutOptions, TxnOp};
use terrace_store::capability::{Lease, Lock};
use terrace_store::{BoxFuture, Result};

use super::Etcd;
use super::link::{Row, reads, writes};
use crate::remote::Held;

impl Etcd {
    /// The row of a lease.
    async fn lease_row(&self, operation: &'static str, name: &[u8]) -> Result<Option<Row>> {
        let ask = vec![TxnOp::get(self.rows.lease(name), None)];
        let mut answer = self.link.txn(reads(operation), Vec::new(), ask, Vec::new()).await?;
        Ok(answer.rows.first_mut().and_then(Vec::pop))
    }

    async fn acquire(&self, name: &[u8], ttl: Duration) -> Result<Option<Lease>> {
        self.ready("acquire").await?;
        let _turn = self.held.turn.lock().await;
        let (clock, held) = (&*self.life.clock, &self.held);
        let until = Held::until(clock, ttl);
        let there = self.lease_row("acquire", name).await?;
        // One that this process knows to be its own ends by this process's clock, any other by etcd's.
        let over = there
            .as_ref()
            .map(|row| held.known(clock, name) == Some((row.mod_revision().cast_unsigned(), true)));
        if over == Some(false) {
            return Ok(None);
        }
        // etcd counts whole seconds, and at least two or so.
        let seconds = i64::try_from(ttl.as_millis().div_ceil(1000).max(1)).unwrap_or(i64::MAX);
        let grant = async { self.link.leases().await?.grant(seconds, None).await };
        let id = self.link.within(reads("acquire"), grant).await?.id();
        let row = self.rows.lease(name);
        let same = there.as_ref().map_or(0, Row::mod_revision);
        let compare = vec![Compare::mod_revision(&row[..], CompareOp::Equal, same)];
        let put = vec![TxnOp::put(row, "", Some(PutOptions::new().with_lease(id)))];
        let answer = self.link.txn(writes("acquire"), compare, put, Vec::new()).await?;
        // What is not needed any more: the lease that was replaced, or the one that came too late.
        let needless = if answer.succeeded { there.map_or(0, |row| row.lease()) } else { id };
        if needless != 0 {
            let _ = self.revoke("acquire", needless).await;
        }
        if !answer.succeeded {
            return Ok(None);
        }
        let (name, token) = (Bytes::copy_from_slice(name), answer.revision.cast_unsigned());
        held.granted(clock, &name, token, until);
        Ok(Some(Lease { name, token, ttl }))
    }

    async fn revoke(&self, operation: &'static str, id: i64) -> Result<()> {
        let revoke = async { self.link.leases().await?.revoke(id).await };
        self.link.within(writes(operation), revoke).await.map(drop)
    }

    async fn prolong(&self, lease: &Lease) -> Result<bool> {
        self.ready("renew").await?;
        let clock = &*self.life.clock;
        let until = Held::until(clock, lease.ttl);
        if !self.held.holds(clock, lease) {
            return Ok(false);
        }
        let Some(row) = self.lease_row("renew", &lease.name).await? else { return Ok(false) };
        if row.mod_revision().cast_unsigned() != lease.token {
            return Ok(false);
        }
        let renew = async {
            match self.link.leases().await?.keep_alive(row.lease()).await {
                // It has ended just now.
                Err(etcd_client::Error::LeaseKeepAliveError(_)) => Ok(false),
                renewed => renewed.map(|_| true),
            }
        };
        let renewed = self.link.within(writes("renew"), renew).await?;
        if renewed {
            self.held.granted(clock, &lease.name, lease.token, until);
        }
        Ok(renewed)
    }

    async fn give_up(&self, lease: &Lease) -> Result<bool> {
        self.ready("release").await?;
        let held = self.held.holds(&*self.life.clock, lease);
        let Some(row) = self.lease_row("release", &lease.name).await? else { return Ok(false) };
        if row.mod_revision().cast_unsigned() != lease.token {
            return Ok(false);
        }
        // Whatever is attached to it goes with it, and nobody else's row is.
        self.revoke("release", row.lease()).await?;
        self.held.released(lease);
        Ok(held)
    }
}

impl Lock for Etcd {
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
