//! How a store in a NATS server is set up.

use std::path::PathBuf;
use std::time::Duration;

use terrace_store::{Durability, Error, ErrorKind, Result};

use crate::url::{Url, without_password};

/// How often a server writes its streams through to the disk, unless it is told otherwise.
const SYNCED_EVERY: Duration = Duration::from_secs(120);

/// How a [`NatsStore`](super::NatsStore) is set up.
#[derive(Clone)]
pub struct NatsConfig {
    /// Where the servers are: `nats://[user:password@]host[:port][,host[:port]...]`, `natss://` for TLS.
    pub url: String,
    /// The name of the JetStream key-value bucket that all of it lies in: letters, digits, `-` and `_`. It is made at
    /// the first call if there is none.
    pub prefix: String,
    /// How long one request may take, the time to connect included.
    pub timeout: Duration,
    /// [`Durability::Never`], or an interval of at least the two minutes after which a server syncs.
    pub durability: Durability,
    /// How many servers keep the bucket, if it is made.
    pub replicas: usize,
    /// How many bytes the bucket may have, if it is made; `None`: as many as the server allows.
    pub capacity: Option<u64>,
    /// A file with the certificates to trust, in PEM; `None`: those that the system trusts.
    pub tls_ca: Option<PathBuf>,
    /// A file with a user's credentials, as `nsc` writes them.
    pub credentials: Option<PathBuf>,
    /// From which length on a value is compressed, where the put does not say; `None`: never.
    pub compress_from: Option<usize>,
}

impl NatsConfig {
    /// A store in this server, in the bucket `terrace`, with five seconds for a request.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            prefix: "terrace".into(),
            timeout: Duration::from_secs(5),
            durability: Durability::Never,
            replicas: 1,
            capacity: None,
            tls_ca: None,
            credentials: None,
            compress_from: None,
        }
    }

    /// What a URL such as `nats://a:4222,b:4222?prefix=orders&replicas=3` says.
    ///
    /// # Errors
    /// `Config` for an option it does not know or cannot read.
    pub(crate) fn from_url(mut url: Url) -> Result<Self> {
        let mut config = Self::new(url.location());
        if let Some(prefix) = url.text("prefix") {
            config.prefix = prefix;
        }
        if let Some(ms) = url.number("timeout_ms")? {
            config.timeout = Duration::from_millis(ms);
        }
        config.durability = url.durability(config.durability)?;
        config.replicas = url.number("replicas")?.unwrap_or(config.replicas);
        config.capacity = url.number("capacity")?;
        config.tls_ca = url.text("tls_ca").map(PathBuf::from);
        config.credentials = url.text("credentials").map(PathBuf::from);
        config.compress_from = url.number("compress_from")?;
        url.finish()?;
        Ok(config)
    }

    /// Refuses what the store cannot do.
    pub(super) fn check(&self) -> Result<()> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        match self.durability {
            _ if self.timeout.is_zero() => Err(refused("timeout is at least 1 ms")),
            _ if self.prefix.is_empty() || self.prefix.len() > 64 || !self.prefix.chars().all(allowed) => {
                Err(refused("prefix is 1 to 64 letters, digits, `-` and `_`"))
            }
            _ if !(1..=5).contains(&self.replicas) => Err(refused("replicas is 1 to 5")),
            _ if self.capacity.is_some_and(|bytes| i64::try_from(bytes).is_err() || bytes == 0) => {
                Err(refused("capacity is at least 1 byte, and below 2^63"))
            }
            _ if self.tls_ca.is_some() && !self.url.starts_with("natss:") => {
                Err(refused("tls_ca means nothing without TLS: write natss://"))
            }
            Durability::Never => Ok(()),
            Durability::Interval(interval) if interval >= SYNCED_EVERY => Ok(()),
            _ => Err(refused(
                "a NATS server acknowledges once the operating system has a write, and syncs every two minutes unless \
                 it is told otherwise, which no client can see: its ceiling is `interval` with an interval_ms of at \
                 least 120000",
            )),
        }
    }
}

/// Without the password.
impl std::fmt::Debug for NatsConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NatsConfig")
            .field("url", &without_password(&self.url))
            .field("prefix", &self.prefix)
            .field("timeout", &self.timeout)
            .field("durability", &self.durability)
            .field("replicas", &self.replicas)
            .field("capacity", &self.capacity)
            .field("tls_ca", &self.tls_ca)
            .field("credentials", &self.credentials)
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

    fn config(url: &str) -> Result<NatsConfig> {
        let config = NatsConfig::from_url(Url::parse(url)?)?;
        config.check()?;
        Ok(config)
    }

    #[test]
    fn a_url_says_all_there_is_to_say() {
        let found = config(
            "natss://me:secret@a:1,b:2?prefix=p&timeout_ms=50&interval_ms=120000&compress_from=9&replicas=3\
             &capacity=100&tls_ca=/ca.pem&credentials=/me.creds",
        )
        .unwrap();
        assert_eq!(found.url, "natss://me:secret@a:1,b:2");
        assert_eq!((found.prefix.as_str(), found.replicas, found.compress_from), ("p", 3, Some(9)));
        assert_eq!((found.capacity, found.timeout), (Some(100), Duration::from_millis(50)));
        assert_eq!(found.durability, Durability::Interval(Duration::from_secs(120)));
        assert_eq!(found.tls_ca, Some(PathBuf::from("/ca.pem")));
        assert_eq!(found.credentials, Some(PathBuf::from("/me.creds")));
        assert!(!format!("{found:?}").contains("secret"), "{found:?}");
    }

    #[test]
    fn what_the_server_cannot_do_is_refused_with_its_ceiling() {
        for (url, words) in [
            ("nats://h?durability=always", "its ceiling is `interval`"),
            ("nats://h?durability=group", "its ceiling is `interval`"),
            ("nats://h?interval_ms=1000", "at least 120000"),
            ("nats://h?prefix=a.b", "letters, digits"),
            ("nats://h?replicas=0", "1 to 5"),
            ("nats://h?capacity=0", "at least 1 byte"),
            ("nats://h?tls_ca=/a", "natss://"),
            ("nats://h?bucket=4", "no option `bucket`"),
        ] {
            let error = config(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{url}");
            assert!(error.to_string().contains(words), "{url}: {error}");
        }
    }
}
