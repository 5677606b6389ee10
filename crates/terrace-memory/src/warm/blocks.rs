//! A shard's blocks: which one takes a record, and where one comes from and goes to.

use super::block::{Block, Log, Queue};
use super::evicted::Evicted;
use super::index::MAX_BLOCKS;
use super::shard::{BLOCK_OVERHEAD, Shard};
use crate::Cause;

/// A record longer than this part of a block has a block of its own: less than that is lost at the end of one.
const OWN_BLOCK: usize = 4;

impl Shard {
    /// A block of this queue with room for so many bytes.
    pub(super) fn block_for(
        &mut self,
        len: usize,
        queue: Queue,
        now: u64,
        evicted: &mut Evicted,
    ) -> Result<u16, Cause> {
        let own = len > self.block_len / OWN_BLOCK;
        let wanted = if own { len } else { self.block_len };
        if (wanted + BLOCK_OVERHEAD) as u64 + self.index.heap_bytes() as u64 > self.budget {
            return Err(Cause::TooHeavy);
        }
        loop {
            if !own && let Some(id) = self.log(queue).active.filter(|id| self.has_room(*id, len)) {
                return Ok(id);
            }
            if !own {
                self.log_mut(queue).seal();
            }
            let spare = self.spare.take_if(|spare| !own && spare.capacity() == wanted);
            if spare.is_some() {
                self.block_bytes -= wanted;
            }
            let new_entry = if self.free.is_empty() { BLOCK_OVERHEAD } else { 0 };
            let fits = self.weight() + (wanted + new_entry) as u64 <= self.budget;
            if fits && (new_entry == 0 || self.blocks.len() < MAX_BLOCKS) {
                return Ok(self.open(wanted, spare, queue, own, now));
            }
            if let Some(spare) = self.spare.take() {
                self.block_bytes -= spare.capacity();
            } else if !self.reclaim(now, evicted) {
                return Err(Cause::TooHeavy);
            }
        }
    }

    fn has_room(&self, id: u16, len: usize) -> bool {
        self.blocks.get(usize::from(id)).is_some_and(|block| block.has_room(len))
    }

    pub(super) fn log(&self, queue: Queue) -> &Log {
        match queue {
            Queue::Probation => &self.probation,
            Queue::Main => &self.main,
        }
    }

    pub(super) fn log_mut(&mut self, queue: Queue) -> &mut Log {
        match queue {
            Queue::Probation => &mut self.probation,
            Queue::Main => &mut self.main,
        }
    }

    fn open(&mut self, len: usize, spare: Option<Vec<u8>>, queue: Queue, own: bool, now: u64) -> u16 {
        let mut block = Block::new(if spare.is_some() { 0 } else { len }, queue, own, now);
        if let Some(spare) = spare {
            block.data = spare;
        }
        self.block_bytes += block.data.capacity();
        self.log_mut(queue).bytes += block.data.capacity();
        let id = match self.free.pop() {
            Some(id) => id,
            None => {
                crate::slab::make_room(&mut self.blocks);
                self.blocks.len() as u16
            }
        };
        match self.blocks.get_mut(usize::from(id)) {
            Some(place) => *place = block,
            None => self.blocks.push(block),
        }
        let log = self.log_mut(queue);
        if own {
            log.order.push_back(id);
        } else {
            log.active = Some(id);
        }
        id
    }

    /// Gives the memory of a block back, which is in no log's order any more.
    pub(super) fn close(&mut self, id: u16) {
        let Some(block) = self.blocks.get_mut(usize::from(id)) else { return };
        let (queue, own) = (block.queue, block.own);
        let mut data = std::mem::take(&mut block.data);
        block.due = u64::MAX;
        self.log_mut(queue).bytes -= data.capacity();
        self.free.push(id);
        if self.spare.is_none() && !own && data.capacity() == self.block_len {
            data.clear();
            self.spare = Some(data);
        } else {
            self.block_bytes -= data.capacity();
        }
    }

    pub(super) fn drop_if_empty(&mut self, id: u16) {
        let Some(block) = self.blocks.get_mut(usize::from(id)) else { return };
        if block.live > 0 {
            return;
        }
        let log = match block.queue {
            Queue::Probation => &mut self.probation,
            Queue::Main => &mut self.main,
        };
        if log.active == Some(id) {
            block.data.clear();
            block.due = u64::MAX;
            return;
        }
        let order = &mut log.order;
        let before = order.len();
        order.retain(|other| *other != id);
        if order.len() < before {
            self.close(id);
        }
    }
}
