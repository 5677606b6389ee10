//! sled's errors by what a caller can do about them.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ::sled::Error as Sled;
use terrace_store::{Error, ErrorKind, Result};

/// The error of this operation that sled's error means.
pub(super) fn translate(operation: &'static str, source: Sled) -> Error {
    let kind = kind(&source);
    let error = Error::new(kind, operation).with("store", super::NAME).transient(false);
    match source {
        // So that a full disk is found among the causes.
        Sled::Io(source) if kind == ErrorKind::Full => {
            error.because("the disk is full; free some space and open the store again").caused_by(source)
        }
        Sled::Io(source) if kind == ErrorKind::Corrupt => {
            error.because("a file of sled's is damaged or gone").caused_by(source)
        }
        Sled::Io(source) => error.caused_by(source),
        source if kind == ErrorKind::Corrupt => {
            error.because("a file of sled's is damaged").caused_by(source)
        }
        source => error.caused_by(source),
    }
}

fn kind(source: &Sled) -> ErrorKind {
    match source {
        Sled::Io(source) => match source.kind() {
            // A page lies in a file that is not there, or beyond its end.
            io::ErrorKind::NotFound
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::InvalidData => ErrorKind::Corrupt,
            other => Error::from(io::Error::from(other)).kind(),
        },
        Sled::Unsupported(_) => ErrorKind::Config,
        Sled::CollectionNotFound(_) | Sled::ReportableBug(_) => ErrorKind::Unavailable,
        Sled::Corruption { .. } => ErrorKind::Corrupt,
    }
}

/// Whether no write after this one can succeed.
pub(super) fn ends_writing(error: &Error) -> bool {
    // sled takes no write after one that the disk refused.
    let cause = std::error::Error::source(error);
    cause.is_some_and(|cause| cause.downcast_ref::<io::Error>().is_some())
        && !matches!(error.kind(), ErrorKind::Corrupt)
}

/// Does something that a damaged page may make sled panic at.
pub(super) fn guarded<T>(operation: &'static str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(Error::new(ErrorKind::Corrupt, operation)
            .with("store", super::NAME)
            .because("sled found its files in a state that they cannot be in"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_a_failed_one_and_a_damaged_file_are_told_apart() {
        let full = translate("put", Sled::Io(io::Error::from(io::ErrorKind::StorageFull)));
        assert!(full.kind() == ErrorKind::Full && full.is_disk_full() && ends_writing(&full));
        let failed = translate("put", Sled::Io(io::Error::other("device")));
        assert!(failed.kind() == ErrorKind::Unavailable && ends_writing(&failed), "{failed}");
        let damaged = translate("get", Sled::Corruption { at: None, bt: () });
        assert!(damaged.kind() == ErrorKind::Corrupt && !ends_writing(&damaged));
        let gone = translate("get", Sled::Io(io::Error::from(io::ErrorKind::NotFound)));
        assert!(gone.kind() == ErrorKind::Corrupt && !ends_writing(&gone));
    }

    #[test]
    fn a_panic_is_an_error() {
        let error = guarded::<()>("get", || panic!("no page")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
}
