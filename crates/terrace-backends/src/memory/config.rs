//! How a memory store is set up.

use terrace_store::{Error, ErrorKind, Result};

use crate::url::{Url, refused};

/// What a full store may give up to take something new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Evict {
    /// Nothing: the put is `Full`.
    #[default]
    None,
    /// Entries with a deadline, the least useful first. If what is left has none, the put is `Full`.
    Expiring,
    /// Any entry, the least useful first. Only what is larger than the whole store is `Full`.
    All,
}

/// How a [`MemoryStore`](super::MemoryStore) is set up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryConfig {
    /// How many bytes all entries together may take, keys and what the store itself needs for each included.
    pub capacity: Option<u64>,
    /// What happens when that is used up.
    pub evict: Evict,
    /// How many keys of evicted entries are kept for
    /// [`drain_evicted`](super::MemoryStore::drain_evicted); of more, the oldest are forgotten.
    pub report_evicted: usize,
}

impl MemoryConfig {
    /// What a URL such as `memory:?capacity=1000000&evict=all` says.
    pub(crate) fn from_url(mut url: Url) -> Result<Self> {
        url.no_path()?;
        let capacity = url.number("capacity")?;
        let evict = match url.text("evict").as_deref() {
            None | Some("none") => Evict::None,
            Some("expiring") => Evict::Expiring,
            Some("all") => Evict::All,
            Some(other) => return Err(refused(format!("evict is none, expiring or all, not `{other}`"))),
        };
        let report_evicted = url.number("report_evicted")?.unwrap_or(0);
        url.finish()?;
        Ok(Self { capacity, evict, report_evicted })
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.capacity.is_none() && self.evict != Evict::None {
            return Err(Error::new(ErrorKind::Config, "open")
                .with("store", super::NAME)
                .because("without a capacity there is nothing to evict for; give one"));
        }
        Ok(())
    }
}
