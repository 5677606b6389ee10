//! Everything a lookup can tell.

use std::time::Duration;

use terrace_store::{Tags, Version};
use terrace_tiers::Tier;

/// What a lookup found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lookup<T> {
    /// A current value.
    Hit(Item<T>),
    /// A value past its soft expiry, or invalidated so that it may still be served where that is allowed.
    Stale(Item<T>),
    /// Nothing.
    Miss,
}

impl<T> Lookup<T> {
    /// The value if it is current.
    pub fn fresh(self) -> Option<T> {
        match self {
            Self::Hit(item) => Some(item.value),
            _ => None,
        }
    }

    /// What was found, current or stale.
    pub fn item(&self) -> Option<&Item<T>> {
        match self {
            Self::Hit(item) | Self::Stale(item) => Some(item),
            Self::Miss => None,
        }
    }
}

/// A value, and what is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Item<T> {
    /// The value.
    pub value: T,
    /// The tier that answered.
    pub tier: Tier,
    /// How long ago it was written, by the wall clock.
    pub age: Duration,
    /// How long until it ends, if it does.
    pub ttl: Option<Duration>,
    /// Which write of its key it is.
    pub version: Version,
    /// The groups it is invalidated with.
    pub tags: Tags,
}
