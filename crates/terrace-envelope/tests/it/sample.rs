//! Entries that together use every section of an envelope.

use bytes::Bytes;
use terrace_envelope::{Compress, Fields, Header, Limits, Opened, seal};

/// An entry, the key it lies under and how it is sealed.
pub(crate) struct Sample {
    pub(crate) name: &'static str,
    pub(crate) fields: Fields<'static>,
    pub(crate) key: &'static [u8],
    pub(crate) payload: Vec<u8>,
    pub(crate) compress: Compress,
}

impl Sample {
    pub(crate) fn seal(&self) -> Bytes {
        let mut out = Vec::new();
        seal(&self.fields, self.key, &self.payload, self.compress, Limits::default(), &mut out)
            .unwrap_or_else(|error| panic!("{}: {error}", self.name));
        Bytes::from(out)
    }

    pub(crate) fn assert_is(&self, opened: &Opened) {
        assert_same(self.name, &self.fields, &self.payload, opened);
    }
}

/// Every field that went in must have come out.
pub(crate) fn assert_same(name: &str, fields: &Fields<'_>, payload: &[u8], opened: &Opened) {
    assert_eq!(*opened.header(), fields.header, "{name}");
    assert!(opened.tags().eq(fields.tags.iter().copied()), "{name}: tags {:?}", opened.tags());
    assert_eq!(opened.content_type(), fields.content_type, "{name}");
    assert!(opened.metadata().eq(fields.metadata.iter().copied()), "{name}: {:?}", opened.metadata());
    assert_eq!(opened.payload(), payload, "{name}");
}

const EVERY_NUMBER: Header = Header {
    tombstone: false,
    codec: 3,
    type_fingerprint: 0x0123_4567_89ab_cdef,
    version: 42,
    created_ms: 1_750_000_000_000,
    expires_ms: 1_750_000_600_000,
    fresh_until_ms: 1_750_000_300_000,
    idle_ms: 60_000,
    stamp: 9,
    weight: 1_000,
    priority: 5,
};

/// The samples of format 1. Their order and content are those of the fixture: add to them, never change them.
pub(crate) fn samples() -> Vec<Sample> {
    let plain = Header { version: 1, created_ms: 1_750_000_000_000, ..Header::default() };
    let with = |header| Fields { header, ..Fields::default() };
    vec![
        Sample {
            name: "plain",
            fields: with(plain),
            key: b"user:1",
            payload: b"Ada".to_vec(),
            compress: Compress::Never,
        },
        Sample {
            name: "empty payload under an empty key",
            fields: with(Header::default()),
            key: b"",
            payload: vec![],
            compress: Compress::Never,
        },
        Sample {
            name: "expiring",
            fields: with(Header { expires_ms: 1_750_000_600_000, ..plain }),
            key: b"session:\x00\xff",
            payload: (0..=255).collect(),
            compress: Compress::Auto { min_size: 1 << 10 },
        },
        Sample {
            name: "everything",
            fields: Fields {
                header: EVERY_NUMBER,
                tags: &[b"users", b"", b"customer:\xff"],
                content_type: Some("application/json"),
                metadata: &[("etag", "\"5d8c72a5\""), ("région", "Zürich"), ("", "")],
            },
            key: b"orders\x00order:7",
            payload: br#"{"id":7,"total":"12.50"}"#.to_vec(),
            compress: Compress::Never,
        },
        Sample {
            name: "everything, compressed",
            fields: Fields {
                header: EVERY_NUMBER,
                tags: &[b"pages"],
                content_type: Some("text/html"),
                metadata: &[("language", "en")],
            },
            key: b"page:/",
            payload: b"<li>terrace</li>\n".repeat(40),
            compress: Compress::Auto { min_size: 64 },
        },
        Sample {
            name: "tombstone",
            fields: with(Header { tombstone: true, version: u64::MAX, ..plain }),
            key: b"user:2",
            payload: vec![],
            compress: Compress::Always,
        },
    ]
}
