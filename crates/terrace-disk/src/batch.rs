//! Several writes in one, all of which outlive a crash or none; and clearing.
//!
//! Decision: the records of a batch are flagged and followed by a trailer that counts them. Recovery applies them
//! when it comes to the trailer, and forgets them if something else comes first.

use hashbrown::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::codec::with_workspace;
use crate::control::{Control, Floor};
use crate::error::{Error, Result};
use crate::index::{Hash, Slot};
use crate::lookup::Old;
use crate::point::point;
use crate::record::{Coded, Draft, Head, Kind, Location};
use crate::shared::Shared;
use crate::tally::Tally;
use crate::told::Told;
use crate::write::{
    Condition, Delete, Deleted, Put, Written, check_delete, check_put, given, tally_of, tombstone,
};
use crate::writer::{Purpose, Writer};

/// One write of a batch.
#[derive(Clone, Copy, Debug)]
pub enum Write<'a> {
    /// As [`Disk::put`](crate::Disk::put).
    Put(&'a [u8], Put<'a>),
    /// As [`Disk::delete`](crate::Disk::delete).
    Delete(&'a [u8], Delete),
}

impl Write<'_> {
    fn condition(&self) -> Condition {
        match self {
            Self::Put(_, put) => put.condition,
            Self::Delete(_, delete) => delete.condition,
        }
    }
}

/// What became of one write of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Of a put.
    Put(Written),
    /// Of a delete.
    Delete(Deleted),
}

/// A key and the version its live entry has: what a batch may depend on.
#[derive(Clone, Copy, Debug)]
pub struct Unchanged<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The version; `None` for no live entry.
    pub version: Option<u64>,
}

/// A write that was appended and is not in the index yet.
struct Pending<'a> {
    hash: Hash,
    key: &'a [u8],
    slot: Slot,
    old: Option<Old>,
    new: Option<(u32, Tally)>,
    location: Location,
    version: u64,
}

/// Keys are hashed already.
#[derive(Default)]
struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {}
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// The last pending write of each key.
type Latest = HashMap<u64, Vec<usize>, BuildHasherDefault<Same>>;

impl Shared {
    /// Applies several writes. `None` if something that must be unchanged is not: then nothing was applied.
    pub(crate) fn apply(
        &self,
        writes: &[Write<'_>],
        unchanged: &[Unchanged<'_>],
        now: u64,
    ) -> Result<Option<Vec<Outcome>>> {
        let mut encoded = Vec::with_capacity(writes.len());
        let mut bytes = 64;
        for write in writes {
            let stored = match write {
                Write::Put(key, put) => {
                    check_put(key, put)?;
                    let mut out = Vec::new();
                    let coded = with_workspace(|workspace| {
                        self.codecs.encode(put.compress, put.value, &mut workspace.coder, &mut out)
                    });
                    coded.map(|coded| (coded, out))
                }
                Write::Delete(key, delete) => {
                    check_delete(key, delete)?;
                    None
                }
            };
            bytes += draft(write, stored.as_ref()).most_bytes(self.overhead());
            encoded.push(stored);
        }
        let reserve = writes.iter().all(|write| matches!(write, Write::Delete(..)));
        let purpose = if reserve { Purpose::Reserve } else { Purpose::Put };
        if self.is_too_long(bytes) {
            return Err(Error::Full("the batch is too long for this cache"));
        }
        let mut writer = self.writer.lock();
        for write in writes {
            if let Write::Put(key, _) = write {
                writer.usual_key.note(key.len());
            }
        }
        self.begin(&mut writer, bytes, purpose, now)?;
        let versions = || writes.iter().map(|write| given(write.condition()));
        if versions().any(|version| version.is_none()) {
            self.announce_ahead(&mut writer, versions().flatten().max().unwrap_or(0), bytes)?;
        }
        for wanted in unchanged {
            let hash = self.index.hash(wanted.key);
            let old = with_workspace(|workspace| self.lookup(hash, wanted.key, now, workspace))?;
            if Old::live_version(old.as_ref()) != wanted.version {
                return Ok(None);
            }
        }
        let start = writer.at();
        let appended = self.append_all(&mut writer, writes, &encoded, now);
        let (outcomes, pending) = match appended {
            Ok(appended) => appended,
            Err(error) => {
                self.take_back(&mut writer, start);
                return Err(error);
            }
        };
        let deferred = writes.iter().all(|write| match write {
            Write::Put(_, put) => put.deferred,
            Write::Delete(_, delete) => delete.deferred,
        });
        if !deferred {
            self.flush_or_take_back(&mut writer, start)?;
            point("batch.after_write");
        }
        for Pending { hash, slot, old, new, .. } in &pending {
            self.replace(&mut writer, *hash, *slot, old.as_ref(), *new);
        }
        for Pending { key, slot, version, .. } in &pending {
            let (key, version) = (*key, *version);
            self.tell(match slot.is_tombstone() {
                true => Told::Deleted { key, version },
                false => Told::Put { key, version },
            });
        }
        let position = writer.position();
        drop(writer);
        if !deferred && !pending.is_empty() && self.config.durability.is_durable() {
            self.wait_synced(position)?;
        }
        Ok(Some(outcomes))
    }

    fn append_all<'a>(
        &self,
        writer: &mut Writer,
        writes: &[Write<'a>],
        encoded: &'a [Option<(Coded, Vec<u8>)>],
        now: u64,
    ) -> Result<(Vec<Outcome>, Vec<Pending<'a>>)> {
        let (mut outcomes, mut pending) =
            (Vec::with_capacity(writes.len()), Vec::with_capacity(writes.len()));
        let mut latest = Latest::default();
        let mut crc = 0;
        for (write, stored) in writes.iter().zip(encoded) {
            let (key, group) = match write {
                Write::Put(key, put) => (*key, put.group),
                Write::Delete(key, delete) => (*key, delete.group),
            };
            let condition = write.condition();
            let hash = self.index.hash(key);
            let earlier = latest.get(&hash.0).and_then(|all| {
                all.iter()
                    .rev()
                    .find_map(|at| pending.get(*at).filter(|other: &&Pending<'_>| other.key == key))
            });
            let old = match earlier {
                Some(earlier) => Some(self.as_old(earlier, now)),
                None => with_workspace(|workspace| self.lookup(hash, key, now, workspace))?,
            };
            let conflict = self.judge(condition, hash, old.as_ref(), group)?.err();
            let mut draft = draft(write, stored.as_ref());
            if let Some(current) = conflict {
                outcomes.push(match write {
                    Write::Put(..) => Outcome::Put(Written::Conflict { current }),
                    Write::Delete(..) => Outcome::Delete(Deleted::Conflict { current }),
                });
                continue;
            }
            if let Write::Put(_, put) = write {
                let most = draft.most_bytes(self.overhead());
                if !self.admits(writer, hash, old.as_ref(), most, put.value.len(), now)? {
                    outcomes.push(Outcome::Put(Written::NotAdmitted));
                    continue;
                }
            }
            draft.head.previous = self.previous(old.as_ref());
            let appended = self.append(writer, &mut draft, given(condition))?;
            crc = crc32c::crc32c_append(crc, &appended.version.to_le_bytes());
            let (version, live) = (appended.version, old.is_some_and(|old| old.live));
            let is_delete = matches!(write, Write::Delete(..));
            outcomes.push(if is_delete {
                Outcome::Delete(Deleted::Done { version, existed: live })
            } else {
                Outcome::Put(Written::Stored { version, replaced: live })
            });
            let slot = Slot::new(hash.tag(), appended.place, appended.len, draft.head.expires_ms, is_delete);
            let new = (!is_delete).then(|| (group, tally_of(&draft.head, appended.len)));
            latest.entry(hash.0).or_default().push(pending.len());
            pending.push(Pending { hash, key, slot, old, new, location: appended.location, version });
        }
        point("batch.before_trailer");
        if !pending.is_empty() {
            let trailer = Control::Trailer { count: pending.len() as u64, crc };
            self.append_control(writer, &trailer, Head::new(Kind::Control))?;
        }
        Ok((outcomes, pending))
    }

    /// An earlier write of the same batch, as the later one sees it.
    fn as_old(&self, earlier: &Pending<'_>, now: u64) -> Old {
        let (group, tally) = earlier.new.unwrap_or_default();
        let counted = earlier.new.is_some();
        let live = counted && !earlier.slot.is_over(now);
        let (place, location, version) = (earlier.slot.place(), earlier.location, earlier.version);
        Old { place, location, version, group, tally, live, counted, damaged: false }
    }

    /// Removes every entry of a group, or of all, and returns how many there were whose time was not over. `then` is
    /// called before anything is written after it.
    pub(crate) fn clear(
        &self,
        group: Option<u32>,
        floor_deadline_ms: u64,
        now: u64,
        then: &dyn Fn(),
    ) -> Result<u64> {
        let mut writer = self.writer.lock();
        self.begin(&mut writer, 64, Purpose::Reserve, now)?;
        self.announce_ahead(&mut writer, 0, 64)?;
        let start = writer.at();
        let head = Head { group: group.unwrap_or(0), ..Head::new(Kind::Control) };
        let control = Control::Clear { all: group.is_none(), deadline_ms: floor_deadline_ms };
        let expired = self.count_expired(group, now)?;
        let appended = self.append_control(&mut writer, &control, head)?;
        self.flush_or_take_back(&mut writer, start)?;
        point("clear.after_append");
        let (version, origin) = (appended.version, appended.location.segment);
        self.floors.raise(Floor { group, version, deadline_ms: floor_deadline_ms, origin });
        let gone = writer.tallies.clear(group);
        if group.is_none() && !self.has_snapshots() {
            for shard in 0..crate::index::SHARDS {
                self.change(&mut writer, shard).retain(|_| false);
            }
        }
        then();
        let position = writer.position();
        drop(writer);
        if self.config.durability.is_durable() {
            self.wait_synced(position)?;
        }
        Ok(gone.count.saturating_sub(expired))
    }
}

fn draft<'a>(write: &Write<'a>, stored: Option<&'a (Coded, Vec<u8>)>) -> Draft<'a> {
    match write {
        Write::Put(key, put) => {
            let coded = stored.map(|(coded, _)| *coded);
            let head = Head {
                in_batch: true,
                expires_ms: put.expires_ms,
                coded,
                group: put.group,
                ..Head::new(Kind::Put)
            };
            Draft { head, key, meta: put.meta, stored: stored.map_or(put.value, |(_, bytes)| bytes) }
        }
        Write::Delete(key, delete) => {
            let head = Head { in_batch: true, ..tombstone(delete) };
            Draft { head, key, meta: &[], stored: &[] }
        }
    }
}
