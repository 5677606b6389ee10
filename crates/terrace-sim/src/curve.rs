//! Hit ratios over capacities: curves, as CSV and as a drawing.
//!
//! Decision: what is drawn is decided once, over a canvas that is SVG or pixels: some lines, a legend, the miss ratio, as is
//! usual, over a logarithmic scale of capacities.

mod canvas;
mod drawing;
mod raster;
mod svg;

use std::fmt::Write;
use std::io;

use drawing::draw;
use raster::Raster;
use svg::Svg;

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

    /// A drawing of the miss ratios, as SVG.
    pub fn to_svg(&self) -> String {
        let mut svg = Svg::new();
        draw(&self.trace, self.unit, &self.lines(), &mut svg);
        svg.finish()
    }

    /// The same as PNG, 1720 pixels wide.
    ///
    /// # Errors
    ///
    /// If it cannot be encoded; nothing known makes that happen.
    pub fn to_png(&self) -> io::Result<Vec<u8>> {
        let mut raster = Raster::new();
        draw(&self.trace, self.unit, &self.lines(), &mut raster);
        raster.finish()
    }
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
                assert!((0.0..=canvas::SIZE.0).contains(&x.parse().unwrap()), "{point}");
                assert!((0.0..=canvas::SIZE.1).contains(&y.parse().unwrap()), "{point}");
            }
        }
    }

    #[test]
    fn the_pixels_show_every_curve_in_its_colour_on_white() {
        let file = curves().to_png().unwrap();
        let mut reader = png::Decoder::new(io::Cursor::new(file)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (1720, 960));
        let count = |colour: [u8; 3]| pixels.chunks(3).filter(|pixel| *pixel == colour).count();
        let inked = [canvas::COLOURS[0], canvas::COLOURS[1]].map(count);
        assert!(inked.iter().all(|pixels| *pixels > 2000), "{inked:?}");
        assert!(count([255; 3]) > 1_500_000 && count(canvas::COLOURS[2]) == 0);
    }

    #[test]
    fn odd_names_and_no_points_are_drawn_too() {
        let empty = Curves::new("<a> & b", Unit::Bytes);
        assert!(empty.to_svg().contains("&lt;a&gt; &amp; b") && !empty.to_svg().contains("NaN"));
        assert_eq!(empty.to_csv().lines().count(), 1);
        assert!(!empty.to_png().unwrap().is_empty());
    }
}
