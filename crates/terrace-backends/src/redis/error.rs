//! The server's and the client's errors in the words of the contract.

use redis::{ErrorKind as Kind, RedisError, ServerErrorKind};
use terrace_store::{Error, ErrorKind};

use super::NAME;
use crate::remote::about_trust;

/// What an error of the client means. Of a write that was sent, only an answer tells that it was not applied.
pub(super) fn translate(operation: &'static str, writes: bool, source: RedisError) -> Error {
    let (kind, why) = classify(&source);
    let lost = matches!(kind, ErrorKind::Timeout | ErrorKind::Network);
    let kind = if writes && lost && !was_refused(&source) { ErrorKind::Unknown } else { kind };
    let error = Error::new(kind, operation).with("store", NAME);
    let error = if why.is_empty() { error } else { error.because(why) };
    error.caused_by(source)
}

/// Whether nothing was done: nobody was there, or who was there does not own the slot.
pub(super) fn was_refused(source: &RedisError) -> bool {
    let away = matches!(
        source.kind(),
        Kind::ClusterConnectionNotFound
            | Kind::Server(
                ServerErrorKind::Moved
                    | ServerErrorKind::Ask
                    | ServerErrorKind::TryAgain
                    | ServerErrorKind::ClusterDown
                    | ServerErrorKind::MasterDown
                    | ServerErrorKind::ReadOnly
                    | ServerErrorKind::BusyLoading
            )
    );
    away || source.is_connection_refusal()
}

/// A call that was not answered in its time.
pub(super) fn late(operation: &'static str, writes: bool, waited: std::time::Duration) -> Error {
    let kind = if writes { ErrorKind::Unknown } else { ErrorKind::Timeout };
    Error::new(kind, operation)
        .with("store", NAME)
        .because(format!("the server did not answer within {} ms", waited.as_millis()))
}

fn classify(source: &RedisError) -> (ErrorKind, &'static str) {
    if let Some(trust) = about_trust(source) {
        return trust;
    }
    match source.kind() {
        Kind::Io if source.is_timeout() => (ErrorKind::Timeout, "the server did not answer in time"),
        Kind::Io => (
            ErrorKind::Network,
            "the connection to the server failed; see whether it is there, and whether it wants TLS (rediss://)",
        ),
        Kind::AuthenticationFailed => {
            (ErrorKind::Denied, "the server refused the user or password of the URL")
        }
        Kind::InvalidClientConfig | Kind::RESP3NotSupported => (ErrorKind::Config, ""),
        Kind::Server(ServerErrorKind::BusyLoading | ServerErrorKind::TryAgain) => {
            (ErrorKind::Busy, "the server is still loading its data")
        }
        Kind::ClusterConnectionNotFound => {
            (ErrorKind::Network, "no server of the cluster that owns the slot answers")
        }
        Kind::Server(ServerErrorKind::Moved | ServerErrorKind::Ask) => (
            ErrorKind::Unavailable,
            "the server is one of a cluster and does not own the slot; write redis+cluster: in the URL, or try again",
        ),
        Kind::Server(ServerErrorKind::ClusterDown | ServerErrorKind::MasterDown) => {
            (ErrorKind::Unavailable, "nobody owns the slot now; the cluster is choosing, or has lost a part")
        }
        Kind::Server(ServerErrorKind::NoPerm) => {
            (ErrorKind::Denied, "the server's access list does not allow this user what the store needs")
        }
        Kind::Server(ServerErrorKind::ReadOnly) => {
            (ErrorKind::Unavailable, "the server is a replica; name the primary in the URL")
        }
        Kind::Parse | Kind::UnexpectedReturnType => (
            ErrorKind::Corrupt,
            "the server's answer is not what this command answers; is it a Redis server?",
        ),
        _ => by_code(source),
    }
}

fn by_code(source: &RedisError) -> (ErrorKind, &'static str) {
    match source.code() {
        Some("OOM") => (ErrorKind::Full, "the server's memory is full; raise its maxmemory, or let it evict"),
        Some("MISCONF") => {
            (ErrorKind::Unavailable, "the server cannot save to its disk and takes no writes; see its log")
        }
        Some("NOAUTH" | "WRONGPASS") => {
            (ErrorKind::Denied, "the server wants a user and password; write them in the URL")
        }
        Some("BUSY") => (ErrorKind::Busy, "the server runs a long script"),
        Some("NOREPLICAS") => (ErrorKind::Unavailable, "the server has too few replicas to take writes"),
        Some("WRONGTYPE") => {
            (ErrorKind::Corrupt, "a key of this prefix was written by somebody else; use another prefix")
        }
        _ => (ErrorKind::Unavailable, ""),
    }
}
