//! How much of the memory should be warm: what a little more of either side would have gained.
//!
//! Decision: fingerprints of what has just left each side, as far back as a step of memory would have kept it
//! (ghosts). An entry that left hot and is asked for within a step would have been a hot hit in a larger hot
//! tier; one that left warm altogether and is asked for would have been a warm hit in a larger warm tier. Each
//! counts with the time it would have saved. A step of memory is worth the same on both sides, so the side with
//! the greater gain should grow.
//!
//! The steps differ in one point. Memory that moves from hot to warm pushes entries of hot into warm, where
//! they take a part 1/r of it, r being how many times smaller an entry is there. So warm's ghosts reach only as
//! far as the rest, (1 - 1/r) of the step; without this, warm would seem to gain what the entries from hot use
//! up. An entry is assumed to be in one of the two, and both to let go in the order of use more or less.
//!
//! Plain data in and out: whoever owns the tiers tells what happened and asks now and then. Keys may be sampled
//! by their hash, which makes everything smaller but no answer different.

use std::collections::VecDeque;

use hashbrown::HashMap;

use crate::RandomHash;

/// What an access costs, by where it ends, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Costs {
    /// A hit in the hot tier.
    pub hot_ns: u64,
    /// A hit in the warm tier, with bringing the value up.
    pub warm_ns: u64,
    /// An access that finds neither: what the next tier or the origin takes.
    pub miss_ns: u64,
}

/// Which side should grow, at the cost of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The hot tier.
    Hotter,
    /// The warm tier.
    Warmer,
    /// Neither: too little has happened, or the gains are about equal.
    Hold,
}

/// What a step more would have gained on each side, since the beginning, halved by each
/// [`age`](Border::age).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Hits that a hotter border would have made cheaper.
    pub hotter_hits: u64,
    /// The nanoseconds they would have saved.
    pub hotter_ns: u64,
    /// Hits that a warmer border would have added.
    pub warmer_hits: u64,
    /// The nanoseconds they would have saved.
    pub warmer_ns: u64,
}

/// The least hits on both sides together that a verdict is based on.
const LEAST_HITS: u64 = 64;

/// Estimates which side of the border between hot and warm should grow, from ghosts of what has just left each.
#[derive(Debug)]
pub struct Border {
    step: u64,
    costs: Costs,
    sample_mask: u64,
    past_hot: Ghosts,
    past_warm: Ghosts,
    /// Averages of what an entry weighs on each side, in 1/16 byte.
    hot_weight: u64,
    warm_weight: u64,
    evidence: Evidence,
}

impl Border {
    /// An estimator for moving the border by `step` bytes, looking at one key in 2^`sample_bits`.
    ///
    /// It takes about 40 bytes for each sampled entry that a step holds.
    #[must_use]
    pub fn new(step: u64, costs: Costs, sample_bits: u32) -> Self {
        Border {
            step,
            costs,
            // The high bits: the low ones and the middle choose shards and slots elsewhere.
            sample_mask: u64::MAX.checked_shl(64 - sample_bits.min(32)).unwrap_or(0),
            past_hot: Ghosts::default(),
            past_warm: Ghosts::default(),
            hot_weight: 0,
            warm_weight: 0,
            evidence: Evidence::default(),
        }
    }

    fn samples(&self, hash: u64) -> bool {
        hash & self.sample_mask == 0
    }

    /// The part of the step that the sampled keys stand for.
    fn scaled(&self, bytes: u64) -> u64 {
        bytes >> self.sample_mask.count_ones()
    }

    /// The hot tier let an entry of so many bytes go.
    pub fn left_hot(&mut self, hash: u64, bytes: u64) {
        if self.samples(hash) {
            average(&mut self.hot_weight, bytes);
            self.past_hot.remember(hash, bytes, self.scaled(self.step));
        }
    }

    /// The warm tier let an entry of so many bytes, encoded, go for good.
    pub fn left_warm(&mut self, hash: u64, bytes: u64) {
        if self.samples(hash) {
            average(&mut self.warm_weight, bytes);
            let reach = self.scaled(self.warm_step());
            self.past_warm.remember(hash, bytes, reach);
        }
    }

    /// How far warm's ghosts reach, in bytes.
    fn warm_step(&self) -> u64 {
        if self.hot_weight == 0 {
            return self.step;
        }
        let kept = self.hot_weight.saturating_sub(self.warm_weight);
        (u128::from(self.step) * u128::from(kept) / u128::from(self.hot_weight)) as u64
    }

    /// A key was found in the warm tier.
    pub fn hit_warm(&mut self, hash: u64) {
        if self.samples(hash) && self.past_hot.take(hash) {
            self.evidence.hotter_hits += 1;
            self.evidence.hotter_ns += self.costs.warm_ns.saturating_sub(self.costs.hot_ns);
        }
    }

    /// A key was found in neither tier.
    pub fn miss(&mut self, hash: u64) {
        if !self.samples(hash) {
            return;
        }
        // It may be in both lists, if warm refused it or let it go at once.
        if self.past_hot.take(hash) {
            self.evidence.hotter_hits += 1;
            self.evidence.hotter_ns += self.costs.miss_ns.saturating_sub(self.costs.hot_ns);
        }
        if self.past_warm.take(hash) {
            self.evidence.warmer_hits += 1;
            self.evidence.warmer_ns += self.costs.miss_ns.saturating_sub(self.costs.warm_ns);
        }
    }

    /// What was gathered.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        self.evidence
    }

    /// Which side should grow by a step. The greater gain has to be a quarter greater than the other, or the
    /// border would swing.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let Evidence { hotter_hits, hotter_ns, warmer_hits, warmer_ns } = self.evidence;
        if hotter_hits + warmer_hits < LEAST_HITS {
            return Verdict::Hold;
        }
        if hotter_ns > warmer_ns + warmer_ns / 4 {
            Verdict::Hotter
        } else if warmer_ns > hotter_ns + hotter_ns / 4 {
            Verdict::Warmer
        } else {
            Verdict::Hold
        }
    }

    /// Halves the evidence, so that what happened long ago counts less. Call it in even intervals.
    pub fn age(&mut self) {
        let Evidence { hotter_hits, hotter_ns, warmer_hits, warmer_ns } = &mut self.evidence;
        for figure in [hotter_hits, hotter_ns, warmer_hits, warmer_ns] {
            *figure /= 2;
        }
    }

    /// Forgets everything, as after the border was moved: what has left since the last move is not what would
    /// leave now.
    pub fn reset(&mut self) {
        self.past_hot = Ghosts::default();
        self.past_warm = Ghosts::default();
        self.evidence = Evidence::default();
    }

    /// What the costs are now, where they are measured while running.
    pub fn set_costs(&mut self, costs: Costs) {
        self.costs = costs;
    }

    /// The bytes it holds on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.past_hot.heap_bytes() + self.past_warm.heap_bytes()
    }
}

/// A moving average over some 64 values, in 1/16.
fn average(average: &mut u64, value: u64) {
    let value = value.saturating_mul(16);
    *average = if *average == 0 { value } else { *average - *average / 64 + value / 64 };
}

/// Fingerprints in the order of their leaving, bounded by what the entries weighed.
#[derive(Debug, Default)]
struct Ghosts {
    /// Oldest first, with the number of each.
    ring: VecDeque<Ghost>,
    /// The number of the newest ghost of each fingerprint. Older ones in the ring do not count.
    newest: HashMap<u32, u32, RandomHash>,
    number: u32,
    weight: u64,
}

#[derive(Debug)]
struct Ghost {
    fingerprint: u32,
    number: u32,
    weight: u64,
}

impl Ghosts {
    fn remember(&mut self, hash: u64, weight: u64, most: u64) {
        let fingerprint = hash as u32;
        self.number = self.number.wrapping_add(1);
        self.newest.insert(fingerprint, self.number);
        self.ring.push_back(Ghost { fingerprint, number: self.number, weight });
        // A ghost that came back keeps its place in the ring: the distance to the older ones is what counts.
        self.weight += weight;
        while self.weight > most
            && let Some(oldest) = self.ring.pop_front()
        {
            self.weight -= oldest.weight;
            if self.newest.get(&oldest.fingerprint) == Some(&oldest.number) {
                self.newest.remove(&oldest.fingerprint);
            }
        }
    }

    fn take(&mut self, hash: u64) -> bool {
        self.newest.remove(&(hash as u32)).is_some()
    }

    fn heap_bytes(&self) -> usize {
        self.ring.capacity() * size_of::<Ghost>() + self.newest.allocation_size()
    }
}

#[cfg(test)]
mod tests;
