//! Locks that order the writes of each key: few enough to take them all, many enough that two writers seldom meet.

use std::sync::{Mutex, MutexGuard, PoisonError};

use xxhash_rust::xxh3::xxh3_64;

const STRIPES: usize = 256;

/// Locks that order the writes of each key. Keys share them by hash.
pub(super) struct Stripes(Box<[Mutex<()>]>);

impl Default for Stripes {
    fn default() -> Self {
        Self((0..STRIPES).map(|_| Mutex::default()).collect())
    }
}

impl Stripes {
    fn index(row: &[u8]) -> usize {
        xxh3_64(row) as usize % STRIPES
    }

    fn take(&self, index: usize) -> MutexGuard<'_, ()> {
        self.0[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks what lies in this row.
    pub(super) fn lock(&self, row: &[u8]) -> MutexGuard<'_, ()> {
        self.take(Self::index(row))
    }

    /// Locks what lies in these rows, in an order that cannot deadlock.
    pub(super) fn lock_many<'a>(&self, rows: impl Iterator<Item = &'a [u8]>) -> Vec<MutexGuard<'_, ()>> {
        let mut indices: Vec<usize> = rows.map(Self::index).collect();
        indices.sort_unstable();
        indices.dedup();
        indices.into_iter().map(|index| self.take(index)).collect()
    }

    /// Locks everything.
    pub(super) fn lock_all(&self) -> Vec<MutexGuard<'_, ()>> {
        (0..STRIPES).map(|index| self.take(index)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_share_a_stripe_lock_it_once() {
        let stripes = Stripes::default();
        let rows: Vec<[u8; 2]> = (0_u16..20_000).map(u16::to_be_bytes).collect();
        assert_eq!(stripes.lock_many(rows.iter().map(|row| &row[..])).len(), STRIPES);
        assert_eq!(stripes.lock_all().len(), STRIPES);
    }
}
