//! A canvas of pixels, and the PNG of it.
//!
//! Decision: the letters are a font of bitmaps, so that the file looks the same wherever it is made and no fonts need be
//! installed. What it has no letter for it shows as a question mark.

use std::convert::Infallible;
use std::io;

use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::iso_8859_1::FONT_10X20;
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::{DrawTarget, Drawable, OriginDimensions, Pixel, Primitive, RgbColor, Size};
use embedded_graphics::primitives::{Line, PrimitiveStyle};
use embedded_graphics::text::{Alignment, Text};

use super::canvas::{Anchor, Canvas, Point, SIZE, Stroke};

/// Pixels to one length of the drawing.
const SCALE: f64 = 2.0;
const GREY: Rgb888 = Rgb888::new(0xcc, 0xcc, 0xcc);
/// How thick lines are, in pixels.
const THIN: u32 = 1;
const THICK: u32 = 4;

/// Three bytes a pixel, a row after another.
pub(super) struct Raster {
    size: Size,
    pixels: Vec<u8>,
}

fn place((x, y): Point) -> embedded_graphics::prelude::Point {
    embedded_graphics::prelude::Point::new((x * SCALE).round() as i32, (y * SCALE).round() as i32)
}

impl Raster {
    pub(super) fn new() -> Self {
        let size = Size::new((SIZE.0 * SCALE) as u32, (SIZE.1 * SCALE) as u32);
        Raster { size, pixels: vec![0xff; size.width as usize * size.height as usize * 3] }
    }

    pub(super) fn finish(self) -> io::Result<Vec<u8>> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, self.size.width, self.size.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header().map_err(io::Error::other)?;
        writer.write_image_data(&self.pixels).map_err(io::Error::other)?;
        writer.finish().map_err(io::Error::other)?;
        Ok(file)
    }

    fn line(&mut self, from: Point, to: Point, colour: Rgb888, width: u32) {
        let line = Line::new(place(from), place(to)).into_styled(PrimitiveStyle::with_stroke(colour, width));
        let Ok(()) = line.draw(self);
    }
}

/// The parts of a line that are drawn, where lengths are drawn and left out in turn. `walked` is how far it is from where
/// that began, and grows by the line's length.
fn dashes(from: Point, to: Point, dash: &[f64], walked: &mut f64) -> Vec<(Point, Point)> {
    let (x, y) = (to.0 - from.0, to.1 - from.1);
    let length = x.hypot(y);
    let period: f64 = dash.iter().sum();
    if period <= 0.0 || length <= 0.0 {
        return vec![(from, to)];
    }
    let at = |way: f64| {
        let part = way.clamp(0.0, length) / length;
        (from.0 + x * part, from.1 + y * part)
    };
    let mut parts = Vec::new();
    // Where the period began that the line begins in.
    let mut start = -(*walked % period);
    while start < length {
        let end = start + dash[0];
        if end > 0.0 {
            parts.push((at(start), at(end)));
        }
        start += period;
    }
    *walked += length;
    parts
}

impl Canvas for Raster {
    fn rule(&mut self, from: Point, to: Point) {
        self.line(from, to, GREY, THIN);
    }

    fn curve(&mut self, points: &[Point], stroke: Stroke) {
        let [red, green, blue] = stroke.colour;
        let colour = Rgb888::new(red, green, blue);
        let mut walked = 0.0;
        for pair in points.windows(2) {
            for (from, to) in dashes(pair[0], pair[1], stroke.dash, &mut walked) {
                self.line(from, to, colour, THICK);
            }
        }
    }

    fn text(&mut self, at: Point, anchor: Anchor, words: &str) {
        let alignment = match anchor {
            Anchor::Start => Alignment::Left,
            Anchor::Middle => Alignment::Center,
            Anchor::End => Alignment::Right,
        };
        let style = MonoTextStyle::new(&FONT_10X20, Rgb888::BLACK);
        let Ok(_) = Text::with_alignment(words, place(at), style, alignment).draw(self);
    }
}

impl OriginDimensions for Raster {
    fn size(&self) -> Size {
        self.size
    }
}

impl DrawTarget for Raster {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        for Pixel(at, colour) in pixels {
            let (Ok(x), Ok(y)) = (u32::try_from(at.x), u32::try_from(at.y)) else { continue };
            if x < self.size.width && y < self.size.height {
                let place = (y as usize * self.size.width as usize + x as usize) * 3;
                self.pixels[place..place + 3].copy_from_slice(&[colour.r(), colour.g(), colour.b()]);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_go_on_around_corners() {
        let mut walked = 0.0;
        let first = dashes((0.0, 0.0), (10.0, 0.0), &[6.0, 3.0], &mut walked);
        assert_eq!(first, [((0.0, 0.0), (6.0, 0.0)), ((9.0, 0.0), (10.0, 0.0))]);
        let second = dashes((10.0, 0.0), (10.0, 10.0), &[6.0, 3.0], &mut walked);
        assert_eq!(second, [((10.0, 0.0), (10.0, 5.0)), ((10.0, 8.0), (10.0, 10.0))]);
        assert_eq!(dashes((0.0, 0.0), (5.0, 0.0), &[], &mut walked), [((0.0, 0.0), (5.0, 0.0))]);
    }
}
