//! The database's and the client's errors in the words of the contract.

use terrace_store::{Error, ErrorKind};
use tokio_postgres::error::SqlState;

use super::NAME;
use crate::remote::about_trust;

/// What an error of the client means. Of a write that was sent, only an answer tells that it was not applied.
pub(super) fn translate(operation: &'static str, writes: bool, source: tokio_postgres::Error) -> Error {
    let (kind, why) = match source.code() {
        Some(state) => by_state(state),
        None if source.is_closed() => (ErrorKind::Network, "the connection to the server failed"),
        None => by_words(&source),
    };
    let kind = if writes && kind == ErrorKind::Network { ErrorKind::Unknown } else { kind };
    let error = Error::new(kind, operation).with("store", NAME);
    let error = if why.is_empty() { error } else { error.because(why) };
    let transient = error.is_transient() || is_again(&source);
    error.transient(transient).caused_by(source)
}

/// A call that was not answered in its time.
pub(super) fn late(operation: &'static str, writes: bool, waited: std::time::Duration) -> Error {
    let kind = if writes { ErrorKind::Unknown } else { ErrorKind::Timeout };
    Error::new(kind, operation)
        .with("store", NAME)
        .because(format!("the server did not answer within {} ms", waited.as_millis()))
}

/// Whether the database undid a call only because another one was in its way.
pub(super) fn is_again(source: &tokio_postgres::Error) -> bool {
    source.code() == Some(&SqlState::T_R_DEADLOCK_DETECTED)
}

fn by_state(state: &SqlState) -> (ErrorKind, &'static str) {
    match *state {
        SqlState::T_R_SERIALIZATION_FAILURE => {
            (ErrorKind::Conflict, "something that was read has changed meanwhile; begin again")
        }
        SqlState::T_R_DEADLOCK_DETECTED | SqlState::LOCK_NOT_AVAILABLE => {
            (ErrorKind::Busy, "another call was in the way")
        }
        SqlState::QUERY_CANCELED => {
            (ErrorKind::Timeout, "the server gave the call up at its statement_timeout")
        }
        SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => (
            ErrorKind::Denied,
            "the server refused the user or password of the URL, or wants TLS (sslmode=require)",
        ),
        SqlState::INSUFFICIENT_PRIVILEGE => (
            ErrorKind::Denied,
            "the user may not do that in this schema; grant CREATE on the database for the first open, and the \
             tables' rights later",
        ),
        SqlState::INVALID_CATALOG_NAME => (ErrorKind::Config, "the server has no database of this name"),
        SqlState::DISK_FULL | SqlState::OUT_OF_MEMORY => (ErrorKind::Full, "the server has no room"),
        SqlState::READ_ONLY_SQL_TRANSACTION => {
            (ErrorKind::Unavailable, "the server is a standby; name the primary in the URL")
        }
        SqlState::TOO_MANY_CONNECTIONS => (
            ErrorKind::Busy,
            "the server has no connection to spare; raise its max_connections, or use fewer",
        ),
        SqlState::CANNOT_CONNECT_NOW | SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN => {
            (ErrorKind::Network, "the server is starting or stopping")
        }
        SqlState::DATA_CORRUPTED | SqlState::INDEX_CORRUPTED => {
            (ErrorKind::Corrupt, "the database is damaged")
        }
        SqlState::UNDEFINED_TABLE | SqlState::UNDEFINED_COLUMN | SqlState::UNDEFINED_FUNCTION => (
            ErrorKind::Corrupt,
            "the tables of this schema are not what this release made; use another schema",
        ),
        _ => (ErrorKind::Unavailable, ""),
    }
}

fn by_words(source: &tokio_postgres::Error) -> (ErrorKind, &'static str) {
    if let Some(trust) = about_trust(source) {
        return trust;
    }
    let mut beneath = std::error::Error::source(source);
    while let Some(error) = beneath {
        if error.downcast_ref::<std::io::Error>().is_some() {
            return (ErrorKind::Network, "the connection to the server failed");
        }
        beneath = error.source();
    }
    (ErrorKind::Unavailable, "")
}
