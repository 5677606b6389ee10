//! LIRS.

use terrace_memory::eviction::Lirs;

use super::{Naive, agrees, compare, steps};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Lir,
    Hir,
    NonResident,
}

/// The stack S and the queue Q of the paper: S from bottom to top, Q from front to end.
struct NaiveLirs {
    capacity: u64,
    s: Vec<u8>,
    q: Vec<u8>,
    /// Every key of which anything is known.
    known: Vec<(u8, Kind, u64)>,
    /// Non-resident keys, the one to be forgotten first in front.
    evicted: Vec<u8>,
    /// One more than the most entries ever held at once.
    most_held: usize,
}

impl NaiveLirs {
    fn kind(&self, key: u8) -> Option<Kind> {
        self.known.iter().find(|(other, ..)| *other == key).map(|(_, kind, _)| *kind)
    }

    fn set(&mut self, key: u8, kind: Kind) {
        self.known.iter_mut().filter(|(other, ..)| *other == key).for_each(|entry| entry.1 = kind);
    }

    fn weight(&self, key: u8) -> u64 {
        self.known.iter().find(|(other, ..)| *other == key).map_or(0, |(.., weight)| *weight)
    }

    fn lir_weight(&self) -> u64 {
        self.known.iter().filter(|(_, kind, _)| *kind == Kind::Lir).map(|(.., weight)| weight).sum()
    }

    fn most_lir(&self) -> u64 {
        self.capacity - (self.capacity / 100).max(1)
    }

    fn forget(&mut self, key: u8) {
        self.known.retain(|(other, ..)| *other != key);
        for list in [&mut self.s, &mut self.q, &mut self.evicted] {
            list.retain(|other| *other != key);
        }
    }

    fn raise(&mut self, key: u8) {
        self.s.retain(|other| *other != key);
        self.s.push(key);
    }

    fn prune(&mut self) {
        while let Some(bottom) = self.s.first().copied() {
            match self.kind(bottom) {
                Some(Kind::Lir) => return,
                Some(Kind::NonResident) => self.forget(bottom),
                _ => {
                    self.s.remove(0);
                }
            }
        }
    }

    fn demote(&mut self) -> bool {
        self.prune();
        if self.s.is_empty() {
            return false;
        }
        let bottom = self.s.remove(0);
        self.set(bottom, Kind::Hir);
        self.q.push(bottom);
        self.prune();
        true
    }

    fn balance(&mut self) {
        self.prune();
        while self.lir_weight() > self.most_lir() && self.demote() {}
    }
}

impl Naive for NaiveLirs {
    fn new(capacity: u64) -> Self {
        NaiveLirs {
            capacity,
            s: Vec::new(),
            q: Vec::new(),
            known: Vec::new(),
            evicted: Vec::new(),
            most_held: 1,
        }
    }
    fn miss(&mut self, key: u8) {
        if self.evicted.contains(&key) {
            self.evicted.retain(|other| *other != key);
            self.evicted.push(key);
        }
    }
    fn insert(&mut self, key: u8, weight: u64) {
        let was_known = self.evicted.contains(&key);
        let is_lir = was_known || self.lir_weight() + weight <= self.most_lir();
        self.evicted.retain(|other| *other != key);
        self.known.retain(|(other, ..)| *other != key);
        self.known.push((key, if is_lir { Kind::Lir } else { Kind::Hir }, weight));
        self.raise(key);
        if is_lir {
            self.balance();
        } else {
            self.q.push(key);
        }
        let held = self.known.iter().filter(|(_, kind, _)| *kind != Kind::NonResident).count();
        self.most_held = self.most_held.max(held + 1);
    }
    fn hit(&mut self, key: u8) {
        let in_stack = self.s.contains(&key);
        let was = self.kind(key);
        self.raise(key);
        if was == Some(Kind::Lir) {
            self.prune();
            return;
        }
        self.q.retain(|other| *other != key);
        if in_stack {
            self.set(key, Kind::Lir);
            self.balance();
        } else {
            self.q.push(key);
        }
    }
    fn reweigh(&mut self, key: u8, weight: u64) {
        self.known.iter_mut().filter(|(other, ..)| *other == key).for_each(|entry| entry.2 = weight);
        if self.kind(key) == Some(Kind::Lir) {
            self.balance();
        }
    }
    fn remove(&mut self, key: u8) {
        self.forget(key);
        self.prune();
    }
    fn victim(&mut self, _: Option<u8>) -> Option<u8> {
        if self.q.is_empty() {
            self.demote();
        }
        let key = self.q.remove(0);
        if !self.s.contains(&key) {
            self.forget(key);
            return Some(key);
        }
        self.set(key, Kind::NonResident);
        self.evicted.push(key);
        while self.evicted.iter().map(|key| self.weight(*key)).sum::<u64>() > self.capacity
            || self.evicted.len() > self.most_held
        {
            self.forget(self.evicted[0]);
        }
        Some(key)
    }
}

agrees!(lirs, Lirs, NaiveLirs);
