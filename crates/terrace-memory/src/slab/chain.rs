//! Lists of cells.

use super::NIL;
use crate::cell::Cell;

/// Cells in a list through their words, the last one first.
#[derive(Clone, Copy)]
pub(crate) struct Chain {
    pub(crate) first: u32,
    pub(crate) last: u32,
    pub(crate) len: u32,
}

impl Chain {
    pub(crate) const EMPTY: Chain = Chain { first: NIL, last: NIL, len: 0 };

    /// Puts a cell, by its number, before those of the list.
    #[inline]
    pub(crate) fn put_first<K, V>(&mut self, number: u32, cell: &Cell<K, V>) {
        cell.set_word(self.first);
        self.first = number;
        if self.last == NIL {
            self.last = number;
        }
        self.len += 1;
    }
}
