//! The index of a shard: from a hash to the cells that may hold its key.
//!
//! Decision: open addressing in groups of twelve, a group to a cache line: twelve tags of seven hash bits, the
//! twelve cells, and counts of the keys that wanted into this group and stand further on. A reader compares all
//! tags of a group at once and goes on only if the count of its hash's class is not zero, so removing leaves no
//! tombstone behind and no entry ever moves. A hit touches one line here and one of the entry (F14 by Bronson and
//! Shi, 2019). With one count for all, and seven eighths full, a miss in a cache that evicts went through fifty
//! groups; with four, and seven tenths full, it goes through one and a half.
//!
//! Writers come one at a time, under the shard's lock; readers at any time, and see each change whole, because
//! the tags of a group are two atomic words. A table that is full is replaced by a larger one.

mod group;

use std::sync::atomic::Ordering;

use self::group::{Group, Look, WIDTH, class, matching, tag};
use crate::block::{Block, prefetch};
use crate::sync::AtomicU32;

/// What may stand for a hash in its own group.
pub(crate) struct AtHome<'t> {
    group: &'t Group,
    candidates: u32,
}

impl AtHome<'_> {
    /// Whether there may be more of the kind elsewhere.
    #[inline]
    pub(crate) fn sends_on(&self, hash: u32) -> bool {
        self.group.sends_on(class(hash))
    }
}

impl Iterator for AtHome<'_> {
    type Item = u32;

    #[inline(always)]
    fn next(&mut self) -> Option<u32> {
        if self.candidates == 0 {
            return None;
        }
        let place = self.candidates.trailing_zeros() as usize;
        self.candidates &= self.candidates - 1;
        self.group.cells.get(place).map(|cell| cell.load(Ordering::Acquire))
    }
}

/// The index of a shard.
pub(crate) struct Table {
    groups: Block<Group>,
    len: AtomicU32,
    /// How many entries it takes.
    room: usize,
}

impl Table {
    /// With places for so many entries, and a few more.
    pub(crate) fn with_room(entries: usize) -> Self {
        let groups = (entries * 10).div_ceil(WIDTH * 7).max(1);
        let mut block = Block::with_places(groups);
        block.fill(groups, Group::empty);
        // Seven tenths of the places may be taken.
        Table { groups: block, len: AtomicU32::new(0), room: groups * WIDTH * 7 / 10 }
    }

    /// How many entries it takes before it has to be replaced.
    pub(crate) fn room(&self) -> usize {
        self.room
    }

    /// Whether one more would not fit.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.len() >= self.room
    }

    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed) as usize
    }

    pub(crate) fn group_count(&self) -> usize {
        self.groups().len()
    }

    #[inline]
    fn groups(&self) -> &[Group] {
        self.groups.filled()
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.groups.heap_bytes()
    }

    /// The group that a hash wants into. Hashes in ascending order want into groups in ascending order, whatever
    /// the size of the table; walks rely on it.
    #[inline]
    pub(crate) fn home(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.groups().len() as u64) >> 32) as usize
    }

    /// The smallest hash that wants into this group; 2^32 beyond the last.
    pub(crate) fn first_hash_of(&self, group: usize) -> u64 {
        ((group as u64) << 32).div_ceil(self.groups().len() as u64)
    }

    #[inline]
    fn next(&self, group: usize) -> usize {
        if group + 1 == self.groups().len() { 0 } else { group + 1 }
    }

    /// Asks for the line that a hash will be looked for in.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u32) {
        prefetch(&self.groups()[self.home(hash)]);
    }

    /// The cells with this hash's tag where it would be looked for first.
    #[inline]
    pub(crate) fn at_home(&self, hash: u32) -> AtHome<'_> {
        let group = &self.groups()[self.home(hash)];
        AtHome { group, candidates: matching(&group.tags, tag(hash)) }
    }

    /// What `accept` makes of the first cell with this hash's tag that it accepts.
    #[inline]
    pub(crate) fn find<T>(&self, hash: u32, accept: impl Fn(u32) -> Option<T>) -> Option<T> {
        let home = self.home(hash);
        match self.groups()[home].find(hash, &accept) {
            Look::Found(found) => Some(found),
            Look::Absent => None,
            Look::Further => self.find_beyond(home, hash, accept),
        }
    }

    /// One in some ten finds comes here.
    #[cold]
    fn find_beyond<T>(&self, home: usize, hash: u32, accept: impl Fn(u32) -> Option<T>) -> Option<T> {
        let mut index = self.next(home);
        while index != home {
            match self.groups()[index].find(hash, &accept) {
                Look::Found(found) => return Some(found),
                Look::Absent => return None,
                Look::Further => index = self.next(index),
            }
        }
        None
    }

    fn count(&self, more: u32) {
        // Writers come one at a time.
        self.len.store(self.len.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    /// Adds a cell. There must be room.
    pub(crate) fn insert(&self, hash: u32, cell: u32) {
        self.put_in(hash, cell);
        self.count(1);
    }

    /// The same for a cell in whose stead another one was [taken out](Self::take_out): as many are in it as before.
    #[inline]
    pub(crate) fn put_in(&self, hash: u32, cell: u32) {
        let home = self.home(hash);
        if !self.groups()[home].take_in(hash, cell) {
            self.insert_beyond(home, hash, cell);
        }
    }

    #[cold]
    fn insert_beyond(&self, home: usize, hash: u32, cell: u32) {
        let mut index = home;
        for _ in 0..self.groups().len() {
            self.groups()[index].one_goes_on(class(hash));
            index = self.next(index);
            if self.groups()[index].take_in(hash, cell) {
                return;
            }
        }
        debug_assert!(false, "no room in the table");
    }

    /// The group and the place in it where a cell stands.
    fn place_of(&self, hash: u32, cell: u32) -> Option<(usize, usize)> {
        let mut index = self.home(hash);
        for _ in 0..self.groups().len() {
            let group = &self.groups()[index];
            if let Some(place) = group.place_of(tag(hash), cell) {
                return Some((index, place));
            }
            if !group.sends_on(class(hash)) {
                return None;
            }
            index = self.next(index);
        }
        None
    }

    /// Takes a cell out, and tells whether it was there.
    pub(crate) fn remove(&self, hash: u32, cell: u32) -> bool {
        let removed = self.take_out(hash, cell);
        if removed {
            self.count(u32::MAX);
        }
        removed
    }

    /// The same for a cell in whose stead another one is [put in](Self::put_in) at once.
    #[inline]
    pub(crate) fn take_out(&self, hash: u32, cell: u32) -> bool {
        let group = &self.groups()[self.home(hash)];
        match group.place_of(tag(hash), cell) {
            Some(place) => {
                group.set_tag(place, 0);
                true
            }
            None => self.remove_beyond(hash, cell),
        }
    }

    #[cold]
    fn remove_beyond(&self, hash: u32, cell: u32) -> bool {
        let Some((group, place)) = self.place_of(hash, cell) else { return false };
        self.groups()[group].set_tag(place, 0);
        let mut passed = self.home(hash);
        while passed != group {
            self.groups()[passed].one_goes_no_more(class(hash));
            passed = self.next(passed);
        }
        true
    }

    /// Puts another cell with the same hash in a cell's place; readers find the one or the other.
    #[inline]
    pub(crate) fn exchange(&self, hash: u32, cell: u32, with: u32) -> bool {
        let home = &self.groups()[self.home(hash)];
        match home.place_of(tag(hash), cell) {
            Some(place) => home.cells[place].store(with, Ordering::Release),
            None => return self.exchange_beyond(hash, cell, with),
        }
        true
    }

    #[cold]
    fn exchange_beyond(&self, hash: u32, cell: u32, with: u32) -> bool {
        let Some((group, place)) = self.place_of(hash, cell) else { return false };
        self.groups()[group].cells[place].store(with, Ordering::Release);
        true
    }

    /// All cells in the table, in no order.
    pub(crate) fn cells(&self) -> impl Iterator<Item = u32> {
        self.groups().iter().flat_map(|group| {
            let used = (0..WIDTH).filter(|place| group.tag(*place) != 0);
            used.map(|place| group.cells[place].load(Ordering::Relaxed))
        })
    }

    /// The cells that stand in this group or, having found it full, further on, each once: all that have it as
    /// their home, among others.
    pub(crate) fn cells_from(&self, home: usize) -> impl Iterator<Item = u32> {
        let mut go_on = true;
        let mut index = home;
        let groups = (0..self.groups().len()).map_while(move |_| {
            let group = go_on.then(|| &self.groups()[index])?;
            go_on = group.sends_any_on();
            index = self.next(index);
            Some(group)
        });
        groups.flat_map(|group| {
            let used = (0..WIDTH).filter(|place| group.tag(*place) != 0);
            used.map(|place| group.cells[place].load(Ordering::Relaxed))
        })
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// Random additions and removals, with hashes that collide in home and tag, against a plain map.
    #[test]
    fn what_is_added_is_found_until_it_is_taken_out() {
        for spread in [u32::MAX, 0xf, 0, 0xff00_0003] {
            let table = Table::with_room(500);
            let mut held: HashMap<u32, u32> = HashMap::new();
            let mut random = 7u64;
            for _ in 0..20_000 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let cell = (random >> 33) as u32 % 600;
                let hash = cell.wrapping_mul(0x9e37_79b9) & spread;
                if held.remove(&cell).is_some() {
                    assert!(table.remove(hash, cell));
                    assert!(!table.remove(hash, cell));
                } else if held.len() < table.room() {
                    table.insert(hash, cell);
                    held.insert(cell, hash);
                }
                assert_eq!(
                    table.find(hash, |other| (other == cell).then_some(())).is_some(),
                    held.contains_key(&cell)
                );
            }
            assert_eq!(table.len(), held.len());
            for (cell, hash) in &held {
                assert_eq!(table.find(*hash, |other| (other == *cell).then_some(other)), Some(*cell));
                assert!(table.cells_from(table.home(*hash)).any(|other| other == *cell));
            }
            for (cell, hash) in held {
                assert!(table.exchange(hash, cell, cell + 1000));
                assert!(table.remove(hash, cell + 1000));
            }
            assert_eq!(table.cells().count(), 0);
            let stuck = spread.count_ones() < 8;
            assert!(stuck || table.groups().iter().all(|group| !group.sends_any_on()));
        }
    }
}
