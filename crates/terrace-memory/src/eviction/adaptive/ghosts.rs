//! Which keys left not long ago, how long ago, and how often they had been asked for: 2 bytes each.
//!
//! Decision: a table of buckets of eight 16-bit words: nine bits of the key's hash beside the bucket's number,
//! three for the frequency, four for the time of leaving. One key in sixty is taken for another one; that costs an
//! entry a better place than it deserves. Where the table is smaller than the history it should hold, the
//! oldest in a bucket give way, so memory is bounded and only the far end of the history suffers.
//!
//! The words of a bucket are looked at four at a time, as lanes of a wider word: an eviction remembers one key and an
//! insert asks for one, so looking at eight words one after another was three tenths of what both cost.

/// Ghosts' ages are told in this many parts of a turn.
pub(super) const TURN: u8 = 4;
/// The longest history any rule looks at, in turns.
const TURNS: u8 = 3;
/// Generations: the oldest that counts, the one being written, and a margin for the sweep.
const GENERATIONS: u16 = 15;
const WAYS: usize = 8;
/// After so many ghosts that came in so many buckets are swept: enough to visit the whole table while a generation
/// lasts. A generation that is over has two of them.
const SWEEP_EVERY: u8 = 8;
const SWEEP: usize = 16;

/// Eight words, in lanes of sixteen bits, the first lowest.
type Bucket = [u64; 2];
const LANES: usize = WAYS / 2;
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

/// The higher of each two lanes, none of which has its highest bit set.
#[inline]
fn higher(one: u64, other: u64) -> u64 {
    let kept = ((one | HIGHS).wrapping_sub(other) >> 15 & ONES) * 0xffff;
    one & kept | other & !kept
}

/// The lane of the lowest bit that is set.
#[inline]
fn first_lane(bits: u64) -> usize {
    bits.trailing_zeros() as usize / 16
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
    /// The number of entries and the bytes the table was last found to fit.
    fits: (usize, usize),
    /// 1 to [`GENERATIONS`]; 0 marks an empty word.
    generation: u16,
    /// What may still leave before the next generation begins, in weight.
    left: u64,
    hand: usize,
    /// Ghosts that may come in before the next sweep.
    pause: u8,
}

/// Puts another word into a way's lane.
#[inline]
fn set(words: &mut u64, way: usize, word: u16) {
    let shift = 16 * (way % LANES);
    *words = *words & !(0xffff << shift) | u64::from(word) << shift;
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
    #[inline]
    pub(super) fn fit(&mut self, entries: usize, most_bytes: usize) {
        if self.fits != (entries, most_bytes) {
            self.fit_anew(entries, most_bytes);
        }
    }

    fn fit_anew(&mut self, entries: usize, most_bytes: usize) {
        self.fits = (entries, most_bytes);
        let wanted = entries.saturating_mul(usize::from(TURNS)).saturating_mul(5) / 4;
        let buckets = wanted.min(most_bytes / 2).max(WAYS).div_ceil(WAYS);
        // Small changes of the number of entries are no reason to forget.
        let present = self.buckets.len();
        if buckets > present + present / 2 || buckets < present / 4 {
            let fits = self.fits;
            *self = Ghosts { buckets: vec![[0; 2]; buckets], fits, generation: 1, ..Ghosts::default() };
        }
    }

    #[inline]
    fn place(&self, hash: u32) -> (usize, u16) {
        // The high part of the product picks the bucket, what is left of it tells keys in the bucket apart.
        let product = u64::from(hash) * self.buckets.len() as u64;
        ((product >> 32) as usize, ((product as u32).wrapping_mul(0x9e37_79b1) >> 23) as u16)
    }

    /// How many parts of a turn ago each of four words was written; an empty one longer ago than any other.
    #[inline]
    fn ages(&self, words: u64) -> u64 {
        let written = words & (ONES * 15);
        let generation = u64::from(self.generation);
        // Of a lane, one if what is in it was written in a generation with a higher number.
        let wrapped = (written + ONES * (15 - generation)) >> 4 & ONES;
        let empty = (written + ONES * 15) >> 4 & ONES ^ ONES;
        (ONES * generation + wrapped * u64::from(GENERATIONS) - written) | empty << 6
    }

    /// The way of a bucket that holds this tag.
    #[inline]
    fn way_of(bucket: Bucket, tag: u16) -> Option<usize> {
        let tags = ONES * (u64::from(tag) << 7);
        // Tag zero is no empty word.
        let same = bucket.map(|words| !not_zero((words ^ tags) & (ONES * 0xff80)) & not_zero(words));
        match same {
            [0, 0] => None,
            [0, bits] => Some(LANES + first_lane(bits)),
            [bits, _] => Some(first_lane(bits)),
        }
    }

    /// The way that was written longest ago; of equal ones, the last in the order that begins with `turned`.
    #[inline]
    fn oldest_way(&self, bucket: Bucket, turned: usize) -> usize {
        let turned = turned % WAYS;
        let back = ONES * (WAYS - turned) as u64;
        let places = [0x0003_0002_0001_0000u64, 0x0007_0006_0005_0004].map(|ways| (ways + back) & (ONES * 7));
        let keys = [0, 1].map(|half: usize| self.ages(bucket[half]) << 3 | places[half]);
        let four = higher(keys[0], keys[1]);
        let two = higher(four, four >> 32);
        ((two & 0xffff).max(two >> 16 & 0xffff) as usize + turned) % WAYS
    }

    /// Remembers a key that left. `turn` is the weight of all entries.
    pub(super) fn remember(&mut self, hash: u32, frequency: u8, weight: u32, turn: u64) {
        if self.buckets.is_empty() {
            return;
        }
        self.pass(u64::from(weight), turn);
        match self.pause.checked_sub(1) {
            Some(left) => self.pause = left,
            None => self.sweep(),
        }
        let (at, tag) = self.place(hash);
        let fresh = tag << 7 | CODES[usize::from(frequency) & 15] << 4 | self.generation;
        let Some(bucket) = self.buckets.get(at).copied() else { return };
        // Among equals another way each time, or a small table would never let go of its first ghosts.
        let way = match Self::way_of(bucket, tag) {
            Some(way) => way,
            None => self.oldest_way(bucket, self.left as usize),
        };
        set(&mut self.buckets[at][way / LANES], way, fresh);
    }

    /// Asks for a key, and forgets it.
    pub(super) fn recall(&mut self, hash: u32) -> Option<Ghost> {
        let (at, tag) = self.place(hash);
        let bucket = self.buckets.get_mut(at)?;
        let way = Self::way_of(*bucket, tag)?;
        let words = &mut bucket[way / LANES];
        let word = *words >> (16 * (way % LANES));
        set(words, way, 0);
        let age = (self.ages(word) & 0xff) as u8;
        let frequency = FREQUENCIES[(word >> 4 & 7) as usize];
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
    fn sweep(&mut self) {
        self.pause = SWEEP_EVERY - 1;
        const {
            assert!(
                GENERATIONS as u8 - 1 == TURN * TURNS + 2,
                "the two generations before the next are over"
            );
        }
        let next = u64::from(self.generation % GENERATIONS + 1);
        let one_later = next % u64::from(GENERATIONS) + 1;
        let end = (self.hand + SWEEP).min(self.buckets.len());
        for words in self.buckets[self.hand..end].as_flattened_mut() {
            let written = *words & (ONES * 15);
            let kept = not_zero(written ^ (ONES * next)) & not_zero(written ^ (ONES * one_later));
            // All bits of the lanes that are kept.
            *words &= (kept >> 15) * 0xffff;
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
