//! How a store in another Terrace is set up.

use std::path::PathBuf;
use std::time::Duration;

use terrace_store::{Durability, Error, ErrorKind, Result};

use crate::url::{Url, without_password};

/// The longest name of a store.
const LONGEST_NAME: usize = 64;

/// How an [`HttpStore`](super::HttpStore) is set up.
#[derive(Clone)]
pub struct HttpConfig {
    /// Where the server is: `http://[[user]:password@]host[:port]`, `https://` for TLS. The port is 7380 unless it is
    /// given.
    pub url: String,
    /// The name of the store in that server: letters, digits, `.`, `_` and `-`, at most 64. Stores of different names do
    /// not see each other.
    pub prefix: String,
    /// The authorities, in a file of PEM, that the server's certificate is checked with; `None`: those the system trusts.
    pub tls_ca: Option<PathBuf>,
    /// How many calls may be under way at once, each on a connection of its own. More wait.
    pub connections: usize,
    /// How long one call may take, the time to connect included.
    pub timeout: Duration,
    /// What the server must promise: [`Durability::Process`] asks nothing; the others are checked at the first call.
    pub durability: Durability,
    /// From which length on a value travels compressed; `None`: never. How it is kept is the server's affair.
    pub compress_from: Option<usize>,
}

impl HttpConfig {
    /// A store in this server, with the name `terrace`, over at most 16 connections, with five seconds for a call.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            prefix: "terrace".into(),
            tls_ca: None,
            connections: 16,
            timeout: Duration::from_secs(5),
            durability: Durability::Process,
            compress_from: None,
        }
    }

    /// What a URL such as `https://:secret@cache.internal:7380?prefix=orders&tls_ca=/etc/ca.pem` says.
    ///
    /// # Errors
    /// `Config` for an option it does not know or cannot read.
    pub(crate) fn from_url(mut url: Url) -> Result<Self> {
        let mut config = Self::new(url.location());
        if let Some(prefix) = url.text("prefix") {
            config.prefix = prefix;
        }
        config.tls_ca = url.text("tls_ca").map(PathBuf::from);
        config.connections = url.number("connections")?.unwrap_or(config.connections);
        if let Some(ms) = url.number("timeout_ms")? {
            config.timeout = Duration::from_millis(ms);
        }
        config.durability = url.durability(config.durability)?;
        config.compress_from = url.number("compress_from")?;
        url.finish()?;
        Ok(config)
    }

    /// Refuses what makes no sense. What the server cannot do, it says at the first call.
    pub(super) fn check(&self) -> Result<()> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if self.timeout.is_zero() {
            return Err(refused("timeout is at least 1 ms"));
        }
        if !(1..=1024).contains(&self.connections) {
            return Err(refused("connections is 1 to 1024"));
        }
        if self.prefix.is_empty() || self.prefix.len() > LONGEST_NAME || !self.prefix.chars().all(plain) {
            return Err(refused("prefix is 1 to 64 letters, digits, `.`, `_` and `-`"));
        }
        if self.tls_ca.is_some() && !self.url.starts_with("https:") {
            return Err(refused("tls_ca means nothing without TLS: write https:"));
        }
        Ok(())
    }
}

/// Without the password.
impl std::fmt::Debug for HttpConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpConfig")
            .field("url", &without_password(&self.url))
            .field("prefix", &self.prefix)
            .field("tls_ca", &self.tls_ca)
            .field("connections", &self.connections)
            .field("timeout", &self.timeout)
            .field("durability", &self.durability)
            .field("compress_from", &self.compress_from)
            .finish()
    }
}

pub(super) fn refused(why: &str) -> Error {
    Error::new(ErrorKind::Config, "open").with("store", super::NAME).because(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: &str) -> Result<HttpConfig> {
        let config = HttpConfig::from_url(Url::parse(url)?)?;
        config.check()?;
        Ok(config)
    }

    #[test]
    fn a_url_says_all_there_is_to_say() {
        let found = config(
            "https://:s%40cret@h:1?prefix=p&tls_ca=/a.pem&timeout_ms=50&durability=group&compress_from=9&connections=2",
        )
        .unwrap();
        assert_eq!(found.url, "https://:s%40cret@h:1");
        assert_eq!((found.prefix.as_str(), found.connections, found.compress_from), ("p", 2, Some(9)));
        assert_eq!(
            (found.tls_ca.as_deref(), found.timeout),
            (Some("/a.pem".as_ref()), Duration::from_millis(50))
        );
        assert_eq!(found.durability, Durability::Group(Duration::from_millis(2)));
        assert!(!format!("{found:?}").contains("cret"), "{found:?}");
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_words() {
        for (url, words) in [
            ("http://h?prefix=a/b", "letters, digits"),
            ("http://h?prefix=", "letters, digits"),
            ("http://h?connections=0", "1 to 1024"),
            ("http://h?timeout_ms=0", "at least 1 ms"),
            ("http://h?tls_ca=/a.pem", "without TLS"),
            ("http://h?pool=4", "no option `pool`"),
        ] {
            let error = config(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{url}");
            assert!(error.to_string().contains(words), "{url}: {error}");
        }
    }
}
