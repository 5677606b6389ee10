//! Storage with stable indices.
//!
//! Decision: an entry keeps its slot for as long as it lives, because the hash table, the policy and the timer
//! wheel all name entries by slot, and because a scan over slots then meets each entry exactly once. Slots of
//! removed entries are reused before the vector grows, and it grows by a quarter, which wastes less memory
//! than doubling.

/// The index of no slot.
pub(crate) const NIL: u32 = u32::MAX;

enum Slot<T> {
    Used(T),
    /// The next free slot, or [`NIL`].
    Free(u32),
}

pub(crate) struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: u32,
    len: usize,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab { slots: Vec::new(), free: NIL, len: 0 }
    }
}

impl<T> Slab<T> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// One more than the highest slot ever used.
    pub(crate) fn slots(&self) -> u32 {
        self.slots.len() as u32
    }

    /// Whether every index a slot may have is taken.
    pub(crate) fn is_full(&self) -> bool {
        self.free == NIL && self.slots.len() >= NIL as usize
    }

    #[inline]
    pub(crate) fn get(&self, slot: u32) -> Option<&T> {
        match self.slots.get(slot as usize) {
            Some(Slot::Used(item)) => Some(item),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        match self.slots.get_mut(slot as usize) {
            Some(Slot::Used(item)) => Some(item),
            _ => None,
        }
    }

    /// Stores the item and returns its slot. The caller has asked [`is_full`](Slab::is_full) first.
    pub(crate) fn insert(&mut self, item: T) -> u32 {
        self.len += 1;
        if self.free != NIL {
            let slot = self.free;
            if let Slot::Free(next) = std::mem::replace(&mut self.slots[slot as usize], Slot::Used(item)) {
                self.free = next;
            }
            return slot;
        }
        grow_by_a_quarter(&mut self.slots);
        self.slots.push(Slot::Used(item));
        (self.slots.len() - 1) as u32
    }

    pub(crate) fn remove(&mut self, slot: u32) -> Option<T> {
        let place = self.slots.get_mut(slot as usize)?;
        match std::mem::replace(place, Slot::Free(self.free)) {
            Slot::Used(item) => {
                self.free = slot;
                self.len -= 1;
                Some(item)
            }
            free @ Slot::Free(_) => {
                *place = free;
                None
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.slots.iter().enumerate().filter_map(|(slot, place)| match place {
            Slot::Used(item) => Some((slot as u32, item)),
            Slot::Free(_) => None,
        })
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot<T>>()
    }
}

/// Makes room for one more item, a quarter at a time once the vector is large.
pub(crate) fn grow_by_a_quarter<T>(items: &mut Vec<T>) {
    if items.len() == items.capacity() {
        items.reserve_exact((items.len() / 4).max(16));
    }
}

/// Lengthens a vector that runs parallel to a slab so that it has a place for `slot`.
pub(crate) fn cover<T: Default>(items: &mut Vec<T>, slot: u32) {
    while items.len() <= slot as usize {
        grow_by_a_quarter(items);
        items.push(T::default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_stable_and_reused() {
        let mut slab = Slab::default();
        let (a, b, c) = (slab.insert('a'), slab.insert('b'), slab.insert('c'));
        assert_eq!(slab.remove(b), Some('b'));
        assert_eq!(slab.remove(b), None);
        assert_eq!((slab.get(a), slab.get(b), slab.get(c)), (Some(&'a'), None, Some(&'c')));
        assert_eq!(slab.insert('d'), b);
        assert_eq!(slab.len(), 3);
        assert_eq!(slab.slots(), 3);
        let all: Vec<_> = slab.iter().map(|(slot, item)| (slot, *item)).collect();
        assert_eq!(all, [(a, 'a'), (b, 'd'), (c, 'c')]);
    }

    #[test]
    fn indices_beyond_the_end_hold_nothing() {
        let mut slab: Slab<u8> = Slab::default();
        assert_eq!(slab.get(7), None);
        assert_eq!(slab.remove(7), None);
    }
}
