//! The policy Terrace ships: one structure that can behave in many ways, and a part that learns which of them
//! pays on this workload now.
//!
//! Decision: miniature caches on a sample of the keys see what each behaviour would hit, all the time and on the same
//! requests; the best one's rules apply from the next eviction on. See `docs/policy.md` for the figures and for what
//! was tried and lost.
//!
//! # Cost
//! A hit changes the entry's mark until it has counted fifteen uses. One request in 2^k, for a k that keeps
//! the miniatures below 512 entries, 256 in a small cache, also goes through them, as long as the learner is awake. Memory: for each entry one
//! link (four bytes; two of them, and its weight, once sizes are told apart) and two bytes; beside them, for
//! miniatures and ghosts together, 256 KiB or a hundredth of what the entries occupy, whichever is more.

mod breaks;
mod classes;
mod evidence;
mod feed;
mod ghosts;
mod learner;
mod miniature;
mod report;
mod rest;
mod rules;
mod sample;
mod structure;
#[cfg(test)]
mod tests;
mod unadapted;

use std::sync::Arc;

use classes::Classes;
pub use feed::Learning;
use ghosts::Ghosts;
pub use report::{Candidate, Point, Report};
pub use rules::{Admission, Preference, Rules};
use structure::{Body, MAIN, MOST_USES, State, WINDOW};
pub use unadapted::Unadapted;

use super::{Hits, Marks, Policy, Setup};
use crate::slab::cover;

/// Bytes that the learning part and all ghosts together may always occupy.
const LEAST_BYTES: usize = 256 << 10;
/// In a large cache, one byte in this many of what the entries occupy.
const PART: u64 = 100;
/// The learning part alone occupies no more than this, as a test makes sure.
const LEARNING_BYTES: usize = 144 << 10;
/// After so many victims it is looked again how many ghosts there may be, which changes slowly.
const FIT_EVERY: u8 = 64;
/// What an entry is taken to occupy at least.
const LEAST_ENTRY: u64 = 64;

/// Adapts its behaviour to the workload; the default.
#[derive(Debug)]
pub struct Adaptive {
    queues: Classes,
    states: Vec<State>,
    ghosts: Ghosts,
    shards: usize,
    /// Where the next frequency is halved, and how many uses were counted towards it.
    aging: (usize, u32),
    /// Victims until it is looked again how many ghosts there may be.
    until_fit: u8,
    shared: Arc<Learning>,
}

impl Policy for Adaptive {
    const NAME: &'static str = "adaptive";
    const HITS: Hits = Hits::Mark;
    type Shared = Learning;

    fn shared(setup: Setup) -> Learning {
        Learning::new(setup.total, setup.aim)
    }

    fn new(setup: Setup, shared: &Arc<Learning>) -> Self {
        Adaptive {
            queues: Classes::default(),
            states: Vec::new(),
            ghosts: Ghosts::default(),
            shards: setup.shards.max(1),
            aging: (0, 0),
            until_fit: 0,
            shared: shared.clone(),
        }
    }

    #[inline]
    fn on_hit(mark: u8) -> u8 {
        if mark < MOST_USES { mark + 1 } else { mark }
    }

    #[inline]
    fn samples(shared: &Learning, hash: u64) -> bool {
        shared.samples(hash)
    }

    /// Misses are seen when their value is stored: before, nobody knows what it weighs.
    fn observe(shared: &Learning, hash: u64, weight: u32, hit: bool) {
        if hit {
            shared.observe(hash, weight, true);
        }
    }

    fn set_capacity(&mut self, setup: Setup) {
        self.shared.set_total(setup.total);
        // Heavier entries may have more ghosts.
        self.until_fit = 0;
    }

    fn insert<M: Marks>(&mut self, slot: u32, hash: u64, weight: u32, marks: &M) {
        if self.shared.samples(hash) {
            self.shared.observe(hash, weight, false);
        }
        self.enter(slot, hash, weight, marks);
    }

    fn reweigh(&mut self, slot: u32, weight: u32) {
        self.queues.reweigh(slot, weight);
    }

    fn remove<M: Marks>(&mut self, slot: u32, _marks: &M) {
        self.queues.unlink(slot);
    }

    fn victim<M: Marks>(&mut self, marks: &M) -> Option<u32> {
        let rules = self.rules();
        match self.until_fit.checked_sub(1) {
            Some(left) => self.until_fit = left,
            None => self.fit_ghosts(),
        }
        structure::victim(&mut Live { shard: self, marks }, rules)
    }

    #[inline]
    fn upcoming(&self, queue: usize, later: usize) -> Option<u32> {
        self.queues.before_tail(queue, later)
    }

    fn clear(&mut self) {
        self.queues = Classes::default();
        self.states.clear();
        self.ghosts.clear();
        self.until_fit = 0;
        self.aging = (0, 0);
    }

    fn survey<M: Marks>(&self, marks: &M, show: &mut dyn FnMut(u32, f64)) {
        let uses = self.rules().uses.max(1);
        for slot in self.queues.oldest_first(WINDOW) {
            show(slot, if marks.get(slot) >= uses { 1.0 } else { 0.0 });
        }
        self.queues.oldest_first(MAIN).for_each(|slot| show(slot, 1.0 + f64::from(marks.get(slot))));
    }

    /// Includes this shard's part of what all shards share.
    fn heap_bytes(&self) -> usize {
        self.queues.heap_bytes()
            + self.states.capacity()
            + self.ghosts.heap_bytes()
            + self.shared.heap_bytes() / self.shards
    }
}

impl Adaptive {
    /// What the learning part knows.
    pub fn report(&self) -> Report {
        self.shared.report()
    }

    /// A new entry comes in.
    #[inline(always)]
    fn enter<M: Marks>(&mut self, slot: u32, hash: u64, weight: u32, marks: &M) {
        cover(&mut self.states, slot);
        let ghost = self.ghosts.recall(hash as u32);
        let frequency = ghost.map_or(0, |ghost| ghost.frequency);
        self.states[slot as usize] = State::new(frequency + 1);
        marks.set(slot, 0);
        let rules = self.rules();
        let known = ghost.is_some_and(|ghost| rules.ghost_counts(ghost.age));
        self.queues.tell_sizes_apart(rules.preference != Preference::None);
        self.queues.push_head(if known { MAIN } else { WINDOW }, slot, weight);
        self.age(1);
    }

    #[inline]
    fn rules(&self) -> &'static Rules {
        rules::at(self.shared.chosen())
    }

    #[cold]
    fn fit_ghosts(&mut self) {
        self.until_fit = FIT_EVERY - 1;
        let entries = self.queues.total_len();
        let weight = self.queues.total_weight().max(entries as u64 * LEAST_ENTRY);
        let both = ((weight / PART) as usize).max(LEAST_BYTES / self.shards);
        self.ghosts.fit(entries, both - LEARNING_BYTES / self.shards);
    }

    /// Frequencies halve once in ten uses per entry: one entry's for every ten uses, in turn.
    #[inline]
    fn age(&mut self, uses: u8) {
        self.aging.1 += u32::from(uses);
        if self.aging.1 >= 10 {
            self.age_states();
        }
    }

    #[cold]
    fn age_states(&mut self) {
        while self.aging.1 >= 10 {
            self.aging.1 -= 10;
            self.aging.0 = if self.aging.0 + 1 >= self.states.len() { 0 } else { self.aging.0 + 1 };
            if let Some(state) = self.states.get_mut(self.aging.0) {
                *state = state.half_but_one();
            }
        }
    }
}

/// A shard and its entries' marks.
struct Live<'a, M> {
    shard: &'a mut Adaptive,
    marks: &'a M,
}

impl<M: Marks> Body for Live<'_, M> {
    #[inline]
    fn tail(&self, queue: usize, preference: Preference) -> Option<u32> {
        self.shard.queues.tail(queue, preference)
    }

    #[inline]
    fn weight_of(&self, slot: u32) -> u32 {
        self.shard.queues.weight_of(slot)
    }

    #[inline]
    fn weight(&self, queue: usize) -> u64 {
        self.shard.queues.weight(queue)
    }

    #[inline]
    fn len(&self) -> usize {
        self.shard.queues.total_len()
    }

    fn promote(&mut self, queue: usize, slot: u32) {
        self.shard.queues.promote(queue, slot);
    }

    #[inline]
    fn mark(&self, slot: u32) -> u8 {
        self.marks.get(slot)
    }

    fn clear_mark(&mut self, slot: u32) {
        self.marks.set(slot, 0);
    }

    #[inline]
    fn state(&self, slot: u32) -> State {
        self.shard.states[slot as usize]
    }

    fn set_state(&mut self, slot: u32, state: State) {
        self.shard.states[slot as usize] = state;
    }

    fn counted(&mut self, uses: u8) {
        self.shard.age(uses);
    }

    #[inline(always)]
    fn leave(&mut self, slot: u32, ghost: bool) {
        let turn = self.shard.queues.total_weight();
        if let Some(weight) = self.shard.queues.unlink(slot)
            && ghost
        {
            let (hash, state) = (self.marks.hash(slot), self.shard.states[slot as usize]);
            self.shard.ghosts.remember(hash, state.frequency(), weight, turn);
        }
    }
}
