//! The settings of the server as the protocol knows them: what CONFIG GET tells, and what CONFIG SET changes.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use subtle::ConstantTimeEq;
use terrace_store::Result;

use super::clients::Patience;
use super::parse::Limits;

/// Changes the budget of the store that decides, in bytes; 0 takes the limit away.
pub type Resize = Arc<dyn Fn(u64) -> Result<()> + Send + Sync>;

/// What the server is started with.
#[derive(Clone)]
pub struct Config {
    /// What clients must know to be let in; `None` lets all in.
    pub password: Option<String>,
    /// Where it listens, to be told by CONFIG GET and INFO.
    pub address: SocketAddr,
    /// Where the data is, to be told by CONFIG GET; empty if it is not on a disk.
    pub directory: String,
    /// The name of the store that decides is asked of the store; this says whether it outlives the process.
    pub persistent: bool,
    /// Limits on what a client may send.
    pub limits: Limits,
    /// Most clients at a time.
    pub max_clients: usize,
    /// How long a client may be silent between commands; zero is for ever.
    pub idle_timeout: Duration,
    /// How long it may be silent inside a command, or leave replies unread; no longer than `idle_timeout`, if
    /// that is set.
    pub stall_timeout: Duration,
    /// How long it may take to log in, if a password is asked for.
    pub login_timeout: Duration,
    /// Most bytes of replies that wait to be sent to one client.
    pub output_limit: usize,
    /// Most bytes of messages that wait to be sent to one subscriber.
    pub outbox_limit: usize,
    /// Bytes of keys and values the store that decides may hold, to be told; 0 if it has no limit.
    pub maxmemory: u64,
    /// Changes `maxmemory` while the server runs; `None` if the store cannot.
    pub resize: Option<Resize>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            password: None,
            address: ([127, 0, 0, 1], 7379).into(),
            directory: String::new(),
            persistent: false,
            limits: Limits::default(),
            max_clients: 10_000,
            idle_timeout: Duration::ZERO,
            stall_timeout: Duration::from_secs(60),
            login_timeout: Duration::from_secs(30),
            output_limit: 1 << 30,
            outbox_limit: 32 << 20,
            maxmemory: 0,
            resize: None,
        }
    }
}

/// The settings in force.
pub struct Settings {
    pub(super) config: Config,
    password: RwLock<Option<String>>,
    idle_s: AtomicU64,
    maxmemory: AtomicU64,
    max_clients: AtomicUsize,
}

impl Settings {
    pub(super) fn new(config: Config) -> Self {
        Self {
            password: RwLock::new(config.password.clone()),
            // A part of a second is one: none would be for ever.
            idle_s: AtomicU64::new(config.idle_timeout.as_millis().div_ceil(1000) as u64),
            maxmemory: AtomicU64::new(config.maxmemory),
            max_clients: AtomicUsize::new(config.max_clients),
            config,
        }
    }

    /// Whether clients must log in.
    pub fn asks_password(&self) -> bool {
        self.password.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Whether this is the password; any is if none is asked for. Takes as long whatever is wrong with it.
    pub fn accepts(&self, password: &[u8]) -> bool {
        match &*self.password.read().unwrap_or_else(PoisonError::into_inner) {
            Some(right) => right.as_bytes().ct_eq(password).into(),
            None => true,
        }
    }

    /// What clients must know; empty if nothing.
    pub fn password(&self) -> String {
        self.password.read().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default()
    }

    /// Asks for another password from now on; an empty one asks for none. Who is logged in stays so.
    pub fn set_password(&self, password: String) {
        let password = (!password.is_empty()).then_some(password);
        *self.password.write().unwrap_or_else(PoisonError::into_inner) = password;
    }

    /// How long clients may be silent between commands, in seconds; 0 is for ever.
    pub fn idle_s(&self) -> u64 {
        self.idle_s.load(Ordering::Relaxed)
    }

    /// Changes that.
    pub fn set_idle_s(&self, seconds: u64) {
        self.idle_s.store(seconds, Ordering::Relaxed);
    }

    /// How many bytes of keys and values there may be; 0 if there is no limit.
    pub fn maxmemory(&self) -> u64 {
        self.maxmemory.load(Ordering::Relaxed)
    }

    /// Changes that.
    ///
    /// # Errors
    /// What the store answers.
    pub fn set_maxmemory(&self, resize: &Resize, bytes: u64) -> Result<()> {
        resize(bytes)?;
        self.maxmemory.store(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Most clients at a time.
    pub fn max_clients(&self) -> usize {
        self.max_clients.load(Ordering::Relaxed)
    }

    /// Changes that; those that are there stay.
    pub fn set_max_clients(&self, clients: usize) {
        self.max_clients.store(clients, Ordering::Relaxed);
    }

    pub(super) fn patience(&self) -> Patience {
        let (idle, stalled) = (Duration::from_secs(self.idle_s()), self.config.stall_timeout);
        Patience {
            idle,
            stalled: if idle.is_zero() { stalled } else { stalled.min(idle) },
            anonymous: self.config.login_timeout,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_command_may_take_a_minute_and_no_longer_than_silence_may() {
        let patience = |idle_ms| {
            let config = Config { idle_timeout: Duration::from_millis(idle_ms), ..Config::default() };
            let Patience { idle, stalled, .. } = Settings::new(config).patience();
            (idle.as_secs(), stalled.as_secs())
        };
        assert_eq!(patience(0), (0, 60));
        assert_eq!(patience(300_000), (300, 60));
        assert_eq!(patience(5_000), (5, 5));
        assert_eq!(patience(200), (1, 1));
    }
}
