//! Sizes and lifetimes as people write them: `64.mib()`, `"10m"`.

use std::time::Duration;

use terrace_store::{Error, ErrorKind, Result};

/// Sizes in bytes: `64.mib()`.
pub trait Size {
    /// Times 1024.
    fn kib(self) -> u64;
    /// Times 1024 KiB.
    fn mib(self) -> u64;
    /// Times 1024 MiB.
    fn gib(self) -> u64;
}

impl Size for u64 {
    fn kib(self) -> u64 {
        self.saturating_mul(1 << 10)
    }
    fn mib(self) -> u64 {
        self.saturating_mul(1 << 20)
    }
    fn gib(self) -> u64 {
        self.saturating_mul(1 << 30)
    }
}

/// A span of time: a `Duration`, or text such as `"10m"`, `"1h30m"`, `"250ms"`.
pub trait Span {
    /// The span.
    ///
    /// # Errors
    /// `Config` if the text is none.
    fn span(self) -> Result<Duration>;
}

impl Span for Duration {
    fn span(self) -> Result<Duration> {
        Ok(self)
    }
}

impl Span for &str {
    fn span(self) -> Result<Duration> {
        parse_span(self)
    }
}

impl Span for &String {
    fn span(self) -> Result<Duration> {
        parse_span(self)
    }
}

/// Reads a span of time: numbers with the units `ms`, `s`, `m`, `h`, `d`, one after another.
///
/// # Errors
/// `Config` if the text is no such span.
pub fn parse_span(text: &str) -> Result<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(no_span(text));
    }
    while !rest.is_empty() {
        let (number, after) = leading_number(rest).ok_or_else(|| no_span(text))?;
        let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at(end);
        let ms = match unit.trim() {
            "ms" => 1,
            "s" => 1000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(no_span(text)),
        };
        let part = number.checked_mul(ms).map(Duration::from_millis).ok_or_else(|| no_span(text))?;
        total = total.checked_add(part).ok_or_else(|| no_span(text))?;
        rest = next;
    }
    Ok(total)
}

fn leading_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest))
}

fn no_span(text: &str) -> Error {
    Error::new(ErrorKind::Config, "duration")
        .with("given", format!("{text:?}"))
        .because("a span of time is a number with a unit, such as 250ms, 10s, 5m, 1h30m or 7d")
}

/// Reads a size in bytes: a number, alone or with the unit `k`, `m`, `g` or `t` (times 1024 each; `kb`, `kib` and
/// so on mean the same).
///
/// # Errors
/// `Config` if the text is no such size.
pub fn parse_size(text: &str) -> Result<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let parsed = leading_number(&lower).and_then(|(number, unit)| {
        let factor = match unit.trim() {
            "" | "b" => 1,
            "k" | "kb" | "kib" => 1u64 << 10,
            "m" | "mb" | "mib" => 1 << 20,
            "g" | "gb" | "gib" => 1 << 30,
            "t" | "tb" | "tib" => 1 << 40,
            _ => return None,
        };
        number.checked_mul(factor)
    });
    parsed.ok_or_else(|| {
        Error::new(ErrorKind::Config, "size")
            .with("given", format!("{text:?}"))
            .because("a size is a number of bytes, or one with a unit, such as 512k, 64mib or 10g")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_people_write_them() {
        let ms = |text| parse_span(text).unwrap().as_millis();
        assert_eq!(
            [ms("250ms"), ms("10s"), ms("10m"), ms("1h30m"), ms("2d"), ms("0s")],
            [250, 10_000, 600_000, 5_400_000, 172_800_000, 0]
        );
        for bad in ["", "10", "m", "-1s", "1.5h", "10 fortnights", "99999999999999999999s"] {
            assert!(parse_span(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn sizes_read_as_people_write_them() {
        let size = |text| parse_size(text).unwrap();
        assert_eq!([size("0"), size("512k"), size("64MiB"), size("10g")], [0, 512 << 10, 64 << 20, 10 << 30]);
        for bad in ["", "x", "1.5g", "10q", "99999999t9"] {
            assert!(parse_size(bad).is_err(), "{bad:?}");
        }
        assert_eq!(64.mib(), 64 << 20);
    }
}
