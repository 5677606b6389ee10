//! What each algorithm made of a value, kept from each release, stays readable.
//!
//! The file is, for each algorithm in the order of their numbers, what was made of each kind of value, after its length
//! as a little-endian u32.

use terrace_envelope::codec::{ALGORITHMS, Coder, is_built};

use super::kinds::KINDS;
use crate::fixture::split;

const KEPT: &[u8] = include_bytes!("../../fixtures/codec-1.bin");

const LEN: usize = 700;

#[test]
fn what_was_encoded_before_stays_readable() {
    let mut kept = split(KEPT).into_iter();
    for how in ALGORITHMS {
        for (kind, value) in KINDS {
            let (encoded, mut out) = (kept.next().unwrap(), Vec::new());
            if is_built(how) {
                Coder::new().decode(how, None, &encoded, LEN, &mut out).unwrap();
                assert_eq!(out, value(3, LEN), "{how:?} of {kind}");
            }
        }
    }
    assert_eq!(kept.next(), None);
}

#[test]
#[ignore = "makes the fixture of a new format; a kept file is never written again"]
fn write_the_fixture() {
    let pieces = ALGORITHMS.into_iter().flat_map(|how| {
        KINDS.map(|(_, value)| {
            let mut out = Vec::new();
            Coder::new().encode(how, None, &value(3, LEN), &mut out).unwrap();
            [&(out.len() as u32).to_le_bytes(), out.as_slice()].concat()
        })
    });
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/codec-1.bin");
    let mut file = std::fs::File::create_new(path).unwrap();
    std::io::Write::write_all(&mut file, &pieces.collect::<Vec<_>>().concat()).unwrap();
}
