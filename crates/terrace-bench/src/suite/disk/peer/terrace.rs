//! Terrace's own log, as a store.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use terrace_disk::io::OsIo;
use terrace_disk::{Compression, Config, Disk, Durability, Put, Reads, Write};

use crate::suite::Failure;
use crate::suite::disk::engine::{Engine, Pair, Sync};

/// No record of the suite has an end.
const NOW_MS: u64 = 1_700_000_000_000;

/// How long whoever syncs waits for others, where the configuration says nothing.
const GATHER: Duration = Duration::from_millis(2);

struct Terrace(Disk);

fn with(
    folder: &Path,
    sync: Sync,
    compression: Compression,
    reads: Reads,
) -> Result<Box<dyn Engine>, Failure> {
    let durability = if sync == Sync::Each { Durability::Group(GATHER) } else { Durability::Never };
    let config = Config { durability, compression, reads, ..Config::store() };
    let (disk, _) = Disk::open(Arc::new(OsIo::new(folder)?), config, NOW_MS)?;
    Ok(Box::new(Terrace(disk)))
}

/// As it comes: what gets shorter is compressed.
pub(super) fn open(folder: &Path, sync: Sync) -> Result<Box<dyn Engine>, Failure> {
    with(folder, sync, Compression::default(), Reads::Positioned)
}

/// By LZ4 only.
pub(super) fn open_lz4(folder: &Path, sync: Sync) -> Result<Box<dyn Engine>, Failure> {
    with(folder, sync, Compression::Lz4, Reads::Positioned)
}

/// By Zstandard, with dictionaries.
pub(super) fn open_zstd(folder: &Path, sync: Sync) -> Result<Box<dyn Engine>, Failure> {
    with(folder, sync, Compression::Zstd, Reads::Positioned)
}

/// Without compression.
pub(super) fn open_plain(folder: &Path, sync: Sync) -> Result<Box<dyn Engine>, Failure> {
    with(folder, sync, Compression::None, Reads::Positioned)
}

/// Without compression, and read from a mapping.
pub(super) fn open_mapped(folder: &Path, sync: Sync) -> Result<Box<dyn Engine>, Failure> {
    with(folder, sync, Compression::None, Reads::Mapped)
}

impl Engine for Terrace {
    fn write(&self, pairs: &[Pair]) -> Result<(), Failure> {
        let put = |value| Put { value, deferred: true, ..Put::default() };
        if let [(key, value)] = pairs {
            let _ = self.0.put(key, &put(value), NOW_MS)?;
        } else {
            let writes: Vec<Write<'_>> =
                pairs.iter().map(|(key, value)| Write::Put(key, put(value))).collect();
            let _ = self.0.apply(&writes, &[], NOW_MS)?;
        }
        self.0.commit()?;
        // A store does this in its background, which the measured processor time counts too.
        if self.0.wants_training() {
            let _ = self.0.train()?;
        }
        Ok(())
    }

    fn read(&self, key: &[u8], out: &mut Vec<u8>) -> Result<bool, Failure> {
        Ok(self.0.get_into(key, NOW_MS, out)?.is_some())
    }

    fn close(self: Box<Self>) -> Result<(), Failure> {
        Ok(self.0.close()?)
    }
}
