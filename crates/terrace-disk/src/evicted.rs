//! The versions of entries that a cache evicted lately.
//!
//! `Newer(v)` must not put what is older than what the cache had. While an entry is there its record tells, after
//! a delete or its end a floor in the index; an evicted entry leaves nothing.
//!
//! Decision: a table of fixed size in memory, one place for each hash, whose newer owner drives the older one out. One
//! version for everything that was evicted, or for each segment, would be smaller and would refuse too much: versions may
//! come from outside, and an entry that has not changed for a year has an old one for good. So only the very key is
//! refused, as long as no more entries were evicted since than the table holds, and the log was not opened anew.

use parking_lot::Mutex;

use crate::config::Mode;
use crate::error::{Error, Result};
use crate::header::{HEADER_LEN, segment_name};
use crate::index::{Hash, Slot};
use crate::record::Kind;
use crate::scan::{End, Step, walk};
use crate::segment::Segment;
use crate::shared::Shared;

/// So many bytes of a cache's budget have one place, of 16 bytes.
const BUDGET_OF_ONE: u64 = 16 << 10;
const MOST: u64 = 1 << 16;
const FEWEST: u64 = 1 << 8;

/// A key, as far as the index knows it, and its version; a version of 0 for nobody.
#[derive(Clone, Copy, Default)]
struct Owner {
    hash: u64,
    version: u64,
}

/// All that are known. Of a store, none.
pub(crate) struct Evicted {
    owners: Mutex<Box<[Owner]>>,
}

impl Evicted {
    pub(crate) fn new(mode: Mode) -> Self {
        let places = match mode {
            Mode::Store { .. } => 0,
            Mode::Cache { budget } => (budget / BUDGET_OF_ONE).clamp(FEWEST, MOST),
        };
        Self { owners: Mutex::new(vec![Owner::default(); places as usize].into_boxed_slice()) }
    }

    /// Notes the version of an entry that leaves.
    fn note(&self, hash: Hash, version: u64) {
        let mut owners = self.owners.lock();
        let hash = hash.known();
        if let Some(owner) = place(&mut owners, hash) {
            let before = if owner.hash == hash { owner.version } else { 0 };
            *owner = Owner { hash, version: version.max(before) };
        }
    }

    /// The version of the key's entry when it was evicted; 0 if that is not known.
    pub(crate) fn floor(&self, hash: Hash) -> u64 {
        let mut owners = self.owners.lock();
        let hash = hash.known();
        place(&mut owners, hash).filter(|owner| owner.hash == hash).map_or(0, |owner| owner.version)
    }
}

/// The places are spread by bits that are neither the shard's nor at the end of the tag.
fn place(owners: &mut [Owner], hash: u64) -> Option<&mut Owner> {
    let spread = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let at = (u128::from(spread) * owners.len() as u128) >> 64;
    owners.get_mut(at as usize)
}

impl Shared {
    /// Remembers the versions of entries that point into a segment and are about to leave with it.
    ///
    /// What was copied here counts with the version of its new place: what would be refused for that was asked for before
    /// the copy was made.
    ///
    /// # Cost
    /// None of the device's, unless versions were given in the segment: then it is read once.
    pub(crate) fn remember(&self, segment: &Segment, leaving: &[(Hash, Slot)]) -> Result<()> {
        let given = if segment.has_given_versions() { given_versions(segment)? } else { Vec::new() };
        for (hash, slot) in leaving.iter().filter(|(_, slot)| !slot.is_tombstone()) {
            let offset = slot.place().offset;
            let known =
                given.binary_search_by_key(&offset, |(offset, _)| *offset).ok().and_then(|at| given.get(at));
            let version = known.map_or_else(|| segment.version_at(offset), |(_, version)| *version);
            self.evicted.note(*hash, version);
        }
        Ok(())
    }
}

/// The versions of the records of a segment that are not those of their places, in their order.
fn given_versions(segment: &Segment) -> Result<Vec<(u32, u64)>> {
    let mut given = Vec::new();
    let visit = |step: Step<'_>| {
        if let Step::Record(offset, record) = step
            && record.head.kind == Kind::Put
            && record.head.version_delta.is_some()
        {
            given.push((offset, crate::read::version_of(segment, offset, &record.head)));
        }
        std::ops::ControlFlow::Continue(())
    };
    walk(segment, HEADER_LEN, End::Known(segment.len()), visit)
        .map_err(Error::io("read", &segment_name(segment.id)))?;
    Ok(given)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_known_until_others_take_its_place_and_never_for_another_key() {
        let evicted = Evicted::new(Mode::Cache { budget: 64 << 20 });
        let hash = |n: u64| Hash(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        assert_eq!(evicted.floor(hash(1)), 0);
        evicted.note(hash(1), 9);
        evicted.note(hash(1), 7);
        assert_eq!((evicted.floor(hash(1)), evicted.floor(hash(2))), (9, 0));
        (2..300).for_each(|n| evicted.note(hash(n), n));
        let known = (2..300).filter(|n| evicted.floor(hash(*n)) == *n).count();
        assert!(known > 200, "{known}");
        (300..100_000).for_each(|n| evicted.note(hash(n), n));
        assert!((2..200_000).all(|n| [0, n].contains(&evicted.floor(hash(n)))));
        let store = Evicted::new(Mode::Store { capacity: None });
        store.note(hash(1), 9);
        assert_eq!(store.floor(hash(1)), 0);
    }
}
