//! Keys and the orders they are asked in.
//!
//! Decision: the generators are those of the simulator, so the law they follow is tested in one place. All orders
//! over as many keys draw from the same keys: those of a `loop` with the same seed.

use std::collections::HashMap;

use terrace_sim::Generator;

use crate::suite::Failure;

/// How keys are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Law {
    /// Each as often as any other.
    Uniform,
    /// The key of rank r in proportion to r^-0.99.
    Zipf,
    /// One and the same key, always.
    OneKey,
}

impl Law {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Zipf => "zipf",
            Self::OneKey => "one-key",
        }
    }
}

fn generate(formula: &str) -> Result<Vec<u64>, Failure> {
    Ok(formula.parse::<Generator>()?.records().map(|record| record.key).collect())
}

/// So many different keys, scattered over all of `u64`.
pub(crate) fn all(keys: usize) -> Result<Vec<u64>, Failure> {
    generate(&format!("loop:keys={keys},requests={keys}"))
}

/// So many draws from [`all`] of so many keys.
pub(crate) fn order(law: Law, keys: usize, draws: usize) -> Result<Vec<u64>, Failure> {
    let theta = match law {
        Law::Uniform => 0.0,
        Law::Zipf => 0.99,
        Law::OneKey => return Ok(all(keys)?.into_iter().take(1).cycle().take(draws).collect()),
    };
    generate(&format!("zipf:keys={keys},theta={theta},requests={draws}"))
}

/// So many keys that nobody has seen; another `batch` has others.
pub(crate) fn fresh(batch: usize, keys: usize) -> Result<Vec<u64>, Failure> {
    generate(&format!("scan:requests={keys},seed={}", batch + 2))
}

/// Names for keys, of 32 bytes: `user:`, 16 hexadecimal digits, and `:profile:v1`.
pub(crate) struct Names(HashMap<u64, String>);

impl Names {
    pub(crate) fn of(keys: &[u64]) -> Self {
        Self(keys.iter().map(|key| (*key, format!("user:{key:016x}:profile:v1"))).collect())
    }

    /// The names of these keys, in their order; keys that have none are left out.
    pub(crate) fn in_order(&self, keys: &[u64]) -> Vec<&str> {
        keys.iter().filter_map(|key| self.0.get(key)).map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn orders_draw_from_all_the_keys_and_from_no_other() {
        let keys: HashSet<u64> = all(1000).unwrap().into_iter().collect();
        assert_eq!(keys.len(), 1000);
        for law in [Law::Uniform, Law::Zipf, Law::OneKey] {
            assert!(order(law, 1000, 20_000).unwrap().iter().all(|key| keys.contains(key)), "{law:?}");
        }
    }

    #[test]
    fn the_first_tenth_of_zipf_gets_most_draws_and_of_uniform_a_tenth() {
        let (keys, draws) = (1000, 100_000);
        let popular: HashSet<u64> = all(keys).unwrap().into_iter().take(keys / 10).collect();
        let share = |law| {
            let drawn = order(law, keys, draws).unwrap();
            drawn.iter().filter(|key| popular.contains(key)).count() as f64 / draws as f64
        };
        let weight = |ranks: usize| (1..=ranks).map(|rank| (rank as f64).powf(-0.99)).sum::<f64>();
        let expected = weight(keys / 10) / weight(keys);
        assert!((share(Law::Zipf) - expected).abs() < 0.01, "{} {expected}", share(Law::Zipf));
        assert!((share(Law::Uniform) - 0.1).abs() < 0.01, "{}", share(Law::Uniform));
    }

    #[test]
    fn fresh_keys_are_new_in_every_batch() {
        let mut seen: HashSet<u64> = all(1000).unwrap().into_iter().collect();
        for batch in 0..3 {
            seen.extend(fresh(batch, 1000).unwrap());
        }
        assert_eq!(seen.len(), 4000);
    }

    #[test]
    fn names_follow_their_keys() {
        let names = Names::of(&[1, 2]);
        assert_eq!(
            names.in_order(&[2, 1, 3, 2]),
            [
                "user:0000000000000002:profile:v1",
                "user:0000000000000001:profile:v1",
                "user:0000000000000002:profile:v1"
            ]
        );
    }
}
