//! Any damage is noticed: never a wrong value, never a panic.

use bytes::Bytes;
use proptest::prelude::*;
use terrace_envelope::{Error, Limits, open, peek, peek_verified};

use crate::sample::samples;

#[test]
fn every_flipped_bit_is_noticed() {
    for sample in samples() {
        let sound = sample.seal();
        for bit in 0..sound.len() * 8 {
            let mut bytes = sound.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let found = open(&Bytes::from(bytes.clone()), sample.key, Limits::default());
            let expected = match bit / 8 {
                0..4 => Error::BadMagic,
                4 => Error::UnsupportedVersion(bytes[4]),
                _ => Error::Checksum,
            };
            assert_eq!(found.unwrap_err(), expected, "{}: bit {bit}", sample.name);
            assert_eq!(peek_verified(&bytes).unwrap_err(), expected, "{}: bit {bit}", sample.name);
            // It promises nothing about damage, but to answer.
            let _ = peek(&bytes);
        }
    }
}

#[test]
fn every_truncation_is_noticed() {
    for sample in samples() {
        let sound = sample.seal();
        for len in 0..sound.len() {
            let cut = sound.slice(..len);
            let found = open(&cut, sample.key, Limits::default()).unwrap_err();
            assert!(matches!(found, Error::Truncated | Error::Checksum), "{}: {len}: {found:?}", sample.name);
            assert_eq!(peek_verified(&cut).unwrap_err(), found);
            if let Ok(front) = peek(&cut) {
                assert_eq!(Ok(front), peek(&sound), "{}: what is there is read right", sample.name);
            }
        }
    }
}

#[test]
fn bytes_after_an_envelope_are_noticed() {
    for sample in samples() {
        for extra in [&[0][..], &sample.seal()] {
            let longer = Bytes::from([&sample.seal(), extra].concat());
            assert_eq!(open(&longer, sample.key, Limits::default()).unwrap_err(), Error::Checksum);
        }
    }
}

proptest! {
    #[test]
    fn bytes_from_anywhere_are_never_an_entry(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(open(&Bytes::from(bytes.clone()), b"key", Limits::default()).is_err());
        prop_assert!(peek_verified(&bytes).is_err());
        prop_assert!(peek(&bytes).is_err());
    }

    #[test]
    fn overwriting_any_stretch_is_noticed(
        which in 0..samples().len(),
        at in any::<prop::sample::Index>(),
        noise in proptest::collection::vec(any::<u8>(), 1..40),
    ) {
        let sample = &samples()[which];
        let sound = sample.seal();
        let mut bytes = sound.to_vec();
        let at = at.index(bytes.len());
        for (place, value) in bytes[at..].iter_mut().zip(&noise) {
            *place = *value;
        }
        let found = open(&Bytes::from(bytes.clone()), sample.key, Limits::default());
        prop_assert_eq!(found.is_ok(), bytes == sound);
    }
}
