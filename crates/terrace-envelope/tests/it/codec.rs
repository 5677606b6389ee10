//! Values through the codec: round trips, damage and bombs.

use proptest::prelude::*;
use terrace_envelope::codec::{Coder, Dictionary, decoded_len, is_built};
use terrace_envelope::{Compression, Error};

const ALL: [Compression; 3] = [Compression::None, Compression::Lz4, Compression::Zstd];

/// Records that have something in common.
fn record(number: u32) -> Vec<u8> {
    let mixed = number.wrapping_mul(0x9e37_79b9);
    format!(
        r#"{{"id":{number},"name":"customer {}","balance":{}.{:02},"active":{}}}"#,
        mixed % 1000,
        mixed >> 20,
        mixed % 100,
        mixed.is_multiple_of(2)
    )
    .into_bytes()
}

fn trained() -> Dictionary {
    let samples: Vec<Vec<u8>> = (0..3000).map(record).collect();
    let lengths: Vec<usize> = samples.iter().map(Vec::len).collect();
    Dictionary::train(&samples.concat(), &lengths, 2048).unwrap()
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded(value in prop::collection::vec(0..8_u8, 0..3000)) {
        let mut coder = Coder::new();
        for how in ALL {
            let (mut encoded, mut out) = (b"before".to_vec(), b"before".to_vec());
            let len = coder.encode(how, None, &value, &mut encoded).unwrap();
            prop_assert_eq!(len, encoded.len() - 6);
            prop_assert_eq!(decoded_len(how, &encoded[6..]), Ok(value.len()));
            prop_assert_eq!(coder.decode(how, None, &encoded[6..], 3000, &mut out), Ok(value.len()));
            prop_assert_eq!(&out[6..], &value);
        }
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut coder = Coder::new();
        let dictionary = trained();
        for how in [Compression::Lz4, Compression::Zstd] {
            for dictionary in [None, Some(&dictionary)] {
                let mut out = b"before".to_vec();
                match coder.decode(how, dictionary, &bytes, 100_000, &mut out) {
                    Ok(len) => prop_assert_eq!(out.len(), 6 + len),
                    Err(_) => prop_assert_eq!(out.as_slice(), b"before"),
                }
            }
        }
    }
}

#[test]
fn a_dictionary_shortens_small_values_and_survives_as_bytes() {
    let dictionary = trained();
    let again = Dictionary::new(dictionary.as_bytes()).unwrap();
    assert_eq!(again.as_bytes(), dictionary.as_bytes());
    assert!(dictionary.heap_bytes() > dictionary.as_bytes().len());
    let mut coder = Coder::new();
    let (mut plain, mut with) = (0, 0);
    for number in 10_000..10_100 {
        let value = record(number);
        let (mut encoded, mut out) = (Vec::new(), Vec::new());
        plain += coder.encode(Compression::Zstd, None, &value, &mut encoded).unwrap();
        encoded.clear();
        with += coder.encode(Compression::Zstd, Some(&dictionary), &value, &mut encoded).unwrap();
        coder.decode(Compression::Zstd, Some(&again), &encoded, 1000, &mut out).unwrap();
        assert_eq!(out, value);
        // Without it, or by another algorithm, the value is not to be had.
        out.clear();
        assert!(coder.decode(Compression::Zstd, None, &encoded, 1000, &mut out).is_err() || out != value);
    }
    assert!(with * 2 < plain, "{with} bytes with the dictionary, {plain} without");
}

#[test]
fn what_is_no_dictionary_is_refused() {
    for content in [&b""[..], b"short", &[7; 5000], &[0x37, 0xa4, 0x30, 0xec, 1, 2, 3, 4, 5]] {
        assert!(matches!(Dictionary::new(content), Err(Error::Compression(_))));
    }
    assert!(matches!(Dictionary::train(&[], &[], 1024), Err(Error::Compression(_))));
    assert!(matches!(Dictionary::train(b"abc", &[2], 1024), Err(Error::Compression(_))));
}

#[test]
fn bombs_are_refused_by_their_length_before_anything_is_allocated() {
    let mut coder = Coder::new();
    for how in [Compression::Lz4, Compression::Zstd] {
        assert!(is_built(how));
        let mut encoded = Vec::new();
        coder.encode(how, None, &vec![0; 30 << 20], &mut encoded).unwrap();
        let mut out = Vec::new();
        let refused = coder.decode(how, None, &encoded, 1 << 20, &mut out);
        assert_eq!(refused, Err(Error::TooLong { what: "value", limit: 1 << 20 }));
        assert_eq!(out.capacity(), 0);
        // The same claim over nearly nothing.
        let claim = encoded.get(..12).unwrap();
        assert!(matches!(decoded_len(how, claim), Err(Error::Compression(_))), "{how:?}");
    }
}

#[test]
fn every_cut_is_refused() {
    let mut coder = Coder::new();
    let value = record(1).repeat(20);
    for how in [Compression::Lz4, Compression::Zstd] {
        let mut encoded = Vec::new();
        coder.encode(how, None, &value, &mut encoded).unwrap();
        for cut in 0..encoded.len() {
            let mut out = Vec::new();
            assert!(coder.decode(how, None, &encoded[..cut], 1 << 20, &mut out).is_err(), "{how:?} at {cut}");
            assert!(out.is_empty());
        }
    }
}
