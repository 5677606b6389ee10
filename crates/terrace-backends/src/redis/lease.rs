//! Leases with fencing tokens from a counter in the server.
//!
//! Whether a lease of another process has ended the server's clock says; of one of this process its own. What ended is
//! remembered for a while, so that a holder that is late may renew what nobody else was granted.
//!
//! What is promised: one holder at a time and tokens that grow, as long as the server loses no write that it acknowledged.
//! One that fails over to a replica that lags may grant a lease twice, and a token too: fence by the token *and* ask for a
//! server that keeps what it acknowledged ([`RedisConfig::durability`](super::RedisConfig::durability)), or use a lease
//! only to save work.

use std::time::Duration;

use bytes::Bytes;
use terrace_store::capability::{Lease, Lock};
use terrace_store::{BoxFuture, Result};

use super::Redis;
use super::link::Intent;
use super::script::{ACQUIRE, Call, RELEASE, RENEW, Text};
use crate::remote::Held;

/// How long a lease is remembered that nobody renews.
const REMEMBERED: Duration = Duration::from_secs(600);

/// Longer leases last as long: some thirty years, which numbers in scripts can still tell apart.
const LONGEST_MS: u128 = 1_000_000_000_000;

impl Redis {
    /// Calls a script for a lease, as one who knows this token for its own.
    async fn ask<T: redis::FromRedisValue>(
        &self,
        operation: &'static str,
        script: &Text,
        name: &[u8],
        ttl: Duration,
        known: Option<(u64, bool)>,
    ) -> Result<T> {
        let mut call = Call::default();
        call.key(self.names.lease(name));
        call.key(self.names.tokens());
        call.argument(&self.holder[..]);
        call.argument(ttl.as_millis().min(LONGEST_MS).to_string());
        call.argument(known.map_or_else(String::new, |(token, _)| token.to_string()));
        call.argument(if known.is_some_and(|(_, over)| over) { "1" } else { "0" });
        call.argument(REMEMBERED.as_millis().to_string());
        call.run(&self.link, Intent::Write(operation), script).await
    }

    async fn acquire(&self, name: &[u8], ttl: Duration) -> Result<Option<Lease>> {
        self.ready("acquire").await?;
        let _turn = self.held.turn.lock().await;
        let (clock, held) = (&*self.life.clock, &self.held);
        let until = Held::until(clock, ttl);
        let known = held.known(clock, name);
        let Some(token) = self.ask::<Option<u64>>("acquire", &ACQUIRE, name, ttl, known).await? else {
            return Ok(None);
        };
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
        let own = Some((lease.token, false));
        let renewed: bool = self.ask("renew", &RENEW, &lease.name, lease.ttl, own).await?;
        if renewed {
            self.held.granted(clock, &lease.name, lease.token, until);
        }
        Ok(renewed)
    }

    async fn give_up(&self, lease: &Lease) -> Result<bool> {
        self.ready("release").await?;
        let held = self.held.holds(&*self.life.clock, lease);
        let own = Some((lease.token, !held));
        let released: bool = self.ask("release", &RELEASE, &lease.name, lease.ttl, own).await?;
        if released {
            self.held.released(lease);
        }
        Ok(held && released)
    }
}

impl Lock for Redis {
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
