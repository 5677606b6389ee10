//! Which algorithm a value is encoded with.
//!
//! Decision: by what the last values of about that length became. Each class of lengths (a power of two) keeps
//! a moving average of what LZ4 and Zstandard made of them; one value in 32 is encoded with both to keep the
//! averages true. Zstandard reads slower, so it has to be an eighth shorter. What looks random is not tried.

use std::sync::atomic::{AtomicU32, Ordering};

use terrace_envelope::Compression;
use terrace_envelope::codec::{Coder, Dictionary, is_built, looks_random};

/// Values shorter than this are stored as they are: no algorithm saves more than a byte or two.
const SHORTEST: usize = 24;

/// One value in so many is encoded with every algorithm.
const TRIAL: u32 = 32;

/// The first values of a class are all trials.
const FIRST_TRIALS: u32 = 8;

/// A ratio of 1 in the averages.
const ONE: u32 = 1 << 16;

/// A value has to lose one part in so many, or it is stored as it is.
const WORTH: usize = 16;

/// Values of one class of lengths.
#[derive(Default)]
struct Class {
    seen: AtomicU32,
    lz4: AtomicU32,
    zstd: AtomicU32,
}

#[derive(Default)]
pub(super) struct Choice {
    /// By the logarithm of the length.
    classes: [Class; 32],
}

impl Choice {
    /// Encodes the value into `out`, which is emptied first, and says how.
    pub(super) fn encode(
        &self,
        coder: &mut Coder,
        dictionary: Option<&Dictionary>,
        value: &[u8],
        out: &mut Vec<u8>,
    ) -> Compression {
        out.clear();
        let how = self.encode_smaller(coder, dictionary, value, out);
        if let Some(how) = how.filter(|_| out.len() <= value.len() - value.len() / WORTH) {
            return how;
        }
        out.clear();
        out.extend_from_slice(value);
        Compression::None
    }

    fn encode_smaller(
        &self,
        coder: &mut Coder,
        dictionary: Option<&Dictionary>,
        value: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<Compression> {
        if value.len() < SHORTEST || looks_random(value) {
            return None;
        }
        let class = self.classes.get(value.len().ilog2() as usize)?;
        let seen = class.seen.fetch_add(1, Ordering::Relaxed);
        if seen >= FIRST_TRIALS && seen % TRIAL != 0 {
            let how = class.best()?;
            coder.encode(how, dictionary, value, out).ok()?;
            return Some(how);
        }
        for (how, average) in [(Compression::Lz4, &class.lz4), (Compression::Zstd, &class.zstd)] {
            out.clear();
            if let Ok(len) = coder.encode(how, dictionary, value, out) {
                learn(average, len, value.len());
            }
        }
        let how = class.best()?;
        // What is in `out` now is Zstandard's, if there is such a thing.
        if how != Compression::Zstd {
            out.clear();
            coder.encode(how, dictionary, value, out).ok()?;
        }
        Some(how)
    }
}

impl Class {
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

/// A moving average over about eight values.
fn learn(average: &AtomicU32, encoded: usize, len: usize) {
    let ratio = (encoded as u64 * u64::from(ONE) / len.max(1) as u64).min(u64::from(2 * ONE)) as u32;
    let old = average.load(Ordering::Relaxed);
    let new = if old == 0 { ratio } else { old - old / 8 + ratio / 8 };
    average.store(new.max(1), Ordering::Relaxed);
}

#[cfg(test)]
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
        assert_eq!(choice.encode(&mut coder, None, b"short", &mut out), Compression::None);
        assert_eq!(out, b"short");
        assert_eq!(choice.encode(&mut coder, None, &noise(5000, 3), &mut out), Compression::None);
        assert_eq!(out.len(), 5000);
        assert_eq!(choice.encode(&mut coder, None, b"", &mut out), Compression::None);

        // Long runs: both do well, and LZ4 reads faster. Digits of noise: only an entropy coder gains.
        let runs = Choice::default();
        let digits = Choice::default();
        for seed in 0..40 {
            let mut run = vec![seed as u8; 400];
            run.extend_from_slice(&noise(300, seed));
            let how = runs.encode(&mut coder, None, &run, &mut out);
            assert_ne!(how, Compression::None);
            assert!(seed < 8 || how == Compression::Lz4, "{how:?}");
            let hex: Vec<u8> =
                noise(1000, seed).iter().flat_map(|n| format!("{n:02x}").into_bytes()).collect();
            assert_eq!(digits.encode(&mut coder, None, &hex, &mut out), Compression::Zstd);
            let mut again = Vec::new();
            coder.decode(Compression::Zstd, None, &out, 1 << 20, &mut again).unwrap();
            assert_eq!(again, hex);
        }
    }
}
