//! How a redb store is set up.

use std::path::PathBuf;
use std::time::Duration;

use terrace_store::{Durability, Error, ErrorKind, Result};

use crate::ordered::Settings;
use crate::url::Url;

/// How a [`RedbStore`](super::RedbStore) is set up.
#[derive(Clone, Debug)]
pub struct RedbConfig {
    /// The folder; it is made if it is not there.
    pub path: PathBuf,
    /// When a write is acknowledged: [`Durability::Group`] or [`Durability::Always`].
    pub durability: Durability,
    /// How many bytes all keys and records together may have; a put beyond it is `Full`. The file is larger: pages
    /// are half to wholly filled, and those that are free are kept.
    pub capacity: Option<u64>,
    /// How much memory pages that were read or written may take, in bytes.
    pub cache_bytes: u64,
    /// From which length on a value is compressed, where the put does not say. `None` for never.
    pub compress_from: Option<usize>,
    /// Whether every page is read and checked when the store is opened, which takes as long as reading the file.
    pub check: bool,
}

impl RedbConfig {
    /// A store in this folder: acknowledged after an fsync shared with all who write within 2 ms, without a limit.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            durability: Durability::Group(Duration::from_millis(2)),
            capacity: None,
            cache_bytes: 64 << 20,
            compress_from: None,
            check: false,
        }
    }

    /// What a URL such as `redb:/var/lib/terrace?durability=always` says.
    ///
    /// # Errors
    /// `Config` for an option it does not know or cannot read.
    pub(crate) fn from_url(mut url: Url) -> Result<Self> {
        let mut config = Self::new(url.path()?);
        config.durability = url.durability(config.durability)?;
        config.capacity = url.number("capacity")?;
        config.cache_bytes = url.number("cache_bytes")?.unwrap_or(config.cache_bytes);
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

    /// Refuses what redb cannot do.
    pub(super) fn verify(&self) -> Result<()> {
        match self.durability {
            Durability::Never | Durability::Interval(_) => {
                Err(Error::new(ErrorKind::Config, "open").with("store", super::NAME).because(
                    "redb keeps what it writes in the process until an fsync, so nothing less than `group` outlives \
                     a killed process: ask for durability `group` or `always`",
                ))
            }
            _ => Ok(()),
        }
    }
}
