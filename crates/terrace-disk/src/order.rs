//! The keys of a segment in their order.
//!
//! Decision: built when somebody first lists, by one walk through the segment, and kept in memory: four bytes a
//! record; that of a sealed segment is kept beside it as well (`sorted.rs`). The segment that is written gets a further sorted
//! run at each listing, and all are made one when there are many. A log that is never listed pays nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::codec::with_workspace;
use crate::config::Reads;
use crate::error::{Error, Result};
use crate::fetch::check;
use crate::header::{HEADER_LEN, segment_name};
use crate::read::head_and_key;
use crate::record::{Head, KEY_LIMIT, Kind, split, total_len};
use crate::scan::{End, Step, walk};
use crate::segment::Segment;
use crate::shared::Shared;

/// Offsets of puts, in the order of their keys.
pub(crate) type Run = Arc<[u32]>;

/// The order of one segment.
#[derive(Clone, Default)]
struct Order {
    /// Everything before this offset is in a run.
    to: u64,
    runs: Vec<Run>,
}

/// The orders of segments that were listed, and segments that compaction leaves alone because they are damaged.
#[derive(Default)]
pub(crate) struct Orders {
    known: Mutex<BTreeMap<u64, Order>>,
    quarantined: Mutex<BTreeSet<u64>>,
}

/// More runs than this are made one.
const MOST_RUNS: usize = 12;
/// The first bytes of a record that are read to find its key, and check it if they are all of it.
const FIRST: usize = 4 << 10;

impl Orders {
    pub(crate) fn forget(&self, segment: u64) {
        self.known.lock().remove(&segment);
        self.quarantined.lock().remove(&segment);
    }

    pub(crate) fn quarantine(&self, segment: u64) {
        self.quarantined.lock().insert(segment);
    }

    pub(crate) fn is_quarantined(&self, segment: u64) -> bool {
        self.quarantined.lock().contains(&segment)
    }
}

impl Shared {
    /// The runs that cover a segment as it is now.
    pub(crate) fn runs(&self, segment: &Arc<Segment>) -> Result<Vec<Run>> {
        let (sealed, len) = (segment.is_sealed(), segment.len());
        let known = self.orders.known.lock().get(&segment.id).cloned();
        if let Some(order) =
            known.as_ref().filter(|order| order.to >= len && (!sealed || order.runs.len() < 2))
        {
            return Ok(order.runs.clone());
        }
        let order = if sealed { self.whole(segment, len)? } else { self.longer(segment, len, known)? };
        self.orders.known.lock().insert(segment.id, order.clone());
        Ok(order.runs)
    }

    /// The order of a sealed segment, in one run: the one that was kept, or one that is kept from now on.
    fn whole(&self, segment: &Arc<Segment>, len: u64) -> Result<Order> {
        let run = match self.load_order(segment) {
            Some(run) => run,
            None => {
                let run = self.sort(segment, HEADER_LEN, len)?;
                self.keep_order(segment, &run);
                run
            }
        };
        Ok(Order { to: len, runs: vec![run] })
    }

    /// The order of the segment that is written, with one more run for what came since it was last asked for.
    fn longer(&self, segment: &Arc<Segment>, len: u64, known: Option<Order>) -> Result<Order> {
        let mut order = known.filter(|order| order.runs.len() < MOST_RUNS).unwrap_or_default();
        let run = self.sort(segment, order.to.max(HEADER_LEN), len)?;
        order.to = len;
        if !run.is_empty() {
            order.runs.push(run);
        }
        Ok(order)
    }

    fn sort(&self, segment: &Arc<Segment>, from: u64, to: u64) -> Result<Run> {
        let (mut keys, mut offsets) = (Vec::new(), Vec::new());
        let visit = |step: Step<'_>| {
            if let Step::Record(offset, record) = step
                && record.head.kind == Kind::Put
            {
                let start = keys.len();
                let plain = segment.cipher.is_none();
                if plain && let Some((key, ..)) = split(&record.head, record.body()) {
                    keys.extend_from_slice(key);
                } else if self.key_at(segment, offset, &mut keys).is_err() {
                    return ControlFlow::Continue(());
                }
                offsets.push((start, keys.len(), offset));
            }
            ControlFlow::Continue(())
        };
        walk(segment, from, End::Known(to), visit).map_err(Error::io("read", &segment_name(segment.id)))?;
        let key = |(start, end, _): &(usize, usize, u32)| keys.get(*start..*end).unwrap_or_default();
        offsets.sort_by(|a, b| key(a).cmp(key(b)).then(a.2.cmp(&b.2)));
        Ok(offsets.into_iter().map(|(_, _, offset)| offset).collect())
    }

    /// Appends the key of the record at an offset to `out`. A record of a few KiB is checked; of a longer one only whoever
    /// returns it knows whether it is sound.
    pub(crate) fn key_at(&self, segment: &Arc<Segment>, offset: u32, out: &mut Vec<u8>) -> Result<()> {
        let corrupt = || Error::Corrupt { segment: segment.id, offset: offset.into(), what: "it has no key" };
        if segment.cipher.is_some() {
            return with_workspace(|workspace| {
                self.with_record(segment, offset, None, workspace, |head, body, _| {
                    out.extend_from_slice(split(&head, body).map(|(key, ..)| key).ok_or_else(corrupt)?);
                    Ok(())
                })
            });
        }
        let mapped = self.config.reads == Reads::Mapped;
        self.head_and_key_at(segment, offset, mapped, out).map(drop)
    }

    /// The head of a record in a segment that is not encrypted; its key is appended to `out`. `mapped` allows to read them from a mapping.
    pub(crate) fn head_and_key_at(
        &self,
        segment: &Arc<Segment>,
        offset: u32,
        mapped: bool,
        out: &mut Vec<u8>,
    ) -> Result<Head> {
        let corrupt = || Error::Corrupt { segment: segment.id, offset: offset.into(), what: "it has no key" };
        if mapped && let Some(map) = segment.map() {
            let bytes = map.bytes().get(offset as usize..).unwrap_or_default();
            return take_key(segment, offset, bytes, out)?.ok_or_else(corrupt);
        }
        with_workspace(|workspace| {
            let bytes = &mut workspace.record;
            bytes.clear();
            self.read_record(segment, offset, Some(FIRST), bytes)?;
            if let Some(head) = take_key(segment, offset, bytes, out)? {
                return Ok(head);
            }
            bytes.clear();
            self.read_record(segment, offset, Some(head_and_key(KEY_LIMIT)), bytes)?;
            take_key(segment, offset, bytes, out)?.ok_or_else(corrupt)
        })
    }
}

/// Appends the key of the record at the beginning of these bytes, and checks the record if it is short and they are all
/// of it; `None` if they end within the key.
fn take_key(segment: &Segment, offset: u32, bytes: &[u8], out: &mut Vec<u8>) -> Result<Option<Head>> {
    let corrupt = |_| Error::Corrupt { segment: segment.id, offset: offset.into(), what: "it has no key" };
    let (head, at) = Head::parse(bytes, segment.form().usual_key).map_err(corrupt)?;
    let len = total_len(&head, at, segment.overhead());
    if let Some(whole) = bytes.get(..len).filter(|whole| whole.len() <= FIRST) {
        check(segment, offset, whole)?;
    }
    let Some(key) = bytes.get(at..at + head.key_len as usize) else { return Ok(None) };
    out.extend_from_slice(key);
    Ok(Some(head))
}
