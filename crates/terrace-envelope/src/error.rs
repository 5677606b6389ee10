//! What can be wrong with an envelope, in one small enum.
//!
//! Whether an error is a counted miss (cache data) or a failure (authority data) is the caller's decision:
//! this crate only says what it found. No variant carries bytes of the entry, so that errors are safe to log.

use std::fmt;

/// The result of sealing, opening or peeking.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an envelope could not be written or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The bytes end before the envelope does.
    Truncated,
    /// The bytes do not begin like an envelope.
    BadMagic,
    /// An envelope of a format that this release does not read.
    UnsupportedVersion(u8),
    /// Flags that format 1 gives no meaning to.
    UnknownFlags(u16),
    /// The checksum differs: bytes were changed, lost or added since the envelope was sealed.
    Checksum,
    /// A part is longer, or there are more of it, than the limit allows.
    TooLong {
        /// The part.
        what: &'static str,
        /// How much of it is allowed: bytes, or a count for tags and metadata pairs.
        limit: usize,
    },
    /// A sound envelope that was sealed for another key.
    KeyMismatch,
    /// The payload is encrypted, and no key to decrypt it was given.
    Encrypted,
    /// The compressed payload cannot be restored.
    Compression(&'static str),
    /// The checksum is right, but the content contradicts itself.
    Malformed(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the envelope is cut short; discard it and load the entry again"),
            Self::BadMagic => f.write_str(
                "not an envelope: the first bytes are foreign; check that only Terrace writes under this key",
            ),
            Self::UnsupportedVersion(found) => {
                let known = crate::FORMAT_VERSION;
                write!(f, "envelope format {found} is unknown, this release reads format {known}; {UPGRADE}")
            }
            Self::UnknownFlags(flags) => {
                write!(f, "the envelope has flags that this release does not know ({flags:#06x}); {UPGRADE}")
            }
            Self::Checksum => f.write_str(
                "the envelope is damaged (checksum differs); discard it and check the disk or network",
            ),
            Self::TooLong { what, limit } => {
                write!(f, "{what}: more than the limit of {limit}; shorten it or raise the limit")
            }
            Self::KeyMismatch => f.write_str(
                "the envelope belongs to another key; discard it and check what moved or renamed the data",
            ),
            Self::Encrypted => {
                f.write_str("the payload is encrypted; read it with a release and a key that can decrypt it")
            }
            Self::Compression(why) => {
                write!(f, "the payload cannot be restored: {why}; discard the entry")
            }
            Self::Malformed(why) => write!(f, "the envelope contradicts itself: {why}; discard the entry"),
        }
    }
}

/// What to do about an envelope from a newer release.
const UPGRADE: &str = "upgrade every instance that shares this data, or clear it";

impl std::error::Error for Error {}
