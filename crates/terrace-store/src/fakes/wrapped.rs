//! A store around a store that asks a control before and after each call: what the flaky, the slow and the
//! recording store have in common.
//!
//! Calls of the store itself and of its batches and listings pass the control. The other capabilities are those
//! of the store beneath, untouched.

use std::sync::Arc;

use crate::capability::{
    Batch, Cursor, Iterate, List, Lock, Outcome, Page, Paths, Publish, Snapshot, Transact, Watch, Write,
};
use crate::entry::{Entry, Version};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{Key, Namespace};
use crate::store::{
    BoxFuture, Capabilities, DeleteOptions, Deleted, Health, PutOptions, Store, Swept, Written,
};

/// Which operation of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each is the method of its name")]
pub enum Operation {
    Get,
    Put,
    Delete,
    Exists,
    Reserve,
    Commit,
    Flush,
    Sweep,
    Close,
    GetMany,
    Apply,
    Clear,
    List,
    Count,
    Bytes,
    Namespaces,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 16] = [
        Self::Get,
        Self::Put,
        Self::Delete,
        Self::Exists,
        Self::Reserve,
        Self::Commit,
        Self::Flush,
        Self::Sweep,
        Self::Close,
        Self::GetMany,
        Self::Apply,
        Self::Clear,
        Self::List,
        Self::Count,
        Self::Bytes,
        Self::Namespaces,
    ];

    /// Those that change entries.
    pub const WRITES: [Self; 4] = [Self::Put, Self::Delete, Self::Apply, Self::Clear];

    /// Those that return entries, or whether there are any.
    pub const READS: [Self; 4] = [Self::Get, Self::Exists, Self::GetMany, Self::List];

    /// Its name, as errors have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::Delete => "delete",
            Self::Exists => "exists",
            Self::Reserve => "reserve",
            Self::Commit => "commit",
            Self::Flush => "flush",
            Self::Sweep => "sweep",
            Self::Close => "close",
            Self::GetMany => "get_many",
            Self::Apply => "apply",
            Self::Clear => "clear",
            Self::List => "list",
            Self::Count => "count",
            Self::Bytes => "bytes",
            Self::Namespaces => "namespaces",
        }
    }
}

/// A call that is about to be made.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Of which operation.
    pub operation: Operation,
    /// Of which key, where it is of one.
    pub key: Option<&'a Key>,
    /// The bytes of the values that go in.
    pub bytes_in: u64,
}

/// How a call goes on.
#[derive(Debug)]
pub enum Course {
    /// As if there were no control.
    Through,
    /// It is not made, and this is the answer.
    Fail(Error),
    /// It is made, and this is the answer all the same.
    DoAndFail(Error),
}

/// What decides on the calls of a [`Wrapped`] store.
pub trait Control: Send + Sync + 'static {
    /// Asked before each call; may take its time.
    fn before<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Course>;

    /// Told after each call that was made and succeeded, with the bytes of the values that came out.
    fn after(&self, call: Call<'_>, bytes_out: u64);
}

/// A store around a store, with a control that is asked before each call.
pub struct Wrapped<C> {
    inner: Arc<dyn Store>,
    control: C,
}

impl<C: Control> Wrapped<C> {
    /// Puts the control before the store.
    pub fn new(inner: Arc<dyn Store>, control: C) -> Self {
        Self { inner, control }
    }

    /// The control.
    pub fn control(&self) -> &C {
        &self.control
    }

    /// The store beneath.
    pub fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    /// Makes the call if the control lets it. `made` must not begin before it is polled: a store may do its work in the
    /// call itself.
    async fn pass<T>(
        &self,
        call: Call<'_>,
        made: impl Future<Output = Result<T>> + Send,
        bytes_out: impl FnOnce(&T) -> u64,
    ) -> Result<T> {
        match self.control.before(call).await {
            Course::Through => {}
            Course::Fail(error) => return Err(error),
            Course::DoAndFail(error) => {
                made.await?;
                return Err(error);
            }
        }
        let value = made.await?;
        self.control.after(call, bytes_out(&value));
        Ok(value)
    }

    fn batch(&self) -> Result<&dyn Batch> {
        self.inner.as_batch().ok_or_else(|| Error::new(ErrorKind::NotSupported, "batch"))
    }

    fn iterate(&self) -> Result<&dyn Iterate> {
        self.inner.as_iterate().ok_or_else(|| Error::new(ErrorKind::NotSupported, "list"))
    }
}

fn plain(operation: Operation) -> Call<'static> {
    Call { operation, key: None, bytes_in: 0 }
}

fn of(operation: Operation, key: &Key) -> Call<'_> {
    Call { operation, key: Some(key), bytes_in: 0 }
}

fn length(entry: &Entry) -> u64 {
    entry.value.len() as u64
}

fn none<T>(_: &T) -> u64 {
    0
}

#[deny(clippy::missing_trait_methods)]
impl<C: Control> Store for Wrapped<C> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn capabilities(&self) -> Capabilities {
        // A control may take its time.
        Capabilities { in_place: false, ..self.inner.capabilities() }
    }

    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
        let bytes = |entry: &Option<Entry>| entry.as_ref().map_or(0, length);
        Box::pin(self.pass(of(Operation::Get, key), async move { self.inner.get(key).await }, bytes))
    }

    fn put<'a>(&'a self, key: &'a Key, entry: Entry, options: PutOptions) -> BoxFuture<'a, Result<Written>> {
        let call = Call { bytes_in: length(&entry), ..of(Operation::Put, key) };
        Box::pin(self.pass(call, async move { self.inner.put(key, entry, options).await }, none))
    }

    fn delete<'a>(&'a self, key: &'a Key, options: DeleteOptions) -> BoxFuture<'a, Result<Deleted>> {
        Box::pin(self.pass(
            of(Operation::Delete, key),
            async move { self.inner.delete(key, options).await },
            none,
        ))
    }

    fn exists<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<bool>> {
        Box::pin(self.pass(of(Operation::Exists, key), async move { self.inner.exists(key).await }, none))
    }

    fn reserve(&self) -> BoxFuture<'_, Result<Version>> {
        Box::pin(self.pass(plain(Operation::Reserve), async move { self.inner.reserve().await }, none))
    }

    fn commit(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.pass(plain(Operation::Commit), async move { self.inner.commit().await }, none))
    }

    fn flush(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.pass(plain(Operation::Flush), async move { self.inner.flush().await }, none))
    }

    fn sweep(&self, limit: usize) -> BoxFuture<'_, Result<Swept>> {
        Box::pin(self.pass(plain(Operation::Sweep), async move { self.inner.sweep(limit).await }, none))
    }

    fn health(&self) -> BoxFuture<'_, Health> {
        self.inner.health()
    }

    fn close(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.pass(plain(Operation::Close), async move { self.inner.close().await }, none))
    }

    fn as_batch(&self) -> Option<&dyn Batch> {
        self.inner.as_batch().map(|_| self as &dyn Batch)
    }

    fn as_iterate(&self) -> Option<&dyn Iterate> {
        self.inner.as_iterate().map(|_| self as &dyn Iterate)
    }

    fn as_transact(&self) -> Option<&dyn Transact> {
        self.inner.as_transact()
    }

    fn as_snapshot(&self) -> Option<&dyn Snapshot> {
        self.inner.as_snapshot()
    }

    fn as_watch(&self) -> Option<&dyn Watch> {
        self.inner.as_watch()
    }

    fn as_lock(&self) -> Option<&dyn Lock> {
        self.inner.as_lock()
    }

    fn as_publish(&self) -> Option<&dyn Publish> {
        self.inner.as_publish()
    }

    fn as_paths(&self) -> Option<&dyn Paths> {
        self.inner.as_paths()
    }
}

impl<C: Control> Batch for Wrapped<C> {
    fn get_many<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Entry>>>> {
        let made = async move { self.batch()?.get_many(keys).await };
        let bytes = |entries: &Vec<Option<Entry>>| entries.iter().flatten().map(length).sum();
        Box::pin(self.pass(plain(Operation::GetMany), made, bytes))
    }

    fn apply(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<Vec<Outcome>>> {
        let put = |write: &Write| if let Write::Put(_, entry, _) = write { length(entry) } else { 0 };
        let call = Call { bytes_in: writes.iter().map(put).sum(), ..plain(Operation::Apply) };
        let made = async move { self.batch()?.apply(writes).await };
        Box::pin(self.pass(call, made, none))
    }

    fn clear<'a>(&'a self, namespace: Option<&'a Namespace>) -> BoxFuture<'a, Result<u64>> {
        let made = async move { self.batch()?.clear(namespace).await };
        Box::pin(self.pass(plain(Operation::Clear), made, none))
    }
}

impl<C: Control> Iterate for Wrapped<C> {
    fn list<'a>(&'a self, list: &'a List, cursor: Option<&'a Cursor>) -> BoxFuture<'a, Result<Page>> {
        let made = async move { self.iterate()?.list(list, cursor).await };
        let bytes = |page: &Page| page.entries.iter().map(|(_, entry)| length(entry)).sum();
        Box::pin(self.pass(plain(Operation::List), made, bytes))
    }

    fn count<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<u64>> {
        let made = async move { self.iterate()?.count(namespace).await };
        Box::pin(self.pass(plain(Operation::Count), made, none))
    }

    fn bytes<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<u64>> {
        let made = async move { self.iterate()?.bytes(namespace).await };
        Box::pin(self.pass(plain(Operation::Bytes), made, none))
    }

    fn namespaces(&self) -> BoxFuture<'_, Result<Vec<Namespace>>> {
        let made = async move { self.iterate()?.namespaces().await };
        Box::pin(self.pass(plain(Operation::Namespaces), made, none))
    }
}
