//! Several keys at once.
//!
//! Decision: the index is asked for all of them first, so that a device reads in one direction; what was not found there
//! costs no read.

use crate::error::Result;
use crate::read::Entry;
use crate::shared::Shared;

impl Shared {
    /// The entries of several keys, read in the order of the log.
    pub(crate) fn get_many(&self, keys: &[&[u8]], now: u64) -> Result<Vec<Option<Entry>>> {
        let mut order: Vec<(u16, u32, usize)> = Vec::with_capacity(keys.len());
        for (number, key) in keys.iter().enumerate() {
            let hash = self.index.hash(key);
            let table = self.index.read(hash.shard());
            let first =
                table.candidates(hash.tag()).find(|(_, slot)| !slot.is_tombstone() && !slot.is_over(now));
            if let Some((_, slot)) = first {
                order.push((slot.place().slot, slot.place().offset, number));
            } else {
                self.counters.read(false);
            }
        }
        order.sort_unstable();
        let mut entries = vec![None; keys.len()];
        for (_, _, number) in order {
            let (Some(key), Some(place)) = (keys.get(number), entries.get_mut(number)) else { continue };
            *place = self.get(key, now)?;
        }
        Ok(entries)
    }
}
