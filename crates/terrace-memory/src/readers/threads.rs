//! The number of each thread that ever read: small, and given on when the thread ends.
//!
//! Decision: a number is what a thread's line is chosen by in every engine, so it is the thread's and not the engine's.
//! The smallest free number is given out first, which keeps the lines that a writer has to look at few.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

pub(super) const NONE: u32 = u32::MAX;

#[derive(Default)]
struct Numbers {
    free: BinaryHeap<Reverse<u32>>,
    next: u32,
}

// Not shuttle's: it is held for a moment only, and never across a point where schedules part.
static NUMBERS: std::sync::Mutex<Option<Numbers>> = std::sync::Mutex::new(None);

struct Registration(u32);

impl Drop for Registration {
    fn drop(&mut self) {
        set(NONE);
        give_back(self.0);
    }
}

#[cfg(not(shuttle))]
thread_local! {
    // Without a destructor, so that reading it is one load. The other one gives the number back.
    static CURRENT: Cell<u32> = const { Cell::new(NONE) };
    static REGISTRATION: Registration = { let number = lend(); set(number); Registration(number) };
}
#[cfg(shuttle)]
shuttle::thread_local! {
    static CURRENT: Cell<u32> = Cell::new(NONE);
    static REGISTRATION: Registration = { let number = lend(); set(number); Registration(number) };
}

#[inline]
pub(super) fn current() -> u32 {
    CURRENT.try_with(Cell::get).unwrap_or(NONE)
}

fn set(number: u32) {
    let _ = CURRENT.try_with(|current| current.set(number));
}

/// Gives the thread its number, unless it is ending.
pub(super) fn register() -> Option<u32> {
    REGISTRATION.try_with(|registration| registration.0).ok()
}

pub(super) fn lend() -> u32 {
    let mut numbers = NUMBERS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let numbers = numbers.get_or_insert_default();
    match numbers.free.pop() {
        Some(Reverse(number)) => number,
        None => {
            numbers.next += 1;
            numbers.next - 1
        }
    }
}

pub(super) fn give_back(number: u32) {
    let mut numbers = NUMBERS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    numbers.get_or_insert_default().free.push(Reverse(number));
}
