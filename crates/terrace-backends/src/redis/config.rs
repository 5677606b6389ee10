//! How a store in a Redis server is set up.

use std::path::PathBuf;
use std::time::Duration;

use terrace_store::{Durability, Error, ErrorKind, Result};

use crate::url::{Url, without_password};

/// How a [`RedisStore`](super::RedisStore) is set up.
#[derive(Clone)]
pub struct RedisConfig {
    /// Where the server is: `redis://[user:password@]host[:port][/database]`, `rediss://` for TLS, `redis+unix:///path`
    /// for a socket; `?protocol=resp3` chooses the newer protocol.
    pub url: String,
    /// What the names of all its keys begin with. Stores with different prefixes do not see each other.
    pub prefix: String,
    /// How many connections share the work. Each carries any number of calls at once.
    pub connections: usize,
    /// How long one call may take, the time to connect included.
    pub timeout: Duration,
    /// What the server must promise: [`Durability::Process`] asks nothing; the others are checked against its
    /// `appendonly` and `appendfsync` at the first call.
    pub durability: Durability,
    /// A file with the certificates to trust, in PEM; `None`: those that the system trusts.
    pub tls_ca: Option<PathBuf>,
    /// From which length on a value is compressed, where the put does not say; `None`: never.
    pub compress_from: Option<usize>,
}

impl RedisConfig {
    /// A store in this server, with the prefix `terrace`, over four connections, with two seconds for a call.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            prefix: "terrace".into(),
            connections: 4,
            timeout: Duration::from_secs(2),
            durability: Durability::Process,
            tls_ca: None,
            compress_from: None,
        }
    }

    /// What a URL such as `redis://localhost/0?prefix=orders&connections=8` says.
    ///
    /// # Errors
    /// `Config` for an option it does not know or cannot read.
    pub(crate) fn from_url(mut url: Url) -> Result<Self> {
        let mut config = Self::new(url.location());
        if let Some(prefix) = url.text("prefix") {
            config.prefix = prefix;
        }
        config.connections = url.number("connections")?.unwrap_or(config.connections);
        if let Some(ms) = url.number("timeout_ms")? {
            config.timeout = Duration::from_millis(ms);
        }
        config.durability = url.durability(config.durability)?;
        config.tls_ca = url.text("tls_ca").map(PathBuf::from);
        config.compress_from = url.number("compress_from")?;
        match url.text("protocol").as_deref() {
            None | Some("resp2") => {}
            Some("resp3") => config.url.push_str("?protocol=resp3"),
            Some(other) => return Err(refused(&format!("protocol is resp2 or resp3, not `{other}`"))),
        }
        url.finish()?;
        Ok(config)
    }

    /// Refuses what the store cannot do.
    pub(super) fn check(&self) -> Result<()> {
        match self.durability {
            _ if self.connections == 0 => Err(refused("connections is at least 1")),
            _ if self.timeout.is_zero() => Err(refused("timeout is at least 1 ms")),
            _ if self.prefix.is_empty() || self.prefix.contains(['{', '}']) => {
                Err(refused("prefix is not empty and has no braces"))
            }
            _ if self.tls_ca.is_some()
                && !self.url.starts_with("rediss:")
                && !self.url.starts_with("valkeys:") =>
            {
                Err(refused("tls_ca means nothing without TLS: write rediss://"))
            }
            Durability::Group(_) => Err(refused(
                "a Redis server has no group commit; its ceiling is `always`, with appendfsync always",
            )),
            Durability::Interval(interval) if interval < Duration::from_secs(1) => Err(refused(
                "a Redis server syncs every second at best, or always: interval_ms is at least 1000",
            )),
            _ => Ok(()),
        }
    }
}

/// How a [`RedisClusterStore`](super::RedisClusterStore) is set up.
#[derive(Clone, Debug)]
pub struct RedisClusterConfig {
    /// One server of the cluster, and all else; the number of connections is not read: there is one to each server.
    pub redis: RedisConfig,
    /// Other servers as host:port, for when the first one is not there.
    pub nodes: Vec<String>,
    /// In how many parts, each in another slot, its namespaces are laid. It cannot be changed later.
    pub parts: usize,
}

/// More parts than that only cost memory in the servers.
pub(super) const MOST_PARTS: usize = 1024;

impl RedisClusterConfig {
    /// A store in the cluster of this server, with the prefix `terrace`, in 16 parts.
    pub fn new(url: impl Into<String>) -> Self {
        Self { redis: RedisConfig::new(url), nodes: Vec::new(), parts: 16 }
    }

    /// What a URL such as `redis+cluster://host:7000?nodes=host:7001,host:7002&parts=64` says.
    ///
    /// # Errors
    /// `Config` for an option it does not know or cannot read.
    pub(crate) fn from_url(mut url: Url) -> Result<Self> {
        let nodes = url.text("nodes").unwrap_or_default();
        let parts = url.number("parts")?;
        let connections = url.text("connections").is_some();
        if connections {
            return Err(refused("a cluster has one connection to each server; leave out connections"));
        }
        let mut redis = RedisConfig::from_url(url)?;
        redis.url = redis.url.replacen("+cluster:", ":", 1);
        let config = Self::new("");
        let nodes = nodes.split(',').filter(|node| !node.is_empty()).map(str::to_owned).collect();
        Ok(Self { redis, nodes, parts: parts.unwrap_or(config.parts) })
    }

    /// Refuses what the store cannot do.
    pub(super) fn check(&self) -> Result<()> {
        if !(1..=MOST_PARTS).contains(&self.parts) {
            return Err(refused(&format!("parts is 1 to {MOST_PARTS}")));
        }
        self.redis.check()
    }
}

/// Without the password.
impl std::fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisConfig")
            .field("url", &without_password(&self.url))
            .field("prefix", &self.prefix)
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

    fn config(url: &str) -> Result<RedisConfig> {
        let config = RedisConfig::from_url(Url::parse(url)?)?;
        config.check()?;
        Ok(config)
    }

    #[test]
    fn a_url_says_all_there_is_to_say() {
        let found = config("redis://me:p%40ss@host:7000/3?prefix=a&connections=2&timeout_ms=50&durability=always&compress_from=9&protocol=resp3").unwrap();
        assert_eq!(found.url, "redis://me:p%40ss@host:7000/3?protocol=resp3");
        assert_eq!((found.prefix.as_str(), found.connections, found.compress_from), ("a", 2, Some(9)));
        assert_eq!((found.timeout, found.durability), (Duration::from_millis(50), Durability::Always));
        assert!(!format!("{found:?}").contains("p%40ss"), "{found:?}");
    }

    #[test]
    fn a_url_of_a_cluster_says_its_servers_and_parts() {
        let url = "rediss+cluster://me:p@a:7000?nodes=b:7001,[::1]:7002&parts=4&prefix=x";
        let found = RedisClusterConfig::from_url(Url::parse(url).unwrap()).unwrap();
        assert_eq!(found.redis.url, "rediss://me:p@a:7000");
        assert_eq!((found.nodes.join(" "), found.parts), ("b:7001 [::1]:7002".into(), 4));
        assert_eq!(found.redis.prefix, "x");
        for (option, words) in
            [("parts=0", "1 to 1024"), ("connections=3", "one connection"), ("node=b", "`node`")]
        {
            let url = Url::parse(&format!("redis+cluster://a?{option}")).unwrap();
            let error = RedisClusterConfig::from_url(url).and_then(|config| config.check()).unwrap_err();
            assert!(error.to_string().contains(words), "{option}: {error}");
        }
    }

    #[test]
    fn what_the_server_cannot_do_is_refused_with_its_ceiling() {
        for (url, words) in [
            ("redis://h?durability=group", "ceiling is `always`"),
            ("redis://h?interval_ms=10", "at least 1000"),
            ("redis://h?prefix={a}", "braces"),
            ("redis://h?tls_ca=/a", "rediss://"),
            ("redis://h?connections=0", "at least 1"),
            ("redis://h?protocol=4", "resp2 or resp3"),
            ("redis://h?pool=4", "no option `pool`"),
        ] {
            let error = config(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{url}");
            assert!(error.to_string().contains(words), "{url}: {error}");
        }
    }
}
