//! Traces from formulas, so that everything here also runs without a file.
//!
//! Decision: a generator is a short text, `zipf:keys=100000,theta=0.99,requests=1000000,seed=1`, which is also
//! the trace's name in reports: whoever reads a figure can repeat it. Keys are scrambled, because neighbours in
//! popularity are not neighbours in value.

mod random;
mod zipf;

use std::fmt;
use std::str::FromStr;

use random::Random;
pub(crate) use random::mix;
use zipf::Zipf;

use crate::trace::Record;

/// The most requests a generator makes: a trace is held in memory, 16 bytes each.
const MOST_REQUESTS: u64 = crate::source::MOST_REQUESTS as u64;

/// A formula for a trace. Parse one with [`str::parse`]; see the crate's documentation for the formulas.
#[derive(Clone, Debug, PartialEq)]
pub struct Generator {
    shape: Shape,
    requests: u64,
    seed: u64,
    size: u32,
}

#[derive(Clone, Debug, PartialEq)]
enum Shape {
    Zipf { keys: u64, theta: f64 },
    Scan,
    Loop { keys: u64 },
    Shift { keys: u64, hot: u64, share: f64, period: u64 },
    Drift { keys: u64, hot: u64, share: f64, period: u64 },
}

/// Why a formula was not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeneratorError(String);

impl fmt::Display for GeneratorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for GeneratorError {}

/// The parameters of a formula that nobody has asked for yet.
struct Parameters<'a> {
    formula: &'a str,
    pairs: Vec<(&'a str, &'a str)>,
}

impl<'a> Parameters<'a> {
    fn parse(formula: &'a str, text: &'a str) -> Result<Self, GeneratorError> {
        let pair = |part: &'a str| {
            part.split_once('=')
                .ok_or_else(|| GeneratorError(format!("`{formula}`: `{part}` is not name=value")))
        };
        let pairs = text.split(',').filter(|part| !part.is_empty()).map(pair).collect::<Result<_, _>>()?;
        Ok(Parameters { formula, pairs })
    }

    fn take<T: FromStr>(&mut self, name: &str, default: T) -> Result<T, GeneratorError> {
        let Some(place) = self.pairs.iter().position(|(other, _)| *other == name) else { return Ok(default) };
        let (_, value) = self.pairs.remove(place);
        value.parse().map_err(|_| self.error(format!("`{value}` is no value for `{name}`")))
    }

    fn error(&self, what: impl fmt::Display) -> GeneratorError {
        GeneratorError(format!("`{}`: {what}", self.formula))
    }

    fn finish(self) -> Result<(), GeneratorError> {
        match self.pairs.first() {
            Some((name, _)) => Err(self.error(format!("no parameter `{name}`, or given twice"))),
            None => Ok(()),
        }
    }
}

impl FromStr for Generator {
    type Err = GeneratorError;

    fn from_str(formula: &str) -> Result<Self, GeneratorError> {
        let (name, rest) = formula.split_once(':').unwrap_or((formula, ""));
        let mut given = Parameters::parse(formula, rest)?;
        let shape = match name {
            "zipf" => Shape::Zipf { keys: given.take("keys", 100_000)?, theta: given.take("theta", 0.99)? },
            "scan" => Shape::Scan,
            "loop" => Shape::Loop { keys: given.take("keys", 100_000)? },
            "shift" => Shape::Shift {
                keys: given.take("keys", 100_000)?,
                hot: given.take("hot", 1_000)?,
                share: given.take("share", 0.9)?,
                period: given.take("period", 50_000)?,
            },
            "drift" => Shape::Drift {
                keys: given.take("keys", 100_000)?,
                hot: given.take("hot", 1_000)?,
                share: given.take("share", 0.9)?,
                period: given.take("period", 50)?,
            },
            _ => return Err(given.error("no such generator; there are zipf, scan, loop, shift and drift")),
        };
        let generator = Generator {
            shape,
            requests: given.take("requests", 1_000_000)?,
            seed: given.take("seed", 1)?,
            size: given.take("size", 1)?,
        };
        generator.validate().map_err(|what| given.error(what))?;
        given.finish()?;
        Ok(generator)
    }
}

impl Generator {
    /// Whether a text names a generator, however wrong its parameters.
    pub fn is_named_by(text: &str) -> bool {
        matches!(
            text.split_once(':').map_or(text, |(name, _)| name),
            "zipf" | "scan" | "loop" | "shift" | "drift"
        )
    }

    fn validate(&self) -> Result<(), &'static str> {
        let keys_are_wrong = match self.shape {
            Shape::Zipf { keys, .. } | Shape::Loop { keys } => keys == 0,
            Shape::Shift { keys, hot, period, .. } | Shape::Drift { keys, hot, period, .. } => {
                hot == 0 || hot > keys || period == 0
            }
            Shape::Scan => false,
        };
        if keys_are_wrong {
            return Err("there must be at least one key, no more hot keys than keys, and a period");
        }
        match self.shape {
            Shape::Zipf { theta, .. } if !(0.0..=10.0).contains(&theta) => Err("theta goes from 0 to 10"),
            Shape::Shift { share, .. } | Shape::Drift { share, .. } if !(0.0..=1.0).contains(&share) => {
                Err("share goes from 0 to 1")
            }
            _ if self.requests > MOST_REQUESTS => Err("at most 4294967295 requests"),
            _ if self.size == 0 || self.size > u32::MAX / 2 => Err("size goes from 1 to 2147483647"),
            _ => Ok(()),
        }
    }

    /// How many requests it makes.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// The requests, always the same for the same formula.
    pub fn records(&self) -> impl Iterator<Item = Record> + use<> {
        let mut random = Random(self.seed);
        let (shape, seed, size) = (self.shape.clone(), self.seed, self.size);
        let zipf = match shape {
            Shape::Zipf { keys, theta } => Some(Zipf::new(keys, theta)),
            _ => None,
        };
        (0..self.requests).map(move |turn| {
            let rank = match (&shape, &zipf) {
                (Shape::Loop { keys }, _) => turn % keys,
                (Shape::Shift { keys, hot, share, period }, _) => {
                    if random.unit() < *share {
                        // The hot sets lie one after another around the circle of keys.
                        ((turn / period).wrapping_mul(*hot).wrapping_add(random.below(*hot))) % keys
                    } else {
                        random.below(*keys)
                    }
                }
                (Shape::Drift { keys, hot, share, period }, _) => {
                    if random.unit() < *share {
                        // One key joins the hot set and the oldest leaves it.
                        ((turn / period).wrapping_add(random.below(*hot))) % keys
                    } else {
                        random.below(*keys)
                    }
                }
                (_, Some(zipf)) => zipf.draw(&mut random),
                (_, None) => turn,
            };
            let key = mix(rank ^ mix(seed));
            Record { key, size: size_of_key(key, size), time: 0 }
        })
    }
}

/// A key's own size: between 1 and twice the mean, less one.
fn size_of_key(key: u64, mean: u32) -> u32 {
    let span = u64::from(mean) * 2 - 1;
    (mix(key ^ 0x5157) % span + 1) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{HashMap, HashSet};

    fn keys(formula: &str) -> Vec<u64> {
        formula.parse::<Generator>().unwrap().records().map(|record| record.key).collect()
    }

    fn unique(keys: &[u64]) -> usize {
        keys.iter().collect::<HashSet<_>>().len()
    }

    #[test]
    fn the_same_formula_makes_the_same_trace_and_another_seed_another() {
        let formula = "zipf:keys=100,theta=0.8,requests=500,seed=";
        assert_eq!(keys(&format!("{formula}1")), keys(&format!("{formula}1")));
        assert_ne!(keys(&format!("{formula}1")), keys(&format!("{formula}2")));
    }

    #[test]
    fn zipf_draws_each_rank_as_often_as_its_law_says() {
        for theta in [0.0, 0.5, 0.99, 1.0, 1.5] {
            let requests = 200_000;
            let formula = format!("zipf:keys=1000,theta={theta},requests={requests}");
            let mut counts = HashMap::new();
            for key in keys(&formula) {
                *counts.entry(key).or_insert(0u32) += 1;
            }
            let total: f64 = (1..=1000).map(|rank| f64::from(rank).powf(-theta)).sum();
            for rank in [1u32, 2, 3, 10, 100] {
                let key = mix(u64::from(rank - 1) ^ mix(1));
                let expect = f64::from(requests) * f64::from(rank).powf(-theta) / total;
                let found = f64::from(counts.get(&key).copied().unwrap_or(0));
                // Six standard deviations.
                assert!(
                    (found - expect).abs() < 6.0 * expect.sqrt() + 1.0,
                    "{theta} {rank}: {found} {expect}"
                );
            }
        }
    }

    #[test]
    fn scans_repeat_nothing_and_loops_repeat_in_order() {
        let scan = keys("scan:requests=1000");
        assert_eq!((scan.len(), unique(&scan)), (1000, 1000));
        let looped = keys("loop:keys=10,requests=35");
        assert_eq!(unique(&looped), 10);
        assert!((0..25).all(|turn| looped[turn] == looped[turn + 10]));
    }

    #[test]
    fn the_hot_set_shifts() {
        let keys = keys("shift:keys=1000,hot=10,share=1,period=100,requests=300");
        let sets: Vec<HashSet<&u64>> = keys.chunks(100).map(|part| part.iter().collect()).collect();
        assert!(sets.iter().all(|set| set.len() <= 10));
        assert!(sets[0].is_disjoint(&sets[1]) && sets[1].is_disjoint(&sets[2]));
    }

    #[test]
    fn the_hot_set_drifts() {
        let keys = keys("drift:keys=1000,hot=10,share=1,period=100,requests=1000");
        let sets: Vec<HashSet<u64>> = keys.chunks(100).map(|part| part.iter().copied().collect()).collect();
        assert!(sets.windows(2).all(|pair| pair[1].difference(&pair[0]).count() <= 1));
        assert!(sets[0].len() > 8 && sets[0].intersection(&sets[9]).count() <= 1);
    }

    #[test]
    fn sizes_belong_to_keys_and_have_the_mean_asked_for() {
        let generator: Generator = "zipf:keys=5000,theta=0,requests=50000,size=100".parse().unwrap();
        let mut sizes = HashMap::new();
        for record in generator.records() {
            assert_eq!(*sizes.entry(record.key).or_insert(record.size), record.size);
        }
        let mean = sizes.values().map(|size| f64::from(*size)).sum::<f64>() / sizes.len() as f64;
        assert!((95.0..105.0).contains(&mean), "{mean}");
        assert!(sizes.values().all(|size| (1..200).contains(size)));
    }

    #[test]
    fn wrong_formulas_are_refused_with_a_reason() {
        for (formula, reason) in [
            ("zipf:keys=0", "at least one key"),
            ("zipf:keys", "not name=value"),
            ("zipf:keys=many", "no value for `keys`"),
            ("zipf:theta=-1", "theta"),
            ("zipf:theta=NaN", "theta"),
            ("zipf:color=red", "no parameter `color`"),
            ("zipf:keys=5,keys=6", "given twice"),
            ("shift:keys=5,hot=6", "no more hot keys"),
            ("shift:share=2", "share"),
            ("scan:requests=99999999999", "at most"),
            ("scan:size=0", "size"),
            ("walk:keys=5", "no such generator"),
        ] {
            let error = formula.parse::<Generator>().unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains(formula), "{error}");
        }
    }
}
