//! Keys from keys: HKDF-SHA256 (RFC 5869), with a label for each use.
//!
//! Decision: the label names the use and the algorithm, so that no two uses and no two algorithms ever share a key.
//! Labels are part of the format: fixed for ever.

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::Algorithm;

/// The key of one segment.
pub(super) fn segment_key(master: &[u8; 32], id: &[u8; 32], algorithm: Algorithm) -> Zeroizing<[u8; 32]> {
    expand(master, id, &["terrace segment 1 ", algorithm.name()])
}

/// The key of all whole values.
pub(super) fn value_key(master: &[u8; 32], algorithm: Algorithm) -> Zeroizing<[u8; 32]> {
    expand(master, &[], &["terrace value 1 ", algorithm.name()])
}

/// What tells this master key from others without giving it away: the first four of 32 derived bytes.
pub(super) fn check(master: &[u8; 32], algorithm: Algorithm) -> u32 {
    let derived: Zeroizing<[u8; 32]> = expand(master, &[], &["terrace key check 1 ", algorithm.name()]);
    let [a, b, c, d, ..] = *derived;
    u32::from_le_bytes([a, b, c, d])
}

fn expand<const N: usize>(master: &[u8], salt: &[u8], label: &[&str]) -> Zeroizing<[u8; N]> {
    let label = label.concat();
    hkdf(master, salt, label.as_bytes())
}

fn hkdf<const N: usize>(material: &[u8], salt: &[u8], info: &[u8]) -> Zeroizing<[u8; N]> {
    // RFC 5869 ends at 255 times 32 bytes.
    const { assert!(N <= 255 * 32) };
    let mut out = Zeroizing::new([0; N]);
    let filled = Hkdf::<Sha256>::new(Some(salt), material).expand(info, out.as_mut_slice());
    debug_assert!(filled.is_ok(), "the length was checked when this was compiled");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn the_first_cases_of_rfc_5869_come_out() {
        let okm = hkdf::<42>(&[0x0b; 22], &hex("000102030405060708090a0b0c"), &hex("f0f1f2f3f4f5f6f7f8f9"));
        let expected = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865";
        assert_eq!(okm.as_slice(), hex(expected), "appendix A.1");

        let bytes = |from: u8, to: u8| (from..=to).collect::<Vec<_>>();
        let okm = hkdf::<82>(&bytes(0x00, 0x4f), &bytes(0x60, 0xaf), &bytes(0xb0, 0xff));
        let expected = "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87";
        assert_eq!(okm.as_slice(), hex(expected), "appendix A.2");

        let okm = hkdf::<42>(&[0x0b; 22], &[], &[]);
        let expected = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8";
        assert_eq!(okm.as_slice(), hex(expected), "appendix A.3");
    }

    #[test]
    fn every_use_algorithm_and_segment_has_its_own_key() {
        let (one, two) = (Algorithm::XChaCha20Poly1305, Algorithm::Aes256GcmSiv);
        let master = [7; 32];
        let mut keys = vec![
            segment_key(&master, &[1; 32], one),
            segment_key(&master, &[2; 32], one),
            segment_key(&master, &[1; 32], two),
            segment_key(&[8; 32], &[1; 32], one),
            value_key(&master, one),
            value_key(&master, two),
            Zeroizing::new(master),
        ];
        keys.sort_unstable_by_key(|key| **key);
        keys.dedup_by_key(|key| **key);
        assert_eq!(keys.len(), 7);
        assert_ne!(check(&master, one), check(&master, two));
        assert_ne!(check(&master, one), check(&[8; 32], one));
    }

    #[test]
    fn derived_keys_are_part_of_the_format_and_never_change() {
        // Computed by another implementation, Python's hmac.
        let (one, two) = (Algorithm::XChaCha20Poly1305, Algorithm::Aes256GcmSiv);
        assert_eq!(check(&[7; 32], one), 0x9b5c_5cdb);
        assert_eq!(check(&[7; 32], two), 0x4589_4db0);
        for (found, expected) in [
            (
                segment_key(&[7; 32], &[1; 32], one),
                "fa8e297e8b935c3c5ac1f7ab2f2d7b81bd172b51d30c4d041f23bfb47920cc8f",
            ),
            (
                segment_key(&[7; 32], &[1; 32], two),
                "38661f20026b10b265218b44c408f964646cb2924e33db4e91a8566c2d136122",
            ),
            (value_key(&[7; 32], one), "7dd11fb6c89514da3919ddf6dee1dc7a7ee2511b9fe8f513aa2e9574201708da"),
            (value_key(&[7; 32], two), "32c31eccb401a377f4d8e61a9d010d694a96549c3fb7bb5dbb8109e7b8667f30"),
        ] {
            assert_eq!(found.as_slice(), hex(expected));
        }
    }
}
