//! A store whose answers can be held back, lost or falsified from outside.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use terrace_store::capability::{Batch, Outcome, Write};
use terrace_store::fakes::MapStore;
use terrace_store::{
    BoxFuture, Capabilities, DeleteOptions, Deleted, Entry, Error, ErrorKind, Health, Key, Namespace,
    PutOptions, Result, Store, Swept, Version, Versions, Written,
};

/// What happens to the next operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fault {
    #[default]
    None,
    /// Nothing is done, and this kind is answered.
    Fail(ErrorKind),
    /// It is done, and nobody can say so.
    AppliedUnknown,
}

/// A [`MapStore`] behind a gate.
pub(crate) struct Gate {
    pub(crate) store: Arc<MapStore>,
    pub(crate) in_place: bool,
    unordered: AtomicBool,
    reads: Mutex<Fault>,
    writes: Mutex<Fault>,
    /// Called with the answer of a get in hand, before it is given.
    before_answer: Mutex<Option<Hook>>,
}

type Hook = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

impl Gate {
    pub(crate) fn new(store: Arc<MapStore>, in_place: bool) -> Arc<Self> {
        Arc::new(Self {
            store,
            in_place,
            unordered: AtomicBool::new(false),
            reads: Mutex::default(),
            writes: Mutex::default(),
            before_answer: Mutex::default(),
        })
    }

    /// From now on it says that it cannot order versions.
    pub(crate) fn assign_no_versions(&self) {
        self.unordered.store(true, Ordering::Relaxed);
    }

    pub(crate) fn fail_reads(&self, fault: Fault) {
        *self.reads.lock().unwrap() = fault;
    }

    pub(crate) fn fail_writes(&self, fault: Fault) {
        *self.writes.lock().unwrap() = fault;
    }

    pub(crate) fn before_answer(&self, hook: impl Fn() -> BoxFuture<'static, ()> + Send + Sync + 'static) {
        *self.before_answer.lock().unwrap() = Some(Arc::new(hook));
    }

    async fn write<T>(&self, done: impl Future<Output = Result<T>>) -> Result<T> {
        let fault = *self.writes.lock().unwrap();
        match fault {
            Fault::None => done.await,
            Fault::Fail(kind) => Err(Error::new(kind, "gate")),
            Fault::AppliedUnknown => {
                drop(done.await);
                Err(Error::new(ErrorKind::Unknown, "gate"))
            }
        }
    }
}

#[deny(clippy::missing_trait_methods)]
impl Store for Gate {
    fn name(&self) -> &str {
        "gate"
    }
    fn capabilities(&self) -> Capabilities {
        let own = self.store.capabilities();
        let versions = if self.unordered.load(Ordering::Relaxed) { Versions::Opaque } else { own.versions };
        Capabilities { in_place: self.in_place, versions, ..own }
    }
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
        Box::pin(async move {
            let fault = *self.reads.lock().unwrap();
            if let Fault::Fail(kind) = fault {
                return Err(Error::new(kind, "gate"));
            }
            let answer = self.store.get(key).await;
            let hook = self.before_answer.lock().unwrap().clone();
            if let Some(hook) = hook {
                hook().await;
            }
            answer
        })
    }
    fn put<'a>(&'a self, key: &'a Key, entry: Entry, options: PutOptions) -> BoxFuture<'a, Result<Written>> {
        Box::pin(self.write(async move { self.store.put(key, entry, options).await }))
    }
    fn delete<'a>(&'a self, key: &'a Key, options: DeleteOptions) -> BoxFuture<'a, Result<Deleted>> {
        Box::pin(self.write(async move { self.store.delete(key, options).await }))
    }
    fn exists<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<bool>> {
        self.store.exists(key)
    }
    fn reserve(&self) -> BoxFuture<'_, Result<Version>> {
        self.store.reserve()
    }
    fn commit(&self) -> BoxFuture<'_, Result<()>> {
        self.store.commit()
    }
    fn flush(&self) -> BoxFuture<'_, Result<()>> {
        self.store.flush()
    }
    fn sweep(&self, limit: usize) -> BoxFuture<'_, Result<Swept>> {
        self.store.sweep(limit)
    }
    fn health(&self) -> BoxFuture<'_, Health> {
        self.store.health()
    }
    fn close(&self) -> BoxFuture<'_, Result<()>> {
        self.store.close()
    }
    fn as_batch(&self) -> Option<&dyn Batch> {
        self.store.as_batch().map(|_| self as _)
    }
    fn as_iterate(&self) -> Option<&dyn terrace_store::capability::Iterate> {
        self.store.as_iterate()
    }
    fn as_transact(&self) -> Option<&dyn terrace_store::capability::Transact> {
        self.store.as_transact()
    }
    fn as_snapshot(&self) -> Option<&dyn terrace_store::capability::Snapshot> {
        self.store.as_snapshot()
    }
    fn as_watch(&self) -> Option<&dyn terrace_store::capability::Watch> {
        self.store.as_watch()
    }
    fn as_lock(&self) -> Option<&dyn terrace_store::capability::Lock> {
        self.store.as_lock()
    }
    fn as_publish(&self) -> Option<&dyn terrace_store::capability::Publish> {
        self.store.as_publish()
    }
    fn as_paths(&self) -> Option<&dyn terrace_store::capability::Paths> {
        self.store.as_paths()
    }
}

impl Gate {
    fn batch(&self) -> &dyn Batch {
        self.store.as_batch().expect("a map store has batches")
    }
}

impl Batch for Gate {
    fn get_many<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Entry>>>> {
        self.batch().get_many(keys)
    }
    fn apply(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<Vec<Outcome>>> {
        Box::pin(self.write(async move { self.batch().apply(writes).await }))
    }
    fn clear<'a>(&'a self, namespace: Option<&'a Namespace>) -> BoxFuture<'a, Result<u64>> {
        self.batch().clear(namespace)
    }
}
