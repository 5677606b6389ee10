//! What an entry has beside its value, as bytes that the log keeps with it.
//!
//! ```text
//! flags   u8       which of the following are there
//! created varint   milliseconds since 1970
//! fresh   varint   FRESH: when it becomes stale
//! idle    varint   IDLE: how long it may go unused
//! expires varint   EXPIRES: when it ends, if the idle limit ends it sooner; else the record's own end is it
//! stamp   varint   STAMP
//! codec   u8       TYPED, followed by
//! type    u64 LE   the type fingerprint
//! rank    u8       RANK: the priority
//! weight  varint   WEIGHT
//! extra            EXTRA: tags (a number, then each with its length), content type (its length plus one, or 0),
//!                  names and values (a number, then each with its length); all numbers varint
//! ```
//! A varint has seven bits a byte, the lowest first; the highest bit says that another byte follows. An entry of
//! which nothing is said, not even when it was written, has no bytes at all. Key, version, the value's length and
//! checksums are the log's own.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Arc;

use bytes::Bytes;
use terrace_store::{CodecId, Entry, Metadata, Tags, Version};

const FRESH: u8 = 1;
const IDLE: u8 = 1 << 1;
const EXPIRES: u8 = 1 << 2;
const STAMP: u8 = 1 << 3;
const TYPED: u8 = 1 << 4;
const RANK: u8 = 1 << 5;
const WEIGHT: u8 = 1 << 6;
const EXTRA: u8 = 1 << 7;

fn flags(entry: &Entry) -> u8 {
    let typed = entry.codec != CodecId::RAW || entry.type_fingerprint != 0;
    let extra = !entry.tags.is_empty() || entry.metadata.is_some();
    [
        (entry.fresh_until_ms.is_some(), FRESH),
        (entry.idle_ms.is_some(), IDLE),
        (entry.idle_ms.is_some() && entry.expires_ms.is_some(), EXPIRES),
        (entry.stamp != 0, STAMP),
        (typed, TYPED),
        (entry.priority != 0, RANK),
        (entry.weight.is_some(), WEIGHT),
        (extra, EXTRA),
    ]
    .into_iter()
    .fold(0, |flags, (set, flag)| if set { flags | flag } else { flags })
}

/// Appends what is said of an entry.
pub(super) fn append(entry: &Entry, out: &mut Vec<u8>) {
    let flags = flags(entry);
    if flags == 0 && entry.created_ms == 0 {
        return;
    }
    out.push(flags);
    number(entry.created_ms, out);
    let optional = |flag: u8, value: u64, out: &mut Vec<u8>| {
        if flags & flag != 0 {
            number(value, out);
        }
    };
    let millis = |value: Option<NonZeroU64>| value.map_or(0, NonZeroU64::get);
    optional(FRESH, millis(entry.fresh_until_ms), out);
    optional(IDLE, millis(entry.idle_ms), out);
    optional(EXPIRES, millis(entry.expires_ms), out);
    optional(STAMP, entry.stamp, out);
    if flags & TYPED != 0 {
        out.push(entry.codec.0);
        out.extend_from_slice(&entry.type_fingerprint.to_le_bytes());
    }
    if flags & RANK != 0 {
        out.push(entry.priority);
    }
    // Zero is kept as one, as the contract allows.
    optional(WEIGHT, u64::from(entry.weight.unwrap_or(1).max(1)), out);
    if flags & EXTRA != 0 {
        extra(entry, out);
    }
}

fn extra(entry: &Entry, out: &mut Vec<u8>) {
    number(entry.tags.as_slice().len() as u64, out);
    entry.tags.iter().for_each(|tag| text(tag, out));
    match entry.content_type() {
        None => number(0, out),
        Some(kind) => {
            number(kind.len() as u64 + 1, out);
            out.extend_from_slice(kind.as_bytes());
        }
    }
    let map = entry.metadata.as_deref().map(|metadata| &metadata.map);
    number(map.map_or(0, BTreeMap::len) as u64, out);
    for (name, value) in map.into_iter().flatten() {
        text(name.as_bytes(), out);
        text(value.as_bytes(), out);
    }
}

fn number(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn text(bytes: &[u8], out: &mut Vec<u8>) {
    number(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Makes an entry of what [`append`] wrote, its value, and what the record says itself. `None` if these bytes were not
/// written by it.
pub(super) fn entry(meta: &[u8], value: Bytes, version: Version, ends_ms: Option<u64>) -> Option<Entry> {
    let mut entry = Entry { version, expires_ms: ends_ms.and_then(NonZeroU64::new), ..Entry::new(value) };
    let Some((flags, rest)) = meta.split_first() else { return Some(entry) };
    let has = |flag: u8| flags & flag != 0;
    let mut reader = Reader(rest);
    entry.created_ms = reader.number()?;
    if has(FRESH) {
        entry.fresh_until_ms = NonZeroU64::new(reader.number()?);
    }
    if has(IDLE) {
        entry.idle_ms = NonZeroU64::new(reader.number()?);
        // The record ends when the idle limit does, or sooner.
        entry.expires_ms = None;
    }
    if has(EXPIRES) {
        entry.expires_ms = NonZeroU64::new(reader.number()?);
    }
    if has(STAMP) {
        entry.stamp = reader.number()?;
    }
    if has(TYPED) {
        entry.codec = CodecId(reader.take(1)?[0]);
        entry.type_fingerprint = u64::from_le_bytes(reader.take(8)?.try_into().ok()?);
    }
    if has(RANK) {
        entry.priority = reader.take(1)?[0];
    }
    if has(WEIGHT) {
        entry.weight = Some(u32::try_from(reader.number()?).ok()?);
    }
    if has(EXTRA) {
        reader.extra(&mut entry)?;
    }
    reader.0.is_empty().then_some(entry)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7F).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let len = self.number()?;
        self.take(usize::try_from(len).ok()?)
    }

    fn string(&mut self) -> Option<String> {
        String::from_utf8(self.text()?.to_vec()).ok()
    }

    fn extra(&mut self, entry: &mut Entry) -> Option<()> {
        // Nothing is allocated for a number that was only claimed: each has to be there.
        let mut tags = Vec::new();
        for _ in 0..self.number()? {
            tags.push(self.text()?);
        }
        if !tags.is_empty() {
            entry.tags = Tags::new(tags).ok()?;
        }
        let content_type = match self.number()? {
            0 => None,
            len => {
                let bytes = self.take(usize::try_from(len - 1).ok()?)?;
                Some(String::from_utf8(bytes.to_vec()).ok()?)
            }
        };
        let mut map = BTreeMap::new();
        for _ in 0..self.number()? {
            map.insert(self.string()?, self.string()?);
        }
        let metadata = Metadata { content_type, map };
        entry.metadata = (!metadata.is_empty()).then(|| Arc::new(metadata));
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Entry {
        let map = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), String::new())]);
        Entry {
            version: Version(9),
            created_ms: 1_700_000_000_000,
            expires_ms: NonZeroU64::new(1_700_000_009_000),
            fresh_until_ms: NonZeroU64::new(1_700_000_005_000),
            idle_ms: NonZeroU64::new(700),
            stamp: 3,
            codec: CodecId::JSON,
            type_fingerprint: u64::MAX,
            priority: 2,
            weight: Some(u32::MAX),
            tags: Tags::new(["x", "y"]).unwrap(),
            metadata: Some(Arc::new(Metadata { content_type: Some("text/plain".into()), map })),
            ..Entry::new("value")
        }
    }

    fn round(written: &Entry) -> Option<Entry> {
        let mut out = Vec::new();
        append(written, &mut out);
        entry(&out, written.value.clone(), written.version, written.deadline_ms())
    }

    #[test]
    fn an_entry_comes_back_as_it_was() {
        let plain = Entry::new("v");
        let mortal = Entry { created_ms: 5, expires_ms: NonZeroU64::new(9), ..Entry::new("v") };
        let idle = Entry { created_ms: 5, idle_ms: NonZeroU64::new(2), ..Entry::new("v") };
        let sooner = Entry { expires_ms: NonZeroU64::new(6), ..idle.clone() };
        let tagged = Entry { tags: Tags::new(["t"]).unwrap(), ..Entry::new("") };
        for written in [plain, mortal, idle, sooner, tagged, full()] {
            assert_eq!(round(&written), Some(written));
        }
    }

    #[test]
    fn what_has_nothing_to_say_takes_no_bytes() {
        let mut out = Vec::new();
        append(&Entry::new("v"), &mut out);
        assert!(out.is_empty());
        append(&Entry { created_ms: 1_700_000_000_000, ..Entry::new("v") }, &mut out);
        assert_eq!(out.len(), 7);
    }

    #[test]
    fn bytes_that_were_cut_or_go_on_are_no_entry() {
        let mut out = Vec::new();
        append(&full(), &mut out);
        for len in 1..out.len() {
            assert_eq!(entry(&out[..len], Bytes::new(), Version(1), None), None, "{len}");
        }
        out.push(0);
        assert_eq!(entry(&out, Bytes::new(), Version(1), None), None);
    }
}
