//! Ways to get a layered store under test.

use std::sync::Arc;

use terrace_backends::memory::{MemoryConfig, MemoryStore};
use terrace_layers::World;
use terrace_store::conformance::Subject;
use terrace_store::fakes::{FrozenClock, MapStore};
use terrace_store::rng::SplitMix;
use terrace_store::{BoxFuture, Clock, Result, Spawn, Store, block_on};

/// Runs every task on a thread of its own.
pub(crate) struct Threads;

impl Spawn for Threads {
    fn spawn(&self, _name: &'static str, future: BoxFuture<'static, ()>) {
        std::thread::spawn(move || block_on(future));
    }

    fn spawn_blocking(&self, _name: &'static str, work: Box<dyn FnOnce() + Send>) {
        std::thread::spawn(work);
    }

    fn may_block(&self) -> bool {
        true
    }
}

/// A world with this clock.
pub(crate) fn world(clock: &FrozenClock) -> World {
    World::new(Arc::new(clock.clone()), Arc::new(SplitMix::seeded(1)), Arc::new(Threads))
}

/// How a layer is put over a store.
pub(crate) type Wrap = fn(Arc<dyn Store>, World) -> BoxFuture<'static, Result<Arc<dyn Store>>>;

/// Which store stands beneath.
#[derive(Clone, Copy)]
pub(crate) enum Beneath {
    /// The engine, which has every capability but paths.
    Memory,
    /// The plain map, which has paths.
    Map,
}

impl Beneath {
    pub(crate) fn open(self, clock: &FrozenClock) -> Result<Arc<dyn Store>> {
        let clock: Arc<dyn Clock> = Arc::new(clock.clone());
        Ok(match self {
            Self::Memory => Arc::new(MemoryStore::open(MemoryConfig::default(), clock)?),
            Self::Map => Arc::new(MapStore::new(clock)),
        })
    }
}

/// Layers over a store, the lowest first.
pub(crate) struct Layered<'a>(pub(crate) Beneath, pub(crate) &'a [Wrap]);

impl Subject for Layered<'_> {
    fn open(&self, clock: FrozenClock) -> BoxFuture<'_, Result<Arc<dyn Store>>> {
        Box::pin(async move {
            let mut store = self.0.open(&clock)?;
            for wrap in self.1 {
                store = wrap(store, world(&clock)).await?;
            }
            Ok(store)
        })
    }

    fn reopen(&self, _clock: FrozenClock) -> BoxFuture<'_, Result<Option<Arc<dyn Store>>>> {
        Box::pin(async { Ok(None) })
    }
}
