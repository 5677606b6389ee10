//! namespace: a store that sees only its own part of another, as if it were all there is.
//!
//! ```text
//! namespace seen here    beneath
//! orders                 PREFIX/orders
//! a long one             PREFIX#[BLAKE3 of its name]     its name: PREFIX@, key = the hash
//! lease, channel         PREFIX/name
//! clear of everything    PREFIX@, key = "floor", value = version
//! ```
//!
//! Decision: the prefix goes before the name of the namespace, so everything that a store does by namespace (counting,
//! listing, clearing, order) stays as it is and costs nothing more. A name that does not fit behind the prefix is replaced
//! by its hash, and the name is noted beneath before the first entry is written under it. Clearing everything clears the
//! namespaces that there are; for those that there are not yet, a floor is noted beneath, which refuses late writes.
//!
//! A prefix has no `/`, `#` or `@`, so no two of different prefixes meet; layers may stand in each other. What is lost:
//! paths, whose root is the store's own root namespace.

mod capability;
mod map;
#[cfg(test)]
mod tests;
mod view;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use terrace_store::capability::{Batch, Iterate, Lock, Paths, Publish, Snapshot, Transact, Watch};
use terrace_store::{
    BoxFuture, Capabilities, Condition, DeleteOptions, Deleted, Entry, Error, ErrorKind, Health, Key,
    PutOptions, Result, Store, Swept, Version, Versions, Written,
};

use self::map::Map;

/// A store that is a part of another.
pub struct Namespaced {
    inner: Arc<dyn Store>,
    map: Arc<Map>,
    /// Writes that carry at most this version came before everything was cleared.
    floor: AtomicU64,
}

impl Namespaced {
    /// The part of the store that has this name.
    ///
    /// # Errors
    /// `Config` if the name is empty, longer than 200 bytes, or has one of `/`, `#` and `@`; whatever the store answers.
    pub async fn open(inner: Arc<dyn Store>, prefix: impl AsRef<[u8]>) -> Result<Self> {
        let map = Map::new(prefix.as_ref())?;
        let floor = match inner.get(&map.floor_key()?).await? {
            Some(entry) => entry.value.as_ref().try_into().map_or(0, u64::from_le_bytes),
            None => 0,
        };
        Ok(Self { inner, map: Arc::new(map), floor: AtomicU64::new(floor) })
    }

    /// Notes the name of a namespace whose name does not fit, once, before anything is written there.
    async fn note(&self, key: &Key) -> Result<()> {
        let Some((place, name)) = self.map.to_note(key.namespace_name())? else { return Ok(()) };
        let condition = match self.inner.capabilities().versions {
            Versions::Given => Condition::Newer(Version(1)),
            Versions::Assigned | Versions::Opaque => Condition::Absent,
        };
        let options = PutOptions { condition, ..PutOptions::default() };
        let _ = self.inner.put(&place, Entry::new(name), options).await?;
        self.map.noted(key.namespace_name());
        Ok(())
    }

    /// Whether a write that carries this version came before everything was cleared.
    fn is_late(&self, condition: Condition) -> bool {
        matches!(condition, Condition::Newer(version) if version.0 <= self.floor.load(Ordering::Acquire))
    }

    async fn current(&self, key: &Key) -> Result<Option<Version>> {
        Ok(self.inner.get(key).await?.map(|entry| entry.version))
    }
}

fn missing(operation: &'static str) -> Error {
    Error::new(ErrorKind::NotSupported, operation).because("the store beneath cannot do it")
}

#[deny(clippy::missing_trait_methods)]
impl Store for Namespaced {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
        Box::pin(async move { self.inner.get(&self.map.down(key)?).await })
    }

    fn put<'a>(&'a self, key: &'a Key, entry: Entry, options: PutOptions) -> BoxFuture<'a, Result<Written>> {
        Box::pin(async move {
            let below = self.map.down(key)?;
            options.validate(&entry)?;
            if self.is_late(options.condition) {
                return Ok(Written::Conflict { current: self.current(&below).await? });
            }
            self.note(key).await?;
            self.inner.put(&below, entry, options).await
        })
    }

    fn delete<'a>(&'a self, key: &'a Key, options: DeleteOptions) -> BoxFuture<'a, Result<Deleted>> {
        Box::pin(async move {
            let below = self.map.down(key)?;
            options.validate()?;
            if self.is_late(options.condition) {
                return Ok(Deleted::Conflict { current: self.current(&below).await? });
            }
            self.inner.delete(&below, options).await
        })
    }

    fn exists<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move { self.inner.exists(&self.map.down(key)?).await })
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
        self.inner.health()
    }

    /// Closes the store beneath, for all who see a part of it.
    fn close(&self) -> BoxFuture<'_, Result<()>> {
        self.inner.close()
    }

    fn as_batch(&self) -> Option<&dyn Batch> {
        // Clearing everything has to know which namespaces there are.
        self.inner.as_batch().and(self.inner.as_iterate()).map(|_| self as &dyn Batch)
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
        None
    }
}
