//! fjall: a log-structured merge tree in Rust.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::CACHE;
use crate::suite::Failure;
use crate::suite::disk::engine::{Engine, Pair, Sync};

struct Fjall {
    database: Database,
    keyspace: Keyspace,
    sync: Sync,
}

pub(super) fn open(folder: &Path, sync: Sync) -> Result<Box<dyn Engine>, Failure> {
    let database = Database::builder(folder).cache_size(CACHE as u64).open()?;
    let keyspace = database.keyspace("values", KeyspaceCreateOptions::default)?;
    Ok(Box::new(Fjall { database, keyspace, sync }))
}

impl Engine for Fjall {
    fn write(&self, pairs: &[Pair]) -> Result<(), Failure> {
        let mut batch = self.database.batch();
        for (key, value) in pairs {
            batch.insert(&self.keyspace, key.as_slice(), value.as_slice());
        }
        batch.commit()?;
        match self.sync {
            Sync::Never => Ok(()),
            Sync::Each => Ok(self.database.persist(PersistMode::SyncData)?),
        }
    }

    fn read(&self, key: &[u8], out: &mut Vec<u8>) -> Result<bool, Failure> {
        let found = self.keyspace.get(key)?;
        Ok(found.map(|value| out.extend_from_slice(&value)).is_some())
    }

    fn close(self: Box<Self>) -> Result<(), Failure> {
        Ok(self.database.persist(PersistMode::SyncAll)?)
    }
}
