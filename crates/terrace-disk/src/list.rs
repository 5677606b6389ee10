//! Listing in the order of keys.
//!
//! Decision: a merge of the segments' orders. A record is shown only if the index points at that very place, so
//! what was overwritten, deleted or moved shows nowhere, without a look at the value. To begin a page costs a binary
//! search in each segment; each entry costs the read of its key and of its value.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use bytes::Bytes;

use crate::codec::with_workspace;
use crate::error::{Error, Result};
use crate::index::Place;
use crate::order::Run;
use crate::read::{Entry, Found, entry_of, found_of, version_of};
use crate::record::{Head, Kind, Location, split};
use crate::segment::Segment;
use crate::shared::Shared;

/// What to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct Range<'a> {
    /// The first key, or the one before it.
    pub from: &'a [u8],
    /// Whether `from` itself is left out.
    pub after: bool,
    /// The key before which it ends.
    pub before: Option<&'a [u8]>,
    /// Whether to leave out values and attachments.
    pub keys_only: bool,
}

/// A part of a listing.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Entries with their keys, in the order of keys.
    pub entries: Vec<(Bytes, Entry)>,
    /// The key after which to go on, or in the order of hashes the place from which; `None` when the listing is complete.
    pub next: Option<Bytes>,
}

/// So many keys are looked at for one page at most, however many of them are of no use.
const MOST_STEPS: usize = 1 << 16;

/// A run on its way through a merge.
struct Cursor {
    segment: Arc<Segment>,
    run: Run,
    at: usize,
}

/// What a merge shows.
pub(crate) trait View {
    /// Whether a record may be looked at at all.
    fn covers(&self, location: Location) -> bool;
    /// The entry of a key, if the record at this place is the one to show.
    fn show(&self, key: &[u8], segment: &Arc<Segment>, offset: u32, keys_only: bool)
    -> Result<Option<Entry>>;
    /// Whether a key is shown by its first record already, whichever that is.
    fn once(&self) -> bool;
}

/// The log as it is now.
pub(crate) struct Now<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) now: u64,
}

impl View for Now<'_> {
    fn covers(&self, _: Location) -> bool {
        true
    }

    fn show(
        &self,
        key: &[u8],
        segment: &Arc<Segment>,
        offset: u32,
        keys_only: bool,
    ) -> Result<Option<Entry>> {
        let shared = self.shared;
        let hash = shared.index.hash(key);
        let place = Place { slot: segment.slot, offset };
        let Some((_, slot)) = shared.index.read(hash.shard()).find(hash.tag(), place) else {
            return Ok(None);
        };
        let is_current =
            shared.segments.read().by_slot(place.slot).is_some_and(|other| other.id == segment.id);
        if !is_current || slot.is_tombstone() {
            return Ok(None);
        }
        shared.entry_at(segment, offset, slot.most_bytes(), key, keys_only, |head, version| {
            !segment.is_over(head.expires_ms, self.now) && !shared.floors.bury(head.group, version)
        })
    }

    fn once(&self) -> bool {
        false
    }
}

impl Shared {
    /// The entry in a record, if it is a put of this key and the closure wants it.
    pub(crate) fn entry_at(
        &self,
        segment: &Arc<Segment>,
        offset: u32,
        most: Option<usize>,
        key: &[u8],
        keys_only: bool,
        wanted: impl Fn(&Head, u64) -> bool,
    ) -> Result<Option<Entry>> {
        with_workspace(|workspace| {
            self.with_record(segment, offset, most, workspace, |head, body, workspace| {
                let corrupt = |what| Error::Corrupt { segment: segment.id, offset: offset.into(), what };
                let (found, meta, stored) = split(&head, body).ok_or_else(|| corrupt("it is cut short"))?;
                let version = version_of(segment, offset, &head);
                if found != key || head.kind != Kind::Put || !wanted(&head, version) {
                    return Ok(None);
                }
                let found = found_of(segment, offset, &head);
                if keys_only {
                    return Ok(Some(entry_of(Found { meta_len: 0, ..found }, Vec::new())));
                }
                let mut bytes = Vec::with_capacity(found.meta_len + found.value_len);
                bytes.extend_from_slice(meta);
                self.decode(&head, stored, workspace, &mut bytes).map_err(corrupt)?;
                Ok(Some(entry_of(found, bytes)))
            })
        })
    }

    /// A page of what a view shows.
    pub(crate) fn list(&self, view: &dyn View, range: &Range<'_>, limit: usize) -> Result<Page> {
        self.check_open()?;
        let segments: Vec<Arc<Segment>> = self.segments.read().iter().cloned().collect();
        let mut cursors = Vec::new();
        for segment in segments.iter().filter(|segment| view.covers(segment.at(0))) {
            for run in self.runs(segment)? {
                let mut cursor = Cursor { segment: Arc::clone(segment), run, at: 0 };
                cursor.at = self.seek(&cursor, range)?;
                cursors.push(cursor);
            }
        }
        let mut heap = BinaryHeap::new();
        for number in 0..cursors.len() {
            self.advance(&mut cursors, number, view, &mut heap)?;
        }
        let mut page = Page::default();
        let mut last: Option<Vec<u8>> = None;
        for step in 0.. {
            let Some(Reverse((key, _, offset, number))) = heap.pop() else { return Ok(page) };
            if range.before.is_some_and(|before| key.as_slice() >= before) {
                return Ok(page);
            }
            let is_new = last.as_ref() != Some(&key);
            if is_new && (page.entries.len() >= limit.max(1) || step >= MOST_STEPS) {
                page.next = last.map(Bytes::from);
                return Ok(page);
            }
            self.advance(&mut cursors, number, view, &mut heap)?;
            if !view.once() || is_new {
                let segment = cursors.get(number).map(|cursor| Arc::clone(&cursor.segment));
                let shown = segment.map(|segment| view.show(&key, &segment, offset, range.keys_only));
                match shown.unwrap_or(Ok(None)) {
                    Ok(Some(entry)) => page.entries.push((Bytes::copy_from_slice(&key), entry)),
                    Ok(None) => {}
                    Err(Error::Corrupt { .. }) => self.note_damage(),
                    Err(error) => return Err(error),
                }
            }
            last = Some(key);
        }
        Ok(page)
    }

    /// The first position of a run whose key is in the range.
    fn seek(&self, cursor: &Cursor, range: &Range<'_>) -> Result<usize> {
        let (mut low, mut high) = (0, cursor.run.len());
        let mut key = Vec::new();
        while low < high {
            let middle = low + (high - low) / 2;
            // The next one whose key is known decides; without any, what lies before does.
            let mut at = middle;
            let mut known = false;
            while at < high && !known {
                known = self.key_of(cursor, at, &mut key)?;
                at += usize::from(!known);
            }
            let before = key.as_slice() < range.from || (range.after && key.as_slice() == range.from);
            if known && before {
                low = at + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// The key at a position of a run; false if the record there is damaged.
    fn key_of(&self, cursor: &Cursor, at: usize, key: &mut Vec<u8>) -> Result<bool> {
        key.clear();
        let Some(offset) = cursor.run.get(at).copied() else { return Ok(false) };
        match self.key_at(&cursor.segment, offset, key) {
            Ok(()) => Ok(true),
            Err(Error::Corrupt { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Puts the next record of a run into the heap.
    #[allow(clippy::type_complexity, reason = "what the heap orders by, in its order")]
    fn advance(
        &self,
        cursors: &mut [Cursor],
        number: usize,
        view: &dyn View,
        heap: &mut BinaryHeap<Reverse<(Vec<u8>, u64, u32, usize)>>,
    ) -> Result<()> {
        let Some(cursor) = cursors.get_mut(number) else { return Ok(()) };
        while let Some(offset) = cursor.run.get(cursor.at).copied() {
            cursor.at += 1;
            if !view.covers(cursor.segment.at(offset)) {
                continue;
            }
            let mut key = Vec::new();
            if self.key_of(cursor, cursor.at - 1, &mut key)? {
                heap.push(Reverse((key, cursor.segment.id, offset, number)));
                return Ok(());
            }
            self.note_damage();
        }
        Ok(())
    }
}
