//! Whom to trust that a server is the one: the certificates in a file, and errors that say that nobody here does.

use std::error::Error as Source;
use std::path::Path;

use terrace_store::{Error, ErrorKind, Result};

/// What to say of a server whose certificate is not trusted.
pub(crate) const DISTRUSTED: &str = "the server's certificate is of nobody who is trusted here, of another host, or \
     not valid now; name a file with the right authority in tls_ca";

/// What to say where a server answered with something else than TLS.
pub(crate) const NO_TLS: &str =
    "the server does not speak TLS there; name its port for TLS, or leave TLS out";

/// What a file with certificates in PEM holds.
///
/// # Errors
/// `Config` if it cannot be read, or holds none.
pub(crate) fn certificates(store: &'static str, path: &Path) -> Result<Vec<u8>> {
    let refused = || Error::new(ErrorKind::Config, "open").with("store", store);
    let pem = std::fs::read(path).map_err(|source| {
        refused().because(format!("tls_ca: {} cannot be read", path.display())).caused_by(source)
    })?;
    let begin = b"-----BEGIN CERTIFICATE-----";
    if pem.windows(begin.len()).any(|part| part == begin) {
        return Ok(pem);
    }
    Err(refused().because(format!("tls_ca: {} holds no certificate in PEM", path.display())))
}

/// What a failure says about trust, if that is what it is about. It does not go away by itself.
pub(crate) fn about_trust(error: &(dyn Source + 'static)) -> Option<(ErrorKind, &'static str)> {
    let mut next = Some(error);
    while let Some(error) = next {
        let words = error.to_string();
        if words.contains("invalid peer certificate") {
            return Some((ErrorKind::Config, DISTRUSTED));
        }
        if words.contains("received corrupt message") {
            return Some((ErrorKind::Config, NO_TLS));
        }
        // An error of input and output does not name what it was made of as its source.
        next = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distrust_is_found_however_deep_it_lies() {
        let error = |words: &str| std::io::Error::other(std::io::Error::other(words.to_owned()));
        let found = about_trust(&error("invalid peer certificate: UnknownIssuer"));
        assert_eq!(found, Some((ErrorKind::Config, DISTRUSTED)));
        assert_eq!(
            about_trust(&error("received corrupt message of type X")),
            Some((ErrorKind::Config, NO_TLS))
        );
        assert_eq!(about_trust(&error("connection reset")), None);
    }

    #[test]
    fn a_file_without_a_certificate_is_refused_in_words() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let error = certificates("x", &path).unwrap_err();
        assert!(error.kind() == ErrorKind::Config && error.to_string().contains("cannot be read"), "{error}");
        std::fs::write(&path, "nothing").unwrap();
        assert!(certificates("x", &path).unwrap_err().to_string().contains("no certificate"));
    }
}
