//! How many connections there are, and room for one more.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A limited number of seats.
#[derive(Clone)]
pub(super) struct Seats(Arc<State>);

struct State {
    taken: AtomicUsize,
    limit: usize,
}

/// Taken until it is dropped.
pub(super) struct Seat(Seats);

impl Seats {
    /// So many, all free.
    pub(super) fn new(limit: usize) -> Self {
        Self(Arc::new(State { taken: AtomicUsize::new(0), limit }))
    }

    /// A seat, if one is free.
    pub(super) fn take(&self) -> Option<Seat> {
        let take = |taken: usize| (taken < self.0.limit).then_some(taken + 1);
        self.0.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, take).ok()?;
        Some(Seat(self.clone()))
    }

    /// How many are taken.
    pub(super) fn taken(&self) -> usize {
        self.0.taken.load(Ordering::Acquire)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.0.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_given_back_is_free_again() {
        let seats = Seats::new(2);
        let (a, b) = (seats.take(), seats.take());
        assert!(a.is_some() && b.is_some() && seats.take().is_none());
        drop(a);
        assert_eq!(seats.taken(), 1);
        assert!(seats.take().is_some());
    }
}
