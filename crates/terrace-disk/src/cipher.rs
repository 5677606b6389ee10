//! The seam at which a segment's records are encrypted.
//!
//! Decision: a key for each segment, derived from the 32 random bytes in its header, and the record's offset as
//! the nonce. An offset of a segment is used once: a segment is never rewritten, and after a write that failed
//! half way an encrypted segment is left rather than continued (`writer.rs`). The head of a record is not
//! encrypted but authenticated, so recovery can walk a log without its key.

use std::sync::Arc;

use crate::error::Result;

/// No cipher makes a body longer by more.
pub(crate) const MOST_OVERHEAD: usize = 64;

/// Encrypts the bodies of one segment.
pub(crate) trait Seal: Send + Sync {
    /// The bytes by which a sealed body is longer.
    fn overhead(&self) -> usize;
    /// Replaces the plain bytes by sealed ones.
    fn seal(&self, offset: u64, aad: &[u8], plain: &mut Vec<u8>) -> Result<(), &'static str>;
    /// Replaces the sealed bytes by the plain ones.
    fn open(&self, offset: u64, aad: &[u8], sealed: &mut Vec<u8>) -> Result<(), &'static str>;
}

/// Makes the ciphers of segments.
pub(crate) trait KeySource: Send + Sync {
    /// The number of the key that new segments are written with.
    fn current(&self) -> u32;
    /// The cipher of a segment. An unknown key is `Denied`.
    fn segment(&self, random: &[u8; 32], key_id: u32) -> Result<Arc<dyn Seal>>;
}
