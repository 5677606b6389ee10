//! RocksDB's errors by what a caller can do about them.

use std::io;

use ::rocksdb::{Error as Rocksdb, ErrorKind as Kind};
use terrace_store::{Error, ErrorKind};

/// The error of this operation that RocksDB's error means.
pub(super) fn translate(operation: &'static str, source: Rocksdb) -> Error {
    let kind = kind(&source);
    let error = Error::new(kind, operation).with("store", super::NAME).transient(kind == ErrorKind::Busy);
    match kind {
        // So that a full disk is found among the causes.
        ErrorKind::Full => error
            .because("the disk is full; free some space and open the store again")
            .caused_by(io::Error::new(io::ErrorKind::StorageFull, source)),
        ErrorKind::Corrupt => error.because("a data file is damaged").caused_by(source),
        ErrorKind::Unavailable => error
            .because("the disk failed, so no more writes are accepted; see to it and open the store again")
            .caused_by(source),
        _ => error.caused_by(source),
    }
}

fn kind(source: &Rocksdb) -> ErrorKind {
    let says = |words: &str| source.as_ref().contains(words);
    match source.kind() {
        _ if says("No space left") || says("Disk quota") => ErrorKind::Full,
        Kind::IOError if says("lock") => ErrorKind::Busy,
        Kind::IOError if says("Permission denied") || says("Read-only file system") => ErrorKind::Denied,
        Kind::Corruption => ErrorKind::Corrupt,
        // A file that its own list names is not there.
        Kind::IOError if says("No such file") => ErrorKind::Corrupt,
        Kind::InvalidArgument | Kind::NotSupported => ErrorKind::Config,
        Kind::Busy | Kind::TryAgain | Kind::TimedOut => ErrorKind::Busy,
        Kind::ShutdownInProgress => ErrorKind::Closed,
        _ => ErrorKind::Unavailable,
    }
}

/// Whether no write after this one can succeed.
pub(super) fn ends_writing(error: &Error) -> bool {
    error.is_disk_full() || error.kind() == ErrorKind::Unavailable
}
