//! The end of the last segment: what is torn is cut, what is not proven to be on the disk is written again.

use std::io;

use super::Recovery;
use crate::control::Control;
use crate::error::{Error, Result};
use crate::header::{HEADER_LEN, segment_name};
use crate::point::point;
use crate::replay::{Contents, Item};
use crate::report::OpenReport;
use crate::segment::Segment;

impl Recovery<'_> {
    /// Cuts the torn tail off the last segment.
    pub(super) fn cut(&self, segment: &Segment, contents: &Contents, report: &mut OpenReport) -> Result<()> {
        let end = contents.unfinished.map_or(contents.ended.at, u64::from);
        report.cut_bytes = contents.ended.at - end + contents.ended.cut;
        let name = segment_name(segment.id);
        if segment.len() != end {
            point("open.before_truncate");
            segment.file.truncate(end).map_err(Error::io("cut", &name))?;
            segment.set_len(end);
            point("open.after_truncate");
        }
        self.write_again(segment, contents, end).map_err(Error::io("write", &name))?;
        // Even if nothing was cut: what was read may be in the system's memory only, and the next segment will say
        // that it is there.
        segment.file.sync().map_err(Error::io("sync", &name))?;
        segment.note_synced(end);
        Ok(())
    }

    /// Writes again what no mark proves to have been synced. If an fsync failed in the life before, the system shows
    /// bytes that never reached the disk, and holds them for clean: no fsync of ours would save them.
    fn write_again(&self, segment: &Segment, contents: &Contents, end: u64) -> io::Result<()> {
        let loaded = self.loaded.as_ref().map(|loaded| loaded.head.position);
        let covered = loaded.filter(|position| position.segment == segment.id);
        let marks = contents.items.iter().filter_map(|item| match item {
            Item::Control(_, _, Control::Mark { synced }) => Some(u64::from(*synced)),
            _ => None,
        });
        let synced = marks.chain(covered.map(|position| position.offset.into())).max();
        let (mut at, mut bytes) = (synced.unwrap_or(HEADER_LEN), Vec::new());
        while at < end {
            bytes.clear();
            let Ok(from) = u32::try_from(at) else { break };
            segment.read(from, (end - at).min(1 << 20) as usize, &mut bytes)?;
            if bytes.is_empty() {
                break;
            }
            segment.file.write_all_at(&bytes, at)?;
            at += bytes.len() as u64;
        }
        Ok(())
    }
}
