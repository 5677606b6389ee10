//! How a sled store is set up.

use std::path::PathBuf;

use terrace_store::{Durability, Error, ErrorKind, Result};

use crate::ordered::Settings;
use crate::url::Url;

/// How a [`SledStore`](super::SledStore) is set up.
#[derive(Clone, Debug)]
pub struct SledConfig {
    /// The folder; it is made if it is not there.
    pub path: PathBuf,
    /// When a write is acknowledged: [`Durability::Never`], which is sled's ceiling.
    pub durability: Durability,
    /// How many bytes all keys and records together may have; a put beyond it is `Full`. The files are larger, by
    /// what was replaced and not yet collected.
    pub capacity: Option<u64>,
    /// How much memory pages may take, in bytes.
    pub cache_bytes: u64,
    /// After how many milliseconds sled by itself writes down what it has gathered, so that what was deferred and
    /// never committed is on its way too; `None` for only when it is told to.
    pub flush_every_ms: Option<u64>,
    /// From which length on a value is compressed, where the put does not say. `None` for never.
    pub compress_from: Option<usize>,
}

impl SledConfig {
    /// A store in this folder: acknowledged once it outlives the process, without a limit.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            durability: Durability::Never,
            capacity: None,
            cache_bytes: 64 << 20,
            flush_every_ms: Some(500),
            compress_from: None,
        }
    }

    /// What a URL such as `sled:/var/lib/terrace?flush_every_ms=100` says; 0 is for never.
    ///
    /// # Errors
    /// `Config` for an option it does not know or cannot read.
    pub(crate) fn from_url(mut url: Url) -> Result<Self> {
        let mut config = Self::new(url.path()?);
        config.durability = url.durability(config.durability)?;
        config.capacity = url.number("capacity")?;
        config.cache_bytes = url.number("cache_bytes")?.unwrap_or(config.cache_bytes);
        if let Some(every_ms) = url.number("flush_every_ms")? {
            config.flush_every_ms = (every_ms != 0).then_some(every_ms);
        }
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

    /// Refuses what sled cannot do.
    pub(super) fn verify(&self) -> Result<()> {
        let why = match self.durability {
            Durability::Interval(_) | Durability::Group(_) | Durability::Always => {
                "the ceiling of sled 0.34 is durability `never`: a killed process loses nothing, but a power cut may \
                 cost what was acknowledged, since sled does not sync all of its files; take fjall, redb or sqlite \
                 for more"
            }
            _ if self.flush_every_ms == Some(0) => "flush_every_ms is at least 1, or none",
            _ if self.cache_bytes < 1 << 20 => "cache_bytes is at least 1 MiB",
            _ => return Ok(()),
        };
        Err(Error::new(ErrorKind::Config, "open").with("store", super::NAME).because(why))
    }
}
