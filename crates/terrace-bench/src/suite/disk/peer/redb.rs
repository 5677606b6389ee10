//! redb: a copy-on-write B-tree in Rust.

use std::path::Path;

use redb::{Database, Durability, ReadableDatabase, TableDefinition};

use super::CACHE;
use crate::suite::Failure;
use crate::suite::disk::engine::{Engine, Pair, Sync};

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("values");

struct Redb {
    database: Database,
    durability: Durability,
}

pub(super) fn open(folder: &Path, sync: Sync) -> Result<Box<dyn Engine>, Failure> {
    let database = Database::builder().set_cache_size(CACHE).create(folder.join("values.redb"))?;
    let write = database.begin_write()?;
    write.open_table(TABLE)?;
    write.commit()?;
    let durability = if sync == Sync::Each { Durability::Immediate } else { Durability::None };
    Ok(Box::new(Redb { database, durability }))
}

impl Engine for Redb {
    fn write(&self, pairs: &[Pair]) -> Result<(), Failure> {
        let mut write = self.database.begin_write()?;
        write.set_durability(self.durability)?;
        {
            let mut table = write.open_table(TABLE)?;
            for (key, value) in pairs {
                table.insert(key.as_slice(), value.as_slice())?;
            }
        }
        Ok(write.commit()?)
    }

    fn read(&self, key: &[u8], out: &mut Vec<u8>) -> Result<bool, Failure> {
        let found = self.database.begin_read()?.open_table(TABLE)?.get(key)?;
        Ok(found.map(|value| out.extend_from_slice(value.value())).is_some())
    }

    fn close(self: Box<Self>) -> Result<(), Failure> {
        // What was committed without an fsync is there after a commit with one.
        Ok(self.database.begin_write()?.commit()?)
    }
}
