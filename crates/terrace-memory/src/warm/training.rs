//! Dictionaries learned from the entries themselves.
//!
//! Decision: the samples are entries that are stored anyway, drawn from all over the engine when training is
//! asked for, so nothing is kept for it in between. A new dictionary is adopted only if values it was not
//! trained on become shorter by a twentieth. Entries keep the dictionary that they were encoded with; at most
//! seven are alive, and each is dropped with the last entry that needs it.

use std::hash::BuildHasher;
use std::sync::Arc;

use terrace_envelope::Compression;
use terrace_envelope::codec::{Coder, Dictionary};

use super::Warm;
use super::evicted::Evicted;
use super::record::{DICTIONARY_SLOTS, is_sound};
use super::shard::Shard;

/// The longest value that is learned from: longer ones hold enough of their own kind.
const LONGEST_SAMPLE: usize = 16 << 10;

/// The longest dictionary. A longer one gains little on values of a kilobyte.
const LONGEST: usize = 32 << 10;

/// The shortest one that is worth training.
const SHORTEST: usize = 1 << 10;

/// A dictionary may be as long as one part in this many of the capacity: 32 KiB from 64 MiB on. With the tables
/// that are prepared from it, it takes 16 to 40 times that: one to four per cent of the memory.
const SHARE: u64 = 2048;

/// Bytes of samples for each byte of the dictionary.
const SAMPLES: usize = 64;

/// One sample in so many is kept apart to judge by.
const HELD_OUT: usize = 8;

/// Fewer samples teach nothing.
const FEWEST: usize = 64;

/// What came of training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trained {
    /// There is too little to learn from, or too little room for a dictionary.
    TooLittle,
    /// The new dictionary would not make values shorter by a twentieth, so it was not adopted.
    NoBetter,
    /// New values are encoded with a new dictionary from now on.
    Adopted {
        /// The bytes of the values that it was judged by, as they would have been encoded without it.
        before: u64,
        /// The same with it.
        after: u64,
    },
}

/// Values drawn from the engine.
#[derive(Default)]
struct Samples {
    bytes: Vec<u8>,
    lengths: Vec<usize>,
}

impl Samples {
    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.bytes.as_slice();
        self.lengths.iter().map(move |len| {
            let (sample, after) = rest.split_at_checked(*len).unwrap_or((rest, &[]));
            rest = after;
            sample
        })
    }
}

impl Warm {
    /// Whether training is likely to pay: never tried yet although there are values enough, or the values
    /// inserted since have changed so that the dictionary serves them worse, or many times as many.
    ///
    /// # Cost
    /// Takes every shard's lock shared for a moment: a question for every few hundred insertions.
    #[must_use]
    pub fn wants_training(&self) -> bool {
        self.trainings.wants(&self.stats())
    }

    /// Learns a dictionary from the entries and adopts it if that pays. What had to leave, because the
    /// dictionary takes room or the oldest one has to go, comes back.
    ///
    /// # Cost
    /// 80 to 330 ms (measured for dictionaries of 16 to 32 KiB) and 3 MiB beyond the capacity while it runs, without
    /// a lock but for moments: work for the background. Reads and writes go on.
    pub fn train(&self, now: u64) -> (Trained, Evicted) {
        let mut evicted = Evicted::default();
        // One at a time; who comes second has nothing to add.
        let Some(mut adopted) = self.trainings.adopted.try_lock() else {
            return (Trained::TooLittle, evicted);
        };
        self.trainings.began(&self.stats());
        let most = usize::try_from(self.capacity() / SHARE).unwrap_or(LONGEST).min(LONGEST);
        let (training, judging) = self.draw_samples(most * SAMPLES);
        if most < SHORTEST || training.lengths.len() + judging.lengths.len() < FEWEST {
            return (Trained::TooLittle, evicted);
        }
        let Ok(dictionary) = Dictionary::train(&training.bytes, &training.lengths, most) else {
            return (Trained::TooLittle, evicted);
        };
        let current = self.shards.first().and_then(|shard| shard.read().current_dictionary());
        let before = encoded_len(&judging, current.as_ref().map(|(_, dictionary)| dictionary.as_ref()));
        let after = encoded_len(&judging, Some(&dictionary));
        if after > before - before / 20 {
            return (Trained::NoBetter, evicted);
        }
        let slot = self.adopt(&mut adopted, Arc::new(dictionary), now, &mut evicted);
        self.trainings.ended(&self.stats());
        (if slot { Trained::Adopted { before, after } } else { Trained::TooLittle }, evicted)
    }

    fn adopt(
        &self,
        adopted: &mut Vec<(u8, Arc<Dictionary>)>,
        dictionary: Arc<Dictionary>,
        now: u64,
        evicted: &mut Evicted,
    ) -> bool {
        self.drop_unneeded(adopted);
        if adopted.len() + 1 >= DICTIONARY_SLOTS {
            let (oldest, _) = adopted.remove(0);
            for shard in &self.shards {
                shard.write().retire(oldest, evicted);
            }
        }
        let Some(slot) =
            (1..DICTIONARY_SLOTS as u8).find(|slot| adopted.iter().all(|(other, _)| other != slot))
        else {
            return false;
        };
        adopted.push((slot, Arc::clone(&dictionary)));
        // Room first, so that the weight is never more than the capacity.
        self.divide(self.capacity(), heap_bytes(adopted), now, evicted);
        for shard in &self.shards {
            let mut shard = shard.write();
            if let Some(place) = shard.dictionaries.get_mut(usize::from(slot)) {
                *place = Some(Arc::clone(&dictionary));
            }
            shard.current = slot;
        }
        true
    }

    /// Drops the dictionaries that no entry needs, but for the newest.
    fn drop_unneeded(&self, adopted: &mut Vec<(u8, Arc<Dictionary>)>) {
        let newest = adopted.last().map(|(slot, _)| *slot);
        adopted.retain(|(slot, _)| {
            // Every shard is asked: from then on it refuses what was encoded with it meanwhile.
            let needed: Vec<bool> =
                self.shards.iter().map(|shard| Some(*slot) == newest || shard.write().needs(*slot)).collect();
            needed.contains(&true)
        });
    }

    /// Draws values from all shards, about `most` bytes in all, some of them to judge by.
    fn draw_samples(&self, most: usize) -> (Samples, Samples) {
        let (mut training, mut judging) = (Samples::default(), Samples::default());
        let each = most / self.shards.len().max(1);
        let mut coder = Coder::new();
        let mut drawn = 0;
        for shard in &self.shards {
            let (mut from, mut bytes) = (0, 0);
            // Steps through the index, whose order is that of the hashes: a sample as random as they are.
            let stride = (shard.read().index.positions() * 512 / each.max(1)).max(1);
            while bytes < each {
                let shard = shard.read();
                let Some((next, place)) = shard.index.next(from) else { break };
                from = next - 1 + stride;
                let Some((record, _)) = shard.record(place).filter(|(_, bytes)| is_sound(bytes)) else {
                    continue;
                };
                let slot = usize::from(record.dictionary);
                let dictionary = shard.dictionaries.get(slot).and_then(Option::clone);
                let to = if drawn % HELD_OUT == 0 { &mut judging } else { &mut training };
                if let Ok(len @ 1..) = coder.decode(
                    record.how,
                    dictionary.as_deref(),
                    record.stored,
                    LONGEST_SAMPLE,
                    &mut to.bytes,
                ) {
                    to.lengths.push(len);
                    bytes += len;
                    drawn += 1;
                }
            }
        }
        (training, judging)
    }
}

/// What these values take together when they are encoded.
fn encoded_len(samples: &Samples, dictionary: Option<&Dictionary>) -> u64 {
    let (mut coder, mut out) = (Coder::new(), Vec::new());
    let mut len = |how, sample: &[u8]| {
        out.clear();
        coder.encode(how, dictionary, sample, &mut out).unwrap_or(sample.len())
    };
    let best = |sample: &[u8]| {
        let encoded = len(Compression::Zstd, sample).min(len(Compression::Lz4, sample));
        encoded.min(sample.len()) as u64
    };
    samples.iter().map(best).sum()
}

pub(super) fn heap_bytes(adopted: &[(u8, Arc<Dictionary>)]) -> u64 {
    adopted.iter().map(|(_, dictionary)| dictionary.heap_bytes() as u64).sum()
}

impl Shard {
    pub(super) fn current_dictionary(&self) -> Option<(u8, Arc<Dictionary>)> {
        let dictionary = self.dictionaries.get(usize::from(self.current))?.as_ref()?;
        Some((self.current, Arc::clone(dictionary)))
    }

    /// Whether entries need this dictionary. It is dropped if none does.
    fn needs(&mut self, slot: u8) -> bool {
        let at = usize::from(slot);
        let needed = self.encoded_with.get(at).is_some_and(|count| *count > 0);
        if let Some(place) = self.dictionaries.get_mut(at).filter(|_| !needed) {
            *place = None;
        }
        needed
    }

    /// Removes every entry that needs this dictionary, and the dictionary.
    pub(super) fn retire(&mut self, slot: u8, evicted: &mut Evicted) {
        let mut from = 0;
        while let Some((next, place)) = self.index.next(from) {
            from = next;
            let Some((record, bytes)) = self.record(place).filter(|(record, _)| record.dictionary == slot)
            else {
                continue;
            };
            let hash = self.hasher.hash_one(record.key);
            let base = self.blocks.get(usize::from(place.block)).map_or(0, |block| block.base);
            let with = self.dictionaries.get(usize::from(slot)).and_then(Option::as_ref);
            evicted.push(bytes, base, crate::Cause::Capacity, with);
            self.tally.left(crate::Cause::Capacity);
            if let Some(position) = self.index.position(hash, place) {
                self.drop_at(position);
                // Those behind it have moved up.
                from = next - 1;
            }
        }
        if let Some(place) = self.dictionaries.get_mut(usize::from(slot)) {
            *place = None;
        }
        if let Some(count) = self.encoded_with.get_mut(usize::from(slot)) {
            *count = 0;
        }
        if self.current == slot {
            self.current = 0;
        }
    }
}

/// When training was last tried, and what it was worth.
#[derive(Default)]
pub(super) struct Trainings {
    /// The dictionaries in use with their slots, the oldest first.
    pub(super) adopted: parking_lot::Mutex<Vec<(u8, Arc<Dictionary>)>>,
    last: parking_lot::Mutex<Last>,
}

#[derive(Clone, Copy, Default)]
struct Last {
    tries: u32,
    bytes_before: u64,
    bytes_after: u64,
    /// Thousandths that values shrank to after the last training, once enough were inserted to tell.
    ratio: Option<u64>,
}

/// After so many bytes of values training is tried for the first time, and what came of it can be told.
const FIRST_BYTES: u64 = 1 << 20;

impl Trainings {
    fn began(&self, stats: &super::Stats) {
        let mut last = self.last.lock();
        *last = Last {
            tries: last.tries + 1,
            bytes_before: stats.bytes_before,
            bytes_after: stats.bytes_after,
            ratio: None,
        };
    }

    fn ended(&self, stats: &super::Stats) {
        let mut last = self.last.lock();
        (last.bytes_before, last.bytes_after) = (stats.bytes_before, stats.bytes_after);
    }

    fn wants(&self, stats: &super::Stats) -> bool {
        let mut last = self.last.lock();
        let before = stats.bytes_before.saturating_sub(last.bytes_before);
        let after = stats.bytes_after.saturating_sub(last.bytes_after);
        if before < FIRST_BYTES << last.tries.min(1) {
            return false;
        }
        if last.tries == 0 {
            return true;
        }
        let ratio = after * 1000 / before.max(1);
        match last.ratio {
            // The first measure after a training is what later ones are compared with.
            None => {
                last.ratio = Some(ratio);
                (last.bytes_before, last.bytes_after) = (stats.bytes_before, stats.bytes_after);
                false
            }
            Some(known) => {
                let worse = ratio > known + known / 10;
                // In any case after a while: a thousand times as much has been inserted.
                worse || before > FIRST_BYTES << 10
            }
        }
    }
}
