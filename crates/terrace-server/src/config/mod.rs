//! How the server is set up: one model, filled from a TOML file, then the environment, then flags.
//!
//! Decision: every option has one name, `section.option`. The file writes it so, the environment writes it
//! `TERRACE_SECTION_OPTION`, and where there is a flag the table in `cli/serve.rs` says which. A name nobody knows
//! is an error that suggests the nearest one that exists, since a setting that silently does nothing is worse
//! than none. Defaults need no file at all.

mod disk;
mod options;
mod rules;
mod secret;
mod source;
pub mod units;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use terrace_store::Durability;

pub use disk::{Compression, Disk, Mode, Reads};
pub use options::{Kind, OPTIONS, Opt};
pub use secret::Secret;
pub use source::{FILE_VARIABLE, Sources};
use units::{Size, Span};

use crate::keyspace::Policy;

/// The whole configuration.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The Redis protocol.
    pub resp: Resp,
    /// HTTP.
    pub http: Http,
    /// Where the keys are kept.
    pub store: Store,
    /// The log that `store.kind` `disk` keeps them in.
    pub disk: Disk,
    /// The tier of live values in memory.
    pub hot: Hot,
    /// Who may come in.
    pub auth: Auth,
    /// Encryption of both protocols.
    pub tls: Tls,
    /// What clients may ask for.
    pub limits: Limits,
    /// The process.
    pub server: Server,
}

/// Where the Redis protocol is spoken.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Resp {
    /// The address to listen on.
    #[serde(deserialize_with = "address")]
    pub bind: IpAddr,
    /// The port; 0 lets the system choose.
    pub port: u16,
}

/// Where HTTP is spoken.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Whether it is spoken at all.
    pub enabled: bool,
    /// The address to listen on.
    #[serde(deserialize_with = "address")]
    pub bind: IpAddr,
    /// The port; 0 lets the system choose.
    pub port: u16,
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<IpAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| {
        D::Error::custom(format!(
            "`{text}` is no IP address; give one, such as 127.0.0.1, or 0.0.0.0 for all of this machine's"
        ))
    })
}

/// The engine that keeps the keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// On disk, in a folder: Terrace's own log.
    #[default]
    Disk,
    /// On disk, in a folder: fjall, the default before, where this build has it.
    Fjall,
    /// In memory only: a restart begins empty.
    Memory,
}

impl Engine {
    /// Whether keys outlive the process.
    pub fn is_on_disk(self) -> bool {
        self != Self::Memory
    }
}

/// Which keys leave when there is no room, by the name that Redis gives it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Eviction(pub Policy);

impl Serialize for Eviction {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name())
    }
}

impl<'de> Deserialize<'de> for Eviction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Policy::named(&name).map(Self).ok_or_else(|| {
            let names: Vec<&str> = Policy::ALL.iter().map(|policy| policy.name()).collect();
            D::Error::custom(format!("`{name}` is no policy; there are {}", names.join(", ")))
        })
    }
}

/// When a write is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Acknowledge {
    /// After an fsync that covers it.
    Always,
    /// The same, but it waits `store.group` for others to share the fsync.
    Group,
    /// After write(2), with an fsync every `store.interval`.
    #[default]
    Interval,
    /// After write(2); the operating system decides when it reaches the disk.
    Never,
}

/// Where the keys are kept.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// The engine.
    pub kind: Engine,
    /// The folder of the engine on disk.
    pub dir: PathBuf,
    /// How many bytes all keys and values may take; 0 sets no limit.
    pub maxmemory: Size,
    /// What happens when they would take more.
    pub policy: Eviction,
    /// When a write is acknowledged.
    pub durability: Acknowledge,
    /// Between two fsyncs, if `durability` is `interval`.
    pub interval: Span,
    /// How long a write waits for others, if `durability` is `group`.
    pub group: Span,
}

/// The tier of live values in memory, in front of a store on disk.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hot {
    /// How many bytes it may hold; 0 leaves it out.
    pub size: Size,
}

/// Who may come in.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// The password of the default user.
    pub requirepass: Option<Secret>,
    /// A file whose first line is the password.
    pub requirepass_file: Option<PathBuf>,
}

/// Encryption of both protocols by TLS 1.3.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// The certificate chain, PEM.
    pub cert: Option<PathBuf>,
    /// Its private key, PEM.
    pub key: Option<PathBuf>,
}

/// What clients may ask for.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections of the Redis protocol at once.
    pub clients: usize,
    /// A connection that says nothing for so long is closed; 0 never.
    pub idle: Span,
    /// The longest value and argument.
    pub value: Size,
    /// The longest request with all its arguments.
    pub request: Size,
    /// Replies a client has not read; a client with more is disconnected.
    pub output: Size,
}

/// The process.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Threads that serve connections; 0 means one for each processor.
    pub threads: usize,
    /// How long clients may take to finish when the server is told to stop.
    pub shutdown: Span,
    /// Allows what is refused by default: to listen beyond this machine without a password or without TLS.
    pub insecure: bool,
}

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

impl Default for Resp {
    fn default() -> Self {
        Self { bind: LOOPBACK, port: 7379 }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self { enabled: true, bind: LOOPBACK, port: 7380 }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self {
            kind: Engine::default(),
            dir: PathBuf::from("./terrace-data"),
            maxmemory: Size(0),
            policy: Eviction::default(),
            durability: Acknowledge::default(),
            interval: Span(Duration::from_secs(1)),
            group: Span(Duration::from_millis(2)),
        }
    }
}

impl Default for Hot {
    fn default() -> Self {
        Self { size: Size(256 << 20) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            clients: 10_000,
            idle: Span(Duration::from_secs(300)),
            value: Size(64 << 20),
            request: Size(1 << 30),
            output: Size(64 << 20),
        }
    }
}

impl Default for Server {
    fn default() -> Self {
        Self { threads: 0, shutdown: Span(Duration::from_secs(10)), insecure: false }
    }
}

impl Config {
    /// The address of the Redis protocol.
    pub fn resp_address(&self) -> SocketAddr {
        SocketAddr::new(self.resp.bind, self.resp.port)
    }

    /// The address of HTTP, if it is spoken.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http.enabled.then(|| SocketAddr::new(self.http.bind, self.http.port))
    }

    /// What an acknowledgement means.
    pub fn durability(&self) -> Durability {
        match self.store.durability {
            Acknowledge::Always => Durability::Always,
            Acknowledge::Group => Durability::Group(self.store.group.0),
            Acknowledge::Interval => Durability::Interval(self.store.interval.0),
            Acknowledge::Never => Durability::Never,
        }
    }

    /// The limit of all keys and values in bytes, if there is one.
    pub fn capacity(&self) -> Option<u64> {
        Some(self.store.maxmemory.0).filter(|bytes| *bytes != 0)
    }

    /// How many threads serve connections.
    pub fn worker_threads(&self) -> usize {
        match self.server.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        }
    }

    /// Every option that is set, with its value, secrets hidden.
    pub fn settings(&self) -> Vec<(String, String)> {
        let table = toml::Table::try_from(self).unwrap_or_default();
        let value = |name: &str| {
            let (section, option) = name.split_once('.')?;
            match table.get(section)?.get(option)? {
                toml::Value::String(text) => Some(text.clone()),
                other => Some(other.to_string()),
            }
        };
        OPTIONS.iter().filter_map(|opt| Some((opt.name.to_owned(), value(opt.name)?))).collect()
    }

    /// The configuration as a file: every option, those that are not set as comments, secrets hidden.
    pub fn to_toml(&self) -> String {
        // Strings, numbers and tables of them always serialise.
        let table = toml::Table::try_from(self).unwrap_or_default();
        let (mut text, mut begun) = (String::new(), "");
        for (section, option) in OPTIONS.iter().filter_map(|opt| opt.name.split_once('.')) {
            if begun != section {
                text += if begun.is_empty() { "" } else { "\n" };
                text += &format!("[{section}]\n");
                begun = section;
            }
            // A password that was read from a file stays there.
            let elsewhere = option == "requirepass" && self.auth.requirepass_file.is_some();
            text += &match table.get(section).and_then(|options| options.get(option)) {
                Some(value) if !elsewhere => format!("{option} = {value}\n"),
                _ => format!("# {option} = \"...\"\n"),
            };
        }
        text
    }
}

/// What is wrong with a configuration, where, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, variable or flag.
    pub place: String,
    /// What is wrong.
    pub reason: String,
}

impl ConfigError {
    fn new(place: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { place: place.into(), reason: reason.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}

impl std::error::Error for ConfigError {}
