//! Values through the codec: round trips, damage and bombs, for each algorithm of the build.

mod adaptive;
mod allocation;
#[cfg(feature = "zstd")]
mod dictionary;
mod fixture;
pub(crate) mod kinds;

use proptest::prelude::*;
use terrace_envelope::codec::{ALGORITHMS, Coder, Frame, decoded_len, is_built};
use terrace_envelope::{Compression, Error};

/// The algorithms of this build that make values smaller.
fn built() -> impl Iterator<Item = Compression> {
    ALGORITHMS.into_iter().filter(|how| is_built(*how))
}

fn encoded(how: Compression, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Coder::new().encode(how, None, value, &mut out).unwrap();
    out
}

/// Noise, which does not compress, and repetition, which does.
fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..600),
        prop::collection::vec(0..8_u8, 0..3000),
        (prop::collection::vec(any::<u8>(), 0..20), 0_usize..400)
            .prop_map(|(unit, times)| unit.repeat(times)),
    ]
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded(values in prop::collection::vec(value(), 1..4)) {
        // One coder for all of them: what an earlier value left behind must not show.
        let mut coder = Coder::new();
        for value in &values {
            for how in built().chain([Compression::None]) {
                let (mut encoded, mut out) = (b"before".to_vec(), b"before".to_vec());
                let len = coder.encode(how, None, value, &mut encoded).unwrap();
                prop_assert_eq!(len, encoded.len() - 6);
                prop_assert_eq!(decoded_len(how, &encoded[6..]), Ok(value.len()));
                prop_assert_eq!(coder.decode(how, None, &encoded[6..], value.len(), &mut out), Ok(value.len()));
                prop_assert_eq!(&out[6..], value.as_slice());
                prop_assert_eq!(&out[..6], b"before");
            }
        }
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut coder = Coder::new();
        for how in built() {
            let mut out = b"before".to_vec();
            match coder.decode(how, None, &bytes, 100_000, &mut out) {
                Ok(len) => prop_assert_eq!(out.len(), 6 + len),
                Err(_) => prop_assert_eq!(out.as_slice(), b"before"),
            }
        }
    }

    #[test]
    fn damage_gives_an_error_or_a_value_of_the_declared_length(
        value in value(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut coder = Coder::new();
        for how in built() {
            let mut bytes = encoded(how, &value);
            for (at, noise) in &flips {
                let at = at.index(bytes.len());
                bytes[at] ^= noise;
            }
            let (declared, mut out) = (decoded_len(how, &bytes), Vec::new());
            if let Ok(len) = coder.decode(how, None, &bytes, 100_000, &mut out) {
                prop_assert_eq!((Ok(len), len), (declared, out.len()));
            }
            // The coder is none the worse for it.
            let (again, mut out) = (encoded(how, &value), Vec::new());
            coder.decode(how, None, &again, value.len(), &mut out).unwrap();
            prop_assert_eq!(&out, &value);
        }
    }
}

#[test]
fn values_of_every_size_come_back() {
    let mut coder = Coder::new();
    for len in [0, 1, 2, 15, 16, 255, 4096, 65_534, 65_535, 65_536, 300_000, 3 << 20] {
        let value: Vec<u8> = b"what lies in a cache; ".iter().copied().cycle().take(len).collect();
        for how in built() {
            let (mut encoded, mut out) = (Vec::new(), Vec::new());
            coder.encode(how, None, &value, &mut encoded).unwrap();
            coder.decode(how, None, &encoded, len, &mut out).unwrap();
            assert!(out == value, "{how:?} of {len} bytes");
            assert!(len < 255 || encoded.len() < len / 2, "{how:?}: {} of {len} bytes", encoded.len());
        }
    }
}

#[test]
fn a_longer_value_than_the_limit_is_refused() {
    for how in built() {
        let bytes = encoded(how, &[7; 101]);
        let mut out = Vec::new();
        let refused = Coder::new().decode(how, None, &bytes, 100, &mut out);
        assert_eq!(refused, Err(Error::TooLong { what: "value", limit: 100 }));
        assert_eq!(out.capacity(), 0);
    }
}

#[test]
fn every_cut_and_every_byte_too_many_is_refused() {
    let mut coder = Coder::new();
    let value = kinds::json(1).repeat(8);
    for how in built() {
        let bytes = encoded(how, &value);
        for cut in 0..bytes.len() {
            let mut out = Vec::new();
            assert!(coder.decode(how, None, &bytes[..cut], 1 << 20, &mut out).is_err(), "{how:?} at {cut}");
            assert!(out.is_empty());
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert!(coder.decode(how, None, &longer, 1 << 20, &mut Vec::new()).is_err(), "{how:?}");
    }
}

#[test]
fn an_algorithm_that_was_left_out_says_so() {
    for how in ALGORITHMS.into_iter().filter(|how| !is_built(*how)) {
        let refused = Coder::new().encode(how, None, b"value", &mut Vec::new());
        assert_eq!(refused, Err(Error::Compression("its algorithm was left out of this build")));
        assert_eq!(decoded_len(how, b"value"), refused);
    }
}

#[test]
fn the_numbers_of_algorithms_are_those_of_the_drawing() {
    const DRAWING: &str = include_str!("../../../../../docs/envelope.md");
    for (how, id) in ALGORITHMS.into_iter().chain([Compression::None]).zip([1, 2, 3, 4, 5, 0]) {
        assert_eq!((how.id(), Compression::from_id(id)), (id, Some(how)));
        assert!(DRAWING.contains(&format!("| {id} | {} |", how.name())), "{how:?} is not drawn as {id}");
    }
    assert_eq!((6..=255).find_map(Compression::from_id), None);
}

#[test]
fn a_frame_says_how_it_was_made() {
    for how in built().chain([Compression::None]) {
        let mut framed = Vec::new();
        Frame::begin(how, None, &mut framed);
        Coder::new().encode(how, None, b"a value", &mut framed).unwrap();
        assert_eq!(framed[0], how.id());
        let frame = Frame::read(&framed).unwrap();
        assert_eq!((frame.how, frame.dictionary), (how, None));
        let mut value = Vec::new();
        Coder::new().decode(how, None, frame.encoded, 100, &mut value).unwrap();
        assert_eq!(value, b"a value");
    }
    assert_eq!(Frame::read(&[]), Err(Error::Truncated));
    assert_eq!(Frame::read(&[0x82, 1, 2, 3]), Err(Error::Truncated));
    for unknown in [&[6][..], &[0x7f], &[0xff, 1, 2, 3, 4], &[0x81, 1, 2, 3, 4], &[0x80, 0, 0, 0, 0]] {
        assert!(matches!(Frame::read(unknown), Err(Error::Compression(_))), "{unknown:?}");
    }
}
