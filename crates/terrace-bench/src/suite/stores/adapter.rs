//! The stores of `terrace-backends`, called as suite `disk` calls an engine.

use std::path::Path;
use std::sync::Arc;

use terrace_backends::registry;
use terrace_store::block_on::poll_once;
use terrace_store::capability::Write;
use terrace_store::tokio_runtime::{TokioClock, TokioSpawn};
use terrace_store::{BoxFuture, Entry, Key, Namespace, PutOptions, Store, block_on};
use tokio::runtime::Runtime;

use crate::suite::Failure;
use crate::suite::disk::engine::{Engine, Pair, Peer, Sync};

/// What the bare engines of suite `disk` get, too.
const CACHE: usize = 64 << 20;

/// A store, and the name of its engine in suite `disk`.
pub(super) struct Adapted {
    pub(super) engine: &'static str,
    pub(super) peer: Peer,
}

/// All of them.
pub(super) const ALL: &[Adapted] = &[
    adapted("fjall", "terrace fjall", |folder, sync| open("fjall", folder, sync)),
    adapted("redb", "terrace redb", |folder, sync| open("redb", folder, sync)),
    adapted("sled", "terrace sled", |folder, sync| open("sled", folder, sync)),
    adapted("sqlite", "terrace sqlite", |folder, sync| open("sqlite", folder, sync)),
];

type Open = fn(&Path, Sync) -> Result<Box<dyn Engine>, Failure>;

const fn adapted(engine: &'static str, name: &'static str, open: Open) -> Adapted {
    Adapted { engine, peer: Peer { name, open, syncs: true, variant: false } }
}

struct Adapter {
    store: Arc<dyn Store>,
    namespace: Namespace,
    /// Whether what was written is handed over or synced after each batch, as the bare engine is asked to.
    commit: bool,
    _runtime: Runtime,
}

fn open(scheme: &'static str, folder: &Path, sync: Sync) -> Result<Box<dyn Engine>, Failure> {
    let durability = match (scheme, sync) {
        // Its ceiling: the bare engine is asked for no more than a flush either.
        ("sled", _) => "never",
        // It has nothing less; what is not committed is not synced.
        ("redb", _) | (_, Sync::Each) => "always",
        _ => "never",
    };
    let url = format!("{scheme}:{}?durability={durability}&cache_bytes={CACHE}", folder.display());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let entered = runtime.enter();
    let store = registry::open(&url, Arc::new(TokioClock::current()?), Arc::new(TokioSpawn::current()?))?;
    drop(entered);
    // The bare redb and sled keep a batch in the process, fjall and SQLite hand it over.
    let commit = sync == Sync::Each || matches!(scheme, "fjall" | "sqlite");
    Ok(Box::new(Adapter { store, namespace: Namespace::new("s")?, commit, _runtime: runtime }))
}

/// Completes a future, in place if it can be.
fn now<T>(future: BoxFuture<'_, T>) -> T {
    poll_once(future).unwrap_or_else(block_on)
}

impl Adapter {
    fn key(&self, key: &[u8]) -> Result<Key, Failure> {
        Ok(self.namespace.key(key)?)
    }
}

impl Engine for Adapter {
    fn write(&self, pairs: &[Pair]) -> Result<(), Failure> {
        let options = PutOptions { deferred: true, ..PutOptions::default() };
        match pairs {
            [(key, value)] => {
                let _ = now(self.store.put(&self.key(key)?, Entry::new(value.clone()), options))?;
            }
            pairs => {
                let batch = self.store.as_batch().ok_or("the store takes no batches")?;
                let mut writes = Vec::with_capacity(pairs.len());
                for (key, value) in pairs {
                    writes.push(Write::Put(self.key(key)?, Entry::new(value.clone()), options));
                }
                now(batch.apply(writes))?;
            }
        }
        if self.commit { Ok(now(self.store.commit())?) } else { Ok(()) }
    }

    fn read(&self, key: &[u8], out: &mut Vec<u8>) -> Result<bool, Failure> {
        let found = now(self.store.get(&self.key(key)?))?;
        Ok(found.map(|entry| out.extend_from_slice(&entry.value)).is_some())
    }

    fn close(self: Box<Self>) -> Result<(), Failure> {
        Ok(now(self.store.close())?)
    }
}
