//! How a store in a PostgreSQL database is set up.

use std::path::PathBuf;
use std::time::Duration;

use terrace_store::{Durability, Error, ErrorKind, Result};

use crate::url::Url;

/// How a [`PostgresStore`](super::PostgresStore) is set up.
#[derive(Clone)]
pub struct PostgresConfig {
    /// Where the database is: `postgres://user[:password]@host[:port]/database[?sslmode=require]`.
    pub url: String,
    /// The schema that holds the tables; it is made if it is not there. A name of lower-case letters, digits and `_`.
    pub schema: String,
    /// How many connections share the work. Each carries any number of calls, one after another.
    pub connections: usize,
    /// How long one call may take, the time to connect included; also the server's `statement_timeout`.
    pub timeout: Duration,
    /// When a write is acknowledged. [`Durability::Always`] commits synchronously; less commits asynchronously, which
    /// loses at most about 0.6 s on a crash of the server.
    pub durability: Durability,
    /// A file with the certificates to trust, in PEM; `None`: those that the system trusts.
    pub tls_ca: Option<PathBuf>,
    /// From which length on a value is compressed, where the put does not say; `None`: that is left to PostgreSQL.
    pub compress_from: Option<usize>,
}

impl PostgresConfig {
    /// A store in the schema `terrace` of this database, over four connections, with ten seconds for a call, synced.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            schema: "terrace".into(),
            connections: 4,
            timeout: Duration::from_secs(10),
            durability: Durability::Always,
            tls_ca: None,
            compress_from: None,
        }
    }

    /// What a URL such as `postgres://me@localhost/app?schema=cache&connections=8` says.
    ///
    /// # Errors
    /// `Config` for an option it does not know or cannot read.
    pub(crate) fn from_url(mut url: Url) -> Result<Self> {
        let mut config = Self::new(url.location());
        if let Some(schema) = url.text("schema") {
            config.schema = schema;
        }
        config.connections = url.number("connections")?.unwrap_or(config.connections);
        if let Some(ms) = url.number("timeout_ms")? {
            config.timeout = Duration::from_millis(ms);
        }
        config.durability = url.durability(config.durability)?;
        config.tls_ca = url.text("tls_ca").map(PathBuf::from);
        config.compress_from = url.number("compress_from")?;
        if let Some(mode) = url.text("sslmode") {
            config.url.push_str("?sslmode=");
            config.url.push_str(&mode);
        }
        url.finish()?;
        Ok(config)
    }

    /// Refuses what the store cannot do.
    pub(super) fn check(&self) -> Result<()> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let letter = self.schema.starts_with(|c: char| c.is_ascii_lowercase());
        match self.durability {
            _ if self.connections == 0 => Err(refused("connections is at least 1")),
            _ if self.timeout.is_zero() => Err(refused("timeout is at least 1 ms")),
            _ if !letter || !self.schema.chars().all(plain) || self.schema.len() > 40 => {
                Err(refused("schema is 1 to 40 lower-case letters, digits and `_`, and begins with a letter"))
            }
            Durability::Process => Err(refused("a database has a durability of at least `never`")),
            Durability::Interval(interval) if interval < Duration::from_millis(600) => Err(refused(
                "a commit that is not synchronous is on the disk after 600 ms at most: interval_ms is at least that, \
                 or durability=always",
            )),
            _ => Ok(()),
        }
    }

    /// Whether commits wait for the disk. A group commit is what PostgreSQL does by itself.
    pub(super) fn is_synchronous(&self) -> bool {
        matches!(self.durability, Durability::Always | Durability::Group(_))
    }
}

/// Without the password.
impl std::fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresConfig")
            .field("url", &crate::url::without_password(&self.url))
            .field("schema", &self.schema)
            .field("connections", &self.connections)
            .field("timeout", &self.timeout)
            .field("durability", &self.durability)
            .field("tls_ca", &self.tls_ca)
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

    fn config(url: &str) -> Result<PostgresConfig> {
        let config = PostgresConfig::from_url(Url::parse(url)?)?;
        config.check()?;
        Ok(config)
    }

    #[test]
    fn a_url_says_all_there_is_to_say() {
        let found = config(
            "postgres://me:secret@host:5433/app?schema=a_1&connections=2&timeout_ms=50&durability=never\
             &compress_from=9&sslmode=require",
        )
        .unwrap();
        assert_eq!(found.url, "postgres://me:secret@host:5433/app?sslmode=require");
        assert_eq!((found.schema.as_str(), found.connections, found.compress_from), ("a_1", 2, Some(9)));
        assert_eq!((found.timeout, found.durability), (Duration::from_millis(50), Durability::Never));
        assert!(!format!("{found:?}").contains("secret"), "{found:?}");
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_words() {
        for (url, words) in [
            ("postgres://h/d?schema=a;drop", "lower-case"),
            ("postgres://h/d?schema=1a", "begins with a letter"),
            ("postgres://h/d?interval_ms=10", "at least that"),
            ("postgres://h/d?connections=0", "at least 1"),
            ("postgres://h/d?pool=4", "no option `pool`"),
        ] {
            let error = config(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{url}");
            assert!(error.to_string().contains(words), "{url}: {error}");
        }
    }
}
