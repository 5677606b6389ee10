//! What the structure can be told to do, and the behaviours that are tried against each other.
//!
//! Decision: a behaviour is a point in one small space (how large the window is, how an entry gets from it into
//! the main queue, how long ghosts count), so switching from one to another moves nothing: the next evictions
//! just follow other rules.

use std::fmt;

use super::super::Aim;
use super::ghosts::TURN;

/// How an entry whose window time is up, and that was not used enough there, may still get into main.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It leaves; if its key comes back while its ghost is remembered, it enters main at once.
    Ghost,
    /// It takes the place of main's next victim if its key was asked for more often (as in W-TinyLFU).
    Frequency,
    /// Either way.
    Both,
}

/// One behaviour of the structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The window's part of the weight, in thousandths. 1000 means that there is no main queue: FIFO or CLOCK.
    pub window: u16,
    /// How to get from the window into main.
    pub admission: Admission,
    /// Uses in the window that earn a place in main without question; above the highest count, none do.
    pub uses: u8,
    /// The most rounds an entry of main can have saved up.
    pub lives: u8,
    /// How long ghosts count, in quarters of a turn (the eviction of as much as the cache holds).
    pub ghost: u8,
    /// Whether main, while it has room, takes what overflows the window. If not, what came in while the cache
    /// filled has to earn its place like everything after it.
    pub spill: bool,
    /// How much earlier large entries leave than small ones.
    pub preference: Preference,
}

/// How the time an entry stays unused depends on its size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preference {
    /// Not at all.
    #[default]
    None,
    /// Four times the size leaves in half the time.
    Root,
    /// Twice the size leaves in half the time, so a byte of each gives as many hits.
    Full,
}

/// The lead plain FIFO needs, in that of others.
const DOUBT: f64 = 3.0;
/// No number of uses suffices.
const NEVER: u8 = u8::MAX;

const fn rules(window: u16, admission: Admission, uses: u8, lives: u8, turns: u8, spill: bool) -> Rules {
    Rules { window, admission, uses, lives, ghost: turns * TURN, spill, preference: Preference::None }
}

/// The behaviours that compete. On a set of block, database, web, object and loop traces the best of them for
/// each trace and size closes more of the gap to the optimum than the best of seventeen published policies
/// (`docs/policy.md`); they were chosen greedily from 120 for that, each for what it adds to the others.
pub(super) const CANDIDATES: [Rules; COUNT] = [
    rules(10, Admission::Ghost, 1, 3, 1, true),
    rules(10, Admission::Frequency, NEVER, 1, 0, true),
    rules(400, Admission::Frequency, NEVER, 3, 0, true),
    rules(100, Admission::Ghost, 2, 3, 3, false),
    rules(400, Admission::Ghost, 1, 3, 3, false),
    rules(1000, Admission::Ghost, NEVER, 3, 0, true),
    rules(30, Admission::Both, 1, 3, 1, false),
    rules(200, Admission::Ghost, 1, 3, 3, false),
    rules(1000, Admission::Ghost, 1, 3, 0, true),
    rules(200, Admission::Frequency, NEVER, 3, 0, true),
];

/// Those that compete where sizes differ and hits count: they all let large entries leave earlier. Like the others,
/// they were chosen greedily, on traces with sizes; the window of a tenth is worth a place here.
const FOR_OBJECTS: [Rules; COUNT] = {
    use Preference::{Full, Root};
    [
        CANDIDATES[0].preferring(Full),
        CANDIDATES[1].preferring(Full),
        rules(100, Admission::Both, 1, 3, 3, true).preferring(Full),
        CANDIDATES[3].preferring(Full),
        CANDIDATES[4].preferring(Full),
        CANDIDATES[4].preferring(Root),
        CANDIDATES[6].preferring(Full),
        CANDIDATES[7].preferring(Full),
        CANDIDATES[8].preferring(Full),
        rules(100, Admission::Ghost, 1, 3, 1, false).preferring(Full),
    ]
};

/// Those that compete where sizes differ and bytes count.
const FOR_BYTES: [Rules; COUNT] = {
    use Preference::{Full, Root};
    [
        rules(100, Admission::Ghost, 1, 3, 1, false),
        CANDIDATES[1],
        CANDIDATES[7].preferring(Full),
        CANDIDATES[3],
        CANDIDATES[4],
        CANDIDATES[3].preferring(Full),
        CANDIDATES[6],
        CANDIDATES[7],
        CANDIDATES[8],
        CANDIDATES[7].preferring(Root),
    ]
};

/// How many compete at a time.
pub(super) const COUNT: usize = 10;

/// All candidates. Those of one list compete at a time; [`COLD`] and [`CLOCK`] are alike in each.
static LISTS: [[Rules; COUNT]; 3] = [CANDIDATES, FOR_OBJECTS, FOR_BYTES];

/// Some candidates that compete at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct List {
    /// The index of the first of them in all lists.
    pub(super) start: usize,
    /// Which of them rules until something is known.
    pub(super) first: usize,
}

impl List {
    /// For entries of one size.
    pub(super) const ALIKE: List = List { start: 0, first: 7 };

    /// For entries of different sizes.
    pub(super) fn by_size(aim: Aim) -> List {
        match aim {
            Aim::Objects => List { start: COUNT, first: 6 },
            Aim::Bytes => List { start: 2 * COUNT, first: 0 },
        }
    }
}

/// The rules of an index into all lists, one after the other.
#[inline]
pub(super) fn at(index: usize) -> &'static Rules {
    &LISTS.as_flattened()[index]
}

/// The candidate for workloads that fill the cache without a hit: loops and scans longer than the cache. It
/// keeps what is there.
pub(super) const COLD: usize = 1;

/// The candidate that keeps nothing in a main queue, alike in each list: whatever the cache held before, that leaves first.
pub(super) const CLOCK: usize = 8;

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_one_queue() {
            return f.write_str(if self.uses == NEVER { "first in, first out" } else { "clock" });
        }
        let admission = match self.admission {
            Admission::Ghost => "whose keys come back",
            Admission::Frequency => "that are asked for more often",
            Admission::Both => "whose keys come back or are asked for more often",
        };
        write!(f, "window of {} %, keeps entries {admission}", f64::from(self.window) / 10.0)?;
        if self.uses != NEVER {
            write!(f, " or that were used in it {}", if self.uses == 1 { "once" } else { "more than once" })?;
        }
        Ok(())
    }
}

impl Rules {
    const fn preferring(self, preference: Preference) -> Rules {
        Rules { preference, ..self }
    }

    /// The weight the window may have where all entries together weigh `total`.
    #[inline]
    pub(super) fn window_weight(&self, total: u64) -> u64 {
        if self.is_one_queue() { total.max(1) } else { (total * u64::from(self.window) / 1000).max(1) }
    }

    /// How many times the usual lead these rules need. Plain FIFO keeps nothing for having been used, so choosing
    /// it by mistake costs most: it has to be far ahead.
    pub(super) fn doubt(&self) -> f64 {
        if self.is_one_queue() && self.uses == NEVER { DOUBT } else { 1.0 }
    }

    #[inline]
    pub(super) fn is_one_queue(&self) -> bool {
        self.window >= 1000
    }

    #[inline]
    pub(super) fn compares_frequencies(&self) -> bool {
        self.admission != Admission::Ghost
    }

    /// Whether a key that left this many quarters of a turn ago enters main at once.
    #[inline]
    pub(super) fn ghost_counts(&self, age: u8) -> bool {
        self.admission != Admission::Frequency && age <= self.ghost && !self.is_one_queue()
    }
}
