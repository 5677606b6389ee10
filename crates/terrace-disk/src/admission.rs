//! What a cache takes in: it spares the disk.
//!
//! Decision: a count of recent offers for each key, in a sketch of two rows of four-bit counters that age by halving,
//! and a bucket of bytes that fills at the rate the disk may be written with. While the bucket is above half,
//! every key is admitted that was offered often enough; below, keys must have been offered twice, then three
//! times; when it is empty, none is.

use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::Mutex;

use crate::config::Admission;
use crate::index::Hash;

/// The bucket holds what may be written in so many milliseconds.
const WINDOW_MS: u64 = 3_600_000;
const DAY_MS: u64 = 86_400_000;
/// Counters of the sketch in each of its two rows.
const WIDTH: usize = 1 << 16;

/// Decides what is admitted.
pub(crate) struct Gate {
    config: Admission,
    sketch: Option<Sketch>,
    bucket: Mutex<Bucket>,
}

struct Bucket {
    bytes: u64,
    at_ms: Option<u64>,
    refused: u64,
}

/// Two rows of saturating counters, a byte each, of which 15 is the highest value.
struct Sketch {
    counters: Box<[AtomicU8]>,
    offers: std::sync::atomic::AtomicUsize,
}

impl Sketch {
    fn new() -> Self {
        let counters = std::iter::repeat_with(AtomicU8::default).take(2 * WIDTH).collect();
        Self { counters, offers: std::sync::atomic::AtomicUsize::new(0) }
    }

    /// Counts an offer and returns how many there were lately, this one included.
    fn offer(&self, hash: Hash) -> u8 {
        if self.offers.fetch_add(1, Ordering::Relaxed) % (8 * WIDTH) == 8 * WIDTH - 1 {
            for counter in &self.counters {
                counter.store(counter.load(Ordering::Relaxed) / 2, Ordering::Relaxed);
            }
        }
        let at = [hash.0 as usize % WIDTH, WIDTH + (hash.0 >> 32) as usize % WIDTH];
        let count = at.map(|at| {
            let Some(counter) = self.counters.get(at) else { return 0 };
            let count = counter.load(Ordering::Relaxed).saturating_add(1).min(15);
            counter.store(count, Ordering::Relaxed);
            count
        });
        count.into_iter().min().unwrap_or(0)
    }
}

impl Gate {
    pub(crate) fn new(config: Admission) -> Self {
        let counts = config.offers > 1 || config.bytes_per_day.is_some();
        let bytes = config.bytes_per_day.map_or(0, window_bytes);
        let bucket = Mutex::new(Bucket { bytes, at_ms: None, refused: 0 });
        Self { config, sketch: counts.then(Sketch::new), bucket }
    }

    /// Whether a new key of so many bytes is taken in now.
    pub(crate) fn admit(&self, hash: Hash, bytes: u64, now_ms: u64) -> bool {
        let Some(sketch) = &self.sketch else { return true };
        let offers = sketch.offer(hash);
        let mut bucket = self.bucket.lock();
        let mut wanted = self.config.offers.max(1);
        if let Some(per_day) = self.config.bytes_per_day {
            let full = window_bytes(per_day);
            bucket.fill(per_day, full, now_ms);
            wanted = wanted.max(if bucket.bytes > full / 2 {
                1
            } else if bucket.bytes > full / 4 {
                2
            } else {
                3
            });
            if offers < wanted || bucket.bytes < bytes {
                bucket.refused += 1;
                return false;
            }
            bucket.bytes -= bytes;
            return true;
        }
        bucket.refused += u64::from(offers < wanted);
        offers >= wanted
    }

    pub(crate) fn refused(&self) -> u64 {
        self.bucket.lock().refused
    }
}

impl Bucket {
    fn fill(&mut self, per_day: u64, full: u64, now_ms: u64) {
        let passed = now_ms.saturating_sub(*self.at_ms.get_or_insert(now_ms));
        let more = (u128::from(per_day) * u128::from(passed) / u128::from(DAY_MS)) as u64;
        if more > 0 {
            self.bytes = self.bytes.saturating_add(more).min(full);
            self.at_ms = Some(now_ms);
        }
    }
}

fn window_bytes(per_day: u64) -> u64 {
    (u128::from(per_day) * u128::from(WINDOW_MS) / u128::from(DAY_MS)).max(1) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: u64) -> Hash {
        Hash(n.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    #[test]
    fn a_key_is_admitted_when_it_was_offered_often_enough() {
        let gate = Gate::new(Admission { offers: 3, ..Admission::default() });
        let admitted: Vec<bool> = (0..4).map(|_| gate.admit(hash(1), 100, 0)).collect();
        assert_eq!(admitted, [false, false, true, true]);
        assert_eq!(gate.refused(), 2);
        let open = Gate::new(Admission::default());
        assert!((0..1000).all(|n| open.admit(hash(n), 1 << 20, 0)));
    }

    #[test]
    fn what_is_written_in_a_day_stays_within_the_target_and_prefers_repeated_keys() {
        let per_day = 24_000_000;
        let gate = Gate::new(Admission { bytes_per_day: Some(per_day), ..Admission::default() });
        let (mut bytes, mut repeated, mut once) = (0, 0, 0);
        for n in 0..480_000_u64 {
            let now = n * DAY_MS / 480_000;
            let popular = n % 2 == 0;
            let key = if popular { n % 100 } else { 1_000_000 + n };
            if gate.admit(hash(key), 1000, now) {
                bytes += 1000;
                *(if popular { &mut repeated } else { &mut once }) += 1;
            }
        }
        assert!(bytes <= per_day + window_bytes(per_day), "{bytes}");
        assert!(bytes >= per_day * 9 / 10, "{bytes}");
        assert!(repeated > 8 * once, "{repeated} {once}");
    }
}
