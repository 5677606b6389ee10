//! Hit ratios over capacities: curves, as CSV and as a drawing.
//!
//! Decision: the drawing is SVG written by hand, some lines and a legend; programs that want pixels turn it into
//! them (`resvg curve.svg curve.png`). What is drawn is the miss ratio, as is usual, over a logarithmic scale of
//! capacities.

use std::fmt::Write;

use crate::capacity::Capacity;
use crate::replay::{ReplayError, Report, Unit, replay};
use crate::source::Trace;

/// What several policies hit on one trace at several capacities.
#[derive(Clone, Debug)]
pub struct Curves {
    trace: String,
    unit: Unit,
    reports: Vec<Report>,
}

/// Width and height of the drawing, and the margins left, above, right and below.
const SIZE: (f64, f64) = (860.0, 480.0);
const MARGINS: (f64, f64, f64, f64) = (64.0, 44.0, 190.0, 52.0);
/// Colours that can be told apart, also by most people who see fewer of them (Okabe and Ito).
const COLOURS: [&str; 8] =
    ["#000000", "#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#0072b2", "#d55e00", "#a39800"];

impl Curves {
    /// Replays a trace through each policy at each capacity. `progress` is told of every report.
    ///
    /// # Errors
    ///
    /// As [`replay`].
    pub fn measure(
        trace: &Trace,
        policies: &[&str],
        capacities: &[Capacity],
        unit: Unit,
        progress: &mut dyn FnMut(&Report),
    ) -> Result<Self, ReplayError> {
        let mut curves = Curves::new(trace.name(), unit);
        for policy in policies {
            for capacity in capacities {
                let report = replay(trace, policy, capacity.resolve(trace, unit), unit, &mut |_| {})?;
                progress(&report);
                curves.add(report);
            }
        }
        Ok(curves)
    }

    /// Curves without points yet.
    pub fn new(trace: impl Into<String>, unit: Unit) -> Self {
        Curves { trace: trace.into(), unit, reports: Vec::new() }
    }

    /// Adds a point.
    pub fn add(&mut self, report: Report) {
        self.reports.push(report);
    }

    /// The points of each policy from the smallest capacity to the largest, in the order of the policies'
    /// first reports.
    fn lines(&self) -> Vec<(&str, Vec<&Report>)> {
        let mut lines: Vec<(&str, Vec<&Report>)> = Vec::new();
        for report in &self.reports {
            match lines.iter_mut().find(|(policy, _)| *policy == report.policy) {
                Some((_, points)) => points.push(report),
                None => lines.push((&report.policy, vec![report])),
            }
        }
        for (_, points) in &mut lines {
            points.sort_by_key(|report| report.capacity);
        }
        lines
    }

    /// A line for each point: `trace,policy,capacity,requests,hits,hit_ratio,miss_ratio,byte_hit_ratio`.
    pub fn to_csv(&self) -> String {
        let mut csv = "trace,policy,capacity,requests,hits,hit_ratio,miss_ratio,byte_hit_ratio\n".to_string();
        for (_, points) in self.lines() {
            for report in points {
                let bytes = report.byte_hit_ratio.map_or_else(String::new, |ratio| format!("{ratio:.6}"));
                // Writing to a string cannot fail.
                let _ = writeln!(
                    csv,
                    "{},{},{},{},{},{:.6},{:.6},{bytes}",
                    field(&report.trace),
                    field(&report.policy),
                    report.capacity,
                    report.requests,
                    report.hits,
                    report.hit_ratio,
                    1.0 - report.hit_ratio,
                );
            }
        }
        csv
    }

    /// A drawing of the miss ratios.
    pub fn to_svg(&self) -> String {
        let area = Area::of(&self.reports);
        let mut svg = String::new();
        let (width, height) = SIZE;
        let _ = writeln!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>"
        );
        text(&mut svg, (width / 2.0, 24.0), "middle", &format!("Miss ratio: {}", self.trace));
        let unit = if self.unit == Unit::Bytes { "capacity (bytes)" } else { "capacity (entries)" };
        text(&mut svg, ((area.left + area.right) / 2.0, height - 12.0), "middle", unit);
        area.draw_axes(&mut svg);
        for (place, (policy, points)) in self.lines().iter().enumerate() {
            let colour = COLOURS[place % COLOURS.len()];
            let dash = ["none", "6 3", "2 2"][place / COLOURS.len() % 3];
            let style =
                format!("fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\" stroke-dasharray=\"{dash}\"");
            let points: Vec<String> = points.iter().map(|report| area.point(report)).collect();
            let _ = writeln!(svg, "<polyline points=\"{}\" {style}/>", points.join(" "));
            let y = area.top + 8.0 + 17.0 * place as f64;
            let x = area.right + 14.0;
            let _ = writeln!(svg, "<polyline points=\"{x:.1},{y:.1} {:.1},{y:.1}\" {style}/>", x + 24.0);
            text(&mut svg, (x + 30.0, y + 4.0), "start", policy);
        }
        svg.push_str("</svg>\n");
        svg
    }
}

/// Where the curves are drawn, and the scales.
struct Area {
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
    /// Logarithms of the smallest and the largest capacity.
    first: f64,
    last: f64,
    /// The miss ratio at the top.
    most: f64,
}

impl Area {
    fn of(reports: &[Report]) -> Self {
        let (left, top, right, bottom) = MARGINS;
        let logs = || reports.iter().map(|report| log(report.capacity));
        let (first, last) = (logs().fold(f64::MAX, f64::min), logs().fold(0.0, f64::max));
        let most = reports.iter().map(|report| 1.0 - report.hit_ratio).fold(0.0, f64::max);
        Area {
            left,
            top,
            right: SIZE.0 - right,
            bottom: SIZE.1 - bottom,
            first: if reports.is_empty() { 0.0 } else { first },
            last,
            // Up to the next tenth.
            most: ((most * 10.0).ceil() / 10.0).max(0.1),
        }
    }

    fn x(&self, capacity: u64) -> f64 {
        let part = (log(capacity) - self.first) / (self.last - self.first).max(f64::EPSILON);
        self.left + part * (self.right - self.left)
    }

    fn y(&self, miss_ratio: f64) -> f64 {
        self.bottom - miss_ratio / self.most * (self.bottom - self.top)
    }

    fn point(&self, report: &Report) -> String {
        format!("{:.1},{:.1}", self.x(report.capacity), self.y(1.0 - report.hit_ratio))
    }

    fn draw_axes(&self, svg: &mut String) {
        let tenths = (self.most * 10.0).round() as u32;
        for tenth in 0..=tenths {
            let ratio = f64::from(tenth) / 10.0;
            self.draw_line(svg, (self.left, self.y(ratio)), (self.right, self.y(ratio)));
            text(svg, (self.left - 8.0, self.y(ratio) + 4.0), "end", &format!("{ratio:.1}"));
        }
        // Capacities of one digit and zeros; at most three in each power of ten.
        let powers = (0..20).map(|power| 10u64.pow(power));
        for capacity in powers.flat_map(|power| [1, 2, 5].map(|digit| power.saturating_mul(digit))) {
            if (self.first..=self.last).contains(&log(capacity)) {
                let x = self.x(capacity);
                self.draw_line(svg, (x, self.bottom), (x, self.bottom + 5.0));
                text(svg, (x, self.bottom + 18.0), "middle", &short(capacity));
            }
        }
    }

    fn draw_line(&self, svg: &mut String, from: (f64, f64), to: (f64, f64)) {
        let _ = writeln!(
            svg,
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"#ccc\"/>",
            from.0, from.1, to.0, to.1
        );
    }
}

fn log(capacity: u64) -> f64 {
    (capacity.max(1) as f64).ln()
}

/// A number of one digit and zeros in few letters.
fn short(number: u64) -> String {
    let units = [(1_000_000_000_000, "T"), (1_000_000_000, "G"), (1_000_000, "M"), (1000, "k")];
    let found = units.iter().find(|(size, _)| number >= *size);
    found.map_or_else(|| number.to_string(), |(size, letter)| format!("{}{letter}", number / size))
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>");
}

/// A field of CSV, in quotes where it needs them.
fn field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curves() -> Curves {
        let trace = Trace::open("zipf:keys=2000,theta=0.8,requests=20000").unwrap();
        let capacities = ["10%", "1%", "50%"].map(|text| text.parse().unwrap());
        Curves::measure(&trace, &["lru", "opt"], &capacities, Unit::Objects, &mut |_| {}).unwrap()
    }

    #[test]
    fn csv_has_a_line_for_each_point_from_small_to_large() {
        let csv = curves().to_csv();
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(lines.len(), 7);
        let numbers: Vec<Vec<&str>> =
            lines[1..].iter().map(|line| line.split("\",").nth(1).unwrap().split(',').collect()).collect();
        assert_eq!(
            numbers.iter().map(|row| row[0]).collect::<Vec<_>>(),
            ["lru", "lru", "lru", "opt", "opt", "opt"]
        );
        let ratio = |row: usize| numbers[row][4].parse::<f64>().unwrap();
        assert!(ratio(0) < ratio(1) && ratio(1) < ratio(2) && ratio(3) > ratio(0));
        assert!(lines[1].starts_with("\"zipf:keys=2000,theta"));
    }

    #[test]
    fn the_drawing_has_a_curve_and_a_name_for_each_policy_within_its_frame() {
        let svg = curves().to_svg();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        assert_eq!(svg.matches("<polyline").count(), 4);
        assert!(svg.contains(">lru</text>") && svg.contains(">opt</text>"));
        for points in svg.split("points=\"").skip(1) {
            for point in points.split('"').next().unwrap().split(' ') {
                let (x, y) = point.split_once(',').unwrap();
                assert!((0.0..=SIZE.0).contains(&x.parse().unwrap()), "{point}");
                assert!((0.0..=SIZE.1).contains(&y.parse().unwrap()), "{point}");
            }
        }
    }

    #[test]
    fn odd_names_and_no_points_are_drawn_too() {
        let empty = Curves::new("<a> & b", Unit::Bytes);
        assert!(empty.to_svg().contains("&lt;a&gt; &amp; b") && !empty.to_svg().contains("NaN"));
        assert_eq!(empty.to_csv().lines().count(), 1);
        assert_eq!((short(20), short(5000), short(2_000_000)), ("20".into(), "5k".into(), "2M".into()));
    }
}
