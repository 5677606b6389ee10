//! What the options must be together.

use std::net::SocketAddr;
use std::path::Path;

use super::{Acknowledge, Config, ConfigError, Engine, Secret};

/// The longest value any store takes.
const MOST_VALUE: u64 = terrace_store::store::VALUE_LIMIT as u64;
/// Arguments are ranges of 32 bits.
const MOST_REQUEST: u64 = u32::MAX as u64;
const LEAST_BUFFER: u64 = 64 << 10;
const MOST_THREADS: usize = 1024;

impl Config {
    /// The configuration, if it may be run: passwords read from their file, contradictions and what is not safe
    /// refused.
    pub(super) fn checked(mut self) -> Result<Self, ConfigError> {
        self.check_ranges()?;
        self.check_log()?;
        self.check_tls()?;
        self.read_password()?;
        self.check_exposure()?;
        Ok(self)
    }

    fn check_ranges(&self) -> Result<(), ConfigError> {
        let refuse = |option: &str, reason: String| Err(ConfigError::new(option, reason));
        if self.limits.clients == 0 {
            return refuse(
                "limits.clients",
                "a server without clients serves nobody: give at least 1".into(),
            );
        }
        if self.limits.value.0 > MOST_VALUE || self.limits.value.0 == 0 {
            return refuse("limits.value", format!("goes from 1 to {MOST_VALUE} bytes (64mib)"));
        }
        if self.limits.request.0 > MOST_REQUEST || self.limits.request.0 < self.limits.value.0 {
            return refuse(
                "limits.request",
                format!("goes from limits.value to {MOST_REQUEST} bytes (4gib less one)"),
            );
        }
        if self.limits.output.0 < LEAST_BUFFER {
            return refuse("limits.output", "is at least 64kib".into());
        }
        if self.server.threads > MOST_THREADS {
            return refuse("server.threads", format!("is at most {MOST_THREADS}"));
        }
        if self.store.durability == Acknowledge::Interval && self.store.interval.0.is_zero() {
            return refuse(
                "store.interval",
                "an interval of zero is durability `always`; ask for that".into(),
            );
        }
        if self.store.kind == Engine::Fjall && !cfg!(feature = "fjall") {
            return refuse(
                "store.kind",
                "is `fjall`, which this build does not have: build it with that feature".into(),
            );
        }
        if self.store.kind.is_on_disk() && self.store.dir.as_os_str().is_empty() {
            return refuse("store.dir", "is empty; name a folder".into());
        }
        if self.http.enabled && self.http.port != 0 && self.http_address() == Some(self.resp_address()) {
            return refuse("http.port", "is the port of the Redis protocol too; give each its own".into());
        }
        Ok(())
    }

    fn check_tls(&self) -> Result<(), ConfigError> {
        match (&self.tls.cert, &self.tls.key) {
            (Some(_), None) => {
                Err(ConfigError::new("tls.key", "is missing: a certificate needs its private key"))
            }
            (None, Some(_)) => {
                Err(ConfigError::new("tls.cert", "is missing: a private key needs its certificate"))
            }
            _ => Ok(()),
        }
    }

    fn read_password(&mut self) -> Result<(), ConfigError> {
        if let Some(path) = &self.auth.requirepass_file {
            if self.auth.requirepass.is_some() {
                return Err(ConfigError::new(
                    "auth.requirepass_file",
                    "auth.requirepass is given too; give one of them",
                ));
            }
            self.auth.requirepass = Some(password_of(path)?);
        }
        if self.auth.requirepass.as_ref().is_some_and(|password| password.reveal() == Secret::SHOWN) {
            return Err(ConfigError::new(
                "auth.requirepass",
                "is what `config check` prints in place of a password; put the real one here",
            ));
        }
        match &self.auth.requirepass {
            Some(password) if password.reveal().is_empty() => {
                Err(ConfigError::new("auth.requirepass", "is empty; leave it out to ask for no password"))
            }
            _ => Ok(()),
        }
    }

    /// Nobody offers keys to the world by accident.
    fn check_exposure(&self) -> Result<(), ConfigError> {
        let beyond = self.exposed();
        let Some(address) = beyond.first() else { return Ok(()) };
        let missing = match (self.auth.requirepass.is_some(), self.tls.cert.is_some()) {
            (true, true) => return Ok(()),
            (false, false) => "neither a password (--requirepass-file) nor TLS (--tls-cert, --tls-key) is",
            (false, true) => "no password (--requirepass-file) is",
            (true, false) => "no TLS (--tls-cert, --tls-key) is",
        };
        if self.server.insecure {
            return Ok(());
        }
        Err(ConfigError::new(
            "refused",
            format!(
                "{address} can be reached from other machines, and {missing} set up; \
                 set it up, listen on 127.0.0.1 only, or say --insecure if the network itself is safe"
            ),
        ))
    }

    /// The addresses that other machines can reach.
    pub fn exposed(&self) -> Vec<SocketAddr> {
        let all = [Some(self.resp_address()), self.http_address()];
        all.into_iter().flatten().filter(|address| !address.ip().to_canonical().is_loopback()).collect()
    }
}

fn password_of(path: &Path) -> Result<Secret, ConfigError> {
    let place = || format!("auth.requirepass_file: {}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError::new(place(), error.to_string()))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(Secret::new(line)),
        _ => Err(ConfigError::new(place(), "its first line is empty, and should be the password")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::units::{Size, Span};

    fn refused(change: impl FnOnce(&mut Config)) -> Option<String> {
        let mut config = Config::default();
        change(&mut config);
        config.checked().err().map(|error| error.to_string())
    }

    fn refused_because(change: impl FnOnce(&mut Config), words: &str) {
        let refusal = refused(change).unwrap_or_default();
        assert!(refusal.contains(words), "`{refusal}` should say `{words}`");
    }

    fn everywhere(config: &mut Config) {
        config.resp.bind = [0, 0, 0, 0].into();
    }

    fn password(config: &mut Config) {
        config.auth.requirepass = Some(Secret::new("p"));
    }

    fn tls(config: &mut Config) {
        config.tls.cert = Some("c".into());
        config.tls.key = Some("k".into());
    }

    #[test]
    fn beyond_loopback_both_a_password_and_tls_are_needed() {
        refused_because(everywhere, "neither a password");
        refused_because(|config| (everywhere(config), tls(config)).0, "no password");
        refused_because(|config| (everywhere(config), password(config)).0, "no TLS");
        refused_because(|config| config.http.bind = [192, 168, 1, 1].into(), "192.168.1.1:7380");
        assert_eq!(refused(|config| (everywhere(config), password(config), tls(config)).0), None);
        assert_eq!(refused(|config| (everywhere(config), config.server.insecure = true).0), None);
        let off = |config: &mut Config| {
            config.http.bind = [0, 0, 0, 0].into();
            config.http.enabled = false;
        };
        assert_eq!(refused(off), None);
    }

    #[test]
    fn every_loopback_address_is_safe() {
        for bind in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(refused(|config| config.resp.bind = bind.parse().unwrap()), None, "{bind}");
        }
        refused_because(|config| config.resp.bind = "::".parse().unwrap(), "[::]:7379");
    }

    #[test]
    fn contradictions_are_named() {
        refused_because(|config| config.tls.cert = Some("c".into()), "tls.key");
        refused_because(|config| config.tls.key = Some("k".into()), "tls.cert");
        refused_because(|config| config.http.port = config.resp.port, "http.port");
        refused_because(|config| config.limits.clients = 0, "limits.clients");
        refused_because(|config| config.limits.value = Size(65 << 20), "limits.value");
        refused_because(|config| config.limits.request = Size(1), "limits.request");
        refused_because(|config| config.store.interval = Span::default(), "always");
        refused_because(|config| config.auth.requirepass = Some(Secret::new("")), "auth.requirepass");
    }

    #[test]
    fn a_password_file_gives_its_first_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "s3cret\nnot this\n").unwrap();
        let mut config = Config::default();
        config.auth.requirepass_file = Some(file.clone());
        let checked = config.clone().checked().unwrap();
        assert_eq!(checked.auth.requirepass, Some(Secret::new("s3cret")));
        std::fs::write(&file, "\n").unwrap();
        assert!(config.clone().checked().is_err());
        config.auth.requirepass_file = Some(folder.path().join("absent"));
        assert!(config.checked().unwrap_err().to_string().contains("absent"));
    }
}
