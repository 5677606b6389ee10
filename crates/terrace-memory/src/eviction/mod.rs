//! Eviction policies: who leaves when there is no room.
//!
//! Decision: a policy knows entries only by slot, hash and weight, so the same code runs inside the engine, in
//! the simulator and alone in a test. It keeps what it needs in vectors indexed by slot and never sees a key,
//! a value, a clock or a lock. What a hit may change without a lock is one byte beside the entry, its *mark*,
//! which whoever keeps the entries keeps too; everything else runs alone. One policy is one file here.

mod adaptive;
mod arc;
mod chance;
mod climbing;
mod clock;
mod fifo;
mod gdsf;
mod ghost;
mod heap;
mod hyperbolic;
mod lecar;
mod lfu;
mod lirs;
mod lru;
mod members;
mod qdlp;
mod queue;
mod queues;
mod random;
mod ranked;
mod rings;
mod s3fifo;
mod sieve;
mod sketch;
mod slru;
mod small_main;
mod two_q;
mod wtinylfu;

use std::sync::Arc;

pub use adaptive::{Adaptive, Admission, Candidate, Learning, Point, Preference, Report, Rules, Unadapted};
pub use arc::AdaptiveReplacement;
pub use climbing::ClimbingWTinyLfu;
pub use clock::Clock;
pub use fifo::Fifo;
pub use gdsf::Gdsf;
pub use hyperbolic::Hyperbolic;
pub use lecar::Lecar;
pub use lfu::Lfu;
pub use lirs::Lirs;
pub use lru::Lru;
pub use qdlp::Qdlp;
pub use random::Random;
pub(crate) use ranked::{Ranked, Standing};
pub use s3fifo::S3Fifo;
pub use sieve::Sieve;
pub use slru::Slru;
pub use two_q::TwoQ;
pub use wtinylfu::WTinyLfu;

/// The marks of a shard's entries: one byte each, kept by whoever keeps the entries, changed by hits at any
/// moment; and the hashes, which are kept there anyway.
pub trait Marks {
    /// The mark of the entry in this slot.
    fn get(&self, slot: u32) -> u8;

    /// Changes it. Called under the shard's lock; a hit at the same moment may be lost.
    fn set(&self, slot: u32, mark: u8);

    /// The lower half of the hash with which the entry in this slot was inserted.
    fn hash(&self, slot: u32) -> u32;
}

/// What a policy for one shard is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// This shard's part of the capacity, in weight units: entries if every entry weighs 1, else bytes. The
    /// shard may at times hold more or less than that where all shards draw on one budget.
    pub capacity: u64,
    /// The whole cache's capacity.
    pub total: u64,
    /// How many shards share it.
    pub shards: usize,
    /// Everything random in a policy comes from here.
    pub seed: u64,
    /// What a policy that can serve either should hit. It stays what it was when the policy was made.
    pub aim: Aim,
}

/// What is to be hit where entries differ in weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Aim {
    /// As many requests as possible: small entries are worth more for their weight.
    #[default]
    Objects,
    /// As much weight as possible: a hit is worth what the entry weighs.
    Bytes,
}

impl Setup {
    /// For a cache that is one shard.
    pub fn alone(capacity: u64, seed: u64) -> Self {
        Setup { capacity, total: capacity, shards: 1, seed, aim: Aim::Objects }
    }
}

/// What a hit has to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hits {
    /// Only the entry's mark: a hit is [`Policy::on_hit`], under shared access.
    Mark,
    /// More than that: a hit needs the shard's lock and comes in through [`Policy::used`]. Exact, and slower.
    Exclusive,
}

/// Decides which entry of one shard leaves next.
///
/// The caller promises: a slot is inserted once and stays known until it is removed or returned as the victim;
/// `hash` is a well mixed hash of the key; slots are dense small integers, reused after removal. Calls that
/// name an unknown slot are ignored. Every method taking `&mut self` runs alone.
pub trait Policy: Send + Sync + 'static {
    /// The policy's name in commands and statistics.
    const NAME: &'static str;

    /// What a hit has to change.
    const HITS: Hits;

    /// What all shards of one cache share: the part that learns, or nothing.
    type Shared: Send + Sync + 'static;

    /// What the shards of a cache share; `setup.capacity` is the whole capacity here.
    fn shared(setup: Setup) -> Self::Shared;

    /// A policy for one shard.
    fn new(setup: Setup, shared: &Arc<Self::Shared>) -> Self
    where
        Self: Sized;

    /// The mark after a hit, called without a lock where [`HITS`](Policy::HITS) is [`Hits::Mark`]. The caller
    /// stores it only if it differs, so a mark that can rise no further costs its entry no write.
    #[inline]
    fn on_hit(mark: u8) -> u8 {
        mark
    }

    /// Whether [`observe`](Policy::observe) wants to see the accesses to keys of this hash: a sample of the
    /// keys, or none, and then the question compiles away. Asked on every access, so it must cost no more than
    /// a mask and a comparison.
    #[inline]
    fn samples(_shared: &Self::Shared, _hash: u64) -> bool {
        false
    }

    /// An access to a sampled key, hit or miss alike; a value stored after a miss is part of that miss, and what it
    /// weighs is only guessed here. Called without any lock on any thread: it may buffer, and must never wait.
    fn observe(_shared: &Self::Shared, _hash: u64, _weight: u32, _hit: bool) {}

    /// The capacity is now another.
    fn set_capacity(&mut self, setup: Setup);

    /// A new entry. Room has been made for it already.
    fn insert<M: Marks>(&mut self, slot: u32, hash: u64, weight: u32, marks: &M);

    /// The entry was used ([`Hits::Exclusive`] only).
    fn used<M: Marks>(&mut self, _slot: u32, _marks: &M) {}

    /// The entry now weighs `weight`.
    fn reweigh(&mut self, slot: u32, weight: u32);

    /// The entry left for another reason than this policy's choice.
    fn remove<M: Marks>(&mut self, slot: u32, marks: &M);

    /// Chooses the entry to leave and forgets it; `None` if it knows of no entry. It may be the newest one:
    /// that is how admission is declined.
    fn victim<M: Marks>(&mut self, marks: &M) -> Option<u32>;

    /// An entry whose turn to be looked at by [`victim`](Policy::victim) comes so many entries later, if the policy can
    /// tell without a search: whoever keeps the entries may bring it nearer. More than one queue may be asked
    /// about, by its number.
    #[inline]
    fn upcoming(&self, _queue: usize, _later: usize) -> Option<u32> {
        None
    }

    /// Somebody asked for a key with this hash, and it was not there. Told where hits are exclusive, and by
    /// callers that hold the lock anyway; a policy works without it, if less well.
    fn miss(&mut self, _hash: u64) {}

    /// Shows every entry it knows with its *warmth*, for people to look at. Were nothing used from now on, the one
    /// with less warmth would leave sooner, as far as can be told without choosing; among equals, the one that is
    /// shown first. Where a border decides which of two parts gives the next victim, the part of less worth comes
    /// first. The warmth of entries of several shards may be compared.
    ///
    /// # Cost
    ///
    /// A step for each entry, or O(log n) where they have to be put in order.
    fn survey<M: Marks>(&self, marks: &M, show: &mut dyn FnMut(u32, f64));

    /// Every entry left.
    fn clear(&mut self);

    /// The bytes it holds on the heap.
    fn heap_bytes(&self) -> usize;
}

/// Marks in a plain vector, for the tests of policies that use them.
#[cfg(test)]
mod testing {
    use std::cell::Cell;
    use std::sync::Arc;

    use super::{Marks, Policy, Setup};

    /// The mark and the hash of each slot; its number, unless another is said.
    pub(super) struct PlainMarks(Vec<(Cell<u8>, Cell<u32>)>);

    impl PlainMarks {
        pub(super) fn new(slots: usize) -> Self {
            PlainMarks((0..slots as u32).map(|slot| (Cell::new(0), Cell::new(slot))).collect())
        }

        pub(super) fn name(&self, slot: u32, hash: u64) {
            self.0[slot as usize].1.set(hash as u32);
        }

        pub(super) fn hit<P: Policy>(&self, slot: u32) {
            self.set(slot, P::on_hit(self.get(slot)));
        }
    }

    impl Marks for PlainMarks {
        fn get(&self, slot: u32) -> u8 {
            self.0[slot as usize].0.get()
        }

        fn set(&self, slot: u32, mark: u8) {
            self.0[slot as usize].0.set(mark);
        }

        fn hash(&self, slot: u32) -> u32 {
            self.0[slot as usize].1.get()
        }
    }

    pub(super) fn alone<P: Policy>(capacity: u64) -> P {
        let setup = Setup::alone(capacity, 1);
        P::new(setup, &Arc::new(P::shared(setup)))
    }
}
