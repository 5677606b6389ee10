//! How often keys were asked for lately: a count-min sketch of four-bit counters that are halved again and
//! again ("TinyLFU: a highly efficient cache admission policy", Einziger, Friedman and Manes, ACM ToS 2017).
//!
//! Decision: sixteen counters a word and two words for each entry held. Since nobody knows how many entries a
//! capacity in bytes will hold, the table grows with them: doubling it repeats it, because a word is chosen by
//! the low bits of a hash, so every count stays true. The paper's doorkeeper, a Bloom filter that takes each
//! key's first count, was tried and left out: with it W-TinyLFU with a window of a fifth closed .19 of the
//! distance from LRU to the optimum over ten public traces, without it .21.

/// A counter is chosen in this many words, one in each.
const ROWS: usize = 4;
/// Counters go up to this.
const MOST: u64 = 15;
/// Counts are halved after so many of them for each entry held.
const SAMPLE_TIMES: u64 = 10;
/// The lowest three bits of each counter, where the halved one has its place.
const HALVED: u64 = 0x7777_7777_7777_7777;
/// Words of the smallest table.
const LEAST_WORDS: usize = 256;
/// Words for each entry held.
const WORDS_AN_ENTRY: usize = 2;
/// The fewest entries a period is counted for.
const LEAST_ENTRIES: usize = 16;

#[derive(Debug)]
pub(super) struct Sketch {
    table: Vec<u64>,
    counted: u64,
}

impl Default for Sketch {
    fn default() -> Self {
        Sketch { table: vec![0; LEAST_WORDS], counted: 0 }
    }
}

impl Sketch {
    /// Grows the table for so many entries.
    pub(super) fn cover(&mut self, entries: usize) {
        while self.table.len() < entries.saturating_mul(WORDS_AN_ENTRY) {
            self.table.extend_from_within(..);
        }
    }

    /// Counts a request, and halves all counts if it was the last one of a period for so many entries.
    pub(super) fn count(&mut self, hash: u64, entries: usize) {
        for (word, shift) in self.counters(hash) {
            let counter = self.table[word] >> shift & MOST;
            self.table[word] += u64::from(counter < MOST) << shift;
        }
        self.counted += 1;
        if self.counted >= SAMPLE_TIMES * entries.max(LEAST_ENTRIES) as u64 {
            self.halve();
        }
    }

    /// About how often a key was asked for lately, up to fifteen times.
    pub(super) fn estimate(&self, hash: u64) -> u64 {
        let least = self.counters(hash).map(|(word, shift)| self.table[word] >> shift & MOST);
        least.into_iter().fold(MOST, u64::min)
    }

    fn halve(&mut self) {
        for word in &mut self.table {
            *word = *word >> 1 & HALVED;
        }
        self.counted /= 2;
    }

    /// The word and the shift of a key's counter in each row.
    fn counters(&self, hash: u64) -> [(usize, u32); ROWS] {
        let mask = self.table.len() as u64 - 1;
        let step = (hash >> 32) | 1;
        // Four words, and in each a quarter of its own, so that two keys rarely share more than one.
        std::array::from_fn(|row| {
            let mixed = hash.wrapping_add(step.wrapping_mul(row as u64 + 1));
            let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            ((mixed >> 16 & mask) as usize, ((mixed >> 60 & 3) * 4 + row as u64) as u32 * 4)
        })
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.table.capacity() * size_of::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::super::chance::Chance;
    use super::*;

    #[test]
    fn counts_are_at_least_true_and_rarely_more() {
        let (mut sketch, mut chance) = (Sketch::default(), Chance::new(7));
        let entries = 1000;
        sketch.cover(entries);
        let keys: Vec<u64> = (0..1000).map(|_| chance.next()).collect();
        for (place, key) in keys.iter().enumerate() {
            for _ in 0..place % 9 {
                sketch.count(*key, entries);
            }
        }
        let over = keys.iter().enumerate().filter(|(place, key)| {
            let (true_count, estimate) = ((*place % 9) as u64, sketch.estimate(**key));
            assert!(estimate >= true_count, "{estimate} of {true_count}");
            estimate > true_count
        });
        assert!(over.count() < 50);
    }

    #[test]
    fn growing_keeps_every_count() {
        let (mut sketch, mut chance) = (Sketch::default(), Chance::new(9));
        let keys: Vec<u64> = (0..40).map(|_| chance.next()).collect();
        for key in &keys {
            for _ in 0..3 {
                sketch.count(*key, 1000);
            }
        }
        let before: Vec<u64> = keys.iter().map(|key| sketch.estimate(*key)).collect();
        sketch.cover(5000);
        assert_eq!(keys.iter().map(|key| sketch.estimate(*key)).collect::<Vec<_>>(), before);
        assert_eq!(sketch.table.len(), 16_384);
    }

    #[test]
    fn counts_halve_after_ten_requests_an_entry() {
        let mut sketch = Sketch::default();
        for _ in 0..159 {
            sketch.count(42, 16);
        }
        assert_eq!(sketch.estimate(42), 15);
        sketch.count(42, 16);
        assert_eq!((sketch.estimate(42), sketch.counted), (7, 80));
    }
}
