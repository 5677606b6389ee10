//! What the store can do beyond what all stores in servers do: tell changes and messages.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use terrace_store::capability::{Change, Changes, Message, Publish, Subscription, Watch};
use terrace_store::{BoxFuture, Namespace, Result};

use super::Postgres;
use super::link::writes;
use super::listen::{decode, read_change};

/// How many bytes of a message go into one notification, of at most 8,000 with its base64.
const PIECE: usize = 5_000;

impl Watch for Postgres {
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

impl Publish for Postgres {
    fn publish<'a>(&'a self, channel: &'a [u8], message: Bytes) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            self.ready("publish").await?;
            self.life.leaving.settle().await;
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
