//! The writes, each from its condition to its file and its place in the index.
//!
//! The order is always: judge under the key's stripe, write the new file beside the old, change the index (from
//! here on readers see it), note that both wait for a pass. So a write that fails has changed nothing, and one
//! whose caller goes away is either not begun or done.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError, RwLockReadGuard};

use terrace_store::capability::{Outcome, Write};
use terrace_store::store::FLOOR_RETENTION;
use terrace_store::{
    Condition, DeleteOptions, Deleted, Durability, Entry, Error, ErrorKind, Key, Namespace, PutOptions,
    Result, Swept, Version, Written,
};

use super::Shared;
use super::folder::{failed, sync_folder};
use super::index::{Found, Slot};
use super::object::{self, Kind, Name};

/// How a condition was judged: the live version, and the version of the write if it is to be done.
struct Judged {
    live: Option<Version>,
    version: Option<Version>,
}

impl Shared {
    pub(super) fn put(&self, key: &Key, entry: &Entry, options: PutOptions) -> Result<Written> {
        options.validate(entry)?;
        let _open = self.begin_write("put")?;
        let _alone = self.stripe(key);
        let Judged { live, version } = self.judge(key, options.condition)?;
        let Some(version) = version else { return Ok(Written::Conflict { current: live }) };
        let (head, envelope) = object::entry(key, entry, version, options.compress, self.compress_from)?;
        let name = Name::new(key, version, Kind::Entry);
        self.folder.write_object(&name, [&head, &envelope])?;
        let old = self.index_mut().insert(key, Slot::of(entry, version));
        self.replaced(key, name, old);
        Ok(Written::Stored { version, replaced: live.is_some() })
    }

    pub(super) fn delete(&self, key: &Key, options: DeleteOptions) -> Result<Deleted> {
        options.validate()?;
        let _open = self.begin_write("delete")?;
        let _alone = self.stripe(key);
        let Judged { live, version } = self.judge(key, options.condition)?;
        let Some(version) = version else { return Ok(Deleted::Conflict { current: live }) };
        self.leave_floor(key, version)?;
        Ok(Deleted::Done { version, existed: live.is_some() })
    }

    /// Applies the operations in order. An invalid one is found before anything is done.
    pub(super) fn apply(&self, writes: &[Write]) -> Result<Vec<Outcome>> {
        for write in writes {
            match write {
                Write::Put(_, entry, options) => options.validate(entry)?,
                Write::Delete(_, options) => options.validate()?,
            }
        }
        drop(self.begin_write("apply")?);
        let one = |write: &Write| {
            Ok(match write {
                Write::Put(key, entry, options) => Outcome::Put(self.put(key, entry, *options)?),
                Write::Delete(key, options) => Outcome::Delete(self.delete(key, *options)?),
            })
        };
        writes.iter().map(one).collect()
    }

    /// Lets the write go on if the store is open and its disk works, and keeps `close` and `clear` waiting for it.
    fn begin_write(&self, operation: &'static str) -> Result<RwLockReadGuard<'_, ()>> {
        let open = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        self.check_open(operation)?;
        match self.unsynced.failure() {
            None => Ok(open),
            Some(failure) => Err(failure),
        }
    }

    /// Keeps other writers of this key away.
    fn stripe(&self, key: &Key) -> MutexGuard<'_, ()> {
        let hash = xxhash_rust::xxh3::xxh3_64(key.flat());
        let stripe = &self.stripes[hash as usize % self.stripes.len()];
        stripe.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn judge(&self, key: &Key, condition: Condition) -> Result<Judged> {
        let (live, floor) = {
            let index = self.index();
            let live = match index.find(key) {
                Found::Entry(slot) if slot.is_live(self.clock.wall_ms()) => Some(slot.version),
                _ => None,
            };
            (live, index.floor(key))
        };
        let version = match condition {
            Condition::Any => Some(self.sequence.next()?),
            Condition::Absent if live.is_none() => Some(self.sequence.next()?),
            Condition::Match(expected) if live == Some(expected) => Some(self.sequence.next()?),
            Condition::Newer(version) if version > floor => {
                self.sequence.raise(version)?;
                Some(version)
            }
            _ => None,
        };
        Ok(Judged { live, version })
    }

    /// Puts a floor in the place of what is there. To be called under the key's stripe.
    fn leave_floor(&self, key: &Key, version: Version) -> Result<()> {
        let retention = u64::try_from(FLOOR_RETENTION.as_millis()).unwrap_or(u64::MAX);
        let bytes = object::floor(key, version, self.clock.wall_ms().saturating_add(retention));
        let name = Name::new(key, version, Kind::Floor);
        self.with_spare(|| self.folder.write_object(&name, [&bytes, &[]]))?;
        let end_ms = self.clock.now_ms().saturating_add(retention);
        let old = self.index_mut().insert_floor(key, version, end_ms);
        self.replaced(key, name, old);
        Ok(())
    }

    /// Does what a delete needs room for; on a full disk with the room that is kept for it, and, where that is
    /// not enough, with that of files that only wait for their successors to be durable.
    fn with_spare(&self, write: impl Fn() -> Result<()>) -> Result<()> {
        match write() {
            Err(error) if error.kind() == ErrorKind::Full => {}
            done => return done,
        }
        self.spare.store(false, Ordering::Relaxed);
        self.folder.give_spare();
        match write() {
            Err(error) if error.kind() == ErrorKind::Full => {}
            done => return done,
        }
        self.sync_here()?;
        write()
    }

    /// Takes the spare room back when there is room again.
    pub(super) fn refill_spare(&self) {
        if !self.spare.load(Ordering::Relaxed) && self.folder.keep_spare() {
            self.spare.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn clear(&self, namespace: Option<&Namespace>) -> Result<u64> {
        let alone = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        self.check_open("clear")?;
        if let Some(failure) = self.unsynced.failure() {
            return Err(failure);
        }
        let version = self.sequence.next()?;
        let cleared = self.index().cleared().clone().with(namespace, version);
        // From here on the clear is done, whatever happens to the files it buries.
        self.with_spare(|| cleared.write(&self.folder))?;
        let (live, mut files) = self.index_mut().clear(namespace, cleared, self.clock.wall_ms());
        files.extend(
            self.unsynced
                .forget(|key| namespace.is_none_or(|namespace| key.namespace_name() == namespace.name())),
        );
        drop(alone);
        self.remove(&files);
        self.refill_spare();
        Ok(live)
    }

    pub(super) fn sweep(&self, limit: usize) -> Result<Swept> {
        drop(self.begin_write("sweep")?);
        self.refill_spare();
        let over = self.index().expired(self.clock.wall_ms(), limit.saturating_add(1));
        let mut swept = Swept::default();
        for (key, version) in over.iter().take(limit) {
            swept.expired += u64::from(self.sweep_entry(key, *version)?);
        }
        let left = limit.saturating_sub(over.len());
        let floors = self.index().forgettable(self.clock.now_ms(), left.saturating_add(1));
        swept.more = over.len() > limit || floors.len() > left;
        swept.floors = self.forget_floors(&floors[..floors.len().min(left)])?;
        Ok(swept)
    }

    /// Puts a floor in the place of an expired entry, if it is still there.
    fn sweep_entry(&self, key: &Key, version: Version) -> Result<bool> {
        let _open = self.begin_write("sweep")?;
        let _alone = self.stripe(key);
        let still_over = match self.index().find(key) {
            Found::Entry(slot) => slot.version == version && !slot.is_live(self.clock.wall_ms()),
            Found::Damaged | Found::Nothing => false,
        };
        if still_over {
            self.leave_floor(key, version)?;
        }
        Ok(still_over)
    }

    fn forget_floors(&self, floors: &[(Key, Version)]) -> Result<u64> {
        if self.durability != Durability::Never {
            // The entry that a floor stands against was removed long ago; make sure that the disk knows.
            let folders: BTreeSet<u8> = floors.iter().map(|(key, _)| object::hash(key)[0]).collect();
            for byte in folders {
                let path = self.folder.objects().join(format!("{byte:02x}"));
                sync_folder(&path).map_err(|error| failed("sweep", &path, error))?;
            }
        }
        let mut forgotten = 0;
        for (key, version) in floors {
            let _open = self.begin_write("sweep")?;
            let _alone = self.stripe(key);
            if self.index().floor(key) != *version {
                continue;
            }
            self.index_mut().forget(key);
            self.remove(&self.unsynced.forget_key(key));
            self.remove(&[Name::new(key, *version, Kind::Floor)]);
            forgotten += 1;
        }
        Ok(forgotten)
    }

    /// # Errors
    /// `Closed` after a close.
    pub(super) fn check_open(&self, operation: &'static str) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, operation).with("store", super::NAME));
        }
        Ok(())
    }
}
