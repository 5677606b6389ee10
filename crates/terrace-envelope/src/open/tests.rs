//! What stands behind a right checksum and is wrong all the same.

use super::*;
use crate::layout::checksum;
use crate::{Compress, Fields, seal};

fn sealed(fields: &Fields<'_>, payload: &[u8], compress: Compress) -> Vec<u8> {
    let mut out = Vec::new();
    seal(fields, b"key", payload, compress, Limits::default(), &mut out).unwrap();
    out
}

/// Puts the right checksum under an envelope that was tampered with.
fn resealed(mut bytes: Vec<u8>) -> Bytes {
    let body = bytes.len() - 8;
    let sum = checksum(&bytes[..body]);
    bytes[body..].copy_from_slice(&sum.to_le_bytes());
    Bytes::from(bytes)
}

fn open_default(envelope: &Bytes) -> Result<Opened> {
    open(envelope, b"key", Limits::default())
}

#[test]
#[cfg_attr(not(feature = "lz4"), ignore = "needs LZ4")]
fn a_declared_length_beyond_the_limit_is_refused_before_anything_is_allocated() {
    let mut bytes = sealed(&Fields::default(), &[0; 100], Compress::Always);
    bytes[40..44].copy_from_slice(&u32::MAX.to_le_bytes());
    let limit = Limits::default().payload;
    assert_eq!(open_default(&resealed(bytes)).unwrap_err(), Error::TooLong { what: "payload", limit });
}

#[test]
#[cfg_attr(not(feature = "lz4"), ignore = "needs LZ4")]
fn a_declared_length_within_the_limit_but_beyond_lz4_is_refused() {
    let mut bytes = sealed(&Fields::default(), &[0; 100], Compress::Always);
    bytes[40..44].copy_from_slice(&(64_u32 << 20).to_le_bytes());
    assert!(matches!(open_default(&resealed(bytes)), Err(Error::Compression(_))));
}

#[test]
#[cfg_attr(not(feature = "lz4"), ignore = "needs LZ4")]
fn unknown_algorithms_dictionaries_and_flags_are_named() {
    let bytes = sealed(&Fields::default(), &[0; 100], Compress::Always);
    let with = |at: usize, value: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = value;
        open_default(&resealed(bytes)).unwrap_err()
    };
    assert_eq!(with(44, 9), Error::Compression("its algorithm is unknown to this release"));
    assert_eq!(with(45, 1), Error::Compression("its dictionary is unknown to this release"));
    assert_eq!(with(6, 0x80), Error::UnknownFlags(0x8000));
}

#[test]
fn an_encrypted_entry_without_a_key_says_so() {
    // As the drawing has it: key id, nonce length and nonce between the lengths and the payload.
    let mut bytes = sealed(&Fields::default(), b"secret", Compress::Never);
    bytes[6] |= (flag::ENCRYPTED >> 8) as u8;
    let section = [7, 0, 0, 0, 3, 1, 2, 3];
    bytes.splice(44..44, section);
    let envelope = resealed(bytes);
    assert_eq!(open_default(&envelope).unwrap_err(), Error::Encrypted);
    assert!(crate::peek_verified(&envelope).unwrap().encrypted);
}

#[test]
#[cfg_attr(not(feature = "lz4"), ignore = "needs LZ4")]
fn contradictions_behind_a_right_checksum_are_errors() {
    let plain = sealed(&Fields::default(), b"value", Compress::Never);
    let mut tombstone = plain.clone();
    tombstone[5] |= flag::TOMBSTONE as u8;
    assert_eq!(
        open_default(&resealed(tombstone)).unwrap_err(),
        Error::Malformed("a tombstone with a payload")
    );
    let mut compressed = sealed(&Fields::default(), b"", Compress::Always);
    compressed[5] |= flag::TOMBSTONE as u8;
    let found = open_default(&resealed(compressed)).unwrap_err();
    assert_eq!(found, Error::Malformed("a tombstone with a payload"));
    let mut longer = plain.clone();
    longer.insert(44, 0);
    assert_eq!(
        open_default(&resealed(longer)).unwrap_err(),
        Error::Malformed("bytes between payload and checksum")
    );
    let mut shorter = plain;
    shorter.remove(44);
    assert_eq!(open_default(&resealed(shorter)).unwrap_err(), Error::Truncated);
}

#[test]
fn more_tags_than_allowed_and_text_that_is_none_are_errors() {
    let tags: &[&[u8]] = &[b"a"];
    let mut many = sealed(&Fields { tags, ..Fields::default() }, b"", Compress::Never);
    many[32] = 17;
    assert_eq!(open_default(&resealed(many)).unwrap_err(), Error::TooLong { what: "tags", limit: 16 });
    let mut text = sealed(&Fields { content_type: Some("a"), ..Fields::default() }, b"", Compress::Never);
    text[34] = 0xff;
    assert!(matches!(open_default(&resealed(text)), Err(Error::Malformed(_))));
}
