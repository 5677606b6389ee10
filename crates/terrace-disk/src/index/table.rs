//! One shard of the index: open addressing in the order of the tags.
//!
//! Decision: linear probing with Robin Hood placement by tag, without wrapping around, so the table is a sorted
//! list with gaps. It grows by an eighth in one linear merge, stays between 82 and 92 % full, and is dumped and
//! loaded as it is: 17.4 to 19.5 bytes an entry. Slots are atomic only for the use bits, which readers set while
//! they hold the shard's lock shared.

use std::sync::atomic::{AtomicU64, Ordering};

use super::slot::{Place, Slot};

/// A slot that readers may mark.
#[derive(Default)]
struct Cell(AtomicU64, AtomicU64);

impl Cell {
    fn load(&self) -> Slot {
        Slot(self.0.load(Ordering::Relaxed), self.1.load(Ordering::Relaxed))
    }
    fn store(&mut self, slot: Slot) {
        *self.0.get_mut() = slot.0;
        *self.1.get_mut() = slot.1;
    }
}

/// A shard.
#[derive(Default)]
pub(crate) struct Table {
    cells: Box<[Cell]>,
    /// Tags are spread over so many cells; the few beyond take what is pushed out.
    range: usize,
    len: usize,
    /// No entry has a deadline before this one, in seconds.
    earliest: u32,
}

/// The share of the range that may be taken: 23 of 25 parts.
const FULL: (usize, usize) = (23, 25);
/// The cells beyond the range; more are added when a run needs them.
const BEYOND: usize = 16;

impl Table {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The bytes it takes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.cells.len() * size_of::<Cell>()
    }

    /// No entry's deadline is before this second; `u32::MAX` if none has any.
    pub(crate) fn earliest(&self) -> u32 {
        if self.len == 0 { u32::MAX } else { self.earliest }
    }

    pub(crate) fn set_earliest(&mut self, earliest: u32) {
        self.earliest = earliest;
    }

    fn home(&self, tag: u32) -> usize {
        ((u64::from(tag) * self.range as u64) >> 32) as usize
    }

    fn at(&self, position: usize) -> Slot {
        self.cells.get(position).map_or(Slot::EMPTY, Cell::load)
    }

    /// The entries with this tag, with their positions.
    #[inline]
    pub(crate) fn candidates(&self, tag: u32) -> impl Iterator<Item = (usize, Slot)> {
        let mut position = self.home(tag);
        loop {
            let slot = self.at(position);
            if slot.is_empty() || slot.tag() >= tag {
                break;
            }
            position += 1;
        }
        std::iter::from_fn(move || {
            let (found, slot) = (position, self.at(position));
            position += 1;
            (!slot.is_empty() && slot.tag() == tag).then_some((found, slot))
        })
    }

    /// The entry that points at this place.
    pub(crate) fn find(&self, tag: u32, place: Place) -> Option<(usize, Slot)> {
        self.candidates(tag).find(|(_, slot)| slot.place() == place)
    }

    /// Notes that an entry was read.
    #[inline]
    pub(crate) fn mark_used(&self, position: usize, slot: Slot) {
        let Some(cell) = self.cells.get(position).filter(|_| slot.used() < 3) else { return };
        // A mark that is lost to another reader does no harm; a slot cannot change under the shared lock
        // but for its marks.
        cell.1.store(slot.with_used(slot.used() + 1).1, Ordering::Relaxed);
    }

    /// Replaces the entry at a position by one with the same tag.
    pub(crate) fn replace(&mut self, position: usize, slot: Slot) {
        self.note_deadline(slot);
        if let Some(cell) = self.cells.get_mut(position) {
            cell.store(slot);
        }
    }

    fn note_deadline(&mut self, slot: Slot) {
        if slot.deadline() != 0 && (self.earliest == 0 || slot.deadline() < self.earliest) {
            self.earliest = slot.deadline();
        } else if self.earliest == 0 {
            self.earliest = u32::MAX;
        }
    }

    /// Adds an entry.
    pub(crate) fn insert(&mut self, slot: Slot) {
        if (self.len + 1) * FULL.1 > self.range * FULL.0 {
            self.resize(self.range + (self.range / 8).max(8));
        }
        while !self.try_insert(slot) {
            self.extend();
        }
        self.note_deadline(slot);
    }

    fn try_insert(&mut self, slot: Slot) -> bool {
        let mut position = self.home(slot.tag());
        loop {
            let other = self.at(position);
            if other.is_empty() || other.tag() > slot.tag() {
                break;
            }
            position += 1;
        }
        let Some(free) = (position..self.cells.len()).find(|at| self.at(*at).is_empty()) else {
            return false;
        };
        let Some(run) = self.cells.get_mut(position..=free) else { return false };
        run.rotate_right(1);
        if let Some(cell) = run.first_mut() {
            cell.store(slot);
        }
        self.len += 1;
        true
    }

    /// Removes the entry at a position.
    pub(crate) fn remove(&mut self, position: usize) {
        let mut end = position + 1;
        loop {
            let slot = self.at(end);
            if slot.is_empty() || self.home(slot.tag()) >= end {
                break;
            }
            end += 1;
        }
        let Some(run) = self.cells.get_mut(position..end) else { return };
        run.rotate_left(1);
        if let Some(cell) = run.last_mut() {
            cell.store(Slot::EMPTY);
        }
        self.len -= 1;
    }

    /// The entries whose tag is this one or above, in the order of their tags.
    pub(crate) fn iter_from(&self, tag: u32) -> impl Iterator<Item = Slot> {
        let from = self.home(tag).min(self.cells.len());
        let cells = self.cells.get(from..).unwrap_or_default();
        cells.iter().map(Cell::load).filter(move |slot| !slot.is_empty() && slot.tag() >= tag)
    }

    /// All entries, in the order of their tags.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Slot> {
        self.cells.iter().map(Cell::load).filter(|slot| !slot.is_empty())
    }

    /// Adds cells beyond the range, where a run has used up those there were.
    fn extend(&mut self) {
        let mut cells = std::mem::take(&mut self.cells).into_vec();
        let len = cells.len() + BEYOND;
        cells.resize_with(len, Cell::default);
        self.cells = cells.into_boxed_slice();
    }

    /// Makes room for so many cells and puts every entry to its place in it.
    fn resize(&mut self, range: usize) {
        let slots = std::mem::take(&mut self.cells);
        let old = slots.iter().map(Cell::load).filter(|slot| !slot.is_empty());
        let len = self.len;
        *self = Self::build(old, len, range, self.earliest);
    }

    /// A table of entries that come in the order of their tags.
    fn build(slots: impl Iterator<Item = Slot>, len: usize, range: usize, earliest: u32) -> Self {
        let mut table = Self { cells: Box::default(), range, len: 0, earliest };
        let mut cells: Vec<Cell> = Vec::with_capacity(range + BEYOND);
        for slot in slots {
            let home = table.home(slot.tag());
            while cells.len() < home {
                cells.push(Cell::default());
            }
            cells.push(Cell(AtomicU64::new(slot.0), AtomicU64::new(slot.1)));
            table.len += 1;
        }
        debug_assert!(len >= table.len);
        // A run at the end may be longer than usual; then there is no room beyond it, and the next insertion
        // grows the table.
        let cells_wanted = (range + BEYOND).max(cells.len() + 1);
        cells.resize_with(cells_wanted, Cell::default);
        table.cells = cells.into_boxed_slice();
        table
    }

    /// A table of entries that were dumped, with their count.
    pub(crate) fn load(slots: impl Iterator<Item = Slot>, len: usize) -> Self {
        let range = if len == 0 { 0 } else { (len * FULL.1 / FULL.0 + 1).max(8) * 17 / 16 };
        let mut earliest = u32::MAX;
        let slots = slots.inspect(|slot| {
            if slot.deadline() != 0 {
                earliest = earliest.min(slot.deadline());
            }
        });
        let mut table = Self::build(slots, len, range, 0);
        table.earliest = earliest;
        table
    }

    /// Removes every entry that the closure does not want to keep.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(Slot) -> bool) {
        let before = self.len;
        let kept: Vec<Slot> = self.iter().filter(|slot| keep(*slot)).collect();
        if kept.len() == before {
            return;
        }
        *self = Self::load(kept.iter().copied(), kept.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(tag: u32, offset: u32) -> Slot {
        Slot::new(tag, Place { slot: 1, offset }, 100, None, false)
    }

    fn tag(n: u32) -> u32 {
        // Some tags are shared.
        (n / 2).wrapping_mul(0x9e37_79b9)
    }

    fn check(table: &Table) {
        let tags: Vec<u32> = table.iter().map(Slot::tag).collect();
        assert!(tags.is_sorted() && tags.len() == table.len());
        for (at, cell) in table.cells.iter().enumerate().filter(|(_, cell)| !cell.load().is_empty()) {
            let home = table.home(cell.load().tag());
            assert!(home <= at && (home..at).all(|before| !table.at(before).is_empty()));
        }
    }

    #[test]
    fn entries_are_found_while_others_come_and_go() {
        let mut table = Table::default();
        assert_eq!(table.candidates(5).count(), 0);
        for n in 0..20_000 {
            table.insert(slot(tag(n), n));
            if n % 3 == 0 {
                let gone = n / 2;
                if let Some((at, _)) = table.find(tag(gone), Place { slot: 1, offset: gone }) {
                    table.remove(at);
                }
            }
        }
        check(&table);
        for n in 0..20_000 {
            let found = table.find(tag(n), Place { slot: 1, offset: n });
            let removed = (0..20_000).step_by(3).any(|m| m / 2 == n);
            assert_eq!(found.is_some(), !removed, "{n}");
        }
        let bytes = table.heap_bytes() as f64 / table.len() as f64;
        assert!(bytes < 20.0, "{bytes} bytes an entry");
        table.retain(|slot| slot.place().offset % 2 == 0);
        check(&table);
        assert!(table.iter().all(|slot| slot.place().offset % 2 == 0));
        let copy = Table::load(table.iter(), table.len());
        check(&copy);
        assert!(copy.iter().eq(table.iter()));
        for from in (0..1 << 12).map(|n| n << 20) {
            assert!(table.iter_from(from).eq(table.iter().filter(|slot| slot.tag() >= from)), "{from}");
        }
    }

    #[test]
    fn many_entries_of_one_tag_are_kept_apart() {
        let mut table = Table::default();
        for n in 0..300 {
            table.insert(slot(u32::MAX, n));
        }
        check(&table);
        assert_eq!(table.candidates(u32::MAX).count(), 300);
        let (at, _) = table.find(u32::MAX, Place { slot: 1, offset: 150 }).unwrap();
        table.mark_used(at, table.at(at));
        assert_eq!(table.at(at).used(), 1);
        table.remove(at);
        check(&table);
        assert_eq!(table.candidates(u32::MAX).count(), 299);
    }

    #[test]
    fn the_earliest_deadline_is_known() {
        let mut table = Table::default();
        let place = Place { slot: 0, offset: 0 };
        table.insert(Slot::new(1, place, 1, None, false));
        assert_eq!(table.earliest(), u32::MAX);
        table.insert(Slot::new(2, place, 1, Some(9000), false));
        table.insert(Slot::new(3, place, 1, Some(5000), false));
        table.insert(Slot::new(4, place, 1, None, false));
        assert_eq!(table.earliest(), 5);
    }
}
