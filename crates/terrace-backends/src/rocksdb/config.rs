//! How a RocksDB store is set up.

use std::path::PathBuf;
use std::time::Duration;

use terrace_store::{Durability, Error, ErrorKind, Result};

use crate::ordered::Settings;
use crate::url::Url;

/// How a [`RocksdbStore`](super::RocksdbStore) is set up.
#[derive(Clone, Debug)]
pub struct RocksdbConfig {
    /// The folder; it is made if it is not there.
    pub path: PathBuf,
    /// When a write is acknowledged. [`Durability::Process`] is refused.
    pub durability: Durability,
    /// How many bytes all keys and records together may have; a put beyond it is `Full`. The files are larger by what
    /// compaction has not removed yet.
    pub capacity: Option<u64>,
    /// How much memory blocks that were read may take, in bytes.
    pub block_cache_size: usize,
    /// How much is gathered in memory before it is sorted into a file, in bytes, for each of three column families.
    pub write_buffer_size: usize,
    /// How many files are kept open; -1 for all.
    pub max_open_files: i32,
    /// From which length on a value is compressed, where the put does not say. `None` for never; blocks of values are
    /// compressed in any case.
    pub compress_from: Option<usize>,
}

impl RocksdbConfig {
    /// A store in this folder: acknowledged after write(2), synced every second, without a limit.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            durability: Durability::Interval(Duration::from_secs(1)),
            capacity: None,
            block_cache_size: 32 << 20,
            write_buffer_size: 64 << 20,
            max_open_files: 1_000,
            compress_from: None,
        }
    }

    /// What a URL such as `rocksdb:/var/lib/terrace?block_cache_size=67108864` says.
    ///
    /// # Errors
    /// `Config` for an option it does not know or cannot read.
    pub(crate) fn from_url(mut url: Url) -> Result<Self> {
        let mut config = Self::new(url.path()?);
        config.durability = url.durability(config.durability)?;
        config.capacity = url.number("capacity")?;
        config.block_cache_size = url.number("block_cache_size")?.unwrap_or(config.block_cache_size);
        config.write_buffer_size = url.number("write_buffer_size")?.unwrap_or(config.write_buffer_size);
        config.max_open_files = url.number("max_open_files")?.unwrap_or(config.max_open_files);
        config.compress_from = url.number("compress_from")?;
        url.finish()?;
        Ok(config)
    }

    /// What is the same for every engine.
    pub(super) fn settings(&self) -> Settings {
        Settings {
            path: self.path.clone(),
            durability: self.durability,
            capacity: self.capacity,
            compress_from: self.compress_from,
        }
    }

    /// Refuses what RocksDB cannot do.
    pub(super) fn check(&self) -> Result<()> {
        let why = match (self.write_buffer_size, self.max_open_files) {
            // RocksDB would raise it without a word.
            (..65_536, _) => "write_buffer_size is at least 65536",
            (_, ..-1 | 0..16) => "max_open_files is at least 16, or -1 for all",
            _ => return Ok(()),
        };
        Err(Error::new(ErrorKind::Config, "open").with("store", super::NAME).because(why))
    }
}
