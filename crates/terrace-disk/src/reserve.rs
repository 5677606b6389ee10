//! Versions that are given without a write.
//!
//! Decision: the log announces that versions up to a bound may be given, by a mark whose version is that bound, and
//! none is given before the announcement is on the disk. So a restart, of whatever kind, begins above the bound, and no
//! version is ever given twice; one fsync serves four thousand million of them, or as many bytes of log. A write whose
//! version cannot be that of its place, because a large one was given before, is announced in the same way: what it
//! follows may be lost with it, and then nothing else says how far versions had come.

use crate::control::Control;
use crate::error::Result;
use crate::point::{bug, point};
use crate::record::{Draft, HIGHEST_VERSION, Head, Kind};
use crate::shared::Shared;
use crate::writer::{MARK_LEN, Purpose, Writer};

/// So far ahead versions are announced.
const AHEAD: u64 = 1 << 32;
/// The room an announcement takes: a mark, to which a version adds so much at most.
pub(crate) const ANNOUNCEMENT_LEN: u64 = MARK_LEN + 16;

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
        self.begin(writer, ANNOUNCEMENT_LEN, Purpose::Reserve, now)?;
        self.append_bound(writer, bound)
    }

    /// Before so many bytes of records are appended, of which some are given no version and none one above this: sees to
    /// it that a restart begins above every version they get, whatever is lost of the log. After `begin`.
    ///
    /// # Cost
    /// Nothing, unless a version was given that is far above its place; then an fsync for one of some thousand million.
    pub(crate) fn announce_ahead(&self, writer: &mut Writer, given: u64, bytes: u64) -> Result<()> {
        let Some(active) = writer.active.clone() else { return Ok(()) };
        let given = given.max(writer.max_version);
        // No more versions than bytes.
        let highest = given.saturating_add(bytes).min(HIGHEST_VERSION);
        let known = (active.base + active.capacity).max(writer.reserved.synced);
        if given < active.base + active.len() || highest <= known || bug("version_not_announced") {
            return Ok(());
        }
        let bound = highest.saturating_add(AHEAD).min(HIGHEST_VERSION);
        self.append_bound(writer, bound)?;
        let at = active.len();
        self.sync_file(&*active.file, "the log")?;
        active.note_synced(at);
        self.commit.note_synced(active.base + at);
        writer.reserved.synced = writer.reserved.synced.max(bound);
        Ok(())
    }

    /// Appends a mark whose version is this bound.
    fn append_bound(&self, writer: &mut Writer, bound: u64) -> Result<()> {
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
