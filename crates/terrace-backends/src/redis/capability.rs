//! What the store can do beyond what all stores in servers do: tell changes and messages.

use bytes::Bytes;
use terrace_store::capability::{Change, Changes, Message, Publish, Subscription, Watch};
use terrace_store::{BoxFuture, Namespace, Result};

use super::Redis;
use super::link::Intent;
use super::listen::read_change;

impl Watch for Redis {
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

impl Publish for Redis {
    fn publish<'a>(&'a self, channel: &'a [u8], message: Bytes) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            self.ready("publish").await?;
            self.life.leaving.settle().await;
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
