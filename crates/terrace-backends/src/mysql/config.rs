//! How a store in a MariaDB or MySQL database is set up.

use std::path::PathBuf;
use std::time::Duration;

use terrace_store::{Durability, Error, ErrorKind, Result};

use crate::url::{Url, without_password};

/// How a [`MysqlStore`](super::MysqlStore) is set up.
#[derive(Clone)]
pub struct MysqlConfig {
    /// Where the database is: `mysql://user[:password]@host[:port]/database`.
    pub url: String,
    /// What the names of all its tables begin with: lower-case letters, digits and `_`.
    pub prefix: String,
    /// How many connections share the work.
    pub connections: usize,
    /// How long one call may take, the time to connect included.
    pub timeout: Duration,
    /// What the server must promise; it is compared with its `innodb_flush_log_at_trx_commit` at the first call.
    pub durability: Durability,
    /// Whether connections are encrypted, and the server's certificate checked.
    pub tls: bool,
    /// A file with the certificates to trust, in PEM; `None`: those that the system trusts.
    pub tls_ca: Option<PathBuf>,
    /// From which length on a value is compressed, where the put does not say; `None`: never.
    pub compress_from: Option<usize>,
}

impl MysqlConfig {
    /// A store in this database, with the prefix `terrace`, over four connections, with ten seconds for a call, synced.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            prefix: "terrace".into(),
            connections: 4,
            timeout: Duration::from_secs(10),
            durability: Durability::Always,
            tls: false,
            tls_ca: None,
            compress_from: None,
        }
    }

    /// What a URL such as `mysql://me@localhost/app?prefix=cache&connections=8` says.
    ///
    /// # Errors
    /// `Config` for an option it does not know or cannot read.
    pub(crate) fn from_url(mut url: Url) -> Result<Self> {
        // The client knows the server by one name.
        let mut config = Self::new(url.location().replacen("mariadb:", "mysql:", 1));
        if let Some(prefix) = url.text("prefix") {
            config.prefix = prefix;
        }
        config.connections = url.number("connections")?.unwrap_or(config.connections);
        if let Some(ms) = url.number("timeout_ms")? {
            config.timeout = Duration::from_millis(ms);
        }
        config.durability = url.durability(config.durability)?;
        config.tls = url.switch("tls")?.unwrap_or(config.tls);
        config.tls_ca = url.text("tls_ca").map(PathBuf::from);
        config.compress_from = url.number("compress_from")?;
        url.finish()?;
        Ok(config)
    }

    /// Refuses what the store cannot do.
    pub(super) fn check(&self) -> Result<()> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let letter = self.prefix.starts_with(|c: char| c.is_ascii_lowercase());
        match self.durability {
            _ if self.connections == 0 => Err(refused("connections is at least 1")),
            _ if self.timeout.is_zero() => Err(refused("timeout is at least 1 ms")),
            _ if !letter || !self.prefix.chars().all(plain) || self.prefix.len() > 40 => {
                Err(refused("prefix is 1 to 40 lower-case letters, digits and `_`, and begins with a letter"))
            }
            _ if self.tls_ca.is_some() && !self.tls => {
                Err(refused("tls_ca means nothing without TLS: write tls=true"))
            }
            Durability::Process => Err(refused("a database has a durability of at least `never`")),
            Durability::Interval(interval) if interval < Duration::from_secs(1) => Err(refused(
                "a server that does not sync each commit syncs every second: interval_ms is at least 1000, or \
                 durability=always, which is its ceiling",
            )),
            _ => Ok(()),
        }
    }
}

/// Without the password.
impl std::fmt::Debug for MysqlConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MysqlConfig")
            .field("url", &without_password(&self.url))
            .field("prefix", &self.prefix)
            .field("connections", &self.connections)
            .field("timeout", &self.timeout)
            .field("durability", &self.durability)
            .field("tls", &self.tls)
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

    fn config(url: &str) -> Result<MysqlConfig> {
        let config = MysqlConfig::from_url(Url::parse(url)?)?;
        config.check()?;
        Ok(config)
    }

    #[test]
    fn a_url_says_all_there_is_to_say() {
        let found = config(
            "mysql://me:secret@host:3307/app?prefix=a_1&connections=2&timeout_ms=50&durability=never&compress_from=9\
             &tls=true",
        )
        .unwrap();
        assert_eq!(found.url, "mysql://me:secret@host:3307/app");
        assert_eq!((found.prefix.as_str(), found.connections, found.compress_from), ("a_1", 2, Some(9)));
        assert_eq!((found.timeout, found.durability), (Duration::from_millis(50), Durability::Never));
        assert!(found.tls && !format!("{found:?}").contains("secret"), "{found:?}");
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_words() {
        for (url, words) in [
            ("mysql://h/d?prefix=a;drop", "lower-case"),
            ("mysql://h/d?prefix=1a", "begins with a letter"),
            ("mysql://h/d?interval_ms=10", "its ceiling"),
            ("mysql://h/d?tls_ca=/a", "tls=true"),
            ("mysql://h/d?connections=0", "at least 1"),
            ("mysql://h/d?pool=4", "no option `pool`"),
        ] {
            let error = config(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{url}");
            assert!(error.to_string().contains(words), "{url}: {error}");
        }
    }
}
