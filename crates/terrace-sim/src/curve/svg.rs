//! A canvas that writes SVG.

use std::fmt::Write;

use super::canvas::{Anchor, Canvas, Point, SIZE, Stroke};

pub(super) struct Svg(String);

impl Svg {
    pub(super) fn new() -> Self {
        let (width, height) = SIZE;
        Svg(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
        ))
    }

    pub(super) fn finish(mut self) -> String {
        self.0.push_str("</svg>\n");
        self.0
    }
}

// Writing to a string cannot fail.
impl Canvas for Svg {
    fn rule(&mut self, from: Point, to: Point) {
        let _ = writeln!(
            self.0,
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"#ccc\"/>",
            from.0, from.1, to.0, to.1
        );
    }

    fn curve(&mut self, points: &[Point], stroke: Stroke) {
        let [red, green, blue] = stroke.colour;
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let lengths: Vec<String> = stroke.dash.iter().map(f64::to_string).collect();
        let dash = if lengths.is_empty() { "none".to_string() } else { lengths.join(" ") };
        let _ = writeln!(
            self.0,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"#{red:02x}{green:02x}{blue:02x}\" stroke-width=\"1.8\" \
             stroke-dasharray=\"{dash}\"/>",
            points.join(" ")
        );
    }

    fn text(&mut self, (x, y): Point, anchor: Anchor, words: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let words = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let _ = writeln!(self.0, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>");
    }
}
