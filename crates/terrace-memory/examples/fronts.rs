//! Two prototypes that were measured and not kept; `docs/decisions/0016-fronts-and-batches.md` says why.
//!
//! ```text
//! cargo run --release -p terrace-memory --example fronts
//! ```
//!
//! A *front*: a small table of each thread's own before the engine, keyed by hash. What is in it is served only if the word that
//! writers raise after each change of such a key is what it was before the entry was read. And what hashing a whole
//! batch at once could save: the same reads by keys that need no hash.
//!
//! Subjects take turns; told are medians of nanoseconds of processor time an operation.

use std::hash::{BuildHasher, Hasher};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::time::{ClockId, clock_gettime};
use terrace_memory::eviction::Adaptive;
use terrace_memory::{Config, Memory, Options, RandomHash};

const ROUNDS: usize = 9;
const READS: usize = 1_000_000;
/// Words that writers raise. With one alone each write would empty every front.
const STRIPES: usize = 4096;

/// Hashes a key that is random to itself.
#[derive(Clone, Default)]
struct Unhashed(u64);

impl Hasher for Unhashed {
    fn write(&mut self, _bytes: &[u8]) {}
    fn write_u64(&mut self, word: u64) {
        self.0 = word;
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

impl BuildHasher for Unhashed {
    type Hasher = Self;
    fn build_hasher(&self) -> Self {
        Unhashed(0)
    }
}

/// An engine with the words that fronts are validated by.
struct Fronted {
    memory: Memory<u64, u64, Adaptive, Unhashed>,
    versions: Box<[AtomicU64]>,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    key: u64,
    value: u64,
    /// One more than the version, so that an empty slot has none.
    version: u64,
}

/// A thread's own. Handed to each read, which spares it the look for the thread's variables that a real one would need.
struct Front {
    slots: Box<[Slot]>,
    found: u64,
}

impl Fronted {
    fn new(room: usize) -> Self {
        let versions = (0..STRIPES).map(|_| AtomicU64::new(0)).collect();
        Self { memory: Memory::with_hasher(Config::entries(room as u64), Unhashed(0)), versions }
    }

    fn version(&self, key: u64) -> &AtomicU64 {
        &self.versions[(key >> 20) as usize % STRIPES]
    }

    #[inline]
    fn get(&self, key: u64, front: &mut Front) -> Option<u64> {
        // Before the entry is read: a change that comes after is seen by the next who asks.
        let version = self.version(key).load(Ordering::Acquire) + 1;
        let place = key as usize & (front.slots.len() - 1);
        let slot = &mut front.slots[place];
        if slot.key == key && slot.version == version {
            front.found += 1;
            return Some(slot.value);
        }
        let value = self.memory.get(&key, 0)?;
        *slot = Slot { key, value, version };
        Some(value)
    }

    fn insert(&self, key: u64, value: u64) {
        let inserted = self.memory.insert(key, value, Options::default(), 0);
        for gone in inserted.evicted.iter() {
            self.version(gone.key).fetch_add(1, Ordering::Release);
        }
        self.version(key).fetch_add(1, Ordering::Release);
    }
}

fn cpu_ns() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ word >> 31
    }
}

/// Draws from these keys, by zipf's law or evenly.
fn order(keys: &[u64], theta: f64) -> Vec<u64> {
    let mut sum = 0.0;
    let sums: Vec<f64> = (1..=keys.len())
        .map(|rank| {
            sum += (rank as f64).powf(-theta);
            sum
        })
        .collect();
    let mut random = Random(3);
    let draw = |_| {
        let point = (random.next() >> 11) as f64 / (1u64 << 53) as f64 * sum;
        keys[sums.partition_point(|upto| *upto < point).min(keys.len() - 1)]
    };
    (0..READS).map(draw).collect()
}

/// Runs the subjects in turns after one turn that does not count, and tells the median of each.
fn tell(case: &str, names: &[String], mut run: impl FnMut(usize)) {
    let mut times = vec![Vec::new(); names.len()];
    for round in 0..=ROUNDS {
        for turn in 0..names.len() {
            let subject = (round + turn) % names.len();
            let began = cpu_ns();
            run(subject);
            if round > 0 {
                times[subject].push((cpu_ns() - began) / READS as f64);
            }
        }
    }
    println!("{case}");
    for (name, times) in names.iter().zip(&mut times) {
        times.sort_by(f64::total_cmp);
        println!("  {:6.1} (least {:5.1})  {name}", times[times.len() / 2], times[0]);
    }
}

const SIZES: [usize; 3] = [256, 1024, 8192];

fn fronts(case: &str, keys: &[u64], order: &[u64], write_every: usize) {
    let room = if write_every == 0 { 2 * keys.len() } else { keys.len() / 10 };
    let cache = Fronted::new(room);
    for key in keys {
        cache.insert(*key, key ^ 1);
    }
    let mut fronts: Vec<Front> =
        SIZES.iter().map(|size| Front { slots: vec![Slot::default(); *size].into(), found: 0 }).collect();
    let names: Vec<String> = std::iter::once("no front".to_owned())
        .chain(SIZES.iter().map(|size| format!("front of {size}")))
        .collect();
    let is_write = |turn: usize| write_every > 0 && turn % write_every == write_every - 1;
    tell(case, &names, |subject| {
        let mut sum = 0u64;
        for (turn, key) in order.iter().enumerate() {
            if is_write(turn) {
                cache.insert(*key, key ^ 1);
                continue;
            }
            let found = match subject {
                0 => cache.memory.get(key, 0),
                _ => cache.get(*key, &mut fronts[subject - 1]),
            };
            assert!(found.is_none_or(|value| value == key ^ 1), "a value of another key");
            sum = sum.wrapping_add(black_box(found).unwrap_or(0));
        }
        black_box(sum);
    });
    let shares = fronts.iter().map(|front| front.found as f64 / ((ROUNDS + 1) * READS) as f64);
    println!("  part of all operations that the front answered: {:.2?}", shares.collect::<Vec<_>>());
}

fn batches(case: &str, keys: &[u64], order: &[u64]) {
    let hashed: Memory<u64, u64> =
        Memory::with_hasher(Config::entries(2 * keys.len() as u64), RandomHash::seeded(1));
    let unhashed: Memory<u64, u64, Adaptive, Unhashed> =
        Memory::with_hasher(Config::entries(2 * keys.len() as u64), Unhashed(0));
    for key in keys {
        drop(hashed.insert(*key, key ^ 1, Options::default(), 0));
        drop(unhashed.insert(*key, key ^ 1, Options::default(), 0));
    }
    let names = ["one at a time", "one at a time, not hashed", "64 at a time", "64 at a time, not hashed"];
    tell(case, &names.map(str::to_owned), |subject| {
        let mut sum = 0u64;
        let mut add = |value: Option<&u64>| sum = sum.wrapping_add(black_box(value.copied()).unwrap_or(0));
        match subject {
            0 => order.iter().for_each(|key| add(hashed.get(key, 0).as_ref())),
            1 => order.iter().for_each(|key| add(unhashed.get(key, 0).as_ref())),
            _ => {
                for keys in order.chunks(64) {
                    let keys: Vec<&u64> = keys.iter().collect();
                    if subject == 2 {
                        hashed.get_many_with(&keys, 0, |_, value| add(value));
                    } else {
                        unhashed.get_many_with(&keys, 0, |_, value| add(value));
                    }
                }
            }
        }
        black_box(sum);
    });
}

fn main() {
    let mut random = Random(7);
    let keys: Vec<u64> = (0..1_000_000).map(|_| random.next()).collect();
    for (entries, told) in [(10_000, "10 thousand"), (1_000_000, "a million")] {
        let keys = &keys[..entries];
        for (theta, law) in [(0.0, "uniform"), (0.99, "zipf")] {
            let order = order(keys, theta);
            fronts(&format!("hits among {told}, {law}"), keys, &order, 0);
            batches(&format!("batches among {told}, {law}"), keys, &order);
        }
    }
    fronts("hits of one key", &keys[..1], &order(&keys[..1], 0.0), 0);
    fronts(
        "three reads and a write, 10 of 100 thousand, zipf",
        &keys[..100_000],
        &order(&keys[..100_000], 0.99),
        4,
    );
}
