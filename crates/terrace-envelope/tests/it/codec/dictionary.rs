//! Dictionaries: trained, stored, and named by values.

use std::sync::LazyLock;

use proptest::prelude::*;
use terrace_envelope::codec::{Coder, Dictionary, Frame};
use terrace_envelope::{Compression, Error};
use xxhash_rust::xxh3::xxh3_64;

use super::kinds::json;

fn trained() -> Dictionary {
    let samples: Vec<Vec<u8>> = (0..3000).map(json).collect();
    let lengths: Vec<usize> = samples.iter().map(Vec::len).collect();
    Dictionary::train(&samples.concat(), &lengths, 2048).unwrap()
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        static TRAINED: LazyLock<Dictionary> = LazyLock::new(trained);
        let mut out = b"before".to_vec();
        match Coder::new().decode(Compression::Zstd, Some(&TRAINED), &bytes, 100_000, &mut out) {
            Ok(len) => prop_assert_eq!(out.len(), 6 + len),
            Err(_) => prop_assert_eq!(out.as_slice(), b"before"),
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
        let value = json(number);
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
fn a_stored_dictionary_is_read_with_its_number_and_every_damage_is_noticed() {
    let dictionary = trained().with_id(7);
    let mut stored = Vec::new();
    dictionary.store(&mut stored).unwrap();
    assert_eq!(stored.len(), dictionary.as_bytes().len() + 22);
    let again = Dictionary::from_stored(&stored).unwrap();
    assert_eq!((again.id(), again.as_bytes()), (7, dictionary.as_bytes()));
    for at in 0..stored.len() {
        let mut changed = stored.clone();
        changed[at] ^= 1 << (at % 8);
        let expected = match at {
            0..4 => Error::BadMagic,
            4 => Error::UnsupportedVersion(changed[4]),
            _ => Error::Checksum,
        };
        assert_eq!(Dictionary::from_stored(&changed).unwrap_err(), expected, "byte {at}");
    }
    for cut in 0..stored.len() {
        assert!(Dictionary::from_stored(&stored[..cut]).is_err(), "cut at {cut}");
    }
    stored.push(0);
    assert_eq!(Dictionary::from_stored(&stored).unwrap_err(), Error::Checksum);
}

#[test]
fn contradictions_behind_a_right_checksum_are_errors() {
    let mut stored = Vec::new();
    trained().store(&mut stored).unwrap();
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = stored[..stored.len() - 8].to_vec();
        change(&mut bytes);
        let sum = xxh3_64(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        Dictionary::from_stored(&bytes).unwrap_err()
    };
    assert!(matches!(with(&|bytes| bytes[5] = 5), Error::Compression(_)), "another algorithm");
    assert!(matches!(with(&|bytes| bytes[14] ^= 1), Error::Compression(_)), "no dictionary");
    assert_eq!(with(&|bytes| bytes[13] = 0xff), Error::TooLong { what: "dictionary", limit: 16 << 20 });
    assert_eq!(with(&|bytes| bytes.truncate(500)), Error::Truncated);
    assert_eq!(with(&|bytes| bytes.push(0)), Error::Malformed("bytes behind the dictionary"));
}

#[test]
fn a_frame_names_the_dictionary_that_it_needs() {
    let dictionary = trained().with_id(0x0102_0304);
    let mut framed = Vec::new();
    Frame::begin(Compression::Zstd, Some(&dictionary), &mut framed);
    Coder::new().encode(Compression::Zstd, Some(&dictionary), &json(9), &mut framed).unwrap();
    assert_eq!(framed[..5], [0x82, 4, 3, 2, 1]);
    let frame = Frame::read(&framed).unwrap();
    assert_eq!((frame.how, frame.dictionary), (Compression::Zstd, Some(dictionary.id())));
    let mut value = Vec::new();
    Coder::new().decode(frame.how, Some(&dictionary), frame.encoded, 1000, &mut value).unwrap();
    assert_eq!(value, json(9));
    framed.clear();
    Frame::begin(Compression::Lz4, Some(&dictionary), &mut framed);
    assert_eq!(framed, [1], "an algorithm that takes no dictionary names none");
}
