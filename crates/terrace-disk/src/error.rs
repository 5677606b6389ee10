//! What can go wrong. Absence is not an error.

use std::io;

/// Why there is no room when the device has none.
pub(crate) const DISK_FULL: &str = "the disk is full";

/// The engine's errors.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// There is no room; nothing was written. Deletes have room even then.
    Full(&'static str),
    /// Another process, or another handle in this one, has the folder open.
    Busy,
    /// Bytes in the log are not what was written there.
    Corrupt {
        /// The segment.
        segment: u64,
        /// Where the record begins.
        offset: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The operating system or the device refused.
    Io {
        /// What was tried.
        op: &'static str,
        /// On which file.
        name: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The folder was written by a later release, in a format that this one does not know.
    Newer {
        /// Its format.
        found: u32,
        /// The latest format this release knows.
        known: u32,
    },
    /// The folder holds something that is not a log, or not this one.
    Foreign(String),
    /// The log is encrypted and the key that it needs is not there or is not the right one.
    Denied(String),
    /// The engine was closed.
    Closed,
    /// An fsync or a write failed before. Nothing is written any more until the folder is opened again; reads
    /// go on.
    Failed(String),
    /// The write was applied, but whether it will outlive a power cut is not known.
    Unknown(String),
    /// A key, a value or what is attached is too long.
    TooLarge {
        /// What is too long.
        what: &'static str,
        /// The most bytes it may have.
        limit: u64,
    },
    /// What was asked for makes no sense.
    Invalid(String),
}

/// A result of the engine.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Full(why) => write!(f, "there is no room: {why}"),
            Self::Busy => f.write_str("the folder is open already, here or in another process"),
            Self::Corrupt { segment, offset, what } => {
                write!(f, "segment {segment} is damaged at byte {offset}: {what}")
            }
            Self::Io { op, name, source } => write!(f, "{op} {name}: {source}"),
            Self::Newer { found, known } => write!(
                f,
                "the folder has format {found}, and this release knows formats up to {known}: use a later release"
            ),
            Self::Foreign(why) => write!(f, "this is no log of ours: {why}"),
            Self::Denied(why) => write!(f, "the key is missing or wrong: {why}"),
            Self::Closed => f.write_str("it is closed"),
            Self::Failed(why) => {
                write!(f, "nothing is written any more until it is opened again, because {why}")
            }
            Self::Unknown(why) => write!(f, "it was written, but it may not outlive a power cut: {why}"),
            Self::TooLarge { what, limit } => write!(f, "the {what} is longer than {limit} bytes"),
            Self::Invalid(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl Error {
    /// For `map_err`: what was tried on which file.
    pub(crate) fn io(op: &'static str, name: &str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { op, name: name.to_owned(), source }
    }

    /// Whether it is the device that has no room, and not what the log may take.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::Full(why) if *why == DISK_FULL)
            || matches!(self, Self::Io { source, .. } if is_full(source))
    }

    /// Whether there is no room, for whatever reason.
    pub(crate) fn is_full(&self) -> bool {
        match self {
            Self::Full(_) => true,
            Self::Io { source, .. } => is_full(source),
            _ => false,
        }
    }
}

/// Whether the device has no room.
pub(crate) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}
