//! Which algorithm a value is encoded with.
//!
//! Decision: an algorithm that was asked for is taken; else the choice is by what the last values of about that length became. Each class of lengths (a power of two) keeps
//! a moving average of what LZ4 and Zstandard made of them; one value in 32 is encoded with both to keep the
//! averages true. Zstandard reads slower, so it has to be an eighth shorter. What looks random is not tried.

use std::sync::atomic::{AtomicU32, Ordering};

use terrace_envelope::Compression as Algorithm;
use terrace_envelope::codec::{Coder, Dictionary, is_built, looks_random};

use crate::config::Compression;

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
    /// Encodes the value into `out`, which is emptied first, and says how; `None` if it is not worth it, or, with
    /// `at_all`, not shorter at all.
    pub(super) fn encode(
        &self,
        how: Compression,
        at_all: bool,
        coder: &mut Coder,
        dictionary: Option<&Dictionary>,
        value: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<Algorithm> {
        out.clear();
        if value.len() < SHORTEST || (!at_all && looks_random(value)) {
            return None;
        }
        let algorithm = match how {
            Compression::None => return None,
            Compression::Lz4 => encode(Algorithm::Lz4, coder, dictionary, value, out),
            Compression::Zstd => encode(Algorithm::Zstd, coder, dictionary, value, out),
            Compression::Snappy => encode(Algorithm::Snappy, coder, dictionary, value, out),
            Compression::Deflate => encode(Algorithm::Deflate, coder, dictionary, value, out),
            Compression::Brotli => encode(Algorithm::Brotli, coder, dictionary, value, out),
            Compression::Adaptive => self.adapt(coder, dictionary, value, out),
        }?;
        let worth = if at_all { 1 } else { value.len() / WORTH };
        (out.len() + worth <= value.len()).then_some(algorithm)
    }

    fn adapt(
        &self,
        coder: &mut Coder,
        dictionary: Option<&Dictionary>,
        value: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<Algorithm> {
        let class = self.classes.get(value.len().ilog2() as usize)?;
        let seen = class.seen.fetch_add(1, Ordering::Relaxed);
        if seen >= FIRST_TRIALS && seen % TRIAL != 0 {
            return encode(class.best()?, coder, dictionary, value, out);
        }
        for (how, average) in [(Algorithm::Lz4, &class.lz4), (Algorithm::Zstd, &class.zstd)] {
            out.clear();
            if let Ok(len) = coder.encode(how, dictionary, value, out) {
                learn(average, len, value.len());
            }
        }
        let how = class.best()?;
        // What is in `out` now is Zstandard's, if there is such a thing.
        if how != Algorithm::Zstd {
            out.clear();
            return encode(how, coder, dictionary, value, out);
        }
        Some(how)
    }
}

fn encode(
    how: Algorithm,
    coder: &mut Coder,
    dictionary: Option<&Dictionary>,
    value: &[u8],
    out: &mut Vec<u8>,
) -> Option<Algorithm> {
    coder.encode(how, dictionary, value, out).ok().map(|_| how)
}

impl Class {
    /// The algorithm for the next value, if any makes them shorter.
    fn best(&self) -> Option<Algorithm> {
        let of = |how, average: &AtomicU32| match average.load(Ordering::Relaxed) {
            0 => u32::MAX,
            _ if !is_built(how) => u32::MAX,
            ratio => ratio,
        };
        let (lz4, zstd) = (of(Algorithm::Lz4, &self.lz4), of(Algorithm::Zstd, &self.zstd));
        let best = if zstd < lz4 - lz4 / 8 { (zstd, Algorithm::Zstd) } else { (lz4, Algorithm::Lz4) };
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
