//! The server's and the client's errors in the words of the contract.

use std::error::Error as StdError;
use std::fmt::{Debug, Display};
use std::time::Duration;

use async_nats::jetstream::context::{
    CreateStreamErrorKind, PublishError, PublishErrorKind, RequestErrorKind,
};
use async_nats::jetstream::stream::{
    ConsumerErrorKind, DirectGetErrorKind, LastRawMessageErrorKind, PurgeErrorKind,
};
use async_nats::jetstream::{self, ErrorCode};
use async_nats::{ConnectErrorKind, PublishErrorKind as CorePublishErrorKind, SubscribeErrorKind};
use terrace_store::{Error, ErrorKind};

use super::NAME;
use crate::remote::about_trust;

/// What went wrong with a request.
pub(super) struct Failure {
    kind: ErrorKind,
    why: &'static str,
    cause: Option<Box<dyn FnOnce(Error) -> Error + Send>>,
}

impl Failure {
    pub(super) fn new(kind: ErrorKind, why: &'static str) -> Self {
        Self { kind, why, cause: None }
    }

    /// In the words of the contract. Of a write that was sent, only an answer tells that it was not applied.
    pub(super) fn translate(self, operation: &'static str, writes: bool, sent: bool) -> Error {
        let kind = match self.kind {
            ErrorKind::Network | ErrorKind::Timeout if writes && sent => ErrorKind::Unknown,
            // What stores nothing that matters leaves nothing in doubt.
            ErrorKind::Unknown if !writes => ErrorKind::Unavailable,
            kind => kind,
        };
        let error = Error::new(kind, operation).with("store", NAME);
        let error = if self.why.is_empty() { error } else { error.because(self.why) };
        match self.cause {
            Some(cause) => cause(error),
            None => error,
        }
    }
}

/// A call that was not answered in its time.
pub(super) fn late(operation: &'static str, writes: bool, sent: bool, waited: Duration) -> Error {
    let (kind, what) = match (sent, writes) {
        (false, _) => (ErrorKind::Network, "there was no connection to a server"),
        (true, true) => (ErrorKind::Unknown, "the server did not answer"),
        (true, false) => (ErrorKind::Timeout, "the server did not answer"),
    };
    Error::new(kind, operation)
        .with("store", NAME)
        .because(format!("{what} within {} ms", waited.as_millis()))
}

const LOST: (ErrorKind, &str) = (ErrorKind::Network, "the connection to the server failed");
const LATE: (ErrorKind, &str) = (ErrorKind::Timeout, "the server did not answer in time");
const NO_STREAMS: (ErrorKind, &str) = (
    ErrorKind::Unavailable,
    "the server does not answer for the bucket: it has no JetStream (start it with --jetstream), or no leader now",
);

/// Whether a message was refused because another one of its subject came before it. The server has several words for
/// that (also one for when the other one is not stored by all replicas yet), the client a kind for only one of them.
pub(super) fn came_late(error: &PublishError) -> bool {
    let source = StdError::source(error).and_then(|source| source.downcast_ref::<jetstream::Error>());
    error.kind() == PublishErrorKind::WrongLastSequence
        || source.is_some_and(|source| {
            source.error_code() == ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT
                || source.to_string().contains("wrong last sequence")
        })
}

/// By what the server says, where the client has no word for it.
fn by_words(words: &str) -> (ErrorKind, &'static str) {
    let says = |part: &str| words.contains(part);
    match () {
        () if says("maximum bytes") || says("maximum messages") => (
            ErrorKind::Full,
            "the bucket is full; raise its max_bytes (the store's capacity), or remove something",
        ),
        () if says("insufficient") || says("resource limits") || says("resources limits") => (
            ErrorKind::Full,
            "the server has no room for its streams; raise its max_file_store or the account's limits",
        ),
        () if says("ermission") || says("uthorization") => {
            (ErrorKind::Denied, "the server does not allow this user what the store needs")
        }
        () if says("not enabled") => {
            (ErrorKind::Config, "the server has no JetStream: start it with --jetstream")
        }
        () if says("message size exceeds") || says("header size exceeds") => {
            (ErrorKind::Invalid, "it is larger than what the bucket takes as one message")
        }
        () => (ErrorKind::Unavailable, ""),
    }
}

trait Classify: Clone + Debug + Display + PartialEq + Send + Sync + 'static {
    fn classify(&self, words: &str) -> (ErrorKind, &'static str);
}

impl<K: Classify> From<async_nats::error::Error<K>> for Failure {
    fn from(source: async_nats::error::Error<K>) -> Self {
        let trust = about_trust(&source);
        let (kind, why) = trust.unwrap_or_else(|| source.kind().classify(&source.to_string()));
        Self { kind, why, cause: Some(Box::new(|error| error.caused_by(source))) }
    }
}

impl Classify for ConnectErrorKind {
    fn classify(&self, _words: &str) -> (ErrorKind, &'static str) {
        match self {
            Self::ServerParse => (ErrorKind::Config, "the URL does not say where a server is"),
            Self::Authentication | Self::AuthorizationViolation => {
                (ErrorKind::Denied, "the server refused the user or password of the URL")
            }
            Self::TimedOut => LATE,
            Self::Tls => (ErrorKind::Config, "no TLS with the server"),
            _ => LOST,
        }
    }
}

impl Classify for PublishErrorKind {
    fn classify(&self, words: &str) -> (ErrorKind, &'static str) {
        match self {
            Self::StreamNotFound => NO_STREAMS,
            Self::TimedOut => LATE,
            Self::BrokenPipe => LOST,
            Self::MaxPayloadExceeded => (ErrorKind::Invalid, "it is larger than the server's max_payload"),
            Self::MaxAckPending => (ErrorKind::Busy, "too many writes are under way"),
            _ => match by_words(words) {
                (ErrorKind::Unavailable, _) => (
                    ErrorKind::Unknown,
                    "what the server answers does not tell whether it stored the message",
                ),
                known => known,
            },
        }
    }
}

impl Classify for RequestErrorKind {
    fn classify(&self, words: &str) -> (ErrorKind, &'static str) {
        match self {
            Self::NoResponders => NO_STREAMS,
            Self::TimedOut => LATE,
            _ => by_words(words),
        }
    }
}

impl Classify for DirectGetErrorKind {
    fn classify(&self, words: &str) -> (ErrorKind, &'static str) {
        match self {
            Self::TimedOut => LATE,
            Self::ErrorResponse(status, _) if status.as_u16() == 503 => NO_STREAMS,
            _ => by_words(words),
        }
    }
}

impl Classify for LastRawMessageErrorKind {
    fn classify(&self, words: &str) -> (ErrorKind, &'static str) {
        by_words(words)
    }
}

impl Classify for PurgeErrorKind {
    fn classify(&self, words: &str) -> (ErrorKind, &'static str) {
        match self {
            Self::TimedOut => LATE,
            _ => by_words(words),
        }
    }
}

impl Classify for CreateStreamErrorKind {
    fn classify(&self, words: &str) -> (ErrorKind, &'static str) {
        match self {
            Self::TimedOut => LATE,
            Self::JetStreamUnavailable => NO_STREAMS,
            _ => by_words(words),
        }
    }
}

impl Classify for ConsumerErrorKind {
    fn classify(&self, words: &str) -> (ErrorKind, &'static str) {
        match self {
            Self::TimedOut => LATE,
            _ => by_words(words),
        }
    }
}

impl Classify for SubscribeErrorKind {
    fn classify(&self, _words: &str) -> (ErrorKind, &'static str) {
        LOST
    }
}

impl Classify for CorePublishErrorKind {
    fn classify(&self, _words: &str) -> (ErrorKind, &'static str) {
        match self {
            Self::MaxPayloadExceeded => (ErrorKind::Invalid, "it is larger than the server's max_payload"),
            _ => LOST,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_sent_is_no_doubt_and_what_was_is_one() {
        let lost = || Failure::new(LOST.0, LOST.1);
        assert_eq!(lost().translate("put", true, true).kind(), ErrorKind::Unknown);
        assert_eq!(lost().translate("put", true, false).kind(), ErrorKind::Network);
        assert_eq!(lost().translate("get", false, true).kind(), ErrorKind::Network);
        let waited = Duration::from_millis(5);
        assert_eq!(late("put", true, false, waited).kind(), ErrorKind::Network);
        assert_eq!(late("put", true, true, waited).kind(), ErrorKind::Unknown);
        assert_eq!(late("get", false, true, waited).kind(), ErrorKind::Timeout);
    }

    fn answer(code: u64, words: &str) -> PublishError {
        let answer = format!(r#"{{"code":400,"err_code":{code},"description":"{words}"}}"#);
        let source: jetstream::Error = serde_json::from_str(&answer).unwrap();
        PublishError::with_source(PublishErrorKind::Other, source)
    }

    #[test]
    fn a_lost_race_is_known_by_its_code_or_words_and_other_refusals_are_none() {
        assert!(came_late(&PublishErrorKind::WrongLastSequence.into()));
        assert!(came_late(&answer(10164, "wrong last sequence")));
        assert!(came_late(&answer(10999, "wrong last sequence: 7")));
        assert!(!came_late(&answer(10077, "maximum bytes exceeded")));
        assert!(!came_late(&PublishErrorKind::TimedOut.into()));
    }

    #[test]
    fn a_write_whose_refusal_nobody_understands_is_in_doubt() {
        let kind = |error: PublishError, writes| Failure::from(error).translate("put", writes, true).kind();
        assert_eq!(kind(answer(10077, "raft: something"), true), ErrorKind::Unknown);
        assert_eq!(kind(answer(10077, "raft: something"), false), ErrorKind::Unavailable);
        assert_eq!(kind(answer(10077, "maximum bytes exceeded"), true), ErrorKind::Full);
        assert_eq!(kind(PublishErrorKind::StreamNotFound.into(), true), ErrorKind::Unavailable);
    }

    #[test]
    fn failures_are_told_apart_by_the_servers_words() {
        for (words, kind) in [
            ("maximum bytes exceeded", ErrorKind::Full),
            ("insufficient storage resources available", ErrorKind::Full),
            ("permissions violation", ErrorKind::Denied),
            ("jetstream not enabled for account", ErrorKind::Config),
            ("?", ErrorKind::Unavailable),
        ] {
            assert_eq!(by_words(words).0, kind, "{words}");
        }
    }
}
