//! Ways to get a store under test.

use std::sync::Arc;

use terrace_store::conformance::Subject;
use terrace_store::fakes::FrozenClock;
use terrace_store::{BoxFuture, Clock, Result, Store};

/// A store that lives in memory only, made by this function.
pub(crate) struct Fresh<F>(pub(crate) F);

impl<S: Store, F: Fn(Arc<dyn Clock>) -> S + Send + Sync> Subject for Fresh<F> {
    fn open(&self, clock: FrozenClock) -> BoxFuture<'_, Result<Arc<dyn Store>>> {
        Box::pin(async move { Ok(Arc::new(self.0(Arc::new(clock))) as Arc<dyn Store>) })
    }

    fn reopen(&self, _clock: FrozenClock) -> BoxFuture<'_, Result<Option<Arc<dyn Store>>>> {
        Box::pin(async { Ok(None) })
    }
}
