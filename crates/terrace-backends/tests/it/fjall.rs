//! fjall: the contract, and what a folder keeps through crashes, damage and restarts.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::fjall::KeyspaceCreateOptions;
use tempfile::TempDir;
use terrace_backends::fjall::{FjallConfig, FjallStore};
use terrace_store::block_on::poll_once;
use terrace_store::capability::{List, Write};
use terrace_store::conformance::{self, Subject};
use terrace_store::fakes::FrozenClock;
use terrace_store::store::FLOOR_RETENTION;
use terrace_store::tokio_runtime::TokioSpawn;
use terrace_store::{
    BoxFuture, Condition, DeleteOptions, Durability, Entry, ErrorKind, Health, Key, Namespace, PutOptions,
    Result, Store, StoreExt, Version,
};

pub(super) const START_MS: u64 = 1_700_000_000_000;

pub(super) fn key(name: impl AsRef<[u8]>) -> Key {
    Key::new("test", name).unwrap()
}

pub(super) fn namespace() -> Namespace {
    Namespace::new("test").unwrap()
}

pub(super) fn open_with(config: FjallConfig, clock: &FrozenClock) -> Result<FjallStore> {
    FjallStore::open(config, Arc::new(clock.clone()), Arc::new(TokioSpawn::current().unwrap()))
}

pub(super) fn open(folder: &Path) -> FjallStore {
    open_with(FjallConfig::new(folder), &FrozenClock::at_wall_ms(START_MS)).unwrap()
}

fn mortal(value: &'static str, expires_ms: u64) -> Entry {
    Entry { created_ms: START_MS, expires_ms: NonZeroU64::new(expires_ms), ..Entry::new(value) }
}

/// The folder as a crash would leave it: copied while the store is open, without the lock.
pub(super) fn crashed(folder: &Path) -> TempDir {
    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for file in std::fs::read_dir(from).unwrap() {
            let file = file.unwrap();
            let to = to.join(file.file_name());
            if file.file_type().unwrap().is_dir() {
                copy(&file.path(), &to);
            } else {
                std::fs::copy(file.path(), to).unwrap();
            }
        }
    }
    let to = TempDir::new().unwrap();
    copy(folder, to.path());
    to
}

pub(super) async fn value(store: &dyn Store, name: &str) -> Option<bytes::Bytes> {
    store.get(&key(name)).await.unwrap().map(|entry| entry.value)
}

pub(super) async fn usage(store: &FjallStore) -> (u64, u64) {
    let iterate = store.as_iterate().unwrap();
    (iterate.count(&namespace()).await.unwrap(), iterate.bytes(&namespace()).await.unwrap())
}

struct Fjall {
    durability: Durability,
    folders: Mutex<Vec<TempDir>>,
}

impl Fjall {
    fn of(durability: Durability) -> Self {
        Self { durability, folders: Mutex::default() }
    }

    fn open_in(&self, path: PathBuf, clock: &FrozenClock) -> Result<Arc<dyn Store>> {
        let config = FjallConfig { durability: self.durability, ..FjallConfig::new(path) };
        Ok(Arc::new(open_with(config, clock)?))
    }
}

impl Subject for Fjall {
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
    let subject = Fjall::of(Durability::Interval(Duration::from_secs(1)));
    println!("{}", conformance::all(&subject).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_contract_when_every_write_is_synced() {
    println!("{}", conformance::all(&Fjall::of(Durability::Always)).await);
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
    let _ = store.put(&key("gone"), mortal("v", START_MS - 1), PutOptions::default()).await.unwrap();
    let before = usage(&store).await;
    assert_eq!(before.0, 81);
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
    let again = open_with(FjallConfig::new(folder.path()), &FrozenClock::at_wall_ms(START_MS));
    let Err(error) = again else { panic!("it was opened twice") };
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.to_string().contains("another store has this folder open"), "{error}");
    store.close().await.unwrap();
    let _again = open(folder.path());
    assert_eq!(store.get(&key("a")).await.unwrap_err().kind(), ErrorKind::Closed);
    assert!(matches!(store.health().await, Health::Down(_)));
}

/// Writes bytes under a row behind the store's back.
fn tamper(folder: &Path, keyspace: &str, row: &[u8], change: impl FnOnce(Option<Vec<u8>>) -> Vec<u8>) {
    let db = ::fjall::Database::builder(folder.join("fjall")).open().unwrap();
    let rows = db.keyspace(keyspace, KeyspaceCreateOptions::default).unwrap();
    let changed = change(rows.get(row).unwrap().map(|value| value.to_vec()));
    rows.insert(row, changed).unwrap();
    db.persist(::fjall::PersistMode::SyncAll).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_record_is_corrupt_for_its_key_and_harms_no_other() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    for name in ["a", "b", "c"] {
        let _ = store.put_with(&key(name), "value").await.unwrap();
    }
    store.close().await.unwrap();
    tamper(folder.path(), "entries", key("b").flat(), |value| {
        let mut value = value.unwrap();
        let middle = value.len() - 10;
        value[middle] ^= 4;
        value
    });
    let store = open(folder.path());
    let b = key("b");
    assert_eq!(store.get(&b).await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(store.exists(&b).await.unwrap_err().kind(), ErrorKind::Corrupt);
    let absent = PutOptions { condition: Condition::Absent, ..PutOptions::default() };
    assert_eq!(store.put(&b, Entry::new("v"), absent).await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(value(&store, "a").await.unwrap(), "value");
    let listed = store.list_all(&List::all(namespace())).await.unwrap();
    assert_eq!(listed.len(), 2, "the others are listed");
    let Health::Degraded(why) = store.health().await else { panic!("damage went unnoticed") };
    assert!(why.contains("damaged"), "{why}");
    let _ = store.put_with(&b, "repaired").await.unwrap();
    assert_eq!(value(&store, "b").await.unwrap(), "repaired");
    assert_eq!(usage(&store).await.0, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_record_at_all_are_corrupt() {
    let folder = TempDir::new().unwrap();
    open(folder.path()).close().await.unwrap();
    for (name, bytes) in
        [("empty", &b""[..]), ("text", b"hello"), ("magic", &[0x89, b'T', b'R', b'C', 1, 0xff])]
    {
        tamper(folder.path(), "entries", key(name).flat(), |_| bytes.to_vec());
    }
    tamper(folder.path(), "entries", b"\xff", |_| b"not even a key".to_vec());
    tamper(folder.path(), "expiry", b"x", |_| Vec::new());
    let store = open(folder.path());
    for name in ["empty", "text", "magic"] {
        assert_eq!(store.get(&key(name)).await.unwrap_err().kind(), ErrorKind::Corrupt, "{name}");
        store.remove(&key(name)).await.unwrap();
        assert_eq!(value(&store, name).await, None);
    }
    store.sweep(100).await.unwrap();
    assert!(store.list_all(&List::all(namespace())).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_a_newer_release_and_a_damaged_one_are_refused_in_words() {
    let folder = TempDir::new().unwrap();
    open(folder.path()).close().await.unwrap();
    tamper(folder.path(), "meta", b"format", |_| 2_u32.to_be_bytes().to_vec());
    let refused = |folder: &Path| {
        let opened = open_with(FjallConfig::new(folder), &FrozenClock::at_wall_ms(START_MS));
        opened.err().expect("it was opened")
    };
    let error = refused(folder.path());
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("newer release"), "{error}");
    tamper(folder.path(), "meta", b"format", |_| b"?".to_vec());
    assert_eq!(refused(folder.path()).kind(), ErrorKind::Corrupt);

    let file = folder.path().join("a file");
    std::fs::write(&file, "").unwrap();
    assert!(refused(&file).to_string().contains("a file"), "the path is named");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_budget_refuses_puts_and_takes_deletes() {
    let folder = TempDir::new().unwrap();
    let config = FjallConfig { capacity: Some(10_000), ..FjallConfig::new(folder.path()) };
    let store = open_with(config.clone(), &FrozenClock::at_wall_ms(START_MS)).unwrap();
    let mut written = 0;
    let error = loop {
        match store.put_with(&key(format!("{written}")), vec![0; 900]).await {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind(), written), (ErrorKind::Full, 10));
    assert!(
        matches!(store.put_with(&key("0"), vec![0; 2000]).await, Err(error) if error.kind() == ErrorKind::Full)
    );
    assert_eq!(value(&store, "0").await.unwrap().len(), 900, "what was there stays");
    let _ = store.put_with(&key("0"), vec![1; 900]).await.unwrap();
    for n in 1..3 {
        assert!(store.remove(&key(format!("{n}"))).await.unwrap());
    }
    let _ = store.put_with(&key("0"), vec![0; 2000]).await.unwrap();
    store.close().await.unwrap();
    let store = open_with(config, &FrozenClock::at_wall_ms(START_MS)).unwrap();
    let refused = store.put_with(&key("more"), vec![0; 2000]).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Full, "the budget is remembered");
    store.as_batch().unwrap().clear(None).await.unwrap();
    let _ = store.put_with(&key("more"), vec![0; 2000]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_restart_lengthens_a_life_and_what_expired_meanwhile_is_swept() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let _ = store.put(&key("short"), mortal("v", START_MS + 1_000), PutOptions::default()).await.unwrap();
    let _ = store.put(&key("long"), mortal("v", START_MS + 9_000), PutOptions::default()).await.unwrap();
    let copy = crashed(folder.path());
    let clock = FrozenClock::at_wall_ms(START_MS + 1_000);
    let store = open_with(FjallConfig::new(copy.path()), &clock).unwrap();
    assert_eq!((value(&store, "short").await, value(&store, "long").await), (None, Some("v".into())));
    assert_eq!(usage(&store).await.0, 2, "counted until it is swept");
    assert_eq!(store.sweep(100).await.unwrap().expired, 1);
    assert_eq!(usage(&store).await.0, 1);
    clock.set_wall_ms(START_MS);
    assert_eq!(value(&store, "short").await, None, "a clock that goes back brings nothing back");
}

#[tokio::test(flavor = "multi_thread")]
async fn floors_outlive_a_restart_and_are_forgotten_when_their_time_is_over() {
    let folder = TempDir::new().unwrap();
    let clock = FrozenClock::at_wall_ms(START_MS);
    let store = open_with(FjallConfig::new(folder.path()), &clock).unwrap();
    let late = store.reserve().await.unwrap();
    store.remove(&key("a")).await.unwrap();
    store.as_batch().unwrap().clear(Some(&Namespace::new("other").unwrap())).await.unwrap();
    store.close().await.unwrap();

    let clock = FrozenClock::at_wall_ms(START_MS + 1_000);
    let store = open_with(FjallConfig::new(folder.path()), &clock).unwrap();
    let other = Key::new("other", "a").unwrap();
    for key in [&key("a"), &other] {
        let written = store.put_with(key, "late").newer(late).await.unwrap();
        assert_eq!(written.version(), None);
    }
    clock.set_wall_ms(START_MS * 2);
    let swept = store.sweep(100).await.unwrap();
    assert_eq!(swept.floors, 0, "a wall clock that jumps ahead forgets nothing");
    clock.advance(FLOOR_RETENTION);
    assert_eq!(store.sweep(100).await.unwrap().floors, 2);
    assert_eq!(store.sweep(100).await.unwrap().floors, 0);
    assert!(store.put_with(&other, "late").newer(late).await.unwrap().version().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clear_that_was_cut_short_is_finished_at_the_next_open() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    for n in 0..10 {
        let _ = store.put_with(&key(format!("{n}")), "v").await.unwrap();
    }
    let floor = store.reserve().await.unwrap();
    let _ = store.put_with(&key("0"), "after").await.unwrap();
    store.flush().await.unwrap();
    let copy = crashed(folder.path());
    // As a crash leaves it right after the floor was written, before any row was removed.
    let mut row = b"floor".to_vec();
    row.extend_from_slice(namespace().flat_prefix());
    tamper(copy.path(), "meta", &row, |_| [floor.0.to_be_bytes(), u64::MAX.to_be_bytes()].concat());
    let again = open(copy.path());
    assert_eq!((value(&again, "0").await, value(&again, "1").await), (Some("after".into()), None));
    assert_eq!(usage(&again).await, (1, 6));
    again.close().await.unwrap();
    let db = ::fjall::Database::builder(copy.path().join("fjall")).open().unwrap();
    let entries = db.keyspace("entries", KeyspaceCreateOptions::default).unwrap();
    assert_eq!(entries.iter().count(), 1, "the buried rows are gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn deadlines_that_change_leave_no_rows_behind() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    for n in 0..50 {
        let _ = store.put(&key("a"), mortal("v", START_MS + n % 5), PutOptions::default()).await.unwrap();
        if n % 7 == 0 {
            store.remove(&key("a")).await.unwrap();
        }
    }
    let _ = store.put_with(&key("a"), "for ever").await.unwrap();
    store.close().await.unwrap();
    let db = ::fjall::Database::builder(folder.path().join("fjall")).open().unwrap();
    let expiry = db.keyspace("expiry", KeyspaceCreateOptions::default).unwrap();
    assert_eq!(expiry.iter().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn deferred_writes_complete_in_place_and_commit_makes_them_safe() {
    for durability in [Durability::Never, Durability::Always] {
        let folder = TempDir::new().unwrap();
        let config = FjallConfig { durability, ..FjallConfig::new(folder.path()) };
        let store = open_with(config, &FrozenClock::at_wall_ms(START_MS)).unwrap();
        let options = PutOptions { deferred: true, ..PutOptions::default() };
        assert!(matches!(poll_once(store.put(&key("a"), Entry::new("v"), options)), Ok(Ok(_))));
        let deferred = DeleteOptions { deferred: true, ..DeleteOptions::default() };
        assert!(matches!(poll_once(store.delete(&key("b"), deferred)), Ok(Ok(_))));
        assert!(matches!(poll_once(store.get(&key("a"))), Ok(Ok(Some(_)))));
        store.commit().await.unwrap();
        let copy = crashed(folder.path());
        assert_eq!(value(&open(copy.path()), "a").await.unwrap(), "v");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_too_long_for_a_row_are_listed_in_order_and_page_by_page() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let long = |end: &str| [&vec![b'k'; 65_400][..], end.as_bytes()].concat();
    let mut keys = vec![b"a".to_vec(), vec![b'k'; 100], b"z".to_vec(), vec![b'l'; 65_536]];
    keys.extend(["", "1", "2", "3", "33", "4"].map(long));
    for name in &keys {
        let _ = store.put_with(&key(name), "v").await.unwrap();
    }
    keys.sort();
    for limit in [1, 2, 3, 100, 1000] {
        let list = List { limit, ..List::all(namespace()) };
        let listed = store.list_all(&list).await.unwrap();
        let listed: Vec<&[u8]> = listed.iter().map(|(key, _)| key.bytes()).collect();
        assert!(listed == keys, "limit {limit}: {} of {}", listed.len(), keys.len());
    }
    let list = List { prefix: long("3").into(), ..List::all(namespace()) };
    assert_eq!(store.list_all(&list).await.unwrap().len(), 2);
    let list =
        List { from: Some(long("2").into()), before: Some(long("4").into()), ..List::all(namespace()) };
    assert_eq!(store.list_all(&list).await.unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_it_cannot_keep_are_refused() {
    let folder = TempDir::new().unwrap();
    for config in [
        FjallConfig { durability: Durability::Process, ..FjallConfig::new(folder.path()) },
        FjallConfig { durability: Durability::Interval(Duration::ZERO), ..FjallConfig::new(folder.path()) },
        FjallConfig { memtable_bytes: 5, ..FjallConfig::new(folder.path()) },
    ] {
        let error = open_with(config, &FrozenClock::at_wall_ms(0)).err().expect("it was opened");
        assert_eq!(error.kind(), ErrorKind::Config);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_finds_the_living_behind_many_dead() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let options = PutOptions { deferred: true, ..PutOptions::default() };
    for n in 0..9_000_u32 {
        let living = n % 2_999 == 0;
        let entry = if living { Entry::new("v") } else { mortal("v", START_MS) };
        let _ = store.put(&key(n.to_be_bytes()), entry, options).await.unwrap();
    }
    for limit in [1, 2, 1_000] {
        let list = List { limit, ..List::all(namespace()) };
        let listed = store.list_all(&list).await.unwrap();
        let found: Vec<&[u8]> = listed.iter().map(|(key, _)| key.bytes()).collect();
        assert_eq!(found, [0_u32, 2_999, 5_998, 8_997].map(u32::to_be_bytes), "limit {limit}");
    }
}

/// One write of some kind, as these random bits say.
async fn write_something(store: &FjallStore, bits: u32, round: u32) {
    let batch = store.as_batch().unwrap();
    let space = if bits >> 7 & 1 == 0 { "test" } else { "else" };
    let name = Key::new(space, [(bits >> 8) as u8 & 63]).unwrap();
    let expires_ms =
        NonZeroU64::new(START_MS + u64::from(bits >> 20 & 3) - 1).filter(|_| bits >> 27 & 1 == 0);
    let entry = Entry { expires_ms, ..Entry::new(vec![0; (bits >> 16 & 1023) as usize]) };
    let options = PutOptions { deferred: bits >> 26 & 1 == 0, ..PutOptions::default() };
    match bits >> 28 {
        0..=1 => {
            store.remove(&name).await.unwrap();
        }
        2 => {
            let condition = Condition::Newer(Version(u64::from(bits >> 12)));
            let _ = store.put(&name, entry, PutOptions { condition, ..options }).await;
        }
        3 => {
            store.sweep(5).await.unwrap();
        }
        4 if round.is_multiple_of(10) => {
            batch.clear(Some(&namespace())).await.unwrap();
        }
        5 if round.is_multiple_of(30) => {
            batch.clear(None).await.unwrap();
        }
        4..=7 => {
            let _ = batch
                .apply(vec![
                    Write::Put(name.clone(), entry.clone(), PutOptions::default()),
                    Write::Delete(key([(bits >> 9) as u8 & 63]), DeleteOptions::default()),
                    Write::Put(name, entry, options),
                ])
                .await;
        }
        _ => {
            let _ = store.put(&name, entry, options).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_and_rows_agree_after_threads_have_raced() {
    let folder = TempDir::new().unwrap();
    let config = FjallConfig { capacity: Some(60_000), ..FjallConfig::new(folder.path()) };
    let store = Arc::new(open_with(config, &FrozenClock::at_wall_ms(START_MS)).unwrap());
    let mut writers = Vec::new();
    for seed in 1..5_u32 {
        let store = Arc::clone(&store);
        writers.push(tokio::spawn(async move {
            let mut state = seed;
            for round in 0..1_500 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                write_something(&store, state, round).await;
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    store.commit().await.unwrap();
    let counted = usage(&store).await;
    assert!(counted.0 > 0, "the test tests nothing");
    let copy = crashed(folder.path());
    let again = open(copy.path());
    assert_eq!(usage(&again).await, counted, "what is counted on the way is what there is");
    assert_eq!(again.health().await, Health::Up);
    while store.sweep(1_000).await.unwrap().more {}
    let listed = store.list_all(&List::all(namespace())).await.unwrap();
    let bytes: usize = listed.iter().map(|(key, entry)| key.bytes().len() + entry.value.len()).sum();
    assert_eq!(usage(&store).await, (listed.len() as u64, bytes as u64));
    store.as_batch().unwrap().clear(None).await.unwrap();
    for n in 0..60 {
        let _ = store.put_with(&key([n]), vec![0; 900]).await.unwrap();
    }
}
