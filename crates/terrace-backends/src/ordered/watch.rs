//! Changes as they happen, told by the store itself while the stripe of the key is locked, and so in the order of the
//! versions. An engine's own subscriptions know neither versions nor clears, and some keep writers waiting for a slow
//! reader.

use std::future::ready;

use bytes::Bytes;
use terrace_store::capability::{Changes, Watch};
use terrace_store::{BoxFuture, Namespace, Result};

use super::OrderedStore;
use super::engine::Engine;

impl<E: Engine> Watch for OrderedStore<E> {
    fn watch<'a>(
        &'a self,
        namespace: &'a Namespace,
        prefix: Bytes,
    ) -> BoxFuture<'a, Result<Box<dyn Changes>>> {
        let watching = self.shared.with("watch", |folder| Ok(folder.watchers.watch(namespace, prefix)));
        Box::pin(ready(watching.map(|watching| Box::new(watching) as Box<dyn Changes>)))
    }
}
