//! Sizes and spans of time as a configuration writes them.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

use crate::units::{parse_size, parse_span};

/// `"250ms"`, `"10s"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span(pub(super) Duration);

/// The same, or `"none"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MaybeSpan(pub(super) Option<Duration>);

/// `"64mib"`, or a number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size(pub(super) u64);

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        span.0
    }
}

impl From<MaybeSpan> for Option<Duration> {
    fn from(span: MaybeSpan) -> Self {
        span.0
    }
}

impl From<Size> for Option<u64> {
    fn from(size: Size) -> Self {
        Some(size.0)
    }
}

impl From<Size> for usize {
    fn from(size: Size) -> Self {
        usize::try_from(size.0).unwrap_or(usize::MAX)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_span(&text).map(Span).map_err(|error| D::Error::custom(format!("`{text}`: {}", error.reason())))
    }
}

impl<'de> Deserialize<'de> for MaybeSpan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "none" {
            return Ok(MaybeSpan(None));
        }
        let error = |why: &str| D::Error::custom(format!("`{text}`: {why}, or none"));
        parse_span(&text).map(|span| MaybeSpan(Some(span))).map_err(|refused| error(refused.reason()))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Sizes;
        impl Visitor<'_> for Sizes {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as \"64mib\"")
            }

            fn visit_u64<E: Error>(self, bytes: u64) -> Result<Size, E> {
                Ok(Size(bytes))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
                parse_size(text).map(Size).map_err(|error| E::custom(format!("`{text}`: {}", error.reason())))
            }
        }
        deserializer.deserialize_any(Sizes)
    }
}
