//! redb's errors by what a caller can do about them.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ::redb::Error as Redb;
use terrace_store::{Error, ErrorKind, Result};

/// The error of this operation that redb's error means.
pub(super) fn translate(operation: &'static str, source: impl Into<Redb>) -> Error {
    let source = source.into();
    let kind = kind(&source);
    let error = Error::new(kind, operation).with("store", super::NAME).transient(false);
    match source {
        // So that a full disk is found among the causes.
        Redb::Io(source) if kind == ErrorKind::Full => error
            .because("the disk is full; free some space and open the store again")
            .caused_by(source),
        Redb::Io(source) => error.caused_by(source),
        Redb::PreviousIo => error
            .because("an earlier write could not be finished, so no more are accepted; see to the disk and open the store again")
            .caused_by(source),
        Redb::UpgradeRequired(_) => error
            .because("the file is in an old format of redb's, which this release does not read: copy it with the release that wrote it")
            .caused_by(source),
        source if kind == ErrorKind::Corrupt => error.because("the file is damaged, or none of redb's").caused_by(source),
        source => error.caused_by(source),
    }
}

fn kind(source: &Redb) -> ErrorKind {
    match source {
        Redb::Io(source) => match source.kind() {
            // A page lies where the file does not reach, or the file begins with something else.
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                ErrorKind::Corrupt
            }
            other => Error::from(io::Error::from(other)).kind(),
        },
        Redb::DatabaseAlreadyOpen => ErrorKind::Busy,
        Redb::UpgradeRequired(_) | Redb::LockProtocolMismatch => ErrorKind::Config,
        Redb::ValueTooLarge(_) => ErrorKind::Invalid,
        Redb::DatabaseClosed => ErrorKind::Closed,
        Redb::PreviousIo | Redb::LockPoisoned(_) => ErrorKind::Unavailable,
        _ => ErrorKind::Corrupt,
    }
}

/// Whether no write after this one can succeed.
pub(super) fn ends_writing(error: &Error) -> bool {
    // redb takes no write after one that the disk refused.
    let cause = std::error::Error::source(error);
    error.is_disk_full()
        || cause.is_some_and(|cause| {
            cause.downcast_ref::<io::Error>().is_some()
                || matches!(cause.downcast_ref(), Some(Redb::PreviousIo | Redb::LockPoisoned(_)))
        })
}

/// Does something that a damaged page may make redb panic at.
pub(super) fn guarded<T>(operation: &'static str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(panicked(operation, &*panic)))
}

fn panicked(operation: &'static str, panic: &(dyn Any + Send)) -> Error {
    let words = panic.downcast_ref::<String>().map(String::as_str);
    let words = words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it did not say why");
    Error::new(ErrorKind::Corrupt, operation)
        .with("store", super::NAME)
        .because(format!("redb found its file in a state that it cannot be in: {words}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_a_failed_one_and_a_damaged_file_are_told_apart() {
        let full = translate("put", Redb::Io(io::Error::from(io::ErrorKind::StorageFull)));
        assert!(full.kind() == ErrorKind::Full && full.is_disk_full() && ends_writing(&full));
        let failed = translate("put", Redb::PreviousIo);
        assert!(failed.kind() == ErrorKind::Unavailable && ends_writing(&failed));
        let damaged = translate("get", Redb::Corrupted("page".into()));
        assert!(damaged.kind() == ErrorKind::Corrupt && !ends_writing(&damaged));
        assert_eq!(translate("open", Redb::DatabaseAlreadyOpen).kind(), ErrorKind::Busy);
        assert!(!ends_writing(&Error::new(ErrorKind::Full, "put")));
    }

    #[test]
    fn a_panic_is_an_error_that_says_what_was_found() {
        let error = guarded::<()>("get", || panic!("page {} is no page", 7)).unwrap_err();
        assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains("page 7"), "{error}");
    }
}
