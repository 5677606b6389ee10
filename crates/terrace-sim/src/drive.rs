//! A policy driven directly: no keys, no locks, no values.
//!
//! Decision: keys are numbered once per trace, so what a key's entry is called is an element of a vector and a
//! replay costs what the policy costs. Every entry has a slot, its mark stands in a vector beside, and the
//! weight is compared with the capacity after each request: a hit ratio bought with more room than allowed
//! would be worthless.

use std::cell::Cell;
use std::sync::Arc;

use terrace_memory::eviction::{Aim, Hits, Marks, Policy, Setup};

use crate::generate::mix;
use crate::replay::{Outcome, PROGRESS_STEP, Run, SEED};
use crate::trace::Record;

/// No slot.
const NIL: u32 = u32::MAX;

/// The marks of all slots, and the hashes.
#[derive(Default)]
struct Bytes(Vec<Cell<u8>>, Vec<u32>);

impl Marks for Bytes {
    #[inline]
    fn get(&self, slot: u32) -> u8 {
        self.0[slot as usize].get()
    }

    #[inline]
    fn set(&self, slot: u32, mark: u8) {
        self.0[slot as usize].set(mark);
    }

    #[inline]
    fn hash(&self, slot: u32) -> u32 {
        self.1[slot as usize]
    }
}

/// What stands in a slot.
#[derive(Clone, Copy)]
struct Entry {
    id: u32,
    weight: u32,
}

/// A cache of nothing but names and weights.
struct Cache<P: Policy> {
    policy: P,
    shared: Arc<P::Shared>,
    capacity: u64,
    weight: u64,
    /// The slot of each key's entry, by the key's number.
    slots: Vec<u32>,
    entries: Vec<Entry>,
    marks: Bytes,
    free: Vec<u32>,
}

impl<P: Policy> Cache<P> {
    fn new(capacity: u64, aim: Aim, keys: usize) -> Self {
        let setup = Setup { aim, ..Setup::alone(capacity, SEED) };
        let shared = Arc::new(P::shared(setup));
        Cache {
            policy: P::new(setup, &shared),
            shared,
            capacity,
            weight: 0,
            slots: vec![NIL; keys],
            entries: Vec::new(),
            marks: Bytes::default(),
            free: Vec::new(),
        }
    }

    /// Asks for a key, stores it if it is not there, and tells whether it was.
    #[inline]
    fn request(&mut self, id: u32, hash: u64, weight: u32) -> bool {
        let slot = self.slots[id as usize];
        let hit = slot != NIL;
        if P::samples(&self.shared, hash) {
            P::observe(&self.shared, hash, weight, hit);
        }
        if !hit {
            self.policy.miss(hash);
            self.store(id, hash, weight);
            return false;
        }
        match P::HITS {
            Hits::Mark => {
                let mark = &self.marks.0[slot as usize];
                mark.set(P::on_hit(mark.get()));
            }
            Hits::Exclusive => self.policy.used(slot, &self.marks),
        }
        true
    }

    fn store(&mut self, id: u32, hash: u64, weight: u32) {
        if u64::from(weight) > self.capacity {
            return;
        }
        while self.weight + u64::from(weight) > self.capacity {
            self.evict();
        }
        let entry = Entry { id, weight };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.entries[slot as usize] = entry;
                self.marks.1[slot as usize] = hash as u32;
                slot
            }
            None => {
                self.entries.push(entry);
                self.marks.0.push(Cell::new(0));
                self.marks.1.push(hash as u32);
                (self.entries.len() - 1) as u32
            }
        };
        self.slots[id as usize] = slot;
        self.weight += u64::from(weight);
        self.policy.insert(slot, hash, weight, &self.marks);
    }

    fn evict(&mut self) {
        let victim = self.policy.victim(&self.marks);
        let slot = victim.unwrap_or_else(|| panic!("{} has no victim in a full cache", P::NAME));
        let Entry { id, weight } = self.entries[slot as usize];
        assert_eq!(self.slots[id as usize], slot, "{} evicts what is not there", P::NAME);
        self.slots[id as usize] = NIL;
        self.weight -= u64::from(weight);
        self.free.push(slot);
    }

    fn bytes_per_entry(&self) -> Option<f64> {
        let entries = self.entries.len() - self.free.len();
        let bytes = self.policy.heap_bytes() + self.marks.0.capacity();
        (entries > 0).then(|| bytes as f64 / entries as f64)
    }
}

/// Replays a whole trace through one policy.
pub(crate) fn drive<P: Policy>(run: &Run<'_>, progress: &mut dyn FnMut(u64)) -> Outcome {
    let mut cache: Cache<P> = Cache::new(run.capacity, run.aim, run.trace.unique_keys() as usize);
    let mut outcome = Outcome::default();
    let mut done = 0;
    let requests = run.trace.records().chunks(PROGRESS_STEP).zip(run.trace.ids().chunks(PROGRESS_STEP));
    for (records, ids) in requests {
        for (record, id) in records.iter().zip(ids) {
            let hit = cache.request(*id, hash_of(record), run.weight(record));
            outcome.count(hit, record);
            let weight = cache.weight;
            assert!(weight <= run.capacity, "{} holds {weight} of {}", P::NAME, run.capacity);
        }
        done += records.len() as u64;
        progress(done);
    }
    outcome.bytes_per_entry = cache.bytes_per_entry();
    outcome
}

/// The hash that policies know a key by: well mixed and the same in every replay.
fn hash_of(record: &Record) -> u64 {
    mix(record.key ^ SEED)
}
