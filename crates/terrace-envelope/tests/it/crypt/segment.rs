//! Records of segments.

use std::collections::HashSet;
use std::sync::Barrier;

use proptest::prelude::*;
use terrace_envelope::Error;
use terrace_envelope::crypt::{Algorithm, Keyring, SegmentCipher, TAG_LEN, random_id};

use super::{ALGORITHMS, CANARY, contains, key, ring};

const ID: [u8; 32] = [9; 32];

fn sealed(cipher: &SegmentCipher, offset: u64, aad: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut record = plain.to_vec();
    cipher.seal(offset, aad, &mut record).unwrap();
    record
}

fn opened(cipher: &SegmentCipher, offset: u64, aad: &[u8], record: &[u8]) -> Result<Vec<u8>, Error> {
    let mut record = record.to_vec();
    let result = cipher.open(offset, aad, &mut record);
    assert!(result.is_ok() || record.is_empty(), "nothing is left to see of what did not open");
    result.map(|()| record)
}

proptest! {
    #[test]
    fn what_was_sealed_opens_and_takes_sixteen_bytes_more(
        plain in prop::collection::vec(any::<u8>(), 0..2000),
        aad in prop::collection::vec(any::<u8>(), 0..50),
        before in prop::collection::vec(any::<u8>(), 0..50),
        offset in 0..u64::MAX,
        id in any::<[u8; 32]>(),
    ) {
        for algorithm in ALGORITHMS {
            let ring = ring(algorithm);
            let cipher = ring.segment(&id, None).unwrap();
            let mut buffer = [before.as_slice(), &plain].concat();
            cipher.seal_from(offset, &aad, &mut buffer, before.len()).unwrap();
            let (untouched, record) = buffer.split_at_mut(before.len());
            prop_assert_eq!(&*untouched, before.as_slice());
            prop_assert_eq!(record.len(), plain.len() + TAG_LEN);

            let reader = ring.segment(&id, Some(1)).unwrap();
            prop_assert_eq!(opened(&reader, offset, &aad, record).unwrap(), plain.as_slice());
            prop_assert_eq!(reader.open_slice(offset, &aad, record), Ok(plain.len()));
            prop_assert_eq!(&record[..plain.len()], plain.as_slice());
        }
    }

    #[test]
    fn bytes_from_anywhere_are_never_a_record(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for algorithm in ALGORITHMS {
            let cipher = ring(algorithm).segment(&ID, None).unwrap();
            let expected = if bytes.len() < TAG_LEN { Error::Truncated } else { Error::Unauthentic };
            prop_assert_eq!(opened(&cipher, 0, b"", &bytes), Err(expected));
        }
    }
}

#[test]
fn every_flipped_bit_and_every_cut_is_refused() {
    for algorithm in ALGORITHMS {
        let cipher = ring(algorithm).segment(&ID, None).unwrap();
        let record = sealed(&cipher, 7, b"aad", b"a record of some length");
        for bit in 0..record.len() * 8 {
            let mut changed = record.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(opened(&cipher, 7, b"aad", &changed), Err(Error::Unauthentic), "bit {bit}");
        }
        for cut in 0..record.len() {
            assert!(opened(&cipher, 7, b"aad", &record[..cut]).is_err(), "cut at {cut}");
        }
    }
}

#[test]
fn a_record_opens_only_in_its_own_place() {
    for algorithm in ALGORITHMS {
        let ring = ring(algorithm);
        let cipher = ring.segment(&ID, None).unwrap();
        let (one, two) = (sealed(&cipher, 100, b"one", b"first"), sealed(&cipher, 200, b"two", b"other"));
        assert_eq!(opened(&cipher, 100, b"one", &one).unwrap(), b"first");
        for (offset, aad, record) in [
            (200, b"one", &one),
            (100, b"two", &one),
            (100, b"one", &two),
            (200, b"one", &two),
            (101, b"one", &one),
        ] {
            assert_eq!(opened(&cipher, offset, aad, record), Err(Error::Unauthentic));
        }
        let elsewhere = ring.segment(&[8; 32], Some(1)).unwrap();
        assert_eq!(opened(&elsewhere, 100, b"one", &one), Err(Error::Unauthentic), "another segment");
    }
}

#[test]
fn rotation_keeps_old_segments_readable_and_a_missing_key_is_named() {
    let (old, new) = (Algorithm::XChaCha20Poly1305, Algorithm::Aes256GcmSiv);
    let before = Keyring::new(key(4, old, 4));
    let cipher = before.segment(&ID, None).unwrap();
    let record = sealed(&cipher, 1, b"", b"old");

    let rotated = Keyring::new(key(5, new, 5)).with_old(key(4, old, 4)).unwrap();
    assert_eq!(rotated.ids().collect::<Vec<_>>(), [5, 4]);
    assert_eq!(rotated.segment(&ID, None).unwrap().key_id(), 5, "new segments use the current key");
    let reader = rotated.segment(&ID, Some(4)).unwrap();
    assert_eq!(reader.confirm(cipher.key_check()), Ok(()));
    assert_eq!(opened(&reader, 1, b"", &record).unwrap(), b"old");

    let dropped = Keyring::new(key(5, new, 5));
    let missing = dropped.segment(&ID, Some(4)).unwrap_err();
    assert_eq!(missing, Error::MissingKey(4));
    assert!(missing.to_string().contains("key number 4"), "{missing}");
    let twice = rotated.with_old(key(4, new, 6)).unwrap_err();
    assert!(twice.to_string().contains("number 4 is given twice"), "{twice}");
}

#[test]
fn a_wrong_key_is_told_from_damage() {
    for algorithm in ALGORITHMS {
        let cipher = Keyring::new(key(1, algorithm, 1)).segment(&ID, None).unwrap();
        for wrong in [key(1, algorithm, 2), key(1, ALGORITHMS[usize::from(algorithm == ALGORITHMS[0])], 1)] {
            let ring = Keyring::new(wrong);
            let other = ring.segment(&ID, Some(1)).unwrap();
            assert_eq!(other.confirm(cipher.key_check()), Err(Error::WrongKey(1)));
            assert_eq!(ring.confirm(1, cipher.key_check()).unwrap_err(), Error::WrongKey(1));
        }
        let error = Error::WrongKey(1).to_string();
        assert!(error.contains("key number 1 is not the one"), "{error}");
    }
}

#[test]
fn no_offset_is_sealed_twice_or_out_of_order() {
    let ring = ring(Algorithm::default());
    let cipher = ring.segment(&ID, None).unwrap();
    sealed(&cipher, 0, b"", b"first");
    sealed(&cipher, 64, b"", b"second");
    for offset in [0, 63, 64, u64::MAX] {
        let mut record = b"again".to_vec();
        assert_eq!(cipher.seal(offset, b"", &mut record), Err(Error::NonceReuse), "{offset}");
        assert_eq!(record, b"again", "what was refused is as it was");
    }
    sealed(&cipher, 65, b"", b"third");
    let reader = ring.segment(&ID, Some(1)).unwrap();
    assert_eq!(reader.seal(1 << 40, b"", &mut vec![1]), Err(Error::NonceReuse), "a segment has one writer");
}

#[test]
fn threads_that_seal_at_the_same_offsets_win_each_of_them_at_most_once() {
    let cipher = ring(Algorithm::default()).segment(&ID, None).unwrap();
    let start = Barrier::new(4);
    let won: Vec<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    (0..5000)
                        .filter(|offset| cipher.seal(*offset, b"", &mut vec![1]).is_ok())
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(won.iter().collect::<HashSet<_>>().len(), won.len());
    assert!(won.contains(&4999));
}

#[test]
fn segments_and_offsets_never_share_a_key_stream() {
    // Zeros encrypted are the key stream itself: no two of them may begin alike.
    for algorithm in ALGORITHMS {
        let ring = ring(algorithm);
        let mut seen = HashSet::new();
        for _ in 0..20 {
            let cipher = ring.segment(&random_id().unwrap(), None).unwrap();
            for offset in 0..500 {
                assert!(seen.insert(sealed(&cipher, offset, b"", &[0; 16])[..16].to_vec()));
            }
        }
        assert_eq!(seen.len(), 10_000);
    }
}

#[test]
fn nothing_that_was_encrypted_and_no_key_is_ever_shown() {
    for algorithm in ALGORITHMS {
        let ring = Keyring::new(key(1, algorithm, b'K')).with_old(key(2, algorithm, b'O')).unwrap();
        let cipher = ring.segment(&ID, None).unwrap();
        let record = sealed(&cipher, 3, CANARY, &CANARY.repeat(20));
        assert!(!contains(&record, &CANARY[..8]));
        let shown = format!("{ring:?} {ring:#?} {cipher:?} {:?}", ring.current());
        for secret in ["75, 75", "79, 79", "4b4b", "4f4f", "KKK", "OOO"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(shown.contains("id: 1"), "{shown}");
    }
}
