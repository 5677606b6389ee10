//! Stores in servers: what they all do in the same way, over what each client does in its own.
//!
//! A client reads, judges and writes many keys in one call ([`Remote`]); the faces of the contract that are made of
//! that (single writes, batches, optimistic transactions, the questions about capabilities) are here, once. What a
//! server can tell, lease or publish the client answers for itself.

#[cfg(any(feature = "etcd", feature = "mysql", feature = "postgres", feature = "redis"))]
mod held;
#[cfg(any(feature = "mysql", feature = "nats", feature = "postgres", feature = "redis"))]
mod holder;
mod in_runtime;
mod leaving;
mod life;
mod listen;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod place;
mod transacting;
mod trust;

use std::future::{Future, ready};

use terrace_store::capability::{
    Batch, Cursor, Iterate, List, Lock, Outcome, Page, Paths, Publish, Snapshot, Transact, Transaction,
    Watch, Write,
};
use terrace_store::{
    BoxFuture, Capabilities, DeleteOptions, Deleted, Durability, Entry, Error, ErrorKind, Health, Key,
    Namespace, PutOptions, Result, Store, Swept, Version, Versions, Written,
};

#[cfg(any(feature = "etcd", feature = "mysql", feature = "postgres", feature = "redis"))]
pub(crate) use held::Held;
#[cfg(any(feature = "mysql", feature = "nats", feature = "postgres", feature = "redis"))]
pub(crate) use holder::holder;
pub(crate) use in_runtime::{InRuntime, runtime};
pub(crate) use life::Life;
pub(crate) use listen::Feed;
#[cfg(any(feature = "postgres", feature = "redis"))]
pub(crate) use listen::Listening;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) use place::{HEAD, Place};
use transacting::Transacting;
pub(crate) use trust::{about_trust, certificates};

/// What a client of a server does. Every method fails with `Closed` once [`Remote::close`] was called.
pub trait Remote: Send + Sync + 'static {
    /// The store's name: that of its feature and its URL scheme.
    const NAME: &'static str;

    /// Whether [`Remote::apply`] is applied wholly or not at all, however many writes it has.
    const ATOMIC_BATCHES: bool = true;

    /// Whether it can judge several keys at one instant, for [`Remote::commit`].
    const TRANSACTS: bool = true;

    /// What an acknowledgement means, as opened.
    fn durability(&self) -> Durability;

    /// Whether what was written is still there when it was closed and opened again.
    fn persistent(&self) -> bool {
        true
    }

    /// Whether it may still be used.
    ///
    /// # Errors
    /// `Closed` if not.
    fn check_open(&self, operation: &'static str) -> Result<()>;

    /// The live entry of a key.
    fn get(&self, key: &Key) -> impl Future<Output = Result<Option<Entry>>> + Send;

    /// Whether a key has one.
    fn exists(&self, key: &Key) -> impl Future<Output = Result<bool>> + Send;

    /// The live entries of these keys, in their order.
    fn get_many(&self, keys: &[Key]) -> impl Future<Output = Result<Vec<Option<Entry>>>> + Send;

    /// Applies writes whose conditions hold, in order; one outcome a write.
    ///
    /// # Errors
    /// As [`Store::put`].
    fn apply(
        &self,
        operation: &'static str,
        writes: &[Write],
    ) -> impl Future<Output = Result<Vec<Outcome>>> + Send;

    /// Applies writes, all at once or none, if these keys still have the live versions they were read with.
    ///
    /// # Errors
    /// `Conflict` if one of them has not, and nothing is applied; otherwise as [`Store::put`].
    fn commit(
        &self,
        writes: &[Write],
        unchanged: &[(Key, Option<Version>)],
    ) -> impl Future<Output = Result<()>> + Send;

    /// As [`Batch::clear`].
    fn clear(&self, namespace: Option<&Namespace>) -> impl Future<Output = Result<u64>> + Send;

    /// As [`Iterate::list`].
    fn list(&self, list: &List, cursor: Option<&Cursor>) -> impl Future<Output = Result<Page>> + Send;

    /// As [`Iterate::count`] and [`Iterate::bytes`].
    fn amount(&self, namespace: &Namespace) -> impl Future<Output = Result<(u64, u64)>> + Send;

    /// As [`Iterate::count`], where that can be told without the bytes.
    fn count(&self, namespace: &Namespace) -> impl Future<Output = Result<u64>> + Send {
        async move { self.amount(namespace).await.map(|amount| amount.0) }
    }

    /// As [`Iterate::namespaces`].
    fn namespaces(&self) -> impl Future<Output = Result<Vec<Namespace>>> + Send;

    /// As [`Store::reserve`].
    fn reserve(&self) -> impl Future<Output = Result<Version>> + Send;

    /// As [`Store::flush`].
    fn flush(&self) -> impl Future<Output = Result<()>> + Send;

    /// As [`Store::sweep`].
    fn sweep(&self, limit: usize) -> impl Future<Output = Result<Swept>> + Send;

    /// Whether the server answers.
    ///
    /// # Errors
    /// What keeps it from answering.
    fn ping(&self) -> impl Future<Output = Result<()>> + Send;

    /// Ends what it has begun. A second call does nothing.
    fn close(&self) -> impl Future<Output = ()> + Send;

    /// As [`Store::as_watch`].
    fn as_watch(&self) -> Option<&dyn Watch> {
        None
    }

    /// As [`Store::as_lock`].
    fn as_lock(&self) -> Option<&dyn Lock> {
        None
    }

    /// As [`Store::as_publish`].
    fn as_publish(&self) -> Option<&dyn Publish> {
        None
    }
}

/// A store in a server.
pub struct RemoteStore<R: Remote>(R);

impl<R: Remote> RemoteStore<R> {
    /// The store over this client.
    pub fn over(client: R) -> Self {
        Self(client)
    }

    async fn one(&self, operation: &'static str, write: Write) -> Result<Outcome> {
        let outcomes = self.0.apply(operation, &[write]).await?;
        outcomes.into_iter().next().ok_or_else(|| other_answer::<R>(operation))
    }
}

fn other_answer<R: Remote>(operation: &'static str) -> Error {
    Error::new(ErrorKind::Corrupt, operation)
        .with("store", R::NAME)
        .because("the server's answer is not one to what it was asked")
}

#[deny(clippy::missing_trait_methods)]
impl<R: Remote> Store for RemoteStore<R> {
    fn name(&self) -> &str {
        R::NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            versions: Versions::Assigned,
            durability: self.0.durability(),
            persistent: self.0.persistent(),
            atomic_batches: R::ATOMIC_BATCHES,
            in_place: false,
        }
    }

    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
        Box::pin(self.0.get(key))
    }

    fn put<'a>(&'a self, key: &'a Key, entry: Entry, options: PutOptions) -> BoxFuture<'a, Result<Written>> {
        Box::pin(async move {
            match self.one("put", Write::Put(key.clone(), entry, options)).await? {
                Outcome::Put(written) => Ok(written),
                Outcome::Delete(_) => Err(other_answer::<R>("put")),
            }
        })
    }

    fn delete<'a>(&'a self, key: &'a Key, options: DeleteOptions) -> BoxFuture<'a, Result<Deleted>> {
        Box::pin(async move {
            match self.one("delete", Write::Delete(key.clone(), options)).await? {
                Outcome::Delete(deleted) => Ok(deleted),
                Outcome::Put(_) => Err(other_answer::<R>("delete")),
            }
        })
    }

    fn exists<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<bool>> {
        Box::pin(self.0.exists(key))
    }

    fn reserve(&self) -> BoxFuture<'_, Result<Version>> {
        Box::pin(self.0.reserve())
    }

    /// Nothing is deferred: each write was acknowledged by the server.
    fn commit(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(ready(self.0.check_open("commit")))
    }

    fn flush(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.0.flush())
    }

    fn sweep(&self, limit: usize) -> BoxFuture<'_, Result<Swept>> {
        Box::pin(self.0.sweep(limit))
    }

    fn health(&self) -> BoxFuture<'_, Health> {
        Box::pin(async move {
            self.0.ping().await.map_or_else(|error| Health::Down(error.to_string()), |()| Health::Up)
        })
    }

    fn close(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.0.close().await;
            Ok(())
        })
    }

    fn as_batch(&self) -> Option<&dyn Batch> {
        Some(self)
    }

    fn as_iterate(&self) -> Option<&dyn Iterate> {
        Some(self)
    }

    fn as_transact(&self) -> Option<&dyn Transact> {
        R::TRANSACTS.then_some(self as &dyn Transact)
    }

    /// A server keeps no view of an earlier time, or holds up everybody else for as long as one lives.
    fn as_snapshot(&self) -> Option<&dyn Snapshot> {
        None
    }

    fn as_watch(&self) -> Option<&dyn Watch> {
        self.0.as_watch()
    }

    fn as_lock(&self) -> Option<&dyn Lock> {
        self.0.as_lock()
    }

    fn as_publish(&self) -> Option<&dyn Publish> {
        self.0.as_publish()
    }

    fn as_paths(&self) -> Option<&dyn Paths> {
        None
    }
}

impl<R: Remote> Batch for RemoteStore<R> {
    fn get_many<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Entry>>>> {
        Box::pin(self.0.get_many(keys))
    }

    fn apply(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<Vec<Outcome>>> {
        Box::pin(async move { self.0.apply("apply", &writes).await })
    }

    fn clear<'a>(&'a self, namespace: Option<&'a Namespace>) -> BoxFuture<'a, Result<u64>> {
        Box::pin(self.0.clear(namespace))
    }
}

impl<R: Remote> Iterate for RemoteStore<R> {
    fn list<'a>(&'a self, list: &'a List, cursor: Option<&'a Cursor>) -> BoxFuture<'a, Result<Page>> {
        Box::pin(self.0.list(list, cursor))
    }

    fn count<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<u64>> {
        Box::pin(self.0.count(namespace))
    }

    fn bytes<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move { self.0.amount(namespace).await.map(|amount| amount.1) })
    }

    fn namespaces(&self) -> BoxFuture<'_, Result<Vec<Namespace>>> {
        Box::pin(self.0.namespaces())
    }
}

impl<R: Remote> Transact for RemoteStore<R> {
    fn begin(&self) -> BoxFuture<'_, Result<Box<dyn Transaction + '_>>> {
        let open = self.0.check_open("begin");
        Box::pin(ready(open.map(|()| Box::new(Transacting::begin(&self.0)) as Box<dyn Transaction>)))
    }
}

/// Refuses writes that no store could do.
pub(crate) fn validate(writes: &[Write]) -> Result<()> {
    writes.iter().try_for_each(|write| match write {
        Write::Put(_, entry, options) => options.validate(entry),
        Write::Delete(_, options) => options.validate(),
    })
}

/// The bytes of a page's values beyond which it ends early.
pub(crate) const PAGE_BYTES: usize = 32 << 20;

/// The flat place before which a listing ends.
#[cfg(any(feature = "etcd", feature = "mysql", feature = "nats"))]
pub(crate) fn after(list: &List) -> Vec<u8> {
    let flat = |bytes: &[u8]| [list.namespace.flat_prefix(), bytes].concat();
    let behind = successor(&flat(&list.prefix));
    let before = list.before.as_deref().map(flat);
    // The length that a flat key begins with is never the greatest with nothing behind it.
    behind.into_iter().chain(before).min().unwrap_or_else(|| vec![0xff; 257])
}

/// The least place behind all that begin so; `None` if there is none.
#[cfg(any(feature = "etcd", feature = "mysql", feature = "nats"))]
fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let end = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut next = prefix[..=end].to_vec();
    next[end] += 1;
    Some(next)
}
