//! A cache in miniature: the same structure under one candidate's rules, over a sample of the keys, with no
//! values.
//!
//! Decision: all miniatures share one table of sampled keys, so a request is looked up once for all of them and
//! each spends eight bytes a key: two links, a mark, a state, and when the key left.

use super::ghosts::TURN;
use super::rules::Rules;
use super::structure::{Body, MAIN, MOST_USES, State, WINDOW, victim};

const NIL: u16 = u16::MAX;
const PLACE: u8 = 0x30;
/// Ages are told modulo this many parts of a turn; older ones are forgotten long before.
const CLOCK: u8 = 255;

#[derive(Clone, Copy, Debug)]
struct Cell {
    newer: u16,
    older: u16,
    /// Uses (4 bits) and the queue it stands in, plus one (2 bits).
    mark: u8,
    state: State,
    /// When it left: 1 to [`CLOCK`], or 0 for never.
    gone: u8,
}

const VACANT: Cell = Cell { newer: NIL, older: NIL, mark: 0, state: State(0), gone: 0 };

#[derive(Clone, Copy, Debug)]
struct Ends {
    head: u16,
    tail: u16,
    weight: u64,
    len: u32,
}

const EMPTY: Ends = Ends { head: NIL, tail: NIL, weight: 0, len: 0 };

#[derive(Debug)]
pub(super) struct Miniature {
    pub(super) rules: Rules,
    capacity: u64,
    cells: Vec<Cell>,
    queues: [Ends; 2],
    /// The part of a turn it is, 1 to [`CLOCK`].
    clock: u8,
    left: u64,
    /// Where the next frequency is halved, and how many uses have been counted towards it.
    aging: (usize, u32),
}

/// What one request did to a miniature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Hit,
    /// It was let in and takes this many entries' place.
    Miss {
        evicted: u32,
    },
    /// It weighs more than all the miniature may hold.
    TooHeavy,
}

impl Miniature {
    pub(super) fn new(rules: Rules, capacity: u64) -> Self {
        Miniature { rules, capacity, cells: Vec::new(), queues: [EMPTY; 2], clock: 1, left: 0, aging: (0, 0) }
    }

    pub(super) fn set_capacity(&mut self, capacity: u64) {
        self.capacity = capacity;
    }

    /// There is one more key in the table.
    pub(super) fn add_key(&mut self) {
        self.cells.push(VACANT);
    }

    #[inline]
    pub(super) fn holds(&self, key: u16) -> bool {
        self.cells[usize::from(key)].mark & PLACE != 0
    }

    /// A key of the table is asked for. Keys that leave are reported through `left`.
    pub(super) fn request(&mut self, key: u16, weights: &[u32], left: &mut impl FnMut(u16)) -> Seen {
        let cell = &mut self.cells[usize::from(key)];
        if cell.mark & PLACE != 0 {
            if cell.mark & !PLACE < MOST_USES {
                cell.mark += 1;
            }
            return Seen::Hit;
        }
        let weight = weights[usize::from(key)];
        if u64::from(weight) > self.capacity {
            return Seen::TooHeavy;
        }
        let evicted = self.make_room(u64::from(weight), weights, left);
        let cell = &mut self.cells[usize::from(key)];
        let (clock, gone, cycle) = (u16::from(self.clock), u16::from(cell.gone), u16::from(CLOCK));
        let age = (cell.gone != 0).then(|| ((clock + cycle - gone) % cycle) as u8);
        cell.gone = 0;
        cell.mark = 0;
        cell.state = State::new(cell.state.frequency() + 1);
        let known = age.is_some_and(|age| self.rules.ghost_counts(age));
        self.link(if known { MAIN } else { WINDOW }, key, weight);
        self.age(1);
        Seen::Miss { evicted }
    }

    fn make_room(&mut self, weight: u64, weights: &[u32], left: &mut impl FnMut(u16)) -> u32 {
        let mut evicted = 0;
        while self.queues[0].weight + self.queues[1].weight + weight > self.capacity {
            let rules = self.rules;
            let Some(slot) = victim(&mut Held { mini: self, weights }, &rules) else { break };
            left(slot as u16);
            evicted += 1;
        }
        evicted
    }

    /// Shrinks to its capacity.
    pub(super) fn shrink(&mut self, weights: &[u32], left: &mut impl FnMut(u16)) {
        self.make_room(0, weights, left);
    }

    /// The key is dropped from the table; another one takes its number.
    pub(super) fn drop_key(&mut self, key: u16, weights: &[u32]) {
        if self.holds(key) {
            self.unlink(key, weights[usize::from(key)]);
        }
        self.cells[usize::from(key)] = VACANT;
    }

    /// The entry's weight changes from one to the other.
    pub(super) fn reweigh(&mut self, key: u16, from: u32, to: u32) {
        if self.holds(key) {
            let queue = self.queue_of(key);
            self.queues[queue].weight = self.queues[queue].weight - u64::from(from) + u64::from(to);
        }
    }

    fn queue_of(&self, key: u16) -> usize {
        usize::from((self.cells[usize::from(key)].mark & PLACE) >> 4) - 1
    }

    fn link(&mut self, queue: usize, key: u16, weight: u32) {
        let ends = &mut self.queues[queue];
        let head = std::mem::replace(&mut ends.head, key);
        match head {
            NIL => ends.tail = key,
            head => self.cells[usize::from(head)].newer = key,
        }
        ends.weight += u64::from(weight);
        ends.len += 1;
        let cell = &mut self.cells[usize::from(key)];
        (cell.newer, cell.older) = (NIL, head);
        cell.mark = cell.mark & !PLACE | (queue as u8 + 1) << 4;
    }

    fn unlink(&mut self, key: u16, weight: u32) {
        let queue = self.queue_of(key);
        let Cell { newer, older, .. } = self.cells[usize::from(key)];
        match newer {
            NIL => self.queues[queue].head = older,
            newer => self.cells[usize::from(newer)].older = older,
        }
        match older {
            NIL => self.queues[queue].tail = newer,
            older => self.cells[usize::from(older)].newer = newer,
        }
        self.queues[queue].weight -= u64::from(weight);
        self.queues[queue].len -= 1;
        self.cells[usize::from(key)].mark &= !PLACE;
    }

    /// Frequencies halve once in ten uses per entry; one key's for every ten uses, in turn.
    fn age(&mut self, uses: u8) {
        self.aging.1 += u32::from(uses);
        // The table also holds keys that are absent; they age with the others.
        let entries = (self.queues[0].len + self.queues[1].len).max(1);
        let step = (10 * entries / self.cells.len().max(1) as u32).max(1);
        while self.aging.1 >= step {
            self.aging.1 -= step;
            self.aging.0 = if self.aging.0 + 1 >= self.cells.len() { 0 } else { self.aging.0 + 1 };
            let cell = &mut self.cells[self.aging.0];
            let held = cell.mark & PLACE != 0;
            cell.state = if held { cell.state.half_but_one() } else { cell.state.half_as_frequent() };
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.cells.capacity() * size_of::<Cell>()
    }

    #[cfg(test)]
    pub(super) fn weight(&self) -> u64 {
        self.queues[0].weight + self.queues[1].weight
    }
}

/// A miniature and what its keys weigh.
struct Held<'a> {
    mini: &'a mut Miniature,
    weights: &'a [u32],
}

impl Body for Held<'_> {
    #[inline]
    fn tail(&self, queue: usize) -> Option<u32> {
        let tail = self.mini.queues[queue].tail;
        (tail != NIL).then_some(u32::from(tail))
    }

    #[inline]
    fn weight(&self, queue: usize) -> u64 {
        self.mini.queues[queue].weight
    }

    #[inline]
    fn len(&self) -> usize {
        (self.mini.queues[0].len + self.mini.queues[1].len) as usize
    }

    fn promote(&mut self, queue: usize, slot: u32) {
        let weight = self.weights[slot as usize];
        self.mini.unlink(slot as u16, weight);
        self.mini.link(queue, slot as u16, weight);
    }

    #[inline]
    fn mark(&self, slot: u32) -> u8 {
        self.mini.cells[slot as usize].mark & !PLACE
    }

    fn clear_mark(&mut self, slot: u32) {
        self.mini.cells[slot as usize].mark &= PLACE;
    }

    #[inline]
    fn state(&self, slot: u32) -> State {
        self.mini.cells[slot as usize].state
    }

    fn set_state(&mut self, slot: u32, state: State) {
        self.mini.cells[slot as usize].state = state;
    }

    fn counted(&mut self, uses: u8) {
        self.mini.age(uses);
    }

    fn leave(&mut self, slot: u32, ghost: bool) {
        let weight = self.weights[slot as usize];
        self.mini.unlink(slot as u16, weight);
        let cell = &mut self.mini.cells[slot as usize];
        cell.state = State::new(cell.state.frequency());
        if !ghost {
            return;
        }
        match self.mini.left.checked_sub(u64::from(weight.max(1))) {
            Some(left) => self.mini.left = left,
            None => {
                self.mini.clock = self.mini.clock % CLOCK + 1;
                self.mini.left = (self.mini.capacity / u64::from(TURN)).saturating_sub(1);
            }
        }
        self.mini.cells[slot as usize].gone = self.mini.clock;
    }
}
