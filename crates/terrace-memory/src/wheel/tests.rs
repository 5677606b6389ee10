//! The wheel against timers that are all looked at.

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

    fn look(&self, first: u32, armed: u32, now: u64) -> Look {
        Columns::look(self, first as usize, armed, now)
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

#[test]
fn a_row_stands_where_its_first_entry_ends_and_moves_only_when_it_comes() {
    let mut wheel = Watched::new();
    let stands = |wheel: &Watched| wheel.wheel.rows[0].due;
    wheel.arm(3, at(5_000), 0);
    wheel.arm(4, at(9_000), 0);
    wheel.arm(5, at(4_000), 0);
    assert_eq!(stands(&wheel), 4_000);
    wheel.disarm(5);
    wheel.arm(3, at(7_000), 0);
    assert_eq!(stands(&wheel), 4_000, "a row that comes early costs less than moving it each time");
    assert_eq!(expired(&mut wheel, 4_000), []);
    assert_eq!((stands(&wheel), wheel.wheel.is_due(4_000)), (7_000, false));
    assert_eq!(expired(&mut wheel, 7_000), [3]);
    wheel.disarm(4);
    assert_eq!((stands(&wheel), wheel.wheel.placed), (NEVER, 0));
}

#[test]
fn an_entry_whose_limit_reaches_beyond_time_is_never_due() {
    let mut wheel = Watched::new();
    wheel.arm(0, idle(u64::MAX), 5);
    wheel.arm(40, idle(u64::MAX - 2), 5);
    assert_eq!(expired(&mut wheel, u64::MAX), []);
    assert!(!wheel.wheel.is_due(u64::MAX));
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
    // Twenty cells in three rows.
    let slot = || (0..20u32).prop_map(|slot| slot * 4);
    let far = prop_oneof![0..100u64, 0..10_000u64, 0..100_000_000u64];
    prop_oneof![
        4 => (slot(), far.clone()).prop_map(|(slot, after)| Step::Arm(slot, after)),
        2 => (slot(), 1..5_000u64).prop_map(|(slot, limit)| Step::ArmIdle(slot, limit)),
        2 => slot().prop_map(Step::Touch),
        1 => slot().prop_map(Step::Disarm),
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
