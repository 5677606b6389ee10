//! S3-FIFO, QD-LP-FIFO, 2Q, ARC.

use terrace_memory::eviction::{AdaptiveReplacement, Qdlp, S3Fifo, TwoQ};

use super::{Item, Naive, agrees, compare, item, place, set_weight, steps, take, weigh};

/// A small queue of a tenth, a main queue with up to three extra rounds, ghosts for nine tenths. `USES` in the
/// small queue are needed to stay.
pub(crate) struct NaiveSmallMain<const USES: u8> {
    small: Vec<Item>,
    main: Vec<Item>,
    ghost: Vec<Item>,
}

impl<const USES: u8> NaiveSmallMain<USES> {
    fn evict_small(&mut self, total: u64) -> Option<u8> {
        while !self.small.is_empty() {
            let first = self.small.remove(0);
            if first.uses >= USES {
                self.main.push(Item { uses: 0, ..first });
                continue;
            }
            take(&mut self.ghost, first.key);
            self.ghost.push(first);
            let most = self.small.len() + self.main.len() + 1;
            while weigh(&self.ghost) > total - total / 10 || self.ghost.len() > most {
                self.ghost.remove(0);
            }
            return Some(first.key);
        }
        None
    }

    fn evict_main(&mut self) -> Option<u8> {
        while !self.main.is_empty() {
            let first = self.main.remove(0);
            if first.uses == 0 {
                return Some(first.key);
            }
            self.main.push(Item { uses: first.uses - 1, ..first });
        }
        None
    }
}

impl<const USES: u8> Naive for NaiveSmallMain<USES> {
    fn new(_: u64) -> Self {
        NaiveSmallMain { small: Vec::new(), main: Vec::new(), ghost: Vec::new() }
    }
    fn insert(&mut self, key: u8, weight: u64) {
        let queue = if take(&mut self.ghost, key).is_some() { &mut self.main } else { &mut self.small };
        queue.push(item(key, weight));
    }
    fn hit(&mut self, key: u8) {
        let mut all = self.small.iter_mut().chain(&mut self.main);
        let used = all.find(|item| item.key == key).unwrap();
        used.uses = (used.uses + 1).min(3);
    }
    fn reweigh(&mut self, key: u8, weight: u64) {
        set_weight(self.small.iter_mut().chain(&mut self.main), key, weight);
    }
    fn remove(&mut self, key: u8) {
        take(&mut self.small, key);
        take(&mut self.main, key);
    }
    fn victim(&mut self, _: Option<u8>) -> Option<u8> {
        let total = weigh(&self.small) + weigh(&self.main);
        if weigh(&self.small) >= total / 10
            && let Some(key) = self.evict_small(total)
        {
            return Some(key);
        }
        self.evict_main().or_else(|| self.evict_small(total))
    }
}

/// The names of the paper: A1in, A1out, Am.
struct NaiveTwoQ {
    capacity: u64,
    a1in: Vec<Item>,
    a1out: Vec<Item>,
    am: Vec<Item>,
}

impl Naive for NaiveTwoQ {
    fn new(capacity: u64) -> Self {
        NaiveTwoQ { capacity, a1in: Vec::new(), a1out: Vec::new(), am: Vec::new() }
    }
    fn insert(&mut self, key: u8, weight: u64) {
        let queue = if take(&mut self.a1out, key).is_some() { &mut self.am } else { &mut self.a1in };
        queue.push(item(key, weight));
    }
    fn hit(&mut self, key: u8) {
        let used = take(&mut self.am, key);
        self.am.extend(used);
    }
    fn reweigh(&mut self, key: u8, weight: u64) {
        set_weight(self.a1in.iter_mut().chain(&mut self.am), key, weight);
    }
    fn remove(&mut self, key: u8) {
        take(&mut self.a1in, key);
        take(&mut self.am, key);
    }
    fn victim(&mut self, _: Option<u8>) -> Option<u8> {
        if weigh(&self.a1in) <= self.capacity / 4 && !self.am.is_empty() {
            return Some(self.am.remove(0).key);
        }
        let first = self.a1in.remove(0);
        self.a1out.push(first);
        let most = self.a1in.len() + self.am.len() + 1;
        while weigh(&self.a1out) > self.capacity / 2 || self.a1out.len() > most {
            self.a1out.remove(0);
        }
        Some(first.key)
    }
}

/// The listing of the paper, with weights in place of counts.
struct NaiveArc {
    c: u64,
    p: u64,
    t: [Vec<Item>; 2],
    b: [Vec<Item>; 2],
    /// The key asked for, and which of its lists of ghosts it was in.
    asked: Option<(u8, Option<usize>)>,
}

impl NaiveArc {
    fn ghost(&mut self, key: u8) -> Option<usize> {
        let [b1, b2] = [weigh(&self.b[0]), weigh(&self.b[1])];
        let list = (0..2).find(|list| place(&self.b[*list], key).is_some())?;
        let weight = take(&mut self.b[list], key).unwrap().weight;
        match list {
            0 => self.p = (self.p + weight * (b2 / b1).max(1)).min(self.c),
            _ => self.p = self.p.saturating_sub(weight * (b1 / b2).max(1)),
        }
        Some(list)
    }
}

impl Naive for NaiveArc {
    fn new(c: u64) -> Self {
        NaiveArc { c, p: 0, t: Default::default(), b: Default::default(), asked: None }
    }
    fn miss(&mut self, key: u8) {
        self.asked = Some((key, self.ghost(key)));
    }
    fn insert(&mut self, key: u8, weight: u64) {
        let list = match self.asked.take() {
            Some((asked, list)) if asked == key => list,
            _ => self.ghost(key),
        };
        self.t[usize::from(list.is_some())].push(item(key, weight));
    }
    fn hit(&mut self, key: u8) {
        let [t1, t2] = &mut self.t;
        let used = take(t1, key).or_else(|| take(t2, key));
        t2.extend(used);
    }
    fn reweigh(&mut self, key: u8, weight: u64) {
        set_weight(self.t.iter_mut().flatten(), key, weight);
    }
    fn remove(&mut self, key: u8) {
        for list in &mut self.t {
            take(list, key);
        }
    }
    fn victim(&mut self, _: Option<u8>) -> Option<u8> {
        let list = self.asked.and_then(|(_, list)| list);
        let [t1, t2] = [weigh(&self.t[0]), weigh(&self.t[1])];
        if list.is_none() {
            if t1 >= self.c && !self.t[0].is_empty() {
                return Some(self.t[0].remove(0).key);
            }
            if t1 + weigh(&self.b[0]) >= self.c {
                while t1 + weigh(&self.b[0]) >= self.c && !self.b[0].is_empty() {
                    self.b[0].remove(0);
                }
            } else {
                while t1 + t2 + weigh(&self.b[0]) + weigh(&self.b[1]) >= 2 * self.c && !self.b[1].is_empty() {
                    self.b[1].remove(0);
                }
            }
        }
        let first = !self.t[0].is_empty() && (t1 > self.p || (list == Some(1) && t1 == self.p));
        let from = if first || self.t[1].is_empty() { 0 } else { 1 };
        let gone = self.t[from].remove(0);
        self.b[from].push(gone);
        while self.b[from].len() > self.t[0].len() + self.t[1].len() + 1 {
            self.b[from].remove(0);
        }
        Some(gone.key)
    }
}

agrees!(s3fifo, S3Fifo, NaiveSmallMain<2>);
agrees!(qdlp, Qdlp, NaiveSmallMain<1>);
agrees!(two_q, TwoQ, NaiveTwoQ);
agrees!(arc, AdaptiveReplacement, NaiveArc);
