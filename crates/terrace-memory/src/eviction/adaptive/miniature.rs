//! A cache in miniature: the same structure under one candidate's rules, over a sample of the keys, with no
//! values.
//!
//! Decision: all miniatures share one table of sampled keys, so a request is looked up once for all of them and
//! each spends six bytes a key: a link, a mark, a state, a place, and when the key left. The rules only ever look at the
//! tails of queues, so a link to the next newer entry is enough.

use super::classes::{Arrivals, OCTAVES, octave};
use super::ghosts::TURN;
use super::rules::{Preference, Rules};
use super::sample::push;
use super::structure::{Body, MAIN, MOST_USES, State, WINDOW, victim};

const NIL: u16 = u16::MAX;
/// Ages are told modulo this many parts of a turn; older ones are forgotten long before.
const CLOCK: u8 = 255;

#[derive(Clone, Copy, Debug)]
struct Cell {
    newer: u16,
    mark: u8,
    /// The queue and the octave it stands in, plus one; 0 for a key that is not there.
    place: u8,
    state: State,
    /// When it left: 1 to [`CLOCK`], or 0 for never.
    gone: u8,
}

const VACANT: Cell = Cell { newer: NIL, mark: 0, place: 0, state: State(0), gone: 0 };

#[derive(Clone, Copy, Debug)]
struct Ends {
    head: u16,
    tail: u16,
    /// Kept only where there is a queue for each octave.
    len: u32,
    weight: u64,
}

const EMPTY: Ends = Ends { head: NIL, tail: NIL, len: 0, weight: 0 };

#[derive(Debug)]
pub(super) struct Miniature {
    pub(super) rules: Rules,
    capacity: u64,
    cells: Vec<Cell>,
    /// A queue for each octave of the window, then of main; only one of each where sizes do not count.
    queues: Vec<Ends>,
    arrivals: [Arrivals; 2],
    weights: [u64; 2],
    lens: [u32; 2],
    /// The part of a turn it is, 1 to [`CLOCK`].
    clock: u8,
    left: u64,
    /// Where the next frequency is halved, and how many uses have been counted towards it.
    aging: (usize, u32),
}

/// What a request for a key that is not there did to a miniature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missed {
    /// It was let in and takes this many entries' place.
    LetIn { evicted: u32 },
    /// It weighs more than all the miniature may hold.
    TooHeavy,
}

impl Miniature {
    pub(super) fn new(rules: Rules, capacity: u64) -> Self {
        let octaves = if rules.preference == Preference::None { 1 } else { OCTAVES };
        Miniature {
            rules,
            capacity,
            cells: Vec::new(),
            queues: vec![EMPTY; 2 * octaves],
            arrivals: [Arrivals::default(); 2],
            weights: [0; 2],
            lens: [0; 2],
            clock: 1,
            left: 0,
            aging: (0, 0),
        }
    }

    pub(super) fn set_capacity(&mut self, capacity: u64) {
        self.capacity = capacity;
    }

    /// There is one more key in the table.
    pub(super) fn add_key(&mut self) {
        push(&mut self.cells, VACANT);
    }

    #[inline]
    pub(super) fn holds(&self, key: u16) -> bool {
        self.cells[usize::from(key)].place != 0
    }

    /// A key of the table is asked for; tells whether it is there.
    #[inline]
    pub(super) fn hit(&mut self, key: u16) -> bool {
        let cell = &mut self.cells[usize::from(key)];
        if cell.place == 0 {
            return false;
        }
        cell.mark += u8::from(cell.mark < MOST_USES);
        true
    }

    /// A key that was asked for and is not there comes in. Keys that leave are reported through `left`.
    pub(super) fn miss(&mut self, key: u16, weights: &[u32], left: &mut impl FnMut(u16)) -> Missed {
        let weight = weights[usize::from(key)];
        if u64::from(weight) > self.capacity {
            return Missed::TooHeavy;
        }
        let evicted = self.make_room(u64::from(weight), weights, left);
        let cell = &mut self.cells[usize::from(key)];
        let (clock, gone, cycle) = (u16::from(self.clock), u16::from(cell.gone), u16::from(CLOCK));
        let age = if clock >= gone { clock - gone } else { clock + cycle - gone };
        let known = gone != 0 && self.rules.ghost_counts(age as u8);
        cell.gone = 0;
        cell.mark = 0;
        cell.state = State::new(cell.state.frequency() + 1);
        self.link(if known { MAIN } else { WINDOW }, key, weight);
        self.age(1);
        Missed::LetIn { evicted }
    }

    fn make_room(&mut self, weight: u64, weights: &[u32], left: &mut impl FnMut(u16)) -> u32 {
        let mut evicted = 0;
        while self.weights[0] + self.weights[1] + weight > self.capacity {
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

    /// The entry's weight changes from one to the other; it keeps its place among others of its former size.
    pub(super) fn reweigh(&mut self, key: u16, from: u32, to: u32) {
        if self.holds(key) {
            let (from, to) = (u64::from(from), u64::from(to));
            let place = self.place_of(key);
            let queue = place / self.octaves();
            if self.tells_sizes_apart() {
                self.queues[place].weight = self.queues[place].weight - from + to;
            }
            self.weights[queue] = self.weights[queue] - from + to;
        }
    }

    fn tells_sizes_apart(&self) -> bool {
        self.queues.len() > 2
    }

    fn octaves(&self) -> usize {
        self.queues.len() / 2
    }

    fn place_of(&self, key: u16) -> usize {
        usize::from(self.cells[usize::from(key)].place) - 1
    }

    #[inline]
    fn link(&mut self, queue: usize, key: u16, weight: u32) {
        let mut place = queue;
        self.weights[queue] += u64::from(weight);
        self.lens[queue] += 1;
        if self.tells_sizes_apart() {
            let octave = octave(weight);
            place = queue * OCTAVES + octave;
            self.queues[place].weight += u64::from(weight);
            self.queues[place].len += 1;
            self.arrivals[queue].add(octave, self.lens[queue] as usize);
        }
        let ends = &mut self.queues[place];
        let head = std::mem::replace(&mut ends.head, key);
        match head {
            NIL => ends.tail = key,
            head => self.cells[usize::from(head)].newer = key,
        }
        let cell = &mut self.cells[usize::from(key)];
        cell.newer = NIL;
        cell.place = place as u8 + 1;
    }

    #[inline]
    fn unlink(&mut self, key: u16, weight: u32) {
        let place = self.place_of(key);
        let cell = &mut self.cells[usize::from(key)];
        cell.place = 0;
        let newer = cell.newer;
        let ends = &mut self.queues[place];
        if ends.tail == key {
            ends.tail = newer;
            if newer == NIL {
                ends.head = NIL;
            }
        } else {
            self.unlink_inner(place, key, newer);
        }
        let mut queue = place;
        if self.tells_sizes_apart() {
            let octave = place % OCTAVES;
            queue = place / OCTAVES;
            let ends = &mut self.queues[place];
            ends.weight -= u64::from(weight);
            ends.len -= 1;
            if ends.len == 0 {
                self.arrivals[queue].emptied(octave);
            }
        }
        self.weights[queue] -= u64::from(weight);
        self.lens[queue] -= 1;
    }

    /// Moves the tail of a queue to its head; `false` if the entry is not that queue's tail.
    #[inline]
    fn rotate(&mut self, queue: usize, key: u16) -> bool {
        let ends = &mut self.queues[queue];
        if ends.tail != key {
            return false;
        }
        if ends.head != key {
            let cell = &mut self.cells[usize::from(key)];
            ends.tail = std::mem::replace(&mut cell.newer, NIL);
            let head = std::mem::replace(&mut ends.head, key);
            self.cells[usize::from(head)].newer = key;
        }
        true
    }

    /// Takes out an entry that is not the tail: the one before it is searched for. Only a table that is too small for what
    /// the miniatures hold makes that necessary.
    #[cold]
    fn unlink_inner(&mut self, place: usize, key: u16, newer: u16) {
        let mut before = self.queues[place].tail;
        while self.cells[usize::from(before)].newer != key {
            before = self.cells[usize::from(before)].newer;
        }
        self.cells[usize::from(before)].newer = newer;
        if newer == NIL {
            self.queues[place].head = before;
        }
    }

    /// Frequencies halve once in ten uses per entry; one key's for every ten uses, in turn.
    #[inline]
    fn age(&mut self, uses: u8) {
        self.aging.1 += u32::from(uses);
        // The table also holds keys that are absent; they age with the others.
        let (entries, keys) = ((self.lens[0] + self.lens[1]).max(1), self.cells.len() as u32);
        // Most of the time it is too early, which needs no division to tell.
        if (self.aging.1 + 1) * keys > 10 * entries {
            self.age_keys((10 * entries / keys.max(1)).max(1));
        }
    }

    /// Halves a frequency for every so many uses.
    fn age_keys(&mut self, step: u32) {
        while self.aging.1 >= step {
            self.aging.1 -= step;
            self.aging.0 = if self.aging.0 + 1 >= self.cells.len() { 0 } else { self.aging.0 + 1 };
            let cell = &mut self.cells[self.aging.0];
            let held = cell.place != 0;
            cell.state = if held { cell.state.half_but_one() } else { cell.state.half_as_frequent() };
        }
    }

    pub(super) fn len(&self) -> u32 {
        self.lens[0] + self.lens[1]
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.cells.capacity() * size_of::<Cell>() + self.queues.capacity() * size_of::<Ends>()
    }

    #[cfg(test)]
    pub(super) fn weight(&self) -> u64 {
        self.weights[0] + self.weights[1]
    }
}

/// A miniature and what its keys weigh.
struct Held<'a> {
    mini: &'a mut Miniature,
    weights: &'a [u32],
}

impl Body for Held<'_> {
    #[inline]
    fn tail(&self, queue: usize, preference: Preference) -> Option<u32> {
        let mini = &self.mini;
        if !mini.tells_sizes_apart() {
            let tail = mini.queues[queue].tail;
            return (tail != NIL).then_some(u32::from(tail));
        }
        let of = |octave: usize| {
            let ends = &mini.queues[queue * OCTAVES + octave];
            (ends.len as f32, ends.weight as f32)
        };
        let octave = mini.arrivals[queue].overdue(preference, of)?;
        Some(u32::from(mini.queues[queue * OCTAVES + octave].tail))
    }

    #[inline]
    fn weight_of(&self, slot: u32) -> u32 {
        self.weights[slot as usize]
    }

    #[inline]
    fn weight(&self, queue: usize) -> u64 {
        self.mini.weights[queue]
    }

    #[inline]
    fn len(&self) -> usize {
        (self.mini.lens[0] + self.mini.lens[1]) as usize
    }

    #[inline]
    fn promote(&mut self, queue: usize, slot: u32) {
        let weight = self.weights[slot as usize];
        if !self.mini.tells_sizes_apart() && self.mini.rotate(queue, slot as u16) {
            return;
        }
        self.mini.unlink(slot as u16, weight);
        self.mini.link(queue, slot as u16, weight);
    }

    #[inline]
    fn mark(&self, slot: u32) -> u8 {
        self.mini.cells[slot as usize].mark
    }

    fn clear_mark(&mut self, slot: u32) {
        self.mini.cells[slot as usize].mark = 0;
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
