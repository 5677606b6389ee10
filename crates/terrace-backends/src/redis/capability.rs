//! What the store can do beyond `Store`.

use std::future::ready;

use bytes::Bytes;
use terrace_store::capability::{
    Batch, Change, Changes, Cursor, Iterate, List, Message, Outcome, Page, Publish, Subscription, Transact,
    Transaction, Watch, Write,
};
use terrace_store::{BoxFuture, Entry, Key, Namespace, Result};

use super::RedisStore;
use super::link::Intent;
use super::listen::read_change;
use super::transaction::Optimistic;

impl Batch for RedisStore {
    fn get_many<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Entry>>>> {
        Box::pin(self.read_many(keys))
    }

    fn apply(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<Vec<Outcome>>> {
        Box::pin(async move { self.write("apply", &writes, &[]).await })
    }

    fn clear<'a>(&'a self, namespace: Option<&'a Namespace>) -> BoxFuture<'a, Result<u64>> {
        Box::pin(self.clear_all(namespace))
    }
}

impl Iterate for RedisStore {
    fn list<'a>(&'a self, list: &'a List, cursor: Option<&'a Cursor>) -> BoxFuture<'a, Result<Page>> {
        Box::pin(self.page(list, cursor))
    }

    fn count<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move { self.amount(namespace).await.map(|amount| amount.0) })
    }

    fn bytes<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move { self.amount(namespace).await.map(|amount| amount.1) })
    }

    fn namespaces(&self) -> BoxFuture<'_, Result<Vec<Namespace>>> {
        Box::pin(self.spaces())
    }
}

impl Transact for RedisStore {
    fn begin(&self) -> BoxFuture<'_, Result<Box<dyn Transaction + '_>>> {
        let open = self.check_open("begin");
        Box::pin(ready(open.map(|()| Box::new(Optimistic::begin(self)) as Box<dyn Transaction>)))
    }
}

impl Watch for RedisStore {
    fn watch<'a>(
        &'a self,
        namespace: &'a Namespace,
        prefix: Bytes,
    ) -> BoxFuture<'a, Result<Box<dyn Changes>>> {
        Box::pin(async move {
            let namespace = namespace.clone();
            let read = move |payload: Bytes| read_change(&namespace, &prefix, &payload);
            let listening = self.listen(&self.names.changes, read, Change::Lagged).await?;
            Ok(Box::new(listening) as Box<dyn Changes>)
        })
    }
}

impl Publish for RedisStore {
    fn publish<'a>(&'a self, channel: &'a [u8], message: Bytes) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            self.ready("publish").await?;
            let mut publish = redis::cmd("PUBLISH");
            publish.arg(self.names.channel(channel)).arg(&message[..]);
            self.link.run(Intent::Write("publish"), &publish).await
        })
    }

    fn subscribe<'a>(&'a self, channel: &'a [u8]) -> BoxFuture<'a, Result<Box<dyn Subscription>>> {
        Box::pin(async move {
            let channel = self.names.channel(channel);
            let read = |payload| Some(Message::Payload(payload));
            let listening = self.listen(&channel, read, Message::Lagged).await?;
            Ok(Box::new(listening) as Box<dyn Subscription>)
        })
    }
}
