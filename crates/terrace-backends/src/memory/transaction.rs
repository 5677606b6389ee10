//! Transactions: what was read is checked and what is written is applied while nobody else passes the gate.

use terrace_store::capability::{Transact, Transaction, Write};
use terrace_store::{BoxFuture, Entry, Key, Result, Version};

use super::{MemoryStore, done};
use crate::optimistic::{Optimistic, Validate};

impl Transact for MemoryStore {
    fn begin(&self) -> BoxFuture<'_, Result<Box<dyn Transaction + '_>>> {
        done(self.table("begin").map(|_| Box::new(Optimistic::begin(self)) as Box<dyn Transaction>))
    }
}

impl Validate for MemoryStore {
    fn read(&self, key: &Key) -> Result<Option<Entry>> {
        self.table("get").map(|table| table.get(key))
    }

    fn commit_unchanged(
        &self,
        writes: Vec<Write>,
        unchanged: Vec<(Key, Option<Version>)>,
    ) -> BoxFuture<'_, Result<()>> {
        done(self.table("commit").and_then(|table| table.apply(writes, &unchanged).map(drop)))
    }
}
