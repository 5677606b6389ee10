//! What was encrypted by each release stays readable.
//!
//! The file is a sequence of pieces, each after its length as a little-endian u32: for each algorithm every sample
//! as an envelope, one value by itself, and one record of a segment.

use bytes::Bytes;
use terrace_envelope::crypt::{Algorithm, Key, Keyring, Place, Secret};
use terrace_envelope::{Limits, open_encrypted, seal_encrypted};

use super::ALGORITHMS;
use crate::fixture::split;
use crate::sample::samples;

const KEPT: &[u8] = include_bytes!("../../fixtures/encrypted-1.bin");

const PLACE: Place<'static> = Place { namespace: b"users", key: b"ada", version: 7 };
const SEGMENT: [u8; 32] = [3; 32];
const OFFSET: u64 = 4096;
const AAD: &[u8] = b"associated";
const TEXT: &[u8] = b"what was encrypted then";

fn ring(algorithm: Algorithm) -> Keyring {
    let secret: [u8; 32] = std::array::from_fn(|at| at as u8);
    Keyring::new(Key::new(1, algorithm, Secret::new(&secret)))
}

/// A record's bytes depend on nothing random.
fn record(ring: &Keyring) -> Vec<u8> {
    let mut record = TEXT.to_vec();
    ring.segment(&SEGMENT, None).unwrap().seal(OFFSET, AAD, &mut record).unwrap();
    record
}

#[test]
#[cfg_attr(not(feature = "lz4"), ignore = "needs LZ4")]
fn what_was_encrypted_before_stays_readable() {
    let mut kept = split(KEPT).into_iter();
    for algorithm in ALGORITHMS {
        let ring = ring(algorithm);
        for sample in samples() {
            let found = open_encrypted(&kept.next().unwrap(), sample.key, Limits::default(), &ring).unwrap();
            sample.assert_is(&found);
            assert_eq!(found.encrypted_with(), Some(1));
        }
        let mut value = Vec::new();
        ring.open_value(&PLACE, &kept.next().unwrap(), &mut value).unwrap();
        assert_eq!(value, TEXT);
        let kept = kept.next().unwrap();
        assert_eq!(kept, record(&ring));
        let mut found = kept.to_vec();
        ring.segment(&SEGMENT, Some(1)).unwrap().open(OFFSET, AAD, &mut found).unwrap();
        assert_eq!(found, TEXT);
    }
    assert_eq!(kept.next(), None::<Bytes>);
}

#[test]
#[ignore = "makes the fixture of a new format; a kept file is never written again"]
fn write_the_fixture() {
    let mut pieces = Vec::new();
    for algorithm in ALGORITHMS {
        let ring = ring(algorithm);
        for sample in samples() {
            let (compress, limits) = (sample.compress, Limits::default());
            let mut out = Vec::new();
            seal_encrypted(&sample.fields, sample.key, &sample.payload, compress, limits, &ring, &mut out)
                .unwrap();
            pieces.push(out);
        }
        let mut value = Vec::new();
        ring.seal_value(&PLACE, TEXT, &mut value).unwrap();
        pieces.extend([value, record(&ring)]);
    }
    let file: Vec<u8> = pieces
        .iter()
        .flat_map(|piece| [&(piece.len() as u32).to_le_bytes(), piece.as_slice()].concat())
        .collect();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/encrypted-1.bin");
    std::io::Write::write_all(&mut std::fs::File::create_new(path).unwrap(), &file).unwrap();
}
