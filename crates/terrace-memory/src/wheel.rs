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
mod tests {
    use super::*;
    use crate::column::Columns;
    use proptest::prelude::*;

    /// The times of a hundred entries, and their wheel.
    struct Watched {
        columns: Columns,
        wheel: Wheel,
    }

    impl Times for Columns {
        fn deadline(&self, cell: u32) -> u64 {
            Columns::deadline(self, cell as usize)
        }

        fn dead(&self, cell: u32, now: u64) -> Option<Cause> {
            Columns::dead(self, cell as usize, now)
        }
    }

    impl Watched {
        fn new() -> Self {
            Watched { columns: Columns::new(1000), wheel: Wheel::default() }
        }

        fn arm(&mut self, slot: u32, lifetime: Lifetime, now: u64) {
            self.columns.set_lifetime(slot as usize, lifetime, now);
            self.wheel.arm(&self.columns, slot, now);
        }

        fn disarm(&mut self, slot: u32) {
            self.columns.set_lifetime(slot as usize, Lifetime::default(), 0);
            self.wheel.disarm(slot);
        }

        fn dead(&self, slot: u32, now: u64) -> Option<Cause> {
            self.columns.dead(slot as usize, now)
        }

        fn touch(&self, slot: u32, now: u64) {
            self.columns.touch(slot as usize, now);
        }

        fn expire(&mut self, now: u64, steps: &mut usize) -> Option<(u32, Cause)> {
            self.wheel.expire(&self.columns, now, steps)
        }
    }

    fn at(expires_at: u64) -> Lifetime {
        Lifetime { expires_at: Some(expires_at), idle: None }
    }

    fn idle(idle: u64) -> Lifetime {
        Lifetime { expires_at: None, idle: Some(idle) }
    }

    fn expired(wheel: &mut Watched, now: u64) -> Vec<u32> {
        let mut steps = usize::MAX;
        let mut slots: Vec<u32> =
            std::iter::from_fn(|| wheel.expire(now, &mut steps)).map(|(slot, _)| slot).collect();
        slots.sort_unstable();
        slots
    }

    #[test]
    fn entries_expire_at_their_very_millisecond() {
        let mut wheel = Watched::new();
        for (slot, time) in [1, 63, 64, 65, 4095, 4096, 1 << 40, u64::MAX - 1].into_iter().enumerate() {
            wheel.arm(slot as u32, at(time), 0);
        }
        assert_eq!(expired(&mut wheel, 0), []);
        assert_eq!(expired(&mut wheel, 62), [0]);
        assert_eq!(expired(&mut wheel, 63), [1]);
        assert_eq!(expired(&mut wheel, 65), [2, 3]);
        assert_eq!(expired(&mut wheel, (1 << 40) - 1), [4, 5]);
        assert_eq!(expired(&mut wheel, 1 << 40), [6]);
        assert_eq!(expired(&mut wheel, u64::MAX), [7]);
        assert!(!wheel.wheel.is_due(u64::MAX));
    }

    #[test]
    fn nothing_is_allocated_until_something_can_expire() {
        let mut wheel = Watched::new();
        wheel.wheel.disarm(5);
        assert_eq!((wheel.expire(10, &mut 9), wheel.wheel.heap_bytes()), (None, 0));
    }

    #[test]
    fn a_disarmed_entry_never_ends() {
        let mut wheel = Watched::new();
        wheel.arm(0, Lifetime { expires_at: Some(10), idle: Some(5) }, 0);
        wheel.disarm(0);
        assert_eq!(wheel.dead(0, u64::MAX), None);
        assert_eq!(expired(&mut wheel, u64::MAX), []);
    }

    #[test]
    fn use_keeps_an_idle_entry_and_is_stamped_a_sixteenth_apart() {
        let mut wheel = Watched::new();
        wheel.arm(0, idle(1600), 0);
        wheel.touch(0, 100);
        wheel.touch(0, 101);
        assert_eq!(expired(&mut wheel, 1700), []);
        assert_eq!(wheel.dead(0, 1700), None);
        assert_eq!(wheel.dead(0, 1701), Some(Cause::Idle));
        assert_eq!(expired(&mut wheel, 1701), [0]);
    }

    #[test]
    fn steps_bound_the_work_of_one_call_and_nothing_is_lost_between_calls() {
        let mut wheel = Watched::new();
        for slot in 0..1000 {
            wheel.arm(slot, at(5000 + u64::from(slot) * 7), 0);
        }
        let mut seen = Vec::new();
        for _ in 0..100_000 {
            let mut steps = 3;
            while let Some((slot, _)) = wheel.expire(10_000, &mut steps) {
                seen.push(slot);
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..715).collect::<Vec<_>>());
        assert_eq!(expired(&mut wheel, 20_000).len(), 285);
    }

    #[test]
    fn a_clock_that_jumps_ahead_and_back_neither_loses_nor_keeps_entries() {
        let mut wheel = Watched::new();
        wheel.arm(0, at(1_000_000), 0);
        assert_eq!(expired(&mut wheel, 900_000), []);
        wheel.arm(1, at(60_000), 50_000);
        assert_eq!(expired(&mut wheel, 59_999), []);
        assert_eq!(expired(&mut wheel, 60_000), [1]);
        assert_eq!(expired(&mut wheel, 1_000_000), [0]);
    }

    #[test]
    fn a_clock_a_little_behind_is_waited_for() {
        let mut wheel = Watched::new();
        wheel.arm(0, at(9_000), 0);
        assert_eq!(expired(&mut wheel, 5_000), []);
        wheel.arm(1, at(4_900), 4_800);
        assert_eq!(expired(&mut wheel, 4_899), []);
        assert_eq!(expired(&mut wheel, 5_000), [1]);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Arm(u32, u64),
        ArmIdle(u32, u64),
        Touch(u32),
        Disarm(u32),
        Wait(u64),
        Back(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let far = prop_oneof![0..100u64, 0..10_000u64, 0..100_000_000u64];
        prop_oneof![
            4 => (0..20u32, far.clone()).prop_map(|(slot, after)| Step::Arm(slot, after)),
            2 => (0..20u32, 1..5_000u64).prop_map(|(slot, limit)| Step::ArmIdle(slot, limit)),
            2 => (0..20u32).prop_map(Step::Touch),
            1 => (0..20u32).prop_map(Step::Disarm),
            4 => far.prop_map(Step::Wait),
            1 => (0..20_000u64).prop_map(Step::Back),
        ]
    }

    proptest! {
        /// The model looks at every timer; the wheel must report the same. Once the clock has gone back it may
        /// report later, but still everything in the end.
        #[test]
        fn the_wheel_agrees_with_looking_at_every_timer(steps in proptest::collection::vec(step(), 1..200)) {
            let mut wheel = Watched::new();
            let mut model = std::collections::BTreeMap::new();
            let (mut now, mut went_back) = (1_000_000u64, false);
            for step in steps {
                match step {
                    Step::Arm(slot, after) => {
                        wheel.arm(slot, at(now + after), now);
                        model.insert(slot, (now + after, None));
                    }
                    Step::ArmIdle(slot, limit) => {
                        wheel.arm(slot, idle(limit), now);
                        model.insert(slot, (now + limit, Some((limit, now))));
                    }
                    Step::Touch(slot) => {
                        wheel.touch(slot, now);
                        if let Some((ends, Some((limit, used)))) = model.get_mut(&slot)
                            && used.abs_diff(now) > *limit / 16
                        {
                            (*used, *ends) = (now, now + *limit);
                        }
                    }
                    Step::Disarm(slot) => {
                        wheel.disarm(slot);
                        model.remove(&slot);
                    }
                    Step::Wait(pause) => now += pause,
                    Step::Back(jump) => {
                        now -= jump.min(now);
                        went_back = true;
                    }
                }
                for (slot, (ends, _)) in &model {
                    prop_assert_eq!(wheel.dead(*slot, now).is_some(), *ends <= now);
                }
                let gone = expired(&mut wheel, now);
                let dead: Vec<u32> =
                    model.iter().filter(|(_, (ends, _))| *ends <= now).map(|(slot, _)| *slot).collect();
                prop_assert!(gone.iter().all(|slot| dead.contains(slot)));
                if !went_back {
                    prop_assert_eq!(&gone, &dead);
                }
                for slot in gone {
                    model.remove(&slot);
                }
            }
            let rest: Vec<u32> = model.into_keys().collect();
            prop_assert_eq!(expired(&mut wheel, u64::MAX - 1), rest);
        }
    }
}
