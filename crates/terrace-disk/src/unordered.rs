//! Listing in the order of the index, which is that of the hashes of keys.
//!
//! Decision: where a key's hash puts it does not change when its record moves or the index grows, so a place in this
//! order is a place for good: whatever is written meanwhile, what stays is listed once. The few keys that share the bits
//! of the hash that the index has come in their own order. Slots and their segments are taken together, under the
//! lock of their shard, and read without it.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use crate::codec::{Workspace, with_workspace};
use crate::config::Reads;
use crate::error::{Error, Result};
use crate::index::SHARDS;
use crate::list::Page;
use crate::read::{Candidate, Entry, Found, entry_of, found_of};
use crate::record::{Head, Kind, split};
use crate::segment::Segment;
use crate::shared::Shared;

/// What to list in the order of hashes.
#[derive(Clone, Copy)]
pub struct Unordered<'a> {
    /// Which keys to list.
    pub wanted: &'a dyn Fn(&[u8]) -> bool,
    /// What the page before named; `None` for the first.
    pub after: Option<&'a [u8]>,
    /// Whether to leave out values and attachments.
    pub keys_only: bool,
    /// How many entries a page has at most.
    pub limit: usize,
    /// How many entries are looked at for a page at most, wanted or not. Few more if their hashes are alike.
    pub steps: usize,
}

impl std::fmt::Debug for Unordered<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unordered").field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// Slots are taken out of the index so many at a time.
const RUN: usize = 128;
/// Records of up to so many bytes are read whole, and checked, also if only the key is wanted.
const WHOLE: usize = 4 << 10;
/// Where in a place its key begins: behind the shard and the tag.
const KEY_AT: usize = 6;

/// A place in the order.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Spot {
    shard: usize,
    tag: u32,
    /// Of the keys with this tag, those up to this one were listed.
    key: Option<Bytes>,
}

impl Spot {
    const START: Self = Self { shard: 0, tag: 0, key: None };

    fn behind(shard: usize, tag: u32) -> Self {
        match tag.checked_add(1) {
            Some(tag) => Self { shard, tag, key: None },
            None => Self { shard: shard + 1, tag: 0, key: None },
        }
    }

    fn to_bytes(&self) -> Bytes {
        let mut bytes = BytesMut::new();
        bytes.put_u16(u16::try_from(self.shard).unwrap_or(u16::MAX));
        bytes.put_u32(self.tag);
        if let Some(key) = &self.key {
            bytes.put_u8(1);
            bytes.put_slice(key);
        }
        bytes.freeze()
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (shard, rest) = bytes.split_first_chunk::<2>()?;
        let (tag, _) = rest.split_first_chunk::<4>()?;
        let key = match bytes.get(KEY_AT..)? {
            [] => None,
            [1, key @ ..] => Some(Bytes::copy_from_slice(key)),
            _ => return None,
        };
        let shard = usize::from(u16::from_be_bytes(*shard));
        (shard <= SHARDS).then_some(Self { shard, tag: u32::from_be_bytes(*tag), key })
    }
}

impl Shared {
    /// A page in the order of hashes.
    pub(crate) fn list_unordered(&self, what: &Unordered<'_>, now: u64) -> Result<Page> {
        self.check_open()?;
        let mut spot = match what.after {
            None => Spot::START,
            Some(after) => {
                Spot::parse(after).ok_or_else(|| Error::Invalid("no listing named this place".to_owned()))?
            }
        };
        let (limit, mut steps) = (what.limit.max(1), 0);
        let mut page = Page::default();
        while spot.shard < SHARDS {
            let run = self.run(spot.shard, spot.tag, (limit - page.entries.len()).min(RUN), now);
            if run.is_empty() {
                spot = Spot { shard: spot.shard + 1, ..Spot::START };
                continue;
            }
            for alike in run.chunk_by(|(a, _), (b, _)| a.tag() == b.tag()) {
                let Some((first, _)) = alike.first() else { continue };
                let tag = first.tag();
                if page.entries.len() >= limit || steps >= what.steps.max(1) {
                    // The key of a place counts only where its tag is.
                    let spot = if tag == spot.tag { spot } else { Spot { tag, key: None, ..spot } };
                    page.next = Some(spot.to_bytes());
                    return Ok(page);
                }
                steps += alike.len();
                let done = spot.key.take().filter(|_| tag == spot.tag);
                for (key, entry) in self.show_alike(spot.shard, tag, alike, what, now)? {
                    if done.as_ref().is_some_and(|done| key <= done) {
                        continue;
                    }
                    if page.entries.len() >= limit {
                        let last = page.entries.last().map(|(key, _)| key.clone());
                        page.next = Some(Spot { shard: spot.shard, tag, key: last }.to_bytes());
                        return Ok(page);
                    }
                    page.entries.push((key, entry));
                }
                spot = Spot::behind(spot.shard, tag);
                if spot.shard >= SHARDS {
                    break;
                }
            }
        }
        Ok(page)
    }

    /// At least so many slots of a shard from a tag on, if there are, that may be entries, with their segments; all
    /// those of a tag or none.
    fn run(&self, shard: usize, tag: u32, least: usize, now: u64) -> Vec<Candidate> {
        let mut run: Vec<Candidate> = Vec::with_capacity(least + 1);
        let table = self.index.read(shard);
        let segments = self.segments.read();
        for slot in table.iter_from(tag) {
            if run.len() >= least && run.last().is_some_and(|(last, _)| last.tag() != slot.tag()) {
                break;
            }
            if slot.is_tombstone() || slot.is_over(now) {
                continue;
            }
            if let Some(segment) = segments.by_slot(slot.place().slot) {
                run.push((slot, Arc::clone(segment)));
            }
        }
        run
    }

    /// The entries in slots of one tag, in the order of their keys.
    fn show_alike(
        &self,
        shard: usize,
        tag: u32,
        alike: &[Candidate],
        what: &Unordered<'_>,
        now: u64,
    ) -> Result<Vec<(Bytes, Entry)>> {
        let mut shown = Vec::with_capacity(alike.len());
        for candidate in alike {
            match self.show(candidate, what, now) {
                Ok(entry) => shown.extend(entry),
                Err(Error::Corrupt { .. }) if self.points_at(shard, tag, candidate) => self.note_damage(),
                // It moved while it was read: all of them are taken anew.
                Err(Error::Corrupt { .. }) => return self.show_again(shard, tag, what, now),
                Err(error) => return Err(error),
            }
        }
        shown.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Ok(shown)
    }

    /// What the index has now for a tag of which something has just moved.
    fn show_again(
        &self,
        shard: usize,
        tag: u32,
        what: &Unordered<'_>,
        now: u64,
    ) -> Result<Vec<(Bytes, Entry)>> {
        let alike = self.run(shard, tag, 0, now);
        let alike: Vec<Candidate> = alike.into_iter().filter(|(slot, _)| slot.tag() == tag).collect();
        self.show_alike(shard, tag, &alike, what, now)
    }

    fn points_at(&self, shard: usize, tag: u32, (slot, segment): &Candidate) -> bool {
        let is_there = self.index.read(shard).find(tag, slot.place()).is_some();
        is_there && self.segments.read().by_slot(segment.slot).is_some_and(|other| other.id == segment.id)
    }

    /// The key and the entry at a slot, if it is one that is wanted.
    fn show(&self, candidate: &Candidate, what: &Unordered<'_>, now: u64) -> Result<Option<(Bytes, Entry)>> {
        let (slot, segment) = candidate;
        let offset = slot.place().offset;
        let is_long = slot.most_bytes().is_none_or(|most| most > WHOLE);
        with_workspace(|workspace| {
            if what.keys_only && is_long && segment.cipher.is_none() {
                return self.show_key(candidate, what, now, workspace);
            }
            self.with_record(segment, offset, slot.most_bytes(), workspace, |head, body, workspace| {
                let corrupt = |what| Error::Corrupt { segment: segment.id, offset: offset.into(), what };
                let (key, meta, stored) = split(&head, body).ok_or_else(|| corrupt("it is cut short"))?;
                let found = found_of(segment, offset, &head);
                if !self.shows(segment, &head, &found, now) || !(what.wanted)(key) {
                    return Ok(None);
                }
                let key = Bytes::copy_from_slice(key);
                if what.keys_only {
                    return Ok(Some((key, entry_of(Found { meta_len: 0, ..found }, Vec::new()))));
                }
                let entry = self.entry(found, &head, meta, stored, workspace).map_err(corrupt)?;
                Ok(Some((key, entry)))
            })
        })
    }

    /// As [`Shared::show`] of a long record, of which only head and key are read. Not its checksum but its hash says
    /// whether they are what was written.
    fn show_key(
        &self,
        (slot, segment): &Candidate,
        what: &Unordered<'_>,
        now: u64,
        workspace: &mut Workspace,
    ) -> Result<Option<(Bytes, Entry)>> {
        let (offset, key) = (slot.place().offset, &mut workspace.body);
        key.clear();
        let head = self.head_and_key_at(segment, offset, self.config.reads == Reads::Mapped, key)?;
        if self.index.hash(key).tag() != slot.tag() {
            let what = "its key is not the one that the index has";
            return Err(Error::Corrupt { segment: segment.id, offset: offset.into(), what });
        }
        let found = found_of(segment, offset, &head);
        if !self.shows(segment, &head, &found, now) || !(what.wanted)(key) {
            return Ok(None);
        }
        Ok(Some((Bytes::copy_from_slice(key), entry_of(Found { meta_len: 0, ..found }, Vec::new()))))
    }

    fn shows(&self, segment: &Segment, head: &Head, found: &Found, now: u64) -> bool {
        head.kind == Kind::Put
            && !segment.is_over(head.expires_ms, now)
            && !self.floors.bury(head.group, found.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_comes_back_and_what_is_none_is_refused() {
        let key = Bytes::from_static(b"key");
        for spot in [
            Spot::START,
            Spot { shard: 255, tag: u32::MAX, key: None },
            Spot { shard: 3, tag: 7, key: Some(Bytes::new()) },
            Spot { shard: 3, tag: 7, key: Some(key) },
            Spot::behind(255, u32::MAX),
        ] {
            assert_eq!(Spot::parse(&spot.to_bytes()), Some(spot));
        }
        for bad in [&b""[..], b"\0\0\0\0\0", b"\xff\xff\0\0\0\0", b"\0\0\0\0\0\0\x02"] {
            assert_eq!(Spot::parse(bad), None, "{bad:?}");
        }
    }
}
