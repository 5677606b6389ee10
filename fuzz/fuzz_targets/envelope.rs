//! Envelopes from bytes, and bytes from fields.
//!
//! Plain noise never gets past the checksum, so most cases begin with a sound envelope, change some of its
//! bytes and put the right checksum under it: that reaches the code behind the checksum with input that no
//! writer would make.

#![no_main]

use arbitrary::Arbitrary;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use terrace_envelope::{Compress, Fields, Header, Limits, MAX_TAGS, Opened, open, peek, peek_verified, seal};
use xxhash_rust::xxh3::xxh3_64;

/// Small, so that a length that was not bounded shows as an allocation that the fuzzer's limit forbids.
const LIMITS: Limits = Limits { payload: 1 << 20 };

#[derive(Arbitrary, Debug)]
enum Case<'a> {
    Bytes { bytes: &'a [u8], key: &'a [u8] },
    Sound(Entry<'a>),
    Changed { entry: Entry<'a>, changes: Vec<(u16, u8)>, cut: Option<u16>, checksum: bool },
}

#[derive(Arbitrary, Debug)]
struct Entry<'a> {
    codec: u8,
    numbers: [u64; 7],
    weight: u32,
    priority: u8,
    tombstone: bool,
    tags: Vec<&'a [u8]>,
    content_type: Option<&'a str>,
    metadata: Vec<(&'a str, &'a str)>,
    key: &'a [u8],
    payload: &'a [u8],
    repeat: u8,
    min_size: Option<u8>,
}

impl Entry<'_> {
    fn header(&self) -> Header {
        let [type_fingerprint, version, created_ms, expires_ms, fresh_until_ms, idle_ms, stamp] =
            self.numbers;
        Header {
            tombstone: self.tombstone,
            codec: self.codec,
            type_fingerprint,
            version,
            created_ms,
            expires_ms,
            fresh_until_ms,
            idle_ms,
            stamp,
            weight: self.weight,
            priority: self.priority,
        }
    }

    fn payload(&self) -> Vec<u8> {
        if self.tombstone { Vec::new() } else { self.payload.repeat(usize::from(self.repeat)) }
    }

    /// The envelope, or nothing if the entry is beyond a limit, which is then no finding.
    fn sealed(&self) -> Option<Vec<u8>> {
        let tags = &self.tags[..self.tags.len().min(MAX_TAGS)];
        let fields =
            Fields { header: self.header(), tags, content_type: self.content_type, metadata: &self.metadata };
        let compress = match self.min_size {
            None => Compress::Always,
            Some(u8::MAX) => Compress::Never,
            Some(min_size) => Compress::Auto { min_size: usize::from(min_size) },
        };
        let mut out = Vec::new();
        seal(&fields, self.key, &self.payload(), compress, LIMITS, &mut out).ok()?;
        Some(out)
    }
}

fn sound(entry: &Entry<'_>) {
    let Some(bytes) = entry.sealed() else { return };
    let opened = open(&Bytes::from(bytes.clone()), entry.key, LIMITS).expect("what was sealed opens");
    assert_eq!(*opened.header(), entry.header());
    assert_eq!(opened.payload(), &entry.payload());
    assert!(opened.tags().eq(entry.tags.iter().copied().take(MAX_TAGS)));
    assert_eq!(opened.content_type(), entry.content_type);
    assert!(opened.metadata().eq(entry.metadata.iter().copied()));
    assert_eq!(peek(&bytes), peek_verified(&bytes));
    assert_eq!(peek(&bytes).map(|front| front.version), Ok(opened.header().version));
}

fn changed(entry: &Entry<'_>, changes: &[(u16, u8)], cut: Option<u16>, checksum: bool) {
    let Some(sound) = entry.sealed() else { return };
    let mut bytes = sound.clone();
    if let Some(cut) = cut {
        bytes.truncate(usize::from(cut));
    }
    for &(at, value) in changes {
        if let Some(place) = bytes.get_mut(usize::from(at)) {
            *place = value;
        }
    }
    if checksum && bytes.len() >= 8 {
        let body = bytes.len() - 8;
        let sum = xxh3_64(&bytes[..body]);
        bytes[body..].copy_from_slice(&sum.to_le_bytes());
    }
    let result = open(&Bytes::from(bytes.clone()), entry.key, LIMITS);
    if !checksum && bytes != sound {
        assert!(result.is_err(), "damage went unnoticed");
    }
    if let Ok(opened) = result {
        stays_the_same(&opened, entry.key);
        assert_eq!(peek(&bytes).expect("what opens can be peeked at").version, opened.header().version);
    }
    let _ = (peek(&bytes), peek_verified(&bytes));
}

/// Whatever opens can be sealed again and then says the same.
fn stays_the_same(opened: &Opened, key: &[u8]) {
    let (tags, metadata): (Vec<_>, Vec<_>) = (opened.tags().collect(), opened.metadata().collect());
    let fields = Fields {
        header: *opened.header(),
        tags: &tags,
        content_type: opened.content_type(),
        metadata: &metadata,
    };
    let mut out = Vec::new();
    seal(&fields, key, opened.payload(), Compress::Never, LIMITS, &mut out)
        .expect("what opens can be sealed");
    let again = open(&Bytes::from(out), key, LIMITS).expect("what was sealed opens");
    assert_eq!((again.header(), again.payload()), (opened.header(), opened.payload()));
    assert!(again.tags().eq(opened.tags()) && again.metadata().eq(opened.metadata()));
    assert_eq!(again.content_type(), opened.content_type());
}

fuzz_target!(|case: Case<'_>| match case {
    Case::Bytes { bytes, key } => {
        let _ = (peek(bytes), peek_verified(bytes));
        if let Ok(opened) = open(&Bytes::copy_from_slice(bytes), key, LIMITS) {
            stays_the_same(&opened, key);
        }
    }
    Case::Sound(entry) => sound(&entry),
    Case::Changed { entry, changes, cut, checksum } => changed(&entry, &changes, cut, checksum),
});
