//! What all parts of an open log share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};

use crate::admission::Gate;
use crate::cipher::KeySource;
use crate::codec::Codecs;
use crate::commit::Commit;
use crate::compact::Compaction;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::evicted::Evicted;
use crate::floors::Floors;
use crate::header::Mark;
use crate::index::Index;
use crate::io::Io;
use crate::order::Orders;
use crate::segment::Segment;
use crate::stats::Counters;
use crate::told::Listener;
use crate::writer::Writer;

/// The open log.
pub(crate) struct Shared {
    pub(crate) io: Arc<dyn Io>,
    /// Whether `io` reads many places in one go.
    pub(crate) ringed: bool,
    pub(crate) config: Config,
    pub(crate) mark: Mark,
    pub(crate) keys: Option<Arc<dyn KeySource>>,
    pub(crate) index: Index,
    pub(crate) segments: RwLock<Segments>,
    pub(crate) writer: Mutex<Writer>,
    pub(crate) commit: Commit,
    pub(crate) floors: Floors,
    pub(crate) evicted: Evicted,
    /// What had expired by this time was seen to be gone.
    pub(crate) horizons: crate::horizon::Horizons,
    /// See [`Disk::hold_floors`](crate::Disk::hold_floors).
    pub(crate) floor_time_ms: AtomicU64,
    /// How many snapshots are open.
    pub(crate) snapshots: AtomicUsize,
    pub(crate) counters: Counters,
    pub(crate) codecs: Codecs,
    pub(crate) compaction: Mutex<Option<Compaction>>,
    /// Only one index snapshot is written at a time.
    pub(crate) checkpointing: Mutex<()>,
    pub(crate) gate: Gate,
    pub(crate) orders: Orders,
    /// Who is told of changes.
    pub(crate) listener: OnceLock<Box<dyn Listener>>,
    pub(crate) closed: AtomicBool,
    /// What was found damaged when it was opened, or since.
    pub(crate) damaged: AtomicU64,
    pub(crate) lock: Mutex<Option<Box<dyn Send + Sync>>>,
}

/// The open segments.
#[derive(Default)]
pub(crate) struct Segments {
    by_slot: Vec<Option<Arc<Segment>>>,
    by_id: BTreeMap<u64, Arc<Segment>>,
    next: usize,
}

/// As many as the index can refer to.
const MOST_SEGMENTS: usize = 1 << 16;

impl Segments {
    #[inline]
    pub(crate) fn by_slot(&self, slot: u16) -> Option<&Arc<Segment>> {
        self.by_slot.get(usize::from(slot))?.as_ref()
    }

    pub(crate) fn by_id(&self, id: u64) -> Option<&Arc<Segment>> {
        self.by_id.get(&id)
    }

    /// All of them, the oldest first.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<Segment>> {
        self.by_id.values()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// A slot that is free. The next one is another, so that a slot is not used again at once.
    pub(crate) fn free_slot(&mut self) -> Option<u16> {
        let from = self.next;
        let slot = (0..MOST_SEGMENTS)
            .map(|n| (from + n) % MOST_SEGMENTS)
            .find(|slot| self.by_slot.get(*slot).is_none_or(Option::is_none))?;
        // The table grows only as far as it is needed.
        let slot = if slot > self.by_slot.len() && self.by_slot.iter().all(Option::is_some) {
            self.by_slot.len()
        } else {
            slot
        };
        self.next = (slot + 1) % MOST_SEGMENTS;
        u16::try_from(slot).ok()
    }

    pub(crate) fn insert(&mut self, segment: Arc<Segment>) {
        let slot = usize::from(segment.slot);
        if slot >= self.by_slot.len() {
            self.by_slot.resize_with(slot + 1, || None);
        }
        if let Some(place) = self.by_slot.get_mut(slot) {
            *place = Some(Arc::clone(&segment));
        }
        self.by_id.insert(segment.id, segment);
    }

    pub(crate) fn remove(&mut self, segment: &Segment) {
        if let Some(place) = self.by_slot.get_mut(usize::from(segment.slot)) {
            *place = None;
        }
        self.by_id.remove(&segment.id);
    }
}

impl Shared {
    /// # Errors
    /// `Closed`.
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) { Err(Error::Closed) } else { Ok(()) }
    }

    /// # Errors
    /// `Closed`, or `Failed` if a write or an fsync failed before.
    pub(crate) fn check_writable(&self) -> Result<()> {
        self.check_open()?;
        self.commit.check()
    }

    /// The time by which floors are judged.
    pub(crate) fn floor_time(&self, now_ms: u64) -> u64 {
        now_ms.min(self.floor_time_ms.load(Ordering::Relaxed))
    }

    pub(crate) fn has_snapshots(&self) -> bool {
        self.snapshots.load(Ordering::Acquire) != 0
    }
}
