//! The two queues of the structure, each divided by size, so that what is large can leave earlier than what is small.
//!
//! Decision: an entry stands in the queue of its weight's octave, and each of those is first in, first out. How long
//! the oldest of one has stood there is told by Little's law, from how many stand in it and how many came in lately, so
//! it takes no memory an entry. Where all weigh the same, or sizes are not to matter, there is one queue and nothing
//! to compare.

use super::super::queues::Queues;
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

/// The queues of a shard.
#[derive(Debug)]
pub(super) struct Classes {
    queues: Queues<ALL>,
    arrivals: [Arrivals; 2],
    weights: [u64; 2],
    lens: [usize; 2],
    by_size: bool,
}

impl Classes {
    /// Whether sizes are told apart.
    pub(super) fn new(by_size: bool) -> Self {
        Classes {
            queues: Queues::default(),
            arrivals: [Arrivals::default(); 2],
            weights: [0; 2],
            lens: [0; 2],
            by_size,
        }
    }

    pub(super) fn push_head(&mut self, queue: usize, slot: u32, weight: u32) {
        self.unlink(slot);
        let octave = if self.by_size { octave(weight) } else { 0 };
        self.queues.push_head(queue * OCTAVES + octave, slot, weight);
        self.weights[queue] += u64::from(weight);
        self.lens[queue] += 1;
        self.arrivals[queue].add(octave, self.lens[queue]);
    }

    pub(super) fn unlink(&mut self, slot: u32) -> Option<u32> {
        let (place, weight) = self.queues.unlink(slot)?;
        let (queue, octave) = (place / OCTAVES, place % OCTAVES);
        self.weights[queue] -= u64::from(weight);
        self.lens[queue] -= 1;
        if self.queues.len(place) == 0 {
            self.arrivals[queue].emptied(octave);
        }
        Some(weight)
    }

    /// Moves an entry to the head of a queue.
    pub(super) fn promote(&mut self, queue: usize, slot: u32) {
        if let Some(weight) = self.unlink(slot) {
            self.push_head(queue, slot, weight);
        }
    }

    /// The entry keeps its place among others of its former size.
    pub(super) fn reweigh(&mut self, slot: u32, weight: u32) {
        if let Some(place) = self.queues.place(slot) {
            let before = self.queues.weight(place);
            self.queues.reweigh(slot, weight);
            let sum = &mut self.weights[place / OCTAVES];
            *sum = *sum + self.queues.weight(place) - before;
        }
    }

    /// The entry of a queue that has been there longest, for its size.
    #[inline]
    pub(super) fn tail(&self, queue: usize, preference: Preference) -> Option<u32> {
        let of = |octave| {
            let place = queue * OCTAVES + octave;
            (self.queues.len(place) as f32, self.queues.weight(place) as f32)
        };
        let octave = self.arrivals[queue].overdue(preference, of)?;
        self.queues.tail(queue * OCTAVES + octave)
    }

    /// What an entry that stands in a queue weighs.
    #[inline]
    pub(super) fn weight_of(&self, slot: u32) -> u32 {
        self.queues.weight_of(slot)
    }

    #[inline]
    pub(super) fn weight(&self, queue: usize) -> u64 {
        self.weights[queue]
    }

    #[inline]
    pub(super) fn total_weight(&self) -> u64 {
        self.weights[0] + self.weights[1]
    }

    #[inline]
    pub(super) fn total_len(&self) -> usize {
        self.lens[0] + self.lens[1]
    }

    pub(super) fn clear(&mut self) {
        *self = Classes::new(self.by_size);
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.queues.heap_bytes()
    }
}
