//! What the store can do beyond `Store`.

use std::future::ready;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use terrace_store::capability::{
    Batch, Change, Changes, Cursor, Iterate, List, Message, Outcome, Page, Publish, Subscription, Transact,
    Transaction, Watch, Write,
};
use terrace_store::{BoxFuture, Entry, Key, Namespace, Result, Version};

use super::PostgresStore;
use super::link::writes;
use super::listen::{decode, read_change};
use crate::remote::{Remote, Transacting};

/// How many bytes of a message go into one notification, of at most 8,000 with its base64.
const PIECE: usize = 5_000;

impl Batch for PostgresStore {
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

impl Iterate for PostgresStore {
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

impl Transact for PostgresStore {
    fn begin(&self) -> BoxFuture<'_, Result<Box<dyn Transaction + '_>>> {
        let open = self.check_open("begin");
        Box::pin(ready(open.map(|()| Box::new(Transacting::begin(self)) as Box<dyn Transaction>)))
    }
}

impl Remote for PostgresStore {
    fn fetch<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
        Box::pin(self.read(key))
    }

    fn commit_unchanged(
        &self,
        writes: Vec<Write>,
        read: Vec<(Key, Option<Version>)>,
    ) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move { self.write("commit", &writes, &read).await.map(drop) })
    }
}

impl Watch for PostgresStore {
    fn watch<'a>(
        &'a self,
        namespace: &'a Namespace,
        prefix: Bytes,
    ) -> BoxFuture<'a, Result<Box<dyn Changes>>> {
        Box::pin(async move {
            let namespace = namespace.clone();
            let read = Box::new(move |message: &str| read_change(&namespace, &prefix, message));
            let listening = self.listen(&self.changes, None, read, Change::Lagged).await?;
            Ok(Box::new(listening) as Box<dyn Changes>)
        })
    }
}

impl Publish for PostgresStore {
    fn publish<'a>(&'a self, channel: &'a [u8], message: Bytes) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            self.ready("publish").await?;
            self.leaving.settle().await;
            // Those of one transaction arrive together and in order; the last one says that it is.
            let count = message.len().div_ceil(PIECE).max(1);
            let pieces = (0..count).map(|n| {
                let piece = &message[n * PIECE..message.len().min((n + 1) * PIECE)];
                format!("{n}/{count} {}", STANDARD.encode(piece))
            });
            let pieces: Vec<String> = pieces.collect();
            let lock = self.locks.channel(channel).cast_unsigned();
            let (high, low) = ((lock >> 32) as u32, lock as u32);
            // Those who listen hold a lock that says so.
            let statement = "WITH sent AS (SELECT pg_notify($1, x) FROM unnest($2::text[]) AS x) \
                 SELECT (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = $3 AND objid = $4 \
                 AND objsubid = 1 AND granted AND database = (SELECT oid FROM pg_database WHERE datname = \
                 current_database())), (SELECT count(*) FROM sent)";
            let arguments: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
                [&self.channel(channel), &pieces, &high, &low];
            let rows = self.link.query(writes("publish"), statement, &arguments).await?;
            Ok(rows.first().map_or(0, |row| row.get::<_, i64>(0).cast_unsigned()))
        })
    }

    fn subscribe<'a>(&'a self, channel: &'a [u8]) -> BoxFuture<'a, Result<Box<dyn Subscription>>> {
        Box::pin(async move {
            let mut whole = Vec::new();
            let read = Box::new(move |piece: &str| {
                let (place, text) = piece.split_once(' ')?;
                let (n, count) = place.split_once('/')?;
                if n == "0" {
                    whole.clear();
                }
                whole.extend(decode(text)?);
                let last = n.parse::<usize>().ok()? + 1 == count.parse::<usize>().ok()?;
                last.then(|| Message::Payload(std::mem::take(&mut whole).into()))
            });
            let lock = self.locks.channel(channel);
            let listening = self.listen(&self.channel(channel), Some(lock), read, Message::Lagged).await?;
            Ok(Box::new(listening) as Box<dyn Subscription>)
        })
    }
}
