//! What all shards share: miniature caches on a sample of the keys, and the choice among their rules.
//!
//! Decision: each candidate's counterfactual is simulated (Waldspurger et al., "Cache modeling and optimization
//! using miniature simulations", ATC 2017) and compared on the same requests, pair by pair, so what counts is
//! only where two candidates differ. The present rules give way to others that lead by more than twice the
//! standard deviation of that difference; evidence fades with a half-life of many turns.

use super::super::Aim;
use super::miniature::{Miniature, Seen};
use super::report::{Candidate, Report, reuse_bin};
use super::rest::{Rest, SPARSER};
use super::rules::{COLD, COUNT, FIRST, Rules, at};
use super::sample::{Found, Sample};

/// The most entries a miniature holds.
const MOST_ENTRIES: u64 = 512;
/// Sampled keys remembered for each entry of a miniature: what is held and a few turns of ghosts.
const KEYS_PER_ENTRY: usize = 4;
/// Sampled requests between two decisions.
const EPOCH: usize = 128;
const WORDS: usize = EPOCH / 64;
/// The half-life of evidence, in sampled requests per entry of a miniature.
const HALF_LIFE: f64 = 32.0;
/// How far others must lead: so many standard deviations, and so many hits.
const DEVIATIONS: f64 = 2.0;
const HITS: f64 = 4.0;
/// A cache that filled with fewer hits than this part of the requests is in a scan or a loop longer than it is.
const EARLY: usize = 64;
const SPARSE: u64 = 3;
const UNEVEN: u32 = 16;
const COLD_RATIO: f64 = 0.03;

#[derive(Debug)]
pub(super) struct Learner {
    total: u64,
    aim: Aim,
    /// The index of the first candidate that competes now.
    list: usize,
    /// Requests of this epoch whose weight is at least twice or at most half the one before.
    uneven: u32,
    last_weight: u32,
    /// What was asked for in this epoch, in weight.
    asked: [u32; EPOCH],
    /// The average weight of a request, faded.
    average: f64,
    /// One key in 2^shift is in the sample; `None` until the first requests have told what things weigh.
    shift: Option<u32>,
    /// Those requests: hash, weight, and whether they hit.
    early: Vec<(u64, u32, bool)>,
    capacity: u64,
    sample: Sample,
    weights: Vec<u32>,
    minis: Vec<Miniature>,
    chosen: usize,
    /// Who hit which of the epoch's requests.
    hits: [[u64; WORDS]; COUNT],
    step: usize,
    /// What one candidate hit and another missed, faded: its worth, and the sum of its squares.
    leads: [[(f64, f64); COUNT]; COUNT],
    /// Hits of each candidate and all requests, faded.
    scores: [f64; COUNT],
    requests: f64,
    clock: u32,
    /// Requests and hits while nothing had to leave; `None` afterwards.
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
            list: 0,
            uneven: 0,
            last_weight: 0,
            asked: [0; EPOCH],
            average: 0.0,
            shift: None,
            early: Vec::new(),
            capacity: 0,
            sample: Sample::default(),
            weights: Vec::new(),
            minis: (0..COUNT).map(|index| Miniature::new(*at(index), 0)).collect(),
            chosen: FIRST,
            hits: [[0; WORDS]; COUNT],
            step: 0,
            leads: [[(0.0, 0.0); COUNT]; COUNT],
            scores: [0.0; COUNT],
            requests: 0.0,
            clock: 0,
            filling: Some((0, 0)),
            switches: 0,
            rest: Rest::new(),
            reuse: [0.0; super::report::BINS],
        }
    }

    /// The index of the rules that lead, in all lists.
    pub(super) fn chosen(&self) -> usize {
        self.list + self.chosen
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
            let (chosen, switches) = (self.chosen, self.switches);
            *self = Learner { chosen, switches, filling: None, ..fresh };
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
        let shift = (0..48).find(|shift| entries >> shift <= MOST_ENTRIES).unwrap_or(48);
        self.shift = Some(shift);
        self.set_miniature_capacity();
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
        (self.capacity.min(MOST_ENTRIES) as usize * KEYS_PER_ENTRY + 64)
            .min(MOST_ENTRIES as usize * KEYS_PER_ENTRY)
    }

    /// A request for a sampled key.
    pub(super) fn request(&mut self, hash: u64, weight: u32, hit: bool) {
        if self.shift.is_none() {
            return self.start(hash, weight, hit);
        }
        let entries = self.capacity.min(MOST_ENTRIES);
        if self.rest.is_asleep() {
            self.rest.doze(hit, entries);
            return;
        }
        self.rest.look(hit, entries);
        self.clock = self.clock.wrapping_add(1);
        let most = self.most_keys();
        let key = match self.sample.find(hash as u32, self.clock, most) {
            Found::Known(key, ago) => {
                self.reuse[reuse_bin(ago)] += 1.0;
                self.reweigh(key, weight);
                key
            }
            Found::New(key) => {
                self.weights.push(weight);
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
        if self.capacity <= MOST_ENTRIES {
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
    fn mind_sparseness(&mut self) {
        let held: u32 = self.minis.iter().map(Miniature::len).sum();
        let shift = self.shift();
        if shift == 0 || self.filling.is_some() || u64::from(held) * SPARSE > MOST_ENTRIES * COUNT as u64 {
            return;
        }
        self.shift = Some(shift - 1);
        self.set_miniature_capacity();
    }

    fn replay(&mut self, key: u16, weight: u32) {
        let (word, bit) = (self.step / 64, self.step % 64);
        let (mut full, mut any_hit) = (false, false);
        for (mini, hits) in self.minis.iter_mut().zip(&mut self.hits) {
            let sample = &mut self.sample;
            match mini.request(key, &self.weights, &mut |key| sample.hold(key, false)) {
                Seen::Hit => {
                    hits[word] |= 1 << bit;
                    any_hit = true;
                }
                Seen::Miss { evicted } => {
                    sample.hold(key, true);
                    full |= evicted > 0;
                }
                Seen::TooHeavy => {}
            }
        }
        self.fill(full, any_hit);
        self.asked[self.step] = weight;
        let (less, more) = (weight.min(self.last_weight), weight.max(self.last_weight));
        self.uneven += u32::from(less <= more / 2);
        self.last_weight = weight;
        self.step += 1;
        if self.step == EPOCH {
            self.step = 0;
            self.weigh();
            self.choose();
            self.hits = [[0; WORDS]; COUNT];
            self.mind_sizes();
            self.mind_sparseness();
        }
    }

    /// While the cache fills there is nothing to compare, but how many hits there were tells one thing.
    fn fill(&mut self, full: bool, hit: bool) {
        let Some((requests, hits)) = &mut self.filling else { return };
        *requests += 1;
        *hits += u32::from(hit);
        if full {
            if self.chosen == FIRST && f64::from(*hits) < COLD_RATIO * f64::from(*requests) {
                self.chosen = COLD;
            }
            self.filling = None;
        }
    }

    /// Other candidates compete once sizes differ, where that matters.
    fn mind_sizes(&mut self) {
        let uneven = std::mem::take(&mut self.uneven);
        if self.aim == Aim::Bytes || self.list != 0 || uneven < UNEVEN {
            return;
        }
        self.list = COUNT;
        let keys = self.weights.len();
        for (index, mini) in self.minis.iter_mut().enumerate() {
            *mini = Miniature::new(*at(COUNT + index), self.capacity);
            (0..keys).for_each(|_| mini.add_key());
        }
        self.sample.release();
        self.leads = [[(0.0, 0.0); COUNT]; COUNT];
        self.scores = [0.0; COUNT];
        self.requests = 0.0;
        self.rest.changed(self.capacity.min(MOST_ENTRIES));
    }

    /// What a hit is worth, in average ones.
    fn worth(&self, weight: u32) -> f64 {
        match self.aim {
            Aim::Objects => 1.0,
            Aim::Bytes => f64::from(weight) / self.average.max(1.0),
        }
    }

    /// The worth of those requests of the epoch whose bits are set, and the sum of its squares.
    fn sum(&self, bits: impl Iterator<Item = u64>) -> (f64, f64) {
        if self.aim == Aim::Objects {
            let all: u32 = bits.map(u64::count_ones).sum();
            return (f64::from(all), f64::from(all));
        }
        let mut sums = (0.0, 0.0);
        for (word, mut left) in bits.enumerate() {
            while left != 0 {
                let worth = self.worth(self.asked[word * 64 + left.trailing_zeros() as usize]);
                sums = (sums.0 + worth, sums.1 + worth * worth);
                left &= left - 1;
            }
        }
        sums
    }

    /// Adds the epoch to the evidence.
    fn weigh(&mut self) {
        let half_life = (HALF_LIFE * self.capacity.min(MOST_ENTRIES) as f64).max(4.0 * EPOCH as f64);
        let fade = 0.5f64.powf(EPOCH as f64 / half_life);
        let asked: f64 = self.asked.iter().map(|weight| f64::from(*weight)).sum();
        self.average = if self.average == 0.0 { asked / EPOCH as f64 } else { self.average * fade + asked / EPOCH as f64 * (1.0 - fade) };
        for one in 0..COUNT {
            for other in 0..COUNT {
                let bits = self.hits[one].iter().zip(&self.hits[other]).map(|(a, b)| a & !b);
                let (worth, squares) = self.sum(bits);
                let lead = &mut self.leads[one][other];
                *lead = (lead.0 * fade + worth, lead.1 * fade + squares);
            }
            let all = self.sum(self.hits[one].iter().copied()).0;
            self.scores[one] = self.scores[one] * fade + all;
        }
        self.requests = self.requests * fade + EPOCH as f64;
        self.reuse.iter_mut().for_each(|count| *count *= fade);
    }

    fn rules(&self, one: usize) -> &'static Rules {
        at(self.list + one)
    }

    fn choose(&mut self) {
        let now = self.chosen;
        let leads = |one: usize| {
            let ((more, squares), (fewer, others)) = (self.leads[one][now], self.leads[now][one]);
            more - fewer > self.rules(one).doubt() * (DEVIATIONS * (squares + others).sqrt() + HITS)
        };
        let ahead = (0..COUNT).filter(|one| *one != now && leads(*one));
        let best = ahead.max_by(|one, other| self.leads[*one][*other].0.total_cmp(&self.leads[*other][*one].0));
        if let Some(best) = best {
            self.chosen = best;
            self.switches += 1;
            self.rest.changed(self.capacity.min(MOST_ENTRIES));
        }
    }

    pub(super) fn report(&self) -> Report {
        let ratio = |hits: f64| if self.requests > 0.0 { hits / self.requests } else { 0.0 };
        let candidate = |(one, hits): (usize, &f64)| Candidate { rules: *self.rules(one), hit_ratio: ratio(*hits) };
        Report {
            candidates: self.scores.iter().enumerate().map(candidate).collect(),
            chosen: self.chosen,
            switches: self.switches,
            sampled_one_in: 1 << self.shift(),
            sampled_requests: u64::from(self.clock),
            lost: 0,
            miss_ratios: super::report::miss_ratios(&self.reuse, self.requests, self.shift(), self.total),
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.sample.heap_bytes()
            + self.weights.capacity() * size_of::<u32>()
            + self.minis.iter().map(Miniature::heap_bytes).sum::<usize>()
            + self.minis.capacity() * size_of::<Miniature>()
    }
}
