//! Values that are being made: who makes one, and who waits for it.
//!
//! Decision: a flight is known by the key's hash alone, so nothing is cloned and nothing is allocated unless
//! somebody waits; two keys with one hash then take turns, which is rare and harmless. It ends when its guard is
//! dropped, however the maker ends, and those who waited look again.

use std::sync::{Arc, PoisonError};

use crate::sync::waiting::{Condvar, Mutex};

/// Opens once.
#[derive(Default)]
pub(crate) struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    pub(crate) fn wait(&self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        while !*open {
            open = self.opened.wait(open).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(crate) fn open(&self) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.opened.notify_all();
    }
}

/// Who is asking: where a variable of the thread's own stands, which costs nothing to find out.
#[cfg(not(shuttle))]
fn this_thread() -> usize {
    thread_local!(static PLACE: std::cell::Cell<u8> = const { std::cell::Cell::new(0) });
    PLACE.with(|place| std::ptr::from_ref(place).addr())
}

#[cfg(not(shuttle))]
type Thread = usize;

#[cfg(shuttle)]
fn this_thread() -> Thread {
    crate::sync::who::current().id()
}

#[cfg(shuttle)]
type Thread = crate::sync::who::ThreadId;

struct Flight {
    hash: u64,
    maker: Thread,
    gate: Option<Arc<Gate>>,
}

/// The flights of one shard. Few at a time.
#[derive(Default)]
pub(crate) struct Flights(Vec<Flight>);

/// What somebody who wants a value that is not there has to do.
pub(crate) enum Turn {
    /// Make it, and tell when it is done.
    Make,
    /// Make it without telling anybody: this very thread is making it already, further up.
    MakeWithin,
    /// Wait, and look again.
    Wait(Arc<Gate>),
}

impl Flights {
    pub(crate) fn join(&mut self, hash: u64) -> Turn {
        let me = this_thread();
        match self.0.iter_mut().find(|flight| flight.hash == hash) {
            None => {
                self.0.push(Flight { hash, maker: me, gate: None });
                Turn::Make
            }
            Some(flight) if flight.maker == me => Turn::MakeWithin,
            Some(flight) => Turn::Wait(flight.gate.get_or_insert_default().clone()),
        }
    }

    /// Ends a flight. The gate, if anybody waits at it, is to be opened without a lock.
    pub(crate) fn end(&mut self, hash: u64) -> Option<Arc<Gate>> {
        let place = self.0.iter().position(|flight| flight.hash == hash)?;
        self.0.swap_remove(place).gate
    }
}
