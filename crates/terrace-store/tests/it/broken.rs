//! Stores that are wrong on purpose, each in one way: the suite catches every one of them.

use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use terrace_store::capability::{
    Batch, Cursor, Iterate, List, Lock, Page, Paths, Publish, Snapshot, Transact, Watch,
};
use terrace_store::fakes::MapStore;
use terrace_store::{
    BoxFuture, Capabilities, Clock, Condition, DeleteOptions, Deleted, Entry, Health, Key, Namespace,
    PutOptions, Result, Store, Swept, Tags, Version, Written, block_on, conformance,
};

use crate::subjects::Fresh;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    /// A late copy is taken though its key was deleted since.
    ForgetsFloors,
    /// Entries live one millisecond longer than they should.
    LivesOneMillisecondLonger,
    /// A put that expects a version is done whatever is there.
    IgnoresExpectedVersion,
    /// Tags do not come back.
    LosesTags,
    /// Two writes in a row get one version.
    ReusesVersions,
    /// The expected version is looked at first, and the write done later.
    ComparesAndSetsInTwoSteps,
    /// Each put is said to have replaced something.
    AlwaysReplaced,
    /// A listing has one entry too many at its end.
    ListsUpToItsEndInclusive,
    /// The second page begins where the first ended.
    RepeatsTheLastOfAPage,
    /// Bytes are counted without the keys.
    CountsNoKeys,
    /// A sweep leaves what is over.
    SweepsNothing,
    /// After `close` everything goes on.
    NeverCloses,
    /// An empty value is a missing one.
    LosesEmptyValues,
    /// Namespaces of one length are one.
    MixesNamespacesUp,
}

const BUGS: [(Bug, &str); 14] = [
    (Bug::ForgetsFloors, "floor"),
    (Bug::LivesOneMillisecondLonger, "after the entry has expired"),
    (Bug::IgnoresExpectedVersion, "expects a version"),
    (Bug::LosesTags, "every field of an entry survives"),
    (Bug::ReusesVersions, "version"),
    (Bug::ComparesAndSetsInTwoSteps, "add up"),
    (Bug::AlwaysReplaced, "took the place of a live entry"),
    (Bug::ListsUpToItsEndInclusive, "before `before`"),
    (Bug::RepeatsTheLastOfAPage, "pages of any size"),
    (Bug::CountsNoKeys, "a refused write changes nothing"),
    (Bug::SweepsNothing, "sweep"),
    (Bug::NeverCloses, "closed store refuses"),
    (Bug::LosesEmptyValues, "written again after a delete"),
    (Bug::MixesNamespacesUp, "different namespaces"),
];

#[test]
fn each_broken_store_is_caught_and_told_which_rule_it_broke() {
    for (bug, rule) in BUGS {
        let subject = Fresh(move |clock: Arc<dyn Clock>| Broken { inner: MapStore::new(clock), bug });
        let caught = catch_unwind(AssertUnwindSafe(|| block_on(conformance::all(&subject))));
        let panic = match caught {
            Ok(report) => panic!("{bug:?} went unnoticed: {report}"),
            Err(panic) => panic,
        };
        let text = panic.downcast_ref::<String>().map_or("", String::as_str);
        assert!(text.contains("store `map` breaks the rule: ") && text.contains(rule), "{bug:?}: {text}");
    }
}

struct Broken {
    inner: MapStore,
    bug: Bug,
}

impl Broken {
    fn has(&self, bug: Bug) -> bool {
        self.bug == bug
    }

    fn key(&self, key: &Key) -> Key {
        if self.has(Bug::MixesNamespacesUp) {
            let name = vec![b'x'; key.namespace_name().len()];
            return Key::new(name, key.bytes()).unwrap();
        }
        key.clone()
    }

    fn out(&self, entry: Entry) -> Option<Entry> {
        let mut entry = entry;
        if self.has(Bug::LivesOneMillisecondLonger) {
            entry.expires_ms = entry.expires_ms.and_then(|at| NonZeroU64::new(at.get().saturating_sub(1)));
        }
        entry.version = self.version(entry.version);
        (!self.has(Bug::LosesEmptyValues) || !entry.value.is_empty()).then_some(entry)
    }

    fn version(&self, version: Version) -> Version {
        if self.has(Bug::ReusesVersions) { Version(version.0.div_ceil(2)) } else { version }
    }

    fn written(&self, written: Written) -> Written {
        match written {
            Written::Stored { version, replaced } => Written::Stored {
                version: self.version(version),
                replaced: replaced || self.has(Bug::AlwaysReplaced),
            },
            conflict @ Written::Conflict { .. } => conflict,
        }
    }
}

impl Store for Broken {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
        Box::pin(async move { Ok(self.inner.get(&self.key(key)).await?.and_then(|entry| self.out(entry))) })
    }

    fn put<'a>(&'a self, key: &'a Key, entry: Entry, options: PutOptions) -> BoxFuture<'a, Result<Written>> {
        Box::pin(async move {
            let (mut entry, mut options) = (entry, options);
            match (self.bug, options.condition) {
                (Bug::LosesTags, _) => entry.tags = Tags::NONE,
                (Bug::LivesOneMillisecondLonger, _) => {
                    entry.expires_ms = entry.expires_ms.map(|at| at.saturating_add(1));
                }
                (Bug::IgnoresExpectedVersion, Condition::Match(_)) => options.condition = Condition::Any,
                (Bug::ComparesAndSetsInTwoSteps, Condition::Match(expected)) => {
                    let current = self.inner.get(key).await?.map(|entry| entry.version);
                    if current != Some(expected) {
                        return Ok(Written::Conflict { current });
                    }
                    std::thread::yield_now();
                    options.condition = Condition::Any;
                }
                _ => {}
            }
            let key = self.key(key);
            let written = self.inner.put(&key, entry.clone(), options).await?;
            let forgets = self.has(Bug::ForgetsFloors) && written == Written::Conflict { current: None };
            if let (true, Condition::Newer(version)) = (forgets, options.condition) {
                let _ = self.inner.put(&key, entry, PutOptions::default()).await?;
                return Ok(Written::Stored { version, replaced: false });
            }
            Ok(self.written(written))
        })
    }

    fn delete<'a>(&'a self, key: &'a Key, options: DeleteOptions) -> BoxFuture<'a, Result<Deleted>> {
        Box::pin(async move { self.inner.delete(&self.key(key), options).await })
    }

    fn exists<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move { Ok(self.get(key).await?.is_some()) })
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
        if self.has(Bug::SweepsNothing) {
            return Box::pin(async { self.inner.sweep(0).await.map(|_| Swept::default()) });
        }
        self.inner.sweep(limit)
    }

    fn health(&self) -> BoxFuture<'_, Health> {
        self.inner.health()
    }

    fn close(&self) -> BoxFuture<'_, Result<()>> {
        if self.has(Bug::NeverCloses) {
            return Box::pin(async { Ok(()) });
        }
        self.inner.close()
    }

    fn as_batch(&self) -> Option<&dyn Batch> {
        // What a batch does of its own would hide what the bug does to single calls.
        None
    }

    fn as_iterate(&self) -> Option<&dyn Iterate> {
        Some(self)
    }

    fn as_transact(&self) -> Option<&dyn Transact> {
        None
    }

    fn as_snapshot(&self) -> Option<&dyn Snapshot> {
        None
    }

    fn as_watch(&self) -> Option<&dyn Watch> {
        None
    }

    fn as_lock(&self) -> Option<&dyn Lock> {
        None
    }

    fn as_publish(&self) -> Option<&dyn Publish> {
        None
    }

    fn as_paths(&self) -> Option<&dyn Paths> {
        None
    }
}

impl Iterate for Broken {
    fn list<'a>(&'a self, list: &'a List, cursor: Option<&'a Cursor>) -> BoxFuture<'a, Result<Page>> {
        Box::pin(async move {
            let mut list = list.clone();
            if self.has(Bug::ListsUpToItsEndInclusive) {
                list.before = list.before.map(|before| [&before[..], b"\0"].concat().into());
            }
            let mut page = self.inner.list(&list, cursor).await?;
            if self.has(Bug::RepeatsTheLastOfAPage)
                && let Some(last) = cursor.map(|cursor| Key::from_flat(cursor.0.clone())).transpose()?
                && let Some(entry) = self.inner.get(&last).await?
                && page.entries.len() < list.limit
            {
                page.entries.insert(0, (last, entry));
            }
            let kept = page.entries.into_iter();
            page.entries =
                kept.filter_map(|(key, entry)| Some((key, self.out_listed(&list, entry)?))).collect();
            Ok(page)
        })
    }

    fn count<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<u64>> {
        self.inner.count(namespace)
    }

    fn bytes<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            let bytes = self.inner.bytes(namespace).await?;
            if !self.has(Bug::CountsNoKeys) {
                return Ok(bytes);
            }
            let entries = self.inner.list(&List::all(namespace.clone()), None).await?.entries;
            Ok(bytes - entries.iter().map(|(key, _)| key.bytes().len() as u64).sum::<u64>())
        })
    }

    fn namespaces(&self) -> BoxFuture<'_, Result<Vec<Namespace>>> {
        self.inner.namespaces()
    }
}

impl Broken {
    fn out_listed(&self, list: &List, entry: Entry) -> Option<Entry> {
        if list.keys_only { Some(entry) } else { self.out(entry) }
    }
}
