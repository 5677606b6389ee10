//! What is refused, and in which words.

use bytes::Bytes;
use terrace_envelope::{
    Compress, Error, FORMAT_VERSION, Fields, Header, Limits, MAX_METADATA, MAX_STRING, MAX_TAGS, open, peek,
    seal,
};

use crate::sample::samples;

fn seal_error(fields: &Fields<'_>, payload: &[u8], limits: Limits) -> Error {
    let mut out = b"before".to_vec();
    let error = seal(fields, b"key", payload, Compress::Always, limits, &mut out).unwrap_err();
    assert_eq!(out, b"before", "a refused envelope leaves nothing behind");
    error
}

#[test]
fn another_key_is_a_mismatch() {
    for sample in samples() {
        let other = [sample.key, b"x"].concat();
        assert_eq!(open(&sample.seal(), &other, Limits::default()).unwrap_err(), Error::KeyMismatch);
    }
}

#[test]
fn a_newer_format_is_refused_in_words() {
    let mut bytes = samples()[0].seal().to_vec();
    bytes[4] = FORMAT_VERSION + 1;
    let error = open(&Bytes::from(bytes.clone()), b"user:1", Limits::default()).unwrap_err();
    assert_eq!(error, Error::UnsupportedVersion(2));
    assert_eq!(peek(&bytes).unwrap_err(), error);
    assert_eq!(
        error.to_string(),
        "envelope format 2 is unknown, this release reads format 1; upgrade every instance that shares this data, or clear it"
    );
}

#[test]
fn every_error_says_what_to_do() {
    for (error, advice) in [
        (Error::Truncated, "discard"),
        (Error::BadMagic, "check that only Terrace writes"),
        (Error::UnsupportedVersion(9), "upgrade"),
        (Error::UnknownFlags(0x8000), "upgrade"),
        (Error::Checksum, "discard"),
        (Error::TooLong { what: "tag", limit: 3 }, "shorten it or raise the limit"),
        (Error::KeyMismatch, "discard"),
        (Error::Encrypted, "a key that can decrypt"),
        (Error::Compression("why"), "why; discard"),
        (Error::MissingKey(3), "key number 3, which is not given; add it"),
        (Error::WrongKey(3), "key number 3 is not the one"),
        (Error::Unauthentic, "discard"),
        (Error::NonceReuse, "begin a new segment"),
        (Error::NoRandomness, "check that"),
        (Error::Malformed("why"), "why"),
    ] {
        assert!(error.to_string().contains(advice), "{error}");
    }
}

#[test]
#[cfg_attr(not(feature = "lz4"), ignore = "needs LZ4")]
fn a_payload_beyond_the_limit_is_neither_written_nor_read() {
    let limits = Limits { payload: 100 };
    let refused = Error::TooLong { what: "payload", limit: 100 };
    assert_eq!(seal_error(&Fields::default(), &[0; 101], limits), refused);
    for compress in [Compress::Never, Compress::Always] {
        let mut out = Vec::new();
        seal(&Fields::default(), b"key", &[0; 101], compress, Limits::default(), &mut out).unwrap();
        assert_eq!(open(&Bytes::from(out), b"key", limits).unwrap_err(), refused);
    }
    let mut out = Vec::new();
    seal(&Fields::default(), b"key", &[0; 100], Compress::Always, limits, &mut out).unwrap();
    assert_eq!(open(&Bytes::from(out), b"key", limits).unwrap().payload().len(), 100);
}

#[test]
fn what_does_not_fit_its_place_is_refused() {
    let limits = Limits::default();
    let long = "x".repeat(MAX_STRING + 1);
    let tags = vec![&b"tag"[..]; MAX_TAGS + 1];
    let pairs = vec![("name", "value"); MAX_METADATA + 1];
    let long_tag = [long.as_bytes()];
    for (fields, what, limit) in [
        (Fields { tags: &tags, ..Fields::default() }, "tags", MAX_TAGS),
        (Fields { tags: &long_tag, ..Fields::default() }, "tag", MAX_STRING),
        (Fields { content_type: Some(&long), ..Fields::default() }, "content type", MAX_STRING),
        (Fields { metadata: &pairs, ..Fields::default() }, "metadata pairs", MAX_METADATA),
        (Fields { metadata: &[(&long, "")], ..Fields::default() }, "metadata name", MAX_STRING),
        (Fields { metadata: &[("", &long)], ..Fields::default() }, "metadata value", MAX_STRING),
    ] {
        assert_eq!(seal_error(&fields, b"", limits), Error::TooLong { what, limit });
    }
}

#[test]
fn the_longest_of_everything_fits() {
    let long = "x".repeat(MAX_STRING);
    let tags = vec![long.as_bytes(); MAX_TAGS];
    let pairs = vec![(long.as_str(), ""); MAX_METADATA];
    let fields =
        Fields { header: Header::default(), tags: &tags, content_type: Some(&long), metadata: &pairs };
    let mut out = Vec::new();
    seal(&fields, b"key", b"value", Compress::Never, Limits::default(), &mut out).unwrap();
    let opened = open(&Bytes::from(out), b"key", Limits::default()).unwrap();
    crate::sample::assert_same("longest", &fields, b"value", &opened);
}

#[test]
fn a_tombstone_with_a_payload_is_refused() {
    let header = Header { tombstone: true, ..Header::default() };
    let fields = Fields { header, ..Fields::default() };
    assert_eq!(seal_error(&fields, b"x", Limits::default()), Error::Malformed("a tombstone has no payload"));
}
