//! What the policy knows, as plain data for statistics and pages.

use super::rules::Rules;

/// Bins of reuse times: two to each doubling.
pub(super) const BINS: usize = 64;

/// The state of the learning part of an [`Adaptive`](super::Adaptive) policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// All behaviours that compete, with the hit ratios their miniature caches had lately.
    pub candidates: Vec<Candidate>,
    /// The index of the one that rules now.
    pub chosen: usize,
    /// How often that has changed.
    pub switches: u64,
    /// One key in this many is in the sample.
    pub sampled_one_in: u64,
    /// Requests seen by the miniature caches.
    pub sampled_requests: u64,
    /// Requests for sampled keys that were not seen, because too many threads came at once.
    pub lost: u64,
    /// The estimated hit ratio of plain LRU by capacity, smallest first: points of its miss-ratio curve, up to
    /// the range the sample remembers.
    pub miss_ratios: Vec<Point>,
}

impl Report {
    /// The estimated hit ratio of plain LRU with so many entries, between the points of the curve; `None` beyond
    /// what the sample can tell, or before it can tell anything.
    pub fn hit_ratio_with(&self, entries: u64) -> Option<f64> {
        let above = self.miss_ratios.iter().position(|point| point.entries >= entries)?;
        let after = self.miss_ratios[above];
        let before = match above {
            0 => Point { entries: 0, miss_ratio: 1.0 },
            above => self.miss_ratios[above - 1],
        };
        let span = (after.entries - before.entries).max(1) as f64;
        let part = (entries - before.entries) as f64 / span;
        Some(1.0 - (before.miss_ratio + (after.miss_ratio - before.miss_ratio) * part))
    }
}

/// A behaviour and how it would have done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// The behaviour.
    pub rules: Rules,
    /// The part of sampled requests its miniature cache hit, older ones counting less.
    pub hit_ratio: f64,
}

/// A point of a miss-ratio curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// In entries where every entry weighs 1; otherwise entries of the average weight.
    pub entries: u64,
    /// The part of requests that would miss.
    pub miss_ratio: f64,
}

/// The bin of a reuse after so many sampled requests.
pub(super) fn reuse_bin(ago: u32) -> usize {
    let ago = ago.max(1);
    let octave = 31 - ago.leading_zeros();
    let half = if octave > 0 { ago >> (octave - 1) & 1 } else { 0 };
    (2 * octave + half) as usize
}

fn bin_start(bin: usize) -> f64 {
    let start = 2f64.powi((bin / 2) as i32);
    if bin % 2 == 1 { start * 1.5 } else { start }
}

/// The curve by the average eviction time model (Hu et al., "Kinetic modeling of data eviction in cache", ATC
/// 2016): an entry of an LRU cache sinks by the probability that what was asked for in between was not above it.
pub(super) fn miss_ratios(reuse: &[f64; BINS], requests: f64, shift: u32, total: u64) -> Vec<Point> {
    if requests <= 0.0 {
        return Vec::new();
    }
    let (mut points, mut entries, mut reused) = (Vec::new(), 0.0, 0.0);
    for (bin, count) in reuse.iter().enumerate() {
        let span = bin_start(bin + 1) - bin_start(bin);
        let longer = (1.0 - reused / requests).max(0.0);
        reused += count;
        let still_longer = (1.0 - reused / requests).max(0.0);
        entries += span * (longer + still_longer) / 2.0;
        let scaled = (entries * (1u64 << shift) as f64) as u64;
        // The first bins are narrower than the steps in which anything sinks.
        if scaled > total.saturating_mul(4) || bin > 3 && span * longer < 0.5 {
            break;
        }
        points.push(Point { entries: scaled, miss_ratio: still_longer });
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_two_to_a_doubling() {
        let bins: Vec<_> = [1, 2, 3, 4, 5, 6, 7, 8, 12, 1 << 31].map(reuse_bin).to_vec();
        assert_eq!(bins, [0, 2, 3, 4, 4, 5, 5, 6, 7, 62]);
        for bin in 2..60 {
            assert_eq!(reuse_bin(bin_start(bin) as u32), bin.min(reuse_bin(bin_start(bin) as u32)));
        }
    }

    #[test]
    fn between_two_points_the_curve_is_straight_and_beyond_it_silent() {
        let points = [(100, 0.8), (200, 0.4)].map(|(entries, miss_ratio)| Point { entries, miss_ratio });
        let report = Report {
            candidates: Vec::new(),
            chosen: 0,
            switches: 0,
            sampled_one_in: 1,
            sampled_requests: 0,
            lost: 0,
            miss_ratios: points.to_vec(),
        };
        let at = |entries| report.hit_ratio_with(entries).map(|ratio| (ratio * 1000.0).round());
        assert_eq!(
            [50, 100, 150, 200, 201].map(at),
            [Some(100.0), Some(200.0), Some(400.0), Some(600.0), None]
        );
    }

    #[test]
    fn a_loop_is_all_misses_below_its_length_and_all_hits_above() {
        let mut reuse = [0.0; BINS];
        reuse[reuse_bin(1000)] = 10_000.0;
        // A few that come again at once must not hide the rest.
        reuse[reuse_bin(1)] = 50.0;
        let points = miss_ratios(&reuse, 10_050.0, 3, 1 << 20);
        let at =
            |entries: u64| points.iter().rev().find(|point| point.entries <= entries).map(|p| p.miss_ratio);
        assert!(at(5000).is_some_and(|misses| misses > 0.99), "{points:?}");
        assert!(points.last().is_some_and(|point| point.miss_ratio < 0.01), "{points:?}");
    }
}
