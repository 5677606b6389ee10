//! One entry of the index in sixteen bytes.
//!
//! ```text
//! word 0   63..32 tag: 32 bits of the hash     31..0 offset in the segment
//! word 1   63..48 segment's slot               47..16 deadline, seconds since 1970, rounded up; 0 for none
//!          15..3 length of the record in units of 64 bytes, rounded up; 8191 for longer     2..1 use     0 tombstone
//! ```
//! A slot whose length is zero is empty.

/// A record is read in one go if it is shorter than so many units.
const UNIT: usize = 64;
/// Stands for every longer record.
const LONG: u64 = (1 << 13) - 1;

const USE: u64 = 3 << 1;

/// An entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(pub(crate) u64, pub(crate) u64);

/// Where a record is: a segment's slot and an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) slot: u16,
    pub(crate) offset: u32,
}

impl Slot {
    pub(crate) const EMPTY: Self = Self(0, 0);

    pub(crate) fn new(tag: u32, place: Place, len: usize, expires_ms: Option<u64>, tombstone: bool) -> Self {
        let deadline = expires_ms.map_or(0, deadline_of);
        let units = (len.div_ceil(UNIT).max(1) as u64).min(LONG);
        Self(
            u64::from(tag) << 32 | u64::from(place.offset),
            u64::from(place.slot) << 48 | u64::from(deadline) << 16 | units << 3 | u64::from(tombstone),
        )
    }

    pub(crate) fn is_empty(self) -> bool {
        self.1 == 0
    }
    pub(crate) fn tag(self) -> u32 {
        (self.0 >> 32) as u32
    }
    pub(crate) fn place(self) -> Place {
        Place { slot: (self.1 >> 48) as u16, offset: self.0 as u32 }
    }
    /// Seconds; 0 if it has none.
    pub(crate) fn deadline(self) -> u32 {
        (self.1 >> 16) as u32
    }
    /// How many bytes hold the record; `None` if that is not known.
    pub(crate) fn most_bytes(self) -> Option<usize> {
        let units = self.1 >> 3 & LONG;
        (units != LONG).then_some(units as usize * UNIT)
    }
    pub(crate) fn is_tombstone(self) -> bool {
        self.1 & 1 != 0
    }
    /// The floor of the version in the record, which has expired, until this time.
    pub(crate) fn as_floor(self, deadline_ms: u64) -> Self {
        let kept = self.1 & !(USE | 0xFFFF_FFFF << 16);
        Self(self.0, kept | u64::from(deadline_of(deadline_ms)) << 16 | 1)
    }
    /// How often it was read lately, 0 to 3.
    pub(crate) fn used(self) -> u64 {
        (self.1 & USE) >> 1
    }
    pub(crate) fn with_used(self, used: u64) -> Self {
        Self(self.0, self.1 & !USE | used.min(3) << 1)
    }
    /// Whether its time is over for sure; the record knows to the millisecond.
    pub(crate) fn is_over(self, now_ms: u64) -> bool {
        self.deadline() != 0 && u64::from(self.deadline()) * 1000 <= now_ms
    }
}

/// A time in whole seconds, rounded up; never 0. What lies beyond the year 2106 is taken for that.
fn deadline_of(ms: u64) -> u32 {
    u32::try_from(ms.div_ceil(1000)).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_do_not_run_into_each_other() {
        let place = Place { slot: u16::MAX, offset: u32::MAX };
        let slot = Slot::new(u32::MAX, place, usize::MAX, Some(u64::MAX), true);
        assert_eq!((slot.tag(), slot.place(), slot.deadline()), (u32::MAX, place, u32::MAX));
        assert_eq!((slot.most_bytes(), slot.is_tombstone(), slot.used()), (None, true, 0));
        let slot = Slot::new(0, Place { slot: 0, offset: 0 }, 0, None, false);
        assert!(!slot.is_empty() && !slot.is_tombstone() && slot.deadline() == 0);
        assert_eq!(slot.with_used(9).used(), 3);
        assert_eq!(slot.with_used(2).used(), 2);
        assert_eq!(Slot::new(1, slot.place(), 65, Some(1), false).most_bytes(), Some(128));
        assert_eq!(Slot::new(1, slot.place(), 65, Some(1001), false).deadline(), 2);
        let floor = Slot::new(7, place, 65, Some(1), false).with_used(3).as_floor(5000);
        assert_eq!((floor.tag(), floor.place(), floor.deadline(), floor.used()), (7, place, 5, 0));
        assert!(floor.is_tombstone() && floor.most_bytes() == Some(128));
        assert_eq!(Slot::new(1, slot.place(), 8191 * 64, None, false).most_bytes(), None);
    }
}
