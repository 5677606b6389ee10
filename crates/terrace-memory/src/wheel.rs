//! A hierarchical timer wheel: which entries of a shard have come to their end.
//!
//! Decision: eleven levels of 64 places cover every millisecond a `u64` can name, so nothing is clamped. A
//! deadline stands on the level of the highest six-bit digit in which it differs from the wheel's time, and
//! moves down as that time comes near. A bitmap per level skips empty places, so a long pause costs no more
//! than a short one. The links live in a vector beside the cells that stays empty until some entry can expire.
//!
//! An idle entry is not moved when it is used: its stamp is, and when its old deadline fires it is put where
//! the stamp says. Whether an entry is dead is always computed from its own times, never from its place, so
//! a wheel that lags costs memory but never returns an expired entry.

use crate::entry::Cause;
use crate::slab::{NIL, Slab, cover};

const DIGIT: u32 = 6;
const PLACES: usize = 1 << DIGIT;
const LEVELS: usize = 11;
/// The place of deadlines that the wheel's time has passed already.
const DUE: u16 = (LEVELS * PLACES) as u16;
/// The place of entries that cannot expire.
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

/// Where the wheel finds the times of entries.
pub(crate) trait Times {
    /// When the entry is to be looked at; `u64::MAX` for never.
    fn deadline(&self, cell: u32) -> u64;
    /// Why it is dead at `now`, if it is.
    fn dead(&self, cell: u32, now: u64) -> Option<Cause>;
}

impl<K, V> Times for Slab<K, V> {
    fn deadline(&self, cell: u32) -> u64 {
        let (columns, place) = self.columns(cell);
        columns.deadline(place)
    }

    fn dead(&self, cell: u32, now: u64) -> Option<Cause> {
        let (columns, place) = self.columns(cell);
        columns.dead(place, now)
    }
}

struct Timer {
    previous: u32,
    next: u32,
    place: u16,
}

impl Default for Timer {
    fn default() -> Self {
        Timer { previous: NIL, next: NIL, place: NOWHERE }
    }
}

/// Heads of the lists of timers, one per place, and which places have one.
struct Places {
    heads: [u32; LEVELS * PLACES + 1],
    taken: [u64; LEVELS],
}

/// The timers of one shard.
#[derive(Default)]
pub(crate) struct Wheel {
    timers: Vec<Timer>,
    places: Option<Box<Places>>,
    /// Every place whose time begins before this has been emptied.
    time: u64,
    armed: usize,
}

impl Wheel {
    /// Watches an entry, whose lifetime ends, in place of what was watched of it before.
    pub(crate) fn arm(&mut self, times: &impl Times, slot: u32, now: u64) {
        self.disarm(slot);
        self.follow(times, now);
        cover(&mut self.timers, slot);
        self.link(times, slot);
    }

    /// The entry no longer ends by itself.
    pub(crate) fn disarm(&mut self, slot: u32) {
        if self.timers.get(slot as usize).is_some_and(|timer| timer.place != NOWHERE) {
            self.unlink(slot);
        }
    }

    /// Whether [`expire`](Wheel::expire) would find work.
    pub(crate) fn is_due(&self, now: u64) -> bool {
        let behind = now.saturating_add(PATIENCE_MS) < self.time;
        self.armed > 0 && (behind || self.next_place().is_some_and(|(_, begins)| begins <= now))
    }

    /// The next entry that is dead at `now`, disarmed, and why. Takes one off `steps` for each timer looked at
    /// and stops at 0, so that one call stays short after a long pause.
    #[inline]
    pub(crate) fn expire(&mut self, times: &impl Times, now: u64, steps: &mut usize) -> Option<(u32, Cause)> {
        if self.armed == 0 {
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
            let slot = self.head(place);
            self.unlink(slot);
            match times.dead(slot, now) {
                Some(cause) => return Some((slot, cause)),
                None => self.link(times, slot),
            }
        }
        None
    }

    pub(crate) fn clear(&mut self) {
        *self = Wheel::default();
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.timers.capacity() * size_of::<Timer>() + self.places.as_ref().map_or(0, |_| size_of::<Places>())
    }

    /// Sets the wheel back when the clock went back by far: waiting for the old time to come again would keep
    /// dead entries in memory for as long.
    fn follow(&mut self, times: &impl Times, now: u64) {
        if now.saturating_add(PATIENCE_MS) < self.time {
            let armed: Vec<u32> = (0..self.timers.len() as u32)
                .filter(|slot| self.timers[*slot as usize].place != NOWHERE)
                .collect();
            for slot in &armed {
                self.unlink(*slot);
            }
            self.time = now;
            for slot in armed {
                self.link(times, slot);
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

    fn link(&mut self, times: &impl Times, slot: u32) {
        let deadline = times.deadline(slot);
        let place = place_of(self.time, deadline);
        let places = self.places.get_or_insert_with(|| {
            Box::new(Places { heads: [NIL; LEVELS * PLACES + 1], taken: [0; LEVELS] })
        });
        let head = std::mem::replace(&mut places.heads[place as usize], slot);
        if place != DUE {
            places.taken[place as usize / PLACES] |= 1 << (place as usize % PLACES);
        }
        if head != NIL {
            self.timers[head as usize].previous = slot;
        }
        let timer = &mut self.timers[slot as usize];
        (timer.previous, timer.next, timer.place) = (NIL, head, place);
        self.armed += 1;
    }

    fn unlink(&mut self, slot: u32) {
        let timer = &mut self.timers[slot as usize];
        let (previous, next, place) = (timer.previous, timer.next, timer.place);
        timer.place = NOWHERE;
        if next != NIL {
            self.timers[next as usize].previous = previous;
        }
        if previous != NIL {
            self.timers[previous as usize].next = next;
        } else if let Some(places) = &mut self.places {
            places.heads[place as usize] = next;
            if next == NIL && place != DUE {
                places.taken[place as usize / PLACES] &= !(1 << (place as usize % PLACES));
            }
        }
        self.armed -= 1;
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
