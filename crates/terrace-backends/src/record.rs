//! What a store on disk keeps under a key: an entry, or the tombstone that a delete left, as an envelope.
//!
//! The stores decide where records lie and which of them is current; this file only translates between the
//! contract's [`Entry`] and the bytes of [`terrace_envelope`], so that every backend that keeps bytes keeps the
//! same bytes. A tombstone's expiry is the wall time from which its floor may be forgotten.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Arc;

use bytes::Bytes;
use terrace_envelope::{Fields, Header, Limits};
use terrace_store::store::VALUE_LIMIT;
use terrace_store::{CodecId, Compress, Entry, Error, ErrorKind, Key, Metadata, Result, Tags, Version};

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// There is an entry. It may have expired: that is for the reader's clock to say.
    Live(Entry),
    /// There is none any more.
    Tombstone {
        /// The floor that the delete left.
        version: Version,
        /// The wall time, in milliseconds, from which the floor may be forgotten.
        deadline_ms: u64,
    },
}

/// What a write has to know of the record it replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Its version.
    pub version: Version,
    /// Whether it is what a delete left.
    pub tombstone: bool,
    /// When an entry stops existing, or a tombstone may be forgotten: wall milliseconds.
    pub deadline_ms: Option<u64>,
    /// The length of the value.
    pub value_len: u64,
}

impl Summary {
    /// Whether it is an entry that exists at this wall time.
    pub fn is_live(&self, wall_ms: u64) -> bool {
        !self.tombstone && self.deadline_ms.is_none_or(|deadline| wall_ms < deadline)
    }
}

const LIMITS: Limits = Limits { payload: VALUE_LIMIT };

/// Appends the record of an entry that is stored with this version to `out`.
///
/// With [`Compress::Default`] the value is compressed if it has at least `compress_from` bytes and that saves an
/// eighth; `None` leaves it as it is, so that reading shares the record's memory.
///
/// # Errors
/// `Invalid` if the value, the content type or the metadata is longer than a record can hold. `out` is then as it
/// was.
///
/// # Cost
/// One copy of the value and one pass of XXH3.
pub fn seal(
    key: &Key,
    entry: &Entry,
    version: Version,
    compress: Compress,
    compress_from: Option<usize>,
    out: &mut Vec<u8>,
) -> Result<()> {
    let header = Header {
        tombstone: false,
        codec: entry.codec.0,
        type_fingerprint: entry.type_fingerprint,
        version: version.0,
        created_ms: entry.created_ms,
        expires_ms: number(entry.expires_ms),
        fresh_until_ms: number(entry.fresh_until_ms),
        idle_ms: number(entry.idle_ms),
        stamp: entry.stamp,
        // Zero means "none" in an envelope; the least weight that can be kept is one.
        weight: entry.weight.map_or(0, |weight| weight.max(1)),
        priority: entry.priority,
    };
    if entry.tags.is_empty() && entry.metadata.is_none() {
        return append(key, &Fields { header, ..Fields::default() }, entry, compress, compress_from, out);
    }
    let tags: Vec<&[u8]> = entry.tags.iter().map(|tag| &tag[..]).collect();
    let map = entry.metadata.as_deref().map(|metadata| &metadata.map);
    let metadata: Vec<(&str, &str)> =
        map.into_iter().flatten().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let fields = Fields { header, tags: &tags, content_type: entry.content_type(), metadata: &metadata };
    append(key, &fields, entry, compress, compress_from, out)
}

fn append(
    key: &Key,
    fields: &Fields<'_>,
    entry: &Entry,
    compress: Compress,
    compress_from: Option<usize>,
    out: &mut Vec<u8>,
) -> Result<()> {
    use terrace_envelope::Compress as How;
    let start = out.len();
    let mut seal = |how| {
        terrace_envelope::seal(fields, key.flat(), &entry.value, how, LIMITS, out)
            .map_err(|source| Error::new(ErrorKind::Invalid, "seal").caused_by(source))
    };
    match (compress, compress_from) {
        (Compress::Never, _) | (Compress::Default, None) => seal(How::Never),
        (Compress::Default, Some(min_size)) => seal(How::Auto { min_size }),
        (Compress::Always, _) => {
            seal(How::Always)?;
            // It was asked for if it makes the value smaller at all.
            let mut plain = Vec::new();
            terrace_envelope::seal(fields, key.flat(), &entry.value, How::Never, LIMITS, &mut plain)
                .map_err(|source| Error::new(ErrorKind::Invalid, "seal").caused_by(source))?;
            if plain.len() <= out.len() - start {
                out.truncate(start);
                out.append(&mut plain);
            }
            Ok(())
        }
    }
}

/// Appends the record of a delete to `out`.
///
/// # Errors
/// None in practice; the signature is that of [`seal`].
pub fn seal_tombstone(key: &Key, version: Version, deadline_ms: u64, out: &mut Vec<u8>) -> Result<()> {
    let header = Header { tombstone: true, version: version.0, expires_ms: deadline_ms, ..Header::default() };
    let fields = Fields { header, ..Fields::default() };
    terrace_envelope::seal(&fields, key.flat(), &[], terrace_envelope::Compress::Never, LIMITS, out)
        .map_err(|source| Error::new(ErrorKind::Invalid, "seal").caused_by(source))
}

/// Opens the record that lies under this key. The value shares the record's memory unless it was compressed.
///
/// # Errors
/// `Corrupt` if it is damaged or belongs to another key, `NotSupported` if a newer release wrote it.
pub fn open(key: &Key, bytes: &Bytes) -> Result<Record> {
    let opened = terrace_envelope::open(bytes, key.flat(), LIMITS).map_err(|source| damaged(key, source))?;
    let header = *opened.header();
    if header.tombstone {
        return Ok(Record::Tombstone { version: Version(header.version), deadline_ms: header.expires_ms });
    }
    let map: BTreeMap<String, String> =
        opened.metadata().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let content_type = opened.content_type().map(str::to_owned);
    let metadata = Metadata { content_type, map };
    let mut tags = opened.tags().peekable();
    let tags = if tags.peek().is_none() { Tags::NONE } else { Tags::new(tags)? };
    Ok(Record::Live(Entry {
        version: Version(header.version),
        created_ms: header.created_ms,
        expires_ms: NonZeroU64::new(header.expires_ms),
        fresh_until_ms: NonZeroU64::new(header.fresh_until_ms),
        idle_ms: NonZeroU64::new(header.idle_ms),
        stamp: header.stamp,
        codec: CodecId(header.codec),
        type_fingerprint: header.type_fingerprint,
        priority: header.priority,
        weight: (header.weight != 0).then_some(header.weight),
        tags,
        metadata: (!metadata.is_empty()).then(|| Arc::new(metadata)),
        value: opened.into_payload(),
    }))
}

/// What a write has to know of the record it replaces, as far as this key's record can be read.
///
/// # Errors
/// As [`open`].
pub fn summary(key: &Key, bytes: &Bytes) -> Result<Summary> {
    let opened = terrace_envelope::open(bytes, key.flat(), LIMITS).map_err(|source| damaged(key, source))?;
    let header = opened.header();
    let idle = (header.idle_ms != 0).then(|| header.created_ms.saturating_add(header.idle_ms));
    let expires = (header.expires_ms != 0).then_some(header.expires_ms);
    let deadline_ms = match (expires, idle) {
        (Some(expires), Some(idle)) => Some(expires.min(idle)),
        (expires, idle) => expires.or(idle),
    };
    Ok(Summary {
        version: Version(header.version),
        tombstone: header.tombstone,
        deadline_ms,
        value_len: opened.payload().len() as u64,
    })
}

fn number(value: Option<NonZeroU64>) -> u64 {
    value.map_or(0, NonZeroU64::get)
}

fn damaged(key: &Key, source: terrace_envelope::Error) -> Error {
    use terrace_envelope::Error as Envelope;
    let kind = match source {
        Envelope::UnsupportedVersion(_) | Envelope::UnknownFlags(_) | Envelope::Encrypted => {
            ErrorKind::NotSupported
        }
        _ => ErrorKind::Corrupt,
    };
    Error::new(kind, "read").with("key", format_args!("{key:?}")).caused_by(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key::new("orders", "7").unwrap()
    }

    fn full() -> Entry {
        let map = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), String::new())]);
        Entry {
            version: Version(9),
            created_ms: 1_000,
            expires_ms: NonZeroU64::new(9_000),
            fresh_until_ms: NonZeroU64::new(5_000),
            idle_ms: NonZeroU64::new(700),
            stamp: 3,
            codec: CodecId::JSON,
            type_fingerprint: 77,
            priority: 2,
            weight: Some(5),
            tags: Tags::new(["x", "y"]).unwrap(),
            metadata: Some(Arc::new(Metadata { content_type: Some("text/plain".into()), map })),
            ..Entry::new(vec![b'v'; 10_000])
        }
    }

    fn sealed(entry: &Entry, compress: Compress, from: Option<usize>) -> Bytes {
        let mut out = Vec::new();
        seal(&key(), entry, entry.version, compress, from, &mut out).unwrap();
        out.into()
    }

    #[test]
    fn an_entry_comes_back_as_it_was_however_it_was_compressed() {
        for (compress, from) in [
            (Compress::Never, Some(0)),
            (Compress::Default, None),
            (Compress::Default, Some(64)),
            (Compress::Always, None),
        ] {
            let entry = full();
            assert_eq!(open(&key(), &sealed(&entry, compress, from)).unwrap(), Record::Live(entry));
        }
    }

    #[test]
    fn a_value_that_was_not_compressed_is_not_copied() {
        let bytes = sealed(&Entry::new("value"), Compress::Default, None);
        let Record::Live(entry) = open(&key(), &bytes).unwrap() else { panic!("it is an entry") };
        let within = bytes.as_ptr() as usize..bytes.as_ptr() as usize + bytes.len();
        assert!(within.contains(&(entry.value.as_ptr() as usize)));
    }

    #[test]
    fn always_compresses_only_what_becomes_smaller() {
        let plain = sealed(&Entry::new("abc"), Compress::Never, None);
        assert_eq!(sealed(&Entry::new("abc"), Compress::Always, None), plain);
        let long = Entry::new(vec![0; 1000]);
        assert!(sealed(&long, Compress::Always, None).len() < sealed(&long, Compress::Never, None).len());
    }

    #[test]
    fn a_tombstone_keeps_its_floor_and_its_deadline() {
        let mut out = Vec::new();
        seal_tombstone(&key(), Version(4), 99, &mut out).unwrap();
        let bytes = Bytes::from(out);
        assert_eq!(open(&key(), &bytes).unwrap(), Record::Tombstone { version: Version(4), deadline_ms: 99 });
        let summary = summary(&key(), &bytes).unwrap();
        assert!(summary.tombstone && !summary.is_live(0));
        assert_eq!((summary.version, summary.deadline_ms), (Version(4), Some(99)));
    }

    #[test]
    fn a_summary_tells_what_the_entry_would() {
        let entry = full();
        let found = summary(&key(), &sealed(&entry, Compress::Always, None)).unwrap();
        let expected = Summary {
            version: entry.version,
            tombstone: false,
            deadline_ms: entry.deadline_ms(),
            value_len: entry.value.len() as u64,
        };
        assert_eq!(found, expected);
        assert!(found.is_live(1_699) && !found.is_live(1_700));
    }

    #[test]
    fn damage_and_foreign_keys_are_corrupt_and_name_the_key() {
        let bytes = sealed(&full(), Compress::Never, None);
        for at in [0, 20, bytes.len() / 2, bytes.len() - 1] {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= 1;
            assert_eq!(open(&key(), &damaged.into()).unwrap_err().kind(), ErrorKind::Corrupt);
        }
        let other = Key::new("orders", "8").unwrap();
        let error = open(&other, &bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains("orders/8"), "{error}");
    }

    #[test]
    fn what_does_not_fit_a_record_is_refused_and_leaves_no_trace() {
        let metadata = Metadata { content_type: Some("x".repeat(70_000)), map: BTreeMap::new() };
        let entry = Entry { metadata: Some(Arc::new(metadata)), ..Entry::new("v") };
        let mut out = vec![1];
        let error = seal(&key(), &entry, Version(1), Compress::Default, None, &mut out).unwrap_err();
        assert_eq!((error.kind(), out), (ErrorKind::Invalid, vec![1]));
    }
}
