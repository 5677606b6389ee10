//! What the index has for a key that is to be written.
//!
//! Decision: the old record is read under the writer's lock, because its key decides whether it is the same entry, its
//! lengths keep the tallies exact, and its version is what conditions are about. Of a long record only the head and
//! the key are read.

use crate::codec::Workspace;
use crate::error::{Error, Result};
use crate::index::{Hash, Place, Slot};
use crate::read::{head_and_key, version_of};
use crate::record::{Head, Kind, Location, split, total_len};
use crate::shared::Shared;
use crate::tally::Tally;
use crate::write::tally_of;

/// What the index has for a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Old {
    pub(crate) place: Place,
    pub(crate) location: Location,
    pub(crate) version: u64,
    pub(crate) group: u32,
    pub(crate) tally: Tally,
    /// Whether it is an entry that everybody can see.
    pub(crate) live: bool,
    /// Whether it is part of the tallies.
    pub(crate) counted: bool,
    /// Whether its record does not check: then whose it is cannot be known.
    pub(crate) damaged: bool,
}

impl Old {
    pub(crate) fn live_version(old: Option<&Self>) -> Option<u64> {
        old.filter(|old| old.live).map(|old| old.version)
    }
}

/// Longer records are not read whole only to be overwritten.
const WHOLE: usize = 64 << 10;
impl Shared {
    /// Finds what the index has for a key by reading its record.
    pub(crate) fn lookup(
        &self,
        hash: Hash,
        key: &[u8],
        now: u64,
        workspace: &mut Workspace,
    ) -> Result<Option<Old>> {
        let table = self.index.read(hash.shard());
        for (_, slot) in table.candidates(hash.tag()) {
            if let Some(old) = self.compare(slot, key, now, workspace)? {
                return Ok(Some(old));
            }
        }
        Ok(None)
    }

    /// Reads the record at a slot and says what it is, if it is the key's.
    pub(crate) fn compare(
        &self,
        slot: Slot,
        key: &[u8],
        now: u64,
        workspace: &mut Workspace,
    ) -> Result<Option<Old>> {
        let place = slot.place();
        let Some(segment) = self.segments.read().by_slot(place.slot).cloned() else { return Ok(None) };
        let offset = place.offset;
        let location = segment.at(offset);
        let old = |head: &Head, len: usize| {
            let version = version_of(&segment, offset, head);
            // What has expired is kept in the index as the floor of its version.
            let counted =
                head.kind == Kind::Put && !slot.is_tombstone() && !self.floors.bury(head.group, version);
            let over = head.expires_ms.is_some_and(|at| at <= now);
            let tally = tally_of(head, len);
            let live = counted && !over;
            Old { place, location, version, group: head.group, tally, live, counted, damaged: false }
        };
        let whole = segment.cipher.is_some() || slot.most_bytes().is_some_and(|most| most <= WHOLE);
        if !whole {
            workspace.record.clear();
            let wanted = Some(head_and_key(key.len()));
            self.read_record(&segment, offset, wanted, &mut workspace.record)?;
            if let Ok((head, body_at)) = Head::parse(&workspace.record, segment.form().usual_key) {
                let found = workspace.record.get(body_at..body_at + head.key_len as usize);
                let len = total_len(&head, body_at, 0);
                return Ok((found == Some(key)).then(|| old(&head, len)));
            }
        }
        let read = self.with_record(&segment, offset, slot.most_bytes(), workspace, |head, body, _| {
            let found = split(&head, body).is_some_and(|(found, ..)| found == key);
            let len = segment.record_len(&head);
            Ok(found.then(|| old(&head, len)))
        });
        match read {
            Err(Error::Corrupt { .. }) => {
                // Most likely it is this key's. Its size is lost with it.
                self.note_damage();
                let tally = Tally { count: 1, ..Tally::default() };
                let counted = !slot.is_tombstone();
                let live = counted && !slot.is_over(now);
                Ok(Some(Old { place, location, version: 0, group: 0, tally, live, counted, damaged: true }))
            }
            other => other,
        }
    }
}
