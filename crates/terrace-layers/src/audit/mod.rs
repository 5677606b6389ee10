//! audit: who did what and how it ended, in a log that is only added to, each record sealed to the one before.
//!
//! Decision: of a write two records, one before it is made and one of how it ended, so that no write is missing that a
//! crash cut short; a write whose first record cannot be kept is not made. Of a read one record afterwards, if reads are
//! recorded; a denial always. Keys are recorded, values never. The log lies in a store of the caller's choice under a
//! namespace of its own, one entry a record, numbered without gaps; an entry is put only where none is, and its hash
//! (BLAKE3, keyed if there is a key) covers the hash of the one before. [`verify`] finds any record that was changed,
//! removed or inserted; that the last ones were cut off it finds if it is told the [`Head`] that somebody noted
//! elsewhere, and whoever can write the log can forge all of it unless there is a key.
//!
//! # Cost
//! Records are added one after another: two puts to the log for a write, with the log's durability. Group what the log
//! can group.

mod log;
mod record;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use terrace_store::{BoxFuture, Clock, ErrorKind, Health, Identity, Namespace, Result, Store};

use self::log::Log;
pub use self::log::{Head, verify};
pub use self::record::{Phase, Record};
use crate::answer::Answer;
use crate::call::{Call, Class, Operation, Subject};
use crate::guard::{Guarded, Policy};
use crate::world::World;

/// What is recorded, and where.
#[derive(Clone)]
pub struct AuditConfig {
    /// The store that the log lies in. Not the one that is audited, unless its callers cannot write the log's namespace.
    pub log: Arc<dyn Store>,
    /// The log's namespace.
    pub namespace: Namespace,
    /// Whether reads are recorded that were not denied.
    pub reads: bool,
    /// What the hashes are keyed with, so that nobody without it can forge one.
    pub key: Option<[u8; 32]>,
}

impl std::fmt::Debug for AuditConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The key is a secret.
        let mut shown = f.debug_struct("AuditConfig");
        shown.field("namespace", &self.namespace).field("reads", &self.reads).finish_non_exhaustive()
    }
}

/// A store whose calls are recorded.
pub type Audit = Guarded<Witness>;

impl Audit {
    /// Records calls to the store, going on where the log ends.
    ///
    /// # Errors
    /// `Corrupt` if the log's last record is damaged; whatever its store answers.
    ///
    /// # Cost
    /// Finds the end of the log by halving: some reads.
    pub async fn open(inner: Arc<dyn Store>, config: AuditConfig, world: &World) -> Result<Self> {
        let AuditConfig { log, namespace, reads, key } = config;
        let log = Log::open(log, namespace, key).await?;
        let clock = Arc::clone(&world.clock);
        Ok(Self::new(inner, Witness { log, reads, clock, unrecorded: AtomicU64::new(0) }))
    }
}

/// Records calls. Made by [`Audit::open`].
pub struct Witness {
    log: Log,
    reads: bool,
    clock: Arc<dyn Clock>,
    unrecorded: AtomicU64,
}

impl Witness {
    /// Where the log ends: to be noted elsewhere, and given to [`verify`] later.
    pub fn head(&self) -> Head {
        self.log.head()
    }

    /// How many calls ended without a record of how.
    pub fn unrecorded(&self) -> u64 {
        self.unrecorded.load(Ordering::Relaxed)
    }

    fn record(&self, call: &Call<'_>, phase: Phase, outcome: &str) -> Record {
        let keys = match call.subject {
            Subject::Key(key) => vec![key.flat().to_vec()],
            Subject::Keys(keys) => keys.iter().map(|key| key.flat().to_vec()).collect(),
            Subject::Writes(writes) => writes.iter().map(|write| write.key().flat().to_vec()).collect(),
            Subject::List(list) => vec![[list.namespace.flat_prefix(), &list.prefix].concat()],
            Subject::Namespace(namespace) => {
                namespace.map(|space| space.flat_prefix().to_vec()).into_iter().collect()
            }
            Subject::Prefix(namespace, prefix) => vec![[namespace.flat_prefix(), prefix].concat()],
            Subject::Name(name) => vec![name.to_vec()],
            Subject::Path(path) => vec![path.as_bytes().to_vec()],
            Subject::Store => Vec::new(),
        };
        Record {
            number: 0,
            wall_ms: self.clock.wall_ms(),
            phase,
            caller: Identity::current().map(|caller| caller.name().to_owned()).unwrap_or_default(),
            operation: call.operation.name().to_owned(),
            keys,
            outcome: outcome.to_owned(),
        }
    }

    /// Records how a call ended. What has happened has happened: that it could not be recorded is told by the health.
    async fn end(&self, call: &Call<'_>, phase: Phase, outcome: &str) {
        if self.log.append(self.record(call, phase, outcome)).await.is_err() {
            self.unrecorded.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn outcome<T: Answer>(result: &Result<T>) -> &'static str {
    match result {
        Ok(answer) if answer.is_conflict() => "conflict",
        Ok(_) => "ok",
        Err(error) => error.kind().name(),
    }
}

impl Policy for Witness {
    const LOOKS: bool = true;

    fn health<'a>(&'a self, beneath: &'a dyn Store) -> BoxFuture<'a, Health> {
        Box::pin(async move {
            match (beneath.health().await, self.unrecorded()) {
                (Health::Up, lost @ 1..) => {
                    Health::Degraded(format!("how {lost} calls ended could not be recorded"))
                }
                (health, _) => health,
            }
        })
    }

    async fn run<'a, T, M>(&'a self, call: Call<'a>, mut make: M) -> Result<T>
    where
        T: Answer + 'a,
        M: FnMut() -> BoxFuture<'a, Result<T>> + Send + 'a,
    {
        match call.operation.class() {
            // Closing is recorded; the rest of it says nothing about anybody.
            Class::Upkeep if call.operation != Operation::Close => make().await,
            Class::Read => {
                let result = make().await;
                let denied = result.as_ref().err().is_some_and(|error| error.kind() == ErrorKind::Denied);
                if self.reads || denied {
                    self.end(&call, Phase::Only, outcome(&result)).await;
                }
                result
            }
            Class::Write | Class::Upkeep => {
                let begun = match self.log.append(self.record(&call, Phase::Before, "")).await {
                    Ok(number) => number,
                    // A store can always be closed.
                    Err(_) if call.operation == Operation::Close => 0,
                    Err(error) => return Err(error),
                };
                let result = make().await;
                self.end(&call, Phase::After(begun), outcome(&result)).await;
                result
            }
        }
    }
}
