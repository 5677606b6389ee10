//! Encryption of what lies outside the process: records of a log's segments, and whole values.
//!
//! Decisions: one master key of 32 bytes has a number, and the number fixes the algorithm too, so that changing
//! either is a rotation. Nothing is ever encrypted by a master key itself: each segment has a key of its own,
//! HKDF-SHA256 of the master key and the segment's random id, and whole values have another. Within a segment the
//! nonce is the offset, which costs no byte and repeats only if an offset is written twice: [`SegmentCipher`]
//! refuses that. A whole value carries a random nonce. A short check of the key lies beside what it encrypted, so
//! that a wrong key is told from damage.
//!
//! Keys are erased from the heap when they are dropped. Copies that the compiler made on the stack, a core dump and
//! swapped memory are beyond that; whoever fears them switches dumps and swap off.

mod algorithm;
mod cipher;
mod derive;
mod keyring;
mod secret;
mod segment;
mod source;
mod value;

pub use algorithm::Algorithm;
pub use keyring::{Key, KeyError, Keyring};
pub use secret::Secret;
pub use segment::SegmentCipher;
pub use source::KeySource;
pub use value::{Place, VALUE_OVERHEAD, value_key_id};

pub(crate) use value::Section;

/// Bytes that authentication adds to what is encrypted.
pub const TAG_LEN: usize = 16;

/// A random id for [`Keyring::segment`], from the operating system.
///
/// # Errors
/// [`Error::NoRandomness`](crate::Error::NoRandomness).
pub fn random_id() -> crate::Result<[u8; 32]> {
    let mut id = [0; 32];
    fill_random(&mut id)?;
    Ok(id)
}

fn fill_random(out: &mut [u8]) -> crate::Result<()> {
    getrandom::fill(out).map_err(|_| crate::Error::NoRandomness)
}
