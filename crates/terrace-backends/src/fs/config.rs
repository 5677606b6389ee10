//! How an `fs` store is set up.

use std::path::PathBuf;
use std::time::Duration;

use terrace_store::{Durability, Error, ErrorKind, Result};

use crate::url::Url;

/// How an [`FsStore`](super::FsStore) is set up.
#[derive(Clone, Debug)]
pub struct FsConfig {
    /// The folder; it is made if it is not there, for the present user only.
    pub path: PathBuf,
    /// When a write is acknowledged. [`Durability::Process`] is refused; [`Durability::Group`] shares fsyncs but
    /// does not wait for others to come.
    pub durability: Durability,
    /// From which length on a value is compressed, where the put does not say and it saves an eighth. `None`
    /// compresses only what a put asks for.
    pub compress_from: Option<usize>,
}

impl FsConfig {
    /// A store in this folder: acknowledged after write(2), synced within a second, values of 1 KiB and more
    /// compressed.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let durability = Durability::Interval(Duration::from_secs(1));
        Self { path: path.into(), durability, compress_from: Some(1024) }
    }

    /// What a URL such as `fs:/var/lib/terrace?durability=always&compress_from=4096` says.
    ///
    /// # Errors
    /// `Config` for an option it does not know or cannot read.
    pub(crate) fn from_url(mut url: Url) -> Result<Self> {
        let mut config = Self::new(url.path()?);
        config.durability = url.durability(config.durability)?;
        config.compress_from = url.number("compress_from")?.or(config.compress_from);
        url.finish()?;
        Ok(config)
    }

    /// Refuses what the store cannot do.
    pub(super) fn check(&self) -> Result<()> {
        let refused =
            |why: &str| Err(Error::new(ErrorKind::Config, "open").with("store", super::NAME).because(why));
        match self.durability {
            Durability::Process => refused("a store on disk has a durability of at least `never`"),
            Durability::Interval(interval) if interval.is_zero() => {
                refused("an interval of zero is `always`; ask for that")
            }
            _ => Ok(()),
        }
    }
}
