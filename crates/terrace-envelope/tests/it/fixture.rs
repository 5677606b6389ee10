//! Envelopes kept from each release stay readable, and are still written the same.
//!
//! The file is a sequence of envelopes, each after its length as a little-endian u32.

use bytes::Bytes;
use terrace_envelope::{Limits, open};

use crate::sample::samples;

const V1: &[u8] = include_bytes!("../fixtures/v1.bin");

pub(crate) fn split(mut file: &'static [u8]) -> Vec<Bytes> {
    let mut envelopes = Vec::new();
    while let Some((len, rest)) = file.split_first_chunk::<4>() {
        let (envelope, rest) = rest.split_at(u32::from_le_bytes(*len) as usize);
        envelopes.push(Bytes::from_static(envelope));
        file = rest;
    }
    assert!(file.is_empty());
    envelopes
}

#[test]
#[cfg_attr(not(feature = "lz4"), ignore = "needs LZ4")]
fn envelopes_of_format_1_stay_readable() {
    let kept = split(V1);
    assert_eq!(kept.len(), samples().len());
    for (envelope, sample) in kept.iter().zip(samples()) {
        sample.assert_is(&open(envelope, sample.key, Limits::default()).unwrap());
    }
}

#[test]
#[cfg_attr(not(feature = "lz4"), ignore = "needs LZ4")]
fn the_same_fields_become_the_same_bytes() {
    for (envelope, sample) in split(V1).iter().zip(samples()) {
        assert_eq!(sample.seal(), sample.seal(), "{}", sample.name);
        // A newer LZ4 may find a shorter block for the same payload; that is no change of the format.
        if open(envelope, sample.key, Limits::default()).unwrap().compression() == Default::default() {
            assert_eq!(sample.seal(), envelope, "{}", sample.name);
        }
    }
}

#[test]
#[ignore = "makes the fixture of a new format; a kept file is never written again"]
fn write_the_fixture() {
    use std::io::Write;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/v1.bin");
    let mut file = std::fs::File::create_new(path).unwrap();
    for sample in samples() {
        let envelope = sample.seal();
        file.write_all(&(envelope.len() as u32).to_le_bytes()).unwrap();
        file.write_all(&envelope).unwrap();
    }
}
