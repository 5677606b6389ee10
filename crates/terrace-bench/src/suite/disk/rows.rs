//! From figures to rows: Terrace's subjects are compared, their absolute goals go to the summary.

use super::engine::Peer;
use super::peer;
use crate::measure::median;
use crate::report::{Against, Report, Row};

/// A subject's figures, by round.
pub(super) type Rounds = Vec<Vec<f64>>;

pub(super) fn is_ours(name: &str) -> bool {
    name.starts_with("terrace")
}

/// The engines that take part.
pub(super) fn peers(which: impl Fn(&Peer) -> bool) -> Vec<&'static Peer> {
    peer::ALL.iter().filter(|peer| which(peer)).collect()
}

/// Rows of some of the figures, Terrace's compared by the first of them.
pub(super) fn rows(
    peers: &[&Peer],
    figures: &[Rounds],
    columns: std::ops::Range<usize>,
    against: Option<Against>,
) -> Vec<Row> {
    let row = |(peer, rounds): (&&Peer, &Rounds)| Row {
        subject: peer.name,
        against: against.filter(|_| is_ours(peer.name)),
        rounds: rounds.iter().map(|round| round[columns.clone()].to_vec()).collect(),
    };
    peers.iter().zip(figures).map(row).collect()
}

/// Holds the median of one figure of these subjects against a goal.
pub(super) fn limit(
    report: &mut Report,
    (peers, figures): (&[&Peer], &[Rounds]),
    subjects: &[&str],
    (what, column): (&str, usize),
    goal: f64,
) {
    for (peer, rounds) in peers.iter().zip(figures) {
        if subjects.contains(&peer.name) {
            let figure = median(rounds.iter().map(|round| round[column]));
            report.limit(&format!("{what}: {}", peer.name), figure, goal);
        }
    }
}
