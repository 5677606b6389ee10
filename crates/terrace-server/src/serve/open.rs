//! From the configuration to the keys: the store that keeps them, and the hot tier in front of it.

use std::sync::Arc;

use bytes::Bytes;
use terrace::backends::disk::migrate::{State, state};
use terrace::backends::disk::{DiskConfig, DiskStore};
use terrace::backends::memory::{Evict, MemoryConfig, MemoryStore};
use terrace::tiers::{Foundation, Hot, HotConfig, HotTier, Lower, Options, Tier, Tiers, WriteMode};
use terrace_store::spawn::offload;
use terrace_store::tokio_runtime::{TokioClock, TokioSpawn};
use terrace_store::{Clock, Error, ErrorKind, Key, Namespace, Result, Spawn, Store};

use crate::config::{Config, Engine, Mode};
use crate::exit::{Exit, Failure};
use crate::keyspace::{Keyspace, OwnEviction, Policy, hold};

/// Opens what is configured. To be called on the runtime that does the background work.
///
/// # Errors
/// Each with the exit code that says whose turn it is.
pub(super) async fn keyspace(config: &Config) -> Result<Arc<Keyspace>, Failure> {
    let log = prepare(config)?;
    open(config, log).await.map_err(|error| explain(config, &error))
}

/// Looks at the folder before anything is opened in it, and reads the keys of an encrypted log.
fn prepare(config: &Config) -> Result<DiskConfig, Failure> {
    let folder = &config.store.dir;
    if config.store.kind.is_on_disk() && folder.join(crate::cli::REPLAY_MARK).exists() {
        let words = format!(
            "the data directory {} cannot be used: it belongs to `terrace replay`; choose another with --dir",
            folder.display()
        );
        return Err(Failure::new(Exit::Directory, words));
    }
    match config.store.kind {
        Engine::Disk => refuse_earlier(folder)?,
        Engine::Fjall if folder.join("terrace-disk").exists() => {
            let words = format!(
                "the data directory {} holds a log, not a store of fjall: leave out `--store fjall` (store.kind)",
                folder.display()
            );
            return Err(Failure::new(Exit::Directory, words));
        }
        _ => {}
    }
    Ok(config.log()?)
}

/// A folder of the engine before is no folder of the log.
fn refuse_earlier(folder: &std::path::Path) -> Result<(), Failure> {
    let shown = folder.display();
    let words = match state(folder) {
        State::Nothing => return Ok(()),
        State::Needed => format!(
            "the data directory {shown} was written by fjall, which was the default before: \
             `terrace disk migrate {shown}` moves it over; `--store fjall` goes on with it as it is{}",
            crate::cli::WITHOUT_FJALL
        ),
        State::Interrupted => format!(
            "the data directory {shown} was being moved over from fjall, and that did not end: \
             `terrace disk migrate {shown}` goes on where it stopped{}",
            crate::cli::WITHOUT_FJALL
        ),
    };
    Err(Failure::new(Exit::Directory, words))
}

async fn open(config: &Config, log: DiskConfig) -> Result<Arc<Keyspace>> {
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::current()?);
    let spawn: Arc<dyn Spawn> = Arc::new(TokioSpawn::current()?);
    let base = Foundation::new(Arc::clone(&clock), Options::default());
    let Authority { tier, store, own_eviction } = authority(config, log, &clock, &spawn).await?;
    let hot = hot(config, &base)?;
    let erased = hot.clone().map(|hot| hot as Arc<dyn Hot>);
    let lower = vec![Lower::new(tier, store, WriteMode::Through)];
    let tiers = Tiers::open(base, erased, lower, spawn).await?;
    let keyspace = Keyspace::new(tiers, hot)?;
    if let Some(own) = own_eviction {
        keyspace.leave_eviction_to(own);
    }
    keyspace.set_eviction(config.store.policy.0)?;
    Ok(Arc::new(keyspace))
}

/// The store that decides.
struct Authority {
    tier: Tier,
    store: Arc<dyn Store>,
    own_eviction: Option<Box<dyn OwnEviction>>,
}

async fn authority(
    config: &Config,
    log: DiskConfig,
    clock: &Arc<dyn Clock>,
    spawn: &Arc<dyn Spawn>,
) -> Result<Authority> {
    match config.store.kind {
        Engine::Disk => {
            let (clock, spawn_too) = (Arc::clone(clock), Arc::clone(spawn));
            // Opening reads what is there, which may take a while.
            let opened = offload(&**spawn, "open", move || {
                make_private(&log.path)?;
                DiskStore::open(log, clock, spawn_too)
            });
            let store = Arc::new(opened.await?);
            let is_cache = config.disk.mode == Mode::Cache;
            let own_eviction = is_cache.then(|| Box::new(Cache(Arc::clone(&store))) as _);
            Ok(Authority { tier: Tier::Durable, store, own_eviction })
        }
        Engine::Fjall => fjall(config, clock, spawn).await,
        Engine::Memory => {
            let memory = MemoryConfig { capacity: config.capacity(), ..MemoryConfig::default() };
            let store = Arc::new(MemoryStore::open(memory, Arc::clone(clock))?);
            // Without a capacity there is nothing to make room for.
            let own_eviction = config.capacity().is_some().then(|| Box::new(Memory(Arc::clone(&store))) as _);
            Ok(Authority { tier: Tier::Warm, store, own_eviction })
        }
    }
}

#[cfg(feature = "fjall")]
async fn fjall(config: &Config, clock: &Arc<dyn Clock>, spawn: &Arc<dyn Spawn>) -> Result<Authority> {
    use terrace::backends::fjall::{FjallConfig, FjallStore};

    let fjall = FjallConfig {
        durability: config.durability(),
        capacity: config.capacity(),
        ..FjallConfig::new(&config.store.dir)
    };
    let (clock, spawn_too) = (Arc::clone(clock), Arc::clone(spawn));
    let opened = offload(&**spawn, "open", move || {
        make_private(&fjall.path)?;
        FjallStore::open(fjall, clock, spawn_too)
    });
    Ok(Authority { tier: Tier::Durable, store: Arc::new(opened.await?), own_eviction: None })
}

#[cfg(not(feature = "fjall"))]
async fn fjall(_: &Config, _: &Arc<dyn Clock>, _: &Arc<dyn Spawn>) -> Result<Authority> {
    Err(Error::new(ErrorKind::NotSupported, "open")
        .because("this build has no fjall; build it with that feature"))
}

/// A log that is a cache lets go of its oldest segments, whatever keys they hold.
struct Cache(Arc<DiskStore>);

impl OwnEviction for Cache {
    fn follow(&self, policy: Policy) -> Result<()> {
        // Each keyspace begins with the policy that it is given right after.
        match policy {
            Policy::AllKeysLfu => Ok(()),
            _ => Err(Error::new(ErrorKind::NotSupported, "evict")
                .because("any key may leave a cache on disk (disk.mode): its policy is allkeys-lfu")),
        }
    }

    fn evicted(&self) -> u64 {
        self.0.stats().evicted
    }
}

/// The memory store chooses better by itself who makes room, for it sees every read. What it has no policy for is
/// left to the keyspace, as on disk.
struct Memory(Arc<MemoryStore>);

impl OwnEviction for Memory {
    fn follow(&self, policy: Policy) -> Result<()> {
        self.0.set_evict(match policy {
            Policy::VolatileLfu => Evict::Expiring,
            Policy::AllKeysLfu => Evict::All,
            Policy::NoEviction | Policy::VolatileTtl => Evict::None,
        })
    }

    fn evicted(&self) -> u64 {
        self.0.evictions()
    }
}

/// Live values in front of the disk. In front of memory there would be nothing to gain.
fn hot(config: &Config, base: &Foundation) -> Result<Option<Arc<HotTier<Key, Bytes>>>> {
    if config.store.kind == Engine::Memory || config.hot.size.0 == 0 {
        return Ok(None);
    }
    let hot = HotConfig {
        memory: terrace::memory::Config::bytes(config.hot.size.0),
        namespace: Namespace::new("0")?,
        hold,
        keep_unexpiring: false,
    };
    let (floors, generations) = (Arc::clone(&base.floors), Arc::clone(&base.generations));
    Ok(Some(Arc::new(HotTier::new(hot, Arc::clone(&base.clock), floors, generations))))
}

/// Makes the folder, if it is not there, for this user alone.
fn make_private(folder: &std::path::Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(Error::from)
}

/// An error of opening, in words that say what to do.
fn explain(config: &Config, error: &Error) -> Failure {
    let failure = Failure::of_store(error);
    let folder = config.store.dir.display();
    let advice = match failure.exit {
        Exit::Held => format!(
            "the data directory {folder} is held by another process: stop it, or choose another with --dir"
        ),
        Exit::Newer => format!("the data directory {folder} cannot be read by this release"),
        Exit::Damaged => format!(
            "the data in {folder} is damaged: restore it from a copy, or move the directory away to begin empty"
        ),
        Exit::Directory => format!("the data directory {folder} cannot be used: choose another with --dir"),
        _ => format!("the keys in {folder} cannot be opened"),
    };
    Failure::new(failure.exit, format!("{advice} ({error})"))
}
