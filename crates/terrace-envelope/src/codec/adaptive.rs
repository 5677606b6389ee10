//! Which algorithm a value is encoded with, learned from the values before it.
//!
//! Decision: an aim is a price, in nanoseconds, of each byte that is read from where a value lies. With it, what an
//! algorithm costs a reader is one number: the time of decoding, a quarter of the time of encoding (a value is taken to
//! be read four times), and the price of the bytes. For each class of lengths (a power of two) every algorithm keeps a
//! moving average of its ratio and its time, and the next value takes the cheapest.
//! To keep the averages true algorithms are tried again, each the more rarely the dearer it is beside the best: all
//! trials together cost about a fortieth. What looks random is not tried.
//!
//! Time is handed in. A clock that stands still leaves the decision to the bytes alone.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::{ALGORITHMS, Coder, Dictionary, is_built, looks_random};
use crate::Compression;

/// What is to be saved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Aim {
    /// Time: a byte is worth 2 nanoseconds, which is what a disk of 500 MB/s takes for it.
    Latency,
    /// Both: a byte is worth 10 nanoseconds, which is about what a network of a gigabit takes for it.
    #[default]
    Balanced,
    /// Space: whatever takes the fewest bytes.
    Space,
}

impl Aim {
    /// What a value costs a reader that was encoded in `encode_ps` into `encoded` bytes and is decoded in `decode_ps`,
    /// both in thousandths of a nanosecond, as is the cost. For [`Aim::Space`] time decides between equals only, and
    /// the cost has no unit.
    #[must_use]
    pub fn cost(self, encoded: u64, encode_ps: u64, decode_ps: u64) -> u64 {
        self.cost_of(encoded, time_ps(encode_ps, decode_ps))
    }

    fn cost_of(self, encoded: u64, time_ps: u64) -> u64 {
        match self {
            Self::Latency => time_ps.saturating_add(encoded.saturating_mul(2_000)),
            Self::Balanced => time_ps.saturating_add(encoded.saturating_mul(10_000)),
            Self::Space => encoded.saturating_mul(1 << 32).saturating_add(time_ps.min(u64::from(u32::MAX))),
        }
    }

    /// One part in so many of a value has to be saved, or it is stored as it is.
    fn worth(self) -> usize {
        match self {
            Self::Latency => 8,
            Self::Balanced => 16,
            Self::Space => usize::MAX,
        }
    }
}

/// A value is written once and read four times.
fn time_ps(encode_ps: u64, decode_ps: u64) -> u64 {
    (encode_ps / 4).saturating_add(decode_ps)
}

/// In a trial a value is encoded and decoded so many times, and the fastest counts: the first time an algorithm finds
/// neither its tables nor its code in the caches.
const TIMES: usize = 3;

/// How often an algorithm is tried that costs as much as the best: once in so many values.
const TRIAL: u64 = 256 * TIMES as u64;

/// The first values of a class are trials for every algorithm.
const FIRST_TRIALS: u32 = 3;

/// A ratio of 1 in the averages.
const ONE: u64 = 1 << 16;

/// What is known of one algorithm for one class of lengths. Zero is unknown.
#[derive(Default)]
struct Known {
    /// Of the lengths, in parts of [`ONE`].
    ratio: AtomicU32,
    /// Of decoding and a quarter of encoding, in thousandths of a nanosecond for each byte of the value.
    pace_ps: AtomicU32,
    /// The value of the class at which it is tried next.
    next_trial: AtomicU32,
}

/// Values of one class of lengths.
#[derive(Default)]
struct Class {
    seen: AtomicU32,
    /// The last value became shorter, so that the next one is not looked at for being random: the look takes about as
    /// long as encoding a kilobyte by a fast algorithm.
    pays: AtomicBool,
    known: [Known; ALGORITHMS.len()],
}

/// Chooses an algorithm for each value. It may be shared by threads.
///
/// The averages are those of one kind of values: keep one of these for each namespace or column, and begin a new one
/// with a new dictionary.
pub struct Adaptive {
    aim: Aim,
    min_size: usize,
    now_ns: fn() -> u64,
    /// By the logarithm of the length.
    classes: [Class; 32],
}

impl std::fmt::Debug for Adaptive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Adaptive");
        shown.field("aim", &self.aim).field("min_size", &self.min_size).finish_non_exhaustive()
    }
}

impl Adaptive {
    /// One that knows nothing yet. Values below `min_size` bytes are left as they are; `now_ns` is a clock that never
    /// goes back, in nanoseconds since any moment.
    #[must_use]
    pub fn new(aim: Aim, min_size: usize, now_ns: fn() -> u64) -> Self {
        Self { aim, min_size, now_ns, classes: Default::default() }
    }

    /// Encodes the value into `out`, which is emptied first, and says how.
    ///
    /// # Cost
    /// That of the algorithm. In steady state about a fortieth of the time goes into trials (for [`Aim::Space`]: each
    /// algorithm once in 768 values), and nothing is allocated but the room in `out`.
    pub fn encode(
        &self,
        coder: &mut Coder,
        dictionary: Option<&Dictionary>,
        value: &[u8],
        out: &mut Vec<u8>,
    ) -> Compression {
        out.clear();
        let how = self.choose(coder, dictionary, value);
        let most = value.len() - (value.len() / self.aim.worth()).max(1).min(value.len());
        if how != Compression::None {
            let encoded = coder.encode(how, dictionary, value, out);
            let pays = encoded.is_ok_and(|encoded| encoded <= most);
            if let Some(class) = self.class(value.len()) {
                class.pays.store(pays, Ordering::Relaxed);
            }
            if pays {
                return how;
            }
        }
        out.clear();
        out.extend_from_slice(value);
        Compression::None
    }

    /// What values of this length would be encoded with now; nothing is learned.
    #[must_use]
    pub fn current(&self, len: usize) -> Compression {
        if len < self.min_size {
            return Compression::None;
        }
        self.class(len).map_or(Compression::None, |class| class.best(self.aim, len).0)
    }

    fn class(&self, len: usize) -> Option<&Class> {
        self.classes.get(len.checked_ilog2()? as usize)
    }

    fn choose(&self, coder: &mut Coder, dictionary: Option<&Dictionary>, value: &[u8]) -> Compression {
        let Some(class) = self.class(value.len()).filter(|_| value.len() >= self.min_size) else {
            return Compression::None;
        };
        let seen = class.seen.load(Ordering::Relaxed);
        let due = class.is_due(seen);
        if !due && class.best(self.aim, value.len()).0 == Compression::None {
            // Nothing will be tried and nothing encoded, whatever the value looks like.
            class.seen.fetch_add(1, Ordering::Relaxed);
            return Compression::None;
        }
        // What is random teaches nothing, and an algorithm that takes its time is wasted on it.
        let trusted = class.pays.load(Ordering::Relaxed) && self.aim != Aim::Space && !due;
        if !trusted && looks_random(value) {
            return Compression::None;
        }
        class.seen.fetch_add(1, Ordering::Relaxed);
        for (how, known) in ALGORITHMS.into_iter().zip(&class.known).filter(|(how, _)| is_built(*how)) {
            if known.is_due(seen) {
                self.try_out(coder, how, dictionary, value, known);
                known.put_off(seen, self.aim, value.len(), class.best(self.aim, value.len()).1);
            }
        }
        class.best(self.aim, value.len()).0
    }

    /// Encodes and decodes the value for nothing but to see what comes of it.
    fn try_out(
        &self,
        coder: &mut Coder,
        how: Compression,
        dictionary: Option<&Dictionary>,
        value: &[u8],
        known: &Known,
    ) {
        let [mut encoded, mut decoded] = std::mem::take(&mut coder.scratch);
        let mut least = u64::MAX;
        let mut result = Ok(0);
        for _ in 0..TIMES {
            encoded.clear();
            decoded.clear();
            let began = (self.now_ns)();
            let was_encoded = coder.encode(how, dictionary, value, &mut encoded);
            let between = (self.now_ns)();
            let was_decoded = coder.decode(how, dictionary, &encoded, value.len(), &mut decoded);
            let ended = (self.now_ns)();
            let picoseconds = |from: u64, to: u64| to.saturating_sub(from).saturating_mul(1_000);
            least = least.min(time_ps(picoseconds(began, between), picoseconds(between, ended)));
            result = result.and(was_encoded).and(was_decoded);
        }
        match result {
            Ok(_) => known.learn(encoded.len(), least, value.len()),
            Err(_) => known.give_up(),
        }
        coder.keep_scratch([encoded, decoded]);
    }
}

impl Class {
    /// Whether an algorithm is to be tried on the value of this number.
    fn is_due(&self, seen: u32) -> bool {
        let mut built = ALGORITHMS.into_iter().zip(&self.known).filter(|(how, _)| is_built(*how));
        built.any(|(_, known)| known.is_due(seen))
    }

    /// The cheapest algorithm for a value of this length, and what it costs.
    fn best(&self, aim: Aim, len: usize) -> (Compression, u64) {
        let algorithms = ALGORITHMS.into_iter().zip(&self.known);
        algorithms.filter_map(|(how, known)| Some((how, known.cost(aim, len)?))).fold(
            (Compression::None, aim.cost_of(len as u64, 0)),
            |best, other| {
                if other.1 < best.1 { other } else { best }
            },
        )
    }
}

impl Known {
    /// What a value of this length costs, once something is known.
    fn cost(&self, aim: Aim, len: usize) -> Option<u64> {
        let (ratio, pace) = (self.ratio.load(Ordering::Relaxed), self.pace_ps.load(Ordering::Relaxed));
        let encoded = len as u64 * u64::from(ratio) / ONE;
        (ratio != 0).then(|| aim.cost_of(encoded, len as u64 * u64::from(pace)))
    }

    fn is_due(&self, seen: u32) -> bool {
        // The counter wraps around after 2^32 values: what is due lies less than half of that behind.
        seen < FIRST_TRIALS || seen.wrapping_sub(self.next_trial.load(Ordering::Relaxed)) < 1 << 31
    }

    /// The next trial, so many values later that it costs one part in [`TRIAL`] of what the values cost.
    fn put_off(&self, seen: u32, aim: Aim, len: usize, best: u64) {
        let dearer = self.cost(aim, len).unwrap_or(u64::MAX) / best.max(1);
        let values = dearer.saturating_mul(TRIAL).clamp(TRIAL, 1 << 20);
        self.next_trial.store(seen.wrapping_add(values as u32), Ordering::Relaxed);
    }

    /// Moving averages over about four trials.
    fn learn(&self, encoded: usize, time_ps: u64, len: usize) {
        let len = len.max(1) as u64;
        let ratio = (encoded as u64 * ONE / len).clamp(1, 2 * ONE) as u32;
        self.ratio.store(average(self.ratio.load(Ordering::Relaxed), ratio), Ordering::Relaxed);
        // What interrupts a thread makes times longer, never shorter: one that is much longer than the average counts
        // for twice the average, and one that is much shorter shows what the average should have been.
        let pace = (time_ps / len).clamp(1, u64::from(u32::MAX)) as u32;
        let old = self.pace_ps.load(Ordering::Relaxed);
        let new = if pace < old / 2 { pace } else { average(old, pace.min(old.max(1).saturating_mul(2))) };
        self.pace_ps.store(if old == 0 { pace } else { new }, Ordering::Relaxed);
    }

    /// It failed: it is dearer than anything until it is tried again.
    fn give_up(&self) {
        self.ratio.store(2 * ONE as u32, Ordering::Relaxed);
        self.pace_ps.store(u32::MAX, Ordering::Relaxed);
    }
}

fn average(old: u32, new: u32) -> u32 {
    if old == 0 {
        return new;
    }
    let (old, new) = (u64::from(old), u64::from(new));
    // Rounded towards the new value, so that small numbers do not get stuck.
    let sum = if new > old { (3 * old + new).div_ceil(4) } else { (3 * old + new) / 4 };
    u32::try_from(sum).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aim_weighs_time_against_bytes() {
        // 1000 bytes become 500 that are read in 2 us, or 400 that are read in 4 us; encoding takes four times as long.
        let costs = |aim: Aim| {
            [aim.cost(1000, 0, 0), aim.cost(500, 8_000_000, 2_000_000), aim.cost(400, 16_000_000, 4_000_000)]
        };
        assert_eq!(costs(Aim::Latency), [2_000_000, 1_000_000 + 4_000_000, 800_000 + 8_000_000]);
        assert_eq!(costs(Aim::Balanced), [10_000_000, 5_000_000 + 4_000_000, 4_000_000 + 8_000_000]);
        let [none, some, most] = costs(Aim::Space);
        assert!(most < some && some < none);
    }

    #[test]
    fn a_dear_algorithm_is_tried_more_rarely() {
        let known = Known::default();
        assert!(known.is_due(0) && known.is_due(2));
        known.learn(500, 1_000_000, 1_000);
        let cost = known.cost(Aim::Latency, 1_000).unwrap();
        known.put_off(10, Aim::Latency, 1_000, cost);
        assert!(!known.is_due(777) && known.is_due(778));
        known.put_off(10, Aim::Latency, 1_000, cost / 5);
        assert!(!known.is_due(3849) && known.is_due(3850));
        known.put_off(u32::MAX - 5, Aim::Latency, 1_000, cost);
        assert!(!known.is_due(100) && known.is_due(762), "around the end of the counter");
    }

    #[test]
    fn an_interruption_is_soon_forgotten() {
        let known = Known::default();
        for _ in 0..20 {
            known.learn(500, 1_000_000, 1_000);
        }
        known.learn(500, 10_000_000_000, 1_000);
        assert!(known.pace_ps.load(Ordering::Relaxed) <= 1_250);
        for _ in 0..40 {
            known.learn(500, 3_000_000, 1_000);
        }
        assert!(known.pace_ps.load(Ordering::Relaxed) > 2_900, "a lasting change is not");
        known.learn(500, 1_000_000, 1_000);
        assert_eq!(known.pace_ps.load(Ordering::Relaxed), 1_000);
    }
}
