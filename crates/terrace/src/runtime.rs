//! The runtime a cache runs its background work on: the caller's, or one of its own.

use std::sync::Arc;

use terrace_store::tokio_runtime::{TokioClock, TokioSpawn};
use terrace_store::{Clock, Error, ErrorKind, Result, Spawn};
use tokio::runtime::{Handle, Runtime};

/// A runtime of the cache's own, for callers that have none. Ends with the cache.
pub(crate) struct Owned(Option<Runtime>);

impl Drop for Owned {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // The last handle may be dropped on a thread where waiting is not allowed.
            runtime.shutdown_background();
        }
    }
}

/// The world a cache lives in.
pub(crate) struct World {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) spawn: Arc<dyn Spawn>,
    pub(crate) owned: Option<Owned>,
}

impl World {
    /// The caller's runtime if this thread has one, else one of its own with a single worker.
    pub(crate) fn enter(clock: Option<Arc<dyn Clock>>, spawn: Option<Arc<dyn Spawn>>) -> Result<Self> {
        if let (Some(clock), Some(spawn)) = (&clock, &spawn) {
            return Ok(Self { clock: Arc::clone(clock), spawn: Arc::clone(spawn), owned: None });
        }
        let owned = if Handle::try_current().is_ok() { None } else { Some(own()?) };
        let entered = owned.as_ref().map(Runtime::enter);
        let world_clock: Arc<dyn Clock> = match clock {
            Some(clock) => clock,
            None => Arc::new(TokioClock::current()?),
        };
        let world_spawn: Arc<dyn Spawn> = match spawn {
            Some(spawn) => spawn,
            None => Arc::new(TokioSpawn::current()?),
        };
        drop(entered);
        Ok(Self { clock: world_clock, spawn: world_spawn, owned: owned.map(|runtime| Owned(Some(runtime))) })
    }
}

fn own() -> Result<Runtime> {
    let built = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("terrace")
        .enable_all()
        .build();
    built.map_err(|error| {
        Error::new(ErrorKind::Unavailable, "build").because("no thread could be started").caused_by(error)
    })
}
