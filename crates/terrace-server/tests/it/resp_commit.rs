//! Replies are sent after what they tell is committed, and are errors if that fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use terrace_store::capability::{Batch, Iterate, Lock, Paths, Publish, Snapshot, Transact, Watch};
use terrace_store::{
    BoxFuture, Capabilities, DeleteOptions, Deleted, Entry, Error, ErrorKind, Health, Key, PutOptions,
    Result, Store, Swept, Version, Written,
};

use crate::world::{Client, Ours, Setup};

/// Commits so far, of all stores here; from the tenth on they fail.
static COMMITS: AtomicU64 = AtomicU64::new(0);

/// A store whose disk fails.
struct Failing(Arc<dyn Store>);

#[deny(clippy::missing_trait_methods)]
impl Store for Failing {
    fn name(&self) -> &str {
        "failing"
    }
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
        self.0.get(key)
    }
    fn put<'a>(&'a self, key: &'a Key, entry: Entry, options: PutOptions) -> BoxFuture<'a, Result<Written>> {
        assert!(options.deferred || key.namespace_name().first() == Some(&0), "a put of its own commit");
        self.0.put(key, entry, options)
    }
    fn delete<'a>(&'a self, key: &'a Key, options: DeleteOptions) -> BoxFuture<'a, Result<Deleted>> {
        self.0.delete(key, options)
    }
    fn exists<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<bool>> {
        self.0.exists(key)
    }
    fn reserve(&self) -> BoxFuture<'_, Result<Version>> {
        self.0.reserve()
    }
    fn commit(&self) -> BoxFuture<'_, Result<()>> {
        let number = COMMITS.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            // Takes its time, so that replies that do not wait for it would be seen.
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            match number {
                0..10 => Ok(()),
                _ => Err(Error::new(ErrorKind::Unknown, "commit").because("the disk failed")),
            }
        })
    }
    fn flush(&self) -> BoxFuture<'_, Result<()>> {
        self.0.flush()
    }
    fn sweep(&self, limit: usize) -> BoxFuture<'_, Result<Swept>> {
        self.0.sweep(limit)
    }
    fn health(&self) -> BoxFuture<'_, Health> {
        self.0.health()
    }
    fn close(&self) -> BoxFuture<'_, Result<()>> {
        self.0.close()
    }
    fn as_batch(&self) -> Option<&dyn Batch> {
        self.0.as_batch()
    }
    fn as_iterate(&self) -> Option<&dyn Iterate> {
        self.0.as_iterate()
    }
    fn as_transact(&self) -> Option<&dyn Transact> {
        self.0.as_transact()
    }
    fn as_snapshot(&self) -> Option<&dyn Snapshot> {
        self.0.as_snapshot()
    }
    fn as_watch(&self) -> Option<&dyn Watch> {
        self.0.as_watch()
    }
    fn as_lock(&self) -> Option<&dyn Lock> {
        self.0.as_lock()
    }
    fn as_publish(&self) -> Option<&dyn Publish> {
        self.0.as_publish()
    }
    fn as_paths(&self) -> Option<&dyn Paths> {
        self.0.as_paths()
    }
}

#[test]
fn a_batch_is_committed_once_and_a_failure_is_told() {
    let ours = Ours::start(Setup { around: |store| Arc::new(Failing(store)), ..Setup::default() });
    let mut client = Client::connect(ours.address);
    // One after another: each has a commit of its own, reads too.
    for line in ["SET k 1", "GET k", "INCR k", "MGET k l"] {
        assert!(!client.run(line).is_error());
    }
    assert_eq!(COMMITS.load(Ordering::SeqCst), 4);
    // What concerns no keys has none.
    assert_eq!(client.text("PING"), "PONG");
    assert_eq!(COMMITS.load(Ordering::SeqCst), 4);
    // In one write: one batch, and one commit.
    let mut pipeline = Vec::new();
    for n in 0..100 {
        pipeline.extend(format!("SET key{n} v\r\nGET key{n}\r\n").into_bytes());
    }
    client.send_raw(&pipeline);
    (0..200).for_each(|_| assert!(!client.receive().unwrap().is_error()));
    let after = COMMITS.load(Ordering::SeqCst);
    assert!((5..8).contains(&after), "a pipeline of 200 commands took {} commits", after - 4);
    (after..10).for_each(|_| assert!(!client.run("GET k").is_error()));
    assert_eq!(client.text("GET k"), "2", "what is there can be read when nothing can be written any more");
    client.send_raw(b"SET k 3\r\nGET k\r\nPING\r\n");
    for _ in 0..3 {
        let reply = client.receive().expect("an error for each command");
        assert!(reply.text().starts_with("ERR the outcome of this write is unknown"), "{reply:?}");
    }
    assert_eq!(client.receive(), None, "and the connection ends");
}
