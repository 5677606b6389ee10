//! Which cell the policy means by a slot.
//!
//! Decision: a slot is the number of its cell until a value is replaced: the new value lives in another cell, and
//! the policy must not notice, so the two cells exchange their slots. Nothing is allocated before that.

use crate::slab::make_room;

#[derive(Default)]
pub(crate) struct Names {
    /// The slot of each cell; beyond the end, the cell's number.
    slots: Vec<u32>,
    /// The cell of each slot; beyond the end, the slot's number.
    cells: Vec<u32>,
}

impl Names {
    #[inline]
    pub(crate) fn slot(&self, cell: u32) -> u32 {
        self.slots.get(cell as usize).copied().unwrap_or(cell)
    }

    #[inline]
    pub(crate) fn cell(&self, slot: u32) -> u32 {
        self.cells.get(slot as usize).copied().unwrap_or(slot)
    }

    /// Gives each of two cells the other's slot.
    #[inline]
    pub(crate) fn exchange(&mut self, one: u32, other: u32) {
        if self.slots.len() <= one.max(other) as usize {
            self.reach(one.max(other));
        }
        self.slots.swap(one as usize, other as usize);
        self.cells[self.slots[one as usize] as usize] = one;
        self.cells[self.slots[other as usize] as usize] = other;
    }

    /// Writes down names that were their own until now, up to this one.
    #[cold]
    fn reach(&mut self, last: u32) {
        for next in self.slots.len() as u32..=last {
            for names in [&mut self.slots, &mut self.cells] {
                make_room(names);
                names.push(next);
            }
        }
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        (self.slots.capacity() + self.cells.capacity()) * size_of::<u32>()
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn cells_and_slots_stay_each_others_inverse() {
        let mut names = Names::default();
        for step in 0..1000u32 {
            let (one, other) = (step * 7 % 61, step * 13 % 61);
            let (before, after) = (names.slot(one), names.slot(other));
            names.exchange(one, other);
            assert_eq!((names.slot(other), names.slot(one)), (before, after));
            assert!((0..70).all(|cell| names.cell(names.slot(cell)) == cell));
        }
    }
}
