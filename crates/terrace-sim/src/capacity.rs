//! How large the cache is, as one writes it: `1000`, or `0.3%` of what the trace asks for.
//!
//! Decision: percentages are exact decimals, not floating point, because "rounded down" must mean the same
//! number of entries everywhere.

use std::fmt;
use std::str::FromStr;

use crate::replay::Unit;
use crate::source::Trace;

/// Digits a percentage may have after its point.
const MOST_DECIMALS: u32 = 9;

/// A capacity, absolute or relative to a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capacity {
    /// So many entries or bytes.
    Fixed(u64),
    /// A percentage, `digits` divided by ten to the power of `decimals`.
    Percent {
        /// The percentage without its point.
        digits: u64,
        /// How many of the digits stand behind the point.
        decimals: u32,
    },
}

impl Capacity {
    /// The capacity for a trace, rounded down: a percentage is of its unique keys, or of their bytes if bytes
    /// are counted.
    pub fn resolve(self, trace: &Trace, unit: Unit) -> u64 {
        match self {
            Capacity::Fixed(capacity) => capacity,
            Capacity::Percent { digits, decimals } => {
                let whole = match unit {
                    Unit::Objects => trace.unique_keys(),
                    Unit::Bytes => trace.unique_bytes(),
                };
                let parts = 10u128.pow(decimals.min(MOST_DECIMALS)) * 100;
                u64::try_from(u128::from(whole) * u128::from(digits) / parts).unwrap_or(u64::MAX)
            }
        }
    }
}

/// Why a text is no capacity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapacityError(String);

impl fmt::Display for CapacityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no capacity: write a number, or a percentage like 0.3%", self.0)
    }
}

impl std::error::Error for CapacityError {}

impl FromStr for Capacity {
    type Err = CapacityError;

    fn from_str(text: &str) -> Result<Self, CapacityError> {
        parse(text.trim()).ok_or_else(|| CapacityError(text.to_string()))
    }
}

fn parse(text: &str) -> Option<Capacity> {
    let digits = |text: &str| {
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if plain { text.parse::<u64>().ok() } else { None }
    };
    let Some(percent) = text.strip_suffix('%') else { return digits(text).map(Capacity::Fixed) };
    let (whole, fraction) = percent.split_once('.').unwrap_or((percent, ""));
    let decimals = u32::try_from(fraction.len()).ok().filter(|decimals| *decimals <= MOST_DECIMALS)?;
    let digits = digits(&format!("{whole}{fraction}"))?;
    Some(Capacity::Percent { digits, decimals })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(keys: u64, text: &str) -> u64 {
        let trace = Trace::open(&format!("scan:requests={keys},size=10")).unwrap();
        text.parse::<Capacity>().unwrap().resolve(&trace, Unit::Objects)
    }

    #[test]
    fn percentages_are_exact_and_rounded_down() {
        assert_eq!(of(186_880, "0.1%"), 186);
        assert_eq!(of(186_880, "0.3%"), 560);
        assert_eq!(of(1000, "0.3%"), 3);
        assert_eq!(of(1000, "29%"), 290);
        assert_eq!(of(1000, ".5%"), 5);
        assert_eq!(of(1000, "100%"), 1000);
        assert_eq!(of(10, "9.999999999%"), 0);
        assert_eq!(of(10, "512"), 512);
    }

    #[test]
    fn percentages_of_bytes_are_of_the_bytes() {
        let trace = Trace::open("scan:requests=1000,size=10").unwrap();
        let capacity: Capacity = "50%".parse().unwrap();
        assert_eq!(capacity.resolve(&trace, Unit::Bytes), trace.unique_bytes() / 2);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "%",
            ".%",
            "-5",
            "+5",
            "1e3",
            "5 %",
            "1.5",
            "1..5%",
            "0.0000000001%",
            "5k",
            "99999999999999999999",
        ] {
            let error = text.parse::<Capacity>().unwrap_err().to_string();
            assert!(error.contains("is no capacity"), "{error}");
        }
    }
}
