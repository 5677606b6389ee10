//! Puts and deletes.
//!
//! Decision: a write is judged against the record the index has for the key, appended, handed to the operating
//! system unless it is deferred, and only then put into the index. So an error means that nothing was applied, and
//! nobody reads what then turns out not to be there.

use crate::codec::{Compress, Workspace, with_workspace};
use crate::config::Mode;
use crate::error::{Error, Result};
use crate::header::HEADER_LEN;
use crate::index::{Hash, Slot};
use crate::lookup::Old;
use crate::point::{bug, point};
use crate::record::{Coded, Draft, Head, KEY_LIMIT, Kind, Location, META_LIMIT, VALUE_LIMIT};
use crate::shared::Shared;
use crate::tally::Tally;
use crate::told::Told;
use crate::writer::{Purpose, Writer};

/// On what a write depends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Nothing; the write gets the next version.
    #[default]
    Any,
    /// The key has no live entry.
    Absent,
    /// The live entry has exactly this version.
    Match(u64),
    /// The write carries this version, and is applied only if that is above the key's and above its floor.
    /// Below 2^63.
    Newer(u64),
}

/// What is put.
#[derive(Clone, Copy, Debug, Default)]
pub struct Put<'a> {
    /// The value.
    pub value: &'a [u8],
    /// Bytes that are kept with it and mean nothing to the engine.
    pub meta: &'a [u8],
    /// A number under which entries are counted and cleared together.
    pub group: u32,
    /// When its time is over, in milliseconds since 1970.
    pub expires_ms: Option<u64>,
    /// On what it depends.
    pub condition: Condition,
    /// Whether to make it shorter.
    pub compress: Compress,
    /// The caller will call [`Disk::commit`](crate::Disk::commit) before telling anybody.
    pub deferred: bool,
}

/// What is deleted, and how.
#[derive(Clone, Copy, Debug, Default)]
pub struct Delete {
    /// The group the key belongs to.
    pub group: u32,
    /// On what it depends; not `Absent`.
    pub condition: Condition,
    /// Until when no older version may be put, in milliseconds since 1970.
    pub floor_deadline_ms: u64,
    /// As of a put.
    pub deferred: bool,
}

/// What became of a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is written.
    Stored {
        /// Its version.
        version: u64,
        /// Whether it took the place of a live entry.
        replaced: bool,
    },
    /// Its condition did not hold.
    Conflict {
        /// The version of the live entry.
        current: Option<u64>,
    },
    /// A cache did not take it in; there was and is no entry.
    NotAdmitted,
}

/// What became of a delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// There is no entry any more.
    Done {
        /// The floor it leaves.
        version: u64,
        /// Whether there was a live entry.
        existed: bool,
    },
    /// Its condition did not hold.
    Conflict {
        /// The version of the live entry.
        current: Option<u64>,
    },
}

/// The highest version that can be given, plus one.
const VERSION_LIMIT: u64 = 1 << 63;

pub(crate) fn check_put(key: &[u8], put: &Put<'_>) -> Result<()> {
    check_len("key", key.len(), KEY_LIMIT)?;
    check_len("value", put.value.len(), VALUE_LIMIT)?;
    check_len("attachment", put.meta.len(), META_LIMIT)?;
    check_condition(put.condition)
}

pub(crate) fn check_delete(key: &[u8], delete: &Delete) -> Result<()> {
    check_len("key", key.len(), KEY_LIMIT)?;
    if delete.condition == Condition::Absent {
        return Err(Error::Invalid("a delete cannot depend on absence".to_owned()));
    }
    check_condition(delete.condition)
}

fn check_len(what: &'static str, len: usize, limit: usize) -> Result<()> {
    if len <= limit { Ok(()) } else { Err(Error::TooLarge { what, limit: limit as u64 }) }
}

fn check_condition(condition: Condition) -> Result<()> {
    match condition {
        Condition::Newer(version) if version >= VERSION_LIMIT => {
            Err(Error::Invalid("a given version is below 2^63".to_owned()))
        }
        _ => Ok(()),
    }
}

impl Shared {
    /// Puts a value.
    pub(crate) fn put(&self, key: &[u8], put: &Put<'_>, now: u64) -> Result<Written> {
        check_put(key, put)?;
        with_workspace(|workspace| {
            let mut stored = std::mem::take(&mut workspace.stored);
            let coded = self.codecs.encode(put.compress, put.value, &mut workspace.coder, &mut stored);
            let bytes = if coded.is_some() { stored.as_slice() } else { put.value };
            let written = self.put_stored(key, put, coded, bytes, now, workspace);
            workspace.stored = stored;
            written
        })
    }

    fn put_stored(
        &self,
        key: &[u8],
        put: &Put<'_>,
        coded: Option<Coded>,
        stored: &[u8],
        now: u64,
        workspace: &mut Workspace,
    ) -> Result<Written> {
        let hash = self.index.hash(key);
        let head = Head { expires_ms: put.expires_ms, coded, group: put.group, ..Head::new(Kind::Put) };
        let mut draft = Draft { head, key, meta: put.meta, stored };
        let overhead = self.overhead();
        let mut writer = self.writer.lock();
        if self.is_too_long(draft.most_bytes(overhead)) {
            // No room is made for what will not be kept.
            let known = self.lookup(hash, key, now, workspace)?.is_some_and(|old| old.live);
            let refused = Error::Full("the value is too long for this cache");
            return if known { Err(refused) } else { Ok(Written::NotAdmitted) };
        }
        writer.usual_key.note(key.len());
        self.begin(&mut writer, draft.most_bytes(overhead), Purpose::Put, now)?;
        if given(put.condition).is_none() {
            self.announce_ahead(&mut writer, 0, draft.most_bytes(overhead))?;
        }
        let old = self.lookup(hash, key, now, workspace)?;
        if let Err(current) = self.judge(put.condition, hash, old.as_ref(), put.group)? {
            return Ok(Written::Conflict { current });
        }
        let most = draft.most_bytes(overhead);
        if !self.admits(&writer, hash, old.as_ref(), most, put.value.len(), now)? {
            return Ok(Written::NotAdmitted);
        }
        draft.head.previous = self.previous(old.as_ref());
        let start = writer.at();
        let appended = self.append(&mut writer, &mut draft, given(put.condition))?;
        point("put.after_append");
        if !put.deferred {
            self.flush_or_take_back(&mut writer, start)?;
        }
        point("put.before_install");
        let slot = Slot::new(hash.tag(), appended.place, appended.len, put.expires_ms, false);
        let tally = tally_of(&draft.head, appended.len);
        self.replace(&mut writer, hash, slot, old.as_ref(), Some((put.group, tally)));
        self.tell(Told::Put { key, version: appended.version });
        let position = writer.position();
        drop(writer);
        if !put.deferred && self.config.durability.is_durable() {
            self.wait_synced(position)?;
        }
        let replaced = old.is_some_and(|old| old.live);
        Ok(Written::Stored { version: appended.version, replaced })
    }

    /// Deletes a key, and leaves a floor whether or not there was an entry.
    pub(crate) fn delete(&self, key: &[u8], delete: &Delete, now: u64) -> Result<Deleted> {
        check_delete(key, delete)?;
        let hash = self.index.hash(key);
        let mut draft = Draft { head: tombstone(delete), key, meta: &[], stored: &[] };
        let mut writer = self.writer.lock();
        self.begin(&mut writer, draft.most_bytes(self.overhead()), Purpose::Reserve, now)?;
        if given(delete.condition).is_none() {
            self.announce_ahead(&mut writer, 0, draft.most_bytes(self.overhead()))?;
        }
        let old = with_workspace(|workspace| self.lookup(hash, key, now, workspace))?;
        if let Err(current) = self.judge(delete.condition, hash, old.as_ref(), delete.group)? {
            return Ok(Deleted::Conflict { current });
        }
        draft.head.previous = self.previous(old.as_ref());
        let start = writer.at();
        let appended = self.append(&mut writer, &mut draft, given(delete.condition))?;
        point("delete.after_append");
        if !delete.deferred && !bug("delete_not_durable") {
            self.flush_or_take_back(&mut writer, start)?;
        }
        let slot = Slot::new(hash.tag(), appended.place, appended.len, draft.head.expires_ms, true);
        self.replace(&mut writer, hash, slot, old.as_ref(), None);
        self.tell(Told::Deleted { key, version: appended.version });
        let position = writer.position();
        drop(writer);
        if !delete.deferred && self.config.durability.is_durable() && !bug("delete_not_durable") {
            self.wait_synced(position)?;
        }
        Ok(Deleted::Done { version: appended.version, existed: old.is_some_and(|old| old.live) })
    }

    /// The bytes that encryption adds to a record.
    pub(crate) fn overhead(&self) -> usize {
        if self.keys.is_some() { crate::cipher::MOST_OVERHEAD } else { 0 }
    }

    /// Where the old record is, if a snapshot may want to know.
    pub(crate) fn previous(&self, old: Option<&Old>) -> Option<Location> {
        old.filter(|_| self.has_snapshots()).map(|old| old.location)
    }

    /// Whether the condition holds; if not, the version of the live entry.
    pub(crate) fn judge(
        &self,
        condition: Condition,
        hash: Hash,
        old: Option<&Old>,
        group: u32,
    ) -> Result<Result<(), Option<u64>>> {
        let current = Old::live_version(old);
        if let Some(old) = old.filter(|old| old.damaged && condition != Condition::Any) {
            self.note_damage();
            let Location { segment, offset } = old.location;
            let what = "the record that the condition is about does not check";
            return Err(Error::Corrupt { segment, offset: offset.into(), what });
        }
        let holds = match condition {
            Condition::Any => true,
            Condition::Absent => current.is_none(),
            Condition::Match(version) => current == Some(version),
            Condition::Newer(version) => {
                let known = old.map_or_else(|| self.evicted.floor(hash), |old| old.version);
                version > known && version > self.floors.of(group)
            }
        };
        Ok(if holds { Ok(()) } else { Err(current) })
    }

    /// Whether so many bytes in one segment are more than a cache takes.
    pub(crate) fn is_too_long(&self, bytes: u64) -> bool {
        let is_cache = matches!(self.config.mode, Mode::Cache { .. });
        is_cache && bytes + HEADER_LEN > self.config.segment_len().saturating_mul(2)
    }

    /// Whether there is room for it, and a cache wants it.
    pub(crate) fn admits(
        &self,
        writer: &Writer,
        hash: Hash,
        old: Option<&Old>,
        bytes: u64,
        value_len: usize,
        now: u64,
    ) -> Result<bool> {
        match self.config.mode {
            Mode::Store { capacity: Some(capacity) } => {
                let less = old.filter(|old| old.counted).map_or(0, |old| old.tally.stored);
                if writer.tallies.total().stored.saturating_sub(less) + bytes > capacity {
                    return Err(Error::Full("the records have reached the capacity"));
                }
                Ok(true)
            }
            Mode::Store { capacity: None } => Ok(true),
            Mode::Cache { .. } => {
                let longest = self.config.admission.longest_value;
                let longest = longest.unwrap_or((self.config.segment_len() / 2) as usize);
                // What is there already must not stay behind with an old value.
                let known = old.is_some_and(|old| old.live);
                Ok(known || (value_len <= longest && self.gate.admit(hash, bytes, now)))
            }
        }
    }

    /// Puts a new slot into the index, in the place of the old one, and settles the tallies.
    pub(crate) fn replace(
        &self,
        writer: &mut Writer,
        hash: Hash,
        slot: Slot,
        old: Option<&Old>,
        new: Option<(u32, Tally)>,
    ) {
        self.install(writer, hash, slot, old.map(|old| old.place));
        if let Some(old) = old.filter(|old| old.counted) {
            writer.tallies.subtract(old.place.slot, old.group, old.tally);
        }
        if let Some((group, tally)) = new {
            writer.tallies.add(slot.place().slot, group, tally);
        }
    }
}

/// The version that a condition gives.
pub(crate) fn given(condition: Condition) -> Option<u64> {
    match condition {
        Condition::Newer(version) => Some(version),
        _ => None,
    }
}

/// The head of a delete's record.
pub(crate) fn tombstone(delete: &Delete) -> Head {
    let expires_ms = Some(delete.floor_deadline_ms);
    Head { expires_ms, group: delete.group, ..Head::new(Kind::Tombstone) }
}

/// What a record of this length adds to the tallies.
pub(crate) fn tally_of(head: &Head, len: usize) -> Tally {
    let bytes = u64::from(head.key_len) + u64::from(head.value_len());
    Tally { count: 1, bytes, stored: len as u64 }
}
