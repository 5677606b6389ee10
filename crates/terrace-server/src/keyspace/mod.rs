//! The keys of the server, over the tiers: what every command and every HTTP request reads and writes.
//!
//! The authority (the disk, or memory when there is no disk) decides everything; the hot tier only answers
//! reads sooner. Each of the 16 databases is a namespace. Writes are deferred: whoever serves a connection
//! awaits [`Keyspace::commit`] once for a whole batch of commands, before it sends the first reply of the batch.

mod evict;
mod list;
mod locks;
mod lookup;
mod watch;

use std::num::NonZeroU64;
use std::sync::Arc;

use bytes::Bytes;
use terrace::tiers::{Ask, Codec, Decode, Found, Freshness, Hot, HotTier, Live, Parcel, PutRequest, Tiers};
use terrace_store::{
    Clock, CodecId, Condition, DeleteOptions, Deleted, Entry, Error, ErrorKind, Key, Namespace, Result,
    Store, Version, Written,
};

pub use evict::{OwnEviction, Policy};
pub use locks::{Guard, KeyLocks};
pub use lookup::Lookup;
pub use watch::{Flag, Watches};

/// How many databases there are.
pub const DATABASES: usize = 16;

/// How often a write makes room for itself before it is refused: enough to let one large value in for many
/// small ones.
const EVICTIONS: usize = 4096;

/// A live value as commands see it.
#[derive(Clone, Debug)]
pub struct Value {
    /// Its bytes.
    pub bytes: Bytes,
    /// Which write of its key it is.
    pub version: Version,
    /// When it was written, in milliseconds of wall time.
    pub created_ms: u64,
    /// When it ends, in milliseconds of wall time.
    pub expires_ms: Option<NonZeroU64>,
    /// Everything else known about it (its own `value` is empty); `None` if nothing is.
    pub about: Option<Arc<Entry>>,
}

impl Value {
    fn of_entry(entry: Entry) -> Self {
        let plain = entry.tags.is_empty() && entry.metadata.is_none();
        Self {
            bytes: entry.value.clone(),
            version: entry.version,
            created_ms: entry.created_ms,
            expires_ms: entry.expires_ms,
            about: (!plain).then(|| Arc::new(Entry { value: Bytes::new(), ..entry })),
        }
    }

    /// An entry like this one, to be written with these bytes.
    pub fn entry(&self, bytes: Bytes) -> Entry {
        let entry = match &self.about {
            Some(about) => Entry::clone(about),
            None => Entry::new(Bytes::new()),
        };
        Entry { value: bytes, expires_ms: self.expires_ms, ..entry }
    }
}

/// The keys of the server.
pub struct Keyspace {
    tiers: Arc<Tiers>,
    hot: Option<Arc<HotTier<Key, Bytes>>>,
    authority: Arc<dyn Store>,
    namespaces: Vec<Namespace>,
    /// Orders what concerns several keys, or reads before it writes. Whoever writes a key holds its lock.
    pub locks: KeyLocks,
    /// Who wants to know of writes.
    pub watches: Watches,
    evictor: evict::Evictor,
    places: list::Places,
}

impl Keyspace {
    /// The keys in these tiers.
    ///
    /// # Errors
    /// `Config` if no store decides.
    pub fn new(tiers: Arc<Tiers>, hot: Option<Arc<HotTier<Key, Bytes>>>) -> Result<Self> {
        let Some(authority) = tiers.authority().cloned() else {
            return Err(
                Error::new(ErrorKind::Config, "keyspace").because("a server needs a store that decides")
            );
        };
        let namespaces = (0..DATABASES).map(|n| Namespace::new(n.to_string())).collect::<Result<_>>()?;
        let keyspace = Self {
            tiers,
            hot,
            authority,
            namespaces,
            locks: KeyLocks::new(),
            watches: Watches::default(),
            evictor: evict::Evictor::default(),
            places: list::Places::default(),
        };
        keyspace.set_eviction(Policy::default())?;
        Ok(keyspace)
    }

    /// The tiers beneath.
    pub fn tiers(&self) -> &Arc<Tiers> {
        &self.tiers
    }

    /// The store that decides.
    pub fn authority(&self) -> &Arc<dyn Store> {
        &self.authority
    }

    /// The time.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        self.tiers.clock()
    }

    /// The namespace of a database, if there is one of this number.
    pub fn namespace(&self, database: usize) -> Option<&Namespace> {
        self.namespaces.get(database)
    }

    /// The key of this name in a database.
    ///
    /// # Errors
    /// `Invalid` if the name is too long.
    pub fn key(&self, database: usize, name: &[u8]) -> Result<Key> {
        self.namespaces[database].key(name)
    }

    /// The live value of a key.
    ///
    /// # Errors
    /// Those of the authority, damage included: a server does not call a damaged value a miss.
    pub async fn get(&self, key: &Key) -> Result<Option<Value>> {
        if let Some(value) = self.get_hot(key) {
            return Ok(Some(value));
        }
        self.get_below(key).await
    }

    /// The live value of a key, if nothing has to be waited for. `None` if it has to be read with
    /// [`Keyspace::get_below`].
    ///
    /// # Errors
    /// As [`Keyspace::get`].
    pub fn get_now(&self, key: &Key) -> Option<Result<Option<Value>>> {
        if let Some(value) = self.get_hot(key) {
            return Some(Ok(Some(value)));
        }
        if !self.tiers.is_in_place() {
            return None;
        }
        Some(self.tiers.fetch(key.clone(), self.ask()).now()?.map(value_of))
    }

    /// The live value of a key that [`Keyspace::get_hot`] did not find.
    ///
    /// # Errors
    /// As [`Keyspace::get`].
    pub async fn get_below(&self, key: &Key) -> Result<Option<Value>> {
        self.tiers.fetch(key.clone(), self.ask()).await.map(value_of)
    }

    fn ask(&self) -> Ask {
        // Only the hot tier, which takes what is found, wants it live.
        let codec: Option<&'static dyn Codec> = self.hot.as_ref().map(|_| &RAW as _);
        Ask { decode: Decode { codec, retyped: false }, load: None }
    }

    /// The live value of a key, if it is in the hot tier.
    #[inline]
    pub fn get_hot(&self, key: &Key) -> Option<Value> {
        self.hot.as_ref()?.get(key, |held, freshness| {
            (freshness == Freshness::Fresh).then(|| Value {
                bytes: held.value.clone(),
                version: held.version(),
                created_ms: held.created_ms(),
                expires_ms: held.expires_ms(),
                about: held.is_described().then(|| Arc::new(held.entry())),
            })
        })?
    }

    /// Whether a key is in the hot tier. No read: it leaves no trace in recency or statistics.
    pub fn is_hot(&self, key: &Key) -> bool {
        self.hot.as_ref().is_some_and(|hot| Hot::version(&**hot, key).is_some())
    }

    /// Writes a value, and makes room for it if the policy of eviction lets it. The write is deferred: see
    /// [`Keyspace::commit`].
    ///
    /// # Errors
    /// `Full` if there is no room and nothing may be evicted; `Unknown` if it may have been applied.
    pub async fn put(&self, key: &Key, entry: Entry, condition: Condition) -> Result<Written> {
        let entry = Entry { created_ms: self.clock().wall_ms(), ..entry };
        for _ in 0..=EVICTIONS {
            match self.try_put(key, entry.clone(), condition).await {
                // Seldom, and long: boxed, so that every put need not have room for it.
                Err(error)
                    if error.kind() == ErrorKind::Full
                        && !error.is_disk_full()
                        && Box::pin(self.make_room(key)).await? => {}
                written => return written,
            }
        }
        Err(full())
    }

    /// Whether several writes cost less as one: where each that is made by itself goes its own way to the disk.
    pub fn prefers_batches(&self) -> bool {
        let capabilities = self.authority.capabilities();
        capabilities.persistent && capabilities.atomic_batches
    }

    /// Writes several values that never end; of two for one key the later one stays. Deferred, too. Where the
    /// authority outlives the process and has atomic batches all are there after a crash, or none.
    ///
    /// # Errors
    /// As [`Keyspace::put`]. If it is `Unknown`, so is what became of each. After another error a beginning of
    /// them may have been written: what has to make room is written one after another.
    pub async fn set_many(&self, pairs: Vec<(Key, Bytes)>) -> Result<()> {
        if !self.prefers_batches() {
            return self.set_each(pairs).await;
        }
        let created_ms = self.clock().wall_ms();
        let parcel = |bytes: &Bytes| self.parcel(Entry { created_ms, ..Entry::new(bytes.clone()) });
        let writes = pairs.iter().map(|(key, bytes)| (key.clone(), parcel(bytes))).collect();
        let request = PutRequest { deferred: true, alone: true, ..PutRequest::default() };
        let written = self.tiers.put_many(writes, request).await;
        pairs.iter().for_each(|(key, _)| self.watches.touch(key));
        match written {
            Err(error) if error.kind() == ErrorKind::Full && !error.is_disk_full() => {
                Box::pin(self.set_each(pairs)).await
            }
            written => written,
        }
    }

    async fn set_each(&self, pairs: Vec<(Key, Bytes)>) -> Result<()> {
        for (key, bytes) in pairs {
            let written = match self.set_now(&key, bytes.clone()) {
                Some(written) => written?,
                None => Box::pin(self.set(&key, bytes, None)).await?,
            };
            debug_assert!(written.version().is_some(), "it was written whatever was there");
        }
        Ok(())
    }

    fn parcel(&self, entry: Entry) -> Parcel {
        // Only the hot tier wants the live form.
        let live = self.hot.as_ref().map(|_| Arc::new(entry.value.clone()) as Live);
        let weight = entry.size();
        Parcel { entry, live, weight }
    }

    async fn try_put(&self, key: &Key, entry: Entry, condition: Condition) -> Result<Written> {
        let expires = entry.expires_ms.is_some();
        let parcel = self.parcel(entry);
        // Whoever writes a key holds its lock.
        let request = PutRequest { condition, deferred: true, alone: true, ..PutRequest::default() };
        let written = self.tiers.put(key, parcel, request).await;
        if matches!(&written, Ok(Written::Stored { .. })) {
            self.note_evictable(expires);
        }
        if !matches!(&written, Ok(Written::Conflict { .. })) {
            self.watches.touch(key);
        }
        written
    }

    /// Writes bytes that end at this wall time, or never.
    ///
    /// # Errors
    /// As [`Keyspace::put`].
    pub async fn set(&self, key: &Key, bytes: Bytes, expires_ms: Option<NonZeroU64>) -> Result<Written> {
        self.put(key, Entry { expires_ms, ..Entry::new(bytes) }, Condition::Any).await
    }

    /// [`Keyspace::set`] of a value that never ends, if it needs no waiting: without a future. `None` if it has to be
    /// done the other way; nothing was done then.
    ///
    /// # Errors
    /// As [`Keyspace::put`].
    pub fn set_now(&self, key: &Key, bytes: Bytes) -> Option<Result<Written>> {
        let parcel = self.parcel(Entry { created_ms: self.clock().wall_ms(), ..Entry::new(bytes) });
        let written = self.tiers.put_in_place(key, parcel)?;
        // Also after an error: it may have been applied.
        self.watches.touch(key);
        Some(written)
    }

    /// Removes a key, and says whether it was there. Deferred, too.
    ///
    /// # Errors
    /// Those of the authority.
    pub async fn delete(&self, key: &Key) -> Result<bool> {
        let options = DeleteOptions { deferred: true, ..DeleteOptions::default() };
        let deleted = self.tiers.delete(key, options).await;
        // Also after an error: it may have been applied.
        if !matches!(&deleted, Ok(Deleted::Done { existed: false, .. })) {
            self.watches.touch(key);
        }
        Ok(matches!(deleted?, Deleted::Done { existed: true, .. }))
    }

    /// Waits until all deferred writes have the durability the server promises.
    ///
    /// # Errors
    /// If it fails, the outcome of those writes is unknown, and they must not be acknowledged.
    pub async fn commit(&self) -> Result<()> {
        self.tiers.commit().await
    }
}

/// Redis knows nothing of stale values: to its commands they are gone.
fn value_of(found: Found) -> Option<Value> {
    found.parcel.filter(|_| !found.stale).map(|parcel| Value::of_entry(parcel.entry))
}

fn full() -> Error {
    Error::new(ErrorKind::Full, "put").because("much has left to make room, and there is still none")
}

/// The codec of the server's values: the bytes are the value.
struct Raw;

static RAW: Raw = Raw;

impl Codec for Raw {
    fn id(&self) -> CodecId {
        CodecId::RAW
    }
    fn fingerprint(&self) -> u64 {
        0
    }
    fn encode(&self, live: &Live) -> Result<Bytes> {
        live.downcast_ref::<Bytes>()
            .cloned()
            .ok_or_else(|| Error::new(ErrorKind::TypeMismatch, "encode").because("the server keeps bytes"))
    }
    fn decode(&self, entry: &Entry) -> Result<Live> {
        Ok(Arc::new(entry.value.clone()))
    }
}

/// Takes a value out of its erased form, for the hot tier.
pub fn hold(live: &Live) -> Option<Bytes> {
    live.downcast_ref::<Bytes>().cloned()
}
