//! An entry: a value and what is known about it.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::{Error, ErrorKind, Result};

/// Orders the writes of one key: of two versions, the greater is the newer.
///
/// Versions come from the authority (its sequence) or, where there is none, from a hybrid logical clock; never
/// from a raw wall clock. Between keys they say nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

impl Version {
    /// Older than every version any store assigns.
    pub const ZERO: Self = Self(0);
    /// Newer than every version any store assigns.
    pub const MAX: Self = Self(u64::MAX);
    /// Given versions are below this one, so that no stranger's version can use up a store's own sequence.
    pub const LIMIT: Self = Self(1 << 63);
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a value's bytes came to be, so that a reader with another codec refuses instead of guessing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CodecId(pub u8);

impl CodecId {
    /// The bytes are the value.
    pub const RAW: Self = Self(0);
    /// postcard 1.
    pub const POSTCARD: Self = Self(1);
    /// MessagePack with named fields.
    pub const MESSAGE_PACK: Self = Self(2);
    /// JSON.
    pub const JSON: Self = Self(3);
}

/// The most tags an entry may carry. Every hit may have to compare them all.
pub const TAG_LIMIT: usize = 16;
/// The longest tag, in bytes.
pub const TAG_LENGTH_LIMIT: usize = 255;

/// The tags of an entry: at most [`TAG_LIMIT`], each at most [`TAG_LENGTH_LIMIT`] bytes, sorted, without
/// repetition. Cloning is a reference count, or nothing for the empty set.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tags(Option<Arc<[Bytes]>>);

impl Tags {
    /// No tags.
    pub const NONE: Self = Self(None);

    /// These tags.
    ///
    /// # Errors
    /// `Invalid` if there are too many, or one is empty or too long.
    pub fn new<T: AsRef<[u8]>>(tags: impl IntoIterator<Item = T>) -> Result<Self> {
        let mut list: Vec<Bytes> = tags.into_iter().map(|tag| Bytes::copy_from_slice(tag.as_ref())).collect();
        list.sort();
        list.dedup();
        if list.is_empty() {
            return Ok(Self::NONE);
        }
        if list.len() > TAG_LIMIT {
            return Err(Error::new(ErrorKind::Invalid, "tags")
                .with("tags", list.len())
                .because(format!("an entry carries at most {TAG_LIMIT} tags")));
        }
        if let Some(tag) = list.iter().find(|tag| tag.is_empty() || tag.len() > TAG_LENGTH_LIMIT) {
            return Err(Error::new(ErrorKind::Invalid, "tags")
                .with("length", tag.len())
                .because(format!("a tag is 1 to {TAG_LENGTH_LIMIT} bytes long")));
        }
        Ok(Self(Some(list.into())))
    }

    /// The tags in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Bytes> {
        self.as_slice().iter()
    }

    /// The tags in order.
    pub fn as_slice(&self) -> &[Bytes] {
        self.0.as_deref().unwrap_or(&[])
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl fmt::Debug for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// What few entries have: kept out of line, so that an entry without it stays small.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// MIME type of the value, as HTTP means it.
    pub content_type: Option<String>,
    /// Names and values of the caller's own.
    pub map: BTreeMap<String, String>,
}

impl Metadata {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.content_type.is_none() && self.map.is_empty()
    }
}

/// A value and what is known about it. Times are milliseconds of wall time since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The value's bytes. Layers that transform nothing hand on this very buffer.
    pub value: Bytes,
    /// Which write of its key this is. Filled in by the store on the way out; on the way in a store goes by
    /// the write's [`Condition`](crate::Condition) instead.
    pub version: Version,
    /// When it was written.
    pub created_ms: u64,
    /// When it stops existing; never served from then on.
    pub expires_ms: Option<NonZeroU64>,
    /// When it becomes stale: from then on it is served only where stale values are allowed.
    pub fresh_until_ms: Option<NonZeroU64>,
    /// How long it may go unused, in milliseconds. Counts from the last use while the entry is in memory, and
    /// from its write once it is only below.
    pub idle_ms: Option<NonZeroU64>,
    /// The invalidation stamp captured before the value was loaded: any invalidation after it that covers
    /// this entry makes it a miss.
    pub stamp: u64,
    /// How the value was encoded.
    pub codec: CodecId,
    /// A hash of the value's type name and schema; 0 if the bytes are the value.
    pub type_fingerprint: u64,
    /// How much it is worth keeping beside others, as a signed number: 0 is normal, 1 to 127 are worth more, 128 to
    /// 255, which stand for -128 to -1, less. Stores keep it; the hot tier's eviction obeys its sign.
    pub priority: u8,
    /// What it weighs, where the caller says so; otherwise its size in bytes. At least 1: a store may keep 0 as 1.
    pub weight: Option<u32>,
    /// The groups it is invalidated with.
    pub tags: Tags,
    /// What few entries have.
    pub metadata: Option<Arc<Metadata>>,
}

impl Entry {
    /// An entry of these bytes, and nothing else said about it.
    pub fn new(value: impl Into<Bytes>) -> Self {
        Self {
            value: value.into(),
            version: Version::ZERO,
            created_ms: 0,
            expires_ms: None,
            fresh_until_ms: None,
            idle_ms: None,
            stamp: 0,
            codec: CodecId::RAW,
            type_fingerprint: 0,
            priority: 0,
            weight: None,
            tags: Tags::NONE,
            metadata: None,
        }
    }

    /// Whether it no longer exists at this wall time: past its expiry, or unused for longer than its idle
    /// limit as far as its write time tells.
    pub fn is_expired(&self, wall_ms: u64) -> bool {
        let idle_out = self.idle_ms.is_some_and(|idle| wall_ms >= self.created_ms.saturating_add(idle.get()));
        idle_out || self.expires_ms.is_some_and(|at| wall_ms >= at.get())
    }

    /// Whether it is stale at this wall time.
    pub fn is_stale(&self, wall_ms: u64) -> bool {
        self.fresh_until_ms.is_some_and(|at| wall_ms >= at.get())
    }

    /// The earliest wall time at which it can stop existing by itself.
    pub fn deadline_ms(&self) -> Option<u64> {
        let idle = self.idle_ms.map(|idle| self.created_ms.saturating_add(idle.get()));
        match (self.expires_ms.map(NonZeroU64::get), idle) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Its content type, if it has one.
    pub fn content_type(&self) -> Option<&str> {
        self.metadata.as_deref()?.content_type.as_deref()
    }

    /// What it weighs beside its key: the caller's word, or the bytes of value, tags and metadata.
    pub fn size(&self) -> u64 {
        if let Some(weight) = self.weight {
            return u64::from(weight);
        }
        let tags: usize = self.tags.iter().map(Bytes::len).sum();
        let metadata: usize = self.metadata.as_deref().map_or(0, |metadata| {
            let named: usize = metadata.map.iter().map(|(k, v)| k.len() + v.len()).sum();
            named + metadata.content_type.as_ref().map_or(0, String::len)
        });
        (self.value.len() + tags + metadata) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_sorted_unique_and_bounded() {
        let tags = Tags::new(["b", "a", "b"]).unwrap();
        assert_eq!(tags.as_slice(), [Bytes::from("a"), Bytes::from("b")]);
        assert!(Tags::new(Vec::<&str>::new()).unwrap().is_empty());
        assert_eq!(Tags::new((0..17).map(|n| n.to_string())).unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(Tags::new([""]).unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(Tags::new(["x".repeat(256)]).unwrap_err().kind(), ErrorKind::Invalid);
    }

    #[test]
    fn an_entry_expires_at_its_instant_and_not_before() {
        let mut entry = Entry::new("v");
        assert!(!entry.is_expired(u64::MAX));
        entry.expires_ms = NonZeroU64::new(1000);
        assert_eq!((entry.is_expired(999), entry.is_expired(1000)), (false, true));
        entry.created_ms = 500;
        entry.idle_ms = NonZeroU64::new(100);
        assert_eq!(
            (entry.is_expired(599), entry.is_expired(600), entry.deadline_ms()),
            (false, true, Some(600))
        );
    }
}
