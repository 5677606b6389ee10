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
    /// It is encrypted with the master key of this number, which is not there.
    MissingKey(u32),
    /// The master key that has this number now is not the one that was used.
    WrongKey(u32),
    /// Authentication failed: something differs from what was encrypted, or it lies elsewhere.
    Unauthentic,
    /// An offset of a segment was to be encrypted that is not above those before it.
    NonceReuse,
    /// The operating system gave no random bytes.
    NoRandomness,
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
            Self::MissingKey(id) => {
                write!(f, "it is encrypted with the key number {id}, which is not given; add it as an old key")
            }
            Self::WrongKey(id) => {
                write!(f, "the key number {id} is not the one it was encrypted with; ")?;
                f.write_str("give that one, and a new key a new number")
            }
            Self::Unauthentic => f.write_str(
                "authentication failed: it was damaged, altered or moved from its place; discard it and check \
                 who else can write there",
            ),
            Self::NonceReuse => f.write_str(
                "refused to encrypt at an offset that is not above those before it in its segment; go on at a \
                 higher offset or begin a new segment",
            ),
            Self::NoRandomness => f.write_str(
                "the operating system gave no random bytes; check that getrandom or /dev/urandom works",
            ),
            Self::Malformed(why) => write!(f, "the envelope contradicts itself: {why}; discard the entry"),
        }
    }
}

/// What to do about an envelope from a newer release.
const UPGRADE: &str = "upgrade every instance that shares this data, or clear it";

impl std::error::Error for Error {}
