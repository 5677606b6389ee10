//! Where the chunks of a slab are.

use std::ptr::{self, NonNull};

use crate::cell::Cell;
use crate::column::Columns;
use crate::sync::AtomicPtr;

/// Chunk by chunk, where the cells are and where the columns beside them are. Cells are told by where number 0 would be if
/// all cells lay side by side, which saves a hit a step; to that place itself nobody goes.
pub(super) struct Directory<K, V> {
    pub(super) cells: NonNull<[AtomicPtr<Cell<K, V>>]>,
    pub(super) columns: NonNull<[AtomicPtr<Columns>]>,
}

impl<K, V> Directory<K, V> {
    pub(super) fn with_places(places: usize) -> Self {
        fn absent<T>(places: usize) -> NonNull<[AtomicPtr<T>]> {
            let all: Box<[_]> = (0..places).map(|_| AtomicPtr::new(ptr::null_mut())).collect();
            NonNull::from(Box::leak(all))
        }
        Directory { cells: absent(places), columns: absent(places) }
    }

    pub(super) fn cells(&self) -> &[AtomicPtr<Cell<K, V>>] {
        // SAFETY: it stands for a box, which `free` alone frees.
        unsafe { self.cells.as_ref() }
    }

    pub(super) fn columns(&self) -> &[AtomicPtr<Columns>] {
        // SAFETY: as above.
        unsafe { self.columns.as_ref() }
    }

    /// # Safety
    ///
    /// Nobody looks into it any more.
    pub(super) unsafe fn free(self) {
        // SAFETY: both were boxes, and the directory is given up.
        unsafe {
            drop(Box::from_raw(self.cells.as_ptr()));
            drop(Box::from_raw(self.columns.as_ptr()));
        }
    }
}
