//! Encryption: what must open, and everything that must not.

mod envelope;
mod fixture;
mod segment;
mod source;
mod value;

use terrace_envelope::crypt::{Algorithm, Key, Keyring, Secret};

const ALGORITHMS: [Algorithm; 2] = [Algorithm::XChaCha20Poly1305, Algorithm::Aes256GcmSiv];

/// What must never be seen.
const CANARY: &[u8] = b"canary-7f3a91";

fn key(id: u32, algorithm: Algorithm, fill: u8) -> Key {
    Key::new(id, algorithm, Secret::new(&[fill; 32]))
}

fn ring(algorithm: Algorithm) -> Keyring {
    Keyring::new(key(1, algorithm, 1))
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
