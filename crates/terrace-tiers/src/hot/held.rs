//! What the hot tier holds of an entry.
//!
//! Decision: beside its value an entry takes sixteen bytes, because cells lie side by side and every byte is paid for
//! by all. Most entries have a version and a time of creation and nothing else, and those fit in one of two ways:
//! versions that a hybrid clock gave tell the time themselves, and versions that an authority counted are small.
//! Whatever fits neither, or ends, or has tags, is kept out of line.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use terrace_store::{Entry, Metadata, Tags, Version};

use crate::version::physical_ms;

/// Bits of a short number: of the drift, or of what a counted version has above its lowest 16.
const SHORT: u32 = 24;
/// Bits of a time of creation beside a counted version.
const TIME: u32 = 48;

/// What a hot entry is beside its value.
pub struct Held<L> {
    /// The live value.
    pub value: L,
    facts: Facts,
}

/// The variants have the same parts in the same places, so that asking for the number is one load.
#[repr(u8)]
enum Facts {
    /// The version is a hybrid clock's, and the time of creation so many milliseconds, signed, after its time.
    Clocked { drift: [u8; 3], seen: AtomicU32, version: u64 },
    /// The version is below 2^40. Its lowest bits stand above the time of creation.
    Counted { high: [u8; 3], seen: AtomicU32, low_and_time: u64 },
    /// It has more than these two.
    Ending { seen: AtomicU32, about: Box<Ending> },
    /// It has even more.
    Full { seen: AtomicU32, about: Box<Full> },
}

/// What an entry is that ends.
struct Ending {
    version: Version,
    created_ms: u64,
    expires_ms: Option<NonZeroU64>,
    fresh_until_ms: Option<NonZeroU64>,
}

/// Everything that an entry can be.
struct Full {
    ending: Ending,
    idle_ms: Option<NonZeroU64>,
    tags: Tags,
    metadata: Option<Arc<Metadata>>,
    priority: u8,
}

const _: () = assert!(size_of::<Held<u64>>() == 24);

impl<L> Held<L> {
    /// A value and what is known about it. Invalidations up to the one with this number are known not to cover it.
    pub(super) fn new(value: L, version: Version, entry: &Entry, seen: u32) -> Self {
        Self { value, facts: Facts::new(version, entry, AtomicU32::new(seen)) }
    }

    /// Which write of its key it is.
    pub fn version(&self) -> Version {
        match &self.facts {
            Facts::Clocked { version, .. } => Version(*version),
            Facts::Counted { high, low_and_time, .. } => Version(widen(*high) << 16 | low_and_time >> TIME),
            Facts::Ending { about, .. } => about.version,
            Facts::Full { about, .. } => about.ending.version,
        }
    }

    /// When it was written, in milliseconds of wall time.
    pub fn created_ms(&self) -> u64 {
        match &self.facts {
            Facts::Clocked { drift, version, .. } => {
                // From 24 bits to 64, with the sign.
                let drift = (widen(*drift) << (64 - SHORT)).cast_signed() >> (64 - SHORT);
                physical_ms(Version(*version)).wrapping_add_signed(drift)
            }
            Facts::Counted { low_and_time, .. } => low_and_time & ((1 << TIME) - 1),
            Facts::Ending { about, .. } => about.created_ms,
            Facts::Full { about, .. } => about.ending.created_ms,
        }
    }

    /// When it becomes stale, in milliseconds of wall time.
    #[inline]
    pub fn fresh_until_ms(&self) -> Option<NonZeroU64> {
        match &self.facts {
            Facts::Clocked { .. } | Facts::Counted { .. } => None,
            Facts::Ending { about, .. } => about.fresh_until_ms,
            Facts::Full { about, .. } => about.ending.fresh_until_ms,
        }
    }

    /// When it stops existing, in milliseconds of wall time.
    #[inline]
    pub fn expires_ms(&self) -> Option<NonZeroU64> {
        match &self.facts {
            Facts::Clocked { .. } | Facts::Counted { .. } => None,
            Facts::Ending { about, .. } => about.expires_ms,
            Facts::Full { about, .. } => about.ending.expires_ms,
        }
    }

    /// Whether it has tags or metadata.
    #[inline]
    pub fn is_described(&self) -> bool {
        matches!(&self.facts, Facts::Full { about, .. } if !about.tags.is_empty() || about.metadata.is_some())
    }

    /// The groups it is invalidated with.
    pub fn tags(&self) -> &Tags {
        match &self.facts {
            Facts::Full { about, .. } => &about.tags,
            _ => &Tags::NONE,
        }
    }

    /// What is known about it as an entry, but for its value, which is live, and its stamp, which only the hot tier
    /// understands: they are empty.
    pub fn entry(&self) -> Entry {
        let entry = Entry { version: self.version(), created_ms: self.created_ms(), ..Entry::new("") };
        match &self.facts {
            Facts::Clocked { .. } | Facts::Counted { .. } => entry,
            Facts::Ending { about, .. } => about.part_of(entry),
            Facts::Full { about, .. } => Entry {
                idle_ms: about.idle_ms,
                tags: about.tags.clone(),
                metadata: about.metadata.clone(),
                priority: about.priority,
                ..about.ending.part_of(entry)
            },
        }
    }

    /// The number of the last invalidation that it is known to have outlived.
    #[inline]
    pub(super) fn seen(&self) -> &AtomicU32 {
        match &self.facts {
            Facts::Clocked { seen, .. }
            | Facts::Counted { seen, .. }
            | Facts::Ending { seen, .. }
            | Facts::Full { seen, .. } => seen,
        }
    }

    /// It outlived everything up to this one.
    pub(super) fn outlived(&self, seen: u32) {
        self.seen().fetch_max(seen, Ordering::Relaxed);
    }
}

impl Facts {
    fn new(version: Version, entry: &Entry, seen: AtomicU32) -> Self {
        let ends = entry.expires_ms.is_some() || entry.fresh_until_ms.is_some();
        let more = entry.idle_ms.is_some()
            || !entry.tags.is_empty()
            || entry.metadata.is_some()
            || entry.priority != 0;
        if more {
            let ending = Ending::new(version, entry);
            let (tags, metadata) = (entry.tags.clone(), entry.metadata.clone());
            let about = Full { ending, idle_ms: entry.idle_ms, tags, metadata, priority: entry.priority };
            return Self::Full { seen, about: Box::new(about) };
        }
        let created = entry.created_ms;
        let drift = created.wrapping_sub(physical_ms(version)).cast_signed();
        if !ends && (-(1 << (SHORT - 1))..1 << (SHORT - 1)).contains(&drift) {
            return Self::Clocked { drift: narrow(drift.cast_unsigned()), seen, version: version.0 };
        }
        if !ends && version.0 >> (16 + SHORT) == 0 && created >> TIME == 0 {
            let low_and_time = version.0 << TIME | created;
            return Self::Counted { high: narrow(version.0 >> 16), seen, low_and_time };
        }
        Self::Ending { seen, about: Box::new(Ending::new(version, entry)) }
    }
}

impl Ending {
    fn new(version: Version, entry: &Entry) -> Self {
        Self {
            version,
            created_ms: entry.created_ms,
            expires_ms: entry.expires_ms,
            fresh_until_ms: entry.fresh_until_ms,
        }
    }

    fn part_of(&self, entry: Entry) -> Entry {
        Entry { expires_ms: self.expires_ms, fresh_until_ms: self.fresh_until_ms, ..entry }
    }
}

/// The lowest 24 bits.
fn narrow(number: u64) -> [u8; 3] {
    let [low, middle, high, ..] = number.to_le_bytes();
    [low, middle, high]
}

fn widen([low, middle, high]: [u8; 3]) -> u64 {
    u64::from_le_bytes([low, middle, high, 0, 0, 0, 0, 0])
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_790_000_000_000;

    fn held(version: u64, entry: &Entry) -> Held<u64> {
        Held::new(7, Version(version), entry, 3)
    }

    #[test]
    fn version_and_time_come_back_whatever_they_are() {
        let hybrid = |ms: u64| ms << 20 | 77;
        let versions = [0, 1, 0xffff, 0x1_0000, (1 << 40) - 1, 1 << 40, hybrid(NOW), hybrid(1), u64::MAX];
        let times = [
            0,
            1,
            NOW,
            NOW + (1 << 23) - 1,
            NOW + (1 << 23),
            NOW - (1 << 23),
            NOW - (1 << 23) - 1,
            (1 << 48) - 1,
            1 << 48,
            u64::MAX,
        ];
        for version in versions {
            for created_ms in times {
                let held = held(version, &Entry { created_ms, ..Entry::new("v") });
                assert_eq!((held.version(), held.created_ms()), (Version(version), created_ms));
                assert_eq!(held.entry(), Entry { version: Version(version), created_ms, ..Entry::new("") });
                assert_eq!(held.seen().load(Ordering::Relaxed), 3);
            }
        }
    }

    #[test]
    fn most_entries_take_nothing_out_of_line() {
        let is_brief = |version: u64, created_ms: u64| {
            let held = held(version, &Entry { created_ms, ..Entry::new("v") });
            matches!(held.facts, Facts::Clocked { .. } | Facts::Counted { .. })
        };
        assert!(is_brief(NOW << 20, NOW) && is_brief((NOW + 60_000) << 20 | 5, NOW));
        assert!(is_brief(1, NOW) && is_brief(1_000_000_000_000, NOW));
        assert!(!is_brief(1 << 41, NOW));
    }

    #[test]
    fn all_that_is_said_of_an_entry_is_kept() {
        let plain = Entry { version: Version(5), created_ms: NOW, ..Entry::new("") };
        let number = NonZeroU64::new(9);
        let entries = [
            Entry { expires_ms: number, ..plain.clone() },
            Entry { fresh_until_ms: number, ..plain.clone() },
            Entry { idle_ms: number, ..plain.clone() },
            Entry { tags: Tags::new(["t"]).unwrap(), expires_ms: number, ..plain.clone() },
            Entry { metadata: Some(Arc::default()), ..plain.clone() },
            Entry { priority: 0x80, fresh_until_ms: number, ..plain },
        ];
        for entry in entries {
            let held = held(5, &entry);
            assert_eq!(held.entry(), entry);
            assert_eq!(held.fresh_until_ms(), entry.fresh_until_ms);
            assert_eq!(held.tags(), &entry.tags);
            held.outlived(9);
            held.outlived(4);
            assert_eq!(held.seen().load(Ordering::Relaxed), 9);
        }
    }
}
