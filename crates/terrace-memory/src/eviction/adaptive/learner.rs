//! What all shards share: miniature caches on a sample of the keys, and the choice among their rules.
//!
//! Decision: each candidate's counterfactual is simulated (Waldspurger et al., "Cache modeling and optimization
//! using miniature simulations", ATC 2017), and the `evidence` compares what they hit. Other candidates compete once
//! sizes are seen to differ.

use super::super::Aim;
use super::breaks::Breaks;
use super::evidence::{EPOCH, EPOCH_OF_SIZES, Evidence, is_uneven};
use super::miniature::{Miniature, Missed};
use super::report::{Candidate, Report, reuse_bin};
use super::rest::{Rest, SPARSER};
use super::rules::{CLOCK, COLD, COUNT, List, Rules, at};
use super::sample::{Found, Sample, push};

/// The most entries a miniature of a small cache holds, and of one with so many entries. A small cache is simulated
/// nearly whole, and pays for each of them; to a large one they cost little, and tell more. So they do where sizes differ,
/// as few entries then make up most of what is compared.
const MOST_ENTRIES: (u64, u64) = (256, 512);
const LARGE: u64 = 2048;
/// Sampled keys remembered for each entry of a miniature: what is held and a few turns of ghosts.
const KEYS_PER_ENTRY: usize = 3;
/// The half-life of evidence, in sampled requests per entry of a miniature.
const HALF_LIFE: f64 = 32.0;
/// Requests that are seen before it is decided how large a part of the keys is sampled.
const EARLY: usize = 64;
/// If miniatures hold fewer than one entry in this many of the most they could, there are too few to tell anything.
const SPARSE: u64 = 3;
/// Sizes differ if this many requests of an epoch are at least twice or at most half as large as the one before.
const UNEVEN: u32 = 8;
/// Where sizes differ, evidence takes so many times as many looks.
const UNEVEN_SHARE: u32 = 4;
/// A cache that filled with fewer hits than this part of the requests is in a scan or a loop longer than it is.
const COLD_RATIO: f64 = 0.03;

#[derive(Debug)]
pub(super) struct Learner {
    total: u64,
    aim: Aim,
    /// The candidates that compete now.
    list: List,
    /// One key in 2^shift is in the sample; `None` until the first requests have told what things weigh.
    shift: Option<u32>,
    /// The most entries a miniature holds.
    most: u64,
    /// Those requests: hash, weight, and whether they hit.
    early: Vec<(u64, u32, bool)>,
    capacity: u64,
    sample: Sample,
    weights: Vec<u32>,
    minis: Vec<Miniature>,
    chosen: usize,
    evidence: Evidence,
    breaks: Breaks,
    clock: u32,
    /// Requests and hits while nothing had to leave the miniatures; `None` afterwards.
    filling: Option<(u32, u32)>,
    switches: u64,
    rest: Rest,
    /// Sampled requests by how many others came since the last one for the same key.
    reuse: [f64; super::report::BINS],
}

impl Learner {
    pub(super) fn new(total: u64, aim: Aim) -> Self {
        Learner {
            total,
            aim,
            list: List::ALIKE,
            shift: None,
            most: MOST_ENTRIES.0,
            early: Vec::with_capacity(EARLY),
            capacity: 0,
            sample: Sample::default(),
            weights: Vec::new(),
            minis: (0..COUNT).map(|index| Miniature::new(*at(index), 0)).collect(),
            chosen: List::ALIKE.first,
            evidence: Evidence::new(aim, EPOCH),
            breaks: Breaks::default(),
            clock: 0,
            filling: Some((0, 0)),
            switches: 0,
            rest: Rest::new(),
            reuse: [0.0; super::report::BINS],
        }
    }

    /// The index of the rules that lead, in all lists.
    pub(super) fn chosen(&self) -> usize {
        self.list.start + self.chosen
    }

    /// One key in two to the power of this is in the sample.
    fn shift(&self) -> u32 {
        self.shift.unwrap_or(0)
    }

    /// The requests to be told of: those to one key in two to the power of this.
    pub(super) fn wanted_shift(&self) -> u32 {
        self.shift() + if self.rest.is_asleep() { SPARSER } else { 0 }
    }

    /// The whole cache may now hold another weight. What was learned stays.
    pub(super) fn set_total(&mut self, total: u64) {
        if total != self.total {
            let fresh = Learner::new(total, self.aim);
            let (chosen, switches, list) = (self.chosen, self.switches, self.list);
            *self = Learner { chosen, switches, filling: None, ..fresh };
            if list != List::ALIKE {
                self.tell_sizes_apart();
                self.chosen = chosen;
            }
        }
    }

    /// Decides on the sample once enough requests have told what entries weigh.
    fn start(&mut self, hash: u64, weight: u32, hit: bool) {
        self.early.push((hash, weight, hit));
        if self.early.len() < EARLY {
            return;
        }
        let early = std::mem::take(&mut self.early);
        let weight = early.iter().map(|(_, weight, _)| u64::from(*weight)).sum::<u64>() / EARLY as u64;
        let entries = self.total / weight.max(1);
        let uneven = early.windows(2).filter(|pair| is_uneven(pair[0].1, pair[1].1)).count();
        let uneven = uneven * EPOCH / EARLY >= UNEVEN as usize;
        self.most = if entries < LARGE && !uneven { MOST_ENTRIES.0 } else { MOST_ENTRIES.1 };
        let shift = (0..48).find(|shift| entries >> shift <= self.most).unwrap_or(48);
        self.shift = Some(shift);
        self.set_miniature_capacity();
        if uneven {
            self.tell_sizes_apart();
        }
        let outside = (1u64 << shift.min(31)) - 1;
        for (hash, weight, hit) in early {
            if hash >> 32 & outside == 0 {
                self.request(hash, weight, hit);
            }
        }
    }

    fn set_miniature_capacity(&mut self) {
        let shift = self.shift();
        let half = if shift == 0 { 0 } else { 1u64 << (shift - 1) };
        self.capacity = (self.total.saturating_add(half) >> shift).max(8);
        for mini in &mut self.minis {
            mini.set_capacity(self.capacity);
        }
    }

    fn most_keys(&self) -> usize {
        (self.capacity.min(self.most) as usize * KEYS_PER_ENTRY + 64).min(self.most as usize * KEYS_PER_ENTRY)
    }

    /// A request for a sampled key.
    pub(super) fn request(&mut self, hash: u64, weight: u32, hit: bool) {
        if self.shift.is_none() {
            return self.start(hash, weight, hit);
        }
        let entries = self.capacity.min(self.most);
        if self.rest.is_asleep() {
            self.rest.doze(hit, entries, self.shift());
            return;
        }
        self.rest.look(entries, self.shift());
        self.clock = self.clock.wrapping_add(1);
        let most = self.most_keys();
        let key = match self.sample.find(hash as u32, self.clock, most) {
            Found::Known(key, ago) => {
                self.reuse[reuse_bin(ago)] += 1.0;
                self.reweigh(key, weight);
                key
            }
            Found::New(key) => {
                push(&mut self.weights, weight);
                self.minis.iter_mut().for_each(Miniature::add_key);
                key
            }
            Found::Instead(key, held) => {
                for mini in &mut self.minis {
                    mini.drop_key(key, &self.weights);
                }
                self.weights[usize::from(key)] = weight;
                if held {
                    self.crowded();
                }
                key
            }
        };
        self.replay(key, weight);
    }

    fn reweigh(&mut self, key: u16, weight: u32) {
        let old = std::mem::replace(&mut self.weights[usize::from(key)], weight);
        if old != weight {
            self.minis.iter_mut().for_each(|mini| mini.reweigh(key, old, weight));
        }
    }

    /// Entries weigh less than the first ones did, so the miniatures hold too many for the table: from now on
    /// every second key of the sample is left out, and they hold half as much.
    fn crowded(&mut self) {
        if self.capacity <= self.most {
            return;
        }
        self.shift = Some(self.shift() + 1);
        self.set_miniature_capacity();
        for mini in &mut self.minis {
            let sample = &mut self.sample;
            mini.shrink(&self.weights, &mut |key| sample.hold(key, false));
        }
    }

    /// Entries weigh more than was thought, so the miniatures hold too few to tell anything: from now on there are
    /// twice as many keys in the sample, and they hold twice as much.
    fn thicken(&mut self) {
        let held: u32 = self.minis.iter().map(Miniature::len).sum();
        let shift = self.shift();
        if shift == 0 || self.filling.is_some() || u64::from(held) * SPARSE > self.most * COUNT as u64 {
            return;
        }
        self.shift = Some(shift - 1);
        self.set_miniature_capacity();
    }

    fn replay(&mut self, key: u16, weight: u32) {
        let (mut full, mut any_hit) = (false, false);
        let Learner { minis, sample, weights, evidence, .. } = self;
        for (candidate, mini) in minis.iter_mut().enumerate() {
            if mini.hit(key) {
                evidence.hit(candidate);
                any_hit = true;
                continue;
            }
            match mini.miss(key, weights, &mut |key| sample.hold(key, false)) {
                Missed::LetIn { evicted } => {
                    sample.hold(key, true);
                    full |= evicted > 0;
                }
                Missed::TooHeavy => {}
            }
        }
        self.fill(full, any_hit);
        if self.evidence.note(weight) {
            self.decide();
        }
    }

    /// An epoch is over.
    fn decide(&mut self) {
        let entries = self.capacity.min(self.most);
        let epoch = self.evidence.epoch() as f64;
        let half_life = (HALF_LIFE * entries as f64).max(4.0 * epoch);
        let fade = 0.5f64.powf(epoch / half_life);
        let uneven = self.evidence.uneven() >= UNEVEN;
        let hits = self.evidence.epoch_hits(self.chosen);
        self.evidence.weigh(fade);
        // Where sizes differ, what renews everything is not what costs least.
        let may_begin_anew = self.filling.is_none() && self.list == List::ALIKE;
        if may_begin_anew && self.breaks.note(hits, self.chosen, self.chosen == CLOCK) {
            self.begin_anew();
        }
        self.reuse.iter_mut().for_each(|count| *count *= fade);
        if let Some(better) = self.evidence.better_than(self.chosen, |one| self.rules(one)) {
            self.chosen = better;
            self.switches += 1;
            self.rest.changed(entries);
        }
        if uneven && self.list == List::ALIKE {
            self.tell_sizes_apart();
        }
        self.thicken();
    }

    /// While the cache fills there is nothing to compare, but how many hits there were tells one thing.
    fn fill(&mut self, full: bool, hit: bool) {
        let Some((requests, hits)) = &mut self.filling else { return };
        *requests += 1;
        *hits += u32::from(hit);
        if full {
            if self.chosen == CLOCK {
                self.chosen = self.list.first;
            } else if self.chosen == self.list.first && f64::from(*hits) < COLD_RATIO * f64::from(*requests) {
                self.chosen = COLD;
            }
            self.filling = None;
        }
    }

    /// From now on those candidates compete that heed sizes.
    fn tell_sizes_apart(&mut self) {
        let list = List::by_size(self.aim);
        if self.chosen == self.list.first {
            self.chosen = list.first;
        }
        self.list = list;
        self.rest.look_more(UNEVEN_SHARE);
        self.empty();
    }

    /// The workload has become another one. CLOCK lets what the cache held leave before everything that comes; when
    /// the miniatures, now empty, are full again it is gone, and all is as with a new cache.
    fn begin_anew(&mut self) {
        self.chosen = CLOCK;
        self.switches += 1;
        self.filling = Some((0, 0));
        self.empty();
    }

    /// The miniatures begin again, of the present list's candidates.
    fn empty(&mut self) {
        let keys = self.weights.len();
        for (index, mini) in self.minis.iter_mut().enumerate() {
            *mini = Miniature::new(*at(self.list.start + index), self.capacity);
            (0..keys).for_each(|_| mini.add_key());
        }
        self.sample.release();
        let epoch = if self.list == List::ALIKE { EPOCH } else { EPOCH_OF_SIZES };
        self.evidence = Evidence::new(self.aim, epoch);
        self.rest.changed(self.capacity.min(self.most));
    }

    fn rules(&self, one: usize) -> &'static Rules {
        at(self.list.start + one)
    }

    pub(super) fn report(&self) -> Report {
        let candidate = |one| Candidate { rules: *self.rules(one), hit_ratio: self.evidence.hit_ratio(one) };
        Report {
            candidates: (0..COUNT).map(candidate).collect(),
            chosen: self.chosen,
            switches: self.switches,
            sampled_one_in: 1 << self.shift(),
            sampled_requests: u64::from(self.clock),
            lost: 0,
            miss_ratios: super::report::miss_ratios(
                &self.reuse,
                self.evidence.requests(),
                self.shift(),
                self.total,
            ),
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.sample.heap_bytes()
            + self.weights.capacity() * size_of::<u32>()
            + self.minis.iter().map(Miniature::heap_bytes).sum::<usize>()
            + self.minis.capacity() * size_of::<Miniature>()
    }
}
