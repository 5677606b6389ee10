//! What a drawing is made on.

/// Width and height.
pub(super) const SIZE: (f64, f64) = (860.0, 480.0);
/// Colours that can be told apart, also by most people who see fewer of them (Okabe and Ito).
pub(super) const COLOURS: [[u8; 3]; 8] = [
    [0x00, 0x00, 0x00],
    [0xe6, 0x9f, 0x00],
    [0x56, 0xb4, 0xe9],
    [0x00, 0x9e, 0x73],
    [0xcc, 0x79, 0xa7],
    [0x00, 0x72, 0xb2],
    [0xd5, 0x5e, 0x00],
    [0xa3, 0x98, 0x00],
];
/// Lengths drawn and left out in turn; where it is empty all is drawn. For curves that share a colour.
pub(super) const DASHES: [&[f64]; 3] = [&[], &[6.0, 3.0], &[2.0, 2.0]];

/// From left to right, and from above to below.
pub(super) type Point = (f64, f64);

/// What a curve looks like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stroke {
    pub(super) colour: [u8; 3],
    pub(super) dash: &'static [f64],
}

impl Stroke {
    /// That of the curve with this number.
    pub(super) fn of(place: usize) -> Self {
        Stroke { colour: COLOURS[place % COLOURS.len()], dash: DASHES[place / COLOURS.len() % DASHES.len()] }
    }
}

/// Where the point of a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// Something to draw on.
pub(super) trait Canvas {
    /// A thin grey line.
    fn rule(&mut self, from: Point, to: Point);
    /// A line through all points.
    fn curve(&mut self, points: &[Point], stroke: Stroke);
    /// One line of text that stands on this point.
    fn text(&mut self, at: Point, anchor: Anchor, words: &str);
}
