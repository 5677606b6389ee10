//! Which of the candidates hit more, and whether that is more than chance.
//!
//! Decision: candidates are compared on the same requests, pair by pair, so what counts is only where two of them differ.
//! The present rules give way to others that lead by more than some standard deviations of that difference and some
//! hits besides; what was seen longer ago counts less. Where bytes are to be hit, a hit counts by what it weighs.

use super::super::Aim;
use super::breaks::Hits;
use super::rules::{CLOCK, COUNT, Rules};

/// Sampled requests between two decisions, and where sizes differ.
pub(super) const EPOCH: usize = 64;
pub(super) const EPOCH_OF_SIZES: usize = 128;
const MOST: usize = EPOCH_OF_SIZES;
const WORDS: usize = MOST / 64;
/// How far others must lead: so many standard deviations, and so many hits. Bytes need more of both: few hits make up most
/// of them.
const DEVIATIONS: f64 = 2.0;
const HITS: f64 = 4.0;
const DEVIATIONS_OF_BYTES: f64 = 3.0;
const HITS_OF_BYTES: f64 = 8.0;

/// What one candidate hit and another missed, faded: how much that is worth, and the sum of the squares.
#[derive(Clone, Copy, Debug, Default)]
struct Lead {
    worth: f64,
    squares: f64,
}

#[derive(Debug)]
pub(super) struct Evidence {
    aim: Aim,
    /// How many requests make an epoch.
    epoch: usize,
    /// Requests of this epoch.
    step: usize,
    /// Who hit which of them.
    hits: [[u64; WORDS]; COUNT],
    /// What they weigh.
    weights: [u32; MOST],
    /// Requests whose weight is at least twice or at most half of that of the one before.
    uneven: u32,
    last_weight: u32,
    leads: [[Lead; COUNT]; COUNT],
    /// Hits of each candidate, and all requests, faded.
    scores: [f64; COUNT],
    requests: f64,
    /// The average weight of a request.
    average: f64,
}

/// Whether one weighs at least twice as much as the other.
pub(super) fn is_uneven(one: u32, other: u32) -> bool {
    one.min(other) <= one.max(other) / 2
}

impl Evidence {
    pub(super) fn new(aim: Aim, epoch: usize) -> Self {
        Evidence {
            aim,
            epoch: epoch.min(MOST),
            step: 0,
            hits: [[0; WORDS]; COUNT],
            weights: [0; MOST],
            uneven: 0,
            last_weight: 0,
            leads: [[Lead::default(); COUNT]; COUNT],
            scores: [0.0; COUNT],
            requests: 0.0,
            average: 0.0,
        }
    }

    /// A candidate hit the request that is noted next.
    #[inline]
    pub(super) fn hit(&mut self, candidate: usize) {
        self.hits[candidate][self.step / 64] |= 1 << (self.step % 64);
    }

    /// A request is over; tells whether it was the last of an epoch.
    pub(super) fn note(&mut self, weight: u32) -> bool {
        self.weights[self.step] = weight;
        self.uneven += u32::from(is_uneven(weight, self.last_weight));
        self.last_weight = weight;
        self.step = (self.step + 1) % self.epoch;
        self.step == 0
    }

    /// How many requests make an epoch.
    pub(super) fn epoch(&self) -> usize {
        self.epoch
    }

    /// How many requests of the epoch were of quite another weight than the one before.
    pub(super) fn uneven(&self) -> u32 {
        self.uneven
    }

    /// What the candidates hit in this epoch.
    pub(super) fn epoch_hits(&self, present: usize) -> Hits {
        let only = |one: usize, other: usize| {
            let words = self.hits[one].iter().zip(&self.hits[other]);
            words.map(|(one, other)| (one & !other).count_ones()).sum()
        };
        let all = |one: usize| self.hits[one].iter().map(|word| word.count_ones()).sum::<u32>();
        Hits {
            most: (0..COUNT).map(all).max().unwrap_or(0),
            present: all(present),
            clock_only: only(CLOCK, present),
            present_only: only(present, CLOCK),
        }
    }

    /// What a request of the epoch is worth, in average ones.
    fn worth(&self, step: usize) -> f64 {
        match self.aim {
            Aim::Objects => 1.0,
            Aim::Bytes => f64::from(self.weights[step]) / self.average.max(1.0),
        }
    }

    /// The requests of the epoch whose bits are set.
    fn sum(&self, bits: impl Iterator<Item = u64>) -> Lead {
        let mut sum = Lead::default();
        for (word, mut left) in bits.enumerate() {
            if self.aim == Aim::Objects {
                sum.worth += f64::from(left.count_ones());
                continue;
            }
            while left != 0 {
                let worth = self.worth(word * 64 + left.trailing_zeros() as usize);
                (sum.worth, sum.squares) = (sum.worth + worth, sum.squares + worth * worth);
                left &= left - 1;
            }
        }
        if self.aim == Aim::Objects {
            sum.squares = sum.worth;
        }
        sum
    }

    /// Adds the epoch, after what there is has faded.
    pub(super) fn weigh(&mut self, fade: f64) {
        let weights = &self.weights[..self.epoch];
        let mean = weights.iter().map(|weight| f64::from(*weight)).sum::<f64>() / self.epoch as f64;
        self.average = if self.requests == 0.0 { mean } else { self.average * fade + mean * (1.0 - fade) };
        for one in 0..COUNT {
            for other in 0..COUNT {
                let only = self.hits[one].iter().zip(&self.hits[other]).map(|(a, b)| a & !b);
                let (only, lead) = (self.sum(only), self.leads[one][other]);
                self.leads[one][other] = Lead {
                    worth: lead.worth * fade + only.worth,
                    squares: lead.squares * fade + only.squares,
                };
            }
            let all = self.hits[one].iter().map(|word| word.count_ones()).sum::<u32>();
            self.scores[one] = self.scores[one] * fade + f64::from(all);
        }
        self.requests = self.requests * fade + self.epoch as f64;
        self.hits = [[0; WORDS]; COUNT];
        self.uneven = 0;
    }

    /// The candidate that leads far enough to take over from the present one, and farther than others that do.
    pub(super) fn better_than(&self, now: usize, rules: impl Fn(usize) -> &'static Rules) -> Option<usize> {
        let (deviations, hits) = match self.aim {
            Aim::Objects => (DEVIATIONS, HITS),
            Aim::Bytes => (DEVIATIONS_OF_BYTES, HITS_OF_BYTES),
        };
        let leads = |one: usize| {
            let (more, fewer) = (self.leads[one][now], self.leads[now][one]);
            let deviation = (more.squares + fewer.squares).sqrt();
            more.worth - fewer.worth > rules(one).doubt() * (deviations * deviation + hits)
        };
        let ahead = (0..COUNT).filter(|one| *one != now && leads(*one));
        let by_lead = |one: &usize, other: &usize| {
            self.leads[*one][*other].worth.total_cmp(&self.leads[*other][*one].worth)
        };
        ahead.max_by(by_lead)
    }

    /// The part of requests a candidate hit, older ones counting less.
    pub(super) fn hit_ratio(&self, candidate: usize) -> f64 {
        if self.requests > 0.0 { self.scores[candidate] / self.requests } else { 0.0 }
    }

    pub(super) fn requests(&self) -> f64 {
        self.requests
    }
}

#[cfg(test)]
mod tests {
    use super::super::rules::at;
    use super::*;

    /// So many epochs in which one candidate hits what another one does and a part more.
    fn ahead_by(aim: Aim, epochs: usize, one_in: usize, weight: impl Fn(usize) -> u32) -> Option<usize> {
        let mut evidence = Evidence::new(aim, EPOCH);
        for step in 0..epochs * EPOCH {
            if step % 2 == 0 {
                (0..COUNT).for_each(|candidate| evidence.hit(candidate));
            } else if step % one_in == 1 {
                evidence.hit(3);
            }
            if evidence.note(weight(step)) {
                evidence.weigh(0.99);
            }
        }
        evidence.better_than(1, at)
    }

    #[test]
    fn a_few_hits_more_are_chance_and_many_are_not() {
        assert_eq!(ahead_by(Aim::Objects, 1, 32, |_| 1), None);
        assert_eq!(ahead_by(Aim::Objects, 4, 16, |_| 1), Some(3));
    }

    #[test]
    fn where_bytes_count_hits_on_small_entries_are_worth_little() {
        let large_if_all_hit = |step: usize| if step.is_multiple_of(2) { 100_000 } else { 10 };
        assert_eq!(ahead_by(Aim::Objects, 8, 8, large_if_all_hit), Some(3));
        assert_eq!(ahead_by(Aim::Bytes, 8, 8, large_if_all_hit), None);
        assert_eq!(ahead_by(Aim::Bytes, 8, 8, |step| 110_000 - large_if_all_hit(step)), Some(3));
    }

    #[test]
    fn requests_of_other_weights_than_the_one_before_are_counted() {
        let mut evidence = Evidence::new(Aim::Objects, EPOCH);
        for weight in [100, 120, 90, 200, 199, 99] {
            evidence.note(weight);
        }
        // The first, from nothing; 90 to 200; 199 to 99.
        assert_eq!(evidence.uneven(), 3);
    }
}
