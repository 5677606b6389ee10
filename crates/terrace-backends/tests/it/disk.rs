//! The store over the log: the contract, and what a folder keeps through crashes and restarts.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use terrace_backends::disk::{DiskConfig, DiskStore};
use terrace_store::conformance::{self, Subject};
use terrace_store::fakes::FrozenClock;
use terrace_store::store::FLOOR_RETENTION;
use terrace_store::tokio_runtime::TokioSpawn;
use terrace_store::{
    BoxFuture, Durability, Entry, ErrorKind, Health, Key, Namespace, PutOptions, Result, Store, StoreExt,
    Version,
};

const START_MS: u64 = 1_700_000_000_000;

fn key(name: impl AsRef<[u8]>) -> Key {
    Key::new("test", name).unwrap()
}

fn namespace() -> Namespace {
    Namespace::new("test").unwrap()
}

fn open_with(config: DiskConfig, clock: &FrozenClock) -> Result<DiskStore> {
    DiskStore::open(config, Arc::new(clock.clone()), Arc::new(TokioSpawn::current().unwrap()))
}

fn open(folder: &Path) -> DiskStore {
    open_with(DiskConfig::new(folder), &FrozenClock::at_wall_ms(START_MS)).unwrap()
}

fn mortal(value: &'static str, expires_ms: u64) -> Entry {
    Entry { created_ms: START_MS, expires_ms: NonZeroU64::new(expires_ms), ..Entry::new(value) }
}

/// The folder as a crash would leave it: copied while the store is open, without the lock.
fn crashed(folder: &Path) -> TempDir {
    let to = TempDir::new().unwrap();
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.path().join(file.file_name())).unwrap();
    }
    to
}

async fn value(store: &dyn Store, name: &str) -> Option<bytes::Bytes> {
    store.get(&key(name)).await.unwrap().map(|entry| entry.value)
}

async fn usage(store: &DiskStore) -> (u64, u64) {
    let iterate = store.as_iterate().unwrap();
    (iterate.count(&namespace()).await.unwrap(), iterate.bytes(&namespace()).await.unwrap())
}

struct Disk {
    config: fn(PathBuf) -> DiskConfig,
    folders: Mutex<Vec<TempDir>>,
}

impl Disk {
    fn of(config: fn(PathBuf) -> DiskConfig) -> Self {
        Self { config, folders: Mutex::default() }
    }

    fn open_in(&self, path: PathBuf, clock: &FrozenClock) -> Result<Arc<dyn Store>> {
        Ok(Arc::new(open_with((self.config)(path), clock)?))
    }
}

impl Subject for Disk {
    fn open(&self, clock: FrozenClock) -> BoxFuture<'_, Result<Arc<dyn Store>>> {
        let folder = TempDir::new().unwrap();
        let path = folder.path().to_owned();
        // Only the folder opened last may be asked for again.
        *self.folders.lock().unwrap() = vec![folder];
        Box::pin(async move { self.open_in(path, &clock) })
    }

    fn reopen(&self, clock: FrozenClock) -> BoxFuture<'_, Result<Option<Arc<dyn Store>>>> {
        let path = self.folders.lock().unwrap().last().unwrap().path().to_owned();
        Box::pin(async move { self.open_in(path, &clock).map(Some) })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_contract_when_synced_at_intervals() {
    println!("{}", conformance::all(&Disk::of(DiskConfig::new)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_contract_when_every_write_is_synced() {
    let always = |path| DiskConfig { durability: Durability::Always, reads: "auto", ..DiskConfig::new(path) };
    println!("{}", conformance::all(&Disk::of(always)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_contract_when_writers_wait_for_each_other() {
    let group = |path| DiskConfig {
        durability: Durability::Group(Duration::ZERO),
        reads: "mapped",
        segment_bytes: Some(1 << 20),
        ..DiskConfig::new(path)
    };
    println!("{}", conformance::all(&Disk::of(group)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_contract_as_a_cache_that_has_room() {
    println!("{}", conformance::all(&Disk::of(|path| DiskConfig::cache(path, 4 << 30))).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_are_there_after_a_crash() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    for n in 0..200 {
        let _ = store.put_with(&key(format!("{n}")), format!("value {n}")).await.unwrap();
    }
    store.remove(&key("7")).await.unwrap();
    let deferred = PutOptions { deferred: true, ..PutOptions::default() };
    let _ = store.put(&key("8"), Entry::new("committed"), deferred).await.unwrap();
    store.commit().await.unwrap();
    let copy = crashed(folder.path());
    let again = open(copy.path());
    for n in (0..200).filter(|n| ![7, 8].contains(n)) {
        assert_eq!(value(&again, &n.to_string()).await.unwrap(), format!("value {n}"));
    }
    assert_eq!((value(&again, "7").await, value(&again, "8").await), (None, Some("committed".into())));
    assert_eq!(usage(&again).await, usage(&store).await);
    assert_eq!(again.health().await, Health::Up);
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_never_go_back_after_a_crash() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let Some(_) = store.put_with(&key("a"), "1").await.unwrap().version() else { panic!() };
    let copy = crashed(folder.path());
    // What comes now is lost in the copy, though its versions were handed out.
    let mut last = Version::ZERO;
    for _ in 0..100 {
        last = store.reserve().await.unwrap();
    }
    let again = open(copy.path());
    assert!(again.reserve().await.unwrap() > last);
    again.close().await.unwrap();
    let next = open(copy.path()).reserve().await.unwrap();
    assert!(next > last);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_close_and_a_crash_count_the_same() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    for n in 0..300 {
        let _ = store.put_with(&key(format!("{}", n % 100)), vec![b'v'; n]).await.unwrap();
    }
    for n in 0..20 {
        store.remove(&key(format!("{n}"))).await.unwrap();
    }
    let before = usage(&store).await;
    assert_eq!(before.0, 80);
    let copy = crashed(folder.path());
    assert_eq!(usage(&open(copy.path())).await, before);
    store.close().await.unwrap();
    let again = open(folder.path());
    assert_eq!(usage(&again).await, before);
    drop(again);
    assert_eq!(usage(&open(folder.path())).await, before, "dropping closes as well as it can");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_open_is_refused_in_words_and_a_close_lets_go() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let again = open_with(DiskConfig::new(folder.path()), &FrozenClock::at_wall_ms(START_MS));
    let Err(error) = again else { panic!("it was opened twice") };
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.to_string().contains("open already"), "{error}");
    store.close().await.unwrap();
    let _again = open(folder.path());
    assert_eq!(store.get(&key("a")).await.unwrap_err().kind(), ErrorKind::Closed);
    assert!(matches!(store.health().await, Health::Down(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_restart_lengthens_a_life_and_what_expired_meanwhile_is_swept() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let _ = store.put(&key("short"), mortal("v", START_MS + 1_000), PutOptions::default()).await.unwrap();
    let _ = store.put(&key("long"), mortal("v", START_MS + 9_000), PutOptions::default()).await.unwrap();
    let copy = crashed(folder.path());
    let clock = FrozenClock::at_wall_ms(START_MS + 1_000);
    let store = open_with(DiskConfig::new(copy.path()), &clock).unwrap();
    assert_eq!((value(&store, "short").await, value(&store, "long").await), (None, Some("v".into())));
    assert_eq!(usage(&store).await.0, 2, "counted until it is swept");
    assert_eq!(store.sweep(100).await.unwrap().expired, 1);
    assert_eq!(usage(&store).await.0, 1);
    clock.set_wall_ms(START_MS);
    assert_eq!(value(&store, "short").await, None, "a clock that goes back brings nothing back");
    let copy = crashed(copy.path());
    let store = open_with(DiskConfig::new(copy.path()), &clock).unwrap();
    assert_eq!(value(&store, "short").await, None, "nor does a restart at an earlier time");
    let _ = store.put(&key("new"), mortal("v", START_MS + 500), PutOptions::default()).await.unwrap();
    assert_eq!(
        value(&store, "new").await,
        Some("v".into()),
        "a clock that was ahead once costs no new entry"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn floors_outlive_a_restart_and_are_forgotten_when_their_time_is_over() {
    let folder = TempDir::new().unwrap();
    let clock = FrozenClock::at_wall_ms(START_MS);
    let store = open_with(DiskConfig::new(folder.path()), &clock).unwrap();
    let late = store.reserve().await.unwrap();
    store.remove(&key("a")).await.unwrap();
    store.as_batch().unwrap().clear(Some(&Namespace::new("other").unwrap())).await.unwrap();
    store.close().await.unwrap();

    let clock = FrozenClock::at_wall_ms(START_MS + 1_000);
    let store = open_with(DiskConfig::new(folder.path()), &clock).unwrap();
    let other = Key::new("other", "a").unwrap();
    for key in [&key("a"), &other] {
        let written = store.put_with(key, "late").newer(late).await.unwrap();
        assert_eq!(written.version(), None);
    }
    clock.set_wall_ms(START_MS * 2);
    let swept = store.sweep(100).await.unwrap();
    assert_eq!(swept.floors, 0, "a wall clock that jumps ahead forgets nothing");
    clock.advance(FLOOR_RETENTION);
    let swept = store.sweep(100).await.unwrap().floors;
    assert!(
        swept <= 1,
        "what a clear left goes with its segment; the other one may go by compaction, which wakes now"
    );
    assert_eq!(store.sweep(100).await.unwrap().floors, 0);
    assert!(store.put_with(&key("a"), "late").newer(late).await.unwrap().version().is_some());
}
