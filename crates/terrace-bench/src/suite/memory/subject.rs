//! What is done to every cache, written once and compiled for each.
//!
//! Decision: a cache implements [`Contender`], one read and one write. The loops over them are generic, so that a
//! read is inlined into its loop as it would be into a caller's; behind `dyn` stands a whole loop.

use std::hint::black_box;

/// A key of a measurement, and the value that belongs to it.
pub(super) trait Keyed: Copy + Send + Sync {
    fn value(self) -> u64;
}

impl Keyed for u64 {
    fn value(self) -> u64 {
        self.rotate_left(17)
    }
}

impl Keyed for &str {
    fn value(self) -> u64 {
        // The names end with what tells them apart.
        self.as_bytes().last_chunk().copied().map_or(0, u64::from_le_bytes)
    }
}

/// A cache that is measured.
pub(super) trait Contender<K>: Send + Sync {
    const NAME: &'static str;
    /// Whether it makes room for new entries.
    const EVICTS: bool = true;
    fn get(&self, key: K) -> Option<u64>;
    fn put(&self, key: K, value: u64);
    /// Finishes what it does in the background.
    fn settle(&self) {}
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
    fn add(&mut self, value: Option<u64>) {
        if let Some(value) = black_box(value) {
            self.found += 1;
            self.sum = self.sum.wrapping_add(value);
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
        fn put(&self, key: u64, value: u64) {
            self.0.lock().unwrap().insert(key, value);
        }
    }

    #[test]
    fn a_tally_tells_a_missing_and_a_wrong_value() {
        let plain = Plain(Mutex::default());
        plain.writes(&[1, 2, 3]);
        assert_eq!(plain.reads(&[1, 2, 2]), Tally::of(&[1u64, 2, 2]));
        assert_ne!(plain.reads(&[1, 2, 4]), Tally::of(&[1u64, 2, 4]));
        plain.put(3, 0);
        assert_ne!(plain.reads(&[3]), Tally::of(&[3u64]));
    }

    #[test]
    fn a_quarter_of_a_mix_are_writes() {
        let plain = Plain(Mutex::default());
        let keys: Vec<u64> = (0..103).collect();
        assert_eq!(plain.mixes(&keys).found, 0);
        assert_eq!(plain.0.lock().unwrap().len(), keys.len() - reads_of_mix(keys.len()));
        plain.writes(&keys);
        assert_eq!(plain.mixes(&keys).found, reads_of_mix(keys.len()));
    }
}
