//! The cache in front of object storage: it answers as the store beneath does, and asks it as little as may be.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, integration,
};
use proptest::prelude::*;
use terrace::object_store::{Builder, CachedObjectStore};

use crate::s3_server::Server;

const PART: u64 = 4096;

/// Counts what the store beneath is asked.
#[derive(Debug)]
struct Counting {
    inner: Arc<dyn ObjectStore>,
    heads: AtomicUsize,
    reads: AtomicUsize,
    fails: AtomicBool,
}

impl Counting {
    fn over(inner: Arc<dyn ObjectStore>) -> Arc<Self> {
        Arc::new(Self { inner, heads: AtomicUsize::new(0), reads: AtomicUsize::new(0), fails: false.into() })
    }

    fn memory() -> Arc<Self> {
        Self::over(Arc::new(InMemory::new()))
    }

    /// How many heads, and how many bytes, were asked for since the last time.
    fn asked(&self) -> (usize, usize) {
        (self.heads.swap(0, Ordering::SeqCst), self.reads.swap(0, Ordering::SeqCst))
    }
}

impl fmt::Display for Counting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Counting {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let count = if options.head { &self.heads } else { &self.reads };
        count.fetch_add(1, Ordering::SeqCst);
        // Long enough for those who ask meanwhile to meet.
        tokio::time::sleep(Duration::from_millis(5)).await;
        if self.fails.load(Ordering::SeqCst) {
            return Err(Error::Generic { store: "Counting", source: "it fails".into() });
        }
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

fn builder(inner: &Arc<Counting>) -> Builder {
    let inner: Arc<dyn ObjectStore> = Arc::<Counting>::clone(inner);
    CachedObjectStore::builder(inner).part_size(PART).metadata_ttl(Duration::from_secs(3600))
}

async fn cached(inner: &Arc<Counting>) -> CachedObjectStore {
    builder(inner).build().await.unwrap()
}

/// Bytes in which no two parts are the same.
fn content(length: usize, salt: u8) -> Bytes {
    (0..length).map(|n| (n as u8) ^ ((n >> 8) as u8).wrapping_mul(31) ^ salt).collect()
}

async fn whole(store: &dyn ObjectStore, location: &Path) -> Bytes {
    store.get(location).await.unwrap().bytes().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_read_each_part_is_asked_for_once() {
    let inner = Counting::memory();
    let (store, at) = (cached(&inner).await, Path::from("a/b"));
    let all = content(10 * PART as usize + 7, 0);
    inner.put(&at, all.clone().into()).await.unwrap();
    let readers: Vec<_> = (0..32)
        .map(|_| {
            let (store, at) = (store.clone(), at.clone());
            tokio::spawn(async move { whole(&store, &at).await })
        })
        .collect();
    for reader in readers {
        assert_eq!(reader.await.unwrap(), all);
    }
    assert_eq!(inner.asked(), (1, 11));
    assert_eq!(store.get_range(&at, 5000..5001).await.unwrap(), all.slice(5000..5001));
    assert_eq!(store.head(&at).await.unwrap().size, all.len() as u64);
    assert_eq!(inner.asked(), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_parts_of_a_range_are_asked_for() {
    let inner = Counting::memory();
    let (store, at) = (cached(&inner).await, Path::from("a"));
    let all = content(100 * PART as usize, 0);
    inner.put(&at, all.clone().into()).await.unwrap();
    let ranges: [Range<u64>; 3] = [PART - 1..PART + 1, 50 * PART..51 * PART, 100 * PART - 1..100 * PART];
    let found = store.get_ranges(&at, &ranges).await.unwrap();
    let expected: Vec<_> = ranges.iter().map(|r| all.slice(r.start as usize..r.end as usize)).collect();
    assert_eq!(found, expected);
    assert_eq!(inner.asked(), (1, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_object_is_never_read_from_old_parts() {
    let inner = Counting::memory();
    let at = Path::from("a");
    // Every read asks first whether it has changed.
    let careful = builder(&inner).metadata_ttl(Duration::ZERO).build().await.unwrap();
    // It believes what it knows for an hour.
    let store = cached(&inner).await;
    for salt in 0..20 {
        let all = content(3 * PART as usize + usize::from(salt), salt);
        store.put(&at, all.clone().into()).await.unwrap();
        assert_eq!(whole(&store, &at).await, all);
        assert_eq!(whole(&careful, &at).await, all);
        assert_eq!(whole(&careful, &at).await, all);
    }
    // Somebody else writes while only the first part was read: what is read is one state of the object or the other.
    let old = content(3 * PART as usize, 50);
    store.put(&at, old.clone().into()).await.unwrap();
    assert_eq!(store.get_range(&at, 0..10).await.unwrap(), old.slice(..10));
    let new = content(3 * PART as usize, 51);
    inner.put(&at, new.clone().into()).await.unwrap();
    let other = 2 * PART..2 * PART + 10;
    assert_eq!(
        store.get_range(&at, other).await.unwrap(),
        new.slice(2 * PART as usize..2 * PART as usize + 10)
    );
    assert_eq!(whole(&store, &at).await, new);
    // A stream that has begun tells that it cannot go on.
    store.put(&at, content(40 * PART as usize, 60).into()).await.unwrap();
    let mut bytes = store.get(&at).await.unwrap().into_stream();
    assert_eq!(bytes.next().await.unwrap().unwrap(), content(40 * PART as usize, 60).slice(..PART as usize));
    inner.put(&at, new.clone().into()).await.unwrap();
    let mut ends = None;
    while let Some(part) = bytes.next().await {
        ends = part.err();
        if ends.is_some() {
            break;
        }
    }
    assert!(matches!(ends, Some(Error::Precondition { .. })), "{ends:?}");
    // And whoever begins anew reads what is there now.
    assert_eq!(whole(&store, &at).await, new);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_done_through_the_cache_is_seen_at_once() {
    let inner = Counting::memory();
    let (store, a, b) = (cached(&inner).await, Path::from("a"), Path::from("b"));
    let (one, two) = (content(5000, 1), content(9000, 2));
    assert!(matches!(store.get(&a).await, Err(Error::NotFound { .. })));
    store.put(&a, one.clone().into()).await.unwrap();
    assert_eq!(whole(&store, &a).await, one);
    store.put(&b, two.clone().into()).await.unwrap();
    assert_eq!(whole(&store, &b).await, two);
    store.copy(&a, &b).await.unwrap();
    assert_eq!(whole(&store, &b).await, one);
    store.rename(&b, &a).await.unwrap();
    assert!(matches!(store.head(&b).await, Err(Error::NotFound { .. })));
    let mut upload = store.put_multipart(&a).await.unwrap();
    assert_eq!(whole(&store, &a).await, one);
    upload.put_part(two.clone().into()).await.unwrap();
    upload.complete().await.unwrap();
    assert_eq!(whole(&store, &a).await, two);
    store.delete(&a).await.unwrap();
    assert!(matches!(store.get(&a).await, Err(Error::NotFound { .. })));
    // A deletion that nobody waits for to its end may have happened.
    store.put(&a, one.clone().into()).await.unwrap();
    assert_eq!(whole(&store, &a).await, one);
    drop(store.delete_stream(futures_util::stream::iter([Ok(a.clone())]).boxed()));
    assert_eq!(whole(&store, &a).await, one);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_told_to_all_who_wait_and_not_kept() {
    let inner = Counting::memory();
    let (store, at) = (cached(&inner).await, Path::from("a"));
    store.put(&at, content(10, 0).into()).await.unwrap();
    inner.fails.store(true, Ordering::SeqCst);
    let readers: Vec<_> = (0..8)
        .map(|_| {
            let (store, at) = (store.clone(), at.clone());
            tokio::spawn(async move { store.get(&at).await.map(drop) })
        })
        .collect();
    for reader in readers {
        let error = reader.await.unwrap().unwrap_err();
        assert!(error.to_string().contains("it fails"), "{error}");
    }
    assert_eq!(inner.asked(), (1, 0));
    inner.fails.store(false, Ordering::SeqCst);
    assert_eq!(whole(&store, &at).await, content(10, 0));
}

#[cfg(feature = "disk")]
#[tokio::test(flavor = "multi_thread")]
async fn parts_on_the_disk_outlive_the_process() {
    let (inner, folder) = (Counting::memory(), tempfile::tempdir().unwrap());
    let at = Path::from("a");
    let all = content(5 * PART as usize, 0);
    inner.put(&at, all.clone().into()).await.unwrap();
    for expected in [(1, 5), (1, 0)] {
        let store = builder(&inner).disk(folder.path(), 64 << 20).build().await.unwrap();
        assert_eq!(whole(&store, &at).await, all);
        assert_eq!(inner.asked(), expected);
        store.parts().close().await.unwrap();
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let inner = Counting::memory();
    for part_size in [0, 4095, 64 << 20] {
        let error = builder(&inner).part_size(part_size).build().await.unwrap_err();
        assert!(error.to_string().contains("a part has 4096"), "{error}");
    }
}

/// What the crate asks of every store.
async fn is_one_of_theirs(store: &dyn ObjectStore) {
    integration::put_get_delete_list(store).await;
    integration::get_opts(store).await;
    integration::list_uses_directories_correctly(store).await;
    integration::list_with_delimiter(store).await;
    integration::rename_and_copy(store).await;
    integration::put_opts(store, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_a_store_as_the_crate_means_it() {
    is_one_of_theirs(&cached(&Counting::memory()).await).await;
    let store = cached(&Counting::memory()).await;
    integration::stream_get(&store).await;
    integration::copy_if_not_exists(&store).await;
    integration::put_get_attributes(&store).await;
    integration::get_nonexistent_object(&store, None).await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn over_s3_it_asks_once_and_sees_what_others_change() {
    let Some(server) = Server::start() else { return };
    let bucket = server.bucket();
    let client = terrace::backends::object_store::client(&bucket, Duration::from_secs(30)).unwrap();
    let inner = Counting::over(client);
    let (store, at) = (cached(&inner).await, Path::from("folder/a"));
    let all = content(20 * PART as usize + 1, 0);
    store.put(&at, all.clone().into()).await.unwrap();
    let readers: Vec<_> = (0..8)
        .map(|_| {
            let (store, at) = (store.clone(), at.clone());
            tokio::spawn(async move { whole(&store, &at).await })
        })
        .collect();
    for reader in readers {
        assert_eq!(reader.await.unwrap(), all);
    }
    assert_eq!(inner.asked(), (1, 21));
    // Others change it: what was read already is the old state, what was not is read from the new.
    store.put(&at, content(9 * PART as usize, 1).into()).await.unwrap();
    assert_eq!(store.get_range(&at, 0..9).await.unwrap(), content(9, 1));
    let new = content(9 * PART as usize, 2);
    inner.put(&at, new.clone().into()).await.unwrap();
    assert_eq!(
        store.get_range(&at, PART..PART + 9).await.unwrap(),
        new.slice(PART as usize..PART as usize + 9)
    );
    assert_eq!(whole(&store, &at).await, new);
    store.delete(&at).await.unwrap();
    assert!(matches!(store.get(&at).await, Err(Error::NotFound { .. })));
}

fn ranges() -> impl Strategy<Value = Option<GetRange>> {
    let at = || 0..40_000_u64;
    prop_oneof![
        Just(None),
        (at(), at()).prop_map(|(start, end)| Some(GetRange::Bounded(start..end))),
        at().prop_map(|start| Some(GetRange::Offset(start))),
        at().prop_map(|length| Some(GetRange::Suffix(length))),
    ]
}

proptest! {
    #[test]
    fn any_range_is_answered_as_the_plain_store_does(
        length in 0..30_000_usize,
        ranges in proptest::collection::vec(ranges(), 1..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let plain: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
            let store = CachedObjectStore::builder(Arc::clone(&plain)).part_size(PART).build().await.unwrap();
            let at = Path::from("a");
            plain.put(&at, content(length, 3).into()).await.unwrap();
            for range in ranges {
                let options = GetOptions { range, ..GetOptions::new() };
                let expected = plain.get_opts(&at, options.clone()).await;
                let found = store.get_opts(&at, options).await;
                match (found, expected) {
                    (Ok(found), Ok(expected)) => {
                        prop_assert_eq!(&found.meta, &expected.meta);
                        prop_assert_eq!(&found.range, &expected.range);
                        prop_assert_eq!(found.bytes().await.unwrap(), expected.bytes().await.unwrap());
                    }
                    (Err(found), Err(expected)) => prop_assert_eq!(found.to_string(), expected.to_string()),
                    (found, expected) => prop_assert!(false, "{:?} {:?}", found.is_ok(), expected.is_ok()),
                }
            }
            Ok(())
        })?;
    }
}
