//! The cluster's and the client's errors in the words of the contract.

use etcd_client::Error as Etcd;
use terrace_store::{Error, ErrorKind};

use super::NAME;
use crate::remote::about_trust;

/// What an error of the client means. Of a write that was sent, only an answer tells that it was not applied.
pub(super) fn translate(operation: &'static str, writes: bool, source: Etcd) -> Error {
    let (kind, why) = classify(&source);
    let lost = matches!(kind, ErrorKind::Network | ErrorKind::Timeout);
    let kind = if writes && lost && !was_never_sent(&source) { ErrorKind::Unknown } else { kind };
    let error = Error::new(kind, operation).with("store", NAME);
    let error = if why.is_empty() { error } else { error.because(why) };
    error.caused_by(source)
}

/// A call that was not answered in its time.
pub(super) fn late(operation: &'static str, writes: bool, waited: std::time::Duration) -> Error {
    let kind = if writes { ErrorKind::Unknown } else { ErrorKind::Timeout };
    Error::new(kind, operation)
        .with("store", NAME)
        .because(format!("the cluster did not answer within {} ms", waited.as_millis()))
}

/// Whether no member could even be reached.
fn was_never_sent(source: &Etcd) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = match source {
        Etcd::GRpcStatus(status) => std::error::Error::source(status),
        Etcd::TransportError(error) => std::error::Error::source(error),
        _ => None,
    };
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return error.kind() == std::io::ErrorKind::ConnectionRefused;
        }
        next = error.source();
    }
    false
}

fn classify(source: &Etcd) -> (ErrorKind, &'static str) {
    if let Some(trust) = about_trust(source) {
        return trust;
    }
    match source {
        Etcd::InvalidArgs(_) | Etcd::InvalidUri(_) => (ErrorKind::Config, ""),
        Etcd::GRpcStatus(status) => by_status(status.code() as i32, status.message()),
        Etcd::Utf8Error(_) => (ErrorKind::Corrupt, "an answer that is none of etcd's"),
        _ => (ErrorKind::Network, "the connection to the cluster failed"),
    }
}

/// By the numbers that gRPC gives to failures, and by etcd's own words where one number stands for many.
fn by_status(code: i32, message: &str) -> (ErrorKind, &'static str) {
    let says = |words: &str| message.contains(words);
    match code {
        _ if says("too large") || says("larger than") => (
            ErrorKind::Invalid,
            "it is larger than what the members take in one request; raise their --max-request-bytes",
        ),
        _ if says("too many operations") => {
            (ErrorKind::Config, "the members take fewer operations in a transaction: see max_txn_ops")
        }
        _ if says("space exceeded") => (
            ErrorKind::Full,
            "the cluster's quota is used up; compact, defragment and disarm its alarm, or raise its \
             --quota-backend-bytes",
        ),
        _ if says("authentication failed") || says("user name is empty") || says("permission denied") => (
            ErrorKind::Denied,
            "the cluster refused the user or password of the URL, or its roles do not allow the prefix",
        ),
        _ if says("too many requests") => (ErrorKind::Busy, "the cluster has too much to do"),
        7 | 16 => (ErrorKind::Denied, "the cluster refused the user of the URL"),
        4 => (ErrorKind::Timeout, "the cluster did not answer in time"),
        // Cancelled and unknown are what the client says of a connection that broke.
        1 | 2 => (
            ErrorKind::Network,
            "the connection to the cluster failed; see whether it is there, and whether it wants TLS (etcds://)",
        ),
        14 => (ErrorKind::Network, "the cluster cannot be reached, or has no leader"),
        8 => (ErrorKind::Busy, ""),
        12 => (ErrorKind::Config, "what answers there is no etcd of version 3"),
        _ => (ErrorKind::Unavailable, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_apart_by_number_and_word() {
        for (code, message, kind) in [
            (3, "etcdserver: request is too large", ErrorKind::Invalid),
            (8, "etcdserver: mvcc: database space exceeded", ErrorKind::Full),
            (3, "etcdserver: authentication failed, invalid user ID or password", ErrorKind::Denied),
            (14, "etcdserver: no leader", ErrorKind::Network),
            (8, "etcdserver: too many requests", ErrorKind::Busy),
            (13, "?", ErrorKind::Unavailable),
        ] {
            assert_eq!(by_status(code, message).0, kind, "{message}");
        }
    }
}
