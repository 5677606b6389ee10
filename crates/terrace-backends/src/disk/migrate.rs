//! From a folder of the [`fjall`](crate::fjall) store, which was the default before, to one of the log.
//!
//! Decision: the log is written whole into a folder within the folder, synced and closed, and only then is the old store
//! renamed, which decides: before that the old store is the truth and a half-made log is thrown away, after it the log
//! is, and what is left to do is moving its files up and removing the old ones. Each step may be interrupted, and
//! whoever comes again goes on. Neither store opens a folder in between.
//!
//! ```text
//! folder/fjall            the old store; while it is there, nothing has been decided
//! folder/migration        the log that is being made, or moved up
//! folder/fjall.migrated   the old store, not needed any more
//! ```

use std::path::Path;

use terrace_store::{Error, ErrorKind, Result};

const OLD: &str = "fjall";
const NEW: &str = "migration";
const DONE: &str = "fjall.migrated";

/// What a folder is to a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There is nothing of the old store in it.
    Nothing,
    /// It is a folder of the old store.
    Needed,
    /// A migration began and did not end.
    Interrupted,
}

/// What the folder is.
pub fn state(folder: &Path) -> State {
    match (folder.join(OLD).is_dir(), folder.join(NEW).is_dir() || folder.join(DONE).is_dir()) {
        (_, true) => State::Interrupted,
        (true, false) => State::Needed,
        (false, false) => State::Nothing,
    }
}

/// A log is not made beside what somebody had there before.
///
/// # Errors
/// `Config` unless there is [`State::Nothing`].
pub(super) fn refuse_earlier(folder: &Path) -> Result<()> {
    let why = match state(folder) {
        State::Nothing => return Ok(()),
        State::Needed => "it holds a store of fjall, the engine before this one",
        State::Interrupted => "its migration from fjall was begun and did not end",
    };
    Err(Error::new(ErrorKind::Config, "open")
        .with("store", super::NAME)
        .with("folder", folder.display())
        .because(format!("{why}: `terrace disk migrate` moves it over")))
}

#[cfg(feature = "fjall")]
pub use moving::{Migrated, Migration};

#[cfg(feature = "fjall")]
mod moving {
    use std::fs::{self, File, TryLockError};
    use std::path::Path;
    use std::sync::Arc;

    use terrace_store::capability::{Iterate, List};
    use terrace_store::{
        Clock, Condition, DeleteOptions, Durability, Error, ErrorKind, Health, Key, Namespace, PutOptions,
        Result, Spawn, Store, Written,
    };

    use super::{DONE, NEW, OLD, State, state};
    use crate::disk::{DiskConfig, DiskStore};
    use crate::fjall::{FjallConfig, FjallStore};

    /// So many entries are copied at a time.
    const PAGE: usize = 256;

    /// A migration to be done.
    #[derive(Clone, Debug)]
    pub struct Migration {
        /// The folder, and how the log in it is to be: compression, segments, keys.
        pub to: DiskConfig,
        /// Goes on although some entries of the old store cannot be read, and loses them.
        pub partial: bool,
    }

    /// What was moved.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Migrated {
        /// Entries that were copied; 0 if all that was left to do was to move files.
        pub entries: u64,
        /// Entries that could not be read.
        pub lost: u64,
    }

    impl Migration {
        /// Moves the folder over, or goes on where an earlier attempt ended. `progress` is told how many entries are
        /// done, and of how many.
        ///
        /// Keys, values, lifetimes and versions stay as they are, and later versions are above all that were ever given.
        /// Both stores are on the disk for a while. It blocks the thread while it moves and removes files.
        ///
        /// # Errors
        /// `Config` if there is nothing to move, or a log in the way; `Busy` if somebody has the folder open; `Corrupt`
        /// if not everything can be read and [`Migration::partial`] is not set; and those of both stores. The old store is
        /// then as it was.
        ///
        /// # Cancellation
        /// Dropping the future is as good as an interruption: the next attempt goes on.
        pub async fn run(
            self,
            clock: Arc<dyn Clock>,
            spawn: Arc<dyn Spawn>,
            progress: &mut (dyn FnMut(u64, u64) + Send),
        ) -> Result<Migrated> {
            let folder = self.to.path.clone();
            self.step(&clock, &spawn, progress).await.map_err(|error| error.with("folder", folder.display()))
        }

        async fn step(
            &self,
            clock: &Arc<dyn Clock>,
            spawn: &Arc<dyn Spawn>,
            progress: &mut (dyn FnMut(u64, u64) + Send),
        ) -> Result<Migrated> {
            let folder = &self.to.path;
            let refused = |why: &str| Err(Error::new(ErrorKind::Config, "migrate").because(why));
            if state(folder) == State::Nothing {
                return refused("there is no store of fjall in it");
            }
            let _lock = lock(folder)?;
            let mut migrated = Migrated::default();
            if folder.join(OLD).is_dir() {
                if folder.join("terrace-disk").exists() || folder.join(DONE).exists() {
                    return refused("it holds both a store of fjall and a log: move one of them elsewhere");
                }
                migrated = self.copy(clock, spawn, progress).await?;
                fs::rename(folder.join(OLD), folder.join(DONE))?;
                sync(folder)?;
            }
            move_up(folder)?;
            Ok(migrated)
        }

        /// Writes the log, whole and synced.
        async fn copy(
            &self,
            clock: &Arc<dyn Clock>,
            spawn: &Arc<dyn Spawn>,
            progress: &mut (dyn FnMut(u64, u64) + Send),
        ) -> Result<Migrated> {
            let folder = &self.to.path;
            let new = folder.join(NEW);
            if new.exists() {
                fs::remove_dir_all(&new)?;
            }
            let config = FjallConfig { durability: Durability::Never, ..FjallConfig::new(folder) };
            let from = FjallStore::open(config, Arc::clone(clock), Arc::clone(spawn))?;
            let config = DiskConfig {
                path: new,
                durability: Durability::Never,
                // What is too much for it leaves when it is opened with its limit.
                capacity: None,
                cache: false,
                ..self.to.clone()
            };
            let to = DiskStore::open(config, Arc::clone(clock), Arc::clone(spawn))?;
            let copied = copy_all(&from, &to, self.partial, progress).await;
            // What is closed here was only read, but for what had expired.
            let closed = from.close().await;
            let written = to.close().await;
            let migrated = copied?;
            closed.and(written)?;
            sync(folder)?;
            Ok(migrated)
        }
    }

    async fn copy_all(
        from: &FjallStore,
        to: &DiskStore,
        partial: bool,
        progress: &mut (dyn FnMut(u64, u64) + Send),
    ) -> Result<Migrated> {
        while from.sweep(10_000).await?.more {}
        let (old, new) = (of(from)?, of(to)?);
        let (mut total, mut migrated) = (0, Migrated::default());
        let namespaces = old.namespaces().await?;
        for namespace in &namespaces {
            total += old.count(namespace).await?;
        }
        progress(0, total);
        for namespace in &namespaces {
            let copied = copy_namespace(from, to, namespace, &mut |done| {
                progress((migrated.entries + done).min(total), total);
            })
            .await?;
            // What has expired meanwhile counts until it is swept.
            while from.sweep(10_000).await?.more {}
            migrated.entries += copied;
            migrated.lost += old.count(namespace).await?.saturating_sub(copied);
            if new.count(namespace).await? != copied {
                return Err(Error::new(ErrorKind::Corrupt, "migrate")
                    .because("the log does not hold what was written to it"));
            }
        }
        let damaged = match from.health().await {
            Health::Up => None,
            Health::Degraded(why) | Health::Down(why) => Some(why),
        };
        if let Some(why) = damaged.or_else(|| (migrated.lost > 0).then(|| "a record does not check".into()))
            && !partial
        {
            let lost = migrated.lost;
            return Err(Error::new(ErrorKind::Corrupt, "migrate").because(format!(
                "{lost} entries of the old store cannot be read ({why}); nothing was changed"
            )));
        }
        raise_versions(from, to, namespaces.first()).await?;
        Ok(migrated)
    }

    async fn copy_namespace(
        from: &FjallStore,
        to: &DiskStore,
        namespace: &Namespace,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<u64> {
        let list = List { limit: PAGE, ..List::all(namespace.clone()) };
        let (mut copied, mut cursor) = (0, None);
        let old = of(from)?;
        loop {
            let page = old.list(&list, cursor.as_ref()).await?;
            for (key, entry) in page.entries {
                let condition = Condition::Newer(entry.version);
                let options = PutOptions { condition, deferred: true, ..PutOptions::default() };
                match to.put(&key, entry, options).await? {
                    Written::Stored { .. } => copied += 1,
                    Written::Conflict { .. } => {
                        return Err(Error::new(ErrorKind::Corrupt, "migrate")
                            .because("the old store listed a key twice"));
                    }
                }
            }
            to.commit().await?;
            progress(copied);
            cursor = page.next;
            if cursor.is_none() {
                return Ok(copied);
            }
        }
    }

    /// Leaves the floor of a key that nobody has at the highest version that was ever given.
    async fn raise_versions(from: &FjallStore, to: &DiskStore, namespace: Option<&Namespace>) -> Result<()> {
        let highest = from.reserve().await?;
        let mut name = Vec::new();
        loop {
            name.push(0);
            let key = match namespace {
                Some(namespace) => namespace.key(&name)?,
                None => Key::new("0", &name)?,
            };
            if to.get(&key).await?.is_none() {
                let options = DeleteOptions { condition: Condition::Newer(highest), deferred: true };
                let _ = to.delete(&key, options).await?;
                return Ok(());
            }
        }
    }

    fn of(store: &dyn Store) -> Result<&dyn Iterate> {
        store.as_iterate().ok_or_else(|| Error::new(ErrorKind::NotSupported, "list"))
    }

    /// The log's files to where they belong, and the old store away. May be done any number of times.
    fn move_up(folder: &Path) -> Result<()> {
        let new = folder.join(NEW);
        if new.is_dir() {
            for file in fs::read_dir(&new)? {
                let file = file?;
                fs::rename(file.path(), folder.join(file.file_name()))?;
            }
            sync(folder)?;
            fs::remove_dir(&new)?;
        }
        for name in ["terrace.closed", "terrace.closed.new", "terrace.lock"] {
            match fs::remove_file(folder.join(name)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        if folder.join(DONE).is_dir() {
            fs::remove_dir_all(folder.join(DONE))?;
        }
        sync(folder)
    }

    fn sync(folder: &Path) -> Result<()> {
        Ok(File::open(folder)?.sync_all()?)
    }

    /// Only one migration at a time. The lock is the folder's own, and leaves no file behind.
    fn lock(folder: &Path) -> Result<File> {
        let file = File::open(folder)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => {
                Err(Error::new(ErrorKind::Busy, "migrate").because("another process is migrating it"))
            }
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }
}
