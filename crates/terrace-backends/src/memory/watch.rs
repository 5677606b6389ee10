//! Changes as they happen.

use bytes::Bytes;
use terrace_store::capability::{Changes, Watch};
use terrace_store::{BoxFuture, Namespace, Result};

use super::MemoryStore;

impl Watch for MemoryStore {
    fn watch<'a>(
        &'a self,
        namespace: &'a Namespace,
        prefix: Bytes,
    ) -> BoxFuture<'a, Result<Box<dyn Changes>>> {
        super::done(self.table("watch").map(|table| {
            let watching = table.watchers.watch(namespace, prefix);
            // A close that came between has told only those who watched before.
            if self.table("watch").is_err() {
                watching.close();
            }
            Box::new(watching) as Box<dyn Changes>
        }))
    }
}
