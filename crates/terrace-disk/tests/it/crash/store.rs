//! The engine as the crash tests drive it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use terrace_disk::io::Io;
use terrace_disk::{
    Condition, Config, Delete, Deleted, Disk, Durability, Entry, Error, OpenReport, Outcome as Part, Put,
    Range, Reads, Snapshot, Write, Written,
};

use super::history::{Found, Key, Value, View};
use super::workload::Action;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Always,
    Group,
    Interval,
    Never,
}

impl Mode {
    pub(crate) const ALL: [Self; 4] = [Self::Always, Self::Group, Self::Interval, Self::Never];

    /// Whether what is acknowledged outlives a power cut.
    pub(crate) fn is_durable(self) -> bool {
        matches!(self, Self::Always | Self::Group)
    }

    fn durability(self) -> Durability {
        match self {
            Self::Always => Durability::Always,
            Self::Group => Durability::Group(Duration::from_micros(200)),
            Self::Interval => Durability::Interval(Duration::from_secs(1)),
            Self::Never => Durability::Never,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) mode: Mode,
    pub(crate) cache: bool,
    /// Encrypted, where that is built in.
    pub(crate) sealed: bool,
}

/// The key of every encrypted store of these tests.
#[cfg(feature = "crypt")]
fn keys() -> Arc<terrace_envelope::crypt::Keyring> {
    use terrace_envelope::crypt::{Algorithm, Key, Keyring, Secret};
    Arc::new(Keyring::new(Key::new(1, Algorithm::default(), Secret::new(&[7; 32]))))
}

impl Options {
    #[cfg(feature = "crypt")]
    fn open(self, io: Arc<dyn Io>, now_ms: u64) -> Result<(Disk, OpenReport), Error> {
        if self.sealed {
            Disk::open_encrypted(io, self.config(), keys(), now_ms)
        } else {
            Disk::open(io, self.config(), now_ms)
        }
    }

    #[cfg(not(feature = "crypt"))]
    fn open(self, io: Arc<dyn Io>, now_ms: u64) -> Result<(Disk, OpenReport), Error> {
        Disk::open(io, self.config(), now_ms)
    }

    /// Small segments, so that a short life has many of them.
    fn config(self) -> Config {
        let base = if self.cache { Config::cache(1 << 20) } else { Config::store() };
        // Every other kind of store asks for many keys in one go, where that is possible.
        let ringed = self.cache == matches!(self.mode, Mode::Always | Mode::Interval);
        Config {
            durability: self.mode.durability(),
            reads: if ringed { Reads::Auto } else { Reads::Positioned },
            segment_bytes: Some(64 << 10),
            open_threads: 1,
            garbage_percent: 20,
            ..base
        }
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is done; the version, of a write of one key.
    Done(Option<u64>),
    /// Nothing happened, for certain.
    Refused,
    /// Nobody knows.
    Doubtful,
}

impl From<Error> for Outcome {
    fn from(error: Error) -> Self {
        if matches!(error, Error::Unknown(_)) { Self::Doubtful } else { Self::Refused }
    }
}

/// An open store, and the snapshots that are held open.
pub(crate) struct Store {
    disk: Disk,
    report: OpenReport,
    pinned: Mutex<Vec<Pinned>>,
}

/// A snapshot, and what it has to show for ever.
struct Pinned {
    snapshot: Snapshot,
    expected: Option<BTreeMap<Key, Value>>,
}

fn put_of(group: u32, value: &Value, condition: Condition) -> Put<'_> {
    Put { value: &value.bytes, group, expires_ms: value.expires_ms, condition, ..Put::default() }
}

fn delete_of(group: u32, now_ms: u64) -> Delete {
    Delete { group, floor_deadline_ms: now_ms + 3000, ..Delete::default() }
}

fn written(written: Written) -> Outcome {
    match written {
        Written::Stored { version, .. } => Outcome::Done(Some(version)),
        Written::Conflict { .. } | Written::NotAdmitted => Outcome::Refused,
    }
}

fn deleted(deleted: Deleted) -> Outcome {
    match deleted {
        Deleted::Done { version, .. } => Outcome::Done(Some(version)),
        Deleted::Conflict { .. } => Outcome::Refused,
    }
}

impl Store {
    pub(crate) fn open(io: Arc<dyn Io>, options: Options, now_ms: u64) -> Result<Self, String> {
        let (disk, report) = options.open(io, now_ms).map_err(|error| error.to_string())?;
        Ok(Self { disk, report, pinned: Mutex::default() })
    }

    /// Has the log announce that versions will be given without a write. It may refuse for want of room.
    pub(crate) fn announce(&self, now_ms: u64) {
        let _ = self.disk.reserve(now_ms);
    }

    pub(crate) fn close(self) -> Result<(), String> {
        self.pins().clear();
        self.disk.close().map_err(|error| error.to_string())
    }

    fn pins(&self) -> std::sync::MutexGuard<'_, Vec<Pinned>> {
        self.pinned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn act(&self, action: &Action, now_ms: u64) -> Outcome {
        self.try_act(action, now_ms).unwrap_or_else(Outcome::from)
    }

    fn try_act(&self, action: &Action, now_ms: u64) -> Result<Outcome, Error> {
        let disk = &self.disk;
        let done = Ok(Outcome::Done(None));
        match action {
            Action::Put { group, key, value } => {
                disk.put(key, &put_of(*group, value, Condition::Any), now_ms).map(written)
            }
            Action::Replace { group, key, value } => {
                let Some(current) = disk.peek(key, now_ms)? else { return Ok(Outcome::Refused) };
                let put = put_of(*group, value, Condition::Match(current.version));
                disk.put(key, &put, now_ms).map(written)
            }
            Action::Delete { group, key } => {
                disk.delete(key, &delete_of(*group, now_ms), now_ms).map(deleted)
            }
            Action::Batch(writes) => self.batch(writes, now_ms),
            Action::Clear { group } => disk.clear(Some(*group), now_ms + 3000, now_ms).and(done),
            Action::Get { key } => disk.get(key, now_ms).and(done),
            Action::Sweep { .. } => {
                while disk.sweep(50, now_ms)?.more {}
                done
            }
            Action::Compact => {
                for _ in 0..8 {
                    if !disk.compact_step(20_000, now_ms)?.more {
                        break;
                    }
                }
                done
            }
            Action::Evict => disk.evict_step(now_ms).and(done),
            Action::Checkpoint => disk.checkpoint().and(done),
            Action::Train => disk.train().and(done),
            Action::Sync => disk.sync().and(done),
            Action::Pin => {
                self.pin(None)?;
                done
            }
            Action::Unpin => {
                self.pins().pop();
                done
            }
            Action::Reopen => done,
        }
    }

    fn batch(&self, writes: &[(u32, Key, Option<Value>)], now_ms: u64) -> Result<Outcome, Error> {
        let parts = writes.iter().map(|(group, key, value)| match value {
            Some(value) => Write::Put(key, put_of(*group, value, Condition::Any)),
            None => Write::Delete(key, delete_of(*group, now_ms)),
        });
        let parts: Vec<Write<'_>> = parts.collect();
        let Some(outcomes) = self.disk.apply(&parts, &[], now_ms)? else { return Ok(Outcome::Refused) };
        let refused = outcomes.iter().filter(|part| matches!(part, Part::Put(Written::NotAdmitted)));
        match refused.count() {
            0 => Ok(Outcome::Done(None)),
            refused if refused == parts.len() => Ok(Outcome::Refused),
            refused => panic!("{refused} parts of a batch were refused though everything is admitted"),
        }
    }

    /// Holds the store as it is now, which is as expected.
    pub(crate) fn pin(&self, expected: Option<BTreeMap<Key, Value>>) -> Result<(), Error> {
        let mut pins = self.pins();
        if pins.len() < 2 {
            pins.push(Pinned { snapshot: self.disk.snapshot()?, expected });
        }
        Ok(())
    }

    /// Lets go of what was pinned last, and says whether it still shows what it did.
    pub(crate) fn unpin(&self, now_ms: u64) -> Result<(), String> {
        let Some(Pinned { snapshot, expected: Some(expected) }) = self.pins().pop() else { return Ok(()) };
        for (key, value) in expected.iter().filter(|(_, value)| !value.is_due(now_ms)) {
            let entry = snapshot.get(key, now_ms).map_err(|error| error.to_string())?;
            if entry.is_none_or(|entry| entry.value[..] != value.bytes[..]) {
                return Err(format!(
                    "a snapshot shows something else under {}",
                    String::from_utf8_lossy(key)
                ));
            }
        }
        let listed =
            snapshot.list(&Range::default(), usize::MAX, now_ms).map_err(|error| error.to_string())?;
        let extra = listed.entries.iter().find(|(key, _)| !expected.contains_key(&key[..]));
        extra.map_or(Ok(()), |(key, _)| Err(format!("a snapshot shows {}", String::from_utf8_lossy(key))))
    }

    /// Everything it shows, found by listing and by asking for each key alike.
    pub(crate) fn view(&self, now_ms: u64) -> Result<View, String> {
        let view = self.readable(now_ms)?;
        let keys: Vec<&[u8]> = view.keys().map(Vec::as_slice).collect();
        let together = self.disk.get_many(&keys, now_ms).map_err(|error| error.to_string())?;
        for ((key, expected), among_many) in view.iter().zip(&together) {
            let alone = self.look(key, now_ms)?;
            if alone.as_ref() != Some(expected) || among_many.as_ref().map(found) != alone {
                return Err(format!("{} is listed otherwise than it is found", String::from_utf8_lossy(key)));
            }
        }
        Ok(view)
    }

    /// What it lists; what cannot be read for damage is left out.
    pub(crate) fn readable(&self, now_ms: u64) -> Result<View, String> {
        let (mut view, mut last) = (View::new(), None::<Vec<u8>>);
        loop {
            let range = Range {
                from: last.as_deref().unwrap_or_default(),
                after: last.is_some(),
                ..Range::default()
            };
            let page = self.disk.list(&range, 7, now_ms).map_err(|error| format!("listing: {error}"))?;
            for (key, entry) in page.entries {
                if view.insert(key.to_vec(), found(&entry)).is_some() {
                    return Err(format!("{} is listed twice", String::from_utf8_lossy(&key)));
                }
            }
            match page.next {
                Some(next) => last = Some(next.to_vec()),
                None => return Ok(view),
            }
        }
    }

    /// Whether the counters fit what is there once all that has expired is swept out.
    pub(crate) fn counters_fit(&self, view: &View, now_ms: u64) -> Result<(), String> {
        while self.disk.sweep(1000, now_ms).map_err(|error| error.to_string())?.more {}
        let stats = self.disk.stats();
        let bytes: usize = view.iter().map(|(key, found)| key.len() + found.bytes.len()).sum();
        if (stats.entries, stats.bytes) == (view.len() as u64, bytes as u64) {
            return Ok(());
        }
        Err(format!(
            "{} entries of {bytes} bytes are counted as {} of {}",
            view.len(),
            stats.entries,
            stats.bytes
        ))
    }

    /// What was found damaged when it was opened; what ended in a torn tail is not.
    pub(crate) fn reports_damage(&self) -> bool {
        !self.report.is_sound()
    }

    /// Whether it said that anything at all was not as it should be.
    pub(crate) fn reports_anything(&self) -> bool {
        self.reports_damage() || self.report.cut_bytes > 0
    }

    pub(crate) fn report(&self) -> String {
        format!("{:?}", self.report)
    }

    /// What stands under a key.
    pub(crate) fn look(&self, key: &[u8], now_ms: u64) -> Result<Option<Found>, String> {
        let entry = self.disk.get(key, now_ms).map_err(|error| error.to_string())?;
        Ok(entry.as_ref().map(found))
    }
}

fn found(entry: &Entry) -> Found {
    Found { bytes: entry.value.to_vec(), expires_ms: entry.found.expires_ms, version: entry.found.version }
}
