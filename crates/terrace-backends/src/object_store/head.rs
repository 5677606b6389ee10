//! The head of the store: one small object with the next version and with what was cleared, which every write takes its
//! version from.
//!
//! A version taken is above those of all writes completed before, and below those of all begun later, whoever writes, and
//! without any clock: the head is only ever replaced if it is still what was read. Those who want versions at the same
//! time take them together, in one request.
//!
//! A clear takes a version too, and lets what is written from then on lie in another folder. So everything before it is
//! gone at once, and a write that got its version before and arrives after it was before it.
//!
//! ```text
//! "TOh1", next version: u64, version of the last clear of all: u64, how many namespaces follow: u32,
//! each: length of its flat prefix: u16, the prefix, version of its last clear: u64;
//! XXH3 of all before: u64
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use object_store::path::Path;
use terrace_store::{Clock, Error, ErrorKind, Key, Namespace, Result, Version};
use tokio::sync::oneshot;
use xxhash_rust::xxh3::xxh3_64;

use super::NAME;
use super::header::corrupt;
use super::link::{Link, Over, Tag};

const MAGIC: &[u8; 4] = b"TOh1";
/// How often a version is asked for before it is given up: others write all the time.
const ATTEMPTS: u32 = 200;

/// What it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    next: u64,
    all: u64,
    spaces: BTreeMap<Vec<u8>, u64>,
}

impl Default for Head {
    fn default() -> Self {
        Self { next: 1, all: 0, spaces: BTreeMap::new() }
    }
}

impl Head {
    /// With which version a namespace was cleared last: the floor of its keys, and in which folder they are.
    pub(super) fn cleared(&self, flat_prefix: &[u8]) -> u64 {
        self.spaces.get(flat_prefix).copied().unwrap_or(0).max(self.all)
    }

    /// The same for the namespace of a key.
    pub(super) fn cleared_of(&self, key: &Key) -> u64 {
        self.cleared(key.namespace().flat_prefix())
    }

    /// The namespaces that were cleared by themselves.
    pub(super) fn cleared_spaces(&self) -> impl Iterator<Item = &[u8]> {
        self.spaces.keys().map(Vec::as_slice)
    }

    /// That of the last clear of all.
    pub(super) fn cleared_all(&self) -> u64 {
        self.all
    }

    fn clear(&mut self, namespace: Option<&Namespace>) {
        let version = self.next;
        self.next = version.saturating_add(1);
        match namespace {
            Some(namespace) => {
                self.spaces.insert(namespace.flat_prefix().to_vec(), version);
            }
            None => {
                self.all = version;
                self.spaces.clear();
            }
        }
    }

    fn to_object(&self) -> Bytes {
        let mut object = MAGIC.to_vec();
        object.extend(self.next.to_be_bytes());
        object.extend(self.all.to_be_bytes());
        object.extend((self.spaces.len() as u32).to_be_bytes());
        for (space, version) in &self.spaces {
            object.extend((space.len() as u16).to_be_bytes());
            object.extend(space);
            object.extend(version.to_be_bytes());
        }
        let sum = xxh3_64(&object);
        object.extend(sum.to_be_bytes());
        object.into()
    }

    fn parse(object: &[u8]) -> Result<Self> {
        Self::read(object).ok_or_else(|| corrupt("the head is damaged, or of another release"))
    }

    fn read(object: &[u8]) -> Option<Self> {
        let (body, sum) = object.split_last_chunk::<8>()?;
        if u64::from_be_bytes(*sum) != xxh3_64(body) {
            return None;
        }
        let mut rest = body.strip_prefix(MAGIC)?;
        let mut take = |n: usize| {
            let (taken, left) = rest.split_at_checked(n)?;
            rest = left;
            Some(taken)
        };
        let number = |bytes: &[u8]| bytes.iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
        let (next, all, count) = (number(take(8)?), number(take(8)?), number(take(4)?));
        let mut spaces = BTreeMap::new();
        for _ in 0..count {
            let length = number(take(2)?) as usize;
            let space = take(length)?.to_vec();
            spaces.insert(space, number(take(8)?));
        }
        Some(Self { next, all, spaces })
    }
}

/// The head as it was last seen.
#[derive(Clone)]
struct Seen {
    head: Arc<Head>,
    tag: Tag,
    /// By the monotonic clock, before it was asked for.
    at_ms: u64,
}

/// Someone who wants versions.
struct Wanted {
    count: u64,
    above: u64,
    tell: oneshot::Sender<Result<(Version, Arc<Head>)>>,
}

/// The head, and those who want versions of it.
pub(super) struct Heads {
    path: Path,
    clock: Arc<dyn Clock>,
    seen: Mutex<Option<Seen>>,
    wanted: Mutex<Vec<Wanted>>,
    turn: tokio::sync::Mutex<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Heads {
    pub(super) fn new(path: Path, clock: Arc<dyn Clock>) -> Self {
        let (seen, wanted, turn) = (Mutex::default(), Mutex::default(), tokio::sync::Mutex::default());
        Self { path, clock, seen, wanted, turn }
    }

    /// What was seen last; of two the one with the greater next version is the later.
    fn see(&self, head: Head, tag: Tag, at_ms: u64) -> Seen {
        let mut seen = lock(&self.seen);
        match &*seen {
            Some(before) if before.head.next > head.next => before.clone(),
            _ => seen.insert(Seen { head: Arc::new(head), tag, at_ms }).clone(),
        }
    }

    /// The head, asked for now.
    async fn ask(&self, link: &Link, operation: &'static str) -> Result<Option<Seen>> {
        let at_ms = self.clock.now_ms();
        let Some(found) = link.read(operation, &self.path, None).await? else { return Ok(None) };
        Ok(Some(self.see(Head::parse(&found.bytes)?, found.tag, at_ms)))
    }

    /// The head as it was at most so long ago, where others can change it.
    pub(super) async fn within(
        &self,
        link: &Link,
        operation: &'static str,
        age_ms: u64,
    ) -> Result<Arc<Head>> {
        let seen = lock(&self.seen).clone();
        let now = self.clock.now_ms();
        match seen {
            Some(seen) if !link.is_shared() || age_ms > 0 && now.saturating_sub(seen.at_ms) < age_ms => {
                Ok(seen.head)
            }
            _ => match self.ask(link, operation).await? {
                Some(seen) => Ok(seen.head),
                None => Err(vanished(operation)),
            },
        }
    }

    /// Makes the head if there is none.
    pub(super) async fn begin(&self, link: &Link) -> Result<()> {
        let operation = "open";
        if self.ask(link, operation).await?.is_some() {
            return Ok(());
        }
        let (head, at_ms) = (Head::default(), self.clock.now_ms());
        match link.write(operation, &self.path, head.to_object(), Over::Nothing).await? {
            Some(tag) => drop(self.see(head, tag, at_ms)),
            // Another process was faster.
            None if self.ask(link, operation).await?.is_some() => {}
            None => return Err(vanished(operation)),
        }
        Ok(())
    }

    /// Changes the head, as often as it takes until nobody else gets in between. To be called in turn.
    async fn change(
        &self,
        link: &Link,
        operation: &'static str,
        how: impl Fn(&mut Head) -> bool,
    ) -> Result<(Arc<Head>, Arc<Head>)> {
        let mut known = lock(&self.seen).clone();
        for attempt in 0..ATTEMPTS {
            let before = match known.take() {
                Some(seen) => seen,
                None => self.ask(link, operation).await?.ok_or_else(|| vanished(operation))?,
            };
            let mut head = (*before.head).clone();
            if !how(&mut head) {
                // Nothing to change; but what was seen some time ago says nothing of now.
                let fresh = self.ask(link, operation).await?.ok_or_else(|| vanished(operation))?;
                let mut again = (*fresh.head).clone();
                if !how(&mut again) {
                    return Ok((Arc::clone(&fresh.head), fresh.head));
                }
                known = Some(fresh);
                continue;
            }
            let at_ms = self.clock.now_ms();
            match link.write(operation, &self.path, head.to_object(), Over::Tag(before.tag)).await {
                Ok(Some(tag)) => return Ok((before.head, self.see(head, tag, at_ms).head)),
                Ok(None) => link.pause(attempt).await,
                Err(error) => {
                    lock(&self.seen).take();
                    return Err(error);
                }
            }
        }
        Err(Error::new(ErrorKind::Busy, operation).with("store", NAME).because("others write all the time"))
    }

    /// So many versions above that of all writes completed before, and above the given one; the first of them, and the
    /// head that they were taken from or a later one.
    pub(super) async fn take(
        &self,
        link: &Link,
        operation: &'static str,
        count: u64,
        above: u64,
    ) -> Result<(Version, Arc<Head>)> {
        loop {
            let (tell, mut told) = oneshot::channel();
            lock(&self.wanted).push(Wanted { count, above, tell });
            let _turn = self.turn.lock().await;
            match told.try_recv() {
                Ok(taken) => return taken,
                Err(oneshot::error::TryRecvError::Empty) => self.take_together(link, operation).await,
                // Whoever had it in hand was dropped.
                Err(oneshot::error::TryRecvError::Closed) => continue,
            }
            if let Ok(taken) = told.try_recv() {
                return taken;
            }
        }
    }

    /// Takes versions for all who want some.
    async fn take_together(&self, link: &Link, operation: &'static str) {
        let wanted = std::mem::take(&mut *lock(&self.wanted));
        let count: u64 = wanted.iter().map(|wanted| wanted.count).sum();
        let above = wanted.iter().map(|wanted| wanted.above).max().unwrap_or(0);
        let raise = |head: &mut Head| {
            let next = head.next.max(above.saturating_add(1)).saturating_add(count);
            std::mem::replace(&mut head.next, next) != next
        };
        match self.change(link, operation, raise).await {
            Ok((before, head)) => {
                let mut version = before.next.max(above.saturating_add(1));
                for wanted in wanted {
                    let _ = wanted.tell.send(Ok((Version(version), Arc::clone(&head))));
                    version = version.saturating_add(wanted.count);
                }
            }
            // Versions that nobody got are none the worse for it: nothing of what was to be done with them was.
            Err(error) => {
                let late = error.kind() == ErrorKind::Unknown;
                let kind = if late { ErrorKind::Timeout } else { error.kind() };
                let error = Error::new(kind, operation).with("store", NAME).caused_by(error);
                wanted.into_iter().for_each(|wanted| drop(wanted.tell.send(Err(error.clone()))));
            }
        }
    }

    /// Lets a namespace, or all, be cleared, and returns the head before and after.
    pub(super) async fn clear(
        &self,
        link: &Link,
        namespace: Option<&Namespace>,
    ) -> Result<(Arc<Head>, Arc<Head>)> {
        let _turn = self.turn.lock().await;
        let clear = |head: &mut Head| {
            head.clear(namespace);
            true
        };
        self.change(link, "clear", clear).await
    }
}

fn vanished(operation: &'static str) -> Error {
    Error::new(ErrorKind::Corrupt, operation)
        .with("store", NAME)
        .because("the head is not there any more: something else removed what lies under the prefix")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_says_what_was_written_and_damage_is_noticed() {
        let mut head = Head::default();
        let (one, two) = (Namespace::new("one").unwrap(), Namespace::new("two").unwrap());
        head.clear(Some(&one));
        head.clear(None);
        head.clear(Some(&two));
        assert_eq!((head.cleared(one.flat_prefix()), head.cleared(two.flat_prefix())), (2, 3));
        let object = head.to_object();
        assert_eq!(Head::parse(&object).unwrap(), head);
        for at in 0..object.len() {
            let mut damaged = object.to_vec();
            damaged[at] ^= 1;
            assert_eq!(Head::parse(&damaged).unwrap_err().kind(), ErrorKind::Corrupt);
            assert!(Head::parse(&object[..at]).is_err());
        }
    }
}
