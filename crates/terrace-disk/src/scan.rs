//! Walking a segment from record to record, past damage if need be.
//!
//! Decision: what does not check at the end of the *last* segment is a torn tail, the natural trace of a crash,
//! unless a mark behind it proves that an fsync had covered it: then it is damage. Everywhere else it is damage.
//! Damage is isolated: the walk goes on at the next offset where two records in a row check, or where the
//! known part ends. The search has a budget, so that no content can make it slow.

use std::io;
use std::ops::{ControlFlow, Range};

use crate::control::{Control, MARK};
use crate::point::bug;
use crate::record::{Head, Location, Record, SHORTEST, total_len};
use crate::segment::Segment;

/// What is read at a time.
const CHUNK: usize = 1 << 20;
/// The bytes of a mark: `flags crc(4) 0 5 MARK synced(4)`.
const MARK_LEN: usize = 12;

/// What a walk comes across.
pub(crate) enum Step<'a> {
    /// A record that checks, at this offset.
    Record(u32, Record<'a>),
    /// Bytes that should have been records.
    Damage {
        /// The first of them.
        from: u64,
        /// Behind the last of them.
        to: u64,
    },
}

/// How far the records of a segment go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// As far as was noted when the next segment was begun, or as the writer knows.
    Known(u64),
    /// Nobody knows: to the first that does not check. A prefix up to this offset is known to have been synced.
    Open(u64),
}

/// Where a walk ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Behind the last record.
    pub(crate) at: u64,
    /// The bytes of a torn tail behind it.
    pub(crate) cut: u64,
}

/// A view of a part of the segment that moves on.
struct Window<'a> {
    segment: &'a Segment,
    bytes: Vec<u8>,
    start: u64,
}

impl Window<'_> {
    /// The bytes from an offset on: at least so many, unless the segment ends before.
    fn at(&mut self, offset: u64, least: usize) -> io::Result<&[u8]> {
        let held = self.start + self.bytes.len() as u64;
        if offset < self.start || offset + least as u64 > held {
            let keep = offset >= self.start && offset < held;
            if keep {
                self.bytes.drain(..(offset - self.start) as usize);
            } else {
                self.bytes.clear();
            }
            self.start = offset;
            let next = offset + self.bytes.len() as u64;
            let wanted = least.max(CHUNK).saturating_sub(self.bytes.len());
            let Ok(from) = u32::try_from(next) else { return Ok(&[]) };
            self.segment.read(from, wanted, &mut self.bytes)?;
        }
        Ok(self.bytes.get((offset - self.start) as usize..).unwrap_or_default())
    }

    /// The length of the record at an offset, if there is one that checks and ends in time.
    fn record_len(&mut self, at: u64, limit: u64, budget: &mut u64) -> io::Result<Option<usize>> {
        let form = self.segment.form();
        let Ok((head, body_at)) = Head::parse(self.at(at, crate::record::LONGEST_HEAD)?, form.usual_key)
        else {
            return Ok(None);
        };
        let len = total_len(&head, body_at, form.overhead);
        if at + len as u64 > limit || len as u64 > *budget {
            *budget = budget.saturating_sub(1);
            return Ok(None);
        }
        *budget = budget.saturating_sub(len as u64);
        let Ok(offset) = u32::try_from(at) else { return Ok(None) };
        let place = self.segment.at(offset);
        Ok(Record::check(self.at(at, len)?, place, form).is_ok().then_some(len))
    }

    /// The highest offset that a mark behind this one proves to have been synced.
    fn proven(&mut self, from: u64, limit: u64) -> io::Result<u64> {
        let (mut at, mut proven) = (from, 0);
        let (id, form) = (self.segment.id, self.segment.form());
        while at + MARK_LEN as u64 <= limit {
            let bytes = self.at(at, CHUNK)?;
            if bytes.len() < MARK_LEN {
                break;
            }
            for (n, mark) in bytes.windows(MARK_LEN).enumerate().filter(|(_, mark)| is_mark(mark)) {
                let Ok(offset) = u32::try_from(at + n as u64) else { break };
                let place = Location { segment: id, offset };
                let Ok(record) = Record::check(mark, place, form) else { continue };
                if let Ok(Control::Mark { synced }) = Control::parse(record.body()) {
                    proven = proven.max(u64::from(synced).min(limit));
                }
            }
            at += (bytes.len() - MARK_LEN + 1) as u64;
        }
        Ok(proven)
    }

    /// The next offset where two records in a row check, or one that ends at the limit.
    fn resync(&mut self, from: u64, limit: u64, budget: &mut u64) -> io::Result<Option<u64>> {
        for at in from..limit.saturating_sub(SHORTEST as u64 - 1) {
            if *budget == 0 {
                return Ok(None);
            }
            let Some(len) = self.record_len(at, limit, budget)? else { continue };
            let next = at + len as u64;
            if next == limit || self.record_len(next, limit, budget)?.is_some() {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }
}

fn is_mark(bytes: &[u8]) -> bool {
    matches!(bytes, [3, _, _, _, _, 0, 5, MARK, ..])
}

/// Walks the records of a segment from an offset on, which must be where one begins, until the closure breaks off.
pub(crate) fn walk(
    segment: &Segment,
    from: u64,
    end: End,
    mut visit: impl FnMut(Step<'_>) -> ControlFlow<()>,
) -> io::Result<Ended> {
    let held = segment.len();
    let form = segment.form();
    let (mut at, limit) = match end {
        End::Known(len) => (from, len.min(held)),
        End::Open(_) => (from, held),
    };
    let mut known_to = match end {
        End::Known(_) => limit,
        End::Open(synced) => synced.min(held),
    };
    let mut window = Window { segment, bytes: Vec::new(), start: from };
    let mut budget = 4 * held + (16 << 20);
    let mut proven = None;
    while at < limit {
        let Ok(offset) = u32::try_from(at) else { break };
        let place = segment.at(offset);
        let bytes = window.at(at, crate::record::LONGEST_HEAD)?;
        let parsed = Head::parse(bytes, form.usual_key);
        let len = parsed.map_or(0, |(head, body_at)| total_len(&head, body_at, form.overhead));
        if len != 0
            && at + len as u64 <= limit
            && let Ok(record) = Record::check(window.at(at, len)?, place, form)
        {
            let go_on = visit(Step::Record(offset, record));
            at += len as u64;
            if go_on.is_break() {
                return Ok(Ended { at, cut: 0 });
            }
            continue;
        }
        if at >= known_to {
            let proof = match proven {
                Some(proof) => proof,
                None => *proven.insert(window.proven(at, limit)?),
            };
            if proof <= at {
                let cut = torn_len(&mut window, at, limit)?;
                return Ok(Ended { at, cut });
            }
            known_to = proof;
        }
        if bug("middle_damage_ends_recovery") {
            return Ok(Ended { at, cut: 0 });
        }
        let next = window.resync(at + 1, known_to, &mut budget)?.unwrap_or(known_to);
        let _ = visit(Step::Damage { from: at, to: next });
        at = next;
    }
    if let End::Known(len) = end {
        if at < len {
            let _ = visit(Step::Damage { from: at, to: len });
        }
        return Ok(Ended { at: len, cut: 0 });
    }
    if at < known_to {
        let _ = visit(Step::Damage { from: at, to: known_to });
    }
    // What was known to be synced and is not there any more.
    if let End::Open(synced) = end
        && synced > held
    {
        let _ = visit(Step::Damage { from: held, to: synced });
        return Ok(Ended { at: held, cut: 0 });
    }
    Ok(Ended { at, cut: 0 })
}

/// Whether a record stands anywhere in these bytes, even if there is only one and nothing in front of it is sound.
///
/// It begins in the range and ends before the limit.
pub(crate) fn any_record(segment: &Segment, begins: Range<u64>, limit: u64) -> io::Result<bool> {
    let mut window = Window { segment, bytes: Vec::new(), start: begins.start };
    let mut budget = 4 * limit + (16 << 20);
    for at in begins.start..begins.end.min(limit.saturating_sub(SHORTEST as u64 - 1)) {
        if window.record_len(at, limit, &mut budget)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// How many bytes there are behind the last record but for the zeros at the end.
fn torn_len(window: &mut Window<'_>, from: u64, limit: u64) -> io::Result<u64> {
    let (mut at, mut last) = (from, from);
    while at < limit {
        let bytes = window.at(at, CHUNK)?;
        if bytes.is_empty() {
            break;
        }
        if let Some(n) = bytes.iter().rposition(|byte| *byte != 0) {
            last = at + n as u64 + 1;
        }
        at += bytes.len() as u64;
    }
    Ok(last.min(limit) - from)
}
