//! Listing: a range of rows read in order, those left out that no longer count or lie in a damaged block.

use bytes::Bytes;
use terrace_store::capability::{Cursor, List, Page};
use terrace_store::{Entry, Key, Result};

use super::engine::Read;
use super::folder::Damage;
use super::row::{self, CUT};
use super::rows::Rows;
use crate::record::{self, Record};
use crate::spaces::Floors;

/// How many bytes of values a page holds, beyond which it ends early.
const PAGE_BYTES: usize = 32 << 20;
/// How many rows a page looks at besides those it returns, beyond which it ends early.
const PAGE_ROWS: usize = 2_000;
/// For how many rows a damaged block counts, as passing it takes about as long.
const DAMAGE_ROWS: usize = 1_000;

/// Where the rows of a page come from, and which of them are buried.
pub(super) struct Source<'a> {
    pub(super) damage: &'a Damage,
    pub(super) floors: &'a Floors,
    pub(super) wall_ms: u64,
}

/// The row at which a page begins.
pub(super) fn first_row(list: &List, cursor: Option<&Cursor>) -> Result<Bytes> {
    let flat = match cursor {
        Some(cursor) => Key::from_flat(cursor.0.clone())?,
        None => list.namespace.key(list.from.as_deref().unwrap_or_default().max(&list.prefix[..]))?,
    };
    Ok(flat.flat_bytes().slice(..flat.flat().len().min(CUT)))
}

impl Source<'_> {
    /// The page that begins with these rows.
    pub(super) fn page<R: Read>(
        &self,
        mut rows: Rows<'_, R>,
        list: &List,
        cursor: Option<&Cursor>,
    ) -> Result<Page> {
        let mut page =
            Building { list, after: cursor, wall_ms: self.wall_ms, page: Page::default(), bytes: 0 };
        let end = [list.namespace.flat_prefix(), &list.prefix].concat();
        let before = list.before.as_deref().map(|before| [list.namespace.flat_prefix(), before].concat());
        // Long keys with the same beginning lie in the order of their hashes, and are sorted here.
        let mut long: Vec<(Key, Bytes)> = Vec::new();
        let mut looked_at = 0;
        while let Some((row, value)) = rows.next()? {
            looked_at += 1;
            let start = &row[..row.len().min(CUT)];
            let same_start =
                long.first().is_some_and(|(first, _)| row::is_cut(&row) && first.flat().starts_with(start));
            if !same_start && page.take_sorted(self, &mut long)? {
                return Ok(page.page);
            }
            if !start.starts_with(&end[..end.len().min(CUT)])
                || before.as_ref().is_some_and(|before| start > &before[..before.len().min(CUT)])
            {
                return Ok(page.page);
            }
            let Ok((key, envelope)) = row::parts(&row, &value) else {
                self.damage.note();
                continue;
            };
            if row::is_cut(&row) {
                long.push((key, envelope));
                continue;
            }
            let here = Cursor(key.flat_bytes().clone());
            if page.take(self, key, &envelope)? {
                return Ok(page.page);
            }
            if looked_at + DAMAGE_ROWS * rows.passed() > PAGE_ROWS.saturating_add(list.limit) {
                page.page.next = Some(here);
                return Ok(page.page);
            }
        }
        page.take_sorted(self, &mut long)?;
        Ok(page.page)
    }

    /// The entry of a record, if it counts.
    pub(super) fn entry(&self, key: &Key, envelope: &Bytes) -> Result<Option<Entry>> {
        match record::open(key, envelope)? {
            Record::Live(entry)
                if !entry.is_expired(self.wall_ms) && !self.floors.bury(key, entry.version) =>
            {
                Ok(Some(entry))
            }
            _ => Ok(None),
        }
    }
}

struct Building<'a> {
    list: &'a List,
    after: Option<&'a Cursor>,
    wall_ms: u64,
    page: Page,
    bytes: usize,
}

impl Building<'_> {
    fn take_sorted(&mut self, source: &Source<'_>, long: &mut Vec<(Key, Bytes)>) -> Result<bool> {
        long.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (key, envelope) in long.drain(..) {
            if self.take(source, key, &envelope)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes an entry into the page; `true` if the page was full before and ends.
    fn take(&mut self, source: &Source<'_>, key: Key, envelope: &Bytes) -> Result<bool> {
        let passed = self.after.is_some_and(|cursor| key.flat() <= &cursor.0[..]);
        if passed || !self.list.covers(key.bytes()) {
            return Ok(false);
        }
        let mut entry = match source.entry(&key, envelope) {
            Ok(Some(entry)) if !entry.is_expired(self.wall_ms) => entry,
            Ok(_) => return Ok(false),
            // One damaged record must not keep all others from being listed; `get` and `health` tell of it.
            Err(_) => {
                source.damage.note();
                return Ok(false);
            }
        };
        if self.page.entries.len() >= self.list.limit.max(1) || self.bytes >= PAGE_BYTES {
            self.page.next = self.page.entries.last().map(|(key, _)| Cursor(key.flat_bytes().clone()));
            return Ok(true);
        }
        if self.list.keys_only {
            entry.value = Bytes::new();
        }
        self.bytes += entry.value.len();
        self.page.entries.push((key, entry));
        Ok(false)
    }
}
