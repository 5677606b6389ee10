//! The suite every store must pass, as public functions.
//!
//! [`all`] runs every rule that the store's capabilities make applicable; nothing is excused by hand. A store
//! that breaks a rule makes the function panic, with the name of the store and the rule in words. A rule that is
//! added here reaches every backend and every layer at once.
//!
//! A crate calls it from a test:
//!
//! ```
//! use std::sync::Arc;
//! use terrace_store::conformance::{self, Subject};
//! use terrace_store::fakes::{FrozenClock, MapStore};
//! use terrace_store::{BoxFuture, Result, Store, block_on};
//!
//! struct Map;
//!
//! impl Subject for Map {
//!     fn open(&self, clock: FrozenClock) -> BoxFuture<'_, Result<Arc<dyn Store>>> {
//!         Box::pin(async move { Ok(Arc::new(MapStore::new(Arc::new(clock))) as Arc<dyn Store>) })
//!     }
//!     fn reopen(&self, _clock: FrozenClock) -> BoxFuture<'_, Result<Option<Arc<dyn Store>>>> {
//!         Box::pin(async { Ok(None) })
//!     }
//! }
//!
//! println!("{}", block_on(conformance::all(&Map)));
//! ```

pub mod basics;
pub mod batch;
pub mod concurrency;
pub mod conditions;
pub mod copies;
pub mod expiry;
pub mod floors;
pub mod iterate;
pub mod limits;
pub mod lock;
pub mod model;
pub mod path;
pub mod publish;
pub mod reopen;
pub mod snapshot;
mod threads;
pub mod transaction;
mod trial;
pub mod watch;

use std::fmt;
use std::sync::Arc;

use crate::error::Result;
use crate::fakes::FrozenClock;
use crate::store::{BoxFuture, Store, Versions};

/// A kind of store that is put to the test: how to get one.
pub trait Subject: Send + Sync {
    /// A fresh, empty store that reads this clock.
    fn open(&self, clock: FrozenClock) -> BoxFuture<'_, Result<Arc<dyn Store>>>;

    /// The store opened last, with its data, after it was closed; `None` if nothing of it outlives it. The clock
    /// is another one, as it is after a restart: its monotonic time begins anew.
    fn reopen(&self, clock: FrozenClock) -> BoxFuture<'_, Result<Option<Arc<dyn Store>>>>;
}

/// What [`all`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The name of the store.
    pub store: String,
    /// The suites that ran, and passed.
    pub ran: Vec<&'static str>,
    /// The suites that do not apply to this store, and why.
    pub skipped: Vec<(&'static str, &'static str)>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "store `{}` passed: {}", self.store, self.ran.join(", "))?;
        for (suite, why) in &self.skipped {
            write!(f, "; not {suite} ({why})")?;
        }
        Ok(())
    }
}

/// Runs every suite that applies to the store.
///
/// # Panics
/// If the store breaks a rule, or cannot be opened.
///
/// # Cost
/// Some ten thousand operations, most of them deferred; ten seconds for a store that waits for the disk.
pub async fn all(subject: &dyn Subject) -> Report {
    let store = trial::Trial::open(subject).await.store;
    let (name, can) = (store.name().to_owned(), Applicable::to(&*store));
    if let Err(error) = store.close().await {
        panic!("store `{name}` breaks the rule: a fresh store can be closed: {error}");
    }
    drop(store);
    let mut report = Report { store: name, ran: Vec::new(), skipped: Vec::new() };
    for (suite, applies, run) in suites(&can) {
        match applies {
            Ok(()) => {
                run(subject).await;
                report.ran.push(suite);
            }
            Err(why) => report.skipped.push((suite, why)),
        }
    }
    report
}

type Run = for<'a> fn(&'a dyn Subject) -> BoxFuture<'a, ()>;
type Suite = (&'static str, Result<(), &'static str>, Run);

/// The table of suites: name, whether it applies, function.
#[rustfmt::skip] // One line a suite.
fn suites(can: &Applicable) -> Vec<Suite> {
    vec![
        ("basics", Ok(()), |s| Box::pin(basics::all(s))),
        ("conditions", can.judge, |s| Box::pin(conditions::all(s))),
        ("floors", can.assign, |s| Box::pin(floors::all(s))),
        ("expiry", Ok(()), |s| Box::pin(expiry::all(s))),
        ("limits", Ok(()), |s| Box::pin(limits::all(s))),
        ("iterate", can.iterate, |s| Box::pin(iterate::all(s))),
        ("batch", can.batch, |s| Box::pin(batch::all(s))),
        ("concurrency", can.assign, |s| Box::pin(concurrency::all(s))),
        ("model", can.assign, |s| Box::pin(model::all(s))),
        ("reopen", can.persist, |s| Box::pin(reopen::all(s))),
        ("transaction", can.transact, |s| Box::pin(transaction::all(s))),
        ("snapshot", can.snapshot, |s| Box::pin(snapshot::all(s))),
        ("watch", can.watch, |s| Box::pin(watch::all(s))),
        ("lock", can.lock, |s| Box::pin(lock::all(s))),
        ("publish", can.publish, |s| Box::pin(publish::all(s))),
        ("path", can.paths, |s| Box::pin(path::all(s))),
    ]
}

/// What the store's own answers make applicable, with the reason where they do not.
struct Applicable {
    judge: Result<(), &'static str>,
    assign: Result<(), &'static str>,
    persist: Result<(), &'static str>,
    iterate: Result<(), &'static str>,
    batch: Result<(), &'static str>,
    transact: Result<(), &'static str>,
    snapshot: Result<(), &'static str>,
    watch: Result<(), &'static str>,
    lock: Result<(), &'static str>,
    publish: Result<(), &'static str>,
    paths: Result<(), &'static str>,
}

impl Applicable {
    fn to(store: &dyn Store) -> Self {
        fn when(holds: bool, otherwise: &'static str) -> Result<(), &'static str> {
            if holds { Ok(()) } else { Err(otherwise) }
        }
        let capabilities = store.capabilities();
        Self {
            judge: when(capabilities.versions != Versions::Given, "it keeps only given versions"),
            assign: when(capabilities.versions == Versions::Assigned, "it assigns no ordered versions"),
            persist: when(capabilities.persistent, "it is not persistent"),
            iterate: when(store.as_iterate().is_some(), "it cannot list"),
            batch: when(store.as_batch().is_some(), "it has no batches"),
            transact: when(store.as_transact().is_some(), "it has no transactions"),
            snapshot: when(store.as_snapshot().is_some(), "it has no snapshots"),
            watch: when(store.as_watch().is_some(), "it cannot be watched"),
            lock: when(store.as_lock().is_some(), "it grants no leases"),
            publish: when(store.as_publish().is_some(), "it publishes nothing"),
            paths: when(store.as_paths().is_some(), "it has no paths"),
        }
    }
}
