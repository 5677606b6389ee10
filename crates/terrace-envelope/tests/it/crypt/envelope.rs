//! Encrypted envelopes: only the payload is hidden, and nothing can be exchanged.

use bytes::Bytes;
use terrace_envelope::crypt::{Algorithm, Keyring};
use terrace_envelope::{
    Compress, Error, Fields, Header, Limits, Opened, open, open_encrypted, peek_verified, seal,
    seal_encrypted,
};
use xxhash_rust::xxh3::xxh3_64;

use super::{ALGORITHMS, CANARY, contains, key, ring};
use crate::sample::{assert_same, samples};

fn sealed(fields: &Fields<'_>, payload: &[u8], compress: Compress, ring: &Keyring) -> Bytes {
    let mut out = b"before".to_vec();
    seal_encrypted(fields, b"key", payload, compress, Limits::default(), ring, &mut out).unwrap();
    Bytes::from(out).slice(6..)
}

fn opened(envelope: &Bytes, ring: &Keyring) -> Result<Opened, Error> {
    open_encrypted(envelope, b"key", Limits::default(), ring)
}

/// Puts the right checksum under an envelope that was tampered with, as a forger would.
fn with_checksum(mut bytes: Vec<u8>) -> Bytes {
    let body = bytes.len() - 8;
    let sum = xxh3_64(&bytes[..body]);
    bytes[body..].copy_from_slice(&sum.to_le_bytes());
    Bytes::from(bytes)
}

#[test]
fn every_sample_comes_back_encrypted() {
    for algorithm in ALGORITHMS {
        let ring = ring(algorithm);
        for sample in samples() {
            let envelope = sealed(&sample.fields, &sample.payload, sample.compress, &ring);
            let found = opened(&envelope, &ring).unwrap();
            assert_same(sample.name, &sample.fields, &sample.payload, &found);
            assert_eq!(found.encrypted_with(), Some(1));
            let plain = open(&sample.seal(), sample.key, Limits::default()).unwrap();
            assert_eq!(found.compression(), plain.compression(), "{}", sample.name);
            assert_eq!(
                envelope.len(),
                sample.seal().len() + 9 + algorithm.nonce_len() + 16,
                "{}",
                sample.name
            );
            assert!(peek_verified(&envelope).unwrap().encrypted);
            assert_eq!(open(&envelope, b"key", Limits::default()).unwrap_err(), Error::Encrypted);
        }
    }
}

#[test]
fn plain_envelopes_open_with_a_keyring_and_say_that_they_are_plain() {
    for sample in samples() {
        let found =
            open_encrypted(&sample.seal(), sample.key, Limits::default(), &ring(Algorithm::default()))
                .unwrap();
        sample.assert_is(&found);
        assert_eq!(found.encrypted_with(), None);
    }
}

#[test]
#[cfg_attr(not(feature = "lz4"), ignore = "needs LZ4")]
fn no_bit_can_be_changed_even_by_one_who_mends_the_checksum() {
    let header = Header { expires_ms: 5, stamp: 9, priority: 1, version: 3, ..Header::default() };
    let fields =
        Fields { header, tags: &[b"tag"], content_type: Some("text/plain"), metadata: &[("k", "v")] };
    for algorithm in ALGORITHMS {
        let ring = ring(algorithm);
        for compress in [Compress::Never, Compress::Always] {
            let sound = sealed(&fields, &CANARY.repeat(4), compress, &ring);
            for bit in 0..(sound.len() - 8) * 8 {
                let mut bytes = sound.to_vec();
                bytes[bit / 8] ^= 1 << (bit % 8);
                let found = opened(&with_checksum(bytes.clone()), &ring);
                // The one way around the key is to take away the flag: what is left is no payload of its length.
                assert!(found.is_err(), "bit {bit}: {found:?}");
            }
        }
    }
}

#[test]
fn an_envelope_opens_only_under_its_whole_key() {
    let ring = ring(Algorithm::default());
    let envelope = sealed(&Fields::default(), b"value", Compress::Never, &ring);
    let other = open_encrypted(&envelope, b"kez", Limits::default(), &ring).unwrap_err();
    assert_eq!(other, Error::KeyMismatch, "noticed by its hash");
    // A stranger can make two keys with one hash: the place of the hash is changed to that of another key.
    let mut bytes = envelope.to_vec();
    bytes[32..40].copy_from_slice(&terrace_envelope::key_hash(b"kez").to_le_bytes());
    let found = open_encrypted(&with_checksum(bytes), b"kez", Limits::default(), &ring);
    assert_eq!(found.unwrap_err(), Error::Unauthentic);
}

#[test]
fn keys_missing_and_wrong_are_named_and_rotation_keeps_the_old_ones() {
    let (one, two) = (ALGORITHMS[0], ALGORITHMS[1]);
    let envelope = sealed(&Fields::default(), b"value", Compress::Never, &Keyring::new(key(3, one, 3)));
    assert_eq!(opened(&envelope, &Keyring::new(key(4, one, 3))).unwrap_err(), Error::MissingKey(3));
    assert_eq!(opened(&envelope, &Keyring::new(key(3, one, 4))).unwrap_err(), Error::WrongKey(3));
    let rotated = Keyring::new(key(4, two, 4)).with_old(key(3, one, 3)).unwrap();
    assert_eq!(opened(&envelope, &rotated).unwrap().payload(), &b"value"[..]);
    assert_eq!(opened(&envelope, &rotated).unwrap().encrypted_with(), Some(3));
}

#[test]
#[cfg_attr(not(feature = "lz4"), ignore = "needs LZ4")]
fn the_payload_is_nowhere_to_be_seen() {
    for algorithm in ALGORITHMS {
        for compress in [Compress::Never, Compress::Always] {
            let envelope = sealed(&Fields::default(), &CANARY.repeat(50), compress, &ring(algorithm));
            assert!(!contains(&envelope, &CANARY[..8]));
        }
    }
    let mut plain = Vec::new();
    seal(&Fields::default(), b"key", CANARY, Compress::Never, Limits::default(), &mut plain).unwrap();
    assert!(contains(&plain, CANARY), "the test itself can see it");
}

#[test]
#[cfg_attr(not(feature = "lz4"), ignore = "needs LZ4")]
fn limits_hold_for_encrypted_payloads() {
    let (ring, limits) = (ring(Algorithm::default()), Limits { payload: 100 });
    let refused = Error::TooLong { what: "payload", limit: 100 };
    let mut out = b"before".to_vec();
    let found =
        seal_encrypted(&Fields::default(), b"key", &[0; 101], Compress::Always, limits, &ring, &mut out);
    assert_eq!((found, out.as_slice()), (Err(refused), &b"before"[..]));
    for compress in [Compress::Never, Compress::Always] {
        let envelope = sealed(&Fields::default(), &[0; 101], compress, &ring);
        assert_eq!(open_encrypted(&envelope, b"key", limits, &ring).unwrap_err(), refused);
    }
}
