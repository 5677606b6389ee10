//! The tiers that a replay drives: those of a server's configuration file, or the usual ones, and flags over both.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use terrace::backends::disk::{DiskConfig, DiskStore};
use terrace::tiers::WriteMode;
use terrace::{Cache, Tier};
use terrace_store::spawn::offload;
use terrace_store::tokio_runtime::{TokioClock, TokioSpawn};
use terrace_store::{Clock, Durability, Spawn, Store};
#[cfg(not(feature = "fjall"))]
use terrace_store::{Error, ErrorKind};

use crate::config::units::Size;
use crate::config::{Config, Disk, Engine};

/// Memory, and perhaps a disk beneath it.
pub(super) struct Tiers {
    /// Bytes of live values.
    pub(super) hot: u64,
    pub(super) cold: Option<Cold>,
}

/// The disk.
pub(super) struct Cold {
    /// Bytes of its files, or with fjall of keys and values; `None` sets no limit.
    pub(super) capacity: Option<u64>,
    durability: Durability,
    /// The log; `None` for fjall.
    log: Option<DiskConfig>,
}

/// A log that is a cache has at least so many bytes.
const LEAST: u64 = 1 << 20;

impl Default for Tiers {
    fn default() -> Self {
        Self { hot: 64 << 20, cold: Some(Cold::of(1 << 30)) }
    }
}

impl Cold {
    fn of(bytes: u64) -> Self {
        let log = DiskConfig::new("");
        Self { capacity: Some(bytes), durability: log.durability, log: Some(log) }
    }

    fn of_server(config: &Config) -> Self {
        // What a replay writes is nobody's secret.
        let disk = Disk { key: None, old_keys: None, ..config.disk.clone() };
        let log = Config { disk, ..config.clone() }.log().ok().filter(|_| config.store.kind == Engine::Disk);
        Self { capacity: config.capacity(), durability: config.durability(), log }
    }

    /// The store, in this folder.
    async fn open(&self, folder: &Path) -> terrace::Result<Arc<dyn Store>> {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::current()?);
        let spawn: Arc<dyn Spawn> = Arc::new(TokioSpawn::current()?);
        let Some(log) = &self.log else { return self.open_fjall(folder, clock, spawn).await };
        let config = DiskConfig {
            path: folder.to_owned(),
            capacity: self.capacity,
            // What is too little for it makes room key by key.
            cache: self.capacity.is_some_and(|bytes| bytes >= LEAST),
            durability: self.durability,
            ..log.clone()
        };
        let tasks = Arc::clone(&spawn);
        // Opening reads what is there, which may take a while.
        Ok(Arc::new(offload(&*spawn, "open", move || DiskStore::open(config, clock, tasks)).await?))
    }

    #[cfg(feature = "fjall")]
    async fn open_fjall(
        &self,
        folder: &Path,
        clock: Arc<dyn Clock>,
        spawn: Arc<dyn Spawn>,
    ) -> terrace::Result<Arc<dyn Store>> {
        use terrace::backends::fjall::{FjallConfig, FjallStore};

        let (capacity, durability) = (self.capacity, self.durability);
        let config = FjallConfig { capacity, durability, ..FjallConfig::new(folder) };
        let tasks = Arc::clone(&spawn);
        Ok(Arc::new(offload(&*spawn, "open", move || FjallStore::open(config, clock, tasks)).await?))
    }

    #[cfg(not(feature = "fjall"))]
    async fn open_fjall(
        &self,
        _: &Path,
        _: Arc<dyn Clock>,
        _: Arc<dyn Spawn>,
    ) -> terrace::Result<Arc<dyn Store>> {
        Err(Error::new(ErrorKind::NotSupported, "open").because("this build has no fjall"))
    }
}

impl Tiers {
    /// The tiers of a server that runs with this configuration. One without a disk has a single tier in memory.
    pub(super) fn of_server(config: &Config) -> Self {
        match config.store.kind {
            Engine::Memory => Self { hot: config.capacity().unwrap_or(u64::MAX), cold: None },
            Engine::Disk | Engine::Fjall => {
                Self { hot: config.hot.size.0, cold: Some(Cold::of_server(config)) }
            }
        }
    }

    /// The same with what flags say.
    pub(super) fn with_flags(mut self, hot: Option<Size>, cold: Option<Size>) -> Self {
        self.hot = hot.map_or(self.hot, |hot| hot.0);
        match (cold, &mut self.cold) {
            (Some(Size(0)), cold) => *cold = None,
            (Some(Size(bytes)), Some(cold)) => cold.capacity = Some(bytes),
            (Some(Size(bytes)), none) => *none = Some(Cold::of(bytes)),
            (None, _) => {}
        }
        self
    }

    /// The cache, its disk in this folder. To be called on the runtime that does its background work.
    ///
    /// # Errors
    /// What the store answers.
    pub(super) async fn open(&self, folder: &Path) -> terrace::Result<Cache<u64, Bytes>> {
        let mut builder = Cache::<u64, Bytes>::builder("replay").hot(self.hot);
        if let Some(cold) = &self.cold {
            builder = builder.store(Tier::Cold, cold.open(folder).await?, WriteMode::Through);
        }
        builder.build().await
    }
}

impl fmt::Display for Tiers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = |bytes| if bytes == u64::MAX { "without limit".into() } else { Size(bytes).to_string() };
        write!(f, "hot {}, ", size(self.hot))?;
        match &self.cold {
            Some(cold) => write!(f, "cold {}", size(cold.capacity.unwrap_or(u64::MAX))),
            None => f.write_str("no disk"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `hot` and `cold` of the configuration in this text, with these flags.
    fn tiers(text: &str, hot: Option<u64>, cold: Option<u64>) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let mut sources = crate::config::Sources::new();
        sources.file(file.path()).unwrap();
        let tiers = Tiers::of_server(&sources.unchecked().unwrap());
        tiers.with_flags(hot.map(Size), cold.map(Size)).to_string()
    }

    #[test]
    fn a_server_on_disk_has_both_tiers_and_flags_win_over_them() {
        let text = "[hot]\nsize = \"2mib\"\n[store]\nmaxmemory = \"3mib\"";
        assert_eq!(tiers(text, None, None), "hot 2mib, cold 3mib");
        assert_eq!(tiers(text, Some(1024), Some(2048)), "hot 1kib, cold 2kib");
        assert_eq!(tiers(text, None, Some(0)), "hot 2mib, no disk");
        assert_eq!(tiers("", None, None), "hot 256mib, cold without limit");
    }

    #[test]
    fn a_server_without_a_disk_has_memory_only() {
        let text = "[store]\nkind = \"memory\"\nmaxmemory = \"3mib\"";
        assert_eq!(tiers(text, None, None), "hot 3mib, no disk");
        assert_eq!(tiers(text, None, Some(1024)), "hot 3mib, cold 1kib");
        assert_eq!(tiers("[store]\nkind = \"memory\"", None, None), "hot without limit, no disk");
    }

    #[test]
    fn the_engine_of_the_server_and_its_options_are_the_replays() {
        let mut config = Config::default();
        config.disk.compression = crate::config::Compression::Zstd;
        config.disk.key = Some("1=file:/no/such".into());
        let log = |config: &Config| Tiers::of_server(config).cold.and_then(|cold| cold.log);
        let of_disk = log(&config).unwrap();
        assert_eq!((of_disk.compression, of_disk.keys.is_none()), ("zstd", true));
        config.store.kind = Engine::Fjall;
        assert!(log(&config).is_none());
    }

    #[test]
    fn what_the_server_promises_of_a_write_the_replay_keeps() {
        let durability = |tiers: Tiers| tiers.cold.map(|cold| cold.durability);
        let mut always = Config::default();
        always.store.durability = crate::config::Acknowledge::Always;
        assert_eq!(durability(Tiers::of_server(&always)), Some(Durability::Always));
        let flagged = Tiers::of_server(&always).with_flags(None, Some(Size(5)));
        assert_eq!(durability(flagged), Some(Durability::Always));
    }
}
