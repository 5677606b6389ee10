//! What the codec allocates: nothing once it is warm, and never more than the limit and 1 MiB.

use terrace_envelope::codec::{Adaptive, Aim, Coder, decoded_len};
use terrace_envelope::{Compression, Error};

use super::built;
use super::kinds::KINDS;
use crate::allocation::{allocated, peak};

const LENGTHS: [usize; 6] = [24, 100, 1000, 10_000, 100_000, 250_000];

#[test]
fn a_warm_coder_allocates_nothing() {
    for how in built() {
        let mut coder = Coder::new();
        let (mut encoded, mut decoded) = (Vec::new(), Vec::new());
        // Twice to warm it, and once more to see.
        for round in 0..3 {
            for (kind, value) in KINDS {
                for len in LENGTHS {
                    let value = value(1, len);
                    let (bytes, _) = allocated(|| {
                        encoded.clear();
                        decoded.clear();
                        coder.encode(how, None, &value, &mut encoded).unwrap();
                        coder.decode(how, None, &encoded, len, &mut decoded).unwrap();
                    });
                    assert!(round < 2 || bytes == 0, "{how:?}: {bytes} bytes for {len} bytes of {kind}");
                }
            }
        }
    }
}

#[test]
fn a_warm_choice_allocates_nothing() {
    let adaptive = Adaptive::new(Aim::Balanced, 0, || 0);
    let (mut coder, mut out) = (Coder::new(), Vec::new());
    for round in 0..4 {
        for number in 0..300 {
            for (_, value) in KINDS {
                let value = value(1, 1000);
                let (bytes, _) = allocated(|| adaptive.encode(&mut coder, None, &value, &mut out));
                assert!(round < 2 || bytes == 0, "{bytes} bytes for value {number} of round {round}");
            }
        }
    }
}

/// A sound value of zeros, which each algorithm makes as small as it can.
fn bomb(how: Compression, len: usize) -> Vec<u8> {
    let mut encoded = Vec::new();
    Coder::new().encode(how, None, &vec![0; len], &mut encoded).unwrap();
    encoded
}

#[test]
fn bombs_are_refused_by_their_length_before_anything_is_allocated() {
    for how in built() {
        let encoded = bomb(how, 30 << 20);
        assert!(encoded.len() < 2 << 20, "{how:?}: {} bytes", encoded.len());
        let (mut coder, mut out) = (Coder::new(), Vec::new());
        let (bytes, refused) = allocated(|| coder.decode(how, None, &encoded, 1 << 20, &mut out));
        assert_eq!(refused, Err(Error::TooLong { what: "value", limit: 1 << 20 }), "{how:?}");
        assert_eq!(bytes, 0, "{how:?}");
        // The same claim over nearly nothing.
        if how != Compression::Brotli {
            let claim = encoded.get(..12).unwrap();
            assert!(matches!(decoded_len(how, claim), Err(Error::Compression(_))), "{how:?}");
        }
    }
}

#[test]
fn a_bomb_within_the_limit_takes_the_limit_and_a_mebibyte_at_most() {
    const LIMIT: usize = 16 << 20;
    for how in built() {
        // Zeros are read back through a scratch copy of what encodes them, which the limit does not count.
        let encoded = bomb(how, LIMIT);
        let (bytes, len) = peak(|| {
            let mut out = Vec::new();
            Coder::new().decode(how, None, &encoded, LIMIT, &mut out)
        });
        assert_eq!(len, Ok(LIMIT), "{how:?}");
        assert!(bytes <= LIMIT + (1 << 20), "{how:?}: {} KiB above the limit", (bytes - LIMIT) >> 10);
    }
}

#[test]
fn a_bomb_that_claims_less_than_it_holds_takes_no_more_than_it_claims() {
    for how in built() {
        // The stream of 8 MiB behind the length of 64 KiB, for the algorithms whose length stands in front.
        let (long, short) = (bomb(how, 8 << 20), bomb(how, 64 << 10));
        let prefix = |bytes: &[u8]| bytes.iter().take_while(|byte| **byte & 0x80 != 0).count() + 1;
        if how == Compression::Zstd {
            continue;
        }
        let lying = [&short[..prefix(&short)], &long[prefix(&long)..]].concat();
        assert_eq!(decoded_len(how, &lying), Ok(64 << 10));
        let (bytes, result) = peak(|| Coder::new().decode(how, None, &lying, 1 << 20, &mut Vec::new()));
        assert!(matches!(result, Err(Error::Compression(_))), "{how:?}: {result:?}");
        assert!(bytes <= 1 << 20, "{how:?}: {bytes}");
    }
}
