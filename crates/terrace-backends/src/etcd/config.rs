//! How a store in an etcd cluster is set up.

use std::path::PathBuf;
use std::time::Duration;

use terrace_store::{Durability, Error, ErrorKind, Result};

use crate::url::{Url, without_password};

/// How an [`EtcdStore`](super::EtcdStore) is set up.
#[derive(Clone)]
pub struct EtcdConfig {
    /// Where the members are: `etcd://[user:password@]host:port[,host:port...]`, `etcds://` for TLS with the
    /// certificates that the system trusts.
    pub url: String,
    /// What the names of all its rows begin with. Stores with different prefixes do not see each other.
    pub prefix: String,
    /// How long one request may take, the time to connect included. A write takes two, and two more each time that
    /// another process gets in between.
    pub timeout: Duration,
    /// [`Durability::Always`], or [`Durability::Group`], which etcd does by itself.
    pub durability: Durability,
    /// How many operations a transaction may have: the members' `--max-txn-ops`.
    pub max_txn_ops: usize,
    /// A file with the certificates to trust, in PEM; `None`: those that the system trusts.
    pub tls_ca: Option<PathBuf>,
    /// From which length on a value is compressed, where the put does not say; `None`: never.
    pub compress_from: Option<usize>,
}

impl EtcdConfig {
    /// A store in this cluster, with the prefix `terrace`, five seconds for a request, and the members' own defaults.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            prefix: "terrace".into(),
            timeout: Duration::from_secs(5),
            durability: Durability::Always,
            max_txn_ops: 128,
            tls_ca: None,
            compress_from: None,
        }
    }

    /// What a URL such as `etcd://a:2379,b:2379?prefix=orders` says.
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
        config.max_txn_ops = url.number("max_txn_ops")?.unwrap_or(config.max_txn_ops);
        config.durability = url.durability(config.durability)?;
        config.tls_ca = url.text("tls_ca").map(PathBuf::from);
        config.compress_from = url.number("compress_from")?;
        url.finish()?;
        Ok(config)
    }

    /// Refuses what the store cannot do.
    pub(super) fn check(&self) -> Result<()> {
        match self.durability {
            _ if self.timeout.is_zero() => Err(refused("timeout is at least 1 ms")),
            _ if self.prefix.is_empty() || self.prefix.contains('/') => {
                Err(refused("prefix is not empty and has no `/`"))
            }
            _ if !(16..=4096).contains(&self.max_txn_ops) => Err(refused(
                "max_txn_ops is 16 to 4096: what the members were started with, 128 unless they were told otherwise",
            )),
            _ if self.tls_ca.is_some() && !self.url.starts_with("etcds:") => {
                Err(refused("tls_ca means nothing without TLS: write etcds://"))
            }
            Durability::Always | Durability::Group(_) => Ok(()),
            _ => Err(refused(
                "etcd has one durability, which is also its ceiling, `always`: a write is acknowledged once a majority \
                 has synced it",
            )),
        }
    }
}

/// Without the password.
impl std::fmt::Debug for EtcdConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EtcdConfig")
            .field("url", &without_password(&self.url))
            .field("prefix", &self.prefix)
            .field("timeout", &self.timeout)
            .field("durability", &self.durability)
            .field("max_txn_ops", &self.max_txn_ops)
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

    fn config(url: &str) -> Result<EtcdConfig> {
        let config = EtcdConfig::from_url(Url::parse(url)?)?;
        config.check()?;
        Ok(config)
    }

    #[test]
    fn a_url_says_all_there_is_to_say() {
        let found = config(
            "etcd://me:secret@a:1,b:2?prefix=p&timeout_ms=50&durability=group&compress_from=9&max_txn_ops=500",
        )
        .unwrap();
        assert_eq!(found.url, "etcd://me:secret@a:1,b:2");
        assert_eq!((found.prefix.as_str(), found.max_txn_ops, found.compress_from), ("p", 500, Some(9)));
        assert_eq!(found.timeout, Duration::from_millis(50));
        assert_eq!(found.durability, Durability::Group(Duration::from_millis(2)));
        assert!(!format!("{found:?}").contains("secret"), "{found:?}");
    }

    #[test]
    fn what_the_cluster_cannot_do_is_refused_with_its_ceiling() {
        for (url, words) in [
            ("etcd://h:1?durability=never", "ceiling, `always`"),
            ("etcd://h:1?interval_ms=10", "ceiling, `always`"),
            ("etcd://h:1?prefix=a/b", "no `/`"),
            ("etcd://h:1?tls_ca=/a", "etcds://"),
            ("etcd://h:1?max_txn_ops=3", "16 to 4096"),
            ("etcd://h:1?connections=4", "no option `connections`"),
        ] {
            let error = config(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{url}");
            assert!(error.to_string().contains(words), "{url}: {error}");
        }
    }
}
