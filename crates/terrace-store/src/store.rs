//! `Store`: an asynchronous byte key-value engine, in as few words as an engine needs.
//!
//! This is the contract that everything in Terrace meets: engines implement it, layers wrap it, the
//! coordinator composes it. It is safe to use as `dyn Store`. Those who *call* a store have more comfort in
//! [`StoreExt`](crate::StoreExt).
//!
//! # What every store promises
//!
//! **Per key, one order.** The operations on one key appear to happen one after another, each at some instant
//! between its call and its completion (linearizable within the process that opened the store). A `get` that
//! begins after a write completed sees that write or a later one. Between keys there is no order, unless a
//! [`Batch`] or [`Transaction`](crate::capability::Transact) gives one.
//!
//! **Versions grow.** Each completed write of a key, deletes included, has a version above all earlier ones of
//! that key. A delete leaves a *floor*: a later [`Condition::Newer`] write at or below it is refused, also
//! after a restart, for at least [`FLOOR_RETENTION`].
//!
//! **Time.** An entry past its `expires_ms` is absent to every operation, to the millisecond of the clock the
//! store was opened with, whether or not its bytes are still there. A clock that goes back does not bring back
//! what was seen expired by [`Store::sweep`]; and no restart lengthens a life, since what is kept is the
//! instant of the end, not the time left.
//!
//! **Limits.** Keys up to [`KEY_LIMIT`](crate::key::KEY_LIMIT) bytes, values up to
//! [`VALUE_LIMIT`] bytes, both of any content and both possibly empty. More is `Invalid`.
//!
//! **Errors.** A miss is `Ok(None)`. Bytes that were damaged are `Corrupt`, never a wrong value. A write that
//! failed with any kind but [`Unknown`](crate::ErrorKind::Unknown) was not applied.
//!
//! **Cancellation.** Dropping the future of a read has no effect. Dropping the future of a write before it
//! completes leaves an unknown outcome: it was applied wholly or not at all.
//!
//! **No copies.** The bytes of a value are shared (`Bytes`), so a store or layer that does not transform them
//! hands on the very buffer it was given.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::capability::{Batch, Iterate, Lock, Paths, Publish, Snapshot, Transact, Watch};
use crate::entry::{Entry, Version};
use crate::error::{Error, ErrorKind, Result};
use crate::key::Key;

/// A boxed future that can move between threads: what the methods of `dyn` traits return. Futures are boxed at
/// I/O only; a hit in memory never comes this way.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The longest value a store must take, in bytes.
pub const VALUE_LIMIT: usize = 64 * 1024 * 1024;

/// How long a delete's floor outlives the delete at least: longer than any load or promotion may take.
pub const FLOOR_RETENTION: Duration = Duration::from_secs(3600);

/// On what a write depends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Nothing: write, and assign the next version.
    #[default]
    Any,
    /// The key must have no live entry.
    Absent,
    /// The live entry must have exactly this version (compare-and-set).
    Match(Version),
    /// The write *carries* this version, and is applied only if it is above the key's current version and
    /// above its floor. So copies, replays and late messages never overtake anything newer. A version at or
    /// above [`Version::LIMIT`] is `Invalid`.
    Newer(Version),
}

/// Whether the store should compress a value, where it can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compress {
    /// As the store was set up.
    #[default]
    Default,
    /// No: the value is compressed already, or latency matters more.
    Never,
    /// Yes, if that makes it smaller at all.
    Always,
}

/// How a [`Store::put`] is done. What is written (lifetime, tags, content type, metadata) is in the entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PutOptions {
    /// On what it depends.
    pub condition: Condition,
    /// Whether to compress.
    pub compress: Compress,
    /// The caller promises to await [`Store::commit`] before it tells anybody of this write. The store may then
    /// return before the write has the durability it was opened with. Others may see the write meanwhile.
    pub deferred: bool,
}

impl PutOptions {
    /// Whether this put is within the limits that hold in every store; each asks this first.
    ///
    /// # Errors
    /// `Invalid` if the value or the given version is above its limit.
    pub fn validate(&self, entry: &Entry) -> Result<()> {
        if entry.value.len() > VALUE_LIMIT {
            return Err(Error::new(ErrorKind::Invalid, "put")
                .with("length", entry.value.len())
                .because(format!("a value is at most {VALUE_LIMIT} bytes long")));
        }
        self.condition.validate("put")
    }
}

impl Condition {
    fn validate(self, operation: &'static str) -> Result<()> {
        match self {
            Self::Newer(version) if version >= Version::LIMIT => {
                Err(Error::new(ErrorKind::Invalid, operation)
                    .with("version", version)
                    .because("a given version is below 2^63"))
            }
            _ => Ok(()),
        }
    }
}

/// How a [`Store::delete`] is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// On what it depends. `Absent` makes no sense here and is `Invalid`.
    pub condition: Condition,
    /// As in [`PutOptions::deferred`].
    pub deferred: bool,
}

impl DeleteOptions {
    /// Whether this delete is one that any store could do; each asks this first.
    ///
    /// # Errors
    /// `Invalid` if it depends on absence, or the given version is above its limit.
    pub fn validate(&self) -> Result<()> {
        if self.condition == Condition::Absent {
            let error = Error::new(ErrorKind::Invalid, "delete");
            return Err(error.because("a delete cannot depend on absence"));
        }
        self.condition.validate("delete")
    }
}

/// What became of a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Written {
    /// It is written.
    Stored {
        /// The version it has.
        version: Version,
        /// Whether it took the place of a live entry.
        replaced: bool,
    },
    /// Its condition did not hold; nothing was written.
    Conflict {
        /// The version of the live entry; `None` if there is none.
        current: Option<Version>,
    },
}

impl Written {
    /// The version of the write, if it was done.
    pub fn version(self) -> Option<Version> {
        match self {
            Self::Stored { version, .. } => Some(version),
            Self::Conflict { .. } => None,
        }
    }
}

/// What became of a delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Deleted {
    /// There is no entry any more.
    Done {
        /// The floor it leaves.
        version: Version,
        /// Whether there was a live entry.
        existed: bool,
    },
    /// Its condition did not hold; nothing was changed.
    Conflict {
        /// The version of the live entry; `None` if there is none.
        current: Option<Version>,
    },
}

/// Where a store's versions come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    /// It assigns them from a sequence of its own, in the order of its writes, and takes given ones with
    /// [`Condition::Newer`]. It can be an authority.
    Assigned,
    /// It keeps only those it is given with [`Condition::Newer`]; a copy, never the authority.
    Given,
    /// Its versions tell equal from different, not newer from older (an ETag). It cannot be an authority.
    Opaque,
}

/// When a write is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Gone with the process. Not a durability anybody can configure; what a memory store has.
    Process,
    /// After the operating system has it; it decides when the disk does. Nothing is lost on kill -9.
    Never,
    /// After the operating system has it; on power loss at most the last `Duration` is lost.
    Interval(Duration),
    /// After an fsync that covers it, shared with all who write within the `Duration`.
    Group(Duration),
    /// After an fsync that covers it.
    Always,
}

impl Durability {
    /// Whether an acknowledged write outlives a power cut.
    pub fn is_durable(self) -> bool {
        matches!(self, Self::Group(_) | Self::Always)
    }
}

/// What a store is and can do. Constant for an open store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Where versions come from.
    pub versions: Versions,
    /// What an acknowledgement means, as opened.
    pub durability: Durability,
    /// Whether the entries are still there after the store was closed and opened again.
    pub persistent: bool,
    /// Whether [`Batch::apply`] is applied wholly or not at all.
    pub atomic_batches: bool,
    /// Whether reads and deferred writes complete in the call that polls them first, without waiting for
    /// another task or for the network (for the disk they may). Such a store can be used in place.
    pub in_place: bool,
}

/// How a store is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Everything works.
    Up,
    /// It works, with this restriction.
    Degraded(String),
    /// It does not work, for this reason.
    Down(String),
}

/// What a [`Store::sweep`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Entries removed because their time was over.
    pub expired: u64,
    /// Floors removed because no write old enough to need them can still arrive.
    pub floors: u64,
    /// Whether the limit ended it, and more is to be done now.
    pub more: bool,
}

/// A byte key-value engine. See the [module's documentation](self) for what all of them promise.
///
/// A wrapper must speak of every method, the questions included: put
/// `#[deny(clippy::missing_trait_methods)]` on its `impl`.
pub trait Store: Send + Sync + 'static {
    /// Its name in messages and metrics: the engine's, such as `fs`.
    fn name(&self) -> &str;

    /// What it is and can do.
    fn capabilities(&self) -> Capabilities;

    /// The live entry of this key.
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>>;

    /// Writes an entry. `entry.version` is not read: see [`Condition`].
    ///
    /// # Errors
    /// `Full` if there is no room, `Unknown` if it may have been applied; otherwise it was not.
    fn put<'a>(&'a self, key: &'a Key, entry: Entry, options: PutOptions) -> BoxFuture<'a, Result<Written>>;

    /// Removes an entry, and leaves a floor whether or not there was one.
    ///
    /// # Errors
    /// As [`Store::put`]; a delete has room even when the store is full.
    fn delete<'a>(&'a self, key: &'a Key, options: DeleteOptions) -> BoxFuture<'a, Result<Deleted>>;

    /// Whether the key has a live entry. Never more costly than [`Store::get`].
    fn exists<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<bool>>;

    /// A version above that of every write completed before this call, and below that of every
    /// [`Condition::Any`] write or delete begun after it completed. A load takes one before it reads, and
    /// offers its value with [`Condition::Newer`] of it: so anything that happened meanwhile wins.
    ///
    /// # Errors
    /// `NotSupported` unless [`Versions::Assigned`].
    fn reserve(&self) -> BoxFuture<'_, Result<Version>>;

    /// Completes when every deferred write that completed before the call has the durability the store was
    /// opened with. Costs next to nothing when there is none.
    ///
    /// # Errors
    /// If it fails, the outcome of those writes is unknown.
    fn commit(&self) -> BoxFuture<'_, Result<()>>;

    /// Makes every write that completed before the call as durable as the store's medium can make it,
    /// whatever durability it was opened with.
    fn flush(&self) -> BoxFuture<'_, Result<()>>;

    /// Removes at most `limit` expired entries and floors no longer needed. To be called now and then.
    fn sweep(&self, limit: usize) -> BoxFuture<'_, Result<Swept>>;

    /// How it is doing.
    fn health(&self) -> BoxFuture<'_, Health>;

    /// Flushes, releases files and locks, and refuses all later calls with `Closed`. A second call is `Ok`.
    fn close(&self) -> BoxFuture<'_, Result<()>>;

    /// Several operations in one.
    fn as_batch(&self) -> Option<&dyn Batch> {
        None
    }
    /// Listing by namespace and prefix.
    fn as_iterate(&self) -> Option<&dyn Iterate> {
        None
    }
    /// Reads and writes that happen all at once or not at all.
    fn as_transact(&self) -> Option<&dyn Transact> {
        None
    }
    /// Reads at one point of time.
    fn as_snapshot(&self) -> Option<&dyn Snapshot> {
        None
    }
    /// The changes of a prefix as they happen.
    fn as_watch(&self) -> Option<&dyn Watch> {
        None
    }
    /// Leases with fencing tokens.
    fn as_lock(&self) -> Option<&dyn Lock> {
        None
    }
    /// Messages to whoever listens.
    fn as_publish(&self) -> Option<&dyn Publish> {
        None
    }
    /// Groups and links.
    fn as_paths(&self) -> Option<&dyn Paths> {
        None
    }
}
