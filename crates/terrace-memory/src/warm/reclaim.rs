//! Which block is emptied next, and what of it stays.
//!
//! Decision: two logs, as S3-FIFO has two queues. A record enters the log of probation, a tenth of the memory;
//! when its block's turn comes it moves to the main log if it was used meanwhile, and leaves otherwise. In the
//! main log it stays as long as it is used at least once a round. The unit is the block: one look at a few
//! hundred records in the order in which they lie, with the hash of the key computed again rather than stored.

use std::hash::BuildHasher;

use super::block::{Block, Queue};
use super::evicted::Evicted;
use super::index::{Place, short};
use super::record::{Record, is_sound};
use super::shard::Shard;
use crate::Cause;

/// Probation is given one part in so many of the blocks' memory.
const PROBATION: usize = 10;

impl Shard {
    /// Empties one block, or moves what is used of it to the main log. `false` if there is no block.
    ///
    /// Called again and again it frees memory: a main block gives back at least half of itself each time, and
    /// probation can promote no more than it holds.
    pub(super) fn reclaim(&mut self, now: u64, evicted: &mut Evicted) -> bool {
        let Some(id) = self.victim() else { return false };
        let Some(block) = self.blocks.get_mut(usize::from(id)) else { return false };
        let queue = block.queue;
        let mut data = std::mem::take(&mut block.data);
        let kept = self.sift(id, &mut data, now, evicted);
        let Some(block) = self.blocks.get_mut(usize::from(id)) else { return false };
        block.data = data;
        if kept == 0 {
            self.close(id);
            return true;
        }
        self.log_mut(queue).bytes -= self.capacity_of(id);
        self.main.bytes += self.capacity_of(id);
        if let Some(block) = self.blocks.get_mut(usize::from(id)) {
            block.queue = Queue::Main;
            if block.own {
                self.main.order.push_back(id);
            } else if !self.merge(id) {
                self.main.seal();
                self.main.active = Some(id);
            }
        }
        true
    }

    fn capacity_of(&self, id: u16) -> usize {
        self.blocks.get(usize::from(id)).map_or(0, |block| block.data.capacity())
    }

    /// The block whose turn it is, taken out of its log.
    fn victim(&mut self) -> Option<u16> {
        let on_probation = self.probation.bytes;
        let full = on_probation * PROBATION > on_probation + self.main.bytes;
        let (first, second) = match full {
            true => (Queue::Probation, Queue::Main),
            false => (Queue::Main, Queue::Probation),
        };
        let oldest = self.log_mut(first).order.pop_front();
        let oldest = oldest.or_else(|| self.log_mut(second).order.pop_front());
        oldest.or_else(|| self.main.active.take()).or_else(|| self.probation.active.take())
    }

    /// Goes through the records of a block, removes what shall not stay, and moves the rest to its front.
    /// Returns how many stay.
    fn sift(&mut self, id: u16, data: &mut Vec<u8>, now: u64, evicted: &mut Evicted) -> u32 {
        let Some(Block { base, queue, live, own, .. }) = self.blocks.get(usize::from(id)) else { return 0 };
        let (base, queue, live, own) = (*base, *queue, *live, *own);
        // A main block must give back half of itself, or an insertion might go round for ever.
        let most = if queue == Queue::Main && !own { data.capacity() / 2 } else { data.len() };
        let (mut offset, mut end, mut kept, mut removed, mut next) = (0, 0, 0, 0, u64::MAX);
        while let Some((record, len)) = data.get(offset..).and_then(|bytes| Record::read(bytes, base)) {
            let place = Place { block: id, offset: offset as u32 };
            let bytes = data.get(offset..offset + len).unwrap_or_default();
            offset += len;
            let hash = self.hasher.hash_one(record.key);
            let Some(position) = self.index.position(hash, place) else { continue };
            let (dictionary, uses) = (record.dictionary, self.index.uses(position));
            let dead = record.is_dead(now);
            if !is_sound(bytes) {
                self.tally.damaged += 1;
            } else if uses > 0 && !dead && end + len <= most && self.is_current(dictionary) {
                let stays = Place { block: id, offset: end as u32 };
                // What was used on probation begins anew in the main log.
                let uses = if queue == Queue::Main { uses - 1 } else { 0 };
                self.index.relocate(position, stays, uses);
                next = next.min(record.expires_at.unwrap_or(u64::MAX));
                data.copy_within(offset - len..offset, end);
                (end, kept) = (end + len, kept + 1);
                continue;
            } else {
                let cause = if dead { Cause::Expired } else { Cause::Capacity };
                self.tally.left(cause);
                if queue == Queue::Probation && !dead {
                    self.ghosts.remember(hash);
                }
                let with = self.dictionaries.get(usize::from(dictionary)).and_then(Option::as_ref);
                evicted.push(bytes, base, cause, with);
            }
            self.forget(position, id, dictionary);
            removed += 1;
        }
        data.truncate(end);
        if kept + removed != live {
            self.purge_unreadable(id, data, base);
        }
        if let Some(block) = self.blocks.get_mut(usize::from(id)) {
            block.live = kept;
            block.expires_next(next);
        }
        kept
    }

    /// Whether new values are encoded with this dictionary, or it is none at all. Entries of older ones are not
    /// kept beyond their turn, so that dictionaries can be dropped some time.
    fn is_current(&self, dictionary: u8) -> bool {
        dictionary == 0 || dictionary == self.current
    }

    /// Entries of a block that damage has hidden from a walk: they are found from the index, which is long work
    /// and rare.
    pub(super) fn purge_unreadable(&mut self, id: u16, data: &[u8], base: u64) {
        let mut readable = Vec::new();
        let mut offset = 0;
        while let Some((record, len)) = data.get(offset..).and_then(|bytes| Record::read(bytes, base)) {
            readable.push((offset as u32, short(self.hasher.hash_one(record.key))));
            offset += len;
        }
        let gone = self.index.purge(id, |entry| readable.binary_search(&entry).is_ok());
        self.tally.damaged += gone as u64;
        self.recount();
    }

    /// Appends the records of a block to the active block of the main log, if they fit, and closes it.
    fn merge(&mut self, id: u16) -> bool {
        let Some(active) = self.main.active else { return false };
        let Some(block) = self.blocks.get_mut(usize::from(id)) else { return false };
        let from = std::mem::take(&mut block.data);
        let base = block.base;
        // Another base may take a byte or two more for each expiry.
        let room = from.len() + 6 * block.live as usize;
        let fits = self.blocks.get(usize::from(active)).is_some_and(|active| active.has_room(room));
        if fits {
            let mut offset = 0;
            while let Some((record, len)) = from.get(offset..).and_then(|bytes| Record::read(bytes, base)) {
                let place = Place { block: id, offset: offset as u32 };
                offset += len;
                let position = self.index.position(self.hasher.hash_one(record.key), place);
                let Some((position, to)) = position.zip(self.blocks.get_mut(usize::from(active))) else {
                    continue;
                };
                let moved = Place { block: active, offset: to.data.len() as u32 };
                record.append(to.base, &mut to.data);
                to.live += 1;
                to.expires(record.expires_at);
                let uses = self.index.uses(position);
                self.index.relocate(position, moved, uses);
            }
        }
        if let Some(block) = self.blocks.get_mut(usize::from(id)) {
            block.data = from;
            if fits {
                block.live = 0;
                self.close(id);
            }
        }
        fits
    }

    /// Removes the expired records of one block that is due. `false` if none is.
    pub(super) fn expire_one(&mut self, now: u64, evicted: &mut Evicted) -> bool {
        let Some(id) = self.blocks.iter().position(|block| block.due <= now && block.live > 0) else {
            return false;
        };
        let id = id as u16;
        let Some(block) = self.blocks.get_mut(usize::from(id)) else { return false };
        let (base, data) = (block.base, std::mem::take(&mut block.data));
        let (mut offset, mut next, mut seen) = (0, u64::MAX, 0);
        let live = block.live;
        while let Some((record, len)) = data.get(offset..).and_then(|bytes| Record::read(bytes, base)) {
            let place = Place { block: id, offset: offset as u32 };
            let bytes = data.get(offset..offset + len).unwrap_or_default();
            offset += len;
            let Some(position) = self.index.position(self.hasher.hash_one(record.key), place) else {
                continue;
            };
            seen += 1;
            if !is_sound(bytes) {
                self.tally.damaged += 1;
            } else if record.is_dead(now) {
                self.tally.left(Cause::Expired);
                let with = self.dictionaries.get(usize::from(record.dictionary)).and_then(Option::as_ref);
                evicted.push(bytes, base, Cause::Expired, with);
            } else {
                next = next.min(record.expires_at.unwrap_or(u64::MAX));
                continue;
            }
            self.forget(position, id, record.dictionary);
        }
        if seen != live {
            self.purge_unreadable(id, &data, base);
        }
        if let Some(block) = self.blocks.get_mut(usize::from(id)) {
            block.data = data;
            // What the walk did not see is gone now.
            block.live -= live - seen;
            block.expires_next(next);
        }
        self.drop_if_empty(id);
        true
    }
}
