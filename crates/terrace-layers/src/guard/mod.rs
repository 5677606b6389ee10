//! A store around a store that asks a policy about every call: what the layers that decide on, repeat, delay or tell of
//! calls have in common, and change no value.
//!
//! Decision: one place speaks of every method of the contract and of each capability, so that a layer is only what it
//! does. A policy is handed each call as a description and as a closure that makes it; it may make it once, several
//! times or not at all. Entries, keys and buffers go through untouched. Streams ([`Changes`](terrace_store::capability::Changes),
//! [`Subscription`](terrace_store::capability::Subscription)) are asked for under the policy and then belong to the
//! caller; snapshots and transactions stay under it.

mod capability;
mod transaction;
mod view;

use std::sync::Arc;

use terrace_store::capability::{Batch, Iterate, Lock, Paths, Publish, Snapshot, Transact, Watch};
use terrace_store::{
    BoxFuture, Capabilities, DeleteOptions, Deleted, Entry, Error, ErrorKind, Health, Key, Namespace,
    PutOptions, Result, Store, Swept, Version, Written,
};

use crate::answer::Answer;
use crate::call::{Call, Operation, Subject};

/// What is done about the calls of a [`Guarded`] store.
pub trait Policy: Send + Sync + Sized + 'static {
    /// Whether it makes a call more than once. What the call takes is then cloned for each, which copies no value.
    const REPEATS: bool = false;
    /// Whether it looks at the writes of a batch.
    const LOOKS: bool = false;

    /// What the store can do from here on.
    fn capabilities(&self, beneath: Capabilities) -> Capabilities {
        beneath
    }

    /// How the store is doing, seen from here.
    fn health<'a>(&'a self, beneath: &'a dyn Store) -> BoxFuture<'a, Health> {
        beneath.health()
    }

    /// Whether this namespace shows in a list of them.
    fn shows(&self, _namespace: &Namespace) -> bool {
        true
    }

    /// Makes the call, or does not.
    fn run<'a, T, M>(&'a self, call: Call<'a>, make: M) -> impl Future<Output = Result<T>> + Send + 'a
    where
        T: Answer + 'a,
        M: FnMut() -> BoxFuture<'a, Result<T>> + Send + 'a;
}

/// A store around a store, with a policy that every call passes.
pub struct Guarded<P> {
    inner: Arc<dyn Store>,
    /// Shared with the views that were taken through it.
    policy: Arc<P>,
}

impl<P: Policy> Guarded<P> {
    /// Puts the policy before the store.
    pub fn new(inner: Arc<dyn Store>, policy: P) -> Self {
        Self { inner, policy: Arc::new(policy) }
    }

    /// The policy, to look at and to change.
    pub fn policy(&self) -> &P {
        &self.policy
    }

    /// The store beneath.
    pub fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }
}

/// A value that each making of a call takes: a clone if there may be another, else the value itself.
struct Argument<T>(Option<T>);

impl<T: Clone> Argument<T> {
    fn take<P: Policy>(&mut self) -> Option<T> {
        if P::REPEATS { self.0.clone() } else { self.0.take() }
    }
}

/// The answer to a policy that makes a call again without having said so.
fn spent<'a, T: Send + 'a>(operation: Operation) -> BoxFuture<'a, Result<T>> {
    let error =
        Error::new(ErrorKind::NotSupported, operation.name()).because("the call can be made only once");
    Box::pin(std::future::ready(Err(error)))
}

fn missing<'a, T: Send + 'a>(operation: Operation) -> BoxFuture<'a, Result<T>> {
    let error =
        Error::new(ErrorKind::NotSupported, operation.name()).because("the store beneath cannot do it");
    Box::pin(std::future::ready(Err(error)))
}

fn whole<'a>(operation: Operation) -> Call<'a> {
    Call::new(operation, Subject::Store)
}

#[deny(clippy::missing_trait_methods)]
impl<P: Policy> Store for Guarded<P> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.policy.capabilities(self.inner.capabilities())
    }

    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
        let call = Call::new(Operation::Get, Subject::Key(key));
        Box::pin(self.policy.run(call, move || self.inner.get(key)))
    }

    fn put<'a>(&'a self, key: &'a Key, entry: Entry, options: PutOptions) -> BoxFuture<'a, Result<Written>> {
        let call = Call::new(Operation::Put, Subject::Key(key));
        let call = call.depending_on(options.condition).bringing(entry.value.len());
        let mut entry = Argument(Some(entry));
        let make = move || match entry.take::<P>() {
            Some(entry) => self.inner.put(key, entry, options),
            None => spent(Operation::Put),
        };
        Box::pin(self.policy.run(call, make))
    }

    fn delete<'a>(&'a self, key: &'a Key, options: DeleteOptions) -> BoxFuture<'a, Result<Deleted>> {
        let call = Call::new(Operation::Delete, Subject::Key(key)).depending_on(options.condition);
        Box::pin(self.policy.run(call, move || self.inner.delete(key, options)))
    }

    fn exists<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<bool>> {
        let call = Call::new(Operation::Exists, Subject::Key(key));
        Box::pin(self.policy.run(call, move || self.inner.exists(key)))
    }

    fn reserve(&self) -> BoxFuture<'_, Result<Version>> {
        Box::pin(self.policy.run(whole(Operation::Reserve), || self.inner.reserve()))
    }

    fn commit(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.policy.run(whole(Operation::Commit), || self.inner.commit()))
    }

    fn flush(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.policy.run(whole(Operation::Flush), || self.inner.flush()))
    }

    fn sweep(&self, limit: usize) -> BoxFuture<'_, Result<Swept>> {
        Box::pin(self.policy.run(whole(Operation::Sweep), move || self.inner.sweep(limit)))
    }

    fn health(&self) -> BoxFuture<'_, Health> {
        self.policy.health(&*self.inner)
    }

    fn close(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.policy.run(whole(Operation::Close), || self.inner.close()))
    }

    fn as_batch(&self) -> Option<&dyn Batch> {
        self.inner.as_batch().map(|_| self as &dyn Batch)
    }

    fn as_iterate(&self) -> Option<&dyn Iterate> {
        self.inner.as_iterate().map(|_| self as &dyn Iterate)
    }

    fn as_transact(&self) -> Option<&dyn Transact> {
        self.inner.as_transact().map(|_| self as &dyn Transact)
    }

    fn as_snapshot(&self) -> Option<&dyn Snapshot> {
        self.inner.as_snapshot().map(|_| self as &dyn Snapshot)
    }

    fn as_watch(&self) -> Option<&dyn Watch> {
        self.inner.as_watch().map(|_| self as &dyn Watch)
    }

    fn as_lock(&self) -> Option<&dyn Lock> {
        self.inner.as_lock().map(|_| self as &dyn Lock)
    }

    fn as_publish(&self) -> Option<&dyn Publish> {
        self.inner.as_publish().map(|_| self as &dyn Publish)
    }

    fn as_paths(&self) -> Option<&dyn Paths> {
        self.inner.as_paths().map(|_| self as &dyn Paths)
    }
}
