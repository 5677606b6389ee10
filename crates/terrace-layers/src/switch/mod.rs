//! switch: from one store to another while both are used, without a write lost in between.
//!
//! Decision: until the turn every write goes to both, as a [`Tee`] does it, and every read comes from the old store; a
//! [copy](crate::copy) brings over what was there before. When a comparison has found both equal, writers are held for a
//! moment, those under way are waited for, the new store's versions are lifted above all that the old one gave, and from
//! then on the new store alone is read and written. If a write failed in the new store meanwhile, both are compared
//! again first.
//!
//! What is lost: transactions, watching, locks, messages and paths, none of which could be handed from one store to the
//! other. Once it has turned, open the new store without the switch and they are back.
//!
//! # Cost
//! Two uncontended locks for a write. Reads cost one load.

mod capability;
mod gate;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use terrace_store::capability::{Batch, Iterate, Lock, Paths, Publish, Snapshot, Transact, Watch};
use terrace_store::{
    BoxFuture, Capabilities, Condition, DeleteOptions, Deleted, Durability, Entry, Error, ErrorKind, Health,
    Key, PutOptions, Result, Store, Swept, Version, Versions, Written,
};

use self::gate::Gate;
use crate::copy::{CopyConfig, CopyProgress, CopyReport, NAMESPACE, copy, prepare};
use crate::tee::{OnLag, Tee};
use crate::world::World;

/// A store that becomes another one.
pub struct Switch {
    from: Arc<dyn Store>,
    to: Arc<dyn Store>,
    config: CopyConfig,
    tee: Tee,
    gate: Gate,
    turned: AtomicBool,
}

impl Switch {
    /// Reads `from`, and writes to both, from now on; [`Switch::run`] copies as the configuration says. A process that
    /// was killed on the way opens both again and goes on.
    ///
    /// # Errors
    /// `Config` if one of them assigns no versions: the one could not be copied, the other could not take over. And those
    /// of [`crate::copy::copy`] for a target that holds something else.
    pub async fn open(from: Arc<dyn Store>, to: Arc<dyn Store>, config: CopyConfig) -> Result<Self> {
        for store in [&from, &to] {
            if store.capabilities().versions != Versions::Assigned {
                return Err(Error::new(ErrorKind::Config, "switch")
                    .because("it assigns no versions, so it cannot be the authority before or after a switch")
                    .with("store", store.name()));
            }
        }
        let tee = Tee::new(Arc::clone(&from), vec![Arc::clone(&to)], OnLag::Count)?;
        // Before any write goes to both, so that what they bring is known to be this copy's.
        prepare(&*to, &config).await?;
        let config = CopyConfig { restart: false, ..config };
        Ok(Self { from, to, config, tee, gate: Gate::default(), turned: AtomicBool::new(false) })
    }

    /// Whether the new store is the one that is read and written.
    pub fn has_turned(&self) -> bool {
        self.turned.load(Ordering::Acquire)
    }

    /// Copies, compares, and turns when both are equal. Where [`CopyReport::is_equal`] is false it has not turned, and may
    /// be run again; so may one that was interrupted.
    ///
    /// # Errors
    /// As [`crate::copy::copy`].
    ///
    /// # Cancellation
    /// Dropping the future leaves it as it is: writing to both, or turned.
    pub async fn run(
        &self,
        world: &World,
        progress: &mut (dyn FnMut(CopyProgress) + Send),
    ) -> Result<CopyReport> {
        let mut report = CopyReport::default();
        for _ in 0..self.config.passes.max(1) {
            if self.has_turned() {
                break;
            }
            let lagged = self.tee.lagged();
            // What was equal before is compared again, from the beginning.
            let again = CopyConfig { restart: report.passes > 0, ..self.config.clone() };
            report = copy(&*self.from, &*self.to, &again, world, progress).await?;
            if !report.is_equal() || self.turn(lagged).await? {
                break;
            }
            report.changed += 1;
        }
        Ok(report)
    }

    /// Turns, unless a write since then is not in the new store.
    async fn turn(&self, lagged: u64) -> Result<bool> {
        let _closed = self.gate.close().await;
        if self.tee.lagged() != lagged {
            return Ok(false);
        }
        self.from.flush().await?;
        let highest = self.from.reserve().await?;
        let place = Key::new(NAMESPACE, "turn")?;
        let lift = DeleteOptions { condition: Condition::Newer(highest), deferred: false };
        // A conflict says that its own versions are above that already.
        let _ = self.to.delete(&place, lift).await?;
        self.to.flush().await?;
        self.turned.store(true, Ordering::Release);
        Ok(true)
    }

    /// The store that is read.
    fn now(&self) -> &dyn Store {
        if self.has_turned() { &*self.to } else { &*self.from }
    }

    /// The store that is written to. To be asked within the gate.
    fn written(&self) -> &dyn Store {
        if self.has_turned() { &*self.to } else { &self.tee }
    }
}

/// The weaker of two.
fn weaker(a: Durability, b: Durability) -> Durability {
    let strength = |durability: &Durability| match durability {
        Durability::Process => (0, 0),
        Durability::Never => (1, 0),
        Durability::Interval(interval) => (2, u128::MAX - interval.as_nanos()),
        Durability::Group(_) => (3, 0),
        Durability::Always => (4, 0),
    };
    std::cmp::min_by_key(a, b, strength)
}

#[deny(clippy::missing_trait_methods)]
impl Store for Switch {
    fn name(&self) -> &str {
        self.now().name()
    }

    /// What holds before the turn and after it.
    fn capabilities(&self) -> Capabilities {
        let (from, to) = (self.from.capabilities(), self.to.capabilities());
        Capabilities {
            versions: Versions::Assigned,
            durability: weaker(from.durability, to.durability),
            persistent: from.persistent && to.persistent,
            atomic_batches: from.atomic_batches && to.atomic_batches,
            in_place: false,
        }
    }

    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
        self.now().get(key)
    }

    fn put<'a>(&'a self, key: &'a Key, entry: Entry, options: PutOptions) -> BoxFuture<'a, Result<Written>> {
        Box::pin(async move {
            let _inside = self.gate.enter().await;
            self.written().put(key, entry, options).await
        })
    }

    fn delete<'a>(&'a self, key: &'a Key, options: DeleteOptions) -> BoxFuture<'a, Result<Deleted>> {
        Box::pin(async move {
            let _inside = self.gate.enter().await;
            self.written().delete(key, options).await
        })
    }

    fn exists<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<bool>> {
        self.now().exists(key)
    }

    fn reserve(&self) -> BoxFuture<'_, Result<Version>> {
        Box::pin(async move {
            let _inside = self.gate.enter().await;
            self.written().reserve().await
        })
    }

    fn commit(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let _inside = self.gate.enter().await;
            self.written().commit().await
        })
    }

    fn flush(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let _inside = self.gate.enter().await;
            self.written().flush().await
        })
    }

    fn sweep(&self, limit: usize) -> BoxFuture<'_, Result<Swept>> {
        Box::pin(async move {
            let _inside = self.gate.enter().await;
            self.written().sweep(limit).await
        })
    }

    fn health(&self) -> BoxFuture<'_, Health> {
        if self.has_turned() { self.to.health() } else { self.tee.health() }
    }

    /// Closes both.
    fn close(&self) -> BoxFuture<'_, Result<()>> {
        self.tee.close()
    }

    fn as_batch(&self) -> Option<&dyn Batch> {
        self.from.as_batch().and(self.to.as_batch()).map(|_| self as &dyn Batch)
    }

    fn as_iterate(&self) -> Option<&dyn Iterate> {
        self.from.as_iterate().and(self.to.as_iterate()).map(|_| self as &dyn Iterate)
    }

    fn as_transact(&self) -> Option<&dyn Transact> {
        None
    }

    fn as_snapshot(&self) -> Option<&dyn Snapshot> {
        self.from.as_snapshot().and(self.to.as_snapshot()).map(|_| self as &dyn Snapshot)
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
