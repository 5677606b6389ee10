//! Ranks from a Zipf distribution, drawn by rejection-inversion (Hörmann and Derflinger, 1996): exact, with constant
//! memory and about one try a draw.

use super::random::Random;

/// A distribution to draw ranks from.
pub(super) struct Zipf {
    keys: f64,
    theta: f64,
    first: f64,
    last: f64,
    shortcut: f64,
}

impl Zipf {
    pub(super) fn new(keys: u64, theta: f64) -> Self {
        let mut zipf = Zipf { keys: keys as f64, theta, first: 0.0, last: 0.0, shortcut: 0.0 };
        zipf.first = zipf.integral(1.5) - 1.0;
        zipf.last = zipf.integral(zipf.keys + 0.5);
        zipf.shortcut = 2.0 - zipf.inverse(zipf.integral(2.5) - zipf.height(2.0));
        zipf
    }

    /// A rank from 0.
    pub(super) fn draw(&self, random: &mut Random) -> u64 {
        loop {
            let area = self.last + random.unit() * (self.first - self.last);
            let x = self.inverse(area);
            let rank = x.round().clamp(1.0, self.keys);
            if rank - x <= self.shortcut || area >= self.integral(rank + 0.5) - self.height(rank) {
                return rank as u64 - 1;
            }
        }
    }

    fn height(&self, x: f64) -> f64 {
        (-self.theta * x.ln()).exp()
    }

    /// The integral of `height`, written so that it is continuous where theta is 1.
    fn integral(&self, x: f64) -> f64 {
        let log = x.ln();
        let scaled = (1.0 - self.theta) * log;
        log * if scaled.abs() > 1e-8 { scaled.exp_m1() / scaled } else { 1.0 + scaled / 2.0 }
    }

    fn inverse(&self, area: f64) -> f64 {
        let scaled = (area * (1.0 - self.theta)).max(-1.0);
        (area * if scaled.abs() > 1e-8 { scaled.ln_1p() / scaled } else { 1.0 - scaled / 2.0 }).exp()
    }
}
