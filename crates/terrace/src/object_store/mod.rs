//! A cache in front of object storage, which is object storage itself: an [`ObjectStore`] of the crate `object_store` over
//! another one. Whatever takes the one takes the other.
//!
//! Objects are read in parts of one size, aligned to it, and parts are what is kept: in memory, and on the disk if there is
//! to be one. The key of a part has the object's ETag in it, and a part is only ever asked for with the condition that
//! the object still has it (`If-Match`); so a part is never of another state of its object than the caller was told
//! of. Of any number of readers of a part one asks for it. What is known of an object without its bytes is kept for
//! [`metadata_ttl`](Builder::metadata_ttl): for so long a change by somebody else may go unseen, a change through this
//! store never. An object that has no ETag, or a weak one, and reads of an older version go past the cache.
//!
//! This module's signatures name types of the crates `object_store`, `bytes` and `futures`: it is there to be one of
//! theirs. It is only compiled with the feature `object_store`, and follows that crate's versions.
//!
//! # Errors
//! Those of the store beneath, of the same kind. An object that changes while its bytes are read ends the stream with
//! `Precondition`; one that changes before the first byte is read anew, without the caller noticing.
//!
//! # Cost
//! What is in memory takes no request and no copy. A miss takes one request for what is known of the object, and one for
//! each part, eight of them at a time. A part is read whole, however little of it was asked for.

mod failure;
mod parts;
mod store;

use std::fmt;
#[cfg(feature = "disk")]
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Attributes, GetOptions, ObjectMeta, ObjectStore};
use terrace_store::{Error, ErrorKind, Result, block_on};

use crate::{Cache, Size};
use failure::Failure;

/// How many parts are asked for at once for one reader.
const TOGETHER: usize = 8;
/// How many parts of how many objects are known without their bytes.
const HEADS: u64 = 100_000;

/// A cache in front of object storage. See the [module's documentation](self). Clones are the same cache.
#[derive(Clone)]
pub struct CachedObjectStore {
    shared: Arc<Shared>,
}

struct Shared {
    inner: Arc<dyn ObjectStore>,
    parts: Cache<String, Bytes>,
    heads: Option<Cache<String, Arc<Head>>>,
    part_size: u64,
}

/// What is known of an object without its bytes.
#[derive(Debug)]
struct Head {
    meta: ObjectMeta,
    attributes: Attributes,
}

/// A [`CachedObjectStore`] under construction.
#[must_use = "a builder builds nothing until `build` is called"]
pub struct Builder {
    inner: Arc<dyn ObjectStore>,
    memory: u64,
    #[cfg(feature = "disk")]
    disk: Option<(PathBuf, u64)>,
    part_size: u64,
    metadata_ttl: Duration,
}

impl CachedObjectStore {
    /// A cache in front of this store: 256 MiB of memory, parts of 1 MiB, and a second for changes by others to be seen.
    pub fn builder(inner: Arc<dyn ObjectStore>) -> Builder {
        Builder {
            inner,
            memory: 256.mib(),
            #[cfg(feature = "disk")]
            disk: None,
            part_size: 1.mib(),
            metadata_ttl: Duration::from_secs(1),
        }
    }

    /// The cache of parts, for its figures and health, and to clear or close it.
    pub fn parts(&self) -> &Cache<String, Bytes> {
        &self.shared.parts
    }
}

impl Builder {
    /// How many bytes of parts stay in memory.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = bytes;
        self
    }

    /// Keeps parts on the local disk, too, also across restarts: in a folder of its own, whose files may take so many
    /// bytes, at least 1 MiB.
    #[cfg(feature = "disk")]
    pub fn disk(mut self, folder: impl Into<PathBuf>, bytes: u64) -> Self {
        self.disk = Some((folder.into(), bytes));
        self
    }

    /// How long a part is, in bytes: what a miss reads at least. 4 KiB to 64 MiB less a little.
    pub fn part_size(mut self, bytes: u64) -> Self {
        self.part_size = bytes;
        self
    }

    /// For how long what is known of an object is believed. Zero: every read asks first whether it has changed.
    pub fn metadata_ttl(mut self, ttl: Duration) -> Self {
        self.metadata_ttl = ttl;
        self
    }

    /// Builds it.
    ///
    /// # Errors
    /// `Config` if a setting is wrong, or what opening the folder says.
    pub async fn build(self) -> Result<CachedObjectStore> {
        let longest = terrace_store::store::VALUE_LIMIT as u64 - 1024;
        if !(4096..=longest).contains(&self.part_size) {
            return Err(Error::new(ErrorKind::Config, "build")
                .with("part_size", self.part_size)
                .because(format!("a part has 4096 to {longest} bytes")));
        }
        let weigh: fn(&String, &Bytes) -> u64 = |key, part| (key.len() + part.len()) as u64;
        let parts = Cache::<String, Bytes>::builder("parts").hot(self.memory).weigher(weigh);
        #[cfg(feature = "disk")]
        let parts = match self.disk {
            Some((folder, bytes)) => parts.cold(folder, bytes),
            None => parts,
        };
        let heads = Cache::<String, Arc<Head>>::builder("heads").hot_entries(HEADS).ttl(self.metadata_ttl);
        let heads = if self.metadata_ttl.is_zero() { None } else { Some(heads.build().await?) };
        let (inner, part_size) = (self.inner, self.part_size);
        Ok(CachedObjectStore {
            shared: Arc::new(Shared { inner, parts: parts.build().await?, heads, part_size }),
        })
    }
}

impl Shared {
    /// What is known of an object.
    async fn head(self: &Arc<Self>, location: &Path) -> object_store::Result<Arc<Head>> {
        let Some(heads) = &self.heads else { return self.ask_head(location).await };
        let (shared, of) = (Arc::clone(self), location.clone());
        let load = |_| async move { shared.ask_head(&of).await.map_err(Failure::of) };
        heads.get_or_load(location.as_ref(), load).await.map_err(failure::told)
    }

    async fn ask_head(&self, location: &Path) -> object_store::Result<Arc<Head>> {
        let found = self.inner.get_opts(location, GetOptions::new().with_head(true)).await?;
        Ok(Arc::new(Head { meta: found.meta, attributes: found.attributes }))
    }

    /// Nothing is known of an object any more, nor will be by what was asked before.
    fn forget(&self, location: &Path) {
        if let Some(heads) = &self.heads {
            // In memory alone nothing waits, and nothing fails.
            let _ = block_on(heads.remove(location.as_ref()));
        }
    }

    /// Forgets an object when whatever changes it has ended: also if it failed, or was dropped in the middle.
    fn forgetting(&self, location: &Path) -> Forgetting<'_> {
        Forgetting(self, location.clone())
    }
}

struct Forgetting<'a>(&'a Shared, Path);

impl Drop for Forgetting<'_> {
    fn drop(&mut self) {
        self.0.forget(&self.1);
    }
}

impl fmt::Debug for CachedObjectStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedObjectStore")
            .field("inner", &self.shared.inner)
            .field("part_size", &self.shared.part_size)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for CachedObjectStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CachedObjectStore({})", self.shared.inner)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("inner", &self.inner).finish_non_exhaustive()
    }
}
