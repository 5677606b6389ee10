//! Which keys left not long ago, how long ago, and how often they had been asked for: 2 bytes each.
//!
//! Decision: a table of buckets of eight 16-bit words: nine bits of the key's hash beside the bucket's number,
//! three for the frequency, four for the time of leaving. One key in sixty is taken for another one; that costs an
//! entry a better place than it deserves. Where the table is smaller than the history it should hold, the
//! oldest in a bucket give way, so memory is bounded and only the far end of the history suffers.

/// Ghosts' ages are told in this many parts of a turn.
pub(super) const TURN: u8 = 4;
/// The longest history any rule looks at, in turns.
const TURNS: u8 = 3;
/// Generations: the oldest that counts, the one being written, and a margin for the sweep.
const GENERATIONS: u16 = 15;
const WAYS: usize = 8;
/// Words swept per ghost that comes in: enough to visit the whole table while a generation lasts.
const SWEEP: usize = 20;

/// A key that is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ghost {
    /// Parts of a turn since it left.
    pub(super) age: u8,
    pub(super) frequency: u8,
}

#[derive(Debug, Default)]
pub(super) struct Ghosts {
    words: Vec<u16>,
    /// 1 to [`GENERATIONS`]; 0 marks an empty word.
    generation: u16,
    /// How many parts of a turn ago each generation was written; by the low bits of a word, so that the empty one
    /// counts as the oldest of all.
    ages: [u8; 16],
    /// What may still leave before the next generation begins, in weight.
    left: u64,
    hand: usize,
}

const FREQUENCIES: [u8; 8] = [0, 1, 2, 3, 4, 6, 9, 13];

impl Ghosts {
    /// Makes the table fit a history of `TURNS` times as many entries, within `most_bytes`. What it remembered is
    /// lost if its size changes, which happens while a cache fills and nothing has left yet.
    pub(super) fn fit(&mut self, entries: usize, most_bytes: usize) {
        let wanted = entries.saturating_mul(usize::from(TURNS)).saturating_mul(5) / 4;
        let words = wanted.min(most_bytes / 2).max(WAYS).div_ceil(WAYS) * WAYS;
        // Small changes of the number of entries are no reason to forget.
        if words > self.words.len() + self.words.len() / 2 || words < self.words.len() / 4 {
            *self = Ghosts { words: vec![0; words], ..Ghosts::default() };
            self.begin(1);
        }
    }

    fn begin(&mut self, generation: u16) {
        self.generation = generation;
        self.ages = std::array::from_fn(|written| match written as u16 {
            0 => u8::MAX,
            written => ((generation + GENERATIONS - written) % GENERATIONS) as u8,
        });
    }

    fn place(&self, hash: u32) -> (usize, u16) {
        let buckets = (self.words.len() / WAYS) as u64;
        // The high part of the product picks the bucket, what is left of it tells keys in the bucket apart.
        let product = u64::from(hash) * buckets;
        let bucket = (product >> 32) as usize;
        (bucket * WAYS, ((product as u32).wrapping_mul(0x9e37_79b1) >> 23) as u16)
    }

    #[inline]
    fn age(&self, word: u16) -> u8 {
        self.ages[usize::from(word & 15)]
    }

    /// Remembers a key that left. `turn` is the weight of all entries.
    pub(super) fn remember(&mut self, hash: u32, frequency: u8, weight: u32, turn: u64) {
        if self.words.is_empty() {
            return;
        }
        self.pass(u64::from(weight), turn);
        self.sweep();
        let (at, tag) = self.place(hash);
        let code = FREQUENCIES.iter().rposition(|least| frequency >= *least).unwrap_or(0) as u16;
        let fresh = tag << 7 | code << 4 | self.generation;
        let bucket = &self.words[at..at + WAYS];
        let same = bucket.iter().position(|word| *word != 0 && word >> 7 == tag);
        // Among equals another way each time, or a small table would never let go of its first ghosts.
        let turned = (0..WAYS).map(|way| (way + self.left as usize) % WAYS);
        let way = same.or_else(|| turned.max_by_key(|way| self.age(bucket[*way]))).unwrap_or(0);
        self.words[at + way] = fresh;
    }

    /// Asks for a key, and forgets it.
    pub(super) fn recall(&mut self, hash: u32) -> Option<Ghost> {
        if self.words.is_empty() {
            return None;
        }
        let (at, tag) = self.place(hash);
        let way = (at..at + WAYS).find(|way| self.words[*way] != 0 && self.words[*way] >> 7 == tag)?;
        let word = std::mem::take(&mut self.words[way]);
        let age = self.age(word);
        let frequency = FREQUENCIES[usize::from(word >> 4 & 7)];
        (age <= TURN * TURNS).then_some(Ghost { age, frequency })
    }

    fn pass(&mut self, weight: u64, turn: u64) {
        match self.left.checked_sub(weight.max(1)) {
            Some(left) => self.left = left,
            None => {
                self.begin(self.generation % GENERATIONS + 1);
                self.left = (turn / u64::from(TURN)).saturating_sub(1);
            }
        }
    }

    /// Empties words whose generation is about to come round again.
    fn sweep(&mut self) {
        // A bit for each generation that counts no longer; an empty word is left as it is.
        let over = (1..=GENERATIONS).filter(|written| self.ages[usize::from(*written)] > TURN * TURNS);
        let over = over.fold(0u16, |bits, written| bits | 1 << written);
        let end = (self.hand + SWEEP).min(self.words.len());
        for word in &mut self.words[self.hand..end] {
            let kept = over >> (*word & 15) & 1 == 0;
            *word = if kept { *word } else { 0 };
        }
        self.hand = if end == self.words.len() { 0 } else { end };
    }

    pub(super) fn clear(&mut self) {
        *self = Ghosts::default();
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.words.capacity() * size_of::<u16>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(number: u32) -> u32 {
        number.wrapping_mul(0x9e37_79b1).rotate_left(13).wrapping_mul(0x85eb_ca6b)
    }

    #[test]
    fn ghosts_tell_how_long_ago_they_left_and_how_often_they_were_asked_for() {
        let mut ghosts = Ghosts::default();
        ghosts.fit(1000, 1 << 20);
        for number in 0..4000 {
            ghosts.remember(spread(number), (number % 16) as u8, 1, 1000);
        }
        let recent = ghosts.recall(spread(3999)).expect("it has just left");
        assert_eq!((recent.age, recent.frequency), (0, 13));
        assert_eq!(ghosts.recall(spread(3999)), None, "asking forgets");
        let older = ghosts.recall(spread(2010)).expect("two turns ago");
        assert!((7..=8).contains(&older.age), "{older:?}");
        let ancient = (0..700).filter(|number| ghosts.recall(spread(*number)).is_some()).count();
        assert!(ancient < 100, "{ancient} of 700 that left more than three turns ago");
    }

    #[test]
    fn few_strangers_are_taken_for_ghosts() {
        let mut ghosts = Ghosts::default();
        ghosts.fit(1000, 1 << 20);
        for number in 0..3000 {
            ghosts.remember(spread(number), 1, 1, 1000);
        }
        let known = (0..3000).filter(|number| ghosts.recall(spread(*number)).is_some()).count();
        assert!(known > 2500, "{known} of 3000");
        let strangers = (10_000..20_000).filter(|number| ghosts.recall(spread(*number)).is_some()).count();
        assert!(strangers < 150, "{strangers} of 10000");
    }

    #[test]
    fn the_table_stays_within_its_bytes() {
        let mut ghosts = Ghosts::default();
        ghosts.fit(1_000_000, 4096);
        for number in 0..100_000 {
            ghosts.remember(spread(number), 1, 1, 1_000_000);
        }
        assert!(ghosts.heap_bytes() <= 4096);
        assert!((99_000..100_000).filter(|number| ghosts.recall(spread(*number)).is_some()).count() > 600);
    }
}
