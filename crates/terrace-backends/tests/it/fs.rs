//! fs: the contract, and what a folder keeps through crashes, damage, a full disk and restarts.

use std::io::{BufRead, BufReader, Write};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use terrace_backends::fs::{FsConfig, FsStore};
use terrace_store::block_on::poll_once;
use terrace_store::capability::List;
use terrace_store::conformance::{self, Subject};
use terrace_store::fakes::FrozenClock;
use terrace_store::tokio_runtime::TokioSpawn;
use terrace_store::{
    BoxFuture, Compress, Condition, DeleteOptions, Durability, Entry, ErrorKind, Health, Key, Metadata,
    Namespace, PutOptions, Result, Store, StoreExt, Tags, Version, Written,
};

const START_MS: u64 = 1_700_000_000_000;

fn key(name: impl AsRef<[u8]>) -> Key {
    Key::new("test", name).unwrap()
}

fn open_with(config: FsConfig, clock: &FrozenClock) -> Result<FsStore> {
    FsStore::open(config, Arc::new(clock.clone()), Arc::new(TokioSpawn::current().unwrap()))
}

fn try_open(folder: &Path) -> Result<FsStore> {
    open_with(FsConfig::new(folder), &FrozenClock::at_wall_ms(START_MS))
}

fn open(folder: &Path) -> FsStore {
    try_open(folder).unwrap()
}

fn always(folder: &Path) -> FsStore {
    let config = FsConfig { durability: Durability::Always, ..FsConfig::new(folder) };
    open_with(config, &FrozenClock::at_wall_ms(START_MS)).unwrap()
}

async fn put(store: &FsStore, name: impl AsRef<[u8]>, value: impl Into<Vec<u8>>) -> Version {
    let written = store.put(&key(name), Entry::new(value.into()), PutOptions::default()).await.unwrap();
    written.version().expect("a put without a condition is done")
}

async fn text(store: &FsStore, name: impl AsRef<[u8]>) -> Option<String> {
    let entry = store.get(&key(name)).await.unwrap();
    entry.map(|entry| String::from_utf8(entry.value.to_vec()).unwrap())
}

/// The files under `objects`, sorted.
fn objects(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for fan_out in std::fs::read_dir(folder.join("objects")).unwrap() {
        let path = fan_out.unwrap().path();
        if path.is_dir() {
            files.extend(std::fs::read_dir(path).unwrap().map(|file| file.unwrap().path()));
        }
    }
    files.sort();
    files
}

/// The folder as a crash would leave it: copied while the store is open.
fn crashed(folder: &Path) -> TempDir {
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

fn degraded(health: Health, word: &str) {
    assert!(
        matches!(&health, Health::Degraded(why) if why.contains(word)),
        "{health:?} says nothing of {word}"
    );
}

/// The store in a folder of its own, opened anew for each rule.
struct Fs {
    durability: Durability,
    compress_from: Option<usize>,
    folder: Mutex<TempDir>,
}

impl Fs {
    fn new(durability: Durability, compress_from: Option<usize>) -> Self {
        Self { durability, compress_from, folder: Mutex::new(TempDir::new().unwrap()) }
    }

    fn config(&self) -> FsConfig {
        let path = self.folder.lock().unwrap().path().to_owned();
        FsConfig { path, durability: self.durability, compress_from: self.compress_from }
    }
}

impl Subject for Fs {
    fn open(&self, clock: FrozenClock) -> BoxFuture<'_, Result<Arc<dyn Store>>> {
        Box::pin(async move {
            *self.folder.lock().unwrap() = TempDir::new().unwrap();
            Ok(Arc::new(open_with(self.config(), &clock)?) as Arc<dyn Store>)
        })
    }

    fn reopen(&self, clock: FrozenClock) -> BoxFuture<'_, Result<Option<Arc<dyn Store>>>> {
        Box::pin(async move { Ok(Some(Arc::new(open_with(self.config(), &clock)?) as Arc<dyn Store>)) })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_the_contract_synced_within_an_interval() {
    let subject = Fs::new(Durability::Interval(Duration::from_millis(20)), Some(0));
    let report = conformance::all(&subject).await;
    println!("{report}");
    for suite in ["model", "reopen", "iterate", "batch", "floors"] {
        assert!(report.ran.contains(&suite), "{report}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_the_contract_never_synced() {
    let _ = conformance::all(&Fs::new(Durability::Never, None)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_the_contract_synced_at_each_write() {
    let subject = Fs::new(Durability::Always, None);
    conformance::basics::a_put_tells_whether_it_replaced_and_a_delete_whether_there_was_one(&subject).await;
    conformance::basics::deferred_writes_show_at_once_and_commit(&subject).await;
    conformance::basics::a_closed_store_refuses_everything(&subject).await;
    conformance::conditions::all(&subject).await;
    conformance::concurrency::all(&subject).await;
    conformance::expiry::no_restart_lengthens_a_life(&subject).await;
    conformance::floors::floors_outlive_a_restart(&subject).await;
    conformance::reopen::versions_go_on_above_those_before(&subject).await;
    conformance::model::outcomes_equal_those_of_a_plain_map(&subject, 77, 400).await;
}

#[tokio::test]
async fn a_current_thread_runtime_is_enough() {
    let subject = Fs::new(Durability::Group(Duration::from_millis(2)), None);
    conformance::concurrency::versions_are_unique_and_the_greatest_stays(&subject).await;
    conformance::limits::all(&subject).await;
}

#[tokio::test]
async fn a_folder_is_open_once_at_a_time() {
    let folder = TempDir::new().unwrap();
    let first = open(folder.path());
    let error = try_open(folder.path()).map(|_| ()).unwrap_err();
    assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Unavailable, false));
    assert!(error.to_string().contains("has this folder open"), "{error}");
    first.close().await.unwrap();
    let second = open(folder.path());
    put(&second, "a", "1").await;
    // Going away without a word is enough, too, whatever is still under way.
    drop(second);
    for _ in 0..50 {
        let store = always(folder.path());
        put(&store, "a", "1").await;
        drop(poll_once(store.put(&key("b"), Entry::new(vec![0; 200_000]), PutOptions::default())));
    }
    assert_eq!(text(&open(folder.path()), "a").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn no_byte_of_a_key_is_part_of_a_path() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    for name in ["../../../outside", "/etc/passwd", "a/b", "..", "C:\\x", "nul\0", "secret-word"] {
        put(&store, name, "v").await;
    }
    assert_eq!(store.health().await, Health::Up);
    store.close().await.unwrap();
    let files = objects(folder.path());
    assert_eq!(files.len(), 7);
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let digits = name.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        assert!(digits && name.len() == 82, "{name}");
    }
    assert_eq!(std::fs::read_dir(folder.path().join("tmp")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_newer_or_foreign_folder_is_refused_in_words_and_left_alone() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    put(&store, "a", "1").await;
    store.close().await.unwrap();
    let marker = folder.path().join("format");
    let ours = std::fs::read_to_string(&marker).unwrap();
    assert_eq!(ours, "terrace-fs 1\n");
    for (text, kind, word) in [
        ("terrace-fs 2\n", ErrorKind::NotSupported, "newer release"),
        ("something else\n", ErrorKind::Config, "something else"),
        ("", ErrorKind::Config, "something else"),
    ] {
        std::fs::write(&marker, text).unwrap();
        let error = try_open(folder.path()).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
    std::fs::remove_file(&marker).unwrap();
    let error = try_open(folder.path()).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    std::fs::write(&marker, ours).unwrap();
    assert_eq!(text(&open(folder.path()), "a").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn what_the_configuration_cannot_mean_is_refused() {
    let folder = TempDir::new().unwrap();
    for durability in [Durability::Process, Durability::Interval(Duration::ZERO)] {
        let config = FsConfig { durability, ..FsConfig::new(folder.path()) };
        let error = open_with(config, &FrozenClock::default()).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    }
    let clock = || Arc::new(FrozenClock::default());
    let spawn = || Arc::new(TokioSpawn::current().unwrap());
    let url = format!("fs:{}?durability=always&compress_from=100", folder.path().join("new").display());
    let store = terrace_backends::registry::open(&url, clock(), spawn()).unwrap();
    assert_eq!(store.capabilities().durability, Durability::Always);
    let url = format!("fs:{}?compres_from=100", folder.path().join("other").display());
    let error = terrace_backends::registry::open(&url, clock(), spawn()).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("compress_from"), "{error}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_says_so() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = try_open(&file.join("store")).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("file/store"), "{error}");
    let Some(mount) = Mount::new("ro,size=1m") else {
        println!("skipped: a read-only file system, because none can be mounted here");
        return;
    };
    let error = try_open(&mount.0.path().join("store")).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
}

#[tokio::test]
async fn foreign_files_are_ignored_and_told() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    put(&store, "a", "1").await;
    store.close().await.unwrap();
    let sound = objects(folder.path()).remove(0);
    let fan_out = sound.parent().unwrap();
    let other = if fan_out.ends_with("00") { "01" } else { "00" };
    // A sound file under a name that is not its own is a stranger, too.
    let wrong_version = sound.to_str().unwrap().replace("0001e", "0002e");
    let strangers = [
        folder.path().join("README"),
        folder.path().join("objects/lost+found"),
        fan_out.join("notes.txt"),
        folder.path().join("objects").join(other).join(sound.file_name().unwrap()),
        PathBuf::from(&wrong_version),
        fan_out.join(format!("{}-{}", "0".repeat(64), "f".repeat(16) + "e")),
    ];
    for stranger in &strangers {
        std::fs::copy(&sound, stranger).unwrap();
    }
    let store = open(folder.path());
    degraded(store.health().await, "foreign");
    assert_eq!(text(&store, "a").await.as_deref(), Some("1"));
    assert_eq!(store.as_iterate().unwrap().count(&Namespace::new("test").unwrap()).await.unwrap(), 1);
    put(&store, "a", "2").await;
    store.close().await.unwrap();
    for stranger in &strangers {
        assert!(stranger.exists(), "{} was touched", stranger.display());
        std::fs::remove_file(stranger).unwrap();
    }
    assert_eq!(text(&open(folder.path()), "a").await.as_deref(), Some("2"));
}

#[tokio::test]
async fn every_flipped_bit_is_corrupt_or_absent_and_harms_no_other_key() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    put(&store, "a", "a small value").await;
    store.flush().await.unwrap();
    let file = objects(folder.path()).remove(0);
    put(&store, "b", "another").await;
    let sound = std::fs::read(&file).unwrap();
    let mut opened = Some(store);
    for bit in 0..sound.len() * 8 {
        let mut damaged = sound.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&file, &damaged).unwrap();
        // Every bit in an open store, and one of each byte through a restart as well.
        if bit % 8 == bit / 8 % 8 {
            drop(opened.take());
            opened = Some(open(folder.path()));
        }
        let store = opened.as_ref().unwrap();
        assert_eq!(store.get(&key("a")).await.unwrap_err().kind(), ErrorKind::Corrupt, "bit {bit}");
        assert_eq!(text(store, "b").await.as_deref(), Some("another"));
        degraded(store.health().await, "damaged");
        let listed = store.list_all(&List::all(key("a").namespace())).await.unwrap();
        assert_eq!(listed.len(), 1, "bit {bit}");
    }
    drop(opened.take());
    std::fs::write(&file, &sound).unwrap();
    let store = open(folder.path());
    assert_eq!(text(&store, "a").await.as_deref(), Some("a small value"));
    assert_eq!(store.health().await, Health::Up);
}

#[tokio::test]
async fn a_truncated_file_is_corrupt_until_its_key_is_written_or_deleted() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let version = put(&store, "a", "a small value").await;
    store.close().await.unwrap();
    let file = objects(folder.path()).remove(0);
    let sound = std::fs::read(&file).unwrap();
    for (round, length) in (0..sound.len()).enumerate() {
        objects(folder.path()).iter().for_each(|file| std::fs::remove_file(file).unwrap());
        std::fs::write(&file, &sound[..length]).unwrap();
        let store = open(folder.path());
        degraded(store.health().await, "damaged");
        assert_eq!(store.get(&key("a")).await.unwrap_err().kind(), ErrorKind::Corrupt, "cut at {length}");
        let late = PutOptions { condition: Condition::Newer(version), ..PutOptions::default() };
        let late = store.put(&key("a"), Entry::new("late"), late).await.unwrap();
        assert_eq!(late.version(), None, "what is damaged is still a floor");
        if round % 2 == 0 {
            assert!(put(&store, "a", "healed").await > version);
            assert_eq!(text(&store, "a").await.as_deref(), Some("healed"));
        } else {
            let _ = store.remove(&key("a")).await.unwrap();
            assert_eq!(text(&store, "a").await, None);
        }
        assert_eq!(store.health().await, Health::Up);
        store.close().await.unwrap();
        assert_eq!(open(folder.path()).health().await, Health::Up);
        assert_eq!(objects(folder.path()).len(), 1);
    }
}

#[tokio::test]
async fn what_a_crash_left_half_written_is_cleared_away() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    put(&store, "a", "1").await;
    let crash = crashed(folder.path());
    for n in 0..3 {
        std::fs::write(crash.path().join("tmp").join(n.to_string()), "half a fi").unwrap();
    }
    let store = open(crash.path());
    assert_eq!(std::fs::read_dir(crash.path().join("tmp")).unwrap().count(), 0);
    assert_eq!(text(&store, "a").await.as_deref(), Some("1"));
    assert_eq!(store.health().await, Health::Up);
    put(&store, "a", "2").await;
    assert_eq!(text(&store, "a").await.as_deref(), Some("2"));
}

#[tokio::test]
async fn a_power_cut_leaves_the_old_value_or_the_new_one() {
    let folder = TempDir::new().unwrap();
    let clock = FrozenClock::at_wall_ms(START_MS);
    let config =
        FsConfig { durability: Durability::Interval(Duration::from_secs(1)), ..FsConfig::new(folder.path()) };
    let store = open_with(config, &clock).unwrap();
    for name in ["replaced", "deleted"] {
        put(&store, name, "old").await;
    }
    store.flush().await.unwrap();
    let old = objects(folder.path());
    assert_eq!(old.len(), 2);
    put(&store, "replaced", "between").await;
    let last = put(&store, "replaced", "new").await;
    let _ = store.remove(&key("deleted")).await.unwrap();
    let files = objects(folder.path());
    assert_eq!(files.len(), 4, "the old files stay until the new ones are durable: {files:?}");
    let news: Vec<&PathBuf> = files.iter().filter(|file| !old.contains(file)).collect();

    // The names survived, and the bytes, or only a part of them, or nothing.
    let whole = crashed(folder.path());
    let store = open(whole.path());
    assert_eq!(
        (text(&store, "replaced").await.as_deref(), text(&store, "deleted").await),
        (Some("new"), None)
    );
    assert_eq!(objects(whole.path()).len(), 2, "what is superfluous goes");
    let cuts =
        [0, 10, std::fs::metadata(news[0]).unwrap().len().min(std::fs::metadata(news[1]).unwrap().len()) - 1];
    for cut in cuts {
        let torn = crashed(folder.path());
        for new in &news {
            let file = torn.path().join(new.strip_prefix(folder.path()).unwrap());
            std::fs::OpenOptions::new().write(true).open(file).unwrap().set_len(cut).unwrap();
        }
        let store = open(torn.path());
        for name in ["replaced", "deleted"] {
            assert_eq!(text(&store, name).await.as_deref(), Some("old"), "cut at {cut}");
        }
        assert_eq!(store.health().await, Health::Up);
        assert!(store.reserve().await.unwrap() > last, "no version is given twice");
    }
}

#[tokio::test]
async fn an_interval_is_kept_without_further_calls() {
    let folder = TempDir::new().unwrap();
    let clock = FrozenClock::at_wall_ms(START_MS);
    let config = FsConfig {
        durability: Durability::Interval(Duration::from_millis(500)),
        ..FsConfig::new(folder.path())
    };
    let store = open_with(config, &clock).unwrap();
    for round in 0..3 {
        put(&store, "a", "old").await;
        store.flush().await.unwrap();
        put(&store, "a", "new").await;
        clock.advance_ms(499);
        tokio::task::yield_now().await;
        assert_eq!(objects(folder.path()).len(), 2, "round {round}: it was synced too early");
        clock.advance_ms(1);
        // The pass removes the old file once it has synced the new one.
        let mut waited = 0;
        while objects(folder.path()).len() > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            waited += 1;
            assert!(waited < 2_000, "round {round}: the interval passed, and nothing was synced");
        }
        // What a flush has synced before leaves a timer behind that has nothing to do.
        clock.advance_ms(500);
    }
    assert_eq!(clock.sleepers(), 0, "an idle store waits for nothing");
}

#[tokio::test]
async fn versions_never_come_twice_though_the_store_was_never_closed() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let mut last = Version::ZERO;
    for _ in 0..10 {
        last = store.reserve().await.unwrap();
    }
    let crash = crashed(folder.path());
    assert!(open(crash.path()).reserve().await.unwrap() > last);
    std::fs::remove_file(crash.path().join("sequence")).unwrap();
    put(&store, "a", "1").await;
    let crash = crashed(folder.path());
    std::fs::write(crash.path().join("sequence"), [7; 1024]).unwrap();
    let store = open(crash.path());
    degraded(store.health().await, "versions");
    assert!(store.reserve().await.unwrap() > last);
}

#[tokio::test]
async fn a_clear_holds_though_a_crash_kept_its_files_from_going() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    put(&store, "a", "before").await;
    let _ = store.remove(&key("b")).await.unwrap();
    let before = crashed(folder.path());
    assert_eq!(store.clear_namespace(&key("a").namespace()).await.unwrap(), 1);
    put(&store, "c", "after").await;
    assert_eq!(objects(folder.path()).len(), 1);
    let crash = crashed(folder.path());
    for file in objects(before.path()) {
        std::fs::copy(&file, crash.path().join(file.strip_prefix(before.path()).unwrap())).unwrap();
    }
    let store = open(crash.path());
    assert_eq!((text(&store, "a").await, text(&store, "c").await.as_deref()), (None, Some("after")));
    assert_eq!(objects(crash.path()).len(), 1, "they go at the next open");
    drop(store);
    let mut record = std::fs::read(crash.path().join("cleared")).unwrap();
    record[9] ^= 1;
    std::fs::write(crash.path().join("cleared"), record).unwrap();
    let error = try_open(crash.path()).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

#[tokio::test]
async fn a_dropped_write_is_done_whole_or_not_at_all() {
    let folder = TempDir::new().unwrap();
    let store = always(folder.path());
    let (a, b) = (key("a"), key("b"));
    drop(store.put(&a, Entry::new("never polled"), PutOptions::default()));
    assert_eq!(text(&store, "a").await, None);
    let polled = poll_once(store.put(&a, Entry::new("polled"), PutOptions::default()));
    assert!(polled.is_err(), "it waits for an fsync");
    drop(polled);
    assert_eq!(text(&store, "a").await.as_deref(), Some("polled"));
    drop(poll_once(store.put(&b, Entry::new(vec![b'x'; 1 << 20]), PutOptions::default())));
    drop(poll_once(store.delete(&a, DeleteOptions::default())));
    assert_eq!(text(&store, "a").await, None);
    store.close().await.unwrap();
    let store = open(folder.path());
    assert_eq!(text(&store, "a").await, None);
    let large = store.get(&b).await.unwrap().map(|entry| entry.value.len());
    assert!(large.is_none_or(|length| length == 1 << 20), "{large:?}");
}

#[tokio::test]
async fn values_are_compressed_as_configured_and_as_asked() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let value = vec![b'x'; 50_000];
    let mut sizes = Vec::new();
    for (n, compress) in [Compress::Default, Compress::Never, Compress::Always].into_iter().enumerate() {
        let options = PutOptions { compress, ..PutOptions::default() };
        let _ = store.put(&key([n as u8]), Entry::new(value.clone()), options).await.unwrap();
        let all: u64 = objects(folder.path()).iter().map(|file| std::fs::metadata(file).unwrap().len()).sum();
        sizes.push(all - sizes.iter().sum::<u64>());
        assert_eq!(store.get(&key([n as u8])).await.unwrap().unwrap().value, value);
    }
    assert!(sizes[0] < 5_000 && sizes[1] > 50_000 && sizes[2] < 5_000, "{sizes:?}");
}

#[tokio::test]
async fn a_put_returns_after_its_pass_and_a_deferred_one_waits_for_commit() {
    let folder = TempDir::new().unwrap();
    let store = always(folder.path());
    put(&store, "a", "1").await;
    put(&store, "a", "2").await;
    assert_eq!(objects(folder.path()).len(), 1, "the pass that synced the new file removed the old one");
    let deferred = PutOptions { deferred: true, ..PutOptions::default() };
    let _ = store.put(&key("a"), Entry::new("3"), deferred).await.unwrap();
    let _ = store.put(&key("a"), Entry::new("4"), deferred).await.unwrap();
    assert_eq!(objects(folder.path()).len(), 2, "the one that is durable, and the latest");
    store.commit().await.unwrap();
    assert_eq!(objects(folder.path()).len(), 1);
    assert_eq!(text(&store, "a").await.as_deref(), Some("4"));
}

#[tokio::test]
async fn after_a_failed_sync_the_store_writes_nothing_more_and_says_why() {
    let folder = TempDir::new().unwrap();
    let store = always(folder.path());
    put(&store, "sound", "1").await;
    let before = objects(folder.path());
    let deferred = PutOptions { deferred: true, ..PutOptions::default() };
    let _ = store.put(&key("a"), Entry::new("1"), deferred).await.unwrap();
    let file = objects(folder.path()).into_iter().find(|file| !before.contains(file)).unwrap();
    // What cannot be opened for a sync cannot be synced.
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    let error = store.commit().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    for _ in 0..2 {
        let error = store.put(&key("b"), Entry::new("1"), deferred).await.unwrap_err();
        assert!(error.to_string().contains("opened again"), "{error}");
        assert!(store.flush().await.is_err(), "a failed sync is not tried again");
    }
    assert!(matches!(store.health().await, Health::Down(_)));
    assert_eq!(text(&store, "sound").await.as_deref(), Some("1"), "what is there can be read");
    assert!(store.close().await.is_err());
    std::fs::remove_dir(&file).unwrap();
    let store = always(folder.path());
    put(&store, "b", "1").await;
    assert_eq!(store.health().await, Health::Up);
}

/// The folder that release 0.1 left; `cargo test -p terrace-backends -- --ignored write_the_fs_fixture` makes one
/// like it.
fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/fs-1")
}

fn fixture_entry() -> Entry {
    let map = [("leaf".to_owned(), "green".to_owned())].into();
    let metadata = Metadata { content_type: Some("text/plain".into()), map };
    Entry {
        created_ms: START_MS,
        expires_ms: NonZeroU64::new(START_MS + 86_400_000),
        tags: Tags::new(["drinks"]).unwrap(),
        metadata: Some(Arc::new(metadata)),
        ..Entry::new("tea ".repeat(1_000))
    }
}

#[tokio::test]
#[ignore = "writes the fixture of a new format; run once for each"]
async fn write_the_fs_fixture() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    put(&store, "cleared", "1").await;
    store.clear_namespace(&key("").namespace()).await.unwrap();
    let _ = store.put(&key("full"), fixture_entry(), PutOptions::default()).await.unwrap();
    put(&store, [0, 255], "").await;
    let _ = store.remove(&key("deleted")).await.unwrap();
    store.close().await.unwrap();
    let mut files = objects(folder.path());
    files.extend(["format", "sequence", "cleared"].map(|file| folder.path().join(file)));
    for file in files {
        let to = fixture().join(file.strip_prefix(folder.path()).unwrap());
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(file, to).unwrap();
    }
}

#[tokio::test]
async fn the_folder_of_release_0_1_stays_readable() {
    let folder = crashed(&fixture());
    let store = open(folder.path());
    assert_eq!(store.health().await, Health::Up);
    let full = store.get(&key("full")).await.unwrap().unwrap();
    let expected = Entry { version: full.version, ..fixture_entry() };
    assert_eq!(full, expected);
    assert_eq!(text(&store, [0, 255]).await.as_deref(), Some(""));
    assert_eq!(text(&store, "cleared").await, None);
    for (name, current) in [("deleted", None), ("cleared", None), ("full", Some(full.version))] {
        let options = PutOptions { condition: Condition::Newer(Version(1)), ..PutOptions::default() };
        let late = store.put(&key(name), Entry::new("late"), options).await.unwrap();
        assert_eq!(late, Written::Conflict { current });
    }
    assert!(store.reserve().await.unwrap().0 > 65_536, "the sequence goes on above what may have been given");
}

/// A small file system of its own, where the test may mount one.
struct Mount(TempDir);

impl Mount {
    fn new(options: &str) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder.path()).output();
        mount.is_ok_and(|output| output.status.success()).then(|| Self(folder))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}

#[tokio::test]
async fn a_full_disk_refuses_puts_loses_nothing_and_still_deletes() {
    let Some(mount) = Mount::new("size=2m") else {
        println!("skipped: no small file system can be mounted here");
        return;
    };
    let store = always(&mount.0.path().join("store"));
    let value = |n: u32| vec![n as u8; 5_000];
    let raw = PutOptions { compress: Compress::Never, ..PutOptions::default() };
    let mut stored = 0_u32;
    let error = loop {
        match store.put(&key(stored.to_be_bytes()), Entry::new(value(stored)), raw).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
    assert!(stored > 50, "{stored}");
    // Fill the last block too: now there is no room for the smallest file.
    while put_small(&store).await {}
    assert_eq!(
        store.put(&key(0_u32.to_be_bytes()), Entry::new(vec![1; 90_000]), raw).await.unwrap_err().kind(),
        ErrorKind::Full
    );
    for n in 0..stored {
        let entry = store.get(&key(n.to_be_bytes())).await.unwrap().unwrap();
        assert_eq!(entry.value, value(n), "{n}");
    }
    assert!(store.remove(&key(0_u32.to_be_bytes())).await.unwrap(), "a delete has room on a full disk");
    for n in 1..stored / 2 {
        assert!(store.remove(&key(n.to_be_bytes())).await.unwrap(), "{n}");
    }
    let _ = store.sweep(10).await.unwrap();
    assert_eq!(store.health().await, Health::Up, "there is room again");
    put(&store, "again", "there is room").await;
    store.close().await.unwrap();
    let store = always(&mount.0.path().join("store"));
    assert_eq!(text(&store, "again").await.as_deref(), Some("there is room"));
    for n in 0..stored {
        let found = store.get(&key(n.to_be_bytes())).await.unwrap().map(|entry| entry.value.to_vec());
        assert_eq!(found, (n >= stored / 2).then(|| value(n)), "{n}");
    }
    while put_small(&store).await {}
    let _ = store.clear_namespace(&key("").namespace()).await.unwrap();
    assert_eq!(text(&store, "again").await, None, "a clear has room on a full disk");
    put(&store, "again", "and again").await;
}

async fn put_small(store: &FsStore) -> bool {
    let name = store.reserve().await.unwrap().0.to_be_bytes();
    match store.put(&key([&b"small"[..], &name].concat()), Entry::new("s"), PutOptions::default()).await {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Full, "{error}");
            false
        }
    }
}

/// Not a test of its own: the process that [`nothing_acknowledged_is_lost_when_the_writer_is_killed`] kills.
#[tokio::test]
async fn writer_to_be_killed() {
    let Ok(folder) = std::env::var("TERRACE_TEST_WRITER") else { return };
    let config = FsConfig { durability: Durability::Never, ..FsConfig::new(&folder) };
    let store = open_with(config, &FrozenClock::at_wall_ms(START_MS)).unwrap();
    let mut out = std::io::stdout();
    for n in 0_u32.. {
        let name = [(n % 50) as u8];
        if n % 7 == 6 {
            let _ = store.remove(&key(name)).await.unwrap();
            writeln!(out, "\nack {} gone", name[0]).unwrap();
        } else {
            let value = n.to_be_bytes().repeat(1 + n as usize % 500);
            put(&store, name, value).await;
            writeln!(out, "\nack {} {n}", name[0]).unwrap();
        }
        out.flush().unwrap();
    }
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_writer_is_killed() {
    let folder = TempDir::new().unwrap();
    let mut greatest = Version::ZERO;
    for kill in 0..8_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "fs::writer_to_be_killed", "--nocapture", "--test-threads=1"])
            .env("TERRACE_TEST_WRITER", folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(|line| line.unwrap());
        let mut acknowledged = std::collections::BTreeMap::new();
        let mut take = |line: String| {
            let mut words = line.split(' ');
            if words.next() == Some("ack") {
                let name: u8 = words.next().unwrap().parse().unwrap();
                acknowledged.insert(name, words.next().unwrap().parse::<u32>().ok());
            }
        };
        (&mut lines).take(400 + 37 * kill as usize).for_each(&mut take);
        child.kill().unwrap();
        child.wait().unwrap();
        let complete: Vec<String> = lines.collect();
        // What was printed before the end was acknowledged, too, but for a line cut in the middle.
        complete.into_iter().filter(|line| line.split(' ').count() == 3).for_each(&mut take);
        let store = open(folder.path());
        assert_eq!(store.health().await, Health::Up);
        let next = store.reserve().await.unwrap();
        assert!(next > greatest);
        greatest = next;
        assert!(acknowledged.len() > 20, "the writer wrote too little");
        let mut differing = 0;
        for (name, last) in acknowledged {
            let entry = store.get(&key([name])).await.unwrap();
            greatest = greatest.max(entry.as_ref().map_or(Version::ZERO, |entry| entry.version));
            let found = entry.map(|entry| {
                let n = u32::from_be_bytes(entry.value[..4].try_into().unwrap());
                assert_eq!(entry.value, n.to_be_bytes().repeat(1 + n as usize % 500), "a value is whole");
                n
            });
            // One write may have been done without its acknowledgement having been read.
            differing += u32::from(found != last);
        }
        assert!(differing <= 1, "{differing} acknowledged writes are lost");
        store.close().await.unwrap();
    }
}
