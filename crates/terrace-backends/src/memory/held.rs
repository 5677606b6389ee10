//! An entry as it lies in memory: what nearly every entry has in line, the rest in a box that few need.

use std::num::NonZeroU64;
use std::sync::Arc;

use bytes::Bytes;
use terrace_store::{CodecId, Entry, Metadata, Tags, Version};

/// An entry, in 64 bytes.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) value: Bytes,
    pub(super) version: Version,
    created_ms: u64,
    expires_ms: Option<NonZeroU64>,
    rest: Option<Box<Rest>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rest {
    fresh_until_ms: Option<NonZeroU64>,
    idle_ms: Option<NonZeroU64>,
    stamp: u64,
    codec: CodecId,
    type_fingerprint: u64,
    priority: u8,
    weight: Option<u32>,
    tags: Tags,
    metadata: Option<Arc<Metadata>>,
}

impl Held {
    /// Takes an entry in, at this version.
    pub(super) fn new(entry: Entry, version: Version) -> Self {
        let rest = Rest {
            fresh_until_ms: entry.fresh_until_ms,
            idle_ms: entry.idle_ms,
            stamp: entry.stamp,
            codec: entry.codec,
            type_fingerprint: entry.type_fingerprint,
            priority: entry.priority,
            weight: entry.weight,
            tags: entry.tags,
            metadata: entry.metadata,
        };
        Self {
            value: entry.value,
            version,
            created_ms: entry.created_ms,
            expires_ms: entry.expires_ms,
            rest: (rest != Rest::default()).then(|| Box::new(rest)),
        }
    }

    /// The entry. Its value is shared.
    pub(super) fn entry(&self) -> Entry {
        let entry = Entry {
            version: self.version,
            created_ms: self.created_ms,
            expires_ms: self.expires_ms,
            ..Entry::new(self.value.clone())
        };
        let Some(rest) = &self.rest else { return entry };
        Entry {
            fresh_until_ms: rest.fresh_until_ms,
            idle_ms: rest.idle_ms,
            stamp: rest.stamp,
            codec: rest.codec,
            type_fingerprint: rest.type_fingerprint,
            priority: rest.priority,
            weight: rest.weight,
            tags: rest.tags.clone(),
            metadata: rest.metadata.clone(),
            ..entry
        }
    }

    /// The earliest wall time at which it ends by itself.
    pub(super) fn deadline_ms(&self) -> Option<u64> {
        let expires = self.expires_ms.map(NonZeroU64::get);
        let Some(idle) = self.rest.as_ref().and_then(|rest| rest.idle_ms) else { return expires };
        let idle = self.created_ms.saturating_add(idle.get());
        Some(expires.map_or(idle, |expires| expires.min(idle)))
    }

    /// What it takes beside its key.
    pub(super) fn size(&self) -> u64 {
        let rest = if self.rest.is_some() { size_of::<Rest>() as u64 } else { 0 };
        rest + if self.rest.is_some() { self.entry().size() } else { self.value.len() as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_comes_back_as_it_was_and_shares_its_value() {
        let plain = Entry { created_ms: 5, expires_ms: NonZeroU64::new(9), ..Entry::new("value") };
        let full = Entry {
            idle_ms: NonZeroU64::new(3),
            stamp: 1,
            codec: CodecId::JSON,
            weight: Some(0),
            tags: Tags::new(["t"]).unwrap(),
            ..plain.clone()
        };
        for entry in [plain, full] {
            let held = Held::new(entry.clone(), Version(7));
            let back = held.entry();
            assert_eq!(back.value.as_ptr(), entry.value.as_ptr());
            assert_eq!(held.deadline_ms(), entry.deadline_ms());
            assert_eq!(back, Entry { version: Version(7), ..entry });
        }
        assert!(size_of::<Held>() <= 64);
    }
}
