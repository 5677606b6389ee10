//! The sampled keys: a bounded table from hash to a small number.
//!
//! Decision: keys are sampled by their hash (SHARDS, Waldspurger et al., FAST 2015), so a key is in or out for
//! good, and its reuse is seen whole. When the table is full, a key that no miniature holds and that was not asked for
//! lately gives its place (CLOCK).

use hashbrown::HashTable;

#[derive(Clone, Copy, Debug)]
struct Key {
    hash: u32,
    /// When it was last asked for, on the clock of sampled requests.
    last: u32,
    /// How many miniatures hold it.
    held: u8,
    used: bool,
}

#[derive(Debug, Default)]
pub(super) struct Sample {
    index: HashTable<u16>,
    keys: Vec<Key>,
    hand: usize,
}

/// What became of a request's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It is known, and was asked for this many sampled requests ago.
    Known(u16, u32),
    /// It has a new number.
    New(u16),
    /// It took the number of another key, which must be dropped first; the flag says if somebody still held that.
    Instead(u16, bool),
}

/// Numbers of keys fit 16 bits with one to spare.
const MOST: usize = 1 << 15;

/// Tables of keys grow by so many, since their sum is bounded and no room in reserve may pass it.
const STEP: usize = 128;

/// Adds what belongs to one more key.
pub(super) fn push<T>(items: &mut Vec<T>, item: T) {
    if items.len() == items.capacity() {
        items.reserve_exact(STEP);
    }
    items.push(item);
}

fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Sample {
    /// The number of a key, which it is given if it has none, where the table holds at most `most` keys.
    pub(super) fn find(&mut self, hash: u32, now: u32, most: usize) -> Found {
        let keys = &self.keys;
        if let Some(key) = self.index.find(spread(hash), |key| keys[usize::from(*key)].hash == hash) {
            let known = &mut self.keys[usize::from(*key)];
            known.used = true;
            let ago = now.wrapping_sub(std::mem::replace(&mut known.last, now));
            return Found::Known(*key, ago);
        }
        let fresh = Key { hash, last: now, held: 0, used: false };
        if self.keys.len() < most.min(MOST) {
            let key = self.keys.len() as u16;
            push(&mut self.keys, fresh);
            self.enter(key);
            return Found::New(key);
        }
        let key = self.dispensable();
        let held = self.keys[usize::from(key)].held > 0;
        self.take_out(key);
        self.keys[usize::from(key)] = fresh;
        self.enter(key);
        Found::Instead(key, held)
    }

    fn enter(&mut self, key: u16) {
        let keys = &self.keys;
        self.index.insert_unique(spread(keys[usize::from(key)].hash), key, |key| {
            spread(keys[usize::from(*key)].hash)
        });
    }

    fn take_out(&mut self, key: u16) {
        let hash = spread(self.keys[usize::from(key)].hash);
        if let Ok(entry) = self.index.find_entry(hash, |other| *other == key) {
            entry.remove();
        }
    }

    fn dispensable(&mut self) -> u16 {
        for _ in 0..2 * self.keys.len() {
            self.hand = if self.hand + 1 >= self.keys.len() { 0 } else { self.hand + 1 };
            let key = &mut self.keys[self.hand];
            if key.held == 0 && !std::mem::take(&mut key.used) {
                break;
            }
        }
        self.hand as u16
    }

    pub(super) fn hold(&mut self, key: u16, more: bool) {
        let held = &mut self.keys[usize::from(key)].held;
        *held = if more { *held + 1 } else { held.saturating_sub(1) };
    }

    /// Nobody holds any key any more.
    pub(super) fn release(&mut self) {
        self.keys.iter_mut().for_each(|key| key.held = 0);
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.keys.capacity() * size_of::<Key>() + self.index.allocation_size()
    }
}
