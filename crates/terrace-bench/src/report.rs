//! What was measured, for people and for programs.
//!
//! Decision: a ratio is the median of the ratios within each round, not the ratio of two medians: both sides of
//! it were measured right after one another, so what slowed the machine down meanwhile slowed both.

use std::io::{self, Write};

use serde::Serialize;

use crate::measure::median;

/// What a figure is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
}

/// The metrics of what is measured in this process; the first is the one that is compared.
pub(crate) const COST: [Metric; 2] =
    [Metric { name: "cpu", unit: "ns/op" }, Metric { name: "wall", unit: "ns/op" }];

/// Whom a subject is compared with, and what is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Against {
    pub(crate) peer: &'static str,
    /// The ratio should not be greater.
    pub(crate) goal: Option<f64>,
    /// Further peers, each with what the ratio to it should not be greater than.
    pub(crate) also: &'static [(&'static str, f64)],
}

impl Against {
    pub(crate) fn just(peer: &'static str) -> Option<Self> {
        Some(Self { peer, goal: None, also: &[] })
    }

    pub(crate) fn at_most(goal: f64, peer: &'static str) -> Option<Self> {
        Some(Self { peer, goal: Some(goal), also: &[] })
    }

    /// The same, compared with these too.
    pub(crate) fn and(self, also: &'static [(&'static str, f64)]) -> Option<Self> {
        Some(Self { also, ..self })
    }

    /// Every peer with its goal.
    fn peers(self) -> impl Iterator<Item = (&'static str, Option<f64>)> {
        let also = self.also.iter().map(|(peer, goal)| (*peer, Some(*goal)));
        std::iter::once((self.peer, self.goal)).chain(also)
    }
}

/// A subject's figures in one case.
pub(crate) struct Row {
    pub(crate) subject: &'static str,
    pub(crate) against: Option<Against>,
    /// By round, then by metric.
    pub(crate) rounds: Vec<Vec<f64>>,
}

impl Row {
    pub(crate) fn median_of(&self, metric: usize) -> f64 {
        median(self.rounds.iter().filter_map(|round| round.get(metric).copied()))
    }

    /// How often the peer's first metric goes into this one's, by the rounds.
    fn ratio_to(&self, peer: &Row) -> f64 {
        let rounds = self.rounds.iter().zip(&peer.rounds);
        median(rounds.filter_map(|(own, other)| Some(own.first()? / other.first()?)))
    }
}

/// One line of `--json`.
#[derive(Serialize)]
struct Line<'a> {
    suite: &'a str,
    case: &'a str,
    subject: &'a str,
    metric: &'a str,
    unit: &'a str,
    value: f64,
    rounds: usize,
}

/// A goal, and whether it was reached.
struct Verdict {
    what: String,
    ratio: f64,
    goal: f64,
}

impl Verdict {
    fn reached(&self) -> bool {
        self.ratio <= self.goal
    }
}

/// Prints cases as they are measured, and a summary of the goals.
pub(crate) struct Report {
    suite: &'static str,
    json: bool,
    verdicts: Vec<Verdict>,
}

impl Report {
    pub(crate) fn new(suite: &'static str, json: bool) -> Self {
        Self { suite, json, verdicts: Vec::new() }
    }

    /// Prints one case. The first metric is the one that is compared.
    ///
    /// # Errors
    /// If nobody reads what is printed.
    pub(crate) fn case(&mut self, case: &str, metrics: &[Metric], rows: &[Row]) -> io::Result<()> {
        let text = if self.json { self.lines(case, metrics, rows) } else { table(case, metrics, rows) };
        io::stdout().write_all(text.as_bytes())?;
        for Comparison { row, peer, goal, ratio } in compared(rows) {
            if let Some(goal) = goal {
                let what = format!("{case}: {} against {peer}", row.subject);
                self.verdicts.push(Verdict { what, ratio, goal });
            }
        }
        Ok(())
    }

    /// Adds a figure that has a goal of its own to the summary.
    pub(crate) fn limit(&mut self, what: &str, figure: f64, goal: f64) {
        self.verdicts.push(Verdict { what: what.to_owned(), ratio: figure, goal });
    }

    fn lines(&self, case: &str, metrics: &[Metric], rows: &[Row]) -> String {
        let line = |row: &Row, metric: &str, unit: &str, value: f64| {
            let (suite, subject, rounds) = (self.suite, row.subject, row.rounds.len());
            let line = Line { suite, case, subject, metric, unit, value, rounds };
            // Numbers and text only: there is nothing that could fail.
            serde_json::to_string(&line).unwrap_or_default() + "\n"
        };
        let mut text = String::new();
        for Comparison { row, peer, ratio, .. } in compared(rows) {
            text += &line(row, &format!("ratio to {peer}"), "ratio", ratio);
        }
        for row in rows {
            for (index, metric) in metrics.iter().enumerate() {
                text += &line(row, metric.name, metric.unit, row.median_of(index));
            }
        }
        text
    }

    /// Prints the goals: after tables to stdout, beside JSON to stderr.
    pub(crate) fn finish(&self) {
        let summary = summary(&self.verdicts);
        // Whoever stopped reading does not want it.
        let _ = match self.json {
            true => io::stderr().write_all(summary.as_bytes()),
            false => io::stdout().write_all(summary.as_bytes()),
        };
    }
}

/// A row beside one of its peers.
struct Comparison<'a> {
    row: &'a Row,
    peer: &'static str,
    goal: Option<f64>,
    ratio: f64,
}

impl Comparison<'_> {
    /// What of the goal, if there is one.
    fn verdict(&self) -> Option<String> {
        let goal = self.goal?;
        Some(format!("goal {goal:.2}: {}", if self.ratio <= goal { "reached" } else { "missed" }))
    }
}

/// The rows that have peers among the rows, with the ratio to each, if what was measured was enough for one.
fn compared(rows: &[Row]) -> impl Iterator<Item = Comparison<'_>> {
    let pairs = rows.iter().flat_map(|row| {
        let peers = row.against.into_iter().flat_map(Against::peers);
        peers.map(move |(peer, goal)| (row, peer, goal))
    });
    pairs.filter_map(|(row, peer, goal)| {
        let ratio = row.ratio_to(rows.iter().find(|other| other.subject == peer)?);
        ratio.is_finite().then_some(Comparison { row, peer, goal, ratio })
    })
}

fn table(case: &str, metrics: &[Metric], rows: &[Row]) -> String {
    let mut text = format!("\n{case}\n  {:>6}  {:<14}", "ratio", "to");
    for metric in metrics {
        text += &format!(" {:>16}", format!("{} {}", metric.name, metric.unit));
    }
    text += "  subject\n";
    for row in rows {
        let mut found = compared(rows).filter(|found| std::ptr::eq(found.row, row));
        let first = found.next();
        text += &match &first {
            Some(first) => format!("  {:>6.2}  {:<14}", first.ratio, first.peer),
            None => format!("  {:>6}  {:<14}", "", ""),
        };
        for index in 0..metrics.len() {
            text += &format!(" {:>16}", figure(row.median_of(index)));
        }
        text += &format!("  {}", row.subject);
        if let Some(verdict) = first.and_then(|first| first.verdict()) {
            text += &format!("   {verdict}");
        }
        text.push('\n');
        for other in found {
            text += &format!(
                "  {:>6.2}  {:<14} {}\n",
                other.ratio,
                other.peer,
                other.verdict().unwrap_or_default()
            );
        }
    }
    text
}

/// A figure with about four digits.
fn figure(value: f64) -> String {
    match value.abs() {
        large if large >= 1000.0 => format!("{value:.0}"),
        middle if middle >= 1.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

fn summary(verdicts: &[Verdict]) -> String {
    if verdicts.is_empty() {
        return String::new();
    }
    let reached = verdicts.iter().filter(|verdict| verdict.reached()).count();
    let mut text = format!("\ngoals: {reached} of {} reached\n", verdicts.len());
    for missed in verdicts.iter().filter(|verdict| !verdict.reached()) {
        text += &format!("  missed  {}: {:.2}, goal {:.2}\n", missed.what, missed.ratio, missed.goal);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> [Row; 2] {
        let figures = |values: [f64; 3]| values.iter().map(|value| vec![*value, 9.0]).collect();
        [
            // The machine was slow in the last round, for both.
            Row {
                subject: "terrace",
                against: Against::at_most(2.5, "peer"),
                rounds: figures([20.0, 30.0, 400.0]),
            },
            Row { subject: "peer", against: None, rounds: figures([10.0, 10.0, 200.0]) },
        ]
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let rows = rows();
        assert_eq!(rows[0].ratio_to(&rows[1]), 2.0);
        assert_eq!((rows[0].median_of(0), rows[1].median_of(0), rows[0].median_of(1)), (30.0, 10.0, 9.0));
    }

    #[test]
    fn a_json_line_has_the_seven_fields_and_ratios_come_first() {
        let text = Report::new("memory", true).lines("hit", &COST, &rows());
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 5);
        assert_eq!(
            lines[0],
            serde_json::json!({
                "suite": "memory", "case": "hit", "subject": "terrace", "metric": "ratio to peer",
                "unit": "ratio", "value": 2.0, "rounds": 3
            })
        );
        assert_eq!((&lines[3]["subject"], &lines[3]["metric"]), (&"peer".into(), &"cpu".into()));
        assert_eq!((&lines[3]["unit"], &lines[3]["value"]), (&"ns/op".into(), &10.0.into()));
    }

    #[test]
    fn a_table_begins_with_the_ratio_and_ends_with_the_goal() {
        let text = table("hit", &COST, &rows());
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["hit"]);
        assert_eq!(lines[3], ["2.00", "peer", "30.0", "9.0", "terrace", "goal", "2.50:", "reached"]);
        assert_eq!(lines[4], ["10.0", "9.0", "peer"]);
    }

    #[test]
    fn missed_goals_are_named() {
        let verdict = |ratio| Verdict { what: format!("case {ratio}"), ratio, goal: 2.0 };
        let text = summary(&[verdict(2.0), verdict(2.1), verdict(f64::NAN)]);
        assert!(text.contains("1 of 3 reached"), "{text}");
        assert!(text.contains("case 2.1: 2.10, goal 2.00") && !text.contains("case 2:"), "{text}");
        assert_eq!(summary(&[]), "");
    }

    #[test]
    fn nothing_divided_by_nothing_is_no_ratio() {
        let mut rows = rows();
        for row in &mut rows {
            row.rounds = vec![vec![0.0, 0.0]];
        }
        assert_eq!(compared(&rows).count(), 0);
    }

    #[test]
    fn a_peer_that_was_not_measured_gives_no_ratio() {
        let alone = &rows()[..1];
        assert_eq!(compared(alone).count(), 0);
        assert!(table("hit", &COST, alone).contains("terrace\n"));
    }
}
