//! What is drawn of curves, and where.

use super::canvas::{Anchor, Canvas, Point, SIZE, Stroke};
use crate::replay::{Report, Unit};

/// The margins left, above, right and below.
const MARGINS: (f64, f64, f64, f64) = (64.0, 44.0, 190.0, 52.0);

/// Draws the miss ratios of one trace: a curve for each policy's points.
pub(super) fn draw(trace: &str, unit: Unit, lines: &[(&str, Vec<&Report>)], canvas: &mut impl Canvas) {
    let all: Vec<&Report> = lines.iter().flat_map(|(_, points)| points.iter().copied()).collect();
    let area = Area::of(&all);
    let (width, height) = SIZE;
    canvas.text((width / 2.0, 24.0), Anchor::Middle, &format!("Miss ratio: {trace}"));
    let unit = if unit == Unit::Bytes { "capacity (bytes)" } else { "capacity (entries)" };
    canvas.text(((area.left + area.right) / 2.0, height - 12.0), Anchor::Middle, unit);
    area.draw_axes(canvas);
    for (place, (policy, points)) in lines.iter().enumerate() {
        let stroke = Stroke::of(place);
        let points: Vec<Point> = points.iter().map(|report| area.point(report)).collect();
        canvas.curve(&points, stroke);
        let (x, y) = (area.right + 14.0, area.top + 8.0 + 17.0 * place as f64);
        canvas.curve(&[(x, y), (x + 24.0, y)], stroke);
        canvas.text((x + 30.0, y + 4.0), Anchor::Start, policy);
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
    fn of(reports: &[&Report]) -> Self {
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

    fn point(&self, report: &Report) -> Point {
        (self.x(report.capacity), self.y(1.0 - report.hit_ratio))
    }

    fn draw_axes(&self, canvas: &mut impl Canvas) {
        let tenths = (self.most * 10.0).round() as u32;
        for tenth in 0..=tenths {
            let ratio = f64::from(tenth) / 10.0;
            canvas.rule((self.left, self.y(ratio)), (self.right, self.y(ratio)));
            canvas.text((self.left - 8.0, self.y(ratio) + 4.0), Anchor::End, &format!("{ratio:.1}"));
        }
        // Capacities of one digit and zeros; at most three in each power of ten.
        let powers = (0..20).map(|power| 10u64.pow(power));
        for capacity in powers.flat_map(|power| [1, 2, 5].map(|digit| power.saturating_mul(digit))) {
            if (self.first..=self.last).contains(&log(capacity)) {
                let x = self.x(capacity);
                canvas.rule((x, self.bottom), (x, self.bottom + 5.0));
                canvas.text((x, self.bottom + 18.0), Anchor::Middle, &short(capacity));
            }
        }
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

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn capacities_are_written_in_few_letters() {
        assert_eq!([20, 5000, 2_000_000].map(short), ["20", "5k", "2M"]);
    }
}
