//! The order of a sealed segment's keys, kept in a file beside it.
//!
//! Decision: a file is written when somebody has listed a segment of a store, and read instead of walking through and
//! sorting it again; `docs/decisions/0018-io-uring.md` has what that saves. It holds nothing that the segment does not
//! say, so it is not synced, and one that does not check is made anew. A cache writes none: its segments leave soon, and
//! its budget is for entries.

use std::sync::Arc;

use crate::config::Mode;
use crate::error::Result;
use crate::header::{HEADER_LEN, id_of};
use crate::open::read_file;
use crate::order::Run;
use crate::segment::Segment;
use crate::shared::Shared;
use crate::varint::{Bad, Reader};

const MAGIC: &[u8; 8] = b"terrordr";
const FORMAT: u32 = 1;
/// Fewer records are sorted faster than a file is found.
const FEWEST: usize = 1 << 10;

/// The name of the file with a segment's order.
pub(crate) fn order_name(id: u64) -> String {
    format!("{id:08}.order")
}

/// The segment of which a file of this name has the order.
pub(crate) fn order_number(name: &str) -> Option<u64> {
    id_of(name, "", ".order")
}

/// What tells the order of this segment from any other's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Of {
    store: u64,
    segment: u64,
    base: u64,
    len: u64,
}

fn to_bytes(of: Of, run: &[u32]) -> Vec<u8> {
    let mut out = Vec::with_capacity(56 + 4 * run.len());
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&FORMAT.to_le_bytes());
    for number in [of.store, of.segment, of.base, of.len] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    for offset in run {
        out.extend_from_slice(&offset.to_le_bytes());
    }
    let crc = crc32c::crc32c(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

/// The order in these bytes; `None` if they are another's, or damaged.
fn parse(bytes: &[u8], of: Of) -> Option<Run> {
    let (body, crc) = bytes.split_last_chunk::<4>()?;
    if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
        return None;
    }
    let mut reader = Reader::new(body.strip_prefix(MAGIC)?);
    let mut read = || -> Result<(u32, Of), Bad> {
        let (format, mut next) = (reader.u32()?, || reader.u64());
        Ok((format, Of { store: next()?, segment: next()?, base: next()?, len: next()? }))
    };
    if read().ok()? != (FORMAT, of) {
        return None;
    }
    let (offsets, rest) = body.get(MAGIC.len() + reader.at()..)?.as_chunks::<4>();
    let run: Run = offsets.iter().map(|offset| u32::from_le_bytes(*offset)).collect();
    let inside = |offset: &u32| (HEADER_LEN..of.len).contains(&u64::from(*offset));
    (rest.is_empty() && run.iter().all(inside)).then_some(run)
}

impl Shared {
    fn keeps_orders(&self) -> bool {
        matches!(self.config.mode, Mode::Store { .. })
    }

    /// Whether the order of this segment is of any use here.
    pub(crate) fn keeps_order_of(&self, id: u64) -> bool {
        self.keeps_orders() && self.segments.read().by_id(id).is_some()
    }

    fn of(&self, segment: &Segment) -> Of {
        Of { store: self.mark.store, segment: segment.id, base: segment.base, len: segment.len() }
    }

    /// The order of a sealed segment, if it was kept.
    pub(crate) fn load_order(&self, segment: &Segment) -> Option<Run> {
        if !self.keeps_orders() {
            return None;
        }
        parse(&read_file(&*self.io, &order_name(segment.id)).ok()?, self.of(segment))
    }

    /// Keeps the order of a sealed segment. If that fails it is sorted again some day.
    pub(crate) fn keep_order(&self, segment: &Arc<Segment>, run: &Run) {
        if !self.keeps_orders() || run.len() < FEWEST || self.check_writable().is_err() {
            return;
        }
        let name = order_name(segment.id);
        let _ = self.io.remove(&name);
        let written = self.io.create(&name).and_then(|file| {
            let bytes = to_bytes(self.of(segment), run);
            // A disk that is nearly full says so here, and not in the midst of it.
            file.allocate(bytes.len() as u64)?;
            file.write_all_at(&bytes, 0)
        });
        let is_there = self.segments.read().by_id(segment.id).is_some();
        if written.is_err() || !is_there {
            let _ = self.io.remove(&name);
        }
    }

    /// Removes the order of a segment that is gone.
    pub(crate) fn forget_order(&self, id: u64) {
        if self.keeps_orders() {
            let _ = self.io.remove(&order_name(id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_comes_back_for_its_own_segment_and_no_flipped_bit_passes() {
        let of = Of { store: 1, segment: 2, base: 3, len: 1 << 20 };
        let run: Run = [500, 100, 9000].into();
        let bytes = to_bytes(of, &run);
        assert_eq!(parse(&bytes, of), Some(run));
        let others = [
            Of { store: 9, ..of },
            Of { segment: 9, ..of },
            Of { base: 9, ..of },
            Of { len: of.len + 1, ..of },
        ];
        for other in others {
            assert_eq!(parse(&bytes, other), None);
        }
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse(&damaged, of), None);
        }
        for len in 0..bytes.len() {
            assert_eq!(parse(&bytes[..len], of), None);
        }
        let outside = to_bytes(of, &[1 << 20]);
        assert_eq!(parse(&outside, of), None, "no record begins there");
    }
}
