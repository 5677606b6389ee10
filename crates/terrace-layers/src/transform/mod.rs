//! A store around a store that changes the bytes of values on the way in and changes them back on the way out: what
//! compression, encryption and checksum have in common.
//!
//! Decision: one place speaks of every method of the contract, a layer only says what becomes of one entry. What was
//! changed carries a frame (its kind, the value's own codec, and the highest bit of the entry's codec set), which tells it
//! from what was not, so a layer can be put before a store that holds entries already. The rest goes through untouched: conditions, versions, times, leases, messages, paths.
//!
//! What is lost: [`Iterate::bytes`] counts values as they were put, which a store beneath cannot know of values that
//! changed their length; a layer that adds the same to each tells it, another answers `NotSupported`. An entry that
//! cannot be changed back is an error to who asks for it, and left out of listings, where it shows in the health.

mod batch;
pub(crate) mod frame;
mod view;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use terrace_store::capability::{Batch, Iterate, Lock, Paths, Publish, Snapshot, Transact, Watch};
use terrace_store::{
    BoxFuture, Capabilities, Condition, DeleteOptions, Deleted, Entry, Error, ErrorKind, Health, Key,
    Namespace, PutOptions, Result, Store, Swept, Version, Versions, Written,
};

/// What becomes of entries on their way.
pub trait Transform: Send + Sync + 'static {
    /// The entry as it is stored.
    ///
    /// # Errors
    /// What keeps it from being stored; nothing is.
    fn encode(&self, key: &Key, entry: Entry, options: &PutOptions) -> Result<Entry>;

    /// The entry as it was put.
    ///
    /// # Errors
    /// `Corrupt` for what it cannot be made of, and whatever says what is missing.
    fn decode(&self, key: &Key, entry: Entry) -> Result<Entry>;

    /// What has to be read before the entry can be decoded; `None`, if nothing, which is the usual case.
    fn prepare<'a>(&'a self, _beneath: &'a dyn Store, _entry: &Entry) -> Option<BoxFuture<'a, Result<()>>> {
        None
    }

    /// How many bytes each value is longer than it was put, if that is the same for all.
    fn added(&self) -> Option<u64> {
        None
    }

    /// Whether an unconditional put should carry a version, so that it can be bound to it.
    fn wants_version(&self) -> bool {
        false
    }

    /// Whether this namespace is the layer's own and shows in no list of them.
    fn owns(&self, _namespace: &Namespace) -> bool {
        false
    }

    /// Told before and after everything is cleared, to put back what it keeps in the store itself.
    fn cleared<'a>(&'a self, _beneath: &'a dyn Store, _before: bool) -> Option<BoxFuture<'a, Result<()>>> {
        None
    }
}

/// How often a put that is given a version is tried again when others write the same key.
const VERSION_ATTEMPTS: usize = 64;

/// A store around a store, with a transform of the values between.
pub struct Transformed<T> {
    inner: Arc<dyn Store>,
    shared: Arc<Shared<T>>,
}

/// What views of the store need as well.
struct Shared<T> {
    transform: T,
    damaged: AtomicU64,
}

impl<T: Transform> Transformed<T> {
    /// Puts the transform before the store.
    pub fn new(inner: Arc<dyn Store>, transform: T) -> Self {
        Self { inner, shared: Arc::new(Shared { transform, damaged: AtomicU64::new(0) }) }
    }

    /// The transform, to look at and to change.
    pub fn transform(&self) -> &T {
        &self.shared.transform
    }

    /// The store beneath.
    pub fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    /// How many times an entry could not be changed back.
    pub fn damaged(&self) -> u64 {
        self.shared.damaged.load(Ordering::Relaxed)
    }

    async fn put_bound(&self, key: &Key, entry: Entry, options: PutOptions) -> Result<Written> {
        for _ in 0..VERSION_ATTEMPTS {
            let version = self.inner.reserve().await?;
            if version >= Version::LIMIT {
                // A store whose versions are used up assigns greater ones, but takes none.
                let stored = self.transform().encode(key, entry, &options)?;
                return self.inner.put(key, stored, options).await;
            }
            let options = PutOptions { condition: Condition::Newer(version), ..options };
            let stored = self.transform().encode(key, entry.clone(), &options)?;
            let written = self.inner.put(key, stored, options).await?;
            if let Written::Stored { .. } = written {
                return Ok(written);
            }
        }
        Err(Error::new(ErrorKind::Busy, "put").because("too many others write this key; try again"))
    }
}

impl<T: Transform> Shared<T> {
    async fn decode(&self, beneath: &dyn Store, key: &Key, entry: Entry) -> Result<Entry> {
        if let Some(preparation) = self.transform.prepare(beneath, &entry) {
            preparation.await?;
        }
        self.decode_prepared(key, entry)
    }

    fn decode_prepared(&self, key: &Key, entry: Entry) -> Result<Entry> {
        self.transform.decode(key, entry).inspect_err(|_| {
            self.damaged.fetch_add(1, Ordering::Relaxed);
        })
    }
}

#[deny(clippy::missing_trait_methods)]
impl<T: Transform> Store for Transformed<T> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
        Box::pin(async move {
            match self.inner.get(key).await? {
                Some(entry) => self.shared.decode(&*self.inner, key, entry).await.map(Some),
                None => Ok(None),
            }
        })
    }

    fn put<'a>(&'a self, key: &'a Key, entry: Entry, options: PutOptions) -> BoxFuture<'a, Result<Written>> {
        Box::pin(async move {
            options.validate(&entry)?;
            let assigns = || self.inner.capabilities().versions == Versions::Assigned;
            if options.condition == Condition::Any && self.transform().wants_version() && assigns() {
                return self.put_bound(key, entry, options).await;
            }
            let stored = self.transform().encode(key, entry, &options)?;
            self.inner.put(key, stored, options).await
        })
    }

    fn delete<'a>(&'a self, key: &'a Key, options: DeleteOptions) -> BoxFuture<'a, Result<Deleted>> {
        self.inner.delete(key, options)
    }

    fn exists<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<bool>> {
        self.inner.exists(key)
    }

    fn reserve(&self) -> BoxFuture<'_, Result<Version>> {
        self.inner.reserve()
    }

    fn commit(&self) -> BoxFuture<'_, Result<()>> {
        self.inner.commit()
    }

    fn flush(&self) -> BoxFuture<'_, Result<()>> {
        self.inner.flush()
    }

    fn sweep(&self, limit: usize) -> BoxFuture<'_, Result<Swept>> {
        self.inner.sweep(limit)
    }

    fn health(&self) -> BoxFuture<'_, Health> {
        Box::pin(async move {
            match (self.inner.health().await, self.damaged()) {
                (Health::Up, damaged @ 1..) => {
                    Health::Degraded(format!("{damaged} entries that were read could not be restored"))
                }
                (health, _) => health,
            }
        })
    }

    fn close(&self) -> BoxFuture<'_, Result<()>> {
        self.inner.close()
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
