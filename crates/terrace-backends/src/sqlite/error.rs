//! SQLite's errors by what a caller can do about them.

use std::io;

use ::rusqlite::Error as Sqlite;
use ::rusqlite::ffi::ErrorCode;
use terrace_store::{Error, ErrorKind};

/// The error of this operation that SQLite's error means.
pub(super) fn translate(operation: &'static str, source: Sqlite) -> Error {
    let Some(code) = source.sqlite_error_code() else {
        // A column is no blob, or a statement is not what was prepared: somebody changed the tables.
        return Error::new(ErrorKind::Corrupt, operation)
            .with("store", super::NAME)
            .because("a table of the database is not as this store made it")
            .caused_by(source);
    };
    let (kind, why) = meaning(code);
    let error = Error::new(kind, operation)
        .with("store", super::NAME)
        .transient(kind == ErrorKind::Busy)
        .because(why);
    if kind == ErrorKind::Full {
        // So that a full disk is found among the causes.
        return error.caused_by(io::Error::new(io::ErrorKind::StorageFull, source));
    }
    error.caused_by(source)
}

fn meaning(code: ErrorCode) -> (ErrorKind, &'static str) {
    match code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            (ErrorKind::Busy, "another program has the database locked")
        }
        ErrorCode::PermissionDenied | ErrorCode::ReadOnly | ErrorCode::AuthorizationForStatementDenied => (
            ErrorKind::Denied,
            "the database may not be written to; see to the rights of its file and folder",
        ),
        ErrorCode::DiskFull => (ErrorKind::Full, "the disk is full; free some space"),
        ErrorCode::DatabaseCorrupt => (ErrorKind::Corrupt, "the database file is damaged"),
        ErrorCode::NotADatabase => {
            (ErrorKind::Corrupt, "the file is no SQLite database, or its beginning is damaged")
        }
        ErrorCode::TooBig => (ErrorKind::Invalid, "the value is longer than SQLite takes"),
        ErrorCode::SchemaChanged | ErrorCode::Unknown => {
            (ErrorKind::Corrupt, "a table of the database is not as this store made it")
        }
        ErrorCode::OutOfMemory => (ErrorKind::Unavailable, "there is no memory left"),
        ErrorCode::CannotOpen => (ErrorKind::Unavailable, "the database file cannot be opened"),
        _ => (ErrorKind::Unavailable, "the database file cannot be read or written"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coded(code: i32) -> Error {
        translate("put", Sqlite::SqliteFailure(::rusqlite::ffi::Error::new(code), None))
    }

    #[test]
    fn a_full_disk_a_locked_and_a_damaged_file_are_told_apart() {
        use ::rusqlite::ffi;
        let full = coded(ffi::SQLITE_FULL);
        assert!(full.kind() == ErrorKind::Full && full.is_disk_full());
        let busy = coded(ffi::SQLITE_BUSY);
        assert!(busy.kind() == ErrorKind::Busy && busy.is_transient());
        assert_eq!(coded(ffi::SQLITE_CORRUPT).kind(), ErrorKind::Corrupt);
        assert_eq!(coded(ffi::SQLITE_READONLY).kind(), ErrorKind::Denied);
        let failed = coded(ffi::SQLITE_IOERR_READ);
        assert!(failed.kind() == ErrorKind::Unavailable && !failed.is_transient());
        assert_eq!(translate("get", Sqlite::QueryReturnedNoRows).kind(), ErrorKind::Corrupt);
    }
}
