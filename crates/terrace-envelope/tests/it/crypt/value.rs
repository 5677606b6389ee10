//! Whole values, by themselves and as payloads of envelopes.

use std::collections::HashSet;

use proptest::prelude::*;
use terrace_envelope::Error;
use terrace_envelope::crypt::{Algorithm, Keyring, Place, TAG_LEN, VALUE_OVERHEAD, value_key_id};

use super::{ALGORITHMS, CANARY, contains, key, ring};

const PLACE: Place<'static> = Place { namespace: b"users", key: b"ada", version: 7 };

fn sealed(ring: &Keyring, place: &Place<'_>, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    ring.seal_value(place, value, &mut out).unwrap();
    out
}

fn opened(ring: &Keyring, place: &Place<'_>, sealed: &[u8]) -> Result<Vec<u8>, Error> {
    let mut out = b"before".to_vec();
    let result = ring.open_value(place, sealed, &mut out);
    assert_eq!(&out[..6], b"before");
    assert_eq!(result.map_or(0, |len| len), out.len() - 6, "what did not open leaves nothing behind");
    result.map(|_| out.split_off(6))
}

proptest! {
    #[test]
    fn what_was_sealed_opens_in_its_place(
        value in prop::collection::vec(any::<u8>(), 0..2000),
        namespace in prop::collection::vec(any::<u8>(), 0..20),
        key in prop::collection::vec(any::<u8>(), 0..20),
        version in any::<u64>(),
    ) {
        let place = Place { namespace: &namespace, key: &key, version };
        for algorithm in ALGORITHMS {
            let ring = ring(algorithm);
            let sealed = sealed(&ring, &place, &value);
            prop_assert!(sealed.len() <= value.len() + VALUE_OVERHEAD);
            prop_assert_eq!(opened(&ring, &place, &sealed), Ok(value.clone()));
        }
    }

    #[test]
    fn bytes_from_anywhere_are_never_a_value(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for form in [None, Some(1)] {
            let bytes = [form.as_slice(), &bytes].concat();
            prop_assert!(opened(&ring(Algorithm::default()), &PLACE, &bytes).is_err());
        }
    }
}

#[test]
fn a_value_takes_what_the_drawing_says() {
    for (algorithm, nonce) in [(Algorithm::XChaCha20Poly1305, 24), (Algorithm::Aes256GcmSiv, 12)] {
        let ring = ring(algorithm);
        let value = sealed(&ring, &PLACE, b"value");
        assert_eq!(value.len(), 10 + nonce + 5 + TAG_LEN);
        assert_eq!(value[0], 1);
        assert_eq!(value[1..5], 1_u32.to_le_bytes());
        assert_eq!(value[5..9], ring.current().check().to_le_bytes());
        assert_eq!(usize::from(value[9]), nonce);
        assert_eq!(value_key_id(&value), Ok(1));
    }
}

#[test]
fn a_value_opens_only_in_its_own_place() {
    for algorithm in ALGORITHMS {
        let ring = ring(algorithm);
        let value = sealed(&ring, &PLACE, b"value");
        for other in [
            Place { namespace: b"user", key: b"sada", ..PLACE },
            Place { namespace: b"usersa", key: b"da", ..PLACE },
            Place { namespace: b"", ..PLACE },
            Place { key: b"adb", ..PLACE },
            Place { version: 6, ..PLACE },
            Place { version: 0, ..PLACE },
        ] {
            assert_eq!(opened(&ring, &other, &value), Err(Error::Unauthentic), "{other:?}");
        }
    }
}

#[test]
fn every_flipped_bit_and_every_cut_is_refused() {
    for algorithm in ALGORITHMS {
        let ring = ring(algorithm);
        let value = sealed(&ring, &PLACE, b"a value");
        for bit in 0..value.len() * 8 {
            let mut changed = value.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let expected = match bit / 8 {
                0 => Error::UnsupportedVersion(changed[0]),
                1..5 => Error::MissingKey(u32::from_le_bytes(changed[1..5].try_into().unwrap())),
                5..9 => Error::WrongKey(1),
                9 => continue,
                _ => Error::Unauthentic,
            };
            assert_eq!(opened(&ring, &PLACE, &changed), Err(expected), "bit {bit}");
        }
        for len in 0..=u8::MAX {
            let mut changed = value.clone();
            changed[9] = len;
            assert_eq!(opened(&ring, &PLACE, &changed).is_ok(), changed == value, "nonce of {len}");
        }
        for cut in 0..value.len() {
            assert!(opened(&ring, &PLACE, &value[..cut]).is_err(), "cut at {cut}");
        }
    }
}

#[test]
fn keys_missing_and_wrong_are_named() {
    let (one, two) = (ALGORITHMS[0], ALGORITHMS[1]);
    let value = sealed(&Keyring::new(key(3, one, 3)), &PLACE, b"value");
    let rotated = Keyring::new(key(4, two, 4)).with_old(key(3, one, 3)).unwrap();
    assert_eq!(opened(&rotated, &PLACE, &value), Ok(b"value".to_vec()));
    assert_eq!(opened(&Keyring::new(key(4, two, 4)), &PLACE, &value), Err(Error::MissingKey(3)));
    assert_eq!(opened(&Keyring::new(key(3, one, 4)), &PLACE, &value), Err(Error::WrongKey(3)));
    assert_eq!(opened(&Keyring::new(key(3, two, 3)), &PLACE, &value), Err(Error::WrongKey(3)));
}

#[test]
fn equal_values_look_different_and_no_nonce_comes_twice() {
    for algorithm in ALGORITHMS {
        let ring = ring(algorithm);
        let mut nonces = HashSet::new();
        for _ in 0..2000 {
            let value = sealed(&ring, &PLACE, CANARY);
            assert!(!contains(&value, CANARY));
            assert!(nonces.insert(value[10..10 + algorithm.nonce_len()].to_vec()));
        }
    }
}
