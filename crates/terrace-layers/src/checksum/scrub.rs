//! Reading a whole store to find what is damaged before somebody needs it.
//!
//! A scrub reads every entry of every namespace through its checksum at a bounded rate, tells what it found, and, if it
//! may, moves what is damaged out of the way: the bytes as they are go to a namespace of Terrace's own, NUL `quarantine`,
//! and the entry is deleted if it still has the version that was read, so that a reader finds nothing instead of an
//! error, and another tier or a loader can serve it. What the store itself refuses to read cannot be moved; it is told.

use terrace_store::capability::{Cursor, List};
use terrace_store::{
    Condition, DeleteOptions, Deleted, Entry, Error, ErrorKind, Key, Namespace, PutOptions, Result,
};

use super::{Checksum, KIND};
use crate::pace::{Pace, Rate};
use crate::transform::{Transform, frame};
use crate::world::World;

/// The name of the namespace that damaged entries are moved to.
pub const QUARANTINE: &[u8] = b"\0quarantine";

/// How a store is scrubbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScrubConfig {
    /// Bytes a second at most.
    pub bytes_per_second: u64,
    /// Entries a second at most.
    pub entries_per_second: u64,
    /// Whether damaged entries are moved out of the way.
    pub quarantine: bool,
    /// How many damaged keys are told by name; the rest is only counted.
    pub most_told: usize,
}

impl Default for ScrubConfig {
    /// 64 MiB and 50,000 entries a second, nothing moved, a thousand keys told.
    fn default() -> Self {
        Self { bytes_per_second: 64 << 20, entries_per_second: 50_000, quarantine: false, most_told: 1_000 }
    }
}

/// What a scrub found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrubReport {
    /// Entries that were read.
    pub entries: u64,
    /// Bytes of their values, as stored.
    pub bytes: u64,
    /// Entries without a checksum.
    pub unchecked: u64,
    /// Entries whose checksum differs.
    pub damaged: u64,
    /// Entries that the store beneath could not read.
    pub unreadable: u64,
    /// Damaged entries that were moved out of the way.
    pub quarantined: u64,
    /// The first of the damaged and unreadable keys.
    pub keys: Vec<Key>,
}

impl ScrubReport {
    /// Whether everything could be read and was sound.
    pub fn is_clean(&self) -> bool {
        self.damaged == 0 && self.unreadable == 0
    }

    fn tell(&mut self, key: &Key, most: usize) {
        if self.keys.len() < most {
            self.keys.push(key.clone());
        }
    }
}

impl Checksum {
    /// Reads everything and tells what is damaged. What is written meanwhile may or may not be read.
    ///
    /// # Errors
    /// `NotSupported` if the store cannot list; whatever it answers, but for entries it cannot read.
    ///
    /// # Cancellation
    /// Dropping it stops it between two entries.
    pub async fn scrub(&self, config: ScrubConfig, world: &World) -> Result<ScrubReport> {
        self.scrub_telling(config, world, &mut |_, _| {}).await
    }

    /// The same, telling `progress` how many entries it has come by, and of how many.
    ///
    /// # Errors
    /// As [`Checksum::scrub`].
    ///
    /// # Cancellation
    /// As [`Checksum::scrub`].
    pub async fn scrub_telling(
        &self,
        config: ScrubConfig,
        world: &World,
        progress: &mut (dyn FnMut(u64, u64) + Send),
    ) -> Result<ScrubReport> {
        let Some(iterate) = self.inner().as_iterate() else {
            return Err(
                Error::new(ErrorKind::NotSupported, "scrub").because("the store cannot list its entries")
            );
        };
        let mut report = ScrubReport::default();
        let ScrubConfig { bytes_per_second, entries_per_second, .. } = config;
        let mut pace = Pace::new(Rate { bytes_per_second, entries_per_second }, &*world.clock);
        let mut namespaces = iterate.namespaces().await?;
        namespaces.retain(|namespace| namespace.name() != QUARANTINE);
        let (mut done, mut total) = (0, 0);
        for namespace in &namespaces {
            total += iterate.count(namespace).await?;
        }
        for namespace in namespaces {
            let mut cursor: Option<Cursor> = None;
            loop {
                // Only the keys: a page of values could be as large as the store.
                let list = List { keys_only: true, limit: 256, ..List::all(namespace.clone()) };
                let page = iterate.list(&list, cursor.as_ref()).await?;
                for (key, _) in page.entries {
                    let read = self.examine(&key, &config, &mut report).await?;
                    pace.spend(1, read);
                    pace.keep(&*world.clock).await;
                    done += 1;
                    progress(done, total.max(done));
                }
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
        }
        Ok(report)
    }

    /// Reads one entry, and returns how many bytes that were.
    async fn examine(&self, key: &Key, config: &ScrubConfig, report: &mut ScrubReport) -> Result<u64> {
        let stored = match self.inner().get(key).await {
            Ok(Some(stored)) => stored,
            // It was deleted, or its time is over.
            Ok(None) => return Ok(0),
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                report.unreadable += 1;
                report.tell(key, config.most_told);
                return Ok(0);
            }
            Err(error) => return Err(error),
        };
        let bytes = stored.value.len() as u64;
        report.entries += 1;
        report.bytes += bytes;
        if !frame::is_framed(&stored) {
            report.unchecked += 1;
        } else if self.transform().decode(key, stored.clone()).is_err() {
            report.damaged += 1;
            report.tell(key, config.most_told);
            if config.quarantine && self.quarantine(key, stored).await? {
                report.quarantined += 1;
            }
        }
        Ok(bytes)
    }

    /// Moves the entry as it is, if it is still there.
    async fn quarantine(&self, key: &Key, stored: Entry) -> Result<bool> {
        let condition = Condition::Match(stored.version);
        let place = Self::quarantine_key(key)?;
        let _ = self.inner().put(&place, stored, PutOptions::default()).await?;
        let options = DeleteOptions { condition, ..DeleteOptions::default() };
        let deleted = self.inner().delete(key, options).await?;
        Ok(matches!(deleted, Deleted::Done { .. }))
    }

    /// Where the damaged bytes of a key are moved to: the key's flat form, or its hash if that is too long for a key.
    ///
    /// # Errors
    /// None that can be had with a key.
    pub fn quarantine_key(key: &Key) -> Result<Key> {
        let namespace = Namespace::new(QUARANTINE)?;
        namespace.key(key.flat()).or_else(|_| namespace.key(blake3::hash(key.flat()).as_bytes()))
    }
}

/// Whether an entry beneath a checksum layer carries one.
pub fn is_checked(stored: &Entry) -> bool {
    frame::is_of(KIND, stored)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use terrace_store::block_on::poll_once;
    use terrace_store::fakes::{FrozenClock, MapStore};
    use terrace_store::{Store, StoreExt, block_on};

    use super::*;
    use crate::world::tests::world;

    /// A store of a hundred entries, three of them damaged and two without a checksum.
    fn damaged() -> (Arc<MapStore>, Checksum, Vec<Key>) {
        let map = Arc::new(MapStore::default());
        let store = Checksum::over(map.clone());
        let key = |n: usize| Key::new(format!("n{}", n % 3), n.to_be_bytes()).unwrap();
        for n in 0..100 {
            let _ = block_on(store.put_with(&key(n), vec![7; 90])).unwrap();
        }
        let mut bad = vec![key(3), key(50), key(99)];
        for key in &bad {
            let mut entry = block_on(map.get(key)).unwrap().unwrap();
            let mut value = entry.value.to_vec();
            value[40] ^= 1;
            entry.value = value.into();
            let _ = block_on(map.put(key, entry, PutOptions::default())).unwrap();
        }
        for n in [10, 11] {
            let _ = block_on(map.put_with(&key(n), vec![7; 100])).unwrap();
        }
        bad.sort();
        (map, store, bad)
    }

    fn fast() -> ScrubConfig {
        ScrubConfig { entries_per_second: u64::MAX, bytes_per_second: u64::MAX, ..ScrubConfig::default() }
    }

    #[test]
    fn a_scrub_tells_exactly_what_is_damaged() {
        let (_, store, bad) = damaged();
        let mut report = block_on(store.scrub(fast(), &world(&FrozenClock::default()))).unwrap();
        report.keys.sort();
        assert_eq!((report.entries, report.bytes, report.unchecked, report.damaged), (100, 10_000, 2, 3));
        assert_eq!((report.keys.clone(), report.is_clean(), report.quarantined), (bad, false, 0));
    }

    #[test]
    fn what_is_damaged_is_moved_out_of_the_way_and_kept() {
        let (map, store, bad) = damaged();
        let world = world(&FrozenClock::default());
        let config = ScrubConfig { quarantine: true, ..fast() };
        let report = block_on(store.scrub(config, &world)).unwrap();
        assert_eq!(report.quarantined, 3);
        for key in &bad {
            assert_eq!(block_on(store.get(key)).unwrap(), None);
            let kept = block_on(map.get(&Checksum::quarantine_key(key).unwrap())).unwrap().unwrap();
            assert!(is_checked(&kept) && kept.value.len() == 100);
        }
        assert!(block_on(store.scrub(config, &world)).unwrap().is_clean());
    }

    #[test]
    fn a_scrub_keeps_to_its_rate() {
        let (_, store, _) = damaged();
        let clock = FrozenClock::default();
        let world = world(&clock);
        let config = ScrubConfig { bytes_per_second: 1_000, ..fast() };
        let mut scrub: terrace_store::BoxFuture<'_, _> = Box::pin(store.scrub(config, &world));
        let mut slept_ms = 0;
        loop {
            match poll_once(scrub) {
                Ok(report) => {
                    assert_eq!(report.unwrap().entries, 100);
                    break;
                }
                Err(waiting) => scrub = waiting,
            }
            clock.advance_ms(10);
            slept_ms += 10;
        }
        assert!((9_900..=10_100).contains(&slept_ms), "10,000 bytes took {slept_ms} ms");
    }
}
