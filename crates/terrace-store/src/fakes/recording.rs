//! A store that remembers what it was asked.

use std::future::ready;
use std::sync::{Arc, Mutex, PoisonError};

use super::wrapped::{Call, Control, Course, Operation, Wrapped};
use crate::key::Key;
use crate::store::{BoxFuture, Store};

/// A store that remembers the calls it got, in their order, and how many bytes of values went in and out.
pub type Recording = Wrapped<Calls>;

impl Recording {
    /// Wraps the store.
    pub fn over(inner: Arc<dyn Store>) -> Self {
        Self::new(inner, Calls::default())
    }
}

/// A call that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Of which operation.
    pub operation: Operation,
    /// Of which key, where it is of one.
    pub key: Option<Key>,
}

/// The calls of a [`Recording`] store.
#[derive(Debug, Default)]
pub struct Calls(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    calls: Vec<Recorded>,
    bytes_in: u64,
    bytes_out: u64,
}

impl Calls {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The calls so far, in the order in which they began.
    pub fn all(&self) -> Vec<Recorded> {
        self.state().calls.clone()
    }

    /// How many calls there were of this operation.
    pub fn count(&self, operation: Operation) -> usize {
        self.state().calls.iter().filter(|call| call.operation == operation).count()
    }

    /// The keys of the calls of this operation.
    pub fn keys(&self, operation: Operation) -> Vec<Key> {
        let state = self.state();
        let calls = state.calls.iter().filter(|call| call.operation == operation);
        calls.filter_map(|call| call.key.clone()).collect()
    }

    /// The bytes of all values that were written.
    pub fn bytes_in(&self) -> u64 {
        self.state().bytes_in
    }

    /// The bytes of all values that were read.
    pub fn bytes_out(&self) -> u64 {
        self.state().bytes_out
    }

    /// Forgets everything so far.
    pub fn forget(&self) {
        *self.state() = State::default();
    }
}

impl Control for Calls {
    fn before<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Course> {
        self.state().calls.push(Recorded { operation: call.operation, key: call.key.cloned() });
        Box::pin(ready(Course::Through))
    }

    fn after(&self, call: Call<'_>, bytes_out: u64) {
        let mut state = self.state();
        state.bytes_in += call.bytes_in;
        state.bytes_out += bytes_out;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::MapStore;
    use crate::{StoreExt, block_on};

    #[test]
    fn calls_are_remembered_in_order_with_their_bytes() {
        let store = Recording::over(Arc::new(MapStore::default()));
        let [a, b] = ["a", "b"].map(|name| Key::new("n", name).unwrap());
        let _ = block_on(store.put_with(&a, "12345")).unwrap();
        let _ = block_on(store.get(&b)).unwrap();
        let _ = block_on(store.get_many(&[a.clone(), a.clone()])).unwrap();
        let _ = block_on(store.remove(&a)).unwrap();
        let told: Vec<_> = store.control().all().into_iter().map(|call| (call.operation, call.key)).collect();
        let expected = [
            (Operation::Put, Some(a.clone())),
            (Operation::Get, Some(b.clone())),
            (Operation::GetMany, None),
            (Operation::Delete, Some(a)),
        ];
        assert_eq!(told, expected);
        assert_eq!((store.control().bytes_in(), store.control().bytes_out()), (5, 10));
        assert_eq!(
            (store.control().count(Operation::Get), store.control().keys(Operation::Get)),
            (1, vec![b])
        );
        store.control().forget();
        assert_eq!(store.control().all(), []);
    }
}
