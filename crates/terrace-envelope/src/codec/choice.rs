//! Which algorithm a value is encoded with, and whether it pays.
//!
//! Decision: an algorithm that was asked for is taken; else the choice is by what the last values of about that length
//! became. Each class of lengths (a power of two) keeps a moving average of what LZ4 and Zstandard made of them; one
//! value in 32 is encoded with both to keep the averages true. Zstandard reads slower, so it has to be an eighth
//! shorter. What looks random is not tried, and what does not become shorter by enough is not kept.
//!
//! [`Adaptive`](super::Adaptive) weighs bytes against measured time over all algorithms, and needs a clock; this needs
//! none, for engines that have none.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::{Coder, Dictionary, is_built, looks_random};
use crate::Compression;

/// Values shorter than this are stored as they are: no algorithm saves more than a byte or two.
const SHORTEST: usize = 24;

/// One value in so many is encoded with every algorithm.
const TRIAL: u32 = 32;

/// The first values of a class are all trials.
const FIRST_TRIALS: u32 = 8;

/// A ratio of 1 in the averages.
const ONE: u32 = 1 << 16;

/// What has to be saved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Worth {
    /// One part in 16: less does not pay for decoding.
    #[default]
    Enough,
    /// A byte: somebody asked for it, and also what looks random is tried.
    AnyByte,
}

/// Values of one class of lengths.
#[derive(Debug, Default)]
struct Class {
    seen: AtomicU32,
    lz4: AtomicU32,
    zstd: AtomicU32,
    /// The last value became shorter, so that the next one is not looked at for being random: the look takes about an
    /// eighth of what LZ4 does.
    pays: AtomicBool,
}

/// Chooses an algorithm for each value. It may be shared by threads.
#[derive(Debug, Default)]
pub struct Choice {
    /// By the logarithm of the length.
    classes: [Class; 32],
}

impl Choice {
    /// Encodes the value into `out`, which is emptied first, and says how; `None` if it is better stored as it is. Then
    /// what is in `out` means nothing. Without `how` it is LZ4 or Zstandard.
    ///
    /// # Cost
    /// That of the algorithm; one value in 32 that of both.
    pub fn encode(
        &self,
        how: Option<Compression>,
        worth: Worth,
        coder: &mut Coder,
        dictionary: Option<&Dictionary>,
        value: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<Compression> {
        out.clear();
        let class = self.classes.get(value.len().checked_ilog2()? as usize)?;
        // What is random teaches nothing, so a trial is no place for it.
        let trusted = class.pays.load(Ordering::Relaxed) && !is_trial(class.seen.load(Ordering::Relaxed));
        let trusted = trusted || worth == Worth::AnyByte;
        if value.len() < SHORTEST || (!trusted && looks_random(value)) {
            return None;
        }
        let how = match how {
            Some(how) => coder.encode(how, dictionary, value, out).ok().map(|_| how),
            None => class.learned(coder, dictionary, value, out),
        };
        let least = if worth == Worth::AnyByte { 1 } else { value.len() / 16 };
        let pays = how.is_some() && out.len() + least <= value.len();
        // Written only when it changes: threads share it.
        if class.pays.load(Ordering::Relaxed) != pays {
            class.pays.store(pays, Ordering::Relaxed);
        }
        how.filter(|_| pays)
    }
}

impl Class {
    fn learned(
        &self,
        coder: &mut Coder,
        dictionary: Option<&Dictionary>,
        value: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<Compression> {
        let seen = self.seen.fetch_add(1, Ordering::Relaxed);
        if !is_trial(seen) {
            let how = self.best()?;
            coder.encode(how, dictionary, value, out).ok()?;
            return Some(how);
        }
        for (how, average) in [(Compression::Lz4, &self.lz4), (Compression::Zstd, &self.zstd)] {
            out.clear();
            if let Ok(len) = coder.encode(how, dictionary, value, out) {
                learn(average, len, value.len());
            }
        }
        let how = self.best()?;
        // What is in `out` now is Zstandard's, if there is such a thing.
        if how != Compression::Zstd {
            out.clear();
            coder.encode(how, dictionary, value, out).ok()?;
        }
        Some(how)
    }

    /// The algorithm for the next value, if any makes them shorter.
    fn best(&self) -> Option<Compression> {
        let of = |how, average: &AtomicU32| match average.load(Ordering::Relaxed) {
            0 => u32::MAX,
            _ if !is_built(how) => u32::MAX,
            ratio => ratio,
        };
        let (lz4, zstd) = (of(Compression::Lz4, &self.lz4), of(Compression::Zstd, &self.zstd));
        let best = if zstd < lz4 - lz4 / 8 { (zstd, Compression::Zstd) } else { (lz4, Compression::Lz4) };
        (best.0 < ONE).then_some(best.1)
    }
}

/// Whether the value of this number is encoded with every algorithm.
fn is_trial(seen: u32) -> bool {
    seen < FIRST_TRIALS || seen.is_multiple_of(TRIAL)
}

/// A moving average over about eight values.
fn learn(average: &AtomicU32, encoded: usize, len: usize) {
    let ratio = (encoded as u64 * u64::from(ONE) / len.max(1) as u64).min(u64::from(2 * ONE)) as u32;
    let old = average.load(Ordering::Relaxed);
    let new = if old == 0 { ratio } else { old - old / 8 + ratio / 8 };
    average.store(new.max(1), Ordering::Relaxed);
}

#[cfg(all(test, feature = "lz4", feature = "zstd"))]
mod tests {
    use super::*;

    fn noise(len: usize, seed: u64) -> Vec<u8> {
        let mut state = seed;
        let next = || {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            (state >> 56) as u8
        };
        std::iter::repeat_with(next).take(len).collect()
    }

    #[test]
    fn each_kind_of_value_is_stored_by_what_suits_it() {
        let (choice, mut coder, mut out) = (Choice::default(), Coder::new(), Vec::new());
        for value in [&b"short"[..], b"", &noise(5000, 3)] {
            assert_eq!(choice.encode(None, Worth::Enough, &mut coder, None, value, &mut out), None);
        }

        // Long runs: both do well, and LZ4 reads faster. Digits of noise: only an entropy coder gains.
        let runs = Choice::default();
        let digits = Choice::default();
        for seed in 0..40 {
            let mut run = vec![seed as u8; 400];
            run.extend_from_slice(&noise(300, seed));
            let how = runs.encode(None, Worth::Enough, &mut coder, None, &run, &mut out).unwrap();
            assert!(seed < 8 || how == Compression::Lz4, "{how:?}");
            let hex: Vec<u8> =
                noise(1000, seed).iter().flat_map(|n| format!("{n:02x}").into_bytes()).collect();
            let how = digits.encode(None, Worth::Enough, &mut coder, None, &hex, &mut out);
            assert_eq!(how, Some(Compression::Zstd));
            let mut again = Vec::new();
            coder.decode(Compression::Zstd, None, &out, 1 << 20, &mut again).unwrap();
            assert_eq!(again, hex);
        }
    }

    #[test]
    fn what_was_asked_for_is_done_if_it_saves_what_it_should() {
        let (choice, mut coder, mut out) = (Choice::default(), Coder::new(), Vec::new());
        let mut encode =
            |how, worth, value: &[u8]| choice.encode(Some(how), worth, &mut coder, None, value, &mut out);
        let text = b"a word, and another word, and a word".repeat(9);
        assert_eq!(encode(Compression::Lz4, Worth::Enough, &text), Some(Compression::Lz4));
        // What is random is looked at again once a value has not become shorter.
        assert_eq!(encode(Compression::Lz4, Worth::Enough, &noise(324, 7)), None);
        // Noise with a run at its end that saves a few bytes of hundreds.
        let mut little = noise(600, 1);
        little.extend_from_slice(&[0; 24]);
        assert_eq!(encode(Compression::Lz4, Worth::Enough, &little), None);
        assert_eq!(encode(Compression::Lz4, Worth::AnyByte, &little), Some(Compression::Lz4));
        assert_eq!(encode(Compression::Lz4, Worth::AnyByte, &noise(600, 1)), None);
    }
}
