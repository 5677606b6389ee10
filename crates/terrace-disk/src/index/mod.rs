//! The index: where each key's last record is.
//!
//! Decision: the key is not in it. A lookup compares 32 bits here and the whole key in the record; a miss
//! therefore touches no disk, but once in tens of thousands. Shards keep growth short and let the index be
//! dumped part by part.

pub(crate) mod slot;
pub(crate) mod table;

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use self::table::Table;

pub(crate) use self::slot::{Place, Slot};

/// How many shards there are.
pub(crate) const SHARDS: usize = 256;

/// A key's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hash(pub(crate) u64);

impl Hash {
    pub(crate) fn shard(self) -> usize {
        (self.0 >> 56) as usize
    }
    pub(crate) fn tag(self) -> u32 {
        (self.0 >> 24) as u32
    }
    /// As much of it as the index knows: shard and tag.
    pub(crate) fn known(self) -> u64 {
        self.0 >> 24
    }
}

/// All shards.
pub(crate) struct Index {
    seed: u64,
    shards: Box<[RwLock<Table>]>,
}

impl Index {
    pub(crate) fn new(seed: u64) -> Self {
        let shards = std::iter::repeat_with(RwLock::default).take(SHARDS).collect();
        Self { seed, shards }
    }

    pub(crate) fn hash(&self, key: &[u8]) -> Hash {
        Hash(xxh3_64_with_seed(key, self.seed))
    }

    pub(crate) fn read(&self, shard: usize) -> RwLockReadGuard<'_, Table> {
        self.shards[shard % SHARDS].read()
    }

    /// For the writer only, which sees to it that a dump in progress has the shard as it was.
    pub(crate) fn write(&self, shard: usize) -> RwLockWriteGuard<'_, Table> {
        self.shards[shard % SHARDS].write()
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().len()).sum()
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().heap_bytes() + size_of::<RwLock<Table>>()).sum()
    }
}
