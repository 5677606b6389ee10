//! One level of the hierarchy below the hot tier: a store, the part it plays, and how it fares.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use std::collections::HashMap;
use terrace_store::{Entry, Key, Store, Version};

use crate::room::Hand;
use crate::stats::TierCounters;
use crate::sync::{Mutex, lock};

/// A level of the hierarchy, from the cheapest to read to the most lasting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Live objects in the process.
    Hot,
    /// Encoded bytes in the process.
    Warm,
    /// The local disk, as a cache: damage there is a miss.
    Cold,
    /// A cluster that other instances use too.
    Shared,
    /// The authority that loses nothing: damage there is an error.
    Durable,
    /// The caller's loader.
    Origin,
}

impl Tier {
    /// Its name in metrics and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hot => "hot",
            Self::Warm => "warm",
            Self::Cold => "cold",
            Self::Shared => "shared",
            Self::Durable => "durable",
            Self::Origin => "origin",
        }
    }

    /// Whether a failure to read it must be told rather than counted as a miss.
    pub fn must_answer(self) -> bool {
        self == Self::Durable
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How writes reach a tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriteMode {
    /// Written before the call returns.
    #[default]
    Through,
    /// Not touched by writes at all; for a tier somebody else keeps current.
    None,
}

/// How many keys of a tier may be under suspicion before the tier is passed by altogether.
const SUSPECT_LIMIT: usize = 4096;

/// A tier below the hot one.
pub struct Lower {
    /// Which level.
    pub tier: Tier,
    /// Its engine.
    pub store: Arc<dyn Store>,
    /// How writes reach it.
    pub mode: WriteMode,
    pub(crate) counters: TierCounters,
    pub(crate) hand: Hand,
    suspects: Suspects,
}

impl Lower {
    /// This store as this tier.
    pub fn new(tier: Tier, store: Arc<dyn Store>, mode: WriteMode) -> Self {
        let (counters, hand, suspects) = Default::default();
        Self { tier, store, mode, counters, hand, suspects }
    }

    /// A write of this key failed here after the authority took it: what the tier holds below this version is
    /// not to be served.
    pub(crate) fn suspect(&self, key: &Key, version: Version) {
        self.suspects.add(key, version);
    }

    /// A write of this key reached the tier: what it holds is good again.
    pub(crate) fn trust(&self, key: &Key) {
        self.suspects.remove(key);
    }

    /// Whether what the tier holds of this key may be older than what was acknowledged.
    pub(crate) fn is_suspect(&self, key: &Key, entry: &Entry) -> bool {
        self.suspects.covers(key, entry.version)
    }

    /// Gives a tier that is passed by altogether another chance: emptied, it holds nothing that could be old.
    pub(crate) async fn heal(&self) {
        if self.suspects().is_some() {
            return;
        }
        if let Some(batch) = self.store.as_batch()
            && batch.clear(None).await.is_ok()
        {
            self.suspects.reset();
        }
    }

    /// How many keys are under suspicion; `None` if so many that the whole tier is.
    pub fn suspects(&self) -> Option<usize> {
        (!self.suspects.all.load(Ordering::Acquire)).then(|| lock(&self.suspects.keys).len())
    }
}

/// Keys whose last write failed in a tier that is not the authority, with the version they should have.
#[derive(Default)]
struct Suspects {
    keys: Mutex<HashMap<Key, Version>>,
    any: AtomicBool,
    all: AtomicBool,
}

impl Suspects {
    fn add(&self, key: &Key, version: Version) {
        let mut keys = lock(&self.keys);
        self.any.store(true, Ordering::Release);
        if keys.len() >= SUSPECT_LIMIT && !keys.contains_key(key) {
            self.all.store(true, Ordering::Release);
            return;
        }
        let suspect = keys.entry(key.clone()).or_insert(version);
        *suspect = version.max(*suspect);
    }

    fn remove(&self, key: &Key) {
        if !self.any.load(Ordering::Acquire) {
            return;
        }
        let mut keys = lock(&self.keys);
        keys.remove(key);
        self.any.store(!keys.is_empty() || self.all.load(Ordering::Acquire), Ordering::Release);
    }

    fn reset(&self) {
        let mut keys = lock(&self.keys);
        keys.clear();
        self.all.store(false, Ordering::Release);
        self.any.store(false, Ordering::Release);
    }

    fn covers(&self, key: &Key, version: Version) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        self.all.load(Ordering::Acquire) || lock(&self.keys).get(key).is_some_and(|wanted| version < *wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use terrace_store::fakes::MapStore;

    #[test]
    fn a_suspect_key_is_not_served_below_the_version_it_missed_and_too_many_close_the_tier() {
        let lower = Lower::new(Tier::Cold, Arc::new(MapStore::default()), WriteMode::Through);
        let key = Key::new("n", "k").unwrap();
        let at = |version| Entry { version: Version(version), ..Entry::new("v") };
        lower.suspect(&key, Version(5));
        assert!(lower.is_suspect(&key, &at(4)));
        assert!(!lower.is_suspect(&key, &at(5)));
        lower.trust(&key);
        assert!(!lower.is_suspect(&key, &at(4)));
        for n in 0..=SUSPECT_LIMIT {
            lower.suspect(&Key::new("n", n.to_string()).unwrap(), Version(9));
        }
        assert_eq!(lower.suspects(), None);
        assert!(lower.is_suspect(&key, &at(100)));
    }
}
