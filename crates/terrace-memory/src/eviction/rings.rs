//! Queues that are left in the order they were entered: rings of slots, without links.
//!
//! Decision: where an entry only ever leaves at the tail, a queue is the list of its slots in order, four bytes for each
//! instead of eight for two links. Entering and leaving touch the two ends, which stay in the processor's cache, and
//! no neighbour; and whoever wants to can look ahead at who will leave soon. An entry that is taken out of the middle
//! leaves its slot behind there, *stale*: a slot's stale places in a ring come before its live one, so their number says
//! which to pass over. When half as many are stale as are live, the rings are written anew.

use std::collections::{HashMap, VecDeque};

use super::queue::Weights;
use crate::slab::{NIL, cover};

/// Slots to a block; a ring grows and shrinks by blocks.
const BLOCK: usize = 256;
/// Emptied blocks that are kept for the next that is needed.
const SPARE: usize = 2;
/// So many may be stale whatever is live.
const LITTER: usize = 64;

type Block = Box<[u32; BLOCK]>;

/// Slots in order. Places are counted from the first that was ever entered.
#[derive(Debug)]
struct Ring {
    /// The slot at the tail; [`NIL`] if there is none. It is asked for several times for each that is taken out.
    first: u32,
    /// The block of the tail first.
    blocks: VecDeque<Block>,
    tail: usize,
    /// One past the head.
    end: usize,
    /// Live ones, and what they weigh.
    len: usize,
    weight: u64,
}

impl Default for Ring {
    fn default() -> Self {
        Ring { first: NIL, blocks: VecDeque::new(), tail: 0, end: 0, len: 0, weight: 0 }
    }
}

impl Ring {
    #[inline]
    fn first(&self) -> Option<u32> {
        (self.first != NIL).then_some(self.first)
    }

    /// The slot so many places before the tail.
    #[inline]
    fn at(&self, places: usize) -> Option<u32> {
        if self.end - self.tail <= places {
            return None;
        }
        let place = self.tail % BLOCK + places;
        self.blocks.get(place / BLOCK).map(|block| block[place % BLOCK])
    }

    #[inline]
    fn push(&mut self, slot: u32, spare: &mut Vec<Block>) {
        if self.end.is_multiple_of(BLOCK) {
            self.add_block(spare);
        }
        if self.tail == self.end {
            self.first = slot;
        }
        if let Some(block) = self.blocks.back_mut() {
            block[self.end % BLOCK] = slot;
            self.end += 1;
        }
    }

    #[cold]
    fn add_block(&mut self, spare: &mut Vec<Block>) {
        self.blocks.push_back(spare.pop().unwrap_or_else(|| Box::new([0; BLOCK])));
    }

    /// Takes out the place at the tail, of which there is one.
    #[inline]
    fn pop(&mut self, spare: &mut Vec<Block>) {
        self.tail += 1;
        if self.tail.is_multiple_of(BLOCK) {
            self.drop_block(spare);
        }
        self.first = match self.blocks.front() {
            Some(block) if self.tail != self.end => block[self.tail % BLOCK],
            _ => NIL,
        };
    }

    #[cold]
    fn drop_block(&mut self, spare: &mut Vec<Block>) {
        let block = self.blocks.pop_front();
        if spare.len() < SPARE {
            spare.extend(block);
        }
    }

    /// Takes out the place at the head, if it is this slot's and not also the tail.
    fn take_back(&mut self, slot: u32) -> bool {
        let places = self.end - self.tail;
        let own = places > 1 && self.at(places - 1) == Some(slot);
        if own {
            self.end -= 1;
            if self.end.is_multiple_of(BLOCK) {
                self.blocks.pop_back();
            }
        }
        own
    }
}

/// What is known of a slot: the ring it stands in and one more (0 for none), and its stale places in each ring.
#[derive(Clone, Copy, Debug, Default)]
struct Place(u8);

impl Place {
    const RING: u8 = 3;
    const STALE: u8 = 7;

    #[inline]
    fn ring(self) -> Option<usize> {
        usize::from(self.0 & Self::RING).checked_sub(1)
    }

    #[inline(always)]
    fn enter(&mut self, ring: usize) {
        self.0 = self.0 & !Self::RING | (ring as u8 + 1);
    }

    #[inline]
    fn leave(&mut self) {
        self.0 &= !Self::RING;
    }

    #[inline]
    fn stale(self, ring: usize) -> u8 {
        self.0 >> (2 + 3 * ring) & Self::STALE
    }

    /// One stale place more; `false` if they can be counted no further.
    fn litter(&mut self, ring: usize) -> bool {
        let more = self.stale(ring) < Self::STALE;
        self.0 += u8::from(more) << (2 + 3 * ring);
        more
    }

    fn tidy(&mut self, ring: usize) {
        self.0 -= 1 << (2 + 3 * ring);
    }
}

/// Two rings over one set of slots, named by their index.
#[derive(Debug, Default)]
pub(super) struct Rings {
    places: Vec<Place>,
    weights: Weights,
    rings: [Ring; 2],
    stale: usize,
    spare: Vec<Block>,
}

impl Rings {
    #[inline]
    fn ring_of(&self, slot: u32) -> Option<usize> {
        self.places.get(slot as usize).and_then(|place| place.ring())
    }

    /// Puts a slot that stands in no ring at the head of one.
    #[inline(always)]
    pub(super) fn push_head(&mut self, ring: usize, slot: u32, weight: u32) {
        cover(&mut self.places, slot);
        // A slot that is inserted twice without having left would be counted twice.
        if self.places[slot as usize].ring().is_some() {
            self.unlink_again(slot);
        }
        self.weights.set(slot, weight, self.places.len());
        self.enter(ring, slot, weight);
    }

    #[inline(always)]
    fn enter(&mut self, ring: usize, slot: u32, weight: u32) {
        self.places[slot as usize].enter(ring);
        let ring = &mut self.rings[ring];
        ring.push(slot, &mut self.spare);
        ring.len += 1;
        ring.weight += u64::from(weight);
    }

    /// Takes a slot out of its ring, if it stands in one, and returns that ring and the entry's weight.
    #[inline(always)]
    pub(super) fn unlink(&mut self, slot: u32) -> Option<(usize, u32)> {
        let place = self.places.get_mut(slot as usize)?;
        let index = place.ring()?;
        place.leave();
        let weight = self.weights.of(slot);
        let ring = self.rings.get_mut(index)?;
        ring.len -= 1;
        ring.weight -= u64::from(weight);
        // The tail is never stale.
        if ring.first == slot {
            ring.pop(&mut self.spare);
            if self.stale > 0 {
                self.trim(index);
            }
        } else {
            self.leave_the_middle(index, slot);
        }
        Some((index, weight))
    }

    #[cold]
    fn unlink_again(&mut self, slot: u32) {
        self.unlink(slot);
    }

    #[cold]
    fn leave_the_middle(&mut self, index: usize, slot: u32) {
        if !self.rings[index].take_back(slot) {
            self.leave_stale(index, slot);
        }
    }

    /// Drops what is stale at the tail, so that the tail is always live.
    #[cold]
    fn trim(&mut self, index: usize) {
        let ring = &mut self.rings[index];
        while let Some(slot) = ring.first()
            && let place = &mut self.places[slot as usize]
            && place.stale(index) > 0
        {
            place.tidy(index);
            self.stale -= 1;
            ring.pop(&mut self.spare);
        }
    }

    fn leave_stale(&mut self, index: usize, slot: u32) {
        if !self.places[slot as usize].litter(index) {
            self.rewrite(Some((index, slot)));
            return;
        }
        self.stale += 1;
        if self.stale > self.total_len() / 2 + LITTER {
            self.rewrite(None);
        }
    }

    /// Writes all rings anew without what is stale, and without the last place of one slot that could not be counted.
    fn rewrite(&mut self, uncounted: Option<(usize, u32)>) {
        for index in 0..self.rings.len() {
            let ring = &self.rings[index];
            let slots: Vec<u32> = (0..).map_while(|place| ring.at(place)).collect();
            let extra = uncounted.filter(|(of, _)| *of == index).map(|(_, slot)| slot);
            let last = extra.and_then(|extra| slots.iter().rposition(|slot| *slot == extra));
            let ring = &mut self.rings[index];
            (ring.first, ring.blocks, ring.tail, ring.end) = (NIL, VecDeque::new(), 0, 0);
            for (at, slot) in slots.into_iter().enumerate() {
                let place = &mut self.places[slot as usize];
                if place.stale(index) > 0 {
                    place.tidy(index);
                } else if last != Some(at) {
                    ring.push(slot, &mut self.spare);
                }
            }
        }
        self.stale = 0;
    }

    /// Moves a slot that stands in some ring to the head of this one.
    #[inline]
    pub(super) fn promote(&mut self, ring: usize, slot: u32) {
        if let Some((_, weight)) = self.unlink(slot) {
            self.enter(ring, slot, weight);
        }
    }

    pub(super) fn reweigh(&mut self, slot: u32, weight: u32) {
        if let Some(ring) = self.ring_of(slot) {
            let ring = &mut self.rings[ring];
            ring.weight = ring.weight - u64::from(self.weights.of(slot)) + u64::from(weight);
            self.weights.set(slot, weight, self.places.len());
        }
    }

    #[inline]
    pub(super) fn tail(&self, ring: usize) -> Option<u32> {
        self.rings[ring].first()
    }

    /// A slot that stands so many places before the tail, live or stale.
    #[inline]
    pub(super) fn before_tail(&self, ring: usize, places: usize) -> Option<u32> {
        self.rings.get(ring)?.at(places)
    }

    /// The entries of a ring, from its tail to its head.
    pub(super) fn oldest_first(&self, ring: usize) -> impl Iterator<Item = u32> + '_ {
        let mut passed: HashMap<u32, u8> = HashMap::new();
        let slots = (0..).map_while(move |place| self.rings[ring].at(place));
        slots.filter(move |slot| {
            let stale = self.places[*slot as usize].stale(ring);
            if stale == 0 {
                return true;
            }
            let passed = passed.entry(*slot).or_default();
            *passed += 1;
            *passed > stale
        })
    }

    /// What an entry weighs that stands in some ring.
    #[inline]
    pub(super) fn weight_of(&self, slot: u32) -> u32 {
        self.weights.of(slot)
    }

    #[inline]
    pub(super) fn weight(&self, ring: usize) -> u64 {
        self.rings[ring].weight
    }

    /// How many entries stand in all rings together.
    #[inline]
    pub(super) fn total_len(&self) -> usize {
        self.rings.iter().map(|ring| ring.len).sum()
    }

    /// What the entries of all rings weigh together.
    #[inline]
    pub(super) fn total_weight(&self) -> u64 {
        self.rings.iter().map(|ring| ring.weight).sum()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let blocks = self.rings.iter().map(|ring| ring.blocks.len()).sum::<usize>() + self.spare.len();
        let directories: usize = self.rings.iter().map(|ring| ring.blocks.capacity()).sum();
        blocks * size_of::<[u32; BLOCK]>()
            + directories * size_of::<Block>()
            + self.places.capacity()
            + self.weights.heap_bytes()
    }
}

#[cfg(test)]
mod tests;
