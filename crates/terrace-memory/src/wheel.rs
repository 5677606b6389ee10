//! A hierarchical timer wheel: which entries of a shard have come to their end.
//!
//! Decision: what stands in the wheel are *rows* of 32 cells that lie side by side, not entries. A row stands where
//! the first of its entries may end, and a bit tells which of its cells may end at all; when its time comes its
//! cells' own times are looked at, all in one go. So an entry costs a bit and its share of the row, under a byte,
//! where links of its own cost twelve, and most of what is armed or disarmed changes no link at all.
//!
//! A row may come too early, because the entry it stood for has left or was used since; then it goes where its
//! next entry says. It never comes too late. Whether an entry is dead is always computed from its own times,
//! never from its place, so a wheel that lags costs memory but never returns an expired entry.
//!
//! Eleven levels of 64 places cover every millisecond a `u64` can name, so nothing is clamped. A row stands on the
//! level of the highest six-bit digit in which its time differs from the wheel's, and moves down as that time
//! comes near. A bitmap per level skips empty places, so a long pause costs no more than a short one.

use crate::column::NEVER;
use crate::entry::Cause;
use crate::slab::{NIL, Slab, cover};

const DIGIT: u32 = 6;
const PLACES: usize = 1 << DIGIT;
const LEVELS: usize = 11;
/// The place of rows whose time the wheel's has passed already.
const DUE: u16 = (LEVELS * PLACES) as u16;
/// The place of rows that are never due.
const NOWHERE: u16 = u16::MAX;
/// A clock that goes back by more than this moves the whole wheel; by less, the wheel waits for it.
const PATIENCE_MS: u64 = 1000;

/// When an entry ends: at a time, after a pause, or whichever comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifetime {
    /// The millisecond of the caller's scale from which on the entry is dead.
    pub expires_at: Option<u64>,
    /// The milliseconds without a use after which it is dead.
    pub idle: Option<u64>,
}

impl Lifetime {
    /// Whether it ends at all.
    pub(crate) fn ends(&self) -> bool {
        self.expires_at.is_some() || self.idle.is_some()
    }
}

/// Cells of a row. Whole rows make up a chunk of cells.
pub(crate) const ROW: u32 = 32;

/// What is to be told of the cells of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// A cell whose entry is dead, by its place in the row, and why.
    pub(crate) dead: Option<(u32, Cause)>,
    /// When one of the others may be dead, [`NEVER`] for not at all.
    pub(crate) next: u64,
}

/// Where the wheel finds the times of entries.
pub(crate) trait Times {
    /// When the entry is to be looked at; [`NEVER`] for not at all.
    fn deadline(&self, cell: u32) -> u64;
    /// Looks at those cells of a row, a bit each, that begins with this one.
    fn look(&self, first: u32, armed: u32, now: u64) -> Look;
}

impl<K, V> Times for Slab<K, V> {
    fn deadline(&self, cell: u32) -> u64 {
        let (columns, place) = self.columns(cell);
        columns.deadline(place)
    }

    fn look(&self, first: u32, armed: u32, now: u64) -> Look {
        let (columns, place) = self.columns(first);
        columns.look(place, armed, now)
    }
}

/// The timers of 32 cells.
struct Row {
    /// When it is looked at. None of its entries ends before, unless a clock went back.
    due: u64,
    /// Which of its cells may end.
    armed: u32,
    previous: u32,
    next: u32,
    /// Where it stands; [`NOWHERE`] if it is never due.
    place: u16,
}

impl Default for Row {
    fn default() -> Self {
        Row { due: NEVER, armed: 0, previous: NIL, next: NIL, place: NOWHERE }
    }
}

/// Heads of the lists of rows, one per place, and which places have one.
struct Places {
    heads: [u32; LEVELS * PLACES + 1],
    taken: [u64; LEVELS],
}

/// The timers of one shard.
#[derive(Default)]
pub(crate) struct Wheel {
    rows: Vec<Row>,
    places: Option<Box<Places>>,
    /// Every place whose time begins before this has been emptied.
    time: u64,
    /// Rows that stand somewhere.
    placed: usize,
}

impl Wheel {
    /// Watches an entry, whose lifetime ends, in place of what was watched of it before.
    pub(crate) fn arm(&mut self, times: &impl Times, cell: u32, now: u64) {
        self.follow(times, now);
        let number = cell / ROW;
        cover(&mut self.rows, number);
        let row = &mut self.rows[number as usize];
        row.armed |= 1 << (cell % ROW);
        let deadline = times.deadline(cell);
        if deadline < row.due {
            self.shift(number, deadline);
        }
    }

    /// The entry no longer ends by itself.
    pub(crate) fn disarm(&mut self, cell: u32) {
        let number = cell / ROW;
        if let Some(row) = self.rows.get_mut(number as usize) {
            row.armed &= !(1 << (cell % ROW));
            if row.armed == 0 {
                self.shift(number, NEVER);
            }
        }
    }

    /// Whether anything is ever due.
    #[inline]
    pub(crate) fn is_awake(&self) -> bool {
        self.placed > 0
    }

    /// Whether [`expire`](Wheel::expire) would find work.
    pub(crate) fn is_due(&self, now: u64) -> bool {
        let behind = now.saturating_add(PATIENCE_MS) < self.time;
        self.placed > 0 && (behind || self.next_place().is_some_and(|(_, begins)| begins <= now))
    }

    /// The next entry that is dead at `now`, disarmed, and why. Takes one off `steps` for each row looked at and
    /// stops at 0, so that one call stays short after a long pause.
    #[inline]
    pub(crate) fn expire(&mut self, times: &impl Times, now: u64, steps: &mut usize) -> Option<(u32, Cause)> {
        if self.placed == 0 {
            self.time = now;
            return None;
        }
        self.expire_armed(times, now, steps)
    }

    fn expire_armed(&mut self, times: &impl Times, now: u64, steps: &mut usize) -> Option<(u32, Cause)> {
        self.follow(times, now);
        while *steps > 0 {
            let Some((place, begins)) = self.next_place().filter(|(_, begins)| *begins <= now) else {
                self.time = self.time.max(now);
                return None;
            };
            self.time = self.time.max(begins);
            *steps -= 1;
            let number = self.head(place);
            let Row { due, armed, .. } = self.rows[number as usize];
            if due > now {
                // Not yet: it goes down a level.
                self.shift(number, due);
                continue;
            }
            let look = times.look(number * ROW, armed, now);
            self.shift(number, look.next);
            if let Some((place, cause)) = look.dead {
                let cell = number * ROW + place;
                self.disarm(cell);
                return Some((cell, cause));
            }
        }
        None
    }

    pub(crate) fn clear(&mut self) {
        *self = Wheel::default();
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.rows.capacity() * size_of::<Row>() + self.places.as_ref().map_or(0, |_| size_of::<Places>())
    }

    /// Sets the wheel back when the clock went back by far: waiting for the old time to come again would keep
    /// dead entries in memory for as long.
    fn follow(&mut self, times: &impl Times, now: u64) {
        if now.saturating_add(PATIENCE_MS) < self.time {
            let placed: Vec<u32> = (0..self.rows.len() as u32)
                .filter(|number| self.rows[*number as usize].place != NOWHERE)
                .collect();
            for number in &placed {
                self.unlink(*number);
            }
            self.time = now;
            for number in placed {
                let look = times.look(number * ROW, self.rows[number as usize].armed, now);
                self.shift(number, if look.dead.is_some() { now } else { look.next });
            }
        }
    }

    /// The place to look at next and the millisecond at which its time begins.
    fn next_place(&self) -> Option<(u16, u64)> {
        let places = self.places.as_ref()?;
        if places.heads[DUE as usize] != NIL {
            return Some((DUE, self.time));
        }
        // A place the time stands in is one that ran out of steps half emptied: it comes before the rest.
        for level in 1..LEVELS {
            let digit = digit(self.time, level);
            if places.taken[level] & (1 << digit) != 0 {
                return Some((place(level, digit), self.time));
            }
        }
        // A lower level ends before the next place of a higher one begins.
        for level in 0..LEVELS {
            let ahead = places.taken[level] & (u64::MAX << digit(self.time, level));
            if ahead != 0 {
                let digit = ahead.trailing_zeros() as usize;
                return Some((place(level, digit), begins(self.time, level, digit)));
            }
        }
        None
    }

    fn head(&self, place: u16) -> u32 {
        self.places.as_ref().map_or(NIL, |places| places.heads[place as usize])
    }

    /// Has a row looked at when it is due now.
    fn shift(&mut self, number: u32, due: u64) {
        self.unlink(number);
        self.rows[number as usize].due = due;
        if due != NEVER {
            self.link(number, place_of(self.time, due));
        }
    }

    fn link(&mut self, number: u32, place: u16) {
        let places = self.places.get_or_insert_with(|| {
            Box::new(Places { heads: [NIL; LEVELS * PLACES + 1], taken: [0; LEVELS] })
        });
        let head = std::mem::replace(&mut places.heads[place as usize], number);
        if place != DUE {
            places.taken[place as usize / PLACES] |= 1 << (place as usize % PLACES);
        }
        if head != NIL {
            self.rows[head as usize].previous = number;
        }
        let row = &mut self.rows[number as usize];
        (row.previous, row.next, row.place) = (NIL, head, place);
        self.placed += 1;
    }

    fn unlink(&mut self, number: u32) {
        let row = &mut self.rows[number as usize];
        let (previous, next, place) = (row.previous, row.next, row.place);
        if place == NOWHERE {
            return;
        }
        row.place = NOWHERE;
        if next != NIL {
            self.rows[next as usize].previous = previous;
        }
        if previous != NIL {
            self.rows[previous as usize].next = next;
        } else if let Some(places) = &mut self.places {
            places.heads[place as usize] = next;
            if next == NIL && place != DUE {
                places.taken[place as usize / PLACES] &= !(1 << (place as usize % PLACES));
            }
        }
        self.placed -= 1;
    }
}

fn digit(time: u64, level: usize) -> usize {
    (time >> (level as u32 * DIGIT)) as usize % PLACES
}

fn place(level: usize, digit: usize) -> u16 {
    (level * PLACES + digit) as u16
}

/// Where a deadline stands when the wheel's time is `time`.
fn place_of(time: u64, deadline: u64) -> u16 {
    if deadline <= time {
        return DUE;
    }
    let level = ((time ^ deadline).ilog2() / DIGIT) as usize;
    place(level, digit(deadline, level))
}

/// The millisecond at which a place's time begins.
fn begins(time: u64, level: usize, digit: usize) -> u64 {
    let shift = level as u32 * DIGIT;
    let above = u64::MAX.checked_shl(shift + DIGIT).unwrap_or(0);
    (time & above) | ((digit as u64) << shift)
}

#[cfg(all(test, not(shuttle)))]
mod tests;
