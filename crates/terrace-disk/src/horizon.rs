//! How late it was when entries were seen to have expired.
//!
//! A clock may go back, and what a sweep saw expired must not come back with it. The index forgets such an entry at
//! once; only when the log is read again, with an earlier time than the sweep's, does a note in the log have to tell.
//! It concerns what stood before it, and nothing that was written later: a clock that once was a year ahead must
//! not cost entries that were put after it had been set right.

use parking_lot::Mutex;

use crate::codec::with_workspace;
use crate::error::Result;
use crate::evict::hash_of;
use crate::index::SHARDS;
use crate::record::Location;
use crate::shared::Shared;
use crate::writer::Writer;

/// Entries before this place that ended at this time or before were seen to be gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Horizon {
    pub(crate) at: Location,
    pub(crate) now_ms: u64,
}

/// Those that matter: of two, the later in the log has the earlier time.
#[derive(Debug, Default)]
pub(crate) struct Horizons(Mutex<Vec<Horizon>>);

/// More are not kept; of a clock that goes back so often, the smallest steps are forgotten.
const MOST: usize = 64;

impl Horizons {
    /// Adds one.
    pub(crate) fn note(&self, new: Horizon) {
        let mut all = self.0.lock();
        if all.iter().any(|old| old.at >= new.at && old.now_ms >= new.now_ms) {
            return;
        }
        all.retain(|old| old.at > new.at || old.now_ms > new.now_ms);
        all.push(new);
        all.sort_unstable_by_key(|horizon| horizon.at);
        if all.len() > MOST {
            all.pop();
        }
    }

    pub(crate) fn all(&self) -> Vec<Horizon> {
        self.0.lock().clone()
    }

    /// Forgets those before which nothing stands any more.
    pub(crate) fn forget(&self, oldest_segment: u64) {
        self.0.lock().retain(|horizon| horizon.at.segment >= oldest_segment);
    }
}

impl Shared {
    /// Takes out what was seen to have expired when it was later than it is now. After a replay.
    pub(crate) fn apply_horizons(&self, writer: &mut Writer, now: u64) -> Result<()> {
        for horizon in self.horizons.all().into_iter().filter(|horizon| horizon.now_ms > now) {
            for shard in 0..SHARDS {
                let due: Vec<_> = {
                    let table = self.index.read(shard);
                    let may_be = |deadline: u32| {
                        deadline != 0 && u64::from(deadline).saturating_sub(1) * 1000 < horizon.now_ms
                    };
                    table.iter().filter(|slot| !slot.is_tombstone() && may_be(slot.deadline())).collect()
                };
                for slot in due {
                    let place = slot.place();
                    let Some(segment) = self.segments.read().by_slot(place.slot).cloned() else { continue };
                    if segment.at(place.offset) >= horizon.at {
                        continue;
                    }
                    let read = with_workspace(|workspace| {
                        self.with_record(
                            &segment,
                            place.offset,
                            slot.most_bytes(),
                            workspace,
                            |head, _, _| Ok(head),
                        )
                    });
                    match read {
                        Ok(head) if head.expires_ms.is_some_and(|at| at <= horizon.now_ms) => {
                            self.expire(writer, hash_of(shard, slot), slot, &segment, &head, horizon.now_ms);
                        }
                        Ok(_) | Err(crate::Error::Corrupt { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_no_later_note_covers_is_kept() {
        let horizon = |segment, now_ms| Horizon { at: Location { segment, offset: 0 }, now_ms };
        let horizons = Horizons::default();
        horizons.note(horizon(1, 100));
        horizons.note(horizon(2, 900));
        assert_eq!(horizons.all(), [horizon(2, 900)], "it covers the one before");
        horizons.note(horizon(3, 200));
        horizons.note(horizon(1, 100));
        assert_eq!(horizons.all(), [horizon(2, 900), horizon(3, 200)], "the clock was set right");
        horizons.note(horizon(4, 300));
        assert_eq!(horizons.all(), [horizon(2, 900), horizon(4, 300)]);
        horizons.forget(3);
        assert_eq!(horizons.all(), [horizon(4, 300)]);
    }
}
