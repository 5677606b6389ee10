//! Streams for which the right answer is found by trying: the same accesses with the border moved either way.

use std::collections::{BTreeMap, HashMap};

use super::*;

/// What an entry weighs on either side.
const RAW: u64 = 300;
const ENCODED: u64 = 100;

/// A least-recently-used list by entry count: enough for a model.
#[derive(Default)]
struct Lru {
    by_key: HashMap<u64, u64>,
    by_age: BTreeMap<u64, u64>,
    clock: u64,
}

impl Lru {
    fn remove(&mut self, key: u64) -> bool {
        self.by_key.remove(&key).is_some_and(|age| self.by_age.remove(&age).is_some())
    }

    fn put(&mut self, key: u64, most: usize) -> Option<u64> {
        self.clock += 1;
        self.by_key.insert(key, self.clock);
        self.by_age.insert(self.clock, key);
        if self.by_key.len() <= most {
            return None;
        }
        let (_, oldest) = self.by_age.pop_first()?;
        self.by_key.remove(&oldest);
        Some(oldest)
    }
}

fn mix(key: u64) -> u64 {
    let key = (key + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (key ^ key >> 31).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

/// Replays the keys through an exclusive pair of tiers and returns what it cost.
fn replay(keys: &[u64], hot: u64, warm: u64, costs: Costs, border: &mut Border) -> u64 {
    let (hot_len, warm_len) = ((hot / RAW) as usize, (warm / ENCODED) as usize);
    let (mut hot, mut warm) = (Lru::default(), Lru::default());
    let mut spent = 0;
    for (at, &key) in keys.iter().enumerate() {
        let counts = at > keys.len() / 4;
        let hash = mix(key);
        let cost = if hot.remove(key) {
            costs.hot_ns
        } else if warm.remove(key) {
            border.hit_warm(hash);
            costs.warm_ns
        } else {
            border.miss(hash);
            costs.miss_ns
        };
        if counts {
            spent += cost;
        }
        if let Some(demoted) = hot.put(key, hot_len) {
            border.left_hot(mix(demoted), RAW);
            if let Some(gone) = warm.put(demoted, warm_len) {
                border.left_warm(mix(gone), ENCODED);
            }
        }
    }
    spent
}

/// Whether the border says what trying both ways says, for a half and half split of `memory`.
fn check(name: &str, keys: &[u64], memory: u64, costs: Costs, expected: Verdict) {
    let step = memory / 10;
    for sample_bits in [0, 2] {
        let mut border = Border::new(step, costs, sample_bits);
        let half = memory / 2;
        replay(keys, half, half, costs, &mut border);
        let mut aside = Border::new(step, costs, 0);
        let hotter = replay(keys, half + step, half - step, costs, &mut aside);
        let warmer = replay(keys, half - step, half + step, costs, &mut aside);
        let tried = if hotter < warmer { Verdict::Hotter } else { Verdict::Warmer };
        assert_eq!(border.verdict(), expected, "{name}, 1 in 2^{sample_bits}: {:?}", border.evidence());
        if expected != Verdict::Hold {
            assert_eq!(tried, expected, "{name}: {hotter} hotter, {warmer} warmer");
        }
    }
}

const DISK: Costs = Costs { hot_ns: 50, warm_ns: 1_500, miss_ns: 80_000 };

/// Keys 0..n, drawn with a weight of rank^-theta.
fn zipf(n: u64, theta: f64, draws: usize, seed: u64) -> Vec<u64> {
    let mut sums = Vec::new();
    let mut sum = 0.0;
    for rank in 1..=n {
        sum += (rank as f64).powf(-theta);
        sums.push(sum);
    }
    let draw = |at| {
        let point = (mix(seed << 32 | at) >> 11) as f64 / (1_u64 << 53) as f64 * sum;
        sums.partition_point(|sum| *sum < point) as u64
    };
    (0..draws as u64).map(draw).collect()
}

#[test]
fn when_everything_fits_into_both_together_hot_should_grow() {
    // 1000 keys; half of 120,000 bytes hold 200 raw and 600 encoded; zipf's tail is seldom missed.
    check("fits", &zipf(700, 0.9, 60_000, 1), 120_000, DISK, Verdict::Hotter);
}

#[test]
fn when_misses_are_dear_and_many_warm_should_grow() {
    check("misses", &zipf(5_000, 0.6, 100_000, 2), 300_000, DISK, Verdict::Warmer);
}

#[test]
fn a_cheap_miss_turns_the_answer() {
    let keys = zipf(5_000, 0.9, 100_000, 3);
    check("dear", &keys, 300_000, DISK, Verdict::Warmer);
    let cheap = Costs { miss_ns: 1_600, ..DISK };
    check("cheap", &keys, 300_000, cheap, Verdict::Hotter);
}

#[test]
fn a_loop_a_little_longer_than_both_wants_warm() {
    // Hot holds 500, warm 1,500; the loop is 2,100 long, and a step of warm adds 200.
    let keys: Vec<u64> = (0..60_000).map(|at| at % 2_100).collect();
    check("loop", &keys, 300_000, DISK, Verdict::Warmer);
}

#[test]
fn keys_that_never_come_back_say_nothing() {
    let keys: Vec<u64> = (0..50_000).collect();
    check("scan", &keys, 300_000, DISK, Verdict::Hold);
}

#[test]
fn old_evidence_fades_and_a_moved_border_begins_anew() {
    let mut border = Border::new(300_000, DISK, 0);
    for key in 0..500 {
        border.left_hot(mix(key), RAW);
        border.hit_warm(mix(key));
    }
    assert_eq!(border.verdict(), Verdict::Hotter);
    assert_eq!(border.evidence().hotter_ns, 500 * 1_450);
    for _ in 0..3 {
        border.age();
    }
    assert_eq!((border.evidence().hotter_hits, border.verdict()), (62, Verdict::Hold));
    border.left_hot(1, RAW);
    border.reset();
    border.miss(1);
    assert_eq!(border.evidence(), Evidence::default());
}

#[test]
fn memory_is_bounded_by_the_step() {
    let mut border = Border::new(RAW * 1000, DISK, 0);
    for key in 0..1_000_000 {
        border.left_hot(mix(key), RAW);
        border.left_warm(mix(key), ENCODED);
        border.miss(mix(key / 2));
    }
    assert!(border.heap_bytes() < 1000 * 200, "{}", border.heap_bytes());
}
