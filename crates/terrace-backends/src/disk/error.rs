//! The log's errors by what a caller can do about them.

use terrace_disk::Error as Log;
use terrace_store::{Error, ErrorKind};

const FULL: &str = "the disk is full; deletes are still taken, and puts as soon as there is space";

/// The error of this operation that the log's error means.
pub(super) fn translate(operation: &'static str, source: Log) -> Error {
    if let Log::Io { op, name, source } = source {
        let full = source.kind() == std::io::ErrorKind::StorageFull;
        let error = Error::from(source).with("store", super::NAME).with("file", name).with("call", op);
        return match full {
            true => error.because(FULL),
            false => error,
        };
    }
    if source.is_disk_full() {
        // As the system's own error would say it, so that nobody evicts in vain.
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        return Error::new(ErrorKind::Full, operation)
            .caused_by(full)
            .with("store", super::NAME)
            .because(FULL);
    }
    let kind = match source {
        Log::Full(_) => ErrorKind::Full,
        Log::Busy => ErrorKind::Busy,
        Log::Corrupt { .. } => ErrorKind::Corrupt,
        Log::Newer { .. } | Log::Foreign(_) => ErrorKind::Config,
        Log::Denied(_) => ErrorKind::Denied,
        Log::Closed => ErrorKind::Closed,
        Log::Unknown(_) => ErrorKind::Unknown,
        Log::TooLarge { .. } | Log::Invalid(_) => ErrorKind::Invalid,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, operation)
        .with("store", super::NAME)
        .transient(kind == ErrorKind::Busy)
        .because(source.to_string())
}
