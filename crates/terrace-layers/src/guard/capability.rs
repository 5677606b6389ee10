//! Every method of every capability, under the policy.

use std::time::Duration;

use bytes::Bytes;
use terrace_store::capability::{
    Batch, Changes, Cursor, Iterate, Lease, List, Lock, Outcome, Page, PathKind, Paths, Publish, Snapshot,
    SnapshotView, Subscription, Transact, Transaction, Watch, Write,
};
use terrace_store::{BoxFuture, Entry, Key, Namespace, Result};

use super::transaction::GuardedTransaction;
use super::view::GuardedView;
use super::{Argument, Guarded, Policy, missing, spent, whole};
use crate::call::{Call, Operation, Subject};

/// The bytes of the values in a batch.
fn brought(writes: &[Write]) -> usize {
    writes.iter().map(|write| if let Write::Put(_, entry, _) = write { entry.value.len() } else { 0 }).sum()
}

#[deny(clippy::missing_trait_methods)]
impl<P: Policy> Batch for Guarded<P> {
    fn get_many<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Entry>>>> {
        let call = Call::new(Operation::GetMany, Subject::Keys(keys));
        Box::pin(self.policy.run(call, move || match self.inner.as_batch() {
            Some(batch) => batch.get_many(keys),
            None => missing(Operation::GetMany),
        }))
    }

    fn apply(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<Vec<Outcome>>> {
        Box::pin(async move {
            let seen = if P::LOOKS { writes.clone() } else { Vec::new() };
            let call = Call::new(Operation::Apply, Subject::Writes(&seen)).bringing(brought(&writes));
            let mut writes = Argument(Some(writes));
            let make = move || match (self.inner.as_batch(), writes.take::<P>()) {
                (Some(batch), Some(writes)) => batch.apply(writes),
                (None, _) => missing(Operation::Apply),
                (_, None) => spent(Operation::Apply),
            };
            self.policy.run(call, make).await
        })
    }

    fn clear<'a>(&'a self, namespace: Option<&'a Namespace>) -> BoxFuture<'a, Result<u64>> {
        let call = Call::new(Operation::Clear, Subject::Namespace(namespace));
        Box::pin(self.policy.run(call, move || match self.inner.as_batch() {
            Some(batch) => batch.clear(namespace),
            None => missing(Operation::Clear),
        }))
    }
}

#[deny(clippy::missing_trait_methods)]
impl<P: Policy> Iterate for Guarded<P> {
    fn list<'a>(&'a self, list: &'a List, cursor: Option<&'a Cursor>) -> BoxFuture<'a, Result<Page>> {
        let call = Call::new(Operation::List, Subject::List(list));
        Box::pin(self.policy.run(call, move || match self.inner.as_iterate() {
            Some(iterate) => iterate.list(list, cursor),
            None => missing(Operation::List),
        }))
    }

    fn count<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<u64>> {
        let call = Call::new(Operation::Count, Subject::Namespace(Some(namespace)));
        Box::pin(self.policy.run(call, move || match self.inner.as_iterate() {
            Some(iterate) => iterate.count(namespace),
            None => missing(Operation::Count),
        }))
    }

    fn bytes<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<u64>> {
        let call = Call::new(Operation::Bytes, Subject::Namespace(Some(namespace)));
        Box::pin(self.policy.run(call, move || match self.inner.as_iterate() {
            Some(iterate) => iterate.bytes(namespace),
            None => missing(Operation::Bytes),
        }))
    }

    fn namespaces(&self) -> BoxFuture<'_, Result<Vec<Namespace>>> {
        let make = || match self.inner.as_iterate() {
            Some(iterate) => iterate.namespaces(),
            None => missing(Operation::Namespaces),
        };
        Box::pin(async move {
            let mut found = self.policy.run(whole(Operation::Namespaces), make).await?;
            found.retain(|namespace| self.policy.shows(namespace));
            Ok(found)
        })
    }
}

#[deny(clippy::missing_trait_methods)]
impl<P: Policy> Transact for Guarded<P> {
    fn begin(&self) -> BoxFuture<'_, Result<Box<dyn Transaction + '_>>> {
        Box::pin(async move {
            let make = move || match self.inner.as_transact() {
                Some(transact) => transact.begin(),
                None => missing(Operation::Begin),
            };
            let begun = self.policy.run(whole(Operation::Begin), make).await?;
            Ok(Box::new(GuardedTransaction::new(begun, &*self.policy)) as Box<dyn Transaction + '_>)
        })
    }
}

#[deny(clippy::missing_trait_methods)]
impl<P: Policy> Snapshot for Guarded<P> {
    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn SnapshotView>>> {
        Box::pin(async move {
            let make = || match self.inner.as_snapshot() {
                Some(snapshot) => snapshot.snapshot(),
                None => missing(Operation::Snapshot),
            };
            let view = self.policy.run(whole(Operation::Snapshot), make).await?;
            Ok(Box::new(GuardedView::new(view, self.policy.clone())) as Box<dyn SnapshotView>)
        })
    }
}

#[deny(clippy::missing_trait_methods)]
impl<P: Policy> Watch for Guarded<P> {
    fn watch<'a>(
        &'a self,
        namespace: &'a Namespace,
        prefix: Bytes,
    ) -> BoxFuture<'a, Result<Box<dyn Changes>>> {
        Box::pin(async move {
            let call = Call::new(Operation::Watch, Subject::Prefix(namespace, &prefix));
            let make = || match self.inner.as_watch() {
                Some(watch) => watch.watch(namespace, prefix.clone()),
                None => missing(Operation::Watch),
            };
            self.policy.run(call, make).await
        })
    }
}

#[deny(clippy::missing_trait_methods)]
impl<P: Policy> Lock for Guarded<P> {
    fn try_acquire<'a>(&'a self, name: &'a [u8], ttl: Duration) -> BoxFuture<'a, Result<Option<Lease>>> {
        let call = Call::new(Operation::Acquire, Subject::Name(name));
        Box::pin(self.policy.run(call, move || match self.inner.as_lock() {
            Some(lock) => lock.try_acquire(name, ttl),
            None => missing(Operation::Acquire),
        }))
    }

    fn renew<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<bool>> {
        let call = Call::new(Operation::Renew, Subject::Name(&lease.name));
        Box::pin(self.policy.run(call, move || match self.inner.as_lock() {
            Some(lock) => lock.renew(lease),
            None => missing(Operation::Renew),
        }))
    }

    fn release<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<bool>> {
        let call = Call::new(Operation::Release, Subject::Name(&lease.name));
        Box::pin(self.policy.run(call, move || match self.inner.as_lock() {
            Some(lock) => lock.release(lease),
            None => missing(Operation::Release),
        }))
    }
}

#[deny(clippy::missing_trait_methods)]
impl<P: Policy> Publish for Guarded<P> {
    fn publish<'a>(&'a self, channel: &'a [u8], message: Bytes) -> BoxFuture<'a, Result<u64>> {
        let call = Call::new(Operation::Publish, Subject::Name(channel)).bringing(message.len()).once();
        let mut message = Some(message);
        Box::pin(self.policy.run(call, move || match (self.inner.as_publish(), message.take()) {
            (Some(publish), Some(message)) => publish.publish(channel, message),
            (None, _) => missing(Operation::Publish),
            (_, None) => spent(Operation::Publish),
        }))
    }

    fn subscribe<'a>(&'a self, channel: &'a [u8]) -> BoxFuture<'a, Result<Box<dyn Subscription>>> {
        let call = Call::new(Operation::Subscribe, Subject::Name(channel));
        Box::pin(self.policy.run(call, move || match self.inner.as_publish() {
            Some(publish) => publish.subscribe(channel),
            None => missing(Operation::Subscribe),
        }))
    }
}

#[deny(clippy::missing_trait_methods)]
impl<P: Policy> Paths for Guarded<P> {
    fn kind<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Option<PathKind>>> {
        let call = Call::new(Operation::Kind, Subject::Path(path));
        Box::pin(self.policy.run(call, move || match self.inner.as_paths() {
            Some(paths) => paths.kind(path),
            None => missing(Operation::Kind),
        }))
    }

    fn list_group<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        let call = Call::new(Operation::ListGroup, Subject::Path(path));
        Box::pin(self.policy.run(call, move || match self.inner.as_paths() {
            Some(paths) => paths.list_group(path),
            None => missing(Operation::ListGroup),
        }))
    }

    fn make_group<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<()>> {
        let call = Call::new(Operation::MakeGroup, Subject::Path(path));
        Box::pin(self.policy.run(call, move || match self.inner.as_paths() {
            Some(paths) => paths.make_group(path),
            None => missing(Operation::MakeGroup),
        }))
    }

    fn make_link<'a>(&'a self, path: &'a str, target: &'a str) -> BoxFuture<'a, Result<()>> {
        let call = Call::new(Operation::MakeLink, Subject::Path(path));
        Box::pin(self.policy.run(call, move || match self.inner.as_paths() {
            Some(paths) => paths.make_link(path, target),
            None => missing(Operation::MakeLink),
        }))
    }

    fn resolve<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Bytes>> {
        let call = Call::new(Operation::Resolve, Subject::Path(path));
        Box::pin(self.policy.run(call, move || match self.inner.as_paths() {
            Some(paths) => paths.resolve(path),
            None => missing(Operation::Resolve),
        }))
    }
}
