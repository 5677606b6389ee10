//! Leases: rights that end by themselves.

use std::time::Duration;

use bytes::Bytes;

use crate::error::Result;
use crate::store::BoxFuture;

/// A right to something, until it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What it is a right to.
    pub name: Bytes,
    /// Grows with every grant of this name. What the lease protects must refuse a lower token than it has
    /// seen: only that makes a lock safe against a holder that slept through the end of its lease.
    pub token: u64,
    /// How long it lasts from its grant or last renewal. A careful holder stops at two thirds.
    pub ttl: Duration,
}

/// Granting leases.
pub trait Lock: Send + Sync {
    /// The lease of this name, or `None` if somebody else holds it.
    fn try_acquire<'a>(&'a self, name: &'a [u8], ttl: Duration) -> BoxFuture<'a, Result<Option<Lease>>>;

    /// Lets it last for its `ttl` from now. `false` if it has ended; it is then not this caller's any more.
    fn renew<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<bool>>;

    /// Ends it. `false` if it had ended already.
    fn release<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<bool>>;
}
