//! foyer: a cache in memory and on the disk. It may forget, and says so by `found`.

use std::path::Path;

use foyer::{
    BlockEngineConfig, DeviceBuilder, FsDeviceBuilder, HybridCache, HybridCacheBuilder, HybridCachePolicy,
};
use tokio::runtime::Runtime;

use crate::suite::Failure;
use crate::suite::disk::engine::{Engine, Pair, Sync};

struct Foyer {
    runtime: Runtime,
    cache: HybridCache<Vec<u8>, Vec<u8>>,
}

pub(super) fn open(folder: &Path, _: Sync) -> Result<Box<dyn Engine>, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let cache = runtime.block_on(async {
        let device = FsDeviceBuilder::new(folder).with_capacity(4 << 30).build()?;
        HybridCacheBuilder::new()
            .with_policy(HybridCachePolicy::WriteOnInsertion)
            // Next to nothing in memory: what is measured is its disk.
            .memory(64 << 10)
            .with_weighter(|key: &Vec<u8>, value: &Vec<u8>| key.len() + value.len())
            .storage()
            .with_engine_config(BlockEngineConfig::new(device))
            .build()
            .await
    })?;
    Ok(Box::new(Foyer { runtime, cache }))
}

impl Engine for Foyer {
    fn write(&self, pairs: &[Pair]) -> Result<(), Failure> {
        let _inside = self.runtime.enter();
        for (key, value) in pairs {
            self.cache.insert(key.to_vec(), value.clone());
        }
        // It drops what comes faster than it writes, unless it is waited for.
        self.runtime.block_on(self.cache.storage().wait());
        Ok(())
    }

    fn read(&self, key: &[u8], out: &mut Vec<u8>) -> Result<bool, Failure> {
        let found = self.runtime.block_on(async { self.cache.get(&key.to_vec()).await })?;
        Ok(found.map(|entry| out.extend_from_slice(entry.value())).is_some())
    }

    fn close(self: Box<Self>) -> Result<(), Failure> {
        Ok(self.runtime.block_on(self.cache.close())?)
    }
}
