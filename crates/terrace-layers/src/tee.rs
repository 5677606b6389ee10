//! Tee: what is written goes to several stores, what is read comes from the first.
//!
//! Decision: the first store decides, and gives each write its version; the others are given the write with that version
//! and take it only if it is newer than what they have. So however writes overtake each other on their way, all stores end
//! with the same entries under the same versions, and one that was away can be brought up by copying. A store that fails
//! does not undo the write: by [`OnLag`] it is told as an outcome that is unknown, or counted and shown in the health.
//!
//! What is lost: transactions, whose writes have no versions that could be handed on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use terrace_store::capability::{
    Batch, Iterate, Lock, Outcome, Paths, Publish, Snapshot, Transact, Watch, Write,
};
use terrace_store::{
    BoxFuture, Capabilities, Condition, DeleteOptions, Deleted, Entry, Error, ErrorKind, Health, Key,
    Namespace, PutOptions, Result, Store, StoreExt, Swept, Version, Versions, Written,
};

/// What becomes of a write that not all stores have taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnLag {
    /// Its outcome is `Unknown`: the first store has it, another may not.
    #[default]
    Tell,
    /// It is done; the store that lags behind is counted and shows in the health.
    Count,
}

/// Several stores that hold the same.
pub struct Tee {
    first: Arc<dyn Store>,
    others: Vec<Arc<dyn Store>>,
    on_lag: OnLag,
    lagged: AtomicU64,
}

impl Tee {
    /// Writes to the first and to the others, and reads from the first.
    ///
    /// # Errors
    /// `Config` if one of them has opaque versions, which cannot be handed on or compared.
    pub fn new(first: Arc<dyn Store>, others: Vec<Arc<dyn Store>>, on_lag: OnLag) -> Result<Self> {
        let opaque = |store: &&Arc<dyn Store>| store.capabilities().versions == Versions::Opaque;
        if let Some(store) = std::iter::once(&first).chain(&others).find(opaque) {
            return Err(Error::new(ErrorKind::Config, "tee")
                .because("its versions do not say which is newer, so it cannot be kept equal to others")
                .with("store", store.name()));
        }
        Ok(Self { first, others, on_lag, lagged: AtomicU64::new(0) })
    }

    /// How many writes a store has not taken.
    pub fn lagged(&self) -> u64 {
        self.lagged.load(Ordering::Relaxed)
    }

    fn lag(&self, operation: &'static str, store: &dyn Store, result: Result<()>) -> Result<()> {
        let Err(error) = result else { return Ok(()) };
        self.lagged.fetch_add(1, Ordering::Relaxed);
        match self.on_lag {
            OnLag::Count => Ok(()),
            OnLag::Tell => Err(Error::new(ErrorKind::Unknown, operation)
                .because("the first store has the write, another may not; copy it there, or write again")
                .with("store", store.name())
                .caused_by(error)),
        }
    }

    /// Does it with each of the others, whatever becomes of it with one.
    async fn others<'a>(
        &'a self,
        operation: &'static str,
        done: impl Fn(&'a dyn Store) -> BoxFuture<'a, Result<()>>,
    ) -> Result<()> {
        let mut result = Ok(());
        for store in &self.others {
            let one = done(&**store).await;
            result = result.and(self.lag(operation, &**store, one));
        }
        result
    }
}

/// What a write that was done is for the other stores.
fn copy(write: &Write, outcome: &Outcome) -> Option<Write> {
    match (write, outcome) {
        (Write::Put(key, entry, options), Outcome::Put(Written::Stored { version, .. })) => {
            let condition = Condition::Newer(*version);
            Some(Write::Put(key.clone(), entry.clone(), PutOptions { condition, ..*options }))
        }
        (Write::Delete(key, options), Outcome::Delete(Deleted::Done { version, .. })) => {
            let condition = Condition::Newer(*version);
            Some(Write::Delete(key.clone(), DeleteOptions { condition, ..*options }))
        }
        _ => None,
    }
}

/// Makes one write that has its version. A conflict is something newer that came first.
async fn take(store: &dyn Store, write: Write) -> Result<()> {
    if let Write::Put(_, _, PutOptions { condition: Condition::Newer(version), .. })
    | Write::Delete(_, DeleteOptions { condition: Condition::Newer(version), .. }) = &write
        && *version >= Version::LIMIT
    {
        return Err(Error::new(ErrorKind::Invalid, "tee").because("the first store's versions are used up"));
    }
    match write {
        Write::Put(key, entry, options) => store.put(&key, entry, options).await.map(drop),
        Write::Delete(key, options) => store.delete(&key, options).await.map(drop),
    }
}

#[deny(clippy::missing_trait_methods)]
impl Store for Tee {
    fn name(&self) -> &str {
        self.first.name()
    }

    fn capabilities(&self) -> Capabilities {
        let in_place = self.others.iter().all(|store| store.capabilities().in_place);
        let first = self.first.capabilities();
        Capabilities { in_place: first.in_place && in_place, ..first }
    }

    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
        self.first.get(key)
    }

    fn put<'a>(&'a self, key: &'a Key, entry: Entry, options: PutOptions) -> BoxFuture<'a, Result<Written>> {
        Box::pin(async move {
            let written = self.first.put(key, entry.clone(), options).await?;
            if let Written::Stored { version, .. } = written {
                let condition = Condition::Newer(version);
                let options = PutOptions { condition, ..options };
                let copy = |store| -> BoxFuture<'_, _> {
                    Box::pin(take(store, Write::Put(key.clone(), entry.clone(), options)))
                };
                self.others("put", copy).await?;
            }
            Ok(written)
        })
    }

    fn delete<'a>(&'a self, key: &'a Key, options: DeleteOptions) -> BoxFuture<'a, Result<Deleted>> {
        Box::pin(async move {
            let deleted = self.first.delete(key, options).await?;
            if let Deleted::Done { version, .. } = deleted {
                let options = DeleteOptions { condition: Condition::Newer(version), ..options };
                let copy = |store| -> BoxFuture<'_, _> {
                    Box::pin(take(store, Write::Delete(key.clone(), options)))
                };
                self.others("delete", copy).await?;
            }
            Ok(deleted)
        })
    }

    fn exists<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<bool>> {
        self.first.exists(key)
    }

    fn reserve(&self) -> BoxFuture<'_, Result<Version>> {
        self.first.reserve()
    }

    fn commit(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.first.commit().await?;
            self.others("commit", |store| store.commit()).await
        })
    }

    fn flush(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.first.flush().await?;
            self.others("flush", |store| store.flush()).await
        })
    }

    /// Sweeps all, and tells what became of the first.
    fn sweep(&self, limit: usize) -> BoxFuture<'_, Result<Swept>> {
        Box::pin(async move {
            let swept = self.first.sweep(limit).await?;
            for store in &self.others {
                // What it could not sweep it sweeps the next time.
                let _ = store.sweep(limit).await;
            }
            Ok(swept)
        })
    }

    fn health(&self) -> BoxFuture<'_, Health> {
        Box::pin(async move {
            let first = self.first.health().await;
            if first != Health::Up {
                return first;
            }
            for store in &self.others {
                if let Health::Down(why) | Health::Degraded(why) = store.health().await {
                    return Health::Degraded(format!(
                        "{}, which is kept equal, is not well: {why}",
                        store.name()
                    ));
                }
            }
            match self.lagged() {
                0 => Health::Up,
                lagged => Health::Degraded(format!("{lagged} writes are not in every store")),
            }
        })
    }

    fn close(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let mut result = self.first.close().await;
            for store in &self.others {
                result = result.and(store.close().await);
            }
            result
        })
    }

    fn as_batch(&self) -> Option<&dyn Batch> {
        self.first.as_batch().map(|_| self as &dyn Batch)
    }

    fn as_iterate(&self) -> Option<&dyn Iterate> {
        self.first.as_iterate()
    }

    fn as_transact(&self) -> Option<&dyn Transact> {
        None
    }

    fn as_snapshot(&self) -> Option<&dyn Snapshot> {
        self.first.as_snapshot()
    }

    fn as_watch(&self) -> Option<&dyn Watch> {
        self.first.as_watch()
    }

    fn as_lock(&self) -> Option<&dyn Lock> {
        self.first.as_lock()
    }

    fn as_publish(&self) -> Option<&dyn Publish> {
        self.first.as_publish()
    }

    fn as_paths(&self) -> Option<&dyn Paths> {
        // Groups and links are no entries: in the others they would be missing.
        if self.others.is_empty() { self.first.as_paths() } else { None }
    }
}

fn missing(operation: &'static str) -> Error {
    Error::new(ErrorKind::NotSupported, operation).because("the first store cannot do it")
}

#[deny(clippy::missing_trait_methods)]
impl Batch for Tee {
    fn get_many<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Entry>>>> {
        match self.first.as_batch() {
            Some(batch) => batch.get_many(keys),
            None => Box::pin(std::future::ready(Err(missing("get_many")))),
        }
    }

    fn apply(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<Vec<Outcome>>> {
        Box::pin(async move {
            let batch = self.first.as_batch().ok_or_else(|| missing("apply"))?;
            let outcomes = batch.apply(writes.clone()).await?;
            let copies: Vec<Write> =
                writes.iter().zip(&outcomes).filter_map(|(write, outcome)| copy(write, outcome)).collect();
            let mut result = Ok(());
            for store in &self.others {
                let applied = StoreExt::apply(&**store, copies.clone()).await.map(drop);
                result = result.and(self.lag("apply", &**store, applied));
            }
            result.map(|()| outcomes)
        })
    }

    /// Clears every store. What a write that came before it brings to another store later is newer than that one's floor,
    /// and stays until it is written or cleared again: writers should be done.
    fn clear<'a>(&'a self, namespace: Option<&'a Namespace>) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            let batch = self.first.as_batch().ok_or_else(|| missing("clear"))?;
            let cleared = batch.clear(namespace).await?;
            let clear = |store: &'a dyn Store| -> BoxFuture<'a, Result<()>> {
                Box::pin(async move {
                    match (store.as_batch(), namespace) {
                        (Some(batch), _) => batch.clear(namespace).await.map(drop),
                        (None, Some(namespace)) => {
                            StoreExt::clear_namespace(store, namespace).await.map(drop)
                        }
                        (None, None) => Err(missing("clear")),
                    }
                })
            };
            self.others("clear", clear).await?;
            Ok(cleared)
        })
    }
}

#[cfg(test)]
mod tests {
    use terrace_store::capability::List;
    use terrace_store::fakes::{Fault, Flaky, MapStore, Operation as On};
    use terrace_store::{Clock, block_on};

    use super::*;

    fn scene(on_lag: OnLag) -> (Tee, Arc<MapStore>, Arc<MapStore>, Arc<Flaky>) {
        let (first, second) = (Arc::new(MapStore::default()), Arc::new(MapStore::default()));
        let flaky = Arc::new(Flaky::over(second.clone()));
        let tee = Tee::new(first.clone(), vec![flaky.clone()], on_lag).unwrap();
        (tee, first, second, flaky)
    }

    fn key(n: u8) -> Key {
        Key::new("n", [n]).unwrap()
    }

    fn all(store: &MapStore) -> Vec<(Key, Entry)> {
        block_on(store.list_all(&List::all(key(0).namespace()))).unwrap()
    }

    #[test]
    fn every_kind_of_write_leaves_the_stores_equal() {
        let (tee, first, second, _) = scene(OnLag::Tell);
        // The second has seen other versions before.
        for n in 0..5 {
            let _ = block_on(first.reserve()).unwrap();
            let _ = block_on(tee.put_with(&key(n), "1")).unwrap();
        }
        block_on(tee.remove(&key(1))).unwrap();
        let _ = block_on(tee.put_with(&key(2), "2").if_absent()).unwrap();
        let put = |n| Write::Put(key(n), Entry::new("3"), PutOptions::default());
        let batch = vec![put(3), Write::Delete(key(4), DeleteOptions::default()), put(5)];
        let _ = block_on(Batch::apply(&tee, batch)).unwrap();
        assert_eq!(all(&first), all(&second));
        assert_eq!(all(&first).len(), 4);
        let late = PutOptions { condition: Condition::Newer(Version(1)), ..PutOptions::default() };
        for store in [&first, &second] {
            let written = block_on(store.put(&key(1), Entry::new("late"), late)).unwrap();
            assert!(matches!(written, Written::Conflict { .. }), "both have the floor");
        }
        assert_eq!(block_on(Batch::clear(&tee, None)).unwrap(), 4);
        assert!(all(&second).is_empty());
    }

    #[test]
    fn a_store_that_lags_is_told_or_counted() {
        for on_lag in [OnLag::Tell, OnLag::Count] {
            let (tee, first, second, flaky) = scene(on_lag);
            flaky.control().inject(Fault::fail(ErrorKind::Network).of(&[On::Put]));
            let written = block_on(tee.put_with(&key(1), "1"));
            assert_eq!(written.is_ok(), on_lag == OnLag::Count);
            assert!(written.err().is_none_or(|error| error.kind() == ErrorKind::Unknown));
            assert_eq!((all(&first).len(), all(&second).len(), tee.lagged()), (1, 0, 1));
            assert!(matches!(block_on(tee.health()), Health::Degraded(_)));
        }
    }

    #[test]
    fn writers_that_overtake_each_other_leave_the_stores_equal() {
        let (tee, first, second, _) = scene(OnLag::Tell);
        std::thread::scope(|scope| {
            for thread in 0..3_u8 {
                let tee = &tee;
                scope.spawn(move || {
                    for n in 0..500_u32 {
                        let key = key((n % 7) as u8);
                        if n % 5 == u32::from(thread) {
                            block_on(tee.remove(&key)).unwrap();
                        } else {
                            let _ = block_on(tee.put_with(&key, vec![thread; 3])).unwrap();
                        }
                    }
                });
            }
        });
        assert_eq!(all(&first), all(&second));
    }

    #[test]
    fn a_store_with_opaque_versions_cannot_be_kept_equal() {
        let map = || -> Arc<dyn Store> {
            Arc::new(MapStore::new(Arc::new(terrace_store::fakes::FrozenClock::default()) as Arc<dyn Clock>))
        };
        let members = vec![crate::chain::Member::local("a", map()), crate::chain::Member::local("b", map())];
        let opaque = crate::chain::Chain::new(members, crate::chain::Fallback::default()).unwrap();
        let refused = Tee::new(map(), vec![Arc::new(opaque)], OnLag::Tell).err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::Config);
    }
}
