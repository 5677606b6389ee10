//! The policy as a whole: what always holds, and that it learns.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::super::Aim;
use super::super::testing::{PlainMarks, alone};
use super::ghosts::TURN;
use super::miniature::Miniature;
use super::rules::{COUNT, at};
use super::structure::victim;
use super::*;

/// A cache of numbers driven as an engine would drive it.
struct Cache {
    policy: Adaptive,
    shared: Arc<Learning>,
    marks: PlainMarks,
    slots: HashMap<u64, u32>,
    owners: Vec<u64>,
    free: Vec<u32>,
    capacity: usize,
    hits: usize,
}

fn hash_of(key: u64) -> u64 {
    let mut hash = key.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^= hash >> 29;
    hash = hash.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash ^ hash >> 32
}

impl Cache {
    fn new(capacity: usize) -> Self {
        let setup = Setup::alone(capacity as u64, 1);
        let shared = Arc::new(Adaptive::shared(setup));
        let policy = Adaptive::new(setup, &shared);
        let (slots, free) = (HashMap::new(), (0..capacity as u32).rev().collect());
        let (marks, owners) = (PlainMarks::new(capacity), vec![0; capacity]);
        Cache { policy, shared, marks, slots, owners, free, capacity, hits: 0 }
    }

    fn request(&mut self, key: u64) {
        let (hash, slot) = (hash_of(key), self.slots.get(&key).copied());
        if Adaptive::samples(&self.shared, hash) {
            Adaptive::observe(&self.shared, hash, 1, slot.is_some());
        }
        if let Some(slot) = slot {
            self.marks.hit::<Adaptive>(slot);
            self.hits += 1;
            return;
        }
        if self.free.is_empty() {
            let slot = self.policy.victim(&self.marks).expect("a full cache has a victim");
            assert!(self.slots.remove(&self.owners[slot as usize]).is_some(), "it was there");
            self.free.push(slot);
        }
        let slot = self.free.pop().expect("there is room");
        (self.owners[slot as usize], _) = (key, self.slots.insert(key, slot));
        self.marks.name(slot, hash);
        self.policy.insert(slot, hash, 1, &self.marks);
        assert_eq!(self.policy.queues.total_len(), self.slots.len());
        assert!(self.slots.len() <= self.capacity);
    }

    /// The part of the requests that hit.
    fn ratio(&mut self, keys: impl Iterator<Item = u64>) -> f64 {
        let (before, mut requests) = (self.hits, 0);
        for key in keys {
            self.request(key);
            requests += 1;
        }
        (self.hits - before) as f64 / f64::from(requests)
    }
}

/// A skewed choice among so many keys, without floating-point tables: the minimum of three uniform numbers.
fn skewed(keys: u64) -> impl Iterator<Item = u64> {
    (0u64..).map(move |step| (0..3).map(|draw| hash_of(step * 3 + draw) % keys).min().unwrap_or(0))
}

#[test]
fn a_loop_longer_than_the_cache_keeps_what_fits() {
    let mut cache = Cache::new(100);
    cache.ratio((0..10_000).map(|step| step % 400));
    let ratio = cache.ratio((0..40_000).map(|step| step % 400));
    assert!(ratio > 0.2, "LRU hits nothing, the optimum a quarter; this hit {ratio}");
}

#[test]
fn what_it_learned_it_unlearns_when_the_workload_changes() {
    let mut cache = Cache::new(100);
    cache.ratio((0..40_000).map(|step| step % 400));
    // A sliding window of recent keys: LRU hits nine of ten.
    let sliding = |step: u64| 10_000 + step / 10 + hash_of(step) % 50;
    cache.ratio((0..40_000).map(sliding));
    let ratio = cache.ratio((40_000..80_000).map(sliding));
    assert!(ratio > 0.85, "{ratio}");
    assert!(cache.policy.report().switches > 0);
}

#[test]
fn a_scan_does_not_flush_what_is_in_use() {
    let mut cache = Cache::new(400);
    let mut keys = skewed(2000);
    let before = cache.ratio(keys.by_ref().take(50_000));
    let mut scan = 1_000_000..;
    let mixed = keys.take(100_000).flat_map(|key| [Some(key), scan.next().filter(|key| key % 2 == 0)]);
    let (mut hits, mut asked) = (0, 0);
    for key in mixed.flatten() {
        let hits_before = cache.hits;
        cache.request(key);
        if key < 2000 {
            asked += 1;
            hits += cache.hits - hits_before;
        }
    }
    let during = hits as f64 / f64::from(asked);
    assert!(during > before - 0.06, "{before} without a scan, {during} beside one");
}

#[test]
fn the_same_requests_give_the_same_hits() {
    let run = || {
        let mut cache = Cache::new(300);
        cache.ratio(skewed(3000).take(30_000));
        (cache.hits, cache.policy.report())
    };
    assert_eq!(run(), run());
}

#[test]
fn a_large_cache_is_sampled_and_the_learner_stays_small() {
    let mut cache = Cache::new(20_000);
    cache.ratio(skewed(200_000).take(400_000));
    let report = cache.policy.report();
    assert_eq!(report.sampled_one_in, 64);
    assert!((2000..12_000).contains(&report.sampled_requests), "{}", report.sampled_requests);
    assert!(cache.shared.heap_bytes() < 256 << 10, "{} bytes", cache.shared.heap_bytes());
    assert!(report.candidates.iter().all(|candidate| (0.0..=1.0).contains(&candidate.hit_ratio)));
    assert!(report.miss_ratios.is_sorted_by(|one, next| one.miss_ratio >= next.miss_ratio));
}

#[test]
fn two_bytes_an_entry_and_a_bounded_rest_are_all_it_needs() {
    for (entries, keys) in [(2000, 50_000), (30_000, 600_000)] {
        let mut cache = Cache::new(entries);
        cache.ratio(skewed(keys).take(20 * entries));
        let (learning, ghosts) = (cache.shared.heap_bytes(), cache.policy.ghosts.heap_bytes());
        assert!(learning <= LEARNING_BYTES, "{learning}");
        assert!(learning + ghosts <= LEAST_BYTES.max(entries * 64 / 100), "{learning} and {ghosts}");
        // A link of four bytes for each, two bytes, and what vectors that grow have in reserve.
        let rest = cache.policy.heap_bytes() - learning - ghosts;
        assert!(rest <= entries * 6 * 5 / 4 + 8192, "{rest} bytes for {entries} entries");
    }
}

#[test]
fn in_a_large_cache_samples_and_ghosts_are_a_hundredth() {
    let (mut policy, marks): (Adaptive, _) = (alone(1 << 30), PlainMarks::new(80_000));
    for slot in 0..80_000 {
        policy.insert(slot, hash_of(u64::from(slot)), 1 << 10, &marks);
    }
    policy.victim(&marks);
    let most = 80_000 * 1024 / 100;
    let (learning, ghosts) = (policy.shared.heap_bytes(), policy.ghosts.heap_bytes());
    assert!(learning + ghosts <= most && ghosts > 500_000, "{learning} and {ghosts} of {most}");
}

#[test]
fn where_sizes_differ_other_candidates_compete_and_still_fit() {
    for (aim, first) in [(Aim::Objects, COUNT), (Aim::Bytes, 2 * COUNT)] {
        let shared = Learning::new(1 << 20, aim);
        for step in 0..50_000 {
            let hash = hash_of(hash_of(step) % 8000);
            if shared.samples(hash) {
                shared.observe(hash, 16 << (hash % 8), false);
            }
        }
        assert!((first..first + COUNT).contains(&shared.report_chosen()), "{}", shared.report_chosen());
        assert!(shared.heap_bytes() <= LEARNING_BYTES, "{}", shared.heap_bytes());
        // What was learned about sizes outlives a change of the capacity.
        shared.set_total(1 << 19);
        assert!((first..first + COUNT).contains(&shared.report_chosen()), "{}", shared.report_chosen());
        assert!(shared.report().chosen < COUNT && shared.report().candidates.len() == COUNT);
    }
}

#[test]
fn the_curve_says_what_more_room_would_give() {
    let mut cache = Cache::new(100);
    cache.ratio((0..30_000).map(|step| step % 200));
    let points = cache.policy.report().miss_ratios;
    let miss_ratio = |entries: u64| {
        points.iter().rfind(|point| point.entries <= entries).map_or(1.0, |point| point.miss_ratio)
    };
    assert!(miss_ratio(100) > 0.95, "{points:?}");
    assert!(miss_ratio(400) < 0.05, "{points:?}");
}

#[test]
fn several_threads_feed_one_learner_without_waiting() {
    let shared = Arc::new(Learning::new(200, Aim::Objects));
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let shared = &shared;
            scope.spawn(move || {
                for step in 0..20_000 {
                    let hash = hash_of(step % 300 + thread);
                    if shared.samples(hash) {
                        shared.observe(hash, 1, false);
                    }
                }
            });
        }
    });
    let report = shared.report();
    assert!(report.sampled_requests + report.lost > 10_000, "{report:?}");
}

#[test]
fn bytes_choose_the_sample_by_what_entries_weigh() {
    let setup = Setup::alone(64 << 20, 1);
    let shared = Arc::new(Adaptive::shared(setup));
    for step in 0..200_000u64 {
        let hash = hash_of(step % 100_000);
        if shared.samples(hash) {
            shared.observe(hash, 200 + (hash % 1800) as u32, false);
        }
    }
    let report = shared.report();
    assert!((64..=1024).contains(&report.sampled_one_in), "one in {}", report.sampled_one_in);
    assert!(shared.heap_bytes() < 256 << 10, "{} bytes", shared.heap_bytes());
}

/// A structure kept as plainly as can be: vectors, oldest first.
#[derive(Default)]
struct Plain {
    queues: [Vec<u32>; 2],
    marks: HashMap<u32, u8>,
    states: HashMap<u32, State>,
    left: Vec<u32>,
    /// Where the next frequency is halved, and the uses counted towards it.
    aging: (usize, u32),
    /// How many had left when a key left, itself included.
    ghosts: HashMap<u32, u64>,
    departures: u64,
}

impl Plain {
    /// In parts of a turn, which for small capacities is one departure at least.
    fn age(&self, left_at: u64, capacity: u64) -> u8 {
        let part = (capacity / u64::from(TURN)).max(1);
        let parts = |departures: u64| departures.div_ceil(part);
        (parts(self.departures) - parts(left_at)).min(255) as u8
    }
}

const KEYS: u32 = 24;
/// The candidates of all lists.
const ALL: usize = 3 * COUNT;

impl Body for Plain {
    fn tail(&self, queue: usize, _: Preference) -> Option<u32> {
        self.queues[queue].first().copied()
    }
    fn weight_of(&self, _: u32) -> u32 {
        1
    }
    fn weight(&self, queue: usize) -> u64 {
        self.queues[queue].len() as u64
    }
    fn len(&self) -> usize {
        self.queues[0].len() + self.queues[1].len()
    }
    fn promote(&mut self, queue: usize, slot: u32) {
        self.queues.iter_mut().for_each(|entries| entries.retain(|other| *other != slot));
        self.queues[queue].push(slot);
    }
    fn mark(&self, slot: u32) -> u8 {
        self.marks[&slot]
    }
    fn clear_mark(&mut self, slot: u32) {
        self.marks.insert(slot, 0);
    }
    fn state(&self, slot: u32) -> State {
        self.states[&slot]
    }
    fn set_state(&mut self, slot: u32, state: State) {
        self.states.insert(slot, state);
    }
    fn counted(&mut self, uses: u8) {
        self.aging.1 += u32::from(uses);
        let step = (10 * self.len().max(1) as u32 / KEYS).max(1);
        while self.aging.1 >= step {
            self.aging = ((self.aging.0 + 1) % KEYS as usize, self.aging.1 - step);
            let key = self.aging.0 as u32;
            let held = self.queues.iter().flatten().any(|slot| *slot == key);
            let state = self.states[&key];
            self.states.insert(key, if held { state.half_but_one() } else { state.half_as_frequent() });
        }
    }
    fn leave(&mut self, slot: u32, ghost: bool) {
        self.queues.iter_mut().for_each(|entries| entries.retain(|other| *other != slot));
        self.states.insert(slot, State::new(self.states[&slot].frequency()));
        if ghost {
            self.departures += 1;
            self.ghosts.insert(slot, self.departures);
        }
        self.left.push(slot);
    }
}

proptest! {
    #[test]
    fn a_miniature_does_what_the_plain_structure_does(
        keys in prop::collection::vec(0u16..KEYS as u16, 1..200),
        candidate in 0..ALL,
        capacity in 1u64..10,
    ) {
        let rules = *at(candidate);
        let mut mini = Miniature::new(rules, capacity);
        let mut plain = Plain::default();
        for key in 0..KEYS {
            mini.add_key();
            plain.states.insert(key, State::default());
        }
        for key in keys {
            let slot = u32::from(key);
            let mut left = Vec::new();
            if !mini.hit(key) {
                mini.miss(key, &[1; KEYS as usize], &mut |key| left.push(u32::from(key)));
            }
            prop_assert!(mini.weight() <= capacity);
            plain.left.clear();
            if plain.queues.iter().flatten().any(|held| *held == slot) {
                let mark = plain.marks[&slot];
                plain.marks.insert(slot, Adaptive::on_hit(mark));
            } else {
                while plain.len() as u64 >= capacity {
                    prop_assert!(victim(&mut plain, &rules).is_some());
                }
                let frequency = plain.states[&slot].frequency();
                plain.states.insert(slot, State::new(frequency + 1));
                plain.marks.insert(slot, 0);
                let back = plain.ghosts.get(&slot).is_some_and(|left_at| rules.ghost_counts(plain.age(*left_at, capacity)));
                plain.ghosts.remove(&slot);
                plain.queues[if back { MAIN } else { WINDOW }].push(slot);
                plain.counted(1);
            }
            prop_assert_eq!(&left, &plain.left);
            for slot in 0..KEYS {
                let held = plain.queues.iter().flatten().any(|held| *held == slot);
                prop_assert_eq!(mini.holds(slot as u16), held);
            }
        }
    }

    #[test]
    fn any_operations_leave_the_books_balanced(
        operations in prop::collection::vec((0u8..5, 0u32..40, 1u32..100), 1..400),
        candidate in 0..ALL,
    ) {
        let (mut policy, marks): (Adaptive, _) = (alone(1000), PlainMarks::new(40));
        policy.shared.force(candidate);
        let mut weights: HashMap<u32, u32> = HashMap::new();
        for (operation, slot, weight) in operations {
            match operation {
                0 | 1 if !weights.contains_key(&slot) => {
                    marks.name(slot, hash_of(u64::from(slot % 7)));
                    policy.insert(slot, hash_of(u64::from(slot % 7)), weight, &marks);
                    weights.insert(slot, weight);
                }
                1 => marks.hit::<Adaptive>(slot),
                2 => {
                    policy.reweigh(slot, weight);
                    weights.entry(slot).and_modify(|old| *old = weight);
                }
                3 => {
                    policy.remove(slot, &marks);
                    weights.remove(&slot);
                }
                _ => {
                    let victim = policy.victim(&marks);
                    prop_assert_eq!(victim.is_some(), !weights.is_empty());
                    prop_assert!(victim.is_none_or(|slot| weights.remove(&slot).is_some()));
                }
            }
            let total: u64 = weights.values().map(|weight| u64::from(*weight)).sum();
            prop_assert_eq!(policy.queues.total_weight(), total);
            prop_assert_eq!(policy.queues.total_len(), weights.len());
        }
    }
}

#[test]
fn hits_that_never_stop_do_not_keep_a_victim_from_being_found() {
    struct AlwaysHit;
    impl Marks for AlwaysHit {
        fn get(&self, _: u32) -> u8 {
            MOST_USES
        }
        fn set(&self, _: u32, _: u8) {}
        fn hash(&self, slot: u32) -> u32 {
            hash_of(u64::from(slot)) as u32
        }
    }
    for candidate in 0..ALL {
        let mut policy: Adaptive = alone(10);
        policy.shared.force(candidate);
        for slot in 0..10 {
            policy.insert(slot, hash_of(u64::from(slot)), 1, &AlwaysHit);
        }
        assert!(policy.victim(&AlwaysHit).is_some(), "{candidate}");
    }
}
