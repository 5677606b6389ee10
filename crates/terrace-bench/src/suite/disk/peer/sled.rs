//! sled 0.34: a lock-free tree in Rust.

use std::path::Path;

use super::CACHE;
use crate::suite::Failure;
use crate::suite::disk::engine::{Engine, Pair, Sync};

struct Sled {
    database: sled::Db,
    sync: Sync,
}

pub(super) fn open(folder: &Path, sync: Sync) -> Result<Box<dyn Engine>, Failure> {
    let database = sled::Config::new().path(folder).cache_capacity(CACHE as u64).open()?;
    Ok(Box::new(Sled { database, sync }))
}

impl Engine for Sled {
    fn write(&self, pairs: &[Pair]) -> Result<(), Failure> {
        let mut batch = sled::Batch::default();
        for (key, value) in pairs {
            batch.insert(key.as_slice(), value.as_slice());
        }
        self.database.apply_batch(batch)?;
        if self.sync == Sync::Each {
            self.database.flush()?;
        }
        Ok(())
    }

    fn read(&self, key: &[u8], out: &mut Vec<u8>) -> Result<bool, Failure> {
        let found = self.database.get(key)?;
        Ok(found.map(|value| out.extend_from_slice(&value)).is_some())
    }

    fn close(self: Box<Self>) -> Result<(), Failure> {
        self.database.flush()?;
        Ok(())
    }
}
