//! read_only: reads go through, everything that would change the store is refused.
//!
//! A sweep removes what nobody can see any more, but it changes the store, and so it is refused here.
//! `reserve` uses up a number of the store's sequence for a write that will not come: it is refused too. `commit` and
//! `flush` go through, since there may be writes that came another way.

use std::sync::Arc;

use terrace_store::{BoxFuture, Error, ErrorKind, Result, Store};

use crate::answer::Answer;
use crate::call::{Call, Operation};
use crate::guard::{Guarded, Policy};

/// A store that nobody can write to through here.
pub type ReadOnly = Guarded<Refusal>;

impl ReadOnly {
    /// Lets reads through to the store, and nothing else.
    pub fn over(inner: Arc<dyn Store>) -> Self {
        Self::new(inner, Refusal(()))
    }
}

/// Refuses every write. Made by [`ReadOnly::over`].
#[derive(Debug)]
pub struct Refusal(());

impl Policy for Refusal {
    async fn run<'a, T, M>(&'a self, call: Call<'a>, mut make: M) -> Result<T>
    where
        T: Answer + 'a,
        M: FnMut() -> BoxFuture<'a, Result<T>> + Send + 'a,
    {
        if call.operation.is_write() || matches!(call.operation, Operation::Reserve | Operation::Sweep) {
            return Err(Error::new(ErrorKind::Denied, call.operation.name())
                .because("the store is read-only here; write to it where it is not"));
        }
        make().await
    }
}

#[cfg(test)]
mod tests {
    use terrace_store::capability::{Batch, Iterate, List, Write};
    use terrace_store::fakes::MapStore;
    use terrace_store::{Entry, Key, PutOptions, StoreExt, block_on};

    use super::*;

    #[test]
    fn reads_go_through_and_every_write_is_denied() {
        let map = Arc::new(MapStore::default());
        let key = Key::new("n", "k").unwrap();
        let _ = block_on(map.put_with(&key, "v")).unwrap();
        let store = ReadOnly::over(map.clone());
        assert_eq!(block_on(store.get(&key)).unwrap().unwrap().value, "v");
        assert_eq!(block_on(store.list_all(&List::all(key.namespace()))).unwrap().len(), 1);
        let denied = |error: Error| assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        denied(block_on(store.put_with(&key, "w")).unwrap_err());
        denied(block_on(store.remove(&key)).unwrap_err());
        denied(block_on(store.reserve()).unwrap_err());
        denied(block_on(store.sweep(1)).unwrap_err());
        let batch: &dyn Batch = store.as_batch().unwrap();
        let write = Write::Put(key.clone(), Entry::new("w"), PutOptions::default());
        denied(block_on(batch.apply(vec![write])).unwrap_err());
        denied(block_on(batch.clear(None)).unwrap_err());
        denied(block_on(store.as_paths().unwrap().make_group("a")).unwrap_err());
        assert!(block_on(store.commit()).is_ok() && block_on(store.flush()).is_ok());
        assert_eq!(block_on(map.count(&key.namespace())).unwrap(), 1);
        assert_eq!(block_on(map.get(&key)).unwrap().unwrap().value, "v");
    }
}
