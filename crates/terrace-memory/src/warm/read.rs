//! Reading: an entry is copied under its shard's lock, which readers share, and decoded after it was given back.

use std::sync::atomic::Ordering;

use parking_lot::RwLock;
use terrace_envelope::Compression;
use terrace_envelope::codec::Coder;

use super::Warm;
use super::entry::{Attributes, Found};
use super::index::Place;
use super::record::{Record, checksum_of, is_sound};
use super::shard::Shard;
use super::workspace::{Workspace, with_workspace};

impl Warm {
    /// Appends the value of a key, and what is attached to it, to `out`, and marks the entry as used.
    ///
    /// A damaged entry is removed, counted and not found.
    ///
    /// # Cost
    /// One hash, one shard's lock shared for the time of a copy, and decoding after it was given back. Nothing
    /// is allocated but what `out` lacks.
    pub fn get(&self, key: &[u8], now: u64, out: &mut Vec<u8>) -> Option<Found> {
        let hash = self.hash(key);
        let lock = self.shard(hash);
        let found = with_workspace(|workspace| self.read(lock, hash, key, now, workspace, out));
        if let Err(Some((place, checksum))) = found {
            lock.write().remove_damaged(hash, place, checksum);
        }
        found.ok()
    }

    /// The value; or the place and the checksum of a record that turned out to be damaged.
    fn read(
        &self,
        lock: &RwLock<Shard>,
        hash: u64,
        key: &[u8],
        now: u64,
        workspace: &mut Workspace,
        out: &mut Vec<u8>,
    ) -> Result<Found, Option<(Place, [u8; 4])>> {
        let shard = lock.read();
        let hit = shard.find(hash, key).filter(|hit| !hit.record.is_dead(now));
        let Some(hit) = hit else {
            shard.misses.fetch_add(1, Ordering::Relaxed);
            return Err(None);
        };
        let seen = Some((hit.place, checksum_of(hit.bytes)));
        if !is_sound(hit.bytes) {
            shard.misses.fetch_add(1, Ordering::Relaxed);
            return Err(seen);
        }
        let Record { how, dictionary, expires_at, version, attached, stored, .. } = hit.record;
        let attached_len = attached.len();
        if how == Compression::None {
            out.extend_from_slice(stored);
            out.extend_from_slice(attached);
            shard.index.mark_used(hit.position);
            shard.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(Found { len: stored.len(), attached_len, version, expires_at });
        }
        workspace.bytes.clear();
        workspace.bytes.extend_from_slice(stored);
        let stored_len = stored.len();
        workspace.bytes.extend_from_slice(attached);
        let dictionary = shard.dictionaries.get(usize::from(dictionary)).and_then(Option::clone);
        shard.index.mark_used(hit.position);
        shard.hits.fetch_add(1, Ordering::Relaxed);
        drop(shard);
        let (stored, attached) = workspace.bytes.split_at(stored_len);
        let decoded = workspace.coder.decode(how, dictionary.as_deref(), stored, self.max_value, out);
        let Ok(len) = decoded else {
            // It was counted too early, which spares all others another look at the lock.
            let shard = lock.read();
            shard.hits.fetch_sub(1, Ordering::Relaxed);
            shard.misses.fetch_add(1, Ordering::Relaxed);
            return Err(seen);
        };
        out.extend_from_slice(attached);
        Ok(Found { len, attached_len, version, expires_at })
    }

    /// Whether the key has a value. It is neither read nor marked as used.
    #[must_use]
    pub fn contains(&self, key: &[u8], now: u64) -> bool {
        self.version(key, now).is_some()
    }

    /// The version of the key's value, if it has one.
    #[must_use]
    pub fn version(&self, key: &[u8], now: u64) -> Option<u64> {
        let hash = self.hash(key);
        let shard = self.shard(hash).read();
        shard.find(hash, key).filter(|hit| !hit.record.is_dead(now)).map(|hit| hit.record.version)
    }

    /// Calls `visit` with every entry that has not expired: key, value and attributes.
    ///
    /// No snapshot: an entry that is written or moved meanwhile is met once, twice or not at all. Each entry is
    /// copied under its shard's lock, and `visit` runs outside all locks.
    pub fn for_each(&self, now: u64, mut visit: impl FnMut(&[u8], &[u8], Attributes<'_>)) {
        let mut coder = Coder::new();
        let (mut copy, mut value) = (Vec::new(), Vec::new());
        for lock in &self.shards {
            let mut from = 0;
            loop {
                let shard = lock.read();
                let Some((next, place)) = shard.index.next(from) else { break };
                from = next;
                let Some((record, bytes)) = shard.record(place) else { continue };
                if record.is_dead(now) || !is_sound(bytes) {
                    continue;
                }
                copy.clear();
                copy.extend_from_slice(bytes);
                let base = shard.blocks.get(usize::from(place.block)).map_or(0, |block| block.base);
                let slot = usize::from(record.dictionary);
                let dictionary = shard.dictionaries.get(slot).and_then(Option::clone);
                drop(shard);
                let Some((record, _)) = Record::read(&copy, base) else { continue };
                value.clear();
                let decoded = coder.decode(
                    record.how,
                    dictionary.as_deref(),
                    record.stored,
                    self.max_value,
                    &mut value,
                );
                if decoded.is_ok() {
                    let Record { expires_at, version, attached, key, .. } = record;
                    visit(key, &value, Attributes { expires_at, version, attached });
                }
            }
        }
    }
}
