//! How a fjall store is set up.

use std::path::PathBuf;
use std::time::Duration;

use terrace_store::{Durability, Error, ErrorKind, Result};

use crate::ordered::Settings;
use crate::url::Url;

/// How a [`FjallStore`](super::FjallStore) is set up.
#[derive(Clone, Debug)]
pub struct FjallConfig {
    /// The folder; it is made if it is not there.
    pub path: PathBuf,
    /// When a write is acknowledged. [`Durability::Process`] is refused.
    pub durability: Durability,
    /// How many bytes all keys and records together may have; a put beyond it is `Full`. What fjall needs
    /// besides (its journals, and rows not yet compacted away) is not counted.
    pub capacity: Option<u64>,
    /// How much memory the blocks read last may take, in bytes.
    pub cache_bytes: u64,
    /// How many bytes of new entries are gathered in memory before they are sorted into a file.
    pub memtable_bytes: u64,
    /// From which length on a value is compressed by itself, where the put does not say. `None` leaves that to
    /// fjall, which compresses whole blocks of small values together and off the path of the write.
    pub compress_from: Option<usize>,
}

impl FjallConfig {
    /// A store in this folder: acknowledged after write(2), synced every second, without a limit.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            durability: Durability::Interval(Duration::from_secs(1)),
            capacity: None,
            cache_bytes: 32 << 20,
            memtable_bytes: 64 << 20,
            compress_from: None,
        }
    }

    /// What a URL such as `fjall:/var/lib/terrace?durability=always` says.
    ///
    /// # Errors
    /// `Config` for an option it does not know or cannot read.
    pub(crate) fn from_url(mut url: Url) -> Result<Self> {
        let mut config = Self::new(url.path()?);
        config.durability = url.durability(config.durability)?;
        config.capacity = url.number("capacity")?;
        config.cache_bytes = url.number("cache_bytes")?.unwrap_or(config.cache_bytes);
        config.memtable_bytes = url.number("memtable_bytes")?.unwrap_or(config.memtable_bytes);
        config.compress_from = url.number("compress_from")?.map(|from: u64| from as usize);
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

    /// Refuses what fjall cannot do.
    pub(super) fn check(&self) -> Result<()> {
        if self.memtable_bytes >= 1 << 20 {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Config, "open")
            .with("store", super::NAME)
            .because("memtable_bytes is at least 1 MiB"))
    }
}
