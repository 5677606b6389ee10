//! Priorities: the same for every policy.
//!
//! Decision: a policy knows entries of normal priority only. The others stand in two queues beside it, in which
//! what was used since it came in gets another round; those of low priority leave before the policy is asked, those
//! of high priority after it knows of nothing more. So what a policy learns is not disturbed, no policy has a line
//! about priorities, and a cache that does not use them has no byte and one branch of them.
//!
//! High entries keep the rest out only as far as three quarters of what the shard holds. Beyond that they leave
//! before the rest does: a cache where everything is important would otherwise keep what it was given first for
//! ever, and adapt to nothing.

use super::queues::Queues;
use super::{Marks, Policy, Setup};
use crate::entry::Priority;

const LOW: usize = 0;
const HIGH: usize = 1;

/// A policy, and beside it the entries of other than normal priority.
#[derive(Debug)]
pub(crate) struct Ranked<P> {
    policy: P,
    others: Option<Box<Queues<2>>>,
}

/// An entry as the policy has to know it.
#[derive(Clone, Copy)]
pub(crate) struct Standing {
    pub(crate) slot: u32,
    pub(crate) hash: u64,
    pub(crate) weight: u32,
    pub(crate) priority: Priority,
}

impl<P: Policy> Ranked<P> {
    pub(crate) fn new(policy: P) -> Self {
        Ranked { policy, others: None }
    }

    fn queue(&self, slot: u32) -> Option<usize> {
        self.others.as_ref().and_then(|others| others.place(slot))
    }

    /// Those that stand beside the policy, if this slot is one of them.
    fn others_with(&mut self, slot: u32) -> Option<&mut Queues<2>> {
        self.others.as_deref_mut().filter(|others| others.place(slot).is_some())
    }

    /// A new entry. Room has been made for it already.
    #[inline]
    pub(crate) fn insert<M: Marks>(&mut self, new: Standing, marks: &M) {
        let Standing { slot, hash, weight, priority } = new;
        match priority {
            Priority::Normal => self.policy.insert(slot, hash, weight, marks),
            Priority::Low => self.set_beside(LOW, slot, weight, marks),
            Priority::High => self.set_beside(HIGH, slot, weight, marks),
        }
    }

    #[cold]
    fn set_beside<M: Marks>(&mut self, queue: usize, slot: u32, weight: u32, marks: &M) {
        self.others.get_or_insert_default().push_head(queue, slot, weight);
        marks.set(slot, 0);
    }

    /// The value in this slot is now another, which weighed so much before.
    pub(crate) fn replaced<M: Marks>(&mut self, new: Standing, before: u32, marks: &M) {
        let priority = match self.queue(new.slot) {
            None => Priority::Normal,
            Some(LOW) => Priority::Low,
            Some(_) => Priority::High,
        };
        if priority != new.priority {
            self.remove(new.slot, marks);
            self.insert(new, marks);
        } else if before != new.weight {
            match self.others_with(new.slot) {
                Some(others) => others.reweigh(new.slot, new.weight),
                None => self.policy.reweigh(new.slot, new.weight),
            }
        }
    }

    /// The entry was used, where hits are exclusive.
    pub(crate) fn used<M: Marks>(&mut self, slot: u32, marks: &M) {
        match self.others_with(slot) {
            Some(_) => marks.set(slot, 1),
            None => self.policy.used(slot, marks),
        }
    }

    /// The entry left for another reason than being chosen.
    pub(crate) fn remove<M: Marks>(&mut self, slot: u32, marks: &M) {
        match self.others_with(slot) {
            Some(others) => {
                others.unlink(slot);
            }
            None => self.policy.remove(slot, marks),
        }
    }

    /// Chooses the entry to leave and forgets it; the shard holds so much.
    #[inline]
    pub(crate) fn victim<M: Marks>(&mut self, held: u64, marks: &M) -> Option<u32> {
        if self.others.is_none() { self.policy.victim(marks) } else { self.victim_of_all(held, marks) }
    }

    #[cold]
    fn victim_of_all<M: Marks>(&mut self, held: u64, marks: &M) -> Option<u32> {
        let Some(others) = &mut self.others else { return self.policy.victim(marks) };
        if let Some(slot) = others.pop_unused(LOW, marks) {
            return Some(slot);
        }
        if others.weight(HIGH) > held - held / 4
            && let Some(slot) = others.pop_unused(HIGH, marks)
        {
            return Some(slot);
        }
        self.policy.victim(marks).or_else(|| others.pop_unused(HIGH, marks))
    }

    /// Every entry but the pinned ones, as [`Policy::survey`] shows them.
    pub(crate) fn survey<M: Marks>(&self, marks: &M, show: &mut dyn FnMut(u32, f64)) {
        self.policy.survey(marks, show);
        let Some(others) = &self.others else { return };
        for (queue, warmth) in [(LOW, f64::NEG_INFINITY), (HIGH, f64::INFINITY)] {
            for used in [false, true] {
                let alike = |slot: &u32| (marks.get(*slot) != 0) == used;
                others.oldest_first(queue).filter(alike).for_each(|slot| show(slot, warmth));
            }
        }
    }

    #[inline]
    pub(crate) fn upcoming(&self, queue: usize, later: usize) -> Option<u32> {
        self.policy.upcoming(queue, later)
    }

    pub(crate) fn miss(&mut self, hash: u64) {
        self.policy.miss(hash);
    }

    pub(crate) fn set_capacity(&mut self, setup: Setup) {
        self.policy.set_capacity(setup);
    }

    pub(crate) fn clear(&mut self) {
        self.others = None;
        self.policy.clear();
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let others = |others: &Queues<2>| size_of::<Queues<2>>() + others.heap_bytes();
        self.policy.heap_bytes() + self.others.as_deref().map_or(0, others)
    }
}
