//! Which keys left not long ago, how long ago, and how often they had been asked for: 2 bytes each.
//!
//! Decision: a table of buckets of eight 16-bit words: nine bits of the key's hash beside the bucket's number,
//! three for the frequency, four for the time of leaving. One key in sixty is taken for another one; that costs an
//! entry a better place than it deserves. Where the table is smaller than the history it should hold, the
//! oldest in a bucket give way, so memory is bounded and only the far end of the history suffers.
//!
//! A bucket is a queue: a key that left is shifted in at its low end, and what is shifted out at the other is the one that
//! left longest ago. So remembering looks for nothing; only asking for a key compares words, four at a time, as lanes of
//! a wider one.

/// Ghosts' ages are told in this many parts of a turn.
pub(super) const TURN: u8 = 4;
/// The longest history any rule looks at, in turns.
const TURNS: u8 = 3;
/// Generations: the oldest that counts, the one being written, and a margin for the sweep.
const GENERATIONS: u16 = 15;
const WAYS: usize = 8;
/// After so many ghosts that came in so many buckets are swept: enough to visit the whole table in one and a half
/// generations. A generation that is over has two of them.
const SWEEP_EVERY: u8 = 8;
const SWEEP: usize = 12;

/// Eight words, in lanes of sixteen bits, the youngest lowest.
type Bucket = [u64; 2];
/// Bits of a word.
const WORD: u32 = 16;
/// One in every lane.
const ONES: u64 = 0x0001_0001_0001_0001;
/// The highest bit of every lane.
const HIGHS: u64 = ONES << 15;

/// The highest bit of every lane that is not zero.
#[inline]
fn not_zero(lanes: u64) -> u64 {
    // No sum leaves its lane.
    (((lanes & !HIGHS) + (HIGHS - ONES)) | lanes) & HIGHS
}

/// All bits of the lanes whose highest bit is set.
#[inline]
fn whole(highs: u64) -> u64 {
    (highs << 1).wrapping_sub(highs >> 15)
}

/// What is left of four words, without the lowest of those lanes.
#[inline]
fn without_first(words: u64, highs: u64) -> u64 {
    let below = (1 << (highs.trailing_zeros() + 1 - WORD)) - 1;
    words & below | words >> WORD & !below
}

/// A key that is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ghost {
    /// Parts of a turn since it left.
    pub(super) age: u8,
    pub(super) frequency: u8,
}

#[derive(Debug, Default)]
pub(super) struct Ghosts {
    buckets: Vec<Bucket>,
    /// 1 to [`GENERATIONS`]; 0 marks an empty word.
    generation: u16,
    /// What may still leave before the next generation begins, in weight.
    left: u64,
    hand: usize,
    /// Ghosts that may come in before the next sweep.
    pause: u8,
}

const FREQUENCIES: [u8; 8] = [0, 1, 2, 3, 4, 6, 9, 13];

/// The code of each frequency: the place of the last that is not above it.
const CODES: [u16; 16] = {
    let mut codes = [0; 16];
    let mut frequency = 0;
    while frequency < codes.len() {
        let mut code = 0;
        while code + 1 < FREQUENCIES.len() && FREQUENCIES[code + 1] as usize <= frequency {
            code += 1;
        }
        codes[frequency] = code as u16;
        frequency += 1;
    }
    codes
};

impl Ghosts {
    /// Makes the table fit a history of `TURNS` times as many entries, within `most_bytes`. What it remembered is
    /// lost if its size changes, which happens while a cache fills and nothing has left yet.
    pub(super) fn fit(&mut self, entries: usize, most_bytes: usize) {
        let wanted = entries.saturating_mul(usize::from(TURNS)).saturating_mul(5) / 4;
        let buckets = wanted.min(most_bytes / 2).max(WAYS).div_ceil(WAYS);
        // Small changes of the number of entries are no reason to forget.
        let present = self.buckets.len();
        if buckets > present + present / 2 || buckets < present / 4 {
            *self = Ghosts { buckets: vec![[0; 2]; buckets], generation: 1, ..Ghosts::default() };
        }
    }

    #[inline]
    fn place(&self, hash: u32) -> (usize, u16) {
        // The high part of the product picks the bucket, what is left of it tells keys in the bucket apart.
        let product = u64::from(hash) * self.buckets.len() as u64;
        ((product >> 32) as usize, ((product as u32).wrapping_mul(0x9e37_79b1) >> 23) as u16)
    }

    /// How many parts of a turn ago this was written.
    #[inline]
    fn age(&self, word: u16) -> u8 {
        let written = word & 15;
        let wrapped = if written > self.generation { GENERATIONS } else { 0 };
        (self.generation + wrapped - written) as u8
    }

    /// The highest bits of those lanes of a bucket that hold this tag.
    #[inline]
    fn matching(bucket: Bucket, tag: u16) -> Bucket {
        let tags = ONES * (u64::from(tag) << 7);
        // Tag zero is no empty word.
        bucket.map(|words| !not_zero((words ^ tags) & (ONES * 0xff80)) & not_zero(words))
    }

    /// Remembers a key that left. `turn` is the weight of all entries.
    #[inline]
    pub(super) fn remember(&mut self, hash: u32, frequency: u8, weight: u32, turn: u64) {
        self.pass(u64::from(weight), turn);
        match self.pause.checked_sub(1) {
            Some(left) => self.pause = left,
            None => self.sweep(),
        }
        let (at, tag) = self.place(hash);
        let fresh = tag << 7 | CODES[usize::from(frequency) & 15] << 4 | self.generation;
        if let Some([low, high]) = self.buckets.get_mut(at) {
            *high = *high << WORD | *low >> (u64::BITS - WORD);
            *low = *low << WORD | u64::from(fresh);
        }
    }

    /// Asks for a key, and forgets it.
    #[inline]
    pub(super) fn recall(&mut self, hash: u32) -> Option<Ghost> {
        let (at, tag) = self.place(hash);
        let bucket = *self.buckets.get(at)?;
        let found = Self::matching(bucket, tag);
        if found == [0, 0] { None } else { self.take(at, found) }
    }

    /// Takes the youngest of those out of a bucket; the older ones move up.
    fn take(&mut self, at: usize, found: Bucket) -> Option<Ghost> {
        let [low, high] = self.buckets.get_mut(at)?;
        let half = if found[0] != 0 { (*low, found[0]) } else { (*high, found[1]) };
        let word = (half.0 >> (half.1.trailing_zeros() + 1 - WORD)) as u16;
        if found[0] != 0 {
            *low = without_first(*low, found[0]) | *high << (u64::BITS - WORD);
            *high >>= WORD;
        } else {
            *high = without_first(*high, found[1]);
        }
        let (age, frequency) = (self.age(word), FREQUENCIES[usize::from(word >> 4 & 7)]);
        (age <= TURN * TURNS).then_some(Ghost { age, frequency })
    }

    #[inline]
    fn pass(&mut self, weight: u64, turn: u64) {
        match self.left.checked_sub(weight.max(1)) {
            Some(left) => self.left = left,
            None => {
                self.generation = self.generation % GENERATIONS + 1;
                self.left = (turn / u64::from(TURN)).saturating_sub(1);
            }
        }
    }

    /// Empties words whose generation is about to come round again.
    #[cold]
    fn sweep(&mut self) {
        self.pause = SWEEP_EVERY - 1;
        const {
            assert!(
                GENERATIONS as u8 - 1 == TURN * TURNS + 2,
                "the two generations before the next are over"
            );
        }
        let next = self.generation % GENERATIONS + 1;
        let [next, one_later] = [next, next % GENERATIONS + 1].map(|generation| ONES * u64::from(generation));
        let end = (self.hand + SWEEP).min(self.buckets.len());
        for words in self.buckets[self.hand..end].as_flattened_mut() {
            let written = *words & (ONES * 15);
            *words &= whole(not_zero(written ^ next) & not_zero(written ^ one_later));
        }
        self.hand = if end == self.buckets.len() { 0 } else { end };
    }

    pub(super) fn clear(&mut self) {
        *self = Ghosts::default();
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.buckets.capacity() * size_of::<Bucket>()
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
