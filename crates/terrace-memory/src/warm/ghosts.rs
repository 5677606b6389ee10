//! Which keys left probation unused, not long ago: a byte for each.
//!
//! Decision: a table in which a key has one place and eight bits of its hash, overwritten by the next that comes
//! there. It remembers about as many keys as the index has entries, and takes one key in 255 for another, which
//! costs that one a longer stay. The list that the hot engine's policies keep takes fifteen bytes a key.

#[derive(Default)]
pub(super) struct Ghosts(Vec<u8>);

impl Ghosts {
    /// The table for so many keys. It forgets what it knew, which happens only while the engine grows.
    pub(super) fn resize(&mut self, len: usize) {
        self.0 = vec![0; len];
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.0.capacity()
    }

    /// Where a key would be, and what would stand there. The shards and the index use other bits of the hash.
    fn place(&mut self, hash: u64) -> Option<(&mut u8, u8)> {
        let mixed = u128::from(hash.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let at = (mixed * self.0.len() as u128) >> 64;
        Some((self.0.get_mut(at as usize)?, (hash >> 28) as u8 | 1))
    }

    pub(super) fn remember(&mut self, hash: u64) {
        if let Some((place, tag)) = self.place(hash) {
            *place = tag;
        }
    }

    /// Whether the key left not long ago; it is forgotten by the question.
    pub(super) fn recall(&mut self, hash: u64) -> bool {
        self.place(hash).is_some_and(|(place, tag)| {
            let known = *place == tag;
            if known {
                *place = 0;
            }
            known
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mix(n: u64) -> u64 {
        (n + 1).wrapping_mul(0xd6e8_feb8_6659_fd93).rotate_left(29).wrapping_mul(0x94d0_49bb_1331_11eb)
    }

    #[test]
    fn it_knows_most_of_the_last_keys_and_few_others() {
        let mut ghosts = Ghosts::default();
        assert!(!ghosts.recall(1));
        ghosts.resize(10_000);
        (0..5000).for_each(|key| ghosts.remember(mix(key)));
        let known = (0..5000).filter(|key| ghosts.recall(mix(*key))).count();
        assert!(known > 3500, "{known}");
        assert_eq!((0..5000).filter(|key| ghosts.recall(mix(*key))).count(), 0);
        (0..50_000).for_each(|key| ghosts.remember(mix(key)));
        let wrong = (100_000..110_000).filter(|key| ghosts.recall(mix(*key))).count();
        assert!(wrong < 200, "{wrong}");
    }
}
