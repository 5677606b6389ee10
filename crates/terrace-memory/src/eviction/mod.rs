//! Eviction policies: who leaves when there is no room.
//!
//! Decision: a policy knows entries only by slot, hash and weight, so the same code runs inside the engine, in
//! the simulator and alone in a test. It keeps what it needs in vectors indexed by slot and never sees a key,
//! a value, a clock or a lock. One policy is one file here.

mod fifo;
mod ghost;
mod lru;
mod queue;
mod s3fifo;

pub use fifo::Fifo;
pub use lru::Lru;
pub use s3fifo::S3Fifo;

/// Decides which entry of one shard leaves next.
///
/// The caller promises: a slot is inserted once and stays known until it is removed or returned as the victim;
/// `hit`, `reweigh` and `remove` name known slots only (unknown ones are ignored). Methods taking `&self` may
/// run on several threads at once, those taking `&mut self` run alone.
pub trait Policy: Send + Sync + 'static {
    /// The policy's name in commands and statistics.
    const NAME: &'static str;

    /// Whether a hit has to change more than an atomic of its own entry. If so, hits take the shard's write
    /// lock and come in through [`hit_exclusive`](Policy::hit_exclusive).
    const EXCLUSIVE_HITS: bool;

    /// A policy for a shard whose part of the capacity is `capacity`. The shard may at times hold more or less
    /// than that: all shards draw on one budget.
    fn with_capacity(capacity: u64) -> Self
    where
        Self: Sized;

    /// The shard's part of the capacity is now `capacity`.
    fn set_capacity(&mut self, capacity: u64);

    /// A new entry. Room has been made for it already.
    fn insert(&mut self, slot: u32, hash: u64, weight: u32);

    /// The entry was used.
    fn hit(&self, slot: u32);

    /// The entry was used, and nobody else is in the shard.
    fn hit_exclusive(&mut self, slot: u32) {
        self.hit(slot);
    }

    /// Somebody asked for a key with this hash, and it was not there. Policies which count the popularity of
    /// absent keys note it.
    fn miss(&self, hash: u64) {
        let _ = hash;
    }

    /// The entry now weighs `weight`.
    fn reweigh(&mut self, slot: u32, weight: u32);

    /// The entry left for another reason than this policy's choice.
    fn remove(&mut self, slot: u32);

    /// Chooses the entry to leave and forgets it; `None` if it knows of no entry.
    fn victim(&mut self) -> Option<u32>;

    /// Every entry left.
    fn clear(&mut self);

    /// The bytes it holds on the heap.
    fn heap_bytes(&self) -> usize;
}
