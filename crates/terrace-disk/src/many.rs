//! Several keys at once.
//!
//! Decision: the index is asked for all of them first, so that a device reads in one direction; what was not found there
//! costs no read. With a ring all records are asked of the kernel together, and whatever does not come out as expected (another key
//! of the same hash, a record that has moved or is not in the file yet, damage) is read again by itself, the way that
//! decides.

use std::sync::Arc;

use crate::codec::with_workspace;
use crate::error::Result;
use crate::index::Slot;
use crate::io::Span;
use crate::read::{Entry, found_of};
use crate::record::split;
use crate::segment::Segment;
use crate::shared::Shared;

/// A key that the index may have, and where.
struct Wanted {
    number: usize,
    slot: Slot,
    segment: Arc<Segment>,
}

impl Wanted {
    fn offset(&self) -> u32 {
        self.slot.place().offset
    }

    /// What to read, if it is in the file and its length is known.
    fn span(&self) -> Option<Span<'_>> {
        let at = u64::from(self.offset());
        let rest = self.segment.written().checked_sub(at).filter(|rest| *rest > 0)?;
        let len = (self.slot.most_bytes()? as u64).min(rest) as usize;
        Some(Span { file: &*self.segment.file, at, len })
    }
}

impl Shared {
    /// The entries of several keys, read in the order of the log.
    pub(crate) fn get_many(&self, keys: &[&[u8]], now: u64) -> Result<Vec<Option<Entry>>> {
        self.check_open()?;
        let mut wanted = self.find_many(keys, now);
        wanted.sort_unstable_by_key(|wanted| (wanted.segment.id, wanted.offset()));
        let mut entries = vec![None; keys.len()];
        if self.ringed {
            wanted = self.read_together(keys, wanted, &mut entries, now);
        }
        for Wanted { number, .. } in wanted {
            let (Some(key), Some(place)) = (keys.get(number), entries.get_mut(number)) else { continue };
            *place = self.get(key, now)?;
        }
        Ok(entries)
    }

    /// What the index has for the keys; one that it does not have is counted as missed.
    fn find_many(&self, keys: &[&[u8]], now: u64) -> Vec<Wanted> {
        let mut wanted = Vec::with_capacity(keys.len());
        for (number, key) in keys.iter().enumerate() {
            let candidates = self.candidates(self.index.hash(key), now, self.ringed, 0);
            match candidates.into_iter().flatten().next() {
                Some((slot, segment)) => wanted.push(Wanted { number, slot, segment }),
                None => self.counters.read(false),
            }
        }
        wanted
    }

    /// Reads records in one go, and returns those that have to be read again by themselves.
    fn read_together(
        &self,
        keys: &[&[u8]],
        mut wanted: Vec<Wanted>,
        entries: &mut [Option<Entry>],
        now: u64,
    ) -> Vec<Wanted> {
        let (spans, whose): (Vec<_>, Vec<_>) =
            wanted.iter().filter_map(|wanted| Some((wanted.span()?, wanted))).unzip();
        self.io.read_many(&spans, &mut |read, bytes| {
            let (Some(wanted), Ok(bytes)) = (whose.get(read), bytes) else { return };
            let Some(key) = keys.get(wanted.number) else { return };
            let found = self.entry_in(&wanted.segment, wanted.offset(), bytes, key, now);
            if let (Ok(Some(entry)), Some(place)) = (found, entries.get_mut(wanted.number)) {
                self.counters.read(true);
                *place = Some(entry);
            }
        });
        drop(spans);
        wanted.retain(|wanted| entries.get(wanted.number).is_some_and(Option::is_none));
        wanted
    }

    /// The entry in the bytes of a record, if it is the key's.
    fn entry_in(
        &self,
        segment: &Arc<Segment>,
        offset: u32,
        bytes: &[u8],
        key: &[u8],
        now: u64,
    ) -> Result<Option<Entry>> {
        with_workspace(|workspace| {
            self.with_bytes(segment, offset, bytes, workspace, |head, body, workspace| {
                if !self.is_live(segment, offset, &head, body, key, now) {
                    return Ok(None);
                }
                let Some((_, meta, stored)) = split(&head, body) else { return Ok(None) };
                let found = found_of(segment, offset, &head);
                self.entry(found, &head, meta, stored, workspace).map(Some).map_err(|what| {
                    crate::Error::Corrupt { segment: segment.id, offset: offset.into(), what }
                })
            })
        })
    }
}
