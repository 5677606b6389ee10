//! What went wrong between here and the server, in the words of the contract.

use std::time::Duration;

use hyper::StatusCode;
use serde_json::Value;
use terrace_store::{Error, ErrorKind};

use super::NAME;
use super::link::Intent;

fn told(kind: ErrorKind, operation: &'static str) -> Error {
    Error::new(kind, operation).with("store", NAME)
}

/// A write of which only the answer is missing, or no answer to it.
pub(super) fn unknown(operation: &'static str) -> Error {
    told(ErrorKind::Unknown, operation).because("the server's answer does not say what became of it")
}

/// What answers there speaks HTTP, but not ours.
pub(super) fn nonsense(operation: &'static str) -> Error {
    told(ErrorKind::Corrupt, operation)
        .because("the answer is none to what was asked: is a Terrace of this release at that address?")
}

/// An answer of ours that does not check.
pub(super) fn garbled(source: Error) -> Error {
    nonsense(source.operation()).caused_by(source)
}

/// A connection that could not be made, or broke. Of a write that was sent, only an answer tells that it was not applied.
pub(super) fn network(
    intent: Intent,
    sent: bool,
    source: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    let (kind, why) = match (sent, intent.writes) {
        (false, _) => (ErrorKind::Network, "the server cannot be reached"),
        (true, false) => (ErrorKind::Network, "the connection to the server broke"),
        (true, true) => (ErrorKind::Unknown, "the connection to the server broke before it answered"),
    };
    told(kind, intent.operation).because(why).caused_by(source)
}

/// A call that was not answered in its time.
pub(super) fn late(intent: Intent, sent: bool, waited: Duration) -> Error {
    let kind = if sent && intent.writes { ErrorKind::Unknown } else { ErrorKind::Timeout };
    told(kind, intent.operation)
        .because(format!("the server did not answer within {} ms", waited.as_millis()))
}

/// An answer that is longer than any to what was asked.
pub(super) fn endless(intent: Intent, limit: usize) -> Error {
    let kind = if intent.writes { ErrorKind::Unknown } else { ErrorKind::Corrupt };
    told(kind, intent.operation)
        .because(format!("the answer is longer than {limit} bytes, as none of a Terrace is"))
}

/// What the server says instead of doing it: a document with the kind and the reason, or whatever another server says.
pub(super) fn refused(intent: Intent, status: StatusCode, document: Option<&Value>) -> Error {
    let text = |name: &str| document.and_then(|document| document[name].as_str());
    let kind = match text("kind") {
        Some(kind) => by_name(kind),
        None => None,
    };
    let Some(kind) = kind else { return foreign(intent, status) };
    let kind = if kind == ErrorKind::Timeout && intent.writes { ErrorKind::Unknown } else { kind };
    told(kind, intent.operation)
        .because(format!("the server says: {}", text("detail").unwrap_or("nothing more")))
}

/// The kinds that a Terrace tells, seen from here. One that is closing is away, but this store is not closed.
fn by_name(name: &str) -> Option<ErrorKind> {
    use ErrorKind as Kind;
    const KINDS: [ErrorKind; 12] = [
        Kind::NotSupported,
        Kind::Config,
        Kind::Invalid,
        Kind::Network,
        Kind::Timeout,
        Kind::Full,
        Kind::Conflict,
        Kind::Corrupt,
        Kind::Denied,
        Kind::Busy,
        Kind::Unavailable,
        Kind::Unknown,
    ];
    match name {
        "closed" => Some(Kind::Unavailable),
        "not_found" => Some(Kind::Config),
        _ => KINDS.into_iter().find(|kind| kind.name() == name),
    }
}

/// What a status means that no Terrace explains: a proxy's, or another server's.
fn foreign(intent: Intent, status: StatusCode) -> Error {
    let kind = match status.as_u16() {
        401 | 403 | 407 => ErrorKind::Denied,
        429 => ErrorKind::Busy,
        500..=599 if intent.writes => ErrorKind::Unknown,
        500..=599 => ErrorKind::Unavailable,
        _ => ErrorKind::Config,
    };
    told(kind, intent.operation).because(format!(
        "the answer is {status}, and not one of a Terrace: is one of this release at that address?"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::link::{reads, writes};
    use serde_json::json;

    #[test]
    fn refusals_are_told_apart_by_what_the_server_says_and_by_what_was_asked() {
        let say = |kind: &str| Some(json!({"kind": kind, "detail": "because"}));
        for (status, document, read, write) in [
            (507, say("full"), ErrorKind::Full, ErrorKind::Full),
            (503, say("closed"), ErrorKind::Unavailable, ErrorKind::Unavailable),
            (504, say("timeout"), ErrorKind::Timeout, ErrorKind::Unknown),
            (500, say("unknown_outcome"), ErrorKind::Unknown, ErrorKind::Unknown),
            (401, say("denied"), ErrorKind::Denied, ErrorKind::Denied),
            (401, None, ErrorKind::Denied, ErrorKind::Denied),
            (502, None, ErrorKind::Unavailable, ErrorKind::Unknown),
            (404, say("not_found"), ErrorKind::Config, ErrorKind::Config),
            (301, None, ErrorKind::Config, ErrorKind::Config),
            (500, say("a new word"), ErrorKind::Unavailable, ErrorKind::Unknown),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(
                refused(reads("get"), status, document.as_ref()).kind(),
                read,
                "{status} {document:?}"
            );
            assert_eq!(
                refused(writes("put"), status, document.as_ref()).kind(),
                write,
                "{status} {document:?}"
            );
        }
    }
}
