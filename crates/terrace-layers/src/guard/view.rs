//! A snapshot's view under a policy.

use std::sync::Arc;

use terrace_store::capability::{Cursor, List, Page, SnapshotView};
use terrace_store::{BoxFuture, Entry, Key, Result};

use super::Policy;
use crate::call::{Call, Operation, Subject};

pub(super) struct GuardedView<P> {
    inner: Box<dyn SnapshotView>,
    policy: Arc<P>,
}

impl<P: Policy> GuardedView<P> {
    pub(super) fn new(inner: Box<dyn SnapshotView>, policy: Arc<P>) -> Self {
        Self { inner, policy }
    }
}

#[deny(clippy::missing_trait_methods)]
impl<P: Policy> SnapshotView for GuardedView<P> {
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
        let call = Call::new(Operation::SnapshotGet, Subject::Key(key));
        Box::pin(self.policy.run(call, move || self.inner.get(key)))
    }

    fn list<'a>(&'a self, list: &'a List, cursor: Option<&'a Cursor>) -> BoxFuture<'a, Result<Page>> {
        let call = Call::new(Operation::SnapshotList, Subject::List(list));
        Box::pin(self.policy.run(call, move || self.inner.list(list, cursor)))
    }
}
