//! The slots that hold entries, in a dense list, so that one of them can be drawn at random in constant time.

use super::chance::Chance;
use crate::slab::{cover, make_room};

#[derive(Debug, Default)]
pub(super) struct Members {
    /// In no order.
    list: Vec<u32>,
    /// One more than each slot's place in the list; 0 for a slot that is not in it.
    places: Vec<u32>,
}

impl Members {
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn contains(&self, slot: u32) -> bool {
        self.places.get(slot as usize).is_some_and(|place| *place != 0)
    }

    pub(super) fn insert(&mut self, slot: u32) {
        if self.contains(slot) {
            return;
        }
        cover(&mut self.places, slot);
        make_room(&mut self.list);
        self.list.push(slot);
        self.places[slot as usize] = self.list.len() as u32;
    }

    pub(super) fn remove(&mut self, slot: u32) {
        if !self.contains(slot) {
            return;
        }
        let place = std::mem::take(&mut self.places[slot as usize]);
        self.list.swap_remove(place as usize - 1);
        if let Some(moved) = self.list.get(place as usize - 1) {
            self.places[*moved as usize] = place;
        }
    }

    /// Any of them, each with the same probability.
    pub(super) fn draw(&self, chance: &mut Chance) -> Option<u32> {
        self.list.get(chance.below(self.list.len())).copied()
    }

    /// All of them, in no order.
    pub(super) fn all(&self) -> &[u32] {
        &self.list
    }

    pub(super) fn heap_bytes(&self) -> usize {
        (self.list.capacity() + self.places.capacity()) * size_of::<u32>()
    }
}
