//! Dictionaries learned from the records themselves.
//!
//! Decision: samples are drawn from the log when training is asked for, so nothing is kept for it in between. A
//! dictionary is adopted only if values that it was not trained on become shorter by a twentieth, is durable
//! before the first record needs it, and is kept as long as the log.

use std::ops::ControlFlow;

use terrace_envelope::Compression as Algorithm;
use terrace_envelope::codec::{Coder, Dictionary, looks_random};

use crate::codec::with_workspace;
use crate::config::Mode;
use crate::error::{Error, Result};
use crate::point::point;
use crate::record::Kind;
use crate::scan::{End, Step, walk};
use crate::shared::Shared;
use crate::varint::Reader;

const MAGIC: &[u8; 8] = b"terrdict";
/// The longest value that is learned from.
const LONGEST_SAMPLE: usize = 16 << 10;
const LONGEST: usize = 32 << 10;
/// Bytes of samples for each byte of the dictionary. With a hundred values become shorter by a hundredth, and training
/// takes five times as long.
const SAMPLES: usize = 20;
/// In so many places samples are looked at for being random.
const LOOKS: usize = 16;
/// One sample in so many is kept apart to judge by.
const HELD_OUT: usize = 8;
const FEWEST: usize = 128;
/// No log needs more; each is kept as long as the log.
const MOST: usize = 32;
/// After so many bytes appended training is tried for the first time; after each try, eight times as many.
const FIRST_BYTES: u64 = 1 << 20;

/// When training was last tried.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    tries: u32,
    next_at: u64,
}

/// What came of training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trained {
    /// There is too little to learn from, or this log's setting has no use for dictionaries.
    TooLittle,
    /// The new dictionary would not make values shorter by a twentieth.
    NoBetter,
    /// New values are encoded with it from now on.
    Adopted {
        /// The bytes of the values that it was judged by, as they would have been encoded without it.
        before: u64,
        /// The same with it.
        after: u64,
    },
}

#[derive(Default)]
struct Samples {
    bytes: Vec<u8>,
    lengths: Vec<usize>,
}

impl Samples {
    fn add(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.lengths.push(value.len());
    }

    /// Whether most of them do. Then they have nothing in common, and training would take long to find that out.
    fn look_random(&self) -> bool {
        let parts = self.bytes.chunks((self.bytes.len() / LOOKS).max(1));
        2 * parts.filter(|part| looks_random(part)).count() > LOOKS
    }

    fn encoded(&self, how: Algorithm, dictionary: Option<&Dictionary>) -> u64 {
        let (mut coder, mut out, mut total) = (Coder::new(), Vec::new(), 0);
        let mut rest = self.bytes.as_slice();
        for len in &self.lengths {
            let (sample, after) = rest.split_at_checked(*len).unwrap_or((rest, &[]));
            rest = after;
            out.clear();
            let encoded = coder.encode(how, dictionary, sample, &mut out).unwrap_or(*len);
            total += encoded.min(*len) as u64;
        }
        total
    }
}

impl Shared {
    /// Whether training is likely to pay: never tried although there are values enough, or many more since.
    pub(crate) fn wants_training(&self, appended: u64) -> bool {
        let progress = self.codecs.training.lock();
        self.codecs.learns()
            && appended >= progress.next_at.max(FIRST_BYTES)
            && self.codecs.dictionary_ids().len() < MOST
    }

    /// Learns a dictionary from the newest records and adopts it if that pays.
    pub(crate) fn train(&self, appended: u64) -> Result<Trained> {
        self.check_writable()?;
        let Some(mut progress) = self.codecs.training.try_lock() else { return Ok(Trained::TooLittle) };
        progress.tries += 1;
        progress.next_at = appended.saturating_mul(8).max(FIRST_BYTES);
        let ids = self.codecs.dictionary_ids();
        if !self.codecs.learns() || ids.len() >= MOST {
            return Ok(Trained::TooLittle);
        }
        let (training, judging) = self.draw_samples()?;
        if training.lengths.len() < FEWEST {
            return Ok(Trained::TooLittle);
        }
        if training.look_random() {
            return Ok(Trained::NoBetter);
        }
        let most = (training.bytes.len() / SAMPLES).min(LONGEST);
        let Ok(dictionary) = Dictionary::train(&training.bytes, &training.lengths, most) else {
            return Ok(Trained::TooLittle);
        };
        let current = self.codecs.current();
        let (how, dictionary) = (self.codecs.judged_by(), dictionary.with_lz4());
        let before = judging.encoded(how, current.as_ref().map(|(_, dictionary)| dictionary.as_ref()));
        let after = judging.encoded(how, Some(&dictionary));
        if after > before - before / 20 {
            return Ok(Trained::NoBetter);
        }
        let id = ids.last().map_or(1, |last| last + 1);
        self.make_room_for_dictionary(file_len(&dictionary))?;
        self.store_dictionary(id, &dictionary)?;
        self.codecs.add_dictionary(id, dictionary);
        Ok(Trained::Adopted { before, after })
    }

    /// Values from the newest segments, some of them to judge by.
    fn draw_samples(&self) -> Result<(Samples, Samples)> {
        let (mut training, mut judging) = (Samples::default(), Samples::default());
        let segments: Vec<_> = self.segments.read().iter().rev().cloned().collect();
        let mut drawn = 0;
        for segment in segments {
            let len = segment.len().min(u64::from(u32::MAX));
            // The last part of each is enough, but a record begins only where one ended.
            let visit = |step: Step<'_>| {
                let Step::Record(offset, record) = step else { return ControlFlow::Continue(()) };
                let full = training.bytes.len() >= SAMPLES * LONGEST;
                if full {
                    return ControlFlow::Break(());
                }
                if record.head.kind != Kind::Put || record.head.value_len() as usize > LONGEST_SAMPLE {
                    return ControlFlow::Continue(());
                }
                let to = if drawn % HELD_OUT == 0 { &mut judging } else { &mut training };
                with_workspace(|workspace| {
                    let mut value = Vec::new();
                    if self.value_of(&segment, offset, &record, workspace, &mut value).is_ok() {
                        to.add(&value);
                        drawn += 1;
                    }
                });
                ControlFlow::Continue(())
            };
            walk(&segment, crate::header::HEADER_LEN, End::Known(len), visit)
                .map_err(Error::io("read", &crate::header::segment_name(segment.id)))?;
            if training.bytes.len() >= SAMPLES * LONGEST {
                break;
            }
        }
        Ok((training, judging))
    }

    /// What has been evicted goes first, for that is still part of a cache's budget.
    fn make_room_for_dictionary(&self, len: u64) -> Result<()> {
        let Mode::Cache { budget } = self.config.mode else { return Ok(()) };
        self.sync_log()?;
        if self.used_bytes(&self.writer.lock()).0 + len > budget {
            return Err(Error::Full("the budget has no room for a dictionary"));
        }
        Ok(())
    }

    /// Makes a dictionary durable.
    fn store_dictionary(&self, id: u32, dictionary: &Dictionary) -> Result<()> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&self.mark.store.to_le_bytes());
        bytes.extend_from_slice(&id.to_le_bytes());
        bytes.extend_from_slice(dictionary.as_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        point("dictionary.before_rename");
        self.store_file(&dictionary_name(id), &bytes)
    }

    /// Writes a whole file so that it is there with all of its content, or not at all.
    pub(crate) fn store_file(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let temporary = format!("{name}.new");
        let _ = self.io.remove(&temporary);
        let file = self.io.create(&temporary).map_err(Error::io("create", &temporary))?;
        file.write_all_at(bytes, 0).map_err(Error::io("write", &temporary))?;
        file.sync().map_err(Error::io("sync", &temporary))?;
        self.io.rename(&temporary, name).map_err(Error::io("rename", &temporary))?;
        self.sync_folder()
    }
}

/// The length of a dictionary's file.
pub(crate) fn file_len(dictionary: &Dictionary) -> u64 {
    // Mark, store, number, checksum.
    (MAGIC.len() + 8 + 4 + dictionary.as_bytes().len() + 4) as u64
}

/// The name of a dictionary's file.
pub(crate) fn dictionary_name(id: u32) -> String {
    format!("dict-{id:08}")
}

/// The dictionary in a file, with its number.
pub(crate) fn parse_dictionary(bytes: &[u8], store: u64) -> Option<(u32, Dictionary)> {
    let (body, crc) = bytes.split_last_chunk::<4>()?;
    if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
        return None;
    }
    let mut reader = Reader::new(body.strip_prefix(MAGIC)?);
    if reader.u64().ok()? != store {
        return None;
    }
    let id = reader.u32().ok()?;
    let content = body.get(MAGIC.len() + reader.at()..)?;
    Some((id, Dictionary::new(content).ok()?.with_lz4()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_values_that_have_nothing_in_common_are_told_from_those_that_have() {
        let (mut noise, mut names, mut state) = (Samples::default(), Samples::default(), 1_u64);
        for number in 0..2000 {
            let bytes: Vec<u8> = std::iter::repeat_with(|| {
                state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
                (state >> 56) as u8
            })
            .take(60)
            .collect();
            noise.add(&bytes);
            // Half of it is random.
            names.add(
                &[b"customer since 2026, number ", &number.to_string().into_bytes()[..], &bytes[..30]]
                    .concat(),
            );
        }
        assert!(noise.look_random() && !names.look_random());
        assert!(!Samples::default().look_random());
    }
}
