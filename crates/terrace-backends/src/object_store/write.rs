//! Writes: a version is taken, the header of what is there read, the condition judged, and the object put if that is
//! still there.

use bytes::Bytes;
use object_store::path::Path;
use terrace_store::capability::{Outcome, Write};
use terrace_store::{
    Condition, Deleted, Entry, Error, ErrorKind, Key, Namespace, PutOptions, Result, Version, Written,
};
use xxhash_rust::xxh3::xxh3_64;

use super::head::Head;
use super::header::{HEADER, Header};
use super::link::{Over, Tag};
use super::{Inner, NAME, STRIPES};
use crate::remote::validate;

/// How often a write begins anew before it gives up: others write the same key all the time.
const ATTEMPTS: u32 = 200;

/// What is there before a write.
struct Prior {
    tag: Tag,
    /// `None` if it is damaged: then only a write that depends on nothing takes its place.
    header: Option<Header>,
}

impl Inner {
    /// Applies writes, one after another.
    pub(super) async fn write(&self, operation: &'static str, list: &[Write]) -> Result<Vec<Outcome>> {
        validate(list)?;
        self.ready(operation).await?;
        let mut outcomes = Vec::with_capacity(list.len());
        for write in list {
            outcomes.push(self.one(operation, write).await?);
        }
        Ok(outcomes)
    }

    async fn one(&self, operation: &'static str, write: &Write) -> Result<Outcome> {
        let _turn = self.stripes[stripe(write.key())].lock().await;
        for attempt in 0..ATTEMPTS {
            if let Some(outcome) = self.attempt(operation, write).await? {
                return Ok(outcome);
            }
            self.link.pause(attempt).await;
        }
        Err(Error::new(ErrorKind::Busy, operation)
            .with("store", NAME)
            .because("others write the same key all the time"))
    }

    /// `None` if another process got in between.
    async fn attempt(&self, operation: &'static str, write: &Write) -> Result<Option<Outcome>> {
        let (key, condition) = (write.key(), condition(write));
        let (count, above) = match condition {
            Condition::Newer(version) => (0, version.0),
            _ => (1, 0),
        };
        let guess = self.object(&*self.heads.within(&self.link, operation, u64::MAX).await?, key);
        let (taken, prior) =
            tokio::join!(self.heads.take(&self.link, operation, count, above), self.prior(operation, &guess));
        let (assigned, head) = taken?;
        let path = self.object(&head, key);
        // Somebody has cleared the namespace since.
        let prior = if path == guess { prior? } else { self.prior(operation, &path).await? };
        let known = prior.as_ref().and_then(|prior| prior.header);
        let live = known.filter(|header| header.is_live(self.life.wall_ms())).map(|header| header.version);
        let damaged = prior.is_some() && known.is_none();
        let version = match condition {
            Condition::Any => assigned,
            _ if damaged => return Err(super::header::corrupt("an object that is damaged; write it anew")),
            Condition::Absent if live.is_none() => assigned,
            Condition::Match(version) if live == Some(version) => assigned,
            Condition::Newer(version) => {
                let floor = known.map_or(Version::ZERO, |header| header.version);
                if version <= floor.max(Version(head.cleared_of(key))) {
                    return Ok(Some(conflict(write, live)));
                }
                version
            }
            Condition::Absent | Condition::Match(_) => return Ok(Some(conflict(write, live))),
        };
        // Another process took its version later, and was faster.
        if known.is_some_and(|header| header.version >= version) {
            return Ok(None);
        }
        let object = self.seal(operation, &head, write, version).await?;
        let over = prior.map_or(Over::Nothing, |prior| Over::Tag(prior.tag));
        match self.place(operation, &path, object, over).await? {
            true => Ok(Some(done(write, version, live.is_some()))),
            false => Ok(None),
        }
    }

    async fn prior(&self, operation: &'static str, path: &Path) -> Result<Option<Prior>> {
        let found = self.link.read(operation, path, Some(HEADER)).await?;
        Ok(found.map(|found| Prior { tag: found.tag, header: Header::parse(&found.bytes).ok() }))
    }

    /// The object that a write puts; if it has an end, that is marked first.
    async fn seal(
        &self,
        operation: &'static str,
        head: &Head,
        write: &Write,
        version: Version,
    ) -> Result<Bytes> {
        let (ends_ms, object) = match write {
            Write::Put(key, entry, options) => {
                // An end of zero would be none.
                let ends_ms = entry.deadline_ms().map_or(0, |ends| ends.max(1));
                (ends_ms, self.seal_entry(key, entry, options, Header::new(false, version, ends_ms))?)
            }
            Write::Delete(key, _) => {
                let ends_ms = self.life.floor_deadline();
                (ends_ms, Header::new(true, version, ends_ms).tombstone(key))
            }
        };
        self.mark(operation, head, write.key(), ends_ms).await?;
        Ok(object.into())
    }

    fn seal_entry(&self, key: &Key, entry: &Entry, options: &PutOptions, header: Header) -> Result<Vec<u8>> {
        header.entry(key, entry, options.compress, self.config.compress_from)
    }

    /// Lets a sweep find what ends. A marker of what was never written, or written anew since, does no harm.
    pub(super) async fn mark(
        &self,
        operation: &'static str,
        head: &Head,
        key: &Key,
        ends_ms: u64,
    ) -> Result<()> {
        if ends_ms == 0 {
            return Ok(());
        }
        let cleared = head.cleared_of(key);
        let marker = [&cleared.to_be_bytes(), key.flat()].concat();
        let path = self.names.marker(ends_ms, cleared, key);
        match self.link.write(operation, &path, marker.into(), Over::Anything).await {
            Ok(_) => Ok(()),
            // What it stands for was not written.
            Err(error) if error.kind() == ErrorKind::Unknown => {
                Err(Error::new(ErrorKind::Timeout, operation).with("store", NAME).caused_by(error))
            }
            Err(error) => Err(error),
        }
    }

    /// Puts an object, and says whether it is there: not after a plain refusal, since nothing is sent twice. Where no
    /// answer came, what is there now tells. All of it, for a version given from elsewhere another process may have too.
    async fn place(&self, operation: &'static str, path: &Path, object: Bytes, over: Over) -> Result<bool> {
        let unsure = match self.link.write(operation, path, object.clone(), over).await {
            Ok(put) => return Ok(put.is_some()),
            Err(error) if error.kind() == ErrorKind::Unknown => error,
            Err(error) => return Err(error),
        };
        match self.link.read(operation, path, None).await {
            Ok(Some(there)) if there.bytes == object => Ok(true),
            _ => Err(unsure),
        }
    }

    /// Removes every entry of a namespace, or of all.
    pub(super) async fn clear(&self, namespace: Option<&Namespace>) -> Result<u64> {
        self.ready("clear").await?;
        let (before, after) = self.heads.clear(&self.link, namespace).await?;
        // From here on it is cleared: what fails now does not undo that, and a sweep removes what is left.
        let live = self.count_live(&before, namespace).await;
        let _ = self.bury(&after, usize::MAX).await;
        live.map_err(|error| {
            Error::new(ErrorKind::Unknown, "clear")
                .with("store", NAME)
                .because("it is cleared, but how much that removed could not be counted")
                .caused_by(error)
        })
    }
}

fn stripe(key: &Key) -> usize {
    (xxh3_64(key.flat()) % STRIPES as u64) as usize
}

impl Inner {
    /// Keeps other writers of this process away from a key.
    pub(super) async fn turn(&self, key: &Key) -> tokio::sync::MutexGuard<'_, ()> {
        self.stripes[stripe(key)].lock().await
    }
}

fn condition(write: &Write) -> Condition {
    match write {
        Write::Put(_, _, options) => options.condition,
        Write::Delete(_, options) => options.condition,
    }
}

fn done(write: &Write, version: Version, existed: bool) -> Outcome {
    match write {
        Write::Put(..) => Outcome::Put(Written::Stored { version, replaced: existed }),
        Write::Delete(..) => Outcome::Delete(Deleted::Done { version, existed }),
    }
}

fn conflict(write: &Write, current: Option<Version>) -> Outcome {
    match write {
        Write::Put(..) => Outcome::Put(Written::Conflict { current }),
        Write::Delete(..) => Outcome::Delete(Deleted::Conflict { current }),
    }
}
