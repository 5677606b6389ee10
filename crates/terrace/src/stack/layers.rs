//! The sections of the layers: what each is called in a configuration and what options it has.

use std::str::FromStr;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use terrace_envelope::codec::Aim;
use terrace_envelope::crypt::{Algorithm, KeySource};
use terrace_layers::access::{Rights, Rule, Scope, Who};
use terrace_layers::cache::{CacheConfig, CachePolicy, Capacity};
use terrace_store::Namespace;

use super::section::{self, Section, Setting, sections};
use super::units::{MaybeSpan, Size, Span};

sections! {
    bloom: terrace_layers::BloomConfig {
        expected: u64, bits_per_key: f64, shards: u32, sole_writer: bool, keep: bool,
    };
    chaos: terrace_layers::ChaosConfig {
        fail_ppm: u32, lose_answer_ppm: u32, delay_ppm: u32, max_delay: Span, hang_ppm: u32, turn_bit_ppm: u32,
    };
    circuit_breaker: terrace_layers::CircuitBreakerConfig {
        max_failures: u32, failure_rate: f64, min_calls: u32, window: Span, retry_interval: Span, probes: u32,
        successes_to_close: u32, hang_after: Span,
    };
    concurrency_limit: terrace_layers::ConcurrencyLimitConfig { places: usize, queue: usize, max_wait: Span };
    hedge: terrace_layers::HedgeConfig { delay: MaybeSpan, least_delay: Span, percent: u32 };
    retry: terrace_layers::RetryConfig {
        attempts: u32, base: Span, cap: Span, budget: u32, successes_per_retry: u32,
    };
    throttle: terrace_layers::ThrottleConfig {
        calls_per_second: u64, bytes_per_second: Size, burst: Span, max_wait: Span,
    };
    timeout: terrace_layers::TimeoutConfig { read: Span, write: Span, upkeep: Span };
    tracing: terrace_layers::TracingConfig { keys: bool };
}

/// A layer without options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plain;

pub(super) mod plain {
    use super::{Deserialize, Deserializer, Plain, Section, Setting, section};

    #[derive(Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Options {
        enabled: Option<bool>,
    }

    impl Section<'_> for Options {
        type Config = Plain;

        fn is_off(&self) -> bool {
            self.enabled == Some(false)
        }

        fn config(self) -> Result<Plain, String> {
            Ok(Plain)
        }
    }

    pub(in crate::stack) fn read<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Setting<Plain>, D::Error> {
        section::read::<Options, D>(deserializer)
    }
}

/// The value that has this name.
fn named<T: Copy>(what: &str, name: &str, known: &[(&str, T)]) -> Result<T, String> {
    let names = known.iter().map(|(name, _)| *name);
    known.iter().find(|(known, _)| *known == name).map(|(_, value)| *value).ok_or_else(|| {
        let near = terrace_store::nearest::did_you_mean(terrace_store::nearest::nearest(name, names.clone()));
        format!("{what} `{name}` is none of: {}{near}", names.collect::<Vec<_>>().join(", "))
    })
}

pub(super) mod cache {
    use super::{
        CacheConfig, CachePolicy, Capacity, Deserialize, Deserializer, MaybeSpan, Section, Setting, Size,
        named, section,
    };

    #[derive(Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Options {
        enabled: Option<bool>,
        r#type: Option<String>,
        max_entries: Option<u64>,
        max_bytes: Option<Size>,
        max_age: Option<MaybeSpan>,
        ttl_seconds: Option<u64>,
        longest: Option<Size>,
    }

    impl Section<'_> for Options {
        type Config = CacheConfig;

        fn is_off(&self) -> bool {
            self.enabled == Some(false)
        }

        fn config(self) -> Result<CacheConfig, String> {
            let mut config = CacheConfig::default();
            let CacheConfig { capacity: _, policy: _, max_age: _, longest: _ } = &config;
            if let Some(name) = &self.r#type {
                config.policy = named(
                    "type",
                    name,
                    &[
                        ("lru", CachePolicy::Lru),
                        ("lfu", CachePolicy::Lfu),
                        ("arc", CachePolicy::Arc),
                        ("adaptive", CachePolicy::Adaptive),
                    ],
                )?;
            }
            config.capacity = match (self.max_entries, self.max_bytes) {
                (Some(_), Some(_)) => {
                    return Err("max_entries and max_bytes are two sizes; give one".to_owned());
                }
                (Some(entries), None) => Capacity::Entries(entries),
                (None, Some(bytes)) => Capacity::Bytes(bytes.0),
                (None, None) => config.capacity,
            };
            config.max_age = match (self.max_age, self.ttl_seconds) {
                (Some(_), Some(_)) => return Err("max_age and ttl_seconds are two ages; give one".to_owned()),
                (Some(age), None) => age.0,
                (None, Some(seconds)) => Some(std::time::Duration::from_secs(seconds)),
                (None, None) => config.max_age,
            };
            config.longest = self.longest.map_or(config.longest, Into::into);
            Ok(config)
        }
    }

    pub(in crate::stack) fn read<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Setting<CacheConfig>, D::Error> {
        section::read::<Options, D>(deserializer)
    }
}

/// How values are compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompressionOptions {
    /// `adaptive`, the name of a built-in algorithm, or that of a codec that was registered.
    pub algorithm: String,
    /// What `adaptive` aims at.
    pub aim: Aim,
    /// Shorter values are left alone, in bytes.
    pub min_size: usize,
}

impl Default for CompressionOptions {
    /// As the layer itself: adaptive and balanced, from 256 bytes on.
    fn default() -> Self {
        let min_size = terrace_layers::CompressionConfig::default().min_size;
        Self { algorithm: "adaptive".to_owned(), aim: Aim::Balanced, min_size }
    }
}

pub(super) mod compression {
    use super::{Aim, CompressionOptions, Deserialize, Deserializer, Section, Setting, Size, named, section};

    #[derive(Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Options {
        enabled: Option<bool>,
        algorithm: Option<String>,
        aim: Option<String>,
        min_size: Option<Size>,
    }

    impl Section<'_> for Options {
        type Config = CompressionOptions;

        fn is_off(&self) -> bool {
            self.enabled == Some(false)
        }

        fn config(self) -> Result<CompressionOptions, String> {
            let mut options = CompressionOptions::default();
            options.algorithm = self.algorithm.unwrap_or(options.algorithm);
            if let Some(aim) = &self.aim {
                if options.algorithm != "adaptive" {
                    return Err(format!("aim is for algorithm `adaptive`, not for `{}`", options.algorithm));
                }
                let aims = [("latency", Aim::Latency), ("balanced", Aim::Balanced), ("space", Aim::Space)];
                options.aim = named("aim", aim, &aims)?;
            }
            options.min_size = self.min_size.map_or(options.min_size, Into::into);
            Ok(options)
        }
    }

    pub(in crate::stack) fn read<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Setting<CompressionOptions>, D::Error> {
        section::read::<Options, D>(deserializer)
    }
}

/// How values are encrypted, and where the keys are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncryptionOptions {
    /// By which algorithm what is written is sealed.
    pub algorithm: Algorithm,
    /// The keys' numbers and places; the first seals, the others only read what it replaced.
    pub keys: Vec<(u32, KeySource)>,
    /// How values are sealed.
    pub config: terrace_layers::EncryptionConfig,
}

/// `1=file:/etc/app/key`, without the text in an error: somebody may have put the key there.
fn key(text: &str) -> Result<(u32, KeySource), String> {
    let shape = || "a key is a number, `=` and a place, such as 1=file:/etc/app/key or 1=env:NAME".to_owned();
    let (id, place) = text.trim().split_once('=').ok_or_else(shape)?;
    let id = id.trim().parse().map_err(|_| shape())?;
    Ok((id, KeySource::from_str(place.trim()).map_err(|error| error.to_string())?))
}

pub(super) mod encryption {
    use super::{
        Algorithm, Deserialize, Deserializer, EncryptionOptions, Section, Setting, key, named, section,
    };

    #[derive(Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Options {
        enabled: Option<bool>,
        algorithm: Option<String>,
        key: Option<String>,
        old_keys: Option<Vec<String>>,
        bind_versions: Option<bool>,
        allow_plain: Option<bool>,
    }

    impl Section<'_> for Options {
        type Config = EncryptionOptions;

        fn is_off(&self) -> bool {
            self.enabled == Some(false)
        }

        fn config(self) -> Result<EncryptionOptions, String> {
            let current = self.key.ok_or("it needs a key, such as key = \"1=file:/etc/app/key\"")?;
            let mut keys = vec![key(&current)?];
            for old in self.old_keys.unwrap_or_default() {
                keys.push(key(&old)?);
            }
            let both = [Algorithm::XChaCha20Poly1305, Algorithm::Aes256GcmSiv];
            let algorithm = match &self.algorithm {
                Some(name) => named("algorithm", name, &both.map(|algorithm| (algorithm.name(), algorithm)))?,
                None => Algorithm::default(),
            };
            let mut config = terrace_layers::EncryptionConfig::default();
            let terrace_layers::EncryptionConfig { bind_versions: _, allow_plain: _ } = &config;
            config.bind_versions = self.bind_versions.unwrap_or(config.bind_versions);
            config.allow_plain = self.allow_plain.unwrap_or(config.allow_plain);
            Ok(EncryptionOptions { algorithm, keys, config })
        }
    }

    pub(in crate::stack) fn read<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Setting<EncryptionOptions>, D::Error> {
        section::read::<Options, D>(deserializer)
    }
}

/// What is recorded, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditOptions {
    /// The URL of the store that the log lies in.
    pub log: String,
    /// The log's namespace.
    pub namespace: String,
    /// Whether reads are recorded that were not denied.
    pub reads: bool,
    /// Where the key of the hashes is kept.
    pub key: Option<KeySource>,
}

pub(super) mod audit {
    use super::{AuditOptions, Deserialize, Deserializer, FromStr, KeySource, Section, Setting, section};

    #[derive(Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Options {
        enabled: Option<bool>,
        log: Option<String>,
        namespace: Option<String>,
        reads: Option<bool>,
        key: Option<String>,
    }

    impl Section<'_> for Options {
        type Config = AuditOptions;

        fn is_off(&self) -> bool {
            self.enabled == Some(false)
        }

        fn config(self) -> Result<AuditOptions, String> {
            let log = self
                .log
                .ok_or("it needs the URL of a store for its log, such as log = \"disk:/var/log/app\"")?;
            let key = self.key.as_deref().map(KeySource::from_str).transpose();
            Ok(AuditOptions {
                log,
                namespace: self.namespace.unwrap_or_else(|| "audit".to_owned()),
                reads: self.reads.unwrap_or(false),
                key: key.map_err(|error| error.to_string())?,
            })
        }
    }

    pub(in crate::stack) fn read<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Setting<AuditOptions>, D::Error> {
        section::read::<Options, D>(deserializer)
    }
}

pub(super) mod access {
    use super::{Deserialize, Deserializer, Namespace, Rights, Rule, Scope, Section, Setting, Who, section};

    /// To whom: one of three; to what: one of three, or all; and which rights.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct OneRule {
        #[serde(default)]
        everybody: bool,
        name: Option<String>,
        group: Option<String>,
        namespace: Option<String>,
        prefix: Option<String>,
        path: Option<String>,
        rights: Vec<Right>,
    }

    #[derive(Clone, Copy, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Right {
        Read,
        Write,
        List,
    }

    impl OneRule {
        fn rule(self) -> Result<Rule, String> {
            let who = match (self.everybody, self.name, self.group) {
                (true, None, None) => Who::Everybody,
                (false, Some(name), None) => Who::Name(name),
                (false, None, Some(group)) => Who::Group(group),
                _ => {
                    return Err(
                        "a rule is for `everybody`, a `name` or a `group`; give one of the three".to_owned()
                    );
                }
            };
            let namespace = |name: String| Namespace::new(name).map_err(|error| error.to_string());
            let scope = match (self.namespace, self.prefix, self.path) {
                (None, None, None) => Scope::All,
                (Some(name), None, None) => Scope::Namespace(namespace(name)?),
                (Some(name), Some(prefix), None) => {
                    Scope::Prefix(namespace(name)?, prefix.into_bytes().into())
                }
                (None, None, Some(path)) => Scope::Group(path),
                _ => {
                    return Err(
                        "a rule is about a `namespace`, one with a `prefix` of its keys, or a `path`"
                            .to_owned(),
                    );
                }
            };
            let has = |right| self.rights.contains(&right);
            let rights = Rights { read: has(Right::Read), write: has(Right::Write), list: has(Right::List) };
            Ok(Rule::grant(who, scope, rights))
        }
    }

    #[derive(Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Options {
        enabled: Option<bool>,
        rules: Vec<OneRule>,
    }

    impl Section<'_> for Options {
        type Config = Vec<Rule>;

        fn is_off(&self) -> bool {
            self.enabled == Some(false)
        }

        fn config(self) -> Result<Vec<Rule>, String> {
            if self.rules.is_empty() {
                return Err("it needs rules: without one nobody may do anything".to_owned());
            }
            self.rules.into_iter().map(OneRule::rule).collect()
        }
    }

    pub(in crate::stack) fn read<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Setting<Vec<Rule>>, D::Error> {
        section::read::<Options, D>(deserializer)
    }
}

/// One name, or several, the outer one first.
pub(super) fn namespaces<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let node = super::value::Node::deserialize(deserializer)?;
    let text = |node| match node {
        super::value::Node::Text(name) => Ok(name),
        _ => Err(D::Error::custom("a namespace is a name, or a list of names, the outer one first")),
    };
    match node {
        super::value::Node::List(names) => names.into_iter().map(text).collect(),
        one => Ok(vec![text(one)?]),
    }
}
