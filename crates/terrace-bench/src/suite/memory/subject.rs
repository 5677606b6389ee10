//! What is done to every cache, written once and compiled for each.
//!
//! Decision: a cache implements [`Contender`], one read and one write. The loops over them are generic, so that a
//! read is inlined into its loop as it would be into a caller's; behind `dyn` stands a whole loop.

use std::hint::black_box;
use std::time::Instant;

use super::value::Keyed;

/// A cache that is measured.
pub(super) trait Contender<K: Keyed>: Send + Sync {
    const NAME: &'static str;
    /// Whether it makes room for new entries.
    const EVICTS: bool = true;
    /// The word of the key's value.
    fn get(&self, key: K) -> Option<u64>;
    fn put(&self, key: K, word: u64);

    /// Finishes what it does in the background.
    fn settle(&self) {}

    fn reads(&self, keys: &[K]) -> Tally {
        let mut tally = Tally::default();
        for key in keys {
            tally.add(self.get(*key));
        }
        tally
    }

    fn writes(&self, keys: &[K]) {
        for key in keys {
            self.put(*key, key.value());
        }
    }
}

/// A cache that makes what is not there, once however many ask.
pub(super) trait Maker<K: Keyed>: Contender<K> {
    /// The word of the key's value, which is made of this word if there is none.
    fn get_or_make(&self, key: K, word: u64) -> u64;
}

/// What reads found: how many, and the sum of the values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) found: usize,
    sum: u64,
}

impl Tally {
    /// What reading these must find.
    pub(super) fn of<K: Keyed>(keys: &[K]) -> Self {
        let sum = keys.iter().fold(0, |sum: u64, key| sum.wrapping_add(key.value()));
        Self { found: keys.len(), sum }
    }

    #[inline]
    pub(super) fn add(&mut self, word: Option<u64>) {
        if let Some(word) = black_box(word) {
            self.found += 1;
            self.sum = self.sum.wrapping_add(word);
        }
    }
}

/// Every so many operations of a mix, one is a write.
const WRITE_EVERY: usize = 4;

/// How many of so many operations of a mix are reads.
pub(super) fn reads_of_mix(operations: usize) -> usize {
    operations - operations / WRITE_EVERY
}

/// A contender, its type forgotten.
pub(super) trait Subject<K>: Send + Sync {
    fn name(&self) -> &'static str;
    fn evicts(&self) -> bool;
    fn settle(&self);
    fn reads(&self, keys: &[K]) -> Tally;
    fn writes(&self, keys: &[K]);
    fn mixes(&self, keys: &[K]) -> Tally;
    /// How long each read that found something took, in nanoseconds and with what asking the time takes.
    fn timed_reads(&self, keys: &[K]) -> Vec<u32>;
}

impl<K: Keyed, C: Contender<K>> Subject<K> for C {
    fn name(&self) -> &'static str {
        C::NAME
    }

    fn evicts(&self) -> bool {
        C::EVICTS
    }

    fn settle(&self) {
        Contender::settle(self);
    }

    fn reads(&self, keys: &[K]) -> Tally {
        Contender::reads(self, keys)
    }

    fn writes(&self, keys: &[K]) {
        Contender::writes(self, keys);
    }

    fn mixes(&self, keys: &[K]) -> Tally {
        let mut tally = Tally::default();
        for (turn, key) in keys.iter().enumerate() {
            if turn % WRITE_EVERY == WRITE_EVERY - 1 {
                self.put(*key, key.value());
            } else {
                tally.add(self.get(*key));
            }
        }
        tally
    }

    fn timed_reads(&self, keys: &[K]) -> Vec<u32> {
        let mut times = Vec::with_capacity(keys.len());
        for key in keys {
            let began = Instant::now();
            let found = black_box(self.get(*key)).is_some();
            let took = began.elapsed();
            if found {
                times.push(u32::try_from(took.as_nanos()).unwrap_or(u32::MAX));
            }
        }
        times
    }
}

/// A maker, its type forgotten.
pub(super) trait Making<K>: Send + Sync {
    fn name(&self) -> &'static str;
    fn makes(&self, keys: &[K]) -> Tally;
}

impl<K: Keyed, M: Maker<K>> Making<K> for M {
    fn name(&self) -> &'static str {
        M::NAME
    }

    fn makes(&self, keys: &[K]) -> Tally {
        let mut tally = Tally::default();
        for key in keys {
            tally.add(Some(self.get_or_make(*key, key.value())));
        }
        tally
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Mutex;

    use super::*;

    struct Plain(Mutex<HashMap<u64, u64>>);

    impl Contender<u64> for Plain {
        const NAME: &'static str = "plain";
        fn get(&self, key: u64) -> Option<u64> {
            self.0.lock().unwrap().get(&key).copied()
        }
        fn put(&self, key: u64, word: u64) {
            self.0.lock().unwrap().insert(key, word);
        }
    }

    #[test]
    fn a_tally_tells_a_missing_and_a_wrong_value() {
        let plain = Plain(Mutex::default());
        Subject::writes(&plain, &[1, 2, 3]);
        assert_eq!(Subject::reads(&plain, &[1, 2, 2]), Tally::of(&[1u64, 2, 2]));
        assert_ne!(Subject::reads(&plain, &[1, 2, 4]), Tally::of(&[1u64, 2, 4]));
        plain.put(3, 0);
        assert_ne!(Subject::reads(&plain, &[3]), Tally::of(&[3u64]));
        assert_eq!(plain.timed_reads(&[1, 9, 2]).len(), 2);
    }

    #[test]
    fn a_quarter_of_a_mix_are_writes() {
        let plain = Plain(Mutex::default());
        let keys: Vec<u64> = (0..103).collect();
        assert_eq!(plain.mixes(&keys).found, 0);
        assert_eq!(plain.0.lock().unwrap().len(), keys.len() - reads_of_mix(keys.len()));
        Subject::writes(&plain, &keys);
        assert_eq!(plain.mixes(&keys).found, reads_of_mix(keys.len()));
    }
}
