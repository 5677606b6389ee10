//! The two queues of the structure, each divided by size, so that what is large can leave earlier than what is small.
//!
//! Decision: an entry stands in the queue of its weight's octave, and each of those is first in, first out. How long
//! the oldest of one has stood there is told by Little's law, from how many stand in it and how many came in lately, so
//! it takes no memory an entry. Until sizes are to matter there is one ring for each, and nothing to compare.

use super::super::queues::Queues;
use super::super::rings::Rings;
use super::rules::Preference;

/// Octaves of a weight.
pub(super) const OCTAVES: usize = 32;
/// Those of the window, then those of main.
const ALL: usize = 2 * OCTAVES;

/// How many came into each octave's queue lately.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrivals {
    counts: [f32; OCTAVES],
    sum: f32,
    /// A bit for each octave that holds anything.
    occupied: u32,
}

impl Default for Arrivals {
    fn default() -> Self {
        Arrivals { counts: [0.0; OCTAVES], sum: 0.0, occupied: 0 }
    }
}

impl Arrivals {
    /// An entry came into this octave; `len` stand in all of them.
    #[inline]
    pub(super) fn add(&mut self, octave: usize, len: usize) {
        self.occupied |= 1 << octave;
        self.counts[octave] += 1.0;
        self.sum += 1.0;
        // About as many as there are entries are remembered.
        if self.sum > (2 * len + 16) as f32 {
            self.counts.iter_mut().for_each(|count| *count /= 2.0);
            self.sum /= 2.0;
        }
    }

    /// Nothing stands in this octave any more.
    #[inline]
    pub(super) fn emptied(&mut self, octave: usize) {
        self.occupied &= !(1 << octave);
    }

    /// The octave whose oldest entry has stayed longest for its size; `of` tells an octave's entries and weight.
    #[inline]
    pub(super) fn overdue(&self, preference: Preference, of: impl Fn(usize) -> (f32, f32)) -> Option<usize> {
        if self.occupied & self.occupied.wrapping_sub(1) == 0 {
            return (self.occupied != 0).then(|| self.occupied.trailing_zeros() as usize);
        }
        let (mut left, mut most, mut found) = (self.occupied, -1.0, 0);
        while left != 0 {
            let octave = left.trailing_zeros() as usize;
            left &= left - 1;
            let (len, weight) = of(octave);
            // The time spent is len / arrivals, the average size weight / len.
            let stay = match preference {
                Preference::None => len,
                Preference::Root => (len * weight).sqrt(),
                Preference::Full => weight,
            };
            let stay = stay / self.counts[octave].max(1e-6);
            if stay > most {
                (most, found) = (stay, octave);
            }
        }
        Some(found)
    }
}

/// The octave of a weight.
#[inline]
pub(super) fn octave(weight: u32) -> usize {
    weight.max(1).ilog2() as usize
}

/// The queues of a shard: two rings until sizes are to matter, and a queue an octave from then on. What the rings hold
/// by then is older than anything that comes later and leaves first, so nothing has to be moved.
#[derive(Debug, Default)]
pub(super) struct Classes {
    rings: Rings,
    by_size: Option<Box<BySize>>,
}

impl Classes {
    /// What comes in from now on may be told apart by size.
    #[inline]
    pub(super) fn tell_sizes_apart(&mut self, apart: bool) {
        if apart && self.by_size.is_none() {
            self.by_size = Some(Box::default());
        }
    }

    #[inline(always)]
    pub(super) fn push_head(&mut self, queue: usize, slot: u32, weight: u32) {
        if self.by_size.is_none() {
            self.rings.push_head(queue, slot, weight);
        } else {
            self.push_by_size(queue, slot, weight);
        }
    }

    #[inline(never)]
    fn push_by_size(&mut self, queue: usize, slot: u32, weight: u32) {
        self.rings.unlink(slot);
        if let Some(by_size) = &mut self.by_size {
            by_size.push_head(queue, slot, weight);
        }
    }

    /// Takes an entry out of its queue, and returns its weight.
    #[inline(always)]
    pub(super) fn unlink(&mut self, slot: u32) -> Option<u32> {
        match self.rings.unlink(slot) {
            Some((_, weight)) => Some(weight),
            None => self.unlink_by_size(slot),
        }
    }

    #[inline(never)]
    fn unlink_by_size(&mut self, slot: u32) -> Option<u32> {
        self.by_size.as_mut()?.unlink(slot)
    }

    /// Moves an entry to the head of a queue.
    #[inline]
    pub(super) fn promote(&mut self, queue: usize, slot: u32) {
        match &mut self.by_size {
            None => self.rings.promote(queue, slot),
            Some(_) => {
                if let Some(weight) = self.unlink(slot) {
                    self.push_head(queue, slot, weight);
                }
            }
        }
    }

    /// The entry keeps its place among others of its former size.
    pub(super) fn reweigh(&mut self, slot: u32, weight: u32) {
        self.rings.reweigh(slot, weight);
        if let Some(by_size) = &mut self.by_size {
            by_size.reweigh(slot, weight);
        }
    }

    /// The entry of a queue that has been there longest, for its size.
    #[inline]
    pub(super) fn tail(&self, queue: usize, preference: Preference) -> Option<u32> {
        match (&self.by_size, self.rings.tail(queue)) {
            (Some(by_size), None) => by_size.tail(queue, preference),
            (_, slot) => slot,
        }
    }

    /// The entries of a queue, about in the order in which they would leave.
    pub(super) fn oldest_first(&self, queue: usize) -> impl Iterator<Item = u32> + '_ {
        let by_size = self.by_size.as_ref().map(|by_size| by_size.oldest_first(queue));
        self.rings.oldest_first(queue).chain(by_size.unwrap_or_default())
    }

    /// An entry that leaves a queue so many entries later, as long as that needs no search.
    #[inline]
    pub(super) fn before_tail(&self, queue: usize, later: usize) -> Option<u32> {
        self.rings.before_tail(queue, later)
    }

    /// What an entry that stands in a queue weighs.
    pub(super) fn weight_of(&self, slot: u32) -> u32 {
        let by_size = self.by_size.as_ref();
        by_size.and_then(|by_size| by_size.weight_of(slot)).unwrap_or_else(|| self.rings.weight_of(slot))
    }

    #[inline]
    pub(super) fn weight(&self, queue: usize) -> u64 {
        self.rings.weight(queue) + self.by_size.as_ref().map_or(0, |by_size| by_size.weights[queue])
    }

    #[inline]
    pub(super) fn total_weight(&self) -> u64 {
        self.rings.total_weight() + self.by_size.as_ref().map_or(0, |by_size| by_size.weights.iter().sum())
    }

    #[inline]
    pub(super) fn total_len(&self) -> usize {
        self.rings.total_len() + self.by_size.as_ref().map_or(0, |by_size| by_size.lens.iter().sum())
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let by_size = self.by_size.as_ref();
        self.rings.heap_bytes()
            + by_size.map_or(0, |by_size| size_of::<BySize>() + by_size.queues.heap_bytes())
    }
}

/// A queue for each octave of the window, then of main.
#[derive(Debug, Default)]
struct BySize {
    queues: Queues<ALL>,
    arrivals: [Arrivals; 2],
    weights: [u64; 2],
    lens: [usize; 2],
}

impl BySize {
    fn push_head(&mut self, queue: usize, slot: u32, weight: u32) {
        self.unlink(slot);
        let octave = octave(weight);
        self.queues.push_head(queue * OCTAVES + octave, slot, weight);
        self.weights[queue] += u64::from(weight);
        self.lens[queue] += 1;
        self.arrivals[queue].add(octave, self.lens[queue]);
    }

    fn unlink(&mut self, slot: u32) -> Option<u32> {
        let (place, weight) = self.queues.unlink(slot)?;
        let (queue, octave) = (place / OCTAVES, place % OCTAVES);
        self.weights[queue] -= u64::from(weight);
        self.lens[queue] -= 1;
        if self.queues.len(place) == 0 {
            self.arrivals[queue].emptied(octave);
        }
        Some(weight)
    }

    fn reweigh(&mut self, slot: u32, weight: u32) {
        if let Some(place) = self.queues.place(slot) {
            let before = self.queues.weight(place);
            self.queues.reweigh(slot, weight);
            let sum = &mut self.weights[place / OCTAVES];
            *sum = *sum + self.queues.weight(place) - before;
        }
    }

    fn tail(&self, queue: usize, preference: Preference) -> Option<u32> {
        let of = |octave| {
            let place = queue * OCTAVES + octave;
            (self.queues.len(place) as f32, self.queues.weight(place) as f32)
        };
        let octave = self.arrivals[queue].overdue(preference, of)?;
        self.queues.tail(queue * OCTAVES + octave)
    }

    /// Octaves empty side by side, so what stands equally far into its own leaves at about the same time.
    fn oldest_first(&self, queue: usize) -> Vec<u32> {
        let mut all: Vec<(f32, u32)> = Vec::with_capacity(self.lens[queue]);
        for place in queue * OCTAVES..(queue + 1) * OCTAVES {
            let len = self.queues.len(place).max(1) as f32;
            let slots = self.queues.oldest_first(place).enumerate();
            all.extend(slots.map(|(at, slot)| (at as f32 / len, slot)));
        }
        all.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        all.into_iter().map(|(_, slot)| slot).collect()
    }

    fn weight_of(&self, slot: u32) -> Option<u32> {
        self.queues.place(slot).map(|_| self.queues.weight_of(slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leave(classes: &mut Classes, preference: Preference) -> Vec<u32> {
        let next = |classes: &mut Classes| {
            let slot = classes.tail(0, preference)?;
            classes.unlink(slot).map(|_| slot)
        };
        std::iter::from_fn(|| next(classes)).collect()
    }

    #[test]
    fn what_is_large_leaves_earlier_only_where_that_is_preferred() {
        let mut classes = Classes::default();
        classes.tell_sizes_apart(true);
        let fill = |classes: &mut Classes| {
            for slot in 0..100 {
                classes.push_head(0, slot, if slot % 2 == 0 { 10 } else { 640 });
            }
        };
        fill(&mut classes);
        let order = leave(&mut classes, Preference::Full);
        assert!(order[..48].iter().all(|slot| slot % 2 == 1), "{order:?}");
        assert!(order[50..].is_sorted(), "{order:?}");
        fill(&mut classes);
        let order = leave(&mut classes, Preference::None);
        let large_first = order[..50].iter().filter(|slot| *slot % 2 == 1).count();
        assert!((20..=30).contains(&large_first), "{order:?}");
        assert_eq!((classes.total_len(), classes.total_weight()), (0, 0));
    }

    #[test]
    fn what_came_before_sizes_were_told_apart_leaves_first_and_the_books_balance() {
        let mut classes = Classes::default();
        for slot in 0..10 {
            classes.push_head(0, slot, 1 + slot);
        }
        classes.tell_sizes_apart(true);
        for slot in 10..20 {
            classes.push_head(0, slot, 1000);
        }
        classes.promote(1, 0);
        classes.reweigh(1, 500);
        classes.reweigh(10, 7);
        assert_eq!((classes.weight_of(1), classes.weight_of(10), classes.weight_of(0)), (500, 7, 1));
        assert_eq!((classes.weight(0), classes.weight(1)), (500 + 52 + 9007, 1));
        assert_eq!((classes.total_len(), classes.total_weight()), (20, 9560));
        assert_eq!(leave(&mut classes, Preference::Full)[..9], [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }
}
