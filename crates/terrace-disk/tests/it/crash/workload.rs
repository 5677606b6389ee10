//! What the store is made to do: a sequence of actions that follows from a seed.

use terrace_disk::io::sim::Chance;

use super::history::{Key, Value};
use super::values::{contents, key};

pub(crate) const GROUPS: u32 = 3;
/// The clock of a workload begins here, so that an hour earlier is still after 1970.
pub(crate) const BEGIN_MS: u64 = 1_700_000_000_000;

/// One call of the store.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Put {
        group: u32,
        key: Key,
        value: Value,
    },
    /// A put that only replaces what is there.
    Replace {
        group: u32,
        key: Key,
        value: Value,
    },
    Delete {
        group: u32,
        key: Key,
    },
    Batch(Vec<(u32, Key, Option<Value>)>),
    Clear {
        group: u32,
    },
    Get {
        key: Key,
    },
    /// Time goes on, and what is due is removed.
    Sweep {
        pass_ms: u64,
    },
    Compact,
    Evict,
    Checkpoint,
    /// Learns a dictionary, if that pays.
    Train,
    Sync,
    Pin,
    Unpin,
    Reopen,
}

/// How often what is done, in parts of all actions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mix {
    pub(crate) keys: u64,
    pub(crate) largest: u64,
    pub(crate) evict: bool,
    pub(crate) reopen: bool,
    /// Which of several writers this is, if each has keys of its own.
    pub(crate) own: Option<u64>,
}

impl Mix {
    pub(crate) const STORE: Self = Self { keys: 24, largest: 9000, evict: false, reopen: false, own: None };

    /// What the keys of one of several writers begin with.
    pub(crate) fn prefix(own: u64) -> Key {
        format!("w{own}/").into_bytes()
    }

    /// The group that a key belongs to.
    pub(crate) fn group_of(self, wanted: &[u8]) -> u32 {
        (0..self.keys)
            .map(|number| self.key(number))
            .find(|(_, key)| key == wanted)
            .map_or(0, |(group, _)| group)
    }

    /// One of the keys, and the group that it belongs to.
    pub(crate) fn key(self, number: u64) -> (u32, Key) {
        let group = (number % u64::from(GROUPS)) as u32;
        match self.own {
            None => (group, key(group, number)),
            // Several writers have groups of their own as well, so that none clears another's.
            Some(own) => (own as u32 * GROUPS + group, [Self::prefix(own), key(group, number)].concat()),
        }
    }
}

pub(crate) struct Workload {
    chance: Chance,
    mix: Mix,
    number: u64,
    now_ms: u64,
    /// Added to value numbers, so that no two workloads of one test write the same value.
    base: u64,
}

impl Workload {
    pub(crate) fn new(seed: u64, mix: Mix) -> Self {
        Self { chance: Chance::new(seed), mix, number: 0, now_ms: BEGIN_MS, base: seed << 32 }
    }

    /// The same with a clock that begins here.
    pub(crate) fn beginning(self, now_ms: u64) -> Self {
        Self { now_ms, ..self }
    }

    fn key(&mut self) -> (u32, Key) {
        let number = self.chance.below(self.mix.keys);
        self.mix.key(number)
    }

    fn value(&mut self) -> Value {
        self.number += 1;
        let largest = self.mix.largest;
        let len = match self.chance.below(20) {
            0 => self.chance.below(12),
            1..8 => 12 + self.chance.below(100),
            8..16 => 100 + self.chance.below(largest / 8),
            _ => self.chance.below(largest),
        };
        let bytes = contents(self.base + self.number, len as usize);
        let expires_ms = self.chance.percent(20).then(|| self.now_ms + 1 + self.chance.below(20_000));
        Value { bytes, expires_ms }
    }

    fn batch(&mut self) -> Action {
        let mut writes: Vec<(u32, Key, Option<Value>)> = Vec::new();
        for _ in 0..2 + self.chance.below(5) {
            let (group, key) = self.key();
            let value = (!self.chance.percent(25)).then(|| self.value());
            if writes.iter().all(|(_, other, _)| *other != key) {
                writes.push((group, key, value));
            }
        }
        Action::Batch(writes)
    }

    pub(crate) fn put(&mut self) -> Action {
        let (group, key) = self.key();
        Action::Put { group, key, value: self.value() }
    }

    pub(crate) fn next(&mut self) -> Action {
        let (group, key) = self.key();
        match self.chance.below(200) {
            0..70 => Action::Put { group, key, value: self.value() },
            70..80 => Action::Replace { group, key, value: self.value() },
            80..110 => Action::Delete { group, key },
            110..130 => self.batch(),
            130..150 => Action::Get { key },
            150..164 => {
                let pass_ms = self.chance.below(4000);
                self.now_ms += pass_ms;
                Action::Sweep { pass_ms }
            }
            164..180 => Action::Compact,
            180..184 if self.mix.evict => Action::Evict,
            184..188 => Action::Checkpoint,
            188..192 => Action::Sync,
            192..194 => Action::Pin,
            194..197 => Action::Unpin,
            197 => Action::Clear { group },
            199 => Action::Train,
            198 if self.mix.reopen => Action::Reopen,
            _ => Action::Put { group, key, value: self.value() },
        }
    }
}
