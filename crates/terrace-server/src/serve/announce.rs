//! What the server says when it is ready: how to talk to it.

use std::net::{IpAddr, SocketAddr};

use crate::config::{Acknowledge, Config, Engine, Mode};

/// The lines for stdout.
pub(super) fn ready(config: &Config, resp: SocketAddr, http: Option<SocketAddr>) -> String {
    let mut out = format!("terrace {} is ready: {}\n", env!("CARGO_PKG_VERSION"), keys(config));
    out.push_str(&format!("  redis  {resp:<22} {}\n", redis_cli(config, resp)));
    if let Some(http) = http {
        let url =
            format!("{}://{}", if config.tls.cert.is_some() { "https" } else { "http" }, reachable(http));
        out.push_str(&format!("  http   {http:<22} {} {url}/v1/stats\n", curl(config)));
        out.push_str(&format!("  page   {url}/\n"));
    }
    out
}

/// Where the keys are, and what an acknowledgement is worth.
fn keys(config: &Config) -> String {
    match config.store.kind {
        Engine::Memory => "keys in memory only, gone after a restart".into(),
        kind => {
            let promise = match config.store.durability {
                Acknowledge::Always | Acknowledge::Group => "synced before they are acknowledged".into(),
                Acknowledge::Interval => format!("synced every {}", config.store.interval),
                Acknowledge::Never => "synced when the system likes".into(),
            };
            let engine = match (kind, config.disk.mode, &config.disk.key) {
                (Engine::Fjall, ..) => " (fjall)",
                (_, Mode::Cache, Some(_)) => " (a cache, encrypted)",
                (_, Mode::Cache, None) => " (a cache)",
                (_, Mode::Store, Some(_)) => " (encrypted)",
                (_, Mode::Store, None) => "",
            };
            format!("keys in {}{engine}, {promise}", config.store.dir.display())
        }
    }
}

/// An address that can be connected to from here.
fn reachable(address: SocketAddr) -> SocketAddr {
    let loopback = match address.ip() {
        IpAddr::V4(_) => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(_) => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
    };
    if address.ip().is_unspecified() { SocketAddr::new(loopback, address.port()) } else { address }
}

fn redis_cli(config: &Config, address: SocketAddr) -> String {
    let address = reachable(address);
    let mut command = String::new();
    if config.auth.requirepass.is_some() {
        command.push_str("REDISCLI_AUTH=... ");
    }
    command.push_str("redis-cli");
    if address.ip() != IpAddr::from([127, 0, 0, 1]) {
        command.push_str(&format!(" -h {}", address.ip()));
    }
    command.push_str(&format!(" -p {}", address.port()));
    if let Some(cert) = &config.tls.cert {
        command.push_str(&format!(" --tls --cacert {}", cert.display()));
    }
    command
}

fn curl(config: &Config) -> String {
    let mut command = "curl".to_owned();
    if config.auth.requirepass.is_some() {
        command.push_str(" -u default");
    }
    if let Some(cert) = &config.tls.cert {
        command.push_str(&format!(" --cacert {}", cert.display()));
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    #[test]
    fn the_plain_server_says_three_ways_to_talk_to_it() {
        let config = Config::default();
        let said = ready(&config, config.resp_address(), config.http_address());
        for words in [
            "./terrace-data, synced every 1s",
            "redis-cli -p 7379\n",
            "curl http://127.0.0.1:7380/v1/stats\n",
            "page   http://127.0.0.1:7380/\n",
        ] {
            assert!(said.contains(words), "{said}");
        }
    }

    #[test]
    fn what_the_keys_are_kept_in_is_said_where_it_is_not_the_usual() {
        let said = |kind, mode, key: Option<&str>| {
            let mut config = Config::default();
            (config.store.kind, config.disk.mode, config.disk.key) = (kind, mode, key.map(Into::into));
            keys(&config)
        };
        assert_eq!(said(Engine::Disk, Mode::Store, None), "keys in ./terrace-data, synced every 1s");
        assert!(said(Engine::Fjall, Mode::Store, None).contains("(fjall), synced"));
        assert!(said(Engine::Disk, Mode::Cache, Some("k")).contains("(a cache, encrypted), synced"));
        assert!(said(Engine::Memory, Mode::Store, None).contains("memory only"));
    }

    #[test]
    fn what_is_needed_to_get_in_is_said_and_the_password_is_not() {
        let mut config = Config::default();
        config.auth.requirepass = Some(Secret::new("hunter2"));
        config.tls.cert = Some("c.pem".into());
        let everywhere = SocketAddr::from(([0, 0, 0, 0], 1));
        let said = ready(&config, everywhere, Some(everywhere));
        for words in [
            "REDISCLI_AUTH=... redis-cli -p 1 --tls --cacert c.pem\n",
            "curl -u default --cacert c.pem https://127.0.0.1:1/",
        ] {
            assert!(said.contains(words), "{said}");
        }
        assert!(!said.contains("hunter2"));
        let six = ready(&Config::default(), SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 9)), None);
        assert!(six.contains("redis-cli -h ::1 -p 9\n") && !six.contains("http"), "{six}");
    }
}
