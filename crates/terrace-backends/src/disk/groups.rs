//! Namespaces and the numbers under which the log counts them.
//!
//! Decision: the table is one entry of the log, under bytes that are no key of the contract, and is written again when a
//! namespace is used for the first time, before anything is put there. So it has the durability of what it is
//! needed for, and a crash leaves at most a number that nothing uses. Keys carry the name of their namespace themselves: the
//! numbers are only for counting and clearing.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use bytes::Bytes;
use foldhash::quality::RandomState;
use terrace_disk::{Disk, Put};
use terrace_store::{Error, ErrorKind, Namespace, Result};

use super::error::translate;

/// Shorter than any key whose namespace has a name of 255 bytes.
const TABLE: &[u8] = &[255, b'n'];

/// The table by what flat keys of a namespace begin with.
type Numbers = HashMap<Bytes, u32, RandomState>;

/// Puts the table. What is put under its numbers comes later in the log, and is committed with it.
fn write(disk: &Disk, numbers: &Numbers, now_ms: u64) -> Result<()> {
    if numbers.is_empty() {
        return Ok(());
    }
    let mut table = Vec::new();
    for (prefix, number) in numbers {
        table.extend_from_slice(prefix);
        table.extend_from_slice(&number.to_le_bytes());
    }
    let put = Put { value: &table, deferred: true, ..Put::default() };
    disk.put(TABLE, &put, now_ms).map(drop).map_err(|error| translate("put", error))
}

/// The numbers, by what flat keys of the namespace begin with.
pub(super) struct Groups {
    numbers: RwLock<Numbers>,
}

impl Groups {
    /// The table as the log has it.
    ///
    /// # Errors
    /// Those of the log; `Corrupt` if the table was damaged.
    pub(super) fn read(disk: &Disk, now_ms: u64) -> Result<Self> {
        let found = disk.get(TABLE, now_ms).map_err(|error| translate("open", error))?;
        let mut numbers = HashMap::default();
        let mut rest = found.map(|entry| entry.value).unwrap_or_default();
        while !rest.is_empty() {
            let len = 1 + usize::from(rest[0]);
            if rest.len() < len + 4 {
                return Err(Error::new(ErrorKind::Corrupt, "open")
                    .with("store", super::NAME)
                    .because("the table of namespaces is cut"));
            }
            let prefix = rest.split_to(len);
            let mut number = [0; 4];
            number.copy_from_slice(&rest.split_to(4));
            numbers.insert(prefix, u32::from_le_bytes(number));
        }
        Ok(Self { numbers: RwLock::new(numbers) })
    }

    /// The number of a namespace that was put to before.
    pub(super) fn known(&self, prefix: &[u8]) -> Option<u32> {
        self.numbers.read().unwrap_or_else(PoisonError::into_inner).get(prefix).copied()
    }

    /// The number of the namespace whose flat keys begin so, a new one if need be.
    ///
    /// # Errors
    /// Those of a put, if the table has to be written.
    pub(super) fn number(&self, disk: &Disk, prefix: &[u8], now_ms: u64) -> Result<u32> {
        if let Some(number) = self.known(prefix) {
            return Ok(number);
        }
        let mut numbers = self.numbers.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = numbers.get(prefix) {
            return Ok(*number);
        }
        // Zero is the log's own.
        let number = numbers.values().max().map_or(1, |highest| highest + 1);
        let prefix = Bytes::copy_from_slice(prefix);
        numbers.insert(prefix.clone(), number);
        if let Err(error) = write(disk, &numbers, now_ms) {
            numbers.remove(&prefix);
            return Err(error);
        }
        Ok(number)
    }

    /// Empties the log, but for this table.
    ///
    /// # Errors
    /// Those of a clear and of a put.
    pub(super) fn clear_all(
        &self,
        disk: &Disk,
        floor_deadline_ms: u64,
        now_ms: u64,
        then: &dyn Fn(),
    ) -> Result<u64> {
        let numbers = self.numbers.write().unwrap_or_else(PoisonError::into_inner);
        let removed = disk
            .clear_then(None, floor_deadline_ms, now_ms, then)
            .map_err(|error| translate("clear", error))?;
        // If it is not written again because the process ends here, nothing needs the numbers.
        write(disk, &numbers, now_ms)?;
        Ok(removed.saturating_sub(1))
    }

    /// The namespaces that hold anything.
    ///
    /// # Errors
    /// None in practice: each was a namespace when it was put to.
    pub(super) fn in_use(&self, disk: &Disk) -> Result<Vec<Namespace>> {
        let held: Vec<u32> =
            disk.groups().into_iter().filter(|(_, tally)| tally.count > 0).map(|(group, _)| group).collect();
        let numbers = self.numbers.read().unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<_> = numbers.iter().filter(|(_, number)| held.contains(number)).collect();
        found.sort_unstable();
        found.into_iter().map(|(prefix, _)| Namespace::new(&prefix[1..])).collect()
    }
}
