//! LMDB: a B-tree in a mapping, through heed.

use std::path::Path;

use heed::types::Bytes;
use heed::{Database, Env, EnvFlags, EnvOpenOptions};

use crate::suite::Failure;
use crate::suite::disk::engine::{Engine, Pair, Sync};

struct Lmdb {
    environment: Env,
    database: Database<Bytes, Bytes>,
}

#[allow(unsafe_code, reason = "heed's way to open an environment")]
pub(super) fn open(folder: &Path, sync: Sync) -> Result<Box<dyn Engine>, Failure> {
    let mut options = EnvOpenOptions::new();
    options.map_size(8 << 30);
    // SAFETY: the folder is this run's own; nobody else opens it, or changes its files while they are mapped.
    let environment = unsafe {
        if sync == Sync::Never {
            options.flags(EnvFlags::NO_SYNC | EnvFlags::NO_META_SYNC);
        }
        options.open(folder)?
    };
    let mut write = environment.write_txn()?;
    let database = environment.create_database(&mut write, None)?;
    write.commit()?;
    Ok(Box::new(Lmdb { environment, database }))
}

impl Engine for Lmdb {
    fn write(&self, pairs: &[Pair]) -> Result<(), Failure> {
        let mut write = self.environment.write_txn()?;
        for (key, value) in pairs {
            self.database.put(&mut write, key, value)?;
        }
        Ok(write.commit()?)
    }

    fn read(&self, key: &[u8], out: &mut Vec<u8>) -> Result<bool, Failure> {
        let read = self.environment.read_txn()?;
        let found = self.database.get(&read, key)?;
        Ok(found.map(|value| out.extend_from_slice(value)).is_some())
    }

    fn close(self: Box<Self>) -> Result<(), Failure> {
        self.environment.force_sync()?;
        // The library keeps an environment open until this.
        self.environment.prepare_for_closing().wait();
        Ok(())
    }
}
