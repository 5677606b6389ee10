//! Decimal numbers as INCRBYFLOAT knows them: the 80-bit extended format of x86, in software.
//!
//! Redis computes INCRBYFLOAT in C's `long double`, and what clients see (10.50 + 0.1 = 10.6, 3.0 + 1.1 = 4.1) comes
//! from its 64-bit significand: with the 53 bits of a double the same sums print differently in the 17th decimal.
//! So the format is computed here bit by bit: reading, adding and printing round to nearest, ties to even, exactly
//! as `strtold`, `+` and `printf("%.17Lf")` do on x86. It costs under a microsecond for usual numbers.
//!
//! Two differences are left. Numbers below 3.4e-4932 keep their full precision here, which no reply can show, for
//! replies have 17 decimals. And hexadecimal numbers (`0x1p3`), which `strtold` reads, are refused.

use std::fmt;

/// Longest text that is read, as in Redis.
const MAX_TEXT: usize = 5 * 1024;

/// Largest exponent of two of the first bit of a finite number, and the smallest of any bit.
const MAX_EXPONENT: i64 = 16383;
const MIN_EXPONENT: i64 = -16445;

const TEN_TO_17: u128 = 100_000_000_000_000_000;
const TEN_TO_19: u64 = 10_000_000_000_000_000_000;

/// A number with a significand of 64 bits and the range of `long double`, or an infinity. Never a NaN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extended {
    negative: bool,
    size: Size,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    Zero,
    /// `significand * 2^exponent`; the highest bit of the significand is set.
    Finite {
        significand: u64,
        exponent: i64,
    },
    Infinite,
}

impl Extended {
    /// Nothing.
    pub const ZERO: Self = Self { negative: false, size: Size::Zero };

    /// Reads a decimal number with optional sign, point and exponent, or `inf` or `infinity` in any case. `None` for
    /// anything else (blanks, `nan`), and for numbers too large or too small for the format.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() >= MAX_TEXT {
            return None;
        }
        let (negative, rest) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] | rest => (false, rest),
        };
        if rest.eq_ignore_ascii_case(b"inf") || rest.eq_ignore_ascii_case(b"infinity") {
            return Some(Self { negative, size: Size::Infinite });
        }
        let (digits, power) = decimal(rest)?;
        Some(Self { negative, size: from_decimal(digits, power)? })
    }

    /// The sum, rounded. `None` if it is no finite number.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        match (self.size, other.size) {
            (Size::Infinite, _) | (_, Size::Infinite) => None,
            (Size::Zero, _) => Some(other),
            (_, Size::Zero) => Some(self),
            (
                Size::Finite { significand: a, exponent: ea },
                Size::Finite { significand: b, exponent: eb },
            ) => {
                if (eb, b) > (ea, a) {
                    return other.checked_add(self);
                }
                // 62 bits below the larger significand, the lowest of which stands for all that fell off.
                let larger = u128::from(a) << 62;
                let smaller = shift_right_sticky(u128::from(b) << 62, ea - eb);
                let sum = if self.negative == other.negative { larger + smaller } else { larger - smaller };
                let size = round(sum, ea - 62)?;
                Some(Self { negative: self.negative && size != Size::Zero, size })
            }
        }
    }
}

/// Prints 17 decimals and takes the zeros off the end, as INCRBYFLOAT replies. Never an exponent.
impl fmt::Display for Extended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.negative { "-" } else { "" };
        match self.size {
            Size::Infinite => write!(f, "{sign}inf"),
            Size::Zero => f.write_str("0"),
            Size::Finite { significand, exponent: exponent @ 0.. } => {
                f.write_str(sign)?;
                Natural::shifted(significand, exponent.unsigned_abs()).fmt(f)
            }
            Size::Finite { significand, exponent } => {
                let scaled = round_shift(u128::from(significand) * TEN_TO_17, exponent.unsigned_abs());
                let (whole, fraction) = (scaled / TEN_TO_17, scaled % TEN_TO_17);
                match (whole, fraction) {
                    (0, 0) => f.write_str("0"),
                    (whole, 0) => write!(f, "{sign}{whole}"),
                    (whole, fraction) => {
                        write!(f, "{sign}{whole}.{}", format!("{fraction:017}").trim_end_matches('0'))
                    }
                }
            }
        }
    }
}

/// Splits a decimal number into its digits as one natural number and the power of ten it is multiplied by.
fn decimal(text: &[u8]) -> Option<(Natural, i64)> {
    let mut digits = Natural::default();
    let (mut seen, mut decimals, mut after_point) = (false, 0, false);
    let mut rest = text;
    let mut chunk = Chunk::default();
    while let [byte, tail @ ..] = rest {
        match byte {
            b'0'..=b'9' => {
                seen = true;
                decimals += i64::from(after_point);
                chunk.push(byte - b'0', &mut digits);
            }
            b'.' if !after_point => after_point = true,
            _ => break,
        }
        rest = tail;
    }
    chunk.flush(&mut digits);
    let power = match rest {
        [] => 0,
        [b'e' | b'E', exponent @ ..] => decimal_exponent(exponent)?,
        _ => return None,
    };
    seen.then_some((digits, power - decimals))
}

/// An exponent with optional sign; beyond a million they are all alike.
fn decimal_exponent(text: &[u8]) -> Option<i64> {
    let (sign, digits) = match text {
        [b'-', digits @ ..] => (-1, digits),
        [b'+', digits @ ..] | digits => (1, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = (value * 10 + i64::from(digit - b'0')).min(1_000_000);
    }
    Some(sign * value)
}

/// Up to 19 digits at a time fit a word, which saves most of the work of the long multiplication.
#[derive(Default)]
struct Chunk {
    value: u64,
    scale: u64,
}

impl Chunk {
    fn push(&mut self, digit: u8, into: &mut Natural) {
        if self.scale == TEN_TO_19 {
            self.flush(into);
        }
        self.scale = self.scale.max(1) * 10;
        self.value = self.value * 10 + u64::from(digit);
    }

    fn flush(&mut self, into: &mut Natural) {
        if self.scale > 0 {
            into.multiply_add(self.scale, self.value);
        }
        *self = Self::default();
    }
}

/// `digits * 10^power`, rounded; `None` if out of range.
fn from_decimal(mut digits: Natural, power: i64) -> Option<Size> {
    if digits.bits() == 0 {
        return Some(Size::Zero);
    }
    // The decimal order of the number within a few places: far outside of the range the exact work is spared.
    let order = (digits.bits() as i64) * 30103 / 100_000 + power;
    if !(-5000..=5000).contains(&order) {
        return None;
    }
    let mut steps = power.unsigned_abs();
    let mut next_factor = || {
        let step = steps.min(19) as u32;
        steps -= u64::from(step);
        (step > 0).then(|| 10_u64.pow(step))
    };
    if power >= 0 {
        while let Some(factor) = next_factor() {
            digits.multiply_add(factor, 0);
        }
        return round_natural(digits, 0, false);
    }
    // Enough bits that the quotient has all it needs; dividing step by step gives the same quotient as at once, and
    // a remainder in any step means a remainder in all.
    let needed = 130 + power.unsigned_abs() * 33220 / 10_000;
    let shift = needed.saturating_sub(digits.bits());
    digits.shift_left(shift);
    let mut inexact = false;
    while let Some(factor) = next_factor() {
        inexact |= digits.divide(factor) != 0;
    }
    round_natural(digits, -(shift as i64), inexact)
}

/// Rounds `number * 2^exponent`; `inexact` says that the number stands for a little more than itself.
fn round_natural(mut number: Natural, exponent: i64, inexact: bool) -> Option<Size> {
    // With the highest bit of its highest word set, two words are 62 bits more than the significand.
    let shift = (64 - number.bits() % 64) % 64;
    number.shift_left(shift);
    round(number.top(inexact), exponent - shift as i64 + number.top_exponent())
}

/// Rounds `value * 2^exponent` to a significand of 64 bits. The lowest bit may stand for more below it.
fn round(value: u128, exponent: i64) -> Option<Size> {
    if value == 0 {
        return Some(Size::Zero);
    }
    let excess = 64 - i64::from(value.leading_zeros());
    let (mut significand, mut exponent) = if excess <= 0 {
        (value << excess.unsigned_abs(), exponent + excess)
    } else {
        (round_shift(value, excess.unsigned_abs()), exponent + excess)
    };
    if significand >> 64 != 0 {
        significand >>= 1;
        exponent += 1;
    }
    if exponent + 63 > MAX_EXPONENT || exponent + 63 < MIN_EXPONENT {
        return None;
    }
    Some(Size::Finite { significand: significand as u64, exponent })
}

/// `value / 2^bits` to the nearest, ties to even.
fn round_shift(value: u128, bits: u64) -> u128 {
    match bits {
        0 => value,
        1..=127 => {
            let (quotient, rest, half) = (value >> bits, value & ((1 << bits) - 1), 1_u128 << (bits - 1));
            let up = rest > half || (rest == half && quotient & 1 == 1);
            quotient + u128::from(up)
        }
        128 => u128::from(value > 1 << 127),
        _ => 0,
    }
}

/// Shifts right and keeps in the lowest bit whether any bit fell off.
fn shift_right_sticky(value: u128, bits: i64) -> u128 {
    match bits {
        0 => value,
        1..=127 => value >> bits | u128::from(value & ((1 << bits) - 1) != 0),
        _ => u128::from(value != 0),
    }
}

/// A natural number of any size, the lowest word first, without zero words at the top.
#[derive(Debug, Default)]
struct Natural(Vec<u64>);

impl Natural {
    fn shifted(value: u64, bits: u64) -> Self {
        let mut natural = Self(vec![value]);
        natural.shift_left(bits);
        natural
    }

    fn bits(&self) -> u64 {
        self.0.last().map_or(0, |top| self.0.len() as u64 * 64 - u64::from(top.leading_zeros()))
    }

    fn multiply_add(&mut self, factor: u64, add: u64) {
        let mut carry = u128::from(add);
        for word in &mut self.0 {
            carry += u128::from(*word) * u128::from(factor);
            *word = carry as u64;
            carry >>= 64;
        }
        if carry > 0 {
            self.0.push(carry as u64);
        }
    }

    /// Divides by `divisor`, which is not zero, and returns the remainder.
    fn divide(&mut self, divisor: u64) -> u64 {
        let mut rest = 0_u128;
        for word in self.0.iter_mut().rev() {
            let value = rest << 64 | u128::from(*word);
            *word = (value / u128::from(divisor)) as u64;
            rest = value % u128::from(divisor);
        }
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
        rest as u64
    }

    fn shift_left(&mut self, bits: u64) {
        self.multiply_add(1 << (bits % 64), 0);
        self.0.splice(..0, std::iter::repeat_n(0, (bits / 64) as usize));
    }

    /// The highest two words; the lowest bit is set if `inexact` or if any bit below them is.
    fn top(&self, inexact: bool) -> u128 {
        let (low, top) = self.0.split_at(self.0.len().saturating_sub(2));
        let value = top.iter().rev().fold(0, |value, word| value << 64 | u128::from(*word));
        value | u128::from(inexact || low.iter().any(|word| *word != 0))
    }

    /// The power of two of the lowest bit of [`top`](Self::top).
    fn top_exponent(&self) -> i64 {
        self.0.len().saturating_sub(2) as i64 * 64
    }
}

impl fmt::Display for Natural {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = Self(self.0.clone());
        let mut groups = Vec::new();
        while rest.bits() > 0 {
            groups.push(rest.divide(TEN_TO_19));
        }
        write!(f, "{}", groups.pop().unwrap_or(0))?;
        groups.iter().rev().try_for_each(|group| write!(f, "{group:019}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(a: &str, b: &str) -> Option<String> {
        Some(Extended::parse(a.as_bytes())?.checked_add(Extended::parse(b.as_bytes())?)?.to_string())
    }

    /// What redis-server 7.0.15 on x86-64 answered to `SET k A` and `INCRBYFLOAT k B`, a line each: A, B, answer.
    #[test]
    fn sums_are_those_of_redis() {
        let recorded = include_str!("../../tests/data/incrbyfloat.txt");
        let mut lines = 0;
        for line in recorded.lines().filter(|line| !line.starts_with('#')) {
            let mut fields = line.split(' ');
            let (a, b, answer) = (fields.next(), fields.next(), fields.next());
            let (Some(a), Some(b)) = (a, b) else { panic!("a line of the recording has too few fields") };
            assert_eq!(sum(a, b).as_deref(), answer.filter(|answer| *answer != "error"), "{a} + {b}");
            lines += 1;
        }
        assert!(lines > 1000, "the recording is there");
    }

    #[test]
    fn usual_sums_look_as_one_expects() {
        for (a, b, expect) in [
            ("10.50", "0.1", "10.6"),
            ("5.0e3", "2.0e2", "5200"),
            ("3.0", "1.1", "4.1"),
            ("0.1", "0.2", "0.3"),
            ("1", "-1", "0"),
            ("-0", "-0", "0"),
            (".5", "5.", "5.5"),
            ("+1", "1E+2", "101"),
        ] {
            assert_eq!(sum(a, b).as_deref(), Some(expect), "{a} + {b}");
        }
    }

    #[test]
    fn only_numbers_are_numbers() {
        for text in [
            "", " ", "1 ", " 1", "1x", "e5", ".", "-", "1e", "1e+", "1.2.3", "nan", "0x10", "1e5000",
            "1e-5000",
        ] {
            assert_eq!(Extended::parse(text.as_bytes()), None, "{text:?}");
        }
        assert!(Extended::parse(&[b'1'; MAX_TEXT]).is_none());
        let huge = [&b"1e"[..], &[b'9'; 100]].concat();
        assert!(Extended::parse(&huge).is_none());
        assert_eq!(Extended::parse(b"0e99999999999").map(|zero| zero.to_string()).as_deref(), Some("0"));
    }

    #[test]
    fn infinity_is_read_but_not_added() {
        let infinity = Extended::parse(b"-INF").expect("a number");
        assert_eq!(infinity.to_string(), "-inf");
        assert_eq!(Extended::parse(b"1").and_then(|one| one.checked_add(infinity)), None);
        assert_eq!(sum("1.1e4932", "1.1e4932"), None);
    }

    proptest! {
        #[test]
        fn integers_add_up_exactly(a in -(1_i64 << 62)..1 << 62, b in -(1_i64 << 62)..1 << 62) {
            prop_assert_eq!(sum(&a.to_string(), &b.to_string()), Some((a + b).to_string()));
        }

        #[test]
        fn sums_are_as_near_as_those_of_doubles(a in -1e9..1e9_f64, b in -1e9..1e9_f64) {
            let text = sum(&format!("{a}"), &format!("{b}")).expect("a sum");
            let value: f64 = text.parse().expect("a number");
            prop_assert!((value - (a + b)).abs() <= 1e-6, "{} + {} = {}", a, b, text);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[-+]?[0-9]{0,400}[.]?[0-9]{0,40}(e[-+]?[0-9]{1,5})?") {
            if let Some(value) = Extended::parse(text.as_bytes()) {
                let printed = value.to_string();
                prop_assert!(Extended::parse(printed.as_bytes()).is_some(), "{}", printed);
            }
        }
    }
}
