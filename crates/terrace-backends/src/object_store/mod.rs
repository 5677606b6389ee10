//! `object_store:` a store in S3 or what speaks its protocol (`s3:`), in a folder of objects (`object+file:`), or in memory
//! (`object+memory:`), over the crate of the same name.
//!
//! A key is an object: a header, and the envelope that every backend keeps. A write takes its version from one small
//! object that all writers share (the module `head`), reads the header of what is there, judges its condition here, and puts the
//! object only if that is still there (`If-Match`, `If-None-Match`); if it is not, it begins anew. So versions are in
//! one order for all who write, on any number of machines, and no clock is asked, where an ETag could only tell equal from
//! different. A delete puts a tombstone, which keeps the floor, and whatever has an end puts a marker of it first, so
//! that a [`sweep`](terrace_store::Store::sweep) finds what is due without reading all there is. A clear moves what
//! is written from then on to another folder. `names` draws where objects lie, `header` what is in them.
//!
//! # What it promises
//! Everything the contract asks. Ceilings: a bucket is linearizable for each key among all who use the same prefix, as far as the
//! server keeps its own promise of reading what was written, but for clears by another process, which reads see within
//! `clear_seen_within`; its durability is `always`, and there is no less. A server that does not judge conditions is
//! found out when the store is used first, and refused. A folder is one process's, which a lock sees to: a file system cannot
//! judge a condition, so the process that holds the lock does; its durability is `never` or `always`. Memory is gone with the
//! store. A write whose answer did not come is looked at again, and is [`Unknown`](terrace_store::ErrorKind::Unknown)
//! only if that does not tell.
//!
//! # What it is not
//! A place for small values that are written often: each write is three requests, and all writers of a prefix take turns
//! at its head. It has no transactions, leases or watches: nothing in S3 judges two objects at one instant, ends a
//! right by a clock that all agree on, or tells of changes. The bytes of a namespace cannot be told, since listings
//! tell only the length of objects; the count is a listing. Where the server does not judge deletes (`If-Match`), which is
//! found out when the store is used first, floors stay until they are overwritten or cleared. Each namespace that was ever cleared by itself makes the head longer.
//!
//! # Cost
//! A read is one request; a write is three in the time of two, and another if it has an end or is a delete; a listing one for a
//! thousand names and one for each entry, sixteen at a time.

mod client;
mod config;
mod error;
mod folder;
mod head;
mod header;
mod link;
mod list;
mod names;
mod sweep;
mod write;

use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path;
use terrace_store::capability::{Cursor, List, Outcome, Page, Write};
use terrace_store::{
    Clock, Durability, Entry, Error, ErrorKind, Key, Namespace, Result, Spawn, Swept, Version,
};
use tokio::sync::OnceCell;

pub use client::{client, objects};
pub use config::{Bucket, ObjectStoreConfig, Place};
use head::{Head, Heads};
use header::{HEADER, Header};
use link::{Link, Over, Removed};
use names::Names;

use crate::remote::{Life, Remote, RemoteStore};

/// Its name.
const NAME: &str = "object_store";
/// How many requests are under way at once where one call asks for many objects.
const TOGETHER: usize = 16;
/// Writers of this process do not run into each other's keys, only into those of others.
const STRIPES: usize = 256;

/// A store in an object store. See the [module's documentation](self).
pub type ObjectStore = RemoteStore<Objects>;

/// What such a store does with its objects.
pub struct Objects(Arc<Inner>);

struct Inner {
    link: Link,
    names: Names,
    heads: Heads,
    config: ObjectStoreConfig,
    life: Life,
    ready: OnceCell<()>,
    stripes: [tokio::sync::Mutex<()>; STRIPES],
}

impl ObjectStore {
    /// Prepares a store in this place. It asks nothing before the first call, so a server that is away fails calls, not
    /// the opening.
    ///
    /// # Errors
    /// `Config` for a place or option that makes no sense, a folder that another process has open, or outside of a tokio
    /// runtime.
    pub fn open(config: ObjectStoreConfig, clock: Arc<dyn Clock>, spawn: Arc<dyn Spawn>) -> Result<Self> {
        config.check()?;
        let names = Names::new(&config.prefix);
        Ok(Self::over(Objects(Arc::new(Inner {
            link: Link::open(&config)?,
            heads: Heads::new(names.head(), Arc::clone(&clock)),
            names,
            config,
            life: Life::begin(NAME, clock, spawn),
            ready: OnceCell::new(),
            stripes: [const { tokio::sync::Mutex::const_new(()) }; STRIPES],
        }))))
    }
}

impl Inner {
    /// Makes sure that the store may be used: it is open, the place is there, and the server judges conditions.
    async fn ready(&self, operation: &'static str) -> Result<()> {
        self.life.check_open(operation)?;
        let begin = || async {
            self.probe().await?;
            self.heads.begin(&self.link).await
        };
        self.ready.get_or_try_init(begin).await.copied()
    }

    /// Refuses a server that puts an object whatever the put depends on: it would lose writes. One that removes an
    /// object whatever that depends on is not asked to.
    async fn probe(&self) -> Result<()> {
        if !self.link.is_shared() {
            return Ok(());
        }
        let (link, path) = (&self.link, self.names.probe(RandomState::new().hash_one(NAME)));
        let Some(old) = link.write("open", &path, "1".into(), Over::Nothing).await? else { return Ok(()) };
        let created = link.write("open", &path, "2".into(), Over::Nothing).await?;
        let new = link.write("open", &path, "3".into(), Over::Tag(old.clone())).await?;
        let changed = link.write("open", &path, "4".into(), Over::Tag(old.clone())).await?;
        link.try_removal("open", &path, &old).await?;
        link.remove_anyway("open", &path).await?;
        match (created, new, changed) {
            (None, Some(_), None) => Ok(()),
            _ => Err(config::refused(
                "the object store does not judge what a put depends on (If-Match, If-None-Match), so writes at the same \
                 time would be lost; use one that does",
            )),
        }
    }

    /// The head as reads may see it.
    async fn head(&self, operation: &'static str) -> Result<Arc<Head>> {
        let age = u64::try_from(self.config.clear_seen_within.as_millis()).unwrap_or(u64::MAX);
        self.heads.within(&self.link, operation, age).await
    }

    fn object(&self, head: &Head, key: &Key) -> Path {
        self.names.object(head.cleared_of(key), key)
    }

    async fn get(&self, operation: &'static str, key: &Key) -> Result<Option<Entry>> {
        let path = self.object(&*self.head(operation).await?, key);
        let Some(found) = self.link.read(operation, &path, None).await? else { return Ok(None) };
        let header = Header::parse(&found.bytes)?;
        match header.is_live(self.life.wall_ms()) {
            true => header.open(key, &found.bytes).map(Some),
            false => Ok(None),
        }
    }

    async fn exists(&self, key: &Key) -> Result<bool> {
        let path = self.object(&*self.head("exists").await?, key);
        let Some(found) = self.link.read("exists", &path, Some(HEADER)).await? else { return Ok(false) };
        Ok(Header::parse(&found.bytes)?.is_live(self.life.wall_ms()))
    }
}

impl Objects {
    /// Does what writes, to its end where it must not be left in the middle.
    async fn write<T: Send + 'static, F: Future<Output = Result<T>> + Send + 'static>(
        &self,
        operation: &'static str,
        requests: usize,
        work: impl FnOnce(Arc<Inner>) -> F,
    ) -> Result<T> {
        self.0.link.to_its_end(operation, requests, work(Arc::clone(&self.0))).await
    }
}

impl Remote for Objects {
    const NAME: &'static str = NAME;
    const ATOMIC_BATCHES: bool = false;
    const TRANSACTS: bool = false;

    fn durability(&self) -> Durability {
        self.0.config.durability
    }

    fn persistent(&self) -> bool {
        self.0.config.place != Place::Memory
    }

    fn check_open(&self, operation: &'static str) -> Result<()> {
        self.0.life.check_open(operation)
    }

    async fn get(&self, key: &Key) -> Result<Option<Entry>> {
        self.0.ready("get").await?;
        self.0.get("get", key).await
    }

    async fn exists(&self, key: &Key) -> Result<bool> {
        self.0.ready("exists").await?;
        self.0.exists(key).await
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>> {
        self.0.ready("get").await?;
        let reads = keys.iter().cloned().map(|key| async move { self.0.get("get", &key).await });
        futures_util::stream::iter(reads).buffered(TOGETHER).try_collect().await
    }

    async fn apply(&self, operation: &'static str, writes: &[Write]) -> Result<Vec<Outcome>> {
        let list = writes.to_vec();
        let work = move |inner: Arc<Inner>| async move { inner.write(operation, &list).await };
        self.write(operation, 8 * writes.len() + 8, work).await
    }

    async fn commit(&self, _: &[Write], _: &[(Key, Option<Version>)]) -> Result<()> {
        Err(Error::new(ErrorKind::NotSupported, "commit").with("store", NAME))
    }

    async fn clear(&self, namespace: Option<&Namespace>) -> Result<u64> {
        let namespace = namespace.cloned();
        let work = |inner: Arc<Inner>| async move { inner.clear(namespace.as_ref()).await };
        self.write("clear", usize::MAX, work).await
    }

    async fn list(&self, list: &List, cursor: Option<&Cursor>) -> Result<Page> {
        self.0.page(list, cursor).await
    }

    async fn amount(&self, namespace: &Namespace) -> Result<(u64, u64)> {
        let _ = namespace;
        self.0.life.check_open("bytes")?;
        Err(Error::new(ErrorKind::NotSupported, "bytes")
            .with("store", NAME)
            .because("a listing tells the length of objects, not that of the values in them"))
    }

    async fn count(&self, namespace: &Namespace) -> Result<u64> {
        self.0.count(namespace).await
    }

    async fn namespaces(&self) -> Result<Vec<Namespace>> {
        self.0.spaces().await
    }

    async fn reserve(&self) -> Result<Version> {
        self.0.ready("reserve").await?;
        let work = |inner: Arc<Inner>| async move { inner.heads.take(&inner.link, "reserve", 1, 0).await };
        self.write("reserve", 8, work).await.map(|(version, _)| version)
    }

    /// What was acknowledged is kept, unless the store was opened to leave that to the operating system.
    async fn flush(&self) -> Result<()> {
        self.0.ready("flush").await?;
        self.0.link.flush().await
    }

    async fn sweep(&self, limit: usize) -> Result<Swept> {
        let work = move |inner: Arc<Inner>| async move { inner.sweep(limit).await };
        self.write("sweep", usize::MAX, work).await
    }

    async fn ping(&self) -> Result<()> {
        self.0.ready("health").await?;
        self.0.heads.within(&self.0.link, "health", 0).await.map(drop)
    }

    async fn close(&self) {
        self.0.life.end().await;
        self.0.link.close();
    }
}
