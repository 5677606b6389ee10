//! What goes into the warm engine with a value, and what comes back.

use super::Evicted;
use crate::Cause;

/// What is stored with a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes<'a> {
    /// From this millisecond on (of the caller's scale) the entry is never returned again.
    pub expires_at: Option<u64>,
    /// Orders the writes of a key. 0 is none and takes no room.
    pub version: u64,
    /// Whatever the caller wants back with the value without decoding it, such as tags. Empty takes no room.
    pub attached: &'a [u8],
}

/// What [`Warm::get`](super::Warm::get) found. It has appended the value to the caller's buffer, and behind it what was attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The length of the value in bytes.
    pub len: usize,
    /// The length of what was attached to it.
    pub attached_len: usize,
    /// The version it was stored with.
    pub version: u64,
    /// When it expires, if it does.
    pub expires_at: Option<u64>,
}

/// What an insertion did.
#[derive(Debug, Default)]
#[must_use = "entries that were evicted come back here and nowhere else"]
pub struct Inserted {
    /// Whether the value is now in the engine.
    pub stored: bool,
    /// Why not. The key holds nothing then, because an older value would be stale. `None` and not stored: the
    /// key has a value that is as new.
    pub refused: Option<Cause>,
    /// The key had a value before, and no longer has it.
    pub replaced: bool,
    /// What had to leave. Empty (and not allocated) if nothing did.
    pub evicted: Evicted,
}
