//! The options of the log, and what they are to the store.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use terrace::backends::disk::DiskConfig;
use terrace::backends::disk::crypt::{Algorithm, Key, KeySource, Keyring};

use super::units::Size;
use super::{Config, ConfigError, Engine};
use crate::keyspace::Policy;

/// Whether anything leaves by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Nothing does: `store.policy` says what a full store does.
    #[default]
    Store,
    /// The oldest keys do, a segment of the log at a time, but for those that were read: `store.maxmemory` is then the
    /// bytes of the files.
    Cache,
}

/// How values are made shorter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// By what made the last values shorter.
    #[default]
    Adaptive,
    /// Not at all.
    None,
    /// By LZ4.
    Lz4,
    /// By Zstandard.
    Zstd,
}

impl Compression {
    fn name(self) -> &'static str {
        match self {
            Self::Adaptive => "adaptive",
            Self::None => "none",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// How segments are read that are not written any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reads {
    /// By system calls.
    #[default]
    Positioned,
    /// From a mapping: faster, but an error of the device ends the process.
    Mapped,
}

impl Reads {
    fn name(self) -> &'static str {
        match self {
            Self::Positioned => "positioned",
            Self::Mapped => "mapped",
        }
    }
}

/// The log.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Disk {
    /// Whether anything leaves by itself.
    pub mode: Mode,
    /// How values are made shorter.
    pub compression: Compression,
    /// How it is read.
    pub reads: Reads,
    /// The size of a segment; 0 for what suits the mode.
    pub segment: Size,
    /// How many bytes a second compaction may read.
    pub compaction: Size,
    /// The key with which new segments are encrypted: its number, `=`, and where it is kept.
    pub key: Option<String>,
    /// Keys with which older segments were encrypted, with blanks between them.
    pub old_keys: Option<String>,
}

impl Default for Disk {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            compression: Compression::default(),
            reads: Reads::default(),
            segment: Size(0),
            compaction: Size(64 << 20),
            key: None,
            old_keys: None,
        }
    }
}

/// The least and the most bytes of a segment, and the least of a cache.
const SEGMENT: (u64, u64) = (64 << 10, 1 << 30);
const LEAST_CACHE: u64 = 1 << 20;

impl Config {
    /// The log as it is configured. Reads the keys from where they are kept.
    ///
    /// # Errors
    /// If a key cannot be read.
    pub fn log(&self) -> Result<DiskConfig, ConfigError> {
        Ok(DiskConfig {
            durability: self.durability(),
            capacity: self.capacity(),
            cache: self.disk.mode == Mode::Cache,
            compression: self.disk.compression.name(),
            reads: self.disk.reads.name(),
            segment_bytes: Some(self.disk.segment.0).filter(|bytes| *bytes != 0),
            compaction_bytes_per_second: self.disk.compaction.0,
            keys: self.disk.keyring()?.map(Arc::new),
            ..DiskConfig::new(&self.store.dir)
        })
    }

    /// Refuses what contradicts itself, and what nothing would read.
    pub(super) fn check_log(&self) -> Result<(), ConfigError> {
        let refuse = |option: &str, reason: &str| Err(ConfigError::new(option, reason));
        if self.store.kind != Engine::Disk {
            if self.disk != Disk::default() {
                return refuse(
                    "disk",
                    "its options are for store.kind `disk`; leave them out, or choose that",
                );
            }
            return Ok(());
        }
        self.disk.sources()?;
        let segment = self.disk.segment.0;
        if segment != 0 && !(SEGMENT.0..=SEGMENT.1).contains(&segment) {
            return refuse("disk.segment", "goes from 64kib to 1gib; 0 is what suits the mode");
        }
        if self.disk.compaction.0 == 0 {
            return refuse("disk.compaction", "is at least 1: without compaction the disk fills up");
        }
        if self.disk.mode == Mode::Store {
            return Ok(());
        }
        if self.store.maxmemory.0 < LEAST_CACHE {
            return refuse("store.maxmemory", "is the size of a cache on disk, and at least 1mib; give it");
        }
        if segment > self.store.maxmemory.0 / 4 {
            return refuse(
                "disk.segment",
                "is at most a quarter of store.maxmemory when disk.mode is `cache`",
            );
        }
        if self.store.policy.0 != Policy::AllKeysLfu {
            return refuse(
                "store.policy",
                "is `allkeys-lfu` when disk.mode is `cache`: any key may leave then",
            );
        }
        Ok(())
    }
}

/// A key's number and where it is kept.
type Source = (u32, KeySource);

impl Disk {
    /// The keys' places, the current one first; none if nothing is encrypted.
    fn sources(&self) -> Result<Vec<Source>, ConfigError> {
        let Some(current) = &self.key else {
            return match &self.old_keys {
                None => Ok(Vec::new()),
                Some(_) => {
                    Err(ConfigError::new("disk.key", "is missing: disk.old_keys only read what it replaced"))
                }
            };
        };
        let mut sources = vec![source("disk.key", current)?];
        for old in self.old_keys.iter().flat_map(|text| text.split_whitespace()) {
            sources.push(source("disk.old_keys", old)?);
        }
        Ok(sources)
    }

    fn keyring(&self) -> Result<Option<Keyring>, ConfigError> {
        let mut keyring: Option<Keyring> = None;
        for (id, source) in self.sources()? {
            let option = if keyring.is_none() { "disk.key" } else { "disk.old_keys" };
            let unusable =
                |error: &dyn std::fmt::Display| ConfigError::new(option, format!("key {id}: {error}"));
            let key = Key::read(id, Algorithm::default(), &source).map_err(|error| unusable(&error))?;
            keyring = Some(match keyring {
                None => Keyring::new(key),
                Some(keyring) => keyring.with_old(key).map_err(|error| unusable(&error))?,
            });
        }
        Ok(keyring)
    }
}

fn source(option: &str, text: &str) -> Result<Source, ConfigError> {
    // Not the text itself: somebody may have put the key there.
    let shape = || {
        ConfigError::new(
            option,
            "is a number, `=` and a place, such as 1=file:/etc/terrace/key, 1=env:NAME or 1=command:PROGRAM",
        )
    };
    let (id, place) = text.trim().split_once('=').ok_or_else(shape)?;
    let id = id.trim().parse().map_err(|_| shape())?;
    let place = place.trim().parse().map_err(|error| ConfigError::new(option, format!("{error}")))?;
    Ok((id, place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    fn config(text: &str) -> Result<Config, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let mut sources = Sources::new();
        sources.file(file.path()).map_err(|error| error.to_string())?;
        sources.finish().map_err(|error| error.to_string())
    }

    fn refused(text: &str, words: &str) {
        let said = config(text).expect_err(text);
        assert!(said.contains(words), "{text}: {said}");
    }

    #[test]
    fn every_option_reaches_the_log() {
        let plain = config("").unwrap().log().unwrap();
        let usual = DiskConfig::new("./terrace-data");
        assert_eq!(format!("{plain:?}"), format!("{usual:?}"), "the defaults are those of the library");
        let folder = tempfile::tempdir().unwrap();
        for number in [1, 2_u8] {
            let key = folder.path().join(format!("key{number}"));
            let bytes: Vec<u8> = (0..32).map(|n: u8| n.wrapping_mul(37) ^ number).collect();
            std::fs::write(&key, bytes).unwrap();
            std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        }
        let text = format!(
            "[store]\ndir = \"d\"\nmaxmemory = \"8mib\"\npolicy = \"allkeys-lfu\"\ndurability = \"always\"\n\
             [disk]\nmode = \"cache\"\ncompression = \"zstd\"\nreads = \"mapped\"\nsegment = \"1mib\"\n\
             compaction = \"2mib\"\nkey = \"2=file:{0}/key2\"\nold_keys = \"1=file:{0}/key1\"",
            folder.path().display()
        );
        let log = config(&text).unwrap().log().unwrap();
        assert_eq!(log.path, std::path::Path::new("d"));
        assert_eq!((log.cache, log.capacity, log.segment_bytes), (true, Some(8 << 20), Some(1 << 20)));
        assert_eq!(
            (log.compression, log.reads, log.compaction_bytes_per_second),
            ("zstd", "mapped", 2 << 20)
        );
        assert_eq!(log.durability, terrace_store::Durability::Always);
        let keys = log.keys.unwrap();
        assert_eq!((keys.current().id(), keys.ids().collect::<Vec<_>>().len()), (2, 2));
    }

    #[test]
    fn what_contradicts_itself_or_would_do_nothing_is_refused() {
        refused("[disk]\nmode = \"cache\"", "store.maxmemory");
        refused("[store]\nmaxmemory = \"8mib\"\n[disk]\nmode = \"cache\"", "allkeys-lfu");
        refused("[disk]\nsegment = \"1kib\"", "64kib");
        refused("[disk]\ncompaction = 0", "disk.compaction");
        refused("[disk]\ncompression = \"gzip\"", "adaptive");
        refused("[disk]\nreads = \"fast\"", "positioned");
        refused("[store]\nkind = \"memory\"\n[disk]\nreads = \"mapped\"", "store.kind");
        refused("[disk]\nold_keys = \"1=env:K\"", "disk.key");
        refused("[disk]\nkey = \"file:/etc/key\"", "1=file:");
        refused("[disk]\nkey = \"1=0123456789abcdef\"", "file:, env:");
        let absent = config("[disk]\nkey = \"1=file:/no/such/key\"").unwrap().log().unwrap_err();
        assert!(
            absent.to_string().contains("disk.key: key 1: ") && absent.to_string().contains("/no/such"),
            "{absent}"
        );
    }
}
