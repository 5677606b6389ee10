//! Requests, each within its time.
//!
//! What a write depends on is judged by the server (`If-Match`, `If-None-Match`) or, where only this process can write, by
//! whoever holds the lock of what is written.

use std::collections::VecDeque;
use std::fs::File;
use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::signer::{SignedUrlOptions, Signer};
use object_store::{
    Error as Source, GetOptions, GetRange, HeaderValue, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode,
    PutOptions, UpdateVersion,
};
use terrace_store::{Error, ErrorKind, Result};
use tokio::runtime::Handle;

use super::client::S3;
use super::config::{ObjectStoreConfig, Place};
use super::error::{has_no_bucket, late, translate};
use super::{NAME, folder};
use crate::remote::{InRuntime, runtime};

/// How long a signed request may take to arrive.
const SIGNED_FOR: Duration = Duration::from_secs(60);

pub(super) struct Link {
    runtime: Handle,
    objects: Arc<dyn ObjectStore>,
    timeout: Duration,
    judge: Judge,
    /// Whether the server was seen to keep what a removal is not to remove.
    judges_removals: AtomicBool,
}

/// Who judges what a write depends on.
enum Judge {
    Server(S3),
    /// Nobody else can reach these objects.
    Memory,
    /// Nobody else may, as long as the file is locked.
    Folder(PathBuf, Mutex<Option<File>>),
}

/// An object, or the beginning of one.
pub(super) struct Found {
    pub(super) bytes: Bytes,
    pub(super) tag: Tag,
}

/// What tells one state of an object from another.
#[derive(Clone, Debug)]
pub(super) struct Tag(Option<String>);

/// In the place of what a write puts an object.
pub(super) enum Over {
    /// Whatever is there.
    Anything,
    /// Nothing, or it is not written.
    Nothing,
    /// This very state, or it is not written.
    Tag(Tag),
}

/// What became of a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Removed {
    Done,
    /// It is in another state than the one that was to be removed.
    Changed,
    /// The server does not judge what a removal depends on.
    CannotJudge,
}

impl Link {
    /// Prepares the connections. Nothing is sent yet.
    pub(super) fn open(config: &ObjectStoreConfig) -> Result<Self> {
        let runtime = runtime(NAME)?;
        let (objects, judge): (Arc<dyn ObjectStore>, _) = match &config.place {
            Place::S3(bucket) => {
                let s3 = S3::open(bucket, config.timeout)?;
                (Arc::new(s3.client.clone()), Judge::Server(s3))
            }
            Place::File(path) => {
                let (folder, lock) = folder::open(path, config.durability)?;
                (Arc::new(folder), Judge::Folder(path.clone(), Mutex::new(Some(lock))))
            }
            Place::Memory => (Arc::new(InMemory::new()), Judge::Memory),
        };
        Ok(Self { runtime, objects, timeout: config.timeout, judge, judges_removals: AtomicBool::new(true) })
    }

    /// Whether others can write here.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self.judge, Judge::Server(_))
    }

    async fn within<T>(
        &self,
        operation: &'static str,
        writes: bool,
        call: impl Future<Output = Result<T, Source>>,
    ) -> Result<Result<T, Source>> {
        let limit = self.timeout;
        // What a folder has begun to write it goes on writing; until then its lock is held.
        if let (Judge::Folder(..), true) = (&self.judge, writes) {
            return Ok(InRuntime::new(&self.runtime, call).await);
        }
        let call = async move { tokio::time::timeout(limit, call).await };
        InRuntime::new(&self.runtime, call).await.map_err(|_| late(operation, writes, limit))
    }

    /// Does something to its end, whoever waits for it or not any more, if writes may not be left in the middle: those of
    /// a folder, which go on by themselves, and would overtake later ones.
    pub(super) async fn to_its_end<T: Send + 'static>(
        &self,
        operation: &'static str,
        requests: usize,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let Judge::Folder(..) = self.judge else { return work.await };
        let limit = self.timeout.saturating_mul(u32::try_from(requests).unwrap_or(u32::MAX));
        let work = self.runtime.spawn(work);
        let call = async move { tokio::time::timeout(limit, work).await };
        match InRuntime::new(&self.runtime, call).await {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => Err(Error::new(ErrorKind::Unknown, operation).with("store", NAME)),
            Err(_) => Err(late(operation, true, limit)),
        }
    }

    /// An object, or its first bytes; `None` if there is none.
    pub(super) async fn read(
        &self,
        operation: &'static str,
        path: &Path,
        first: Option<usize>,
    ) -> Result<Option<Found>> {
        let options =
            GetOptions { range: first.map(|n| GetRange::Bounded(0..n as u64)), ..GetOptions::new() };
        let call = async {
            let found = self.objects.get_opts(path, options).await?;
            let tag = Tag(found.meta.e_tag.clone());
            Ok(Found { bytes: found.bytes().await?, tag })
        };
        match self.within(operation, false, call).await? {
            Ok(found) => Ok(Some(found)),
            Err(source @ Source::NotFound { .. }) if !has_no_bucket(&source) => Ok(None),
            Err(source) => Err(translate(operation, false, source)),
        }
    }

    /// Puts an object in the place of what it depends on; `None` if that is not there, and nothing was written.
    pub(super) async fn write(
        &self,
        operation: &'static str,
        path: &Path,
        object: Bytes,
        over: Over,
    ) -> Result<Option<Tag>> {
        let depends = !matches!(over, Over::Anything);
        let mode = match (over, &self.judge) {
            (Over::Anything, _) | (_, Judge::Folder(..)) => PutMode::Overwrite,
            (Over::Nothing, _) => PutMode::Create,
            (Over::Tag(Tag(e_tag)), _) => PutMode::Update(UpdateVersion { e_tag, version: None }),
        };
        let call = self.objects.put_opts(path, object.into(), PutOptions::from(mode));
        match self.within(operation, true, call).await? {
            Ok(put) => Ok(Some(Tag(put.e_tag))),
            Err(Source::Precondition { .. } | Source::AlreadyExists { .. }) if depends => Ok(None),
            Err(source) => Err(translate(operation, true, source)),
        }
    }

    /// Removes an object if it is still in this state.
    pub(super) async fn remove(&self, operation: &'static str, path: &Path, tag: &Tag) -> Result<Removed> {
        let Judge::Server(s3) = &self.judge else {
            self.remove_anyway(operation, path).await?;
            return Ok(Removed::Done);
        };
        let value = tag.0.as_deref().and_then(|tag| HeaderValue::from_str(tag).ok());
        let (Some(value), true) = (value, self.judges_removals.load(Ordering::Relaxed)) else {
            return Ok(Removed::CannotJudge);
        };
        let call = async {
            let header = reqwest::header::IF_MATCH;
            let options = SignedUrlOptions::new().with_signed_header(header.clone(), value.clone());
            let method = reqwest::Method::DELETE;
            let url = s3.client.signed_url_opts(method, path, SIGNED_FOR, &options).await?;
            let answer = s3.http.delete(url).header(header, value).send().await;
            answer.map_err(|error| Source::Generic { store: NAME, source: Box::new(error.without_url()) })
        };
        let answer = match self.within(operation, true, call).await? {
            Ok(answer) => answer,
            Err(source) => return Err(translate(operation, true, source)),
        };
        match answer.status().as_u16() {
            200..=299 => Ok(Removed::Done),
            404 | 409 | 412 => Ok(Removed::Changed),
            400 | 501 => Ok(Removed::CannotJudge),
            401 | 403 => Err(Error::new(ErrorKind::Denied, operation)
                .with("store", NAME)
                .because("the access key may not delete objects of this bucket")),
            status => {
                Err(Error::new(ErrorKind::Unknown, operation).with("store", NAME).with("status", status))
            }
        }
    }

    /// Tries whether the server keeps an object that is in another state than this one. If it does not, or does not say
    /// that it does, nothing is removed that somebody could have written anew.
    pub(super) async fn try_removal(&self, operation: &'static str, path: &Path, old: &Tag) -> Result<()> {
        let answer = self.remove(operation, path, old).await;
        let judges =
            matches!(answer, Ok(Removed::Changed)) && self.read(operation, path, None).await?.is_some();
        self.judges_removals.store(judges, Ordering::Relaxed);
        Ok(())
    }

    /// Removes an object whose name is never used again, or not by anybody else.
    pub(super) async fn remove_anyway(&self, operation: &'static str, path: &Path) -> Result<()> {
        match self.within(operation, true, self.objects.delete(path)).await? {
            Ok(()) | Err(Source::NotFound { .. }) => Ok(()),
            Err(source) => Err(translate(operation, true, source)),
        }
    }

    /// Removes many such objects.
    pub(super) async fn remove_many(&self, operation: &'static str, paths: Vec<Path>) -> Result<()> {
        for some in paths.chunks(1000) {
            let owned = some.to_vec();
            let paths = futures_util::stream::iter(owned).map(Ok).boxed();
            let call = async {
                let mut removed = self.objects.delete_stream(paths);
                while let Some(removed) = removed.next().await {
                    match removed {
                        Ok(_) | Err(Source::NotFound { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(())
            };
            self.within(operation, true, call).await?.map_err(|source| translate(operation, true, source))?;
        }
        Ok(())
    }

    /// The objects in a folder behind a name, in the order of their names.
    pub(super) async fn list(
        &self,
        operation: &'static str,
        folder: &Path,
        behind: &Path,
    ) -> Result<Listing> {
        let mut listing = {
            let _here = self.runtime.enter();
            // It is asked again after its end.
            let stream = self.objects.list_with_offset(Some(folder), behind).fuse().boxed();
            Listing { operation, stream, sorted: VecDeque::new(), last: None, shared: self.is_shared() }
        };
        // A file system lists in no order.
        if let Judge::Folder(..) = self.judge {
            let mut all = Vec::new();
            while let Some(object) = listing.next(self).await? {
                all.push(object);
            }
            all.sort_unstable_by(|a, b| a.location.cmp(&b.location));
            listing.sorted = all.into();
        }
        Ok(listing)
    }

    /// The folders in a folder.
    pub(super) async fn folders(&self, operation: &'static str, folder: &Path) -> Result<Vec<Path>> {
        match self.within(operation, false, self.objects.list_with_delimiter(Some(folder))).await? {
            Ok(found) => Ok(found.common_prefixes),
            Err(source) => Err(translate(operation, false, source)),
        }
    }

    /// Makes durable what was written, where that is left to the operating system.
    pub(super) async fn flush(&self) -> Result<()> {
        let Judge::Folder(path, _) = &self.judge else { return Ok(()) };
        let path = path.clone();
        let synced = self.runtime.spawn_blocking(move || folder::sync(&path)).await;
        synced.unwrap_or_else(|_| Err(Error::new(ErrorKind::Closed, "flush").with("store", NAME)))
    }

    /// Waits before something is tried again.
    pub(super) async fn pause(&self, attempt: u32) {
        let wait = Duration::from_millis(u64::from(attempt.min(20)) * 5);
        InRuntime::new(&self.runtime, async move { tokio::time::sleep(wait).await }).await;
    }

    /// Lets others have what was locked.
    pub(super) fn close(&self) {
        if let Judge::Folder(_, lock) = &self.judge {
            lock.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }
}

/// A listing in the order of names.
pub(super) struct Listing {
    operation: &'static str,
    stream: BoxStream<'static, object_store::Result<ObjectMeta>>,
    sorted: VecDeque<ObjectMeta>,
    last: Option<Path>,
    shared: bool,
}

impl Listing {
    pub(super) async fn next(&mut self, link: &Link) -> Result<Option<ObjectMeta>> {
        if let Some(object) = self.sorted.pop_front() {
            return Ok(Some(object));
        }
        let stream = &mut self.stream;
        let call = async { stream.next().await.transpose() };
        let found = link.within(self.operation, false, call).await?;
        let found = found.map_err(|source| translate(self.operation, false, source))?;
        let Some(object) = found else { return Ok(None) };
        if self.shared {
            if self.last.as_ref().is_some_and(|last| *last >= object.location) {
                return Err(Error::new(ErrorKind::NotSupported, self.operation).with("store", NAME).because(
                    "the object store lists in another order than that of names (a directory bucket?); use one that \
                     lists in order",
                ));
            }
            self.last = Some(object.location.clone());
        }
        Ok(Some(object))
    }
}
