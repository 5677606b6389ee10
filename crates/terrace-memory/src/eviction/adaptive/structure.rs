//! The structure whose behaviour adapts: a window and a main queue, both first in first out, in which entries
//! that were used get another round.
//!
//! Decision: the algorithm is written once, over whatever keeps the queues: the shard's own queues, and the
//! miniature ones that foresee how other rules would do. A hit only raises the entry's mark; all moves happen
//! when somebody needs room, so a burst of hits is worth no more than its count. On our traces that is not a
//! compromise: moving entries at each hit closes less of the gap to the optimum, not more.

use super::rules::{Preference, Rules};

pub(super) const WINDOW: usize = 0;
pub(super) const MAIN: usize = 1;

/// Uses are counted this far; then a hit writes nothing any more.
pub(super) const MOST_USES: u8 = 15;
const MOST_FREQUENCY: u8 = 15;

/// What is known of an entry besides its mark, in one byte: how often its key was asked for lately (4 bits),
/// the rounds it has saved up (2 bits), and whether it is in main only because there was room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct State(pub(super) u8);

impl State {
    const UNPROVEN: u8 = 0x40;

    pub(super) fn new(frequency: u8) -> Self {
        State(frequency.min(MOST_FREQUENCY))
    }

    #[inline]
    pub(super) fn frequency(self) -> u8 {
        self.0 & 0x0f
    }

    fn more_frequent(self, uses: u8) -> Self {
        State(self.0 & 0xf0 | (self.frequency() + uses.min(MOST_FREQUENCY)).min(MOST_FREQUENCY))
    }

    pub(super) fn half_as_frequent(self) -> Self {
        State((self.0 & 0xf0) | (self.frequency() / 2))
    }

    /// The same for a key whose entry is there: it was asked for once at least, so that no newcomer that was asked
    /// for only once counts for more.
    pub(super) fn half_but_one(self) -> Self {
        State((self.0 & 0xf0) | (self.frequency() / 2).max(1))
    }

    fn lives(self) -> u8 {
        self.0 >> 4 & 3
    }

    fn with_lives(self, lives: u8) -> Self {
        State(self.0 & !0x30 | lives.min(3) << 4)
    }

    fn is_unproven(self) -> bool {
        self.0 & Self::UNPROVEN != 0
    }

    fn proven(self) -> Self {
        State(self.0 & !Self::UNPROVEN)
    }

    fn unproven(self) -> Self {
        State(self.0 | Self::UNPROVEN)
    }
}

/// What keeps the queues.
pub(super) trait Body {
    /// The entry of a queue that has been there longest, for its size.
    fn tail(&self, queue: usize, preference: Preference) -> Option<u32>;
    /// What an entry weighs.
    fn weight_of(&self, slot: u32) -> u32;
    fn weight(&self, queue: usize) -> u64;
    /// How many entries there are.
    fn len(&self) -> usize;
    /// Moves an entry to the head of this queue.
    fn promote(&mut self, queue: usize, slot: u32);
    fn mark(&self, slot: u32) -> u8;
    fn clear_mark(&mut self, slot: u32);
    fn state(&self, slot: u32) -> State;
    fn set_state(&mut self, slot: u32, state: State);
    /// So many uses were counted; frequencies age by them.
    fn counted(&mut self, uses: u8);
    /// Takes an entry out for good; whether it leaves a ghost.
    fn leave(&mut self, slot: u32, ghost: bool);
}

/// How often a search has gone on to another entry. Hits at the same moment could keep it from ending, so at some point
/// marks are not heeded.
struct Steps(usize);

impl Steps {
    /// So many are never too many, and how many are need not be reckoned.
    const FEW: usize = 64;

    #[inline]
    fn are_over<B: Body>(&self, body: &B, rules: &Rules) -> bool {
        self.0 > Self::FEW && self.0 > body.len() * (usize::from(rules.lives) + 2)
    }

    /// Counts one, and tells whether there were too many.
    #[inline]
    fn one_more<B: Body>(&mut self, body: &B, rules: &Rules) -> bool {
        self.0 += 1;
        self.are_over(body, rules)
    }
}

/// Chooses the entry to leave, and takes it out.
pub(super) fn victim<B: Body>(body: &mut B, rules: &Rules) -> Option<u32> {
    let mut steps = Steps(0);
    loop {
        let held = [body.weight(WINDOW), body.weight(MAIN)];
        let total = held[WINDOW] + held[MAIN];
        let window = rules.window_weight(total).min(total);
        let is_over = steps.one_more(body, rules);
        let slot = match body.tail(MAIN, rules.preference) {
            // It is older than all of the window and as unproven: the window's true tail.
            Some(slot) if !rules.spill && body.state(slot).is_unproven() => slot,
            main if held[WINDOW] >= window || main.is_none() => {
                match step(body, rules, (held[MAIN], total - window), &mut steps) {
                    Step::Leaves(slot) => {
                        body.leave(slot, true);
                        return Some(slot);
                    }
                    Step::Moved => continue,
                    Step::Empty => return None,
                }
            }
            _ => {
                // It had its chance. If its ghost let it back in at once, a loop would chase itself through main.
                let slot = main_victim(body, rules, &mut steps)?;
                body.leave(slot, false);
                return Some(slot);
            }
        };
        let mark = body.mark(slot);
        let state = if mark > 0 { count(body, slot, mark) } else { body.state(slot) };
        if mark < rules.uses || is_over {
            body.leave(slot, true);
            return Some(slot);
        }
        body.set_state(slot, state.proven());
        body.promote(MAIN, slot);
    }
}

enum Step {
    Leaves(u32),
    Moved,
    Empty,
}

/// Decides on the entry whose time in the window is up.
#[inline(always)]
fn step<B: Body>(body: &mut B, rules: &Rules, (main, main_room): (u64, u64), steps: &mut Steps) -> Step {
    let Some(slot) = body.tail(WINDOW, rules.preference) else { return Step::Empty };
    let mark = body.mark(slot);
    let state = if mark > 0 { count(body, slot, mark) } else { body.state(slot) };
    let used = mark >= rules.uses && !steps.are_over(body, rules);
    if rules.is_one_queue() {
        if used {
            body.promote(WINDOW, slot);
            return Step::Moved;
        }
        return Step::Leaves(slot);
    }
    let spills = rules.spill && main < main_room;
    if used || spills {
        let state = state.with_lives(0);
        body.set_state(slot, if mark > 0 { state.proven() } else { state.unproven() });
        body.promote(MAIN, slot);
        return Step::Moved;
    }
    // A main queue that is still short has nobody to compare with.
    if rules.compares_frequencies()
        && main >= main_room / 2
        && let Some(other) = main_victim(body, rules, steps)
        && is_worth_more(body, rules, slot, other)
    {
        body.set_state(slot, state.with_lives(0).proven());
        body.promote(MAIN, slot);
        return Step::Leaves(other);
    }
    Step::Leaves(slot)
}

/// Whether an entry gives more uses for its size than another one.
fn is_worth_more<B: Body>(body: &B, rules: &Rules, slot: u32, other: u32) -> bool {
    let uses = |slot| u64::from(body.state(slot).frequency());
    let (uses, others) = (uses(slot), uses(other));
    let (weight, others_weight) = match rules.preference {
        Preference::None => (1, 1),
        _ => (u64::from(body.weight_of(slot).max(1)), u64::from(body.weight_of(other).max(1))),
    };
    match rules.preference {
        Preference::Root => uses * uses * others_weight > others * others * weight,
        _ => uses * others_weight > others * weight,
    }
}

/// The next of main to leave; it stays at the tail.
#[inline]
fn main_victim<B: Body>(body: &mut B, rules: &Rules, steps: &mut Steps) -> Option<u32> {
    let slot = body.tail(MAIN, rules.preference)?;
    // Most of what is not used for so long is done with, and then nothing moves.
    if body.mark(slot) == 0 && body.state(slot).lives() == 0 {
        return Some(slot);
    }
    seek_main_victim(body, rules, steps)
}

#[inline(never)]
fn seek_main_victim<B: Body>(body: &mut B, rules: &Rules, steps: &mut Steps) -> Option<u32> {
    while let Some(slot) = body.tail(MAIN, rules.preference) {
        let mark = body.mark(slot);
        let state = body.state(slot);
        let lives = (state.lives() + mark).min(rules.lives);
        if lives == 0 || steps.one_more(body, rules) {
            return Some(slot);
        }
        let state = if mark > 0 { count(body, slot, mark).proven() } else { state };
        body.set_state(slot, state.with_lives(lives - 1));
        body.promote(MAIN, slot);
    }
    None
}

/// Takes the uses off an entry's mark and adds them to its frequency.
fn count<B: Body>(body: &mut B, slot: u32, mark: u8) -> State {
    let state = body.state(slot).more_frequent(mark);
    body.clear_mark(slot);
    body.set_state(slot, state);
    body.counted(mark);
    state
}
