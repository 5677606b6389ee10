//! The server's and the client's errors in the words of the contract.

use std::error::Error as StdError;

use object_store::Error as Source;
use object_store::client::{HttpError, HttpErrorKind};
use terrace_store::{Error, ErrorKind};

use super::NAME;

/// What an error of the client means. Of a write that was sent, only a plain refusal tells that it was not applied.
pub(super) fn translate(operation: &'static str, writes: bool, source: Source) -> Error {
    let (kind, why) = classify(&source);
    let unsure = matches!(kind, ErrorKind::Network | ErrorKind::Timeout | ErrorKind::Unavailable);
    let kind = if writes && unsure && !was_never_sent(&source) { ErrorKind::Unknown } else { kind };
    let error = Error::new(kind, operation).with("store", NAME);
    let error = if why.is_empty() { error } else { error.because(why) };
    error.caused_by(source)
}

/// A call that was not answered in its time.
pub(super) fn late(operation: &'static str, writes: bool, waited: std::time::Duration) -> Error {
    let kind = if writes { ErrorKind::Unknown } else { ErrorKind::Timeout };
    Error::new(kind, operation)
        .with("store", NAME)
        .because(format!("the object store did not answer within {} ms", waited.as_millis()))
}

fn beneath<E: StdError + 'static>(source: &Source) -> Option<&E> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(source);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// Whether no connection was made for it. Nothing is sent twice, so then nothing was sent.
fn was_never_sent(source: &Source) -> bool {
    beneath::<HttpError>(source).is_some_and(|error| error.kind() == HttpErrorKind::Connect)
}

/// Whether what was asked for is not there because its bucket is not.
pub(super) fn has_no_bucket(source: &Source) -> bool {
    source.to_string().contains("NoSuchBucket")
}

fn classify(source: &Source) -> (ErrorKind, &'static str) {
    const BUCKET: (ErrorKind, &str) =
        (ErrorKind::Config, "the bucket does not exist: make it, or correct the URL");
    const REFUSED: (ErrorKind, &str) = (
        ErrorKind::Denied,
        "the object store refused the access key or its secret, or what they allow in this bucket",
    );
    match source {
        _ if has_no_bucket(source) => BUCKET,
        // Only a write finds nothing without being asked for an object.
        Source::NotFound { .. } => BUCKET,
        Source::PermissionDenied { .. } | Source::Unauthenticated { .. } => REFUSED,
        Source::NotImplemented { .. } | Source::NotSupported { .. } => (ErrorKind::NotSupported, ""),
        Source::Precondition { .. } | Source::AlreadyExists { .. } => (ErrorKind::Conflict, ""),
        Source::InvalidPath { .. } => (ErrorKind::Corrupt, "a name that this store did not give"),
        Source::JoinError { .. } => (ErrorKind::Closed, "the runtime ends"),
        _ => generic(source),
    }
}

fn generic(source: &Source) -> (ErrorKind, &'static str) {
    if let Some(error) = beneath::<std::io::Error>(source)
        && beneath::<HttpError>(source).is_none()
    {
        return (Error::from(std::io::Error::from(error.kind())).kind(), "");
    }
    if let Some(error) = beneath::<HttpError>(source) {
        return transport(error);
    }
    match status(&source.to_string()) {
        Some(301 | 307) => (ErrorKind::Config, "the bucket is in another region; name it with `region`"),
        Some(429 | 503) => (ErrorKind::Unavailable, "the object store has too much to do, or is not ready"),
        Some(507) => (ErrorKind::Full, "the object store has no room"),
        Some(413) => (ErrorKind::Invalid, "the value is larger than what the object store takes"),
        Some(400..=499) => (ErrorKind::Config, "what answers there refuses S3's requests"),
        Some(_) => (ErrorKind::Unavailable, "the object store failed"),
        None => (ErrorKind::Unavailable, "what answers there does not speak S3, or the region is wrong"),
    }
}

/// The status of an answer, which the client tells in words alone.
fn status(words: &str) -> Option<u16> {
    let (_, rest) = words.split_once("status code: ")?;
    rest.get(..3)?.parse().ok()
}

fn transport(error: &HttpError) -> (ErrorKind, &'static str) {
    match error.kind() {
        HttpErrorKind::Timeout => (ErrorKind::Timeout, "the object store did not answer in time"),
        HttpErrorKind::Connect => (ErrorKind::Network, "the object store cannot be reached"),
        _ => (ErrorKind::Network, "the connection to the object store failed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_client_says_of_an_answer_is_understood() {
        let says = |words: &str| Source::Generic { store: "S3", source: words.into() };
        for (words, kind) in [
            (
                "Server returned non-2xx status code: 503 Service Unavailable: <Code>SlowDown",
                ErrorKind::Unavailable,
            ),
            ("Server returned non-2xx status code: 400 Bad Request: ", ErrorKind::Config),
            ("Server returned non-2xx status code: 507 Insufficient Storage: ", ErrorKind::Full),
            (
                "Server returned non-2xx status code: 404 Not Found: <Code>NoSuchBucket</Code>",
                ErrorKind::Config,
            ),
            ("nonsense", ErrorKind::Unavailable),
        ] {
            assert_eq!(translate("get", false, says(words)).kind(), kind, "{words}");
        }
        assert_eq!(translate("put", true, says("status code: 500")).kind(), ErrorKind::Unknown);
        assert_eq!(translate("put", true, says("status code: 413")).kind(), ErrorKind::Invalid);
    }
}
