//! A transaction under a policy. Its reads pass the policy as they are made, its writes at the commit, which is when
//! they happen.

use terrace_store::capability::{Transaction, Write};
use terrace_store::{BoxFuture, DeleteOptions, Entry, Key, PutOptions, Result};

use super::{Policy, spent};
use crate::call::{Call, Operation, Subject};

pub(super) struct GuardedTransaction<'s, P> {
    inner: Box<dyn Transaction + 's>,
    policy: &'s P,
    /// What was written, for a policy that looks.
    seen: Vec<Write>,
    brought: usize,
}

impl<'s, P: Policy> GuardedTransaction<'s, P> {
    pub(super) fn new(inner: Box<dyn Transaction + 's>, policy: &'s P) -> Self {
        Self { inner, policy, seen: Vec::new(), brought: 0 }
    }
}

#[deny(clippy::missing_trait_methods)]
impl<P: Policy> Transaction for GuardedTransaction<'_, P> {
    fn get<'a>(&'a mut self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
        let call = Call::new(Operation::TransactionGet, Subject::Key(key)).once();
        let mut inner = Some(&mut self.inner);
        Box::pin(self.policy.run(call, move || match inner.take() {
            Some(inner) => inner.get(key),
            None => spent(Operation::TransactionGet),
        }))
    }

    fn put(&mut self, key: Key, entry: Entry) {
        self.brought += entry.value.len();
        if P::LOOKS {
            self.seen.push(Write::Put(key.clone(), entry.clone(), PutOptions::default()));
        }
        self.inner.put(key, entry);
    }

    fn delete(&mut self, key: Key) {
        if P::LOOKS {
            self.seen.push(Write::Delete(key.clone(), DeleteOptions::default()));
        }
        self.inner.delete(key);
    }

    fn commit<'a>(self: Box<Self>) -> BoxFuture<'a, Result<()>>
    where
        Self: 'a,
    {
        let Self { inner, policy, seen, brought } = *self;
        Box::pin(async move {
            let call =
                Call::new(Operation::TransactionCommit, Subject::Writes(&seen)).bringing(brought).once();
            let mut inner = Some(inner);
            let make = move || match inner.take() {
                Some(inner) => inner.commit(),
                None => spent(Operation::TransactionCommit),
            };
            policy.run(call, make).await
        })
    }
}
