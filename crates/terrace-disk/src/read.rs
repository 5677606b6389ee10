//! Reading a key's value.
//!
//! Decision: a candidate of the index is never believed. Its record is read, its checksum and the whole key are
//! compared, and only then is it an answer. The segment is taken hold of under the shard's lock, so that one that
//! is removed meanwhile can still be read to the end.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use crate::codec::{Workspace, with_workspace};
use crate::error::{Error, Result};
use crate::index::{Hash, Slot};
use crate::point::bug;
use crate::record::{HIGHEST_VERSION, Head, KEY_LIMIT, Kind, LONGEST_HEAD, Record, split, unseal};
use crate::segment::Segment;
use crate::shared::Shared;

/// What is known of a value that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its version.
    pub version: u64,
    /// When its time is over, in milliseconds since 1970.
    pub expires_ms: Option<u64>,
    /// The group it was put with.
    pub group: u32,
    /// The length of what is attached, which is in front of the value.
    pub meta_len: usize,
    /// The length of the value.
    pub value_len: usize,
}

/// A value that was found, with what is attached to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What is known of it.
    pub found: Found,
    /// What was attached.
    pub meta: Bytes,
    /// The value.
    pub value: Bytes,
}

/// So many candidates of one tag are taken at a time. A second is one in tens of thousands.
const CANDIDATES: usize = 2;

/// A record of the index with the segment it is in.
pub(crate) type Candidate = (Slot, Arc<Segment>);

impl Shared {
    /// Entries of the index that may be the key's, have not expired for sure, and come after the first `skip`.
    #[inline]
    pub(crate) fn candidates(
        &self,
        hash: Hash,
        time: u64,
        touch: bool,
        skip: usize,
    ) -> [Option<Candidate>; CANDIDATES] {
        let mut found = [const { None }; CANDIDATES];
        let mut room = found.iter_mut();
        let table = self.index.read(hash.shard());
        let may_be =
            |slot: &Slot| !slot.is_tombstone() && (!slot.is_over(time) || bug("ttl_extended_on_restart"));
        for (position, slot) in table.candidates(hash.tag()).filter(|(_, slot)| may_be(slot)).skip(skip) {
            let Some(place) = room.next() else { break };
            *place =
                self.segments.read().by_slot(slot.place().slot).map(|segment| (slot, Arc::clone(segment)));
            if touch {
                table.mark_used(position, slot);
            }
        }
        found
    }

    /// Hands the key's live record to the closure.
    pub(crate) fn with_live<T>(
        &self,
        key: &[u8],
        now: u64,
        touch: bool,
        mut then: impl FnMut(&Arc<Segment>, u32, Head, &[u8], &mut Workspace) -> Result<T>,
    ) -> Result<Option<T>> {
        self.check_open()?;
        let hash = self.index.hash(key);
        let mut before: Option<(Slot, Error)> = None;
        let mut skip = 0;
        'again: loop {
            let candidates = self.candidates(hash, now, touch, skip);
            let full = candidates.iter().all(Option::is_some);
            for (slot, segment) in candidates.into_iter().flatten() {
                let offset = slot.place().offset;
                let read = with_workspace(|workspace| {
                    self.with_record(
                        &segment,
                        offset,
                        slot.most_bytes(),
                        workspace,
                        |head, body, workspace| {
                            if !self.is_live(&segment, offset, &head, body, key, now) {
                                return Ok(None);
                            }
                            then(&segment, offset, head, body, workspace).map(Some)
                        },
                    )
                });
                match read {
                    Ok(Some(found)) => return Ok(Some(found)),
                    Ok(None) => {}
                    Err(error) => {
                        // The record may have moved while it was read; only what the index still says counts.
                        if let Some((_, error)) = before.take_if(|(seen, _)| seen.place() == slot.place()) {
                            self.note_damage();
                            return Err(error);
                        }
                        before = Some((slot, error));
                        skip = 0;
                        continue 'again;
                    }
                }
            }
            if !full {
                return Ok(None);
            }
            skip += CANDIDATES;
        }
    }

    /// Whether a record that was checked is the key's entry, and everybody can see it.
    pub(crate) fn is_live(
        &self,
        segment: &Segment,
        offset: u32,
        head: &Head,
        body: &[u8],
        key: &[u8],
        now: u64,
    ) -> bool {
        split(head, body).is_some_and(|(found, ..)| found == key)
            && head.kind == Kind::Put
            && !segment.is_over(head.expires_ms, now)
            && !self.floors.bury(head.group, version_of(segment, offset, head))
    }

    /// Appends the value of a record that was read.
    pub(crate) fn value_of(
        &self,
        segment: &Segment,
        offset: u32,
        record: &Record<'_>,
        workspace: &mut Workspace,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let corrupt = |what| Error::Corrupt { segment: segment.id, offset: offset.into(), what };
        let mut body = std::mem::take(&mut workspace.body);
        body.clear();
        body.extend_from_slice(record.body());
        if let Some(cipher) = segment.cipher.as_ref().filter(|_| record.head.is_sealed()) {
            record.clear(&mut workspace.head);
            unseal(&**cipher, segment.at(offset), &workspace.head, &mut body).map_err(corrupt)?;
        }
        let (_, _, stored) = split(&record.head, &body).ok_or_else(|| corrupt("it is cut short"))?;
        let decoded = self.decode(&record.head, stored, workspace, out).map_err(corrupt);
        workspace.body = body;
        decoded
    }

    pub(crate) fn decode(
        &self,
        head: &Head,
        stored: &[u8],
        workspace: &mut Workspace,
        out: &mut Vec<u8>,
    ) -> Result<(), &'static str> {
        match head.coded {
            None => out.extend_from_slice(stored),
            Some(coded) => self.codecs.decode(coded, stored, &mut workspace.coder, out)?,
        }
        Ok(())
    }

    /// The entry of a record that was split.
    pub(crate) fn entry(
        &self,
        found: Found,
        head: &Head,
        meta: &[u8],
        stored: &[u8],
        workspace: &mut Workspace,
    ) -> Result<Entry, &'static str> {
        let mut bytes = Vec::with_capacity(found.meta_len + found.value_len);
        bytes.extend_from_slice(meta);
        self.decode(head, stored, workspace, &mut bytes)?;
        Ok(entry_of(found, bytes))
    }

    /// Counts damage that was come across.
    pub(crate) fn note_damage(&self) {
        self.damaged.fetch_add(1, Ordering::Relaxed);
    }

    /// Appends attachment and value of a key to `out`.
    pub(crate) fn get_into(&self, key: &[u8], now: u64, out: &mut Vec<u8>) -> Result<Option<Found>> {
        if key.len() > KEY_LIMIT {
            return Ok(None);
        }
        let start = out.len();
        let found = self.with_live(key, now, true, |segment, offset, head, body, workspace| {
            let corrupt = |what| Error::Corrupt { segment: segment.id, offset: offset.into(), what };
            let (_, meta, stored) = split(&head, body).ok_or_else(|| corrupt("it is cut short"))?;
            out.truncate(start);
            out.extend_from_slice(meta);
            self.decode(&head, stored, workspace, out).map_err(corrupt)?;
            Ok(found_of(segment, offset, &head))
        });
        self.counters.read(found.as_ref().is_ok_and(Option::is_some));
        if found.is_err() {
            out.truncate(start);
        }
        found
    }

    /// The entry of a key.
    pub(crate) fn get(&self, key: &[u8], now: u64) -> Result<Option<Entry>> {
        let mut bytes = Vec::new();
        let Some(found) = self.get_into(key, now, &mut bytes)? else { return Ok(None) };
        Ok(Some(entry_of(found, bytes)))
    }

    /// What is known of the key's value, without decoding it or marking it as used.
    pub(crate) fn peek(&self, key: &[u8], now: u64) -> Result<Option<Found>> {
        if key.len() > KEY_LIMIT {
            return Ok(None);
        }
        self.with_live(key, now, false, |segment, offset, head, _, _| Ok(found_of(segment, offset, &head)))
    }
}

/// An entry whose attachment and value are these bytes.
pub(crate) fn entry_of(found: Found, bytes: Vec<u8>) -> Entry {
    let mut value = Bytes::from(bytes);
    let meta = value.split_to(found.meta_len.min(value.len()));
    Entry { found, meta, value }
}

pub(crate) fn found_of(segment: &Segment, offset: u32, head: &Head) -> Found {
    Found {
        version: version_of(segment, offset, head),
        expires_ms: head.expires_ms,
        group: head.group,
        meta_len: head.meta_len as usize,
        value_len: head.value_len() as usize,
    }
}

/// The version of a record.
pub(crate) fn version_of(segment: &Segment, offset: u32, head: &Head) -> u64 {
    let version = segment.version_at(offset).wrapping_add(head.version_delta.unwrap_or(0) as u64);
    version.min(HIGHEST_VERSION)
}

/// At most so many bytes tell head and key of a record.
pub(crate) const fn head_and_key(key_len: usize) -> usize {
    LONGEST_HEAD + key_len
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::Io;
    use crate::io::sim::SimDisk;
    use crate::segment::Parts;

    /// A fuzzer's record said that its version is the highest number there is, and one more was one too many.
    #[test]
    fn a_record_that_claims_more_than_any_version_leaves_room_for_the_next() {
        let file = SimDisk::new(1).create("00000001.seg").unwrap();
        let parts = Parts { slot: 0, id: 1, base: 0, capacity: 1 << 20, file, cipher: None, usual_key: 0 };
        let segment = Segment::new(parts, 0, true);
        let head = |version_delta| Head { version_delta: Some(version_delta), ..Head::new(Kind::Put) };
        let natural = segment.version_at(100);
        assert_eq!(version_of(&segment, 100, &head(5)), natural + 5);
        for wild in [-1 - natural as i64, i64::MIN] {
            let version = version_of(&segment, 100, &head(wild));
            assert!(version.checked_add(1 << 40).is_some(), "{version}");
        }
    }
}
