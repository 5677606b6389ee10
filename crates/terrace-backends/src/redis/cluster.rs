//! A store in a Redis Cluster: its namespaces spread over the slots.
//!
//! Decision: a store is in parts, each all that a store in one server is, under a hash tag of its own; a namespace lies whole
//! in one of them. So everything the contract says of a namespace (order of versions, listings, counts, clears, watches,
//! transactions) is still judged in one server at one instant, and what names several namespaces is put together here:
//! reads go to all parts at once, a batch is applied part by part in its order, and a transaction that would have to
//! be judged in two servers is refused in words. A namespace that is to be larger than a server is to be several.
//!
//! Each part draws versions from a sequence of its own, none that another part draws, and above all that this process has
//! read or written: so versions of different namespaces follow cause and effect, but those of two processes that know
//! nothing of each other say nothing. A version that is [reserved](terrace_store::Store::reserve) is above all that any part
//! has used, and no part uses one below it afterwards, whichever process asks. A watch listens to the owner of its slot. While a slot has no owner, as during a failover, calls
//! wait for one as long as the timeout allows; a write whose answer was lost is [`Unknown`](ErrorKind::Unknown) and never
//! repeated. What a failover loses, which is what the replica had not yet got, is lost.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use terrace_store::capability::{
    Changes, Cursor, Lease, List, Lock, Outcome, Page, Publish, Subscription, Watch, Write,
};
use terrace_store::{
    BoxFuture, Clock, Durability, Entry, Error, ErrorKind, Key, Namespace, Result, Spawn, Swept, Version,
};
use xxhash_rust::xxh3::xxh3_64;

use super::config::{MOST_PARTS, RedisClusterConfig};
use super::link::Link;
use super::names::Names;
use super::slots::{Cluster, Owner, tags};
use super::{FORMAT, NAME, Redis, Sequence};
use crate::remote::{Remote, RemoteStore, validate};

/// A store in a Redis Cluster. See the [module's documentation](super) and [`RedisClusterConfig`].
///
/// A namespace lies whole in one of [`RedisClusterConfig::parts`] slots. Batches that name several namespaces are not
/// atomic; transactions must keep to the namespaces of one part, which is certain for one namespace only.
pub type RedisClusterStore = RemoteStore<RedisCluster>;

/// What such a store does in its servers.
pub struct RedisCluster {
    /// Where it says how many parts there are, under the prefix itself.
    home: Redis,
    parts: Vec<Redis>,
    /// Which part a sweep begins with.
    swept: AtomicUsize,
}

impl RedisClusterStore {
    /// Prepares a store in this cluster. It connects at the first call.
    ///
    /// # Errors
    /// `Config` for a URL or option that makes no sense, or outside of a tokio runtime.
    pub fn open(config: RedisClusterConfig, clock: Arc<dyn Clock>, spawn: Arc<dyn Spawn>) -> Result<Self> {
        config.check()?;
        let cluster = Cluster::open(&config)?;
        let (redis, count) = (&config.redis, config.parts);
        let seen: Arc<AtomicU64> = Arc::default();
        let part = |part: usize, tag: &str| {
            let link = Link::to_owner(Owner::of(&cluster, tag), redis.timeout)?;
            let format = format!("{FORMAT}/{count}");
            // As many as there may be at most, which ten to the tenth can be divided by, as scripts have it.
            let sequence = Sequence { part, parts: MOST_PARTS, seen: Arc::clone(&seen) };
            let (clock, spawn) = (Arc::clone(&clock), Arc::clone(&spawn));
            Ok(Redis::begin(link, Names::new(tag), format, sequence, redis.clone(), clock, spawn))
        };
        let tags = tags(&redis.prefix, count);
        let parts = tags.iter().enumerate().map(|(number, tag)| part(number, tag)).collect::<Result<_>>()?;
        Ok(Self::over(RedisCluster { home: part(0, &redis.prefix)?, parts, swept: AtomicUsize::new(0) }))
    }
}

/// Runs futures together; their answers in order, or the first error.
async fn all<'a, T>(
    futures: impl IntoIterator<Item = impl Future<Output = Result<T>> + Send + 'a>,
) -> Result<Vec<T>> {
    let mut running: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    poll_fn(|context| {
        for (future, answer) in running.iter_mut().filter(|(_, answer)| answer.is_none()) {
            match Pin::new(future).poll(context) {
                Poll::Ready(Ok(found)) => *answer = Some(found),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {}
            }
        }
        if running.iter().any(|(_, answer)| answer.is_none()) { Poll::Pending } else { Poll::Ready(Ok(())) }
    })
    .await?;
    Ok(running.into_iter().filter_map(|(_, answer)| answer).collect())
}

/// How much clears of all parts removed. If one failed, they are together undone only if each surely was.
fn together(cleared: Vec<Result<u64>>) -> Result<u64> {
    let undone = |part: &Result<u64>| part.as_ref().is_err_and(|error| error.kind() != ErrorKind::Unknown);
    let all_undone = cleared.iter().all(undone);
    cleared.into_iter().sum::<Result<u64>>().map_err(|error| match all_undone {
        true => error,
        false => Error::new(ErrorKind::Unknown, "clear")
            .with("store", NAME)
            .because("some parts of the cluster were cleared, others may not have been")
            .caused_by(error),
    })
}

impl RedisCluster {
    /// What each call begins with: the cluster is there, and has as many parts as this store.
    async fn part_for(&self, operation: &'static str, name: &[u8]) -> Result<&Redis> {
        self.home.ready(operation).await?;
        Ok(self.part(name))
    }

    /// The number of the part in which what has this name lies. It must never change.
    fn number(&self, name: &[u8]) -> usize {
        (xxh3_64(name) % self.parts.len() as u64) as usize
    }

    fn part(&self, name: &[u8]) -> &Redis {
        &self.parts[self.number(name)]
    }

    fn of_key(&self, key: &Key) -> usize {
        self.number(key.namespace_name())
    }

    /// The only part of these keys; `None` for none.
    fn one_part<'k>(&self, mut keys: impl Iterator<Item = &'k Key>) -> Result<Option<&Redis>> {
        let Some(first) = keys.next() else { return Ok(None) };
        let number = self.of_key(first);
        match keys.find(|key| self.of_key(key) != number) {
            None => Ok(Some(&self.parts[number])),
            Some(other) => Err(Error::new(ErrorKind::NotSupported, "commit").with("store", NAME).because(format!(
                "the transaction has keys of the namespaces `{}` and `{}`, which lie in different slots of the cluster, and \
                 no server can judge both at one instant: keep a transaction to one namespace",
                first.namespace_name().escape_ascii(),
                other.namespace_name().escape_ascii()
            ))),
        }
    }
}

impl Remote for RedisCluster {
    const NAME: &'static str = NAME;

    const ATOMIC_BATCHES: bool = false;

    fn durability(&self) -> Durability {
        self.home.durability()
    }

    fn check_open(&self, operation: &'static str) -> Result<()> {
        self.home.check_open(operation)
    }

    async fn get(&self, key: &Key) -> Result<Option<Entry>> {
        self.part_for("get", key.namespace_name()).await?.get(key).await
    }

    async fn exists(&self, key: &Key) -> Result<bool> {
        self.part_for("exists", key.namespace_name()).await?.exists(key).await
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>> {
        self.home.ready("get").await?;
        let mut asked: Vec<(usize, Vec<usize>, Vec<Key>)> = Vec::new();
        for (at, key) in keys.iter().enumerate() {
            let part = self.of_key(key);
            match asked.iter_mut().find(|(other, ..)| *other == part) {
                Some((_, places, keys)) => {
                    places.push(at);
                    keys.push(key.clone());
                }
                None => asked.push((part, vec![at], vec![key.clone()])),
            }
        }
        let found = all(asked.iter().map(|(part, _, keys)| self.parts[*part].get_many(keys))).await?;
        let mut entries = vec![None; keys.len()];
        for ((_, places, _), found) in asked.iter().zip(found) {
            places.iter().zip(found).for_each(|(at, entry)| entries[*at] = entry);
        }
        Ok(entries)
    }

    /// In their order, so that after an error a beginning was applied and nothing else.
    async fn apply(&self, operation: &'static str, writes: &[Write]) -> Result<Vec<Outcome>> {
        self.home.ready(operation).await?;
        validate(writes)?;
        let mut outcomes = Vec::with_capacity(writes.len());
        for run in writes.chunk_by(|one, next| self.of_key(one.key()) == self.of_key(next.key())) {
            outcomes.extend(self.parts[self.of_key(run[0].key())].apply(operation, run).await?);
        }
        Ok(outcomes)
    }

    async fn commit(&self, writes: &[Write], unchanged: &[(Key, Option<Version>)]) -> Result<()> {
        self.home.ready("commit").await?;
        validate(writes)?;
        let keys = writes.iter().map(Write::key).chain(unchanged.iter().map(|(key, _)| key));
        match self.one_part(keys)? {
            Some(part) => part.commit(writes, unchanged).await,
            None => Ok(()),
        }
    }

    async fn clear(&self, namespace: Option<&Namespace>) -> Result<u64> {
        self.home.ready("clear").await?;
        match namespace {
            Some(name) => self.part(name.name()).clear(namespace).await,
            None => {
                // Every part is waited for: what one of them fails with says nothing of the others.
                let clears = self.parts.iter().map(|part| async { Ok(part.clear(None).await) });
                together(all(clears).await?)
            }
        }
    }

    async fn list(&self, list: &List, cursor: Option<&Cursor>) -> Result<Page> {
        self.part_for("list", list.namespace.name()).await?.list(list, cursor).await
    }

    async fn amount(&self, namespace: &Namespace) -> Result<(u64, u64)> {
        self.part_for("count", namespace.name()).await?.amount(namespace).await
    }

    async fn namespaces(&self) -> Result<Vec<Namespace>> {
        self.home.ready("namespaces").await?;
        Ok(all(self.parts.iter().map(Remote::namespaces)).await?.concat())
    }

    async fn reserve(&self) -> Result<Version> {
        self.home.ready("reserve").await?;
        let drawn = all(self.parts.iter().map(|part| part.draw(None))).await?;
        let highest = drawn.into_iter().max().unwrap_or(Version::ZERO);
        all(self.parts.iter().map(|part| part.draw(Some(highest)))).await?;
        Ok(highest)
    }

    async fn flush(&self) -> Result<()> {
        self.home.ready("flush").await?;
        all(self.parts.iter().map(Remote::flush)).await.map(drop)
    }

    async fn sweep(&self, limit: usize) -> Result<Swept> {
        self.home.ready("sweep").await?;
        let (first, mut swept) = (self.swept.fetch_add(1, Ordering::Relaxed), Swept::default());
        for turn in 0..self.parts.len() {
            let done = usize::try_from(swept.expired + swept.floors).unwrap_or(limit);
            let part = &self.parts[first.wrapping_add(turn) % self.parts.len()];
            let own = part.sweep(limit.saturating_sub(done)).await?;
            swept.expired += own.expired;
            swept.floors += own.floors;
            swept.more |= own.more;
        }
        Ok(swept)
    }

    async fn ping(&self) -> Result<()> {
        self.home.ready("health").await?;
        all(self.parts.iter().map(Remote::ping)).await.map(drop)
    }

    async fn close(&self) {
        self.home.close().await;
        for part in &self.parts {
            part.close().await;
        }
    }

    fn as_watch(&self) -> Option<&dyn Watch> {
        Some(self)
    }

    fn as_lock(&self) -> Option<&dyn Lock> {
        Some(self)
    }

    fn as_publish(&self) -> Option<&dyn Publish> {
        Some(self)
    }
}

impl Watch for RedisCluster {
    fn watch<'a>(
        &'a self,
        namespace: &'a Namespace,
        prefix: Bytes,
    ) -> BoxFuture<'a, Result<Box<dyn Changes>>> {
        Box::pin(
            async move { self.part_for("watch", namespace.name()).await?.watch(namespace, prefix).await },
        )
    }
}

impl Publish for RedisCluster {
    fn publish<'a>(&'a self, channel: &'a [u8], message: Bytes) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move { self.part_for("publish", channel).await?.publish(channel, message).await })
    }

    fn subscribe<'a>(&'a self, channel: &'a [u8]) -> BoxFuture<'a, Result<Box<dyn Subscription>>> {
        Box::pin(async move { self.part_for("subscribe", channel).await?.subscribe(channel).await })
    }
}

impl Lock for RedisCluster {
    fn try_acquire<'a>(&'a self, name: &'a [u8], ttl: Duration) -> BoxFuture<'a, Result<Option<Lease>>> {
        Box::pin(async move { self.part_for("acquire", name).await?.try_acquire(name, ttl).await })
    }

    fn renew<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move { self.part_for("renew", &lease.name).await?.renew(lease).await })
    }

    fn release<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move { self.part_for("release", &lease.name).await?.release(lease).await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clear_of_parts_is_in_doubt_unless_none_of_them_was_cleared() {
        let failed = |kind| Err(Error::new(kind, "clear"));
        let kind = |parts: Vec<Result<u64>>| together(parts).unwrap_err().kind();
        assert_eq!(together(vec![Ok(1), Ok(2)]).unwrap(), 3);
        assert_eq!(kind(vec![failed(ErrorKind::Denied), failed(ErrorKind::Network)]), ErrorKind::Denied);
        assert_eq!(kind(vec![failed(ErrorKind::Denied), Ok(1)]), ErrorKind::Unknown);
        assert_eq!(kind(vec![failed(ErrorKind::Network), failed(ErrorKind::Unknown)]), ErrorKind::Unknown);
    }
}
