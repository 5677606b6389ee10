//! How an SQLite store is set up.

use std::path::PathBuf;
use std::time::Duration;

use terrace_store::{Durability, Error, ErrorKind, Result};

use crate::ordered::Settings;
use crate::url::Url;

/// How an [`SqliteStore`](super::SqliteStore) is set up.
#[derive(Clone, Debug)]
pub struct SqliteConfig {
    /// The folder; it is made if it is not there.
    pub path: PathBuf,
    /// When a write is acknowledged. [`Durability::Process`] is refused.
    pub durability: Durability,
    /// How many bytes all keys and records together may have; a put beyond it is `Full`. The files are larger, by
    /// pages that are not full and by the log.
    pub capacity: Option<u64>,
    /// How much memory the pages of each connection may take, in bytes.
    pub cache_bytes: u64,
    /// How many connections for reading are kept open, at least one.
    pub readers: usize,
    /// After how many pages of 4 KiB the log is moved into the database, at least one.
    pub checkpoint_pages: u32,
    /// From which length on a value is compressed, where the put does not say. `None` for never.
    pub compress_from: Option<usize>,
    /// Whether the structure of the whole file is checked when the store is opened, which takes as long as reading it.
    pub check: bool,
}

impl SqliteConfig {
    /// A store in this folder: acknowledged after write(2), synced every second, without a limit.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            durability: Durability::Interval(Duration::from_secs(1)),
            capacity: None,
            cache_bytes: 8 << 20,
            readers: 4,
            checkpoint_pages: 1_000,
            compress_from: None,
            check: false,
        }
    }

    /// What a URL such as `sqlite:/var/lib/terrace?durability=always` says.
    ///
    /// # Errors
    /// `Config` for an option it does not know or cannot read.
    pub(crate) fn from_url(mut url: Url) -> Result<Self> {
        let mut config = Self::new(url.path()?);
        config.durability = url.durability(config.durability)?;
        config.capacity = url.number("capacity")?;
        config.cache_bytes = url.number("cache_bytes")?.unwrap_or(config.cache_bytes);
        config.readers = url.number("readers")?.unwrap_or(config.readers);
        config.checkpoint_pages = url.number("checkpoint_pages")?.unwrap_or(config.checkpoint_pages);
        config.compress_from = url.number("compress_from")?.map(|from: u64| from as usize);
        config.check = url.switch("check")?.unwrap_or(config.check);
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

    /// Refuses what cannot be done.
    pub(super) fn verify(&self) -> Result<()> {
        let why = match (self.readers, self.checkpoint_pages) {
            (0, _) => "readers is at least 1",
            // SQLite takes it for a signed number, of which zero means never.
            (_, 0 | 0x8000_0000..) => "checkpoint_pages is at least 1 and below 2^31",
            _ => return Ok(()),
        };
        Err(Error::new(ErrorKind::Config, "open").with("store", super::NAME).because(why))
    }
}
