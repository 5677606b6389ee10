//! The structure that S3-FIFO and QD-LP-FIFO share: a small queue on trial, a main queue with further rounds,
//! and ghosts of what failed the trial.
//!
//! Decision: the sizes of the queues follow what the shard holds at the moment instead of its nominal share,
//! because all shards draw on one budget. The mark counts uses up to three and then is not written any more.

use super::Marks;
use super::ghost::{Ghost, fingerprint};
use super::queues::Queues;

/// The small queue gets one part in this many of the weight.
const SMALL_PART: u64 = 10;
/// Uses are counted this far.
const MOST_USES: u8 = 3;

pub(super) const SMALL: usize = 0;
pub(super) const MAIN: usize = 1;

/// The two queues and the ghosts; an entry needs `USES` uses in the small queue to stay.
#[derive(Debug, Default)]
pub(super) struct SmallMain<const USES: u8> {
    pub(super) queues: Queues<2>,
    pub(super) ghost: Ghost,
}

impl<const USES: u8> SmallMain<USES> {
    #[inline]
    pub(super) fn on_hit(mark: u8) -> u8 {
        (mark + 1).min(MOST_USES)
    }

    pub(super) fn insert<M: Marks>(&mut self, slot: u32, hash: u64, weight: u32, marks: &M) {
        let queue = if self.ghost.recall(fingerprint(hash)) { MAIN } else { SMALL };
        self.queues.push_head(queue, slot, weight);
        marks.set(slot, 0);
    }

    pub(super) fn reweigh(&mut self, slot: u32, weight: u32) {
        self.queues.reweigh(slot, weight);
    }

    pub(super) fn remove(&mut self, slot: u32) {
        self.queues.unlink(slot);
    }

    pub(super) fn victim<M: Marks>(&mut self, marks: &M) -> Option<u32> {
        let total = self.queues.total_weight();
        let small_is_large = self.queues.weight(SMALL) >= total / SMALL_PART;
        if small_is_large && let Some(slot) = self.victim_of_small(total, marks) {
            return Some(slot);
        }
        self.victim_of_main(marks).or_else(|| self.victim_of_small(total, marks))
    }

    fn victim_of_small<M: Marks>(&mut self, total: u64, marks: &M) -> Option<u32> {
        while let Some(slot) = self.queues.tail(SMALL) {
            if marks.get(slot) >= USES {
                marks.set(slot, 0);
                self.queues.promote(MAIN, slot);
                continue;
            }
            let (_, weight) = self.queues.unlink(slot)?;
            let ghost_weight = total - total / SMALL_PART;
            // The count matters only where entries weigh nothing.
            let ghost_len = self.queues.total_len() + 1;
            self.ghost.remember(fingerprint(u64::from(marks.hash(slot))), weight, ghost_weight, ghost_len);
            return Some(slot);
        }
        None
    }

    fn victim_of_main<M: Marks>(&mut self, marks: &M) -> Option<u32> {
        // Each round takes a use off an entry. Hits at the same moment could keep that from ending, so after
        // as many rounds as there are uses to count, an entry leaves whatever its mark says.
        let mut rounds = self.queues.len(MAIN).saturating_mul(usize::from(MOST_USES) + 1);
        while let Some(slot) = self.queues.tail(MAIN) {
            let mark = marks.get(slot);
            if mark == 0 || rounds == 0 {
                return self.queues.pop_tail(MAIN);
            }
            rounds -= 1;
            marks.set(slot, mark - 1);
            self.queues.promote(MAIN, slot);
        }
        None
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.queues.heap_bytes() + self.ghost.heap_bytes()
    }
}
