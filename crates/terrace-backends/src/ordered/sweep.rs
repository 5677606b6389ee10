//! Removing many: what has expired, floors nobody needs, and whole namespaces.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use terrace_store::{Clock, ErrorKind, Namespace, Result, Swept, Version};

use super::engine::{Change, Engine, Space};
use super::folder::Folder;
use super::row::{self, Due};
use super::rows::lookup;
use super::write::{Now, Prior};

/// How many rows a purge removes with one batch, and so while it holds their locks.
const PURGE_CHUNK: usize = 256;

impl<E: Engine> Folder<E> {
    /// Removes at most `limit` expired entries and floors.
    pub(super) fn sweep(&self, limit: usize, now: Now, clock: &dyn Clock) -> Result<Swept> {
        let floor_now = self.floor_now(clock);
        let mut swept = Swept::default();
        self.sweep_floors(floor_now, &mut swept)?;
        let mut left = limit;
        for (from, to) in [
            (Due::Entry(0), Due::Entry(now.wall_ms.saturating_add(1))),
            (Due::Floor(0), Due::Floor(floor_now.saturating_add(1))),
        ] {
            for item in self.engine.range("sweep", Space::Expiry, &from.prefix(), Some(&to.prefix())) {
                if left == 0 {
                    swept.more = true;
                    return Ok(swept);
                }
                left -= 1;
                self.sweep_row(item?.0, now, &mut swept)?;
            }
        }
        Ok(swept)
    }

    fn sweep_floors(&self, floor_now: u64, swept: &mut Swept) -> Result<()> {
        let mut floors = self.floors();
        if self.purges_due.load(Ordering::Acquire) != 0 {
            return Ok(());
        }
        let over: Vec<(Bytes, Version)> = floors
            .iter()
            .filter(|(_, (_, deadline))| *deadline <= floor_now)
            .map(|(prefix, (floor, _))| (prefix.clone(), *floor))
            .collect();
        for (prefix, floor) in over {
            self.remove_floor(&prefix)?;
            self.spaces.drop_floor(&prefix, floor);
            floors.remove(&prefix);
            swept.floors += 1;
        }
        Ok(())
    }

    /// Does what is due by one row of `expiry`.
    fn sweep_row(&self, index: Bytes, now: Now, swept: &mut Swept) -> Result<()> {
        let Some((due, row)) = Due::parse(&index) else {
            self.damage.note();
            return self.engine.write("sweep", vec![Change::Remove(Space::Expiry, index)]);
        };
        let _stripe = self.stripes.lock(&row);
        let value = match lookup(&self.engine, &self.damage, "sweep", &row) {
            Err(error) if error.kind() != ErrorKind::Corrupt => return Err(error),
            value => value.ok().flatten(),
        };
        let found = value.and_then(|value| {
            let (key, _) = row::parts(&row, &value).ok()?;
            let prior = Prior::weigh(self, &key, &row, value).ok()?;
            (prior.due == Some(due)).then_some((key, prior))
        });
        let Some((key, prior)) = found else {
            // The entry is another by now, or cannot be read: its own row says when it is due, this one does not.
            return self.engine.write("sweep", vec![Change::Remove(Space::Expiry, index)]);
        };
        match (due, prior.summary) {
            (Due::Entry(_), Some(summary)) => {
                self.expire(&key, row, &prior, summary.version, now)?;
                swept.expired += 1;
            }
            (Due::Floor(_), _) | (_, None) => {
                let both = [Change::Remove(Space::Entries, row), Change::Remove(Space::Expiry, index)];
                self.engine.write("sweep", both.into())?;
                swept.floors += u64::from(!prior.buried);
            }
        }
        Ok(())
    }

    /// Buries every entry of a namespace, or of all, and returns how many live ones that were. The rows are the
    /// purge's to remove.
    pub(super) fn bury(&self, namespace: Option<&Namespace>, now: Now) -> Result<u64> {
        let prefix = namespace.map_or(&[][..], Namespace::flat_prefix);
        let _stripes = self.stripes.lock_all();
        let expired = self.count_expired(prefix, now.wall_ms)?;
        let floor = self.next_version()?;
        {
            let mut floors = self.floors();
            self.put_floor(prefix, floor, now.floor_deadline_ms)?;
            floors.insert(Bytes::copy_from_slice(prefix), (floor, now.floor_deadline_ms));
            self.purges_due.fetch_add(1, Ordering::AcqRel);
        }
        self.spaces.raise_floor(prefix, floor);
        let removed = self.spaces.empty(prefix).saturating_sub(expired);
        self.watchers.tell_cleared(namespace);
        Ok(removed)
    }

    /// How many entries of a namespace are counted though their time is over.
    fn count_expired(&self, prefix: &[u8], wall_ms: u64) -> Result<u64> {
        let mut expired = 0;
        let (first, last) = (Due::Entry(0), Due::Entry(wall_ms.saturating_add(1)));
        for item in self.engine.range("clear", Space::Expiry, &first.prefix(), Some(&last.prefix())) {
            let (index, version) = item?;
            let Some((_, row)) = Due::parse(&index) else { continue };
            if !row.starts_with(prefix) {
                continue;
            }
            // The row of a long key is no flat key of its own, but begins with its namespace all the same.
            let key = terrace_store::Key::from_flat(row.slice(..row.len().min(row::CUT)))?;
            let version = Version(row::number(&version).unwrap_or(0));
            expired += u64::from(!self.spaces.bury(&key, version));
        }
        Ok(expired)
    }

    /// Removes the rows under this prefix that a clear has buried. A purge that does not get to its end is taken
    /// up when the folder is opened again.
    pub(super) fn purge(&self, prefix: &[u8]) -> Result<()> {
        let mut from = Bytes::copy_from_slice(prefix);
        loop {
            let mut rows: Vec<Bytes> = Vec::with_capacity(PURGE_CHUNK);
            let mut last = None;
            for item in self.engine.range("clear", Space::Entries, &from, None).take(PURGE_CHUNK) {
                let (row, value) = item?;
                if !row.starts_with(prefix) {
                    break;
                }
                let sound = row::parts(&row, &value).ok().and_then(|(key, envelope)| {
                    let peek = terrace_envelope::peek(&envelope).ok()?;
                    Some((key, Version(peek.version)))
                });
                if sound.is_none_or(|(key, version)| self.spaces.bury(&key, version)) {
                    rows.push(row.clone());
                }
                last = Some(row);
            }
            self.purge_rows(&rows)?;
            let Some(last) = last else { return Ok(()) };
            // The next possible row.
            from = [&last[..], &[0]].concat().into();
        }
    }

    fn purge_rows(&self, rows: &[Bytes]) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let _stripes = self.stripes.lock_many(rows.iter().map(|row| &row[..]));
        let mut changes = Vec::with_capacity(2 * rows.len());
        for row in rows {
            let Some(value) = self.engine.get("clear", Space::Entries, row)? else { continue };
            let Ok((key, _)) = row::parts(row, &value) else { continue };
            let prior = Prior::weigh(self, &key, row, value)?;
            if prior.buried {
                changes.push(Change::Remove(Space::Entries, row.clone()));
                if let Some(due) = prior.due {
                    changes.push(Change::Remove(Space::Expiry, due.key(row)));
                }
            }
        }
        if changes.is_empty() { Ok(()) } else { self.engine.write("clear", changes) }
    }
}
