//! What the hot tier's eviction policy has learned, as `/v1/stats` gives it.

use serde::Serialize;
use terrace::tiers::{PolicyReport, Tiers, TiersStats};

/// How much more or less memory than now the page tells of.
const SCALES: [f64; 4] = [0.5, 1.0, 2.0, 4.0];

/// The policy at one moment.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Policy {
    /// The rules it follows now, in words.
    rules: String,
    /// How often it has changed them.
    switches: u64,
    /// One key in this many is watched to learn from.
    sampled_one_in: u64,
    sampled_requests: u64,
    /// All rules that compete, and what each would have hit lately of the requests that were watched.
    candidates: Vec<Candidate>,
    /// What more or less memory would bring.
    sizes: Vec<Size>,
}

#[derive(Clone, Debug, Serialize)]
struct Candidate {
    rules: String,
    hit_ratio: f64,
    chosen: bool,
}

/// The hot tier at another size, as plain LRU would do there: an estimate from the reuse times of the sample.
#[derive(Clone, Copy, Debug, Serialize)]
struct Size {
    /// Of what it may hold now.
    scale: f64,
    bytes: u64,
    /// Nothing where the sample cannot tell.
    lru_hit_ratio: Option<f64>,
}

impl Policy {
    /// Of these tiers, if one of them is hot.
    pub(crate) fn of(tiers: &Tiers, stats: &TiersStats) -> Option<Self> {
        let report = tiers.hot_policy()?;
        let candidates = report.candidates.iter().enumerate().map(|(index, candidate)| Candidate {
            rules: candidate.rules.to_string(),
            hit_ratio: candidate.hit_ratio,
            chosen: index == report.chosen,
        });
        Some(Self {
            rules: report.candidates.get(report.chosen).map_or_else(String::new, |one| one.rules.to_string()),
            switches: report.switches,
            sampled_one_in: report.sampled_one_in,
            sampled_requests: report.sampled_requests,
            candidates: candidates.collect(),
            sizes: SCALES.map(|scale| size(scale, &report, stats)).to_vec(),
        })
    }
}

fn size(scale: f64, report: &PolicyReport, stats: &TiersStats) -> Size {
    let bytes = stats.hot_capacity as f64 * scale;
    // The sample counts entries; how large they are, those that are there tell.
    let each = stats.hot_bytes as f64 / stats.hot_entries.max(1) as f64;
    let entries = if each > 0.0 { bytes / each } else { 0.0 };
    let lru_hit_ratio = (entries >= 1.0).then(|| report.hit_ratio_with(entries as u64)).flatten();
    Size { scale, bytes: bytes as u64, lru_hit_ratio }
}
