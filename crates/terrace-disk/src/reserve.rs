//! Versions that are given without a write.
//!
//! Decision: the log announces that versions up to a bound may be given, by a mark whose version is that bound, and
//! none is given before the announcement is on the disk. So a restart, of whatever kind, begins above the bound, and no
//! version is ever given twice; one fsync serves four thousand million of them, or as many bytes of log.

use crate::control::Control;
use crate::error::Result;
use crate::point::point;
use crate::record::{Draft, Head, Kind};
use crate::shared::Shared;
use crate::writer::{MARK_LEN, Purpose, Writer};

/// So far ahead versions are announced.
const AHEAD: u64 = 1 << 32;
/// What a version adds to a mark at most.
const VERSION_LEN: u64 = 16;

/// How far versions may be given without a write.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reserved {
    /// The log says so, though perhaps not yet on the disk.
    pub(crate) announced: u64,
    /// It is on the disk that they may be.
    synced: u64,
}

impl Shared {
    /// A version above every one given so far, and below every one given from now on.
    ///
    /// # Errors
    /// As of a delete, if an announcement has to be written.
    pub(crate) fn reserve(&self, now: u64) -> Result<u64> {
        self.check_open()?;
        loop {
            let (position, bound) = {
                let mut writer = self.writer.lock();
                let next = writer.position().max(writer.max_version + 1);
                if next <= writer.reserved.synced {
                    writer.max_version = next;
                    return Ok(next);
                }
                let bound = next.saturating_add(AHEAD);
                self.announce(&mut writer, bound, now)?;
                (writer.position(), bound)
            };
            self.wait_synced(position)?;
            let mut writer = self.writer.lock();
            writer.reserved.synced = writer.reserved.synced.max(bound);
        }
    }

    /// Notes in the log that versions up to this one may have been given.
    fn announce(&self, writer: &mut Writer, bound: u64, now: u64) -> Result<()> {
        self.begin(writer, MARK_LEN + VERSION_LEN, Purpose::Reserve, now)?;
        let start = writer.at();
        let mut value = Vec::new();
        Control::Mark { synced: u32::try_from(writer.marked).unwrap_or(0) }.append(&mut value);
        let mut draft = Draft { head: Head::new(Kind::Control), key: &[], meta: &[], stored: &value };
        let highest = writer.max_version;
        self.append(writer, &mut draft, Some(bound))?;
        // Nothing has that version yet.
        writer.max_version = highest;
        self.flush_or_take_back(writer, start)?;
        point("reserve.after_append");
        writer.reserved.announced = writer.reserved.announced.max(bound);
        Ok(())
    }
}
