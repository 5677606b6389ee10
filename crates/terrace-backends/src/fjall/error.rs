//! fjall's errors by what a caller can do about them.

use std::io;

use ::fjall::{Error as Fjall, LsmError};
use terrace_store::{Error, ErrorKind};

/// The error of this operation that fjall's error means.
pub(super) fn translate(operation: &'static str, source: Fjall) -> Error {
    let kind = kind(&source);
    let error = Error::new(kind, operation).with("store", super::NAME).transient(kind == ErrorKind::Busy);
    let error = match kind {
        ErrorKind::Full => error.because("the disk is full; free some space and open the store again"),
        ErrorKind::Unavailable if matches!(source, Fjall::Poisoned) => error
            .because("an earlier write could not be finished, so no more are accepted, be it that the disk is full or fails; see to it and open the store again"),
        ErrorKind::Corrupt if matches!(source, Fjall::JournalRecovery(_)) => {
            error.because("the journal is damaged")
        }
        ErrorKind::Corrupt => error.because("a data file is damaged"),
        _ => error,
    };
    error.caused_by(source)
}

/// Whether no write after this one can succeed.
pub(super) fn ends_writing(error: &Error) -> bool {
    let poisoned = |source: &Fjall| matches!(source, Fjall::Poisoned);
    error.is_disk_full()
        || std::error::Error::source(error).and_then(|source| source.downcast_ref()).is_some_and(poisoned)
}

fn kind(source: &Fjall) -> ErrorKind {
    match source {
        Fjall::Io(source) | Fjall::Storage(LsmError::Io(source)) => io_kind(source.kind()),
        Fjall::Storage(LsmError::InvalidVersion(_)) | Fjall::InvalidVersion(_) => ErrorKind::Config,
        Fjall::Locked => ErrorKind::Busy,
        Fjall::Poisoned | Fjall::KeyspaceDeleted => ErrorKind::Unavailable,
        _ => ErrorKind::Corrupt,
    }
}

fn io_kind(source: io::ErrorKind) -> ErrorKind {
    match source {
        // A file ends too soon, or says that something stands where no file reaches.
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            ErrorKind::Corrupt
        }
        _ => Error::from(io::Error::from(source)).kind(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_a_poisoned_engine_and_a_damaged_file_are_told_apart() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let full = translate("put", Fjall::Io(full));
        assert!(full.kind() == ErrorKind::Full && full.is_disk_full());
        assert!(ends_writing(&full));
        let full = LsmError::Io(io::Error::from(io::ErrorKind::StorageFull));
        assert!(translate("put", Fjall::Storage(full)).is_disk_full());
        assert_eq!(translate("put", Fjall::Poisoned).kind(), ErrorKind::Unavailable);
        assert!(!translate("put", Fjall::Poisoned).is_transient());
        assert!(
            ends_writing(&translate("put", Fjall::Poisoned))
                && !ends_writing(&Error::new(ErrorKind::Full, "put"))
        );
        assert!(!ends_writing(&translate("put", Fjall::KeyspaceDeleted)));
        let short = Fjall::Io(io::Error::from(io::ErrorKind::UnexpectedEof));
        assert_eq!(translate("open", short).kind(), ErrorKind::Corrupt);
        let journal = Fjall::JournalRecovery(::fjall::JournalRecoveryError::ChecksumMismatch);
        assert!(translate("open", journal).to_string().contains("journal"));
        let damaged = Fjall::Storage(LsmError::InvalidTrailer);
        assert_eq!(translate("get", damaged).kind(), ErrorKind::Corrupt);
    }
}
