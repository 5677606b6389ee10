//! What a look into the index finds.

use super::Core;
use crate::cell::{Cell, Pair, flag};
use crate::entry::Cause;

/// An entry that a reader found.
pub(crate) struct Found<'p, K, V> {
    pub(super) core: &'p Core<K, V>,
    pub(crate) cell: &'p Cell<K, V>,
    pub(crate) number: u32,
}

impl<'p, K, V> Found<'p, K, V> {
    #[inline]
    pub(crate) fn pair(&self) -> &'p Pair<K, V> {
        // SAFETY: it was found in the table, under a pin or a lock that outlives `'p`.
        unsafe { self.cell.pair() }
    }

    /// Why it is dead at `now`, if it is.
    #[inline]
    pub(crate) fn dead(&self, now: u64) -> Option<Cause> {
        if self.cell.is(flag::TIMED) { self.core.dead_by_time(self.number, now) } else { None }
    }

    /// Whether it is alive; if so, this is a use for its idle limit. Asks the time only if that matters.
    #[inline]
    pub(crate) fn use_at(&self, now: impl FnOnce() -> u64) -> bool {
        !self.cell.is(flag::TIMED) || self.core.use_in_time(self.number, now())
    }
}
