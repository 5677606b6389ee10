//! The server's and the client's errors in the words of the contract.

use mysql_async::{DriverError, Error as Mysql};
use terrace_store::{Error, ErrorKind};

use super::NAME;
use crate::remote::about_trust;

/// What an error of the client means. Of a write that was sent, only an answer tells that it was not applied.
pub(super) fn translate(operation: &'static str, writes: bool, source: Mysql) -> Error {
    let (kind, why) = classify(&source);
    let kind = if writes && kind == ErrorKind::Network && !was_never_sent(&source) {
        ErrorKind::Unknown
    } else {
        kind
    };
    let error = Error::new(kind, operation).with("store", NAME);
    let error = if why.is_empty() { error } else { error.because(why) };
    error.caused_by(source)
}

/// A call that was not answered in its time.
pub(super) fn late(operation: &'static str, writes: bool, waited: std::time::Duration) -> Error {
    let kind = if writes { ErrorKind::Unknown } else { ErrorKind::Timeout };
    Error::new(kind, operation)
        .with("store", NAME)
        .because(format!("the server did not answer within {} ms", waited.as_millis()))
}

fn was_never_sent(source: &Mysql) -> bool {
    let Mysql::Io(mysql_async::IoError::Io(error)) = source else { return false };
    error.kind() == std::io::ErrorKind::ConnectionRefused
}

fn classify(source: &Mysql) -> (ErrorKind, &'static str) {
    if let Some(trust) = about_trust(source) {
        return trust;
    }
    match source {
        Mysql::Server(error) => by_code(error.code),
        Mysql::Driver(DriverError::PacketTooLarge) => (ErrorKind::Invalid, TOO_LARGE),
        Mysql::Driver(
            DriverError::ConnectionClosed | DriverError::PoolDisconnected | DriverError::PacketOutOfOrder,
        )
        | Mysql::Io(_) => (ErrorKind::Network, "the connection to the server failed"),
        Mysql::Url(_) => (ErrorKind::Config, ""),
        _ => (ErrorKind::Unavailable, ""),
    }
}

const TOO_LARGE: &str = "it is larger than what the server takes in one packet; raise its max_allowed_packet";

fn by_code(code: u16) -> (ErrorKind, &'static str) {
    match code {
        1044 | 1045 | 1698 => {
            (ErrorKind::Denied, "the server refused the user or password of the URL, or wants TLS (tls=true)")
        }
        1142 | 1143 | 1227 | 1370 => (
            ErrorKind::Denied,
            "the user may not do that in this database; grant CREATE, INDEX, CREATE ROUTINE and EXECUTE on it, and the \
             tables' rights",
        ),
        1049 => (ErrorKind::Config, "the server has no database of this name"),
        1153 | 1301 => (ErrorKind::Invalid, TOO_LARGE),
        1118 => {
            (ErrorKind::Invalid, "it is too long for the server's redo log; raise its innodb_log_file_size")
        }
        1205 | 1213 => (ErrorKind::Busy, "another call was in the way"),
        1021 | 1041 | 1114 => (ErrorKind::Full, "the server has no room"),
        1290 | 1792 | 1836 => {
            (ErrorKind::Unavailable, "the server is read-only; name the primary in the URL")
        }
        1040 | 1203 => (
            ErrorKind::Busy,
            "the server has no connection to spare; raise its max_connections, or use fewer",
        ),
        1053 | 1077 | 1079 | 1927 => (ErrorKind::Network, "the server is starting or stopping"),
        1317 | 1969 | 3024 => (ErrorKind::Timeout, "the server gave the call up"),
        1034 | 1035 | 1712 | 1877 => (ErrorKind::Corrupt, "the database is damaged"),
        1054 | 1146 | 1305 | 1318 => (
            ErrorKind::Corrupt,
            "the tables with this prefix are not what this release made; use another prefix",
        ),
        _ => (ErrorKind::Unavailable, ""),
    }
}
