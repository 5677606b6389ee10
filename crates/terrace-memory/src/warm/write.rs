//! Writing: a value is encoded before its shard's lock is taken.

use terrace_envelope::Compression;
use terrace_envelope::codec::Worth;

use super::Warm;
use super::entry::{Attributes, Inserted};
use super::record::Record;
use super::shard::{Refusal, Shard};
use super::workspace::{Workspace, with_workspace};
use crate::Cause;

impl Warm {
    /// Stores a value in the place of any that the key has.
    ///
    /// # Cost
    /// The value is encoded before the lock is taken: 2 to 10 µs for a kilobyte. An insertion that has to empty
    /// a block goes through the few hundred entries of that block.
    pub fn insert(&self, key: &[u8], value: &[u8], attributes: Attributes<'_>, now: u64) -> Inserted {
        self.write(key, value, attributes, false, now)
    }

    /// The same, unless the key has a value whose version is as high.
    pub fn insert_if_newer(
        &self,
        key: &[u8],
        value: &[u8],
        attributes: Attributes<'_>,
        now: u64,
    ) -> Inserted {
        self.write(key, value, attributes, true, now)
    }

    fn write(
        &self,
        key: &[u8],
        value: &[u8],
        attributes: Attributes<'_>,
        only_newer: bool,
        now: u64,
    ) -> Inserted {
        let hash = self.hash(key);
        let lock = self.shard(hash);
        let dead = attributes.expires_at.is_some_and(|at| at <= now);
        if dead || value.len() > self.max_value {
            return refuse(&mut lock.write(), hash, key, attributes.version, only_newer, dead, now);
        }
        with_workspace(|Workspace { coder, bytes }| {
            let mut dictionary = lock.read().current_dictionary();
            loop {
                let with = dictionary.as_ref().map(|(_, dictionary)| dictionary.as_ref());
                let how = self.choice.encode(None, Worth::Enough, coder, with, value, bytes);
                let how = how.unwrap_or_else(|| {
                    bytes.clear();
                    bytes.extend_from_slice(value);
                    Compression::None
                });
                let slot = match how {
                    Compression::Zstd => dictionary.as_ref().map_or(0, |(slot, _)| *slot),
                    _ => 0,
                };
                let Attributes { expires_at, version, attached } = attributes;
                let record =
                    Record { how, dictionary: slot, expires_at, version, key, attached, stored: bytes };
                let mut done = Inserted::default();
                let mut shard = lock.write();
                let with = dictionary.as_ref().map(|(_, dictionary)| dictionary);
                let stored = shard.insert(hash, &record, with, only_newer, now, &mut done.evicted);
                match stored {
                    Err(Refusal::Dictionary) => dictionary = None,
                    Err(Refusal::NotNewer) => return done,
                    Err(Refusal::Cause(cause)) => {
                        shard.tally.left(cause);
                        done.refused = Some(cause);
                        return done;
                    }
                    Ok(replaced) => {
                        shard.tally.inserts += 1;
                        shard.tally.stored(how, value.len(), bytes.len());
                        (done.stored, done.replaced) = (true, replaced);
                        return done;
                    }
                }
            }
        })
    }

    /// Removes a key. Returns whether it had a value.
    pub fn remove(&self, key: &[u8], now: u64) -> bool {
        self.remove_up_to(key, u64::MAX, now)
    }

    /// Removes a key if the version of its value is at most this. Returns whether that was so.
    pub fn remove_up_to(&self, key: &[u8], version: u64, now: u64) -> bool {
        let hash = self.hash(key);
        let mut shard = self.shard(hash).write();
        let Some(hit) = shard.find(hash, key).filter(|hit| hit.record.version <= version) else {
            return false;
        };
        let (position, dead) = (hit.position, hit.record.is_dead(now));
        shard.drop_at(position);
        !dead
    }
}

/// Refuses a value that is dead on arrival or too long. What the key had is stale then.
fn refuse(
    shard: &mut Shard,
    hash: u64,
    key: &[u8],
    version: u64,
    only_newer: bool,
    dead: bool,
    now: u64,
) -> Inserted {
    let cause = if dead { Cause::Expired } else { Cause::TooHeavy };
    let old = shard.find(hash, key).map(|hit| (hit.position, hit.record.version, hit.record.is_dead(now)));
    if let Some((position, known, gone)) = old {
        if only_newer && !gone && known >= version {
            return Inserted::default();
        }
        shard.drop_at(position);
    }
    shard.tally.refused += 1;
    Inserted { refused: Some(cause), replaced: old.is_some_and(|(.., gone)| !gone), ..Inserted::default() }
}
