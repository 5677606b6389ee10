//! One store under test: the operations, with every failure told as the breach of a rule.

use std::fmt::Debug;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::Subject;
use crate::capability::{Batch, Iterate, List};
use crate::entry::{Entry, Version};
use crate::error::{ErrorKind, Result};
use crate::ext::StoreExt;
use crate::fakes::FrozenClock;
use crate::key::{Key, Namespace};
use crate::store::{Condition, DeleteOptions, Deleted, PutOptions, Store, Swept, Versions, Written};

/// The wall time at which every trial begins.
pub(super) const START_MS: u64 = 1_700_000_000_000;

/// A store under test, its clock, and the rule that is being tried.
pub(super) struct Trial<'a> {
    subject: &'a dyn Subject,
    pub(super) clock: FrozenClock,
    pub(super) store: Arc<dyn Store>,
    rule: Mutex<&'static str>,
    given: AtomicU64,
}

impl<'a> Trial<'a> {
    pub(super) async fn open(subject: &'a dyn Subject) -> Self {
        let clock = FrozenClock::at_wall_ms(START_MS);
        let store = match subject.open(clock.clone()).await {
            Ok(store) => store,
            Err(error) => panic!("the store under test cannot be opened: {error}"),
        };
        let rule = Mutex::new("a store works at all");
        Self { subject, clock, store, rule, given: AtomicU64::new(0) }
    }

    /// Closes the store and opens it again with its data, with a clock whose wall time is this. `false` if the
    /// store is not persistent; it is then still closed.
    pub(super) async fn reopen(&mut self, wall_ms: u64) -> bool {
        self.done(self.store.close().await);
        self.clock = FrozenClock::at_wall_ms(wall_ms);
        // The closed store goes before the new one comes, as it does with the process.
        self.store = Arc::new(crate::fakes::MapStore::default());
        match self.subject.reopen(self.clock.clone()).await {
            Ok(Some(store)) => {
                self.store = store;
                true
            }
            Ok(None) => false,
            Err(error) => panic!("the store under test cannot be opened again: {error}"),
        }
    }

    /// Says which rule the next steps try.
    pub(super) fn rule(&self, rule: &'static str) {
        *self.rule.lock().unwrap_or_else(PoisonError::into_inner) = rule;
    }

    #[track_caller]
    pub(super) fn broken(&self, detail: impl std::fmt::Display) -> ! {
        let rule = *self.rule.lock().unwrap_or_else(PoisonError::into_inner);
        panic!("store `{}` breaks the rule: {rule}: {detail}", self.store.name())
    }

    #[track_caller]
    pub(super) fn holds(&self, condition: bool, detail: impl std::fmt::Display) {
        if !condition {
            self.broken(detail);
        }
    }

    #[track_caller]
    #[allow(clippy::needless_pass_by_value, reason = "it reads like assert_eq")]
    pub(super) fn equal<T: PartialEq + Debug>(&self, found: T, expected: T) {
        if found != expected {
            self.broken(format_args!("found {}, expected {}", brief(&found), brief(&expected)));
        }
    }

    #[track_caller]
    pub(super) fn done<T>(&self, result: Result<T>) -> T {
        match result {
            Ok(value) => value,
            Err(error) => self.broken(format_args!("it failed: {error:?}")),
        }
    }

    #[track_caller]
    pub(super) fn refused<T: Debug>(&self, result: Result<T>, kind: ErrorKind) {
        match result {
            Err(error) => self.equal(error.kind(), kind),
            Ok(value) => self.broken(format_args!("found {}, expected the error {kind:?}", brief(&value))),
        }
    }

    /// The options of an unconditional write, in the words this store understands.
    pub(super) fn plain(&self) -> PutOptions {
        PutOptions { condition: self.unconditional(), ..PutOptions::default() }
    }

    fn unconditional(&self) -> Condition {
        match self.store.capabilities().versions {
            Versions::Given => Condition::Newer(Version(self.given.fetch_add(1, Ordering::Relaxed) + 1)),
            Versions::Assigned | Versions::Opaque => Condition::Any,
        }
    }

    /// Writes, whatever is there.
    pub(super) async fn write(&self, key: &Key, entry: Entry) -> Version {
        match self.done(self.store.put(key, entry, self.plain()).await) {
            Written::Stored { version, .. } => version,
            conflict => self.broken(format_args!("an unconditional put met {conflict:?}")),
        }
    }

    /// Writes this value, whatever is there.
    pub(super) async fn value(&self, key: &Key, value: &'static str) -> Version {
        self.write(key, Entry::new(value)).await
    }

    /// Writes a value that ends this many milliseconds from now.
    pub(super) async fn mortal(&self, key: &Key, value: &'static str, ttl_ms: u64) -> Version {
        self.write(key, self.mortal_entry(value, ttl_ms)).await
    }

    pub(super) fn mortal_entry(&self, value: &'static str, ttl_ms: u64) -> Entry {
        let created_ms = crate::Clock::wall_ms(&self.clock);
        Entry { created_ms, expires_ms: NonZeroU64::new(created_ms + ttl_ms), ..Entry::new(value) }
    }

    pub(super) async fn put_if(&self, key: &Key, value: &'static str, condition: Condition) -> Written {
        let options = PutOptions { condition, ..PutOptions::default() };
        self.done(self.store.put(key, Entry::new(value), options).await)
    }

    pub(super) async fn delete(&self, key: &Key) -> Deleted {
        self.delete_if(key, self.unconditional()).await
    }

    pub(super) async fn delete_if(&self, key: &Key, condition: Condition) -> Deleted {
        let options = DeleteOptions { condition, ..DeleteOptions::default() };
        self.done(self.store.delete(key, options).await)
    }

    /// Deletes, and returns the floor and whether there was an entry.
    pub(super) async fn remove(&self, key: &Key) -> (Version, bool) {
        match self.delete(key).await {
            Deleted::Done { version, existed } => (version, existed),
            conflict => self.broken(format_args!("an unconditional delete met {conflict:?}")),
        }
    }

    /// The entry, after making sure that `exists` agrees.
    pub(super) async fn get(&self, key: &Key) -> Option<Entry> {
        let entry = self.done(self.store.get(key).await);
        let exists = self.done(self.store.exists(key).await);
        self.holds(exists == entry.is_some(), format_args!("exists says {exists}, get the contrary"));
        entry
    }

    /// The value, as text.
    pub(super) async fn text(&self, key: &Key) -> Option<String> {
        self.get(key).await.map(|entry| String::from_utf8_lossy(&entry.value).into_owned())
    }

    pub(super) async fn expect_text(&self, key: &Key, expected: Option<&str>) {
        self.equal(self.text(key).await.as_deref(), expected);
    }

    pub(super) async fn reserve(&self) -> Version {
        self.done(self.store.reserve().await)
    }

    pub(super) async fn sweep(&self, limit: usize) -> Swept {
        self.done(self.store.sweep(limit).await)
    }

    pub(super) fn iterate(&self) -> &dyn Iterate {
        match self.store.as_iterate() {
            Some(iterate) => iterate,
            None => self.broken("it could list when it was opened first, and cannot now"),
        }
    }

    pub(super) fn batch(&self) -> &dyn Batch {
        match self.store.as_batch() {
            Some(batch) => batch,
            None => self.broken("it had batches when it was opened first, and has none now"),
        }
    }

    /// Count and bytes of a namespace; no bytes if the store cannot know them.
    pub(super) async fn usage(&self, namespace: &Namespace) -> (u64, Option<u64>) {
        let count = self.done(self.iterate().count(namespace).await);
        match self.iterate().bytes(namespace).await {
            Err(error) if error.kind() == ErrorKind::NotSupported => (count, None),
            bytes => (count, Some(self.done(bytes))),
        }
    }

    /// A namespace has this count and these bytes.
    pub(super) async fn uses(&self, namespace: &Namespace, (count, bytes): (u64, u64)) {
        let found = self.usage(namespace).await;
        self.equal(found, (count, found.1.map(|_| bytes)));
    }

    /// The keys of a listing as text, all pages.
    pub(super) async fn keys(&self, list: &List) -> Vec<Bytes> {
        let entries = self.done(self.store.list_all(list).await);
        entries.into_iter().map(|(key, _)| key.shared_bytes()).collect()
    }
}

/// A value in words, cut where it gets long.
fn brief<T: Debug>(value: &T) -> String {
    let mut text = format!("{value:?}");
    if text.len() > 600 {
        let end = (0..=600).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

/// A key in the namespace `suite`.
pub(super) fn key(bytes: impl AsRef<[u8]>) -> Key {
    key_in("suite", bytes)
}

/// A key in this namespace. The suite's own keys are within the limits.
pub(super) fn key_in(namespace: &str, bytes: impl AsRef<[u8]>) -> Key {
    Key::new(namespace, bytes).unwrap_or_else(|error| panic!("a key of the suite is refused: {error}"))
}

/// The namespace of this name.
pub(super) fn namespace(name: &str) -> Namespace {
    Namespace::new(name).unwrap_or_else(|error| panic!("a namespace of the suite is refused: {error}"))
}
