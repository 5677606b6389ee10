//! What every store over an ordered engine does, each over its real engine: the contract, crashes, kills, restarts,
//! folders of others, and damage.

use std::io::{BufRead, BufReader, Write as _};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use terrace_backends::registry;
use terrace_store::block_on::poll_once;
use terrace_store::capability::{List, Write};
use terrace_store::conformance::{self, Subject};
use terrace_store::fakes::FrozenClock;
use terrace_store::store::FLOOR_RETENTION;
use terrace_store::tokio_runtime::TokioSpawn;
use terrace_store::{
    BoxFuture, Condition, DeleteOptions, Entry, ErrorKind, Health, Key, Namespace, PutOptions, Result, Store,
    StoreExt, Version,
};

const START_MS: u64 = 1_700_000_000_000;

/// Each engine, what it keeps in the folder, and how it is set up: as it is unless a test says otherwise, and otherwise.
/// A group would wait for a clock that stands still.
const ENGINES: &[(&str, &str, &[&str])] = &[
    #[cfg(feature = "fjall")]
    ("fjall", "fjall", &["", "durability=always"]),
    #[cfg(feature = "redb")]
    ("redb", "terrace.redb", &["durability=always", "durability=always&cache_bytes=100000&check=true"]),
    #[cfg(feature = "sled")]
    ("sled", "sled", &["", "flush_every_ms=0"]),
    #[cfg(feature = "sqlite")]
    ("sqlite", "terrace.sqlite", &["", "durability=always&checkpoint_pages=7&readers=1"]),
];

fn key(name: impl AsRef<[u8]>) -> Key {
    Key::new("test", name).unwrap()
}

fn namespace() -> Namespace {
    Namespace::new("test").unwrap()
}

fn url(engine: &str, folder: &Path, options: &str) -> String {
    let (_, _, usual) = ENGINES.iter().find(|(name, ..)| *name == engine).unwrap();
    let usual = if options.contains("durability") { "" } else { usual[0] };
    format!("{engine}:{}?{usual}&{options}", folder.display())
}

fn open_at(engine: &str, folder: &Path, options: &str, clock: &FrozenClock) -> Result<Arc<dyn Store>> {
    registry::open(&url(engine, folder, options), Arc::new(clock.clone()), Arc::new(TokioSpawn::current()?))
}

fn open(engine: &str, folder: &Path) -> Arc<dyn Store> {
    open_at(engine, folder, "", &FrozenClock::at_wall_ms(START_MS)).unwrap()
}

fn refused(engine: &str, folder: &Path, options: &str) -> terrace_store::Error {
    let opened = open_at(engine, folder, options, &FrozenClock::at_wall_ms(START_MS));
    opened.err().unwrap_or_else(|| panic!("{engine}: it was opened"))
}

fn mortal(value: &'static str, expires_ms: u64) -> Entry {
    Entry { created_ms: START_MS, expires_ms: NonZeroU64::new(expires_ms), ..Entry::new(value) }
}

/// The folder as a killed process would leave it: copied while the store is open, without the lock.
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

async fn value(store: &dyn Store, name: &str) -> Option<bytes::Bytes> {
    store.get(&key(name)).await.unwrap().map(|entry| entry.value)
}

async fn usage(store: &dyn Store) -> (u64, u64) {
    let iterate = store.as_iterate().unwrap();
    (iterate.count(&namespace()).await.unwrap(), iterate.bytes(&namespace()).await.unwrap())
}

struct Over {
    engine: &'static str,
    options: &'static str,
    folders: Mutex<Vec<TempDir>>,
}

impl Subject for Over {
    fn open(&self, clock: FrozenClock) -> BoxFuture<'_, Result<Arc<dyn Store>>> {
        let folder = TempDir::new().unwrap();
        let path = folder.path().to_owned();
        // Only the folder opened last may be asked for again.
        *self.folders.lock().unwrap() = vec![folder];
        Box::pin(async move { open_at(self.engine, &path, self.options, &clock) })
    }

    fn reopen(&self, clock: FrozenClock) -> BoxFuture<'_, Result<Option<Arc<dyn Store>>>> {
        let path = self.folders.lock().unwrap().last().unwrap().path().to_owned();
        Box::pin(async move { open_at(self.engine, &path, self.options, &clock).map(Some) })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_keeps_the_contract_as_it_is_set_up_by_default() {
    for &(engine, _, options) in ENGINES {
        let subject = Over { engine, options: options[0], folders: Mutex::default() };
        println!("{}", conformance::all(&subject).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_keeps_the_contract_as_it_can_be_set_up_otherwise() {
    for &(engine, _, options) in ENGINES {
        for options in &options[1..] {
            let subject = Over { engine, options, folders: Mutex::default() };
            println!("{}", conformance::all(&subject).await);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_are_there_after_a_crash() {
    for (engine, ..) in ENGINES {
        let folder = TempDir::new().unwrap();
        let store = open(engine, folder.path());
        for n in 0..60 {
            let _ = store.put_with(&key(format!("{n}")), format!("value {n}")).await.unwrap();
        }
        store.remove(&key("7")).await.unwrap();
        let deferred = PutOptions { deferred: true, ..PutOptions::default() };
        let _ = store.put(&key("8"), Entry::new("committed"), deferred).await.unwrap();
        store.commit().await.unwrap();
        let copy = crashed(folder.path());
        let again = open(engine, copy.path());
        for n in (0..60).filter(|n| ![7, 8].contains(n)) {
            assert_eq!(value(&*again, &n.to_string()).await.unwrap(), format!("value {n}"), "{engine}");
        }
        let found = (value(&*again, "7").await, value(&*again, "8").await);
        assert_eq!(found, (None, Some("committed".into())), "{engine}");
        assert_eq!(usage(&*again).await, usage(&*store).await, "{engine}");
        assert_eq!(again.health().await, Health::Up, "{engine}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_never_go_back_after_a_crash() {
    for (engine, ..) in ENGINES {
        let folder = TempDir::new().unwrap();
        let store = open(engine, folder.path());
        let _ = store.put_with(&key("a"), "1").await.unwrap();
        let copy = crashed(folder.path());
        // What comes now is lost in the copy, though its versions were handed out.
        let mut last = Version::ZERO;
        for _ in 0..100 {
            last = store.reserve().await.unwrap();
        }
        let again = open(engine, copy.path());
        assert!(again.reserve().await.unwrap() > last, "{engine}");
        again.close().await.unwrap();
        drop(again);
        assert!(open(engine, copy.path()).reserve().await.unwrap() > last, "{engine}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_close_and_a_crash_count_the_same() {
    for (engine, ..) in ENGINES {
        let folder = TempDir::new().unwrap();
        let store = open(engine, folder.path());
        let deferred = PutOptions { deferred: true, ..PutOptions::default() };
        for n in 0..300_usize {
            let _ =
                store.put(&key(format!("{}", n % 100)), Entry::new(vec![b'v'; n]), deferred).await.unwrap();
        }
        for n in 0..20 {
            store.remove(&key(format!("{n}"))).await.unwrap();
        }
        let _ = store.put(&key("gone"), mortal("v", START_MS - 1), PutOptions::default()).await.unwrap();
        let before = usage(&*store).await;
        assert_eq!(before.0, 81, "{engine}");
        let copy = crashed(folder.path());
        assert_eq!(usage(&*open(engine, copy.path())).await, before, "{engine}");
        store.close().await.unwrap();
        drop(store);
        let again = open(engine, folder.path());
        assert_eq!((usage(&*again).await, again.health().await), (before, Health::Up), "{engine}");
        drop(again);
        let again = open(engine, folder.path());
        assert_eq!(usage(&*again).await, before, "{engine}: dropping closes as well as it can");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_open_is_refused_in_words_and_a_close_lets_go() {
    for (engine, ..) in ENGINES {
        let folder = TempDir::new().unwrap();
        let store = open(engine, folder.path());
        let error = refused(engine, folder.path(), "");
        assert_eq!(error.kind(), ErrorKind::Busy, "{engine}");
        assert!(error.to_string().contains("another store has this folder open"), "{error}");
        // Views hold what they need, but nobody up.
        let snapshots = store.as_snapshot();
        let view =
            if let Some(snapshots) = snapshots { Some(snapshots.snapshot().await.unwrap()) } else { None };
        store.close().await.unwrap();
        let _again = open(engine, folder.path());
        assert_eq!(store.get(&key("a")).await.unwrap_err().kind(), ErrorKind::Closed, "{engine}");
        assert!(matches!(store.health().await, Health::Down(_)), "{engine}");
        if let Some(view) = view {
            assert_eq!(view.get(&key("a")).await.unwrap_err().kind(), ErrorKind::Closed, "{engine}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_folder_of_another_engine_and_one_that_cannot_be_are_refused_in_words() {
    for (engine, file, _) in ENGINES {
        let folder = TempDir::new().unwrap();
        open(engine, folder.path()).close().await.unwrap();
        assert!(folder.path().join(file).exists(), "{engine}");
        for (other, ..) in ENGINES.iter().filter(|(other, ..)| other != engine) {
            let error = refused(other, folder.path(), "");
            assert_eq!(error.kind(), ErrorKind::Config, "{other}: {error}");
            assert!(error.to_string().contains(&format!("`{engine}:`")), "{error}");
        }
        let no_folder = folder.path().join("a file");
        std::fs::write(&no_folder, "").unwrap();
        let error = refused(engine, &no_folder, "");
        assert!(error.to_string().contains("a file"), "the path is named: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_engine_cannot_promise_is_refused_with_its_ceiling() {
    for (engine, options, words) in [
        #[cfg(feature = "redb")]
        ("redb", "durability=never", &["group", "always"][..]),
        #[cfg(feature = "redb")]
        ("redb", "durability=interval&interval_ms=5", &["outlives a killed process"]),
        #[cfg(feature = "redb")]
        ("redb", "check=perhaps", &["true or false"]),
        #[cfg(feature = "sled")]
        ("sled", "durability=always", &["ceiling", "`never`", "power cut"]),
        #[cfg(feature = "sled")]
        ("sled", "durability=interval", &["ceiling"]),
        #[cfg(feature = "sled")]
        ("sled", "cache_bytes=5", &["1 MiB"]),
        #[cfg(feature = "sqlite")]
        ("sqlite", "readers=0", &["at least 1"]),
        #[cfg(feature = "sqlite")]
        ("sqlite", "checkpoint_pages=0", &["at least 1"]),
    ] {
        let folder = TempDir::new().unwrap();
        let error = refused(engine, folder.path(), options);
        assert_eq!(error.kind(), ErrorKind::Config, "{engine}?{options}: {error}");
        for word in words {
            assert!(error.to_string().contains(word), "{engine}?{options}: {error}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was made");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_budget_refuses_puts_and_takes_deletes() {
    for (engine, ..) in ENGINES {
        let folder = TempDir::new().unwrap();
        let limited = || open_at(engine, folder.path(), "capacity=10000", &FrozenClock::at_wall_ms(START_MS));
        let store = limited().unwrap();
        let mut written = 0;
        let error = loop {
            match store.put_with(&key(format!("{written}")), vec![0; 900]).await {
                Ok(_) => written += 1,
                Err(error) => break error,
            }
        };
        assert_eq!((error.kind(), written), (ErrorKind::Full, 10), "{engine}");
        assert!(!error.is_disk_full(), "{engine}");
        assert_eq!(value(&*store, "0").await.unwrap().len(), 900, "{engine}: what was there stays");
        for n in 1..3 {
            assert!(store.remove(&key(format!("{n}"))).await.unwrap(), "{engine}");
        }
        let _ = store.put_with(&key("0"), vec![0; 2000]).await.unwrap();
        store.close().await.unwrap();
        drop(store);
        let store = limited().unwrap();
        let error = store.put_with(&key("more"), vec![0; 2000]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Full, "{engine}: the budget is remembered");
        store.as_batch().unwrap().clear(None).await.unwrap();
        let _ = store.put_with(&key("more"), vec![0; 2000]).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_restart_lengthens_a_life_and_what_expired_meanwhile_is_swept() {
    for (engine, ..) in ENGINES {
        let folder = TempDir::new().unwrap();
        let store = open(engine, folder.path());
        let _ = store.put(&key("short"), mortal("v", START_MS + 1_000), PutOptions::default()).await.unwrap();
        let _ = store.put(&key("long"), mortal("v", START_MS + 9_000), PutOptions::default()).await.unwrap();
        let copy = crashed(folder.path());
        let clock = FrozenClock::at_wall_ms(START_MS + 1_000);
        let store = open_at(engine, copy.path(), "", &clock).unwrap();
        let found = (value(&*store, "short").await, value(&*store, "long").await);
        assert_eq!(found, (None, Some("v".into())), "{engine}");
        assert_eq!(store.sweep(100).await.unwrap().expired, 1, "{engine}");
        assert_eq!(usage(&*store).await.0, 1, "{engine}");
        clock.set_wall_ms(START_MS);
        assert_eq!(
            value(&*store, "short").await,
            None,
            "{engine}: a clock that goes back brings nothing back"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn floors_outlive_a_restart_and_are_forgotten_when_their_time_is_over() {
    for (engine, ..) in ENGINES {
        let folder = TempDir::new().unwrap();
        let store = open(engine, folder.path());
        let late = store.reserve().await.unwrap();
        store.remove(&key("a")).await.unwrap();
        store.as_batch().unwrap().clear(Some(&Namespace::new("other").unwrap())).await.unwrap();
        store.close().await.unwrap();
        drop(store);
        let clock = FrozenClock::at_wall_ms(START_MS + 1_000);
        let store = open_at(engine, folder.path(), "", &clock).unwrap();
        let other = Key::new("other", "a").unwrap();
        for key in [&key("a"), &other] {
            assert_eq!(store.put_with(key, "late").newer(late).await.unwrap().version(), None, "{engine}");
        }
        clock.advance(FLOOR_RETENTION);
        assert_eq!(store.sweep(100).await.unwrap().floors, 2, "{engine}");
        assert!(store.put_with(&other, "late").newer(late).await.unwrap().version().is_some(), "{engine}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deferred_writes_complete_in_place_and_commit_makes_them_safe() {
    for (engine, ..) in ENGINES {
        let folder = TempDir::new().unwrap();
        let store = open(engine, folder.path());
        let options = PutOptions { deferred: true, ..PutOptions::default() };
        assert!(matches!(poll_once(store.put(&key("a"), Entry::new("v"), options)), Ok(Ok(_))), "{engine}");
        let deferred = DeleteOptions { deferred: true, ..DeleteOptions::default() };
        assert!(matches!(poll_once(store.delete(&key("b"), deferred)), Ok(Ok(_))), "{engine}");
        assert!(matches!(poll_once(store.get(&key("a"))), Ok(Ok(Some(_)))), "{engine}");
        store.commit().await.unwrap();
        let copy = crashed(folder.path());
        assert_eq!(value(&*open(engine, copy.path()), "a").await.unwrap(), "v", "{engine}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_finds_the_living_behind_many_dead() {
    for (engine, ..) in ENGINES {
        let folder = TempDir::new().unwrap();
        let store = open(engine, folder.path());
        let options = PutOptions { deferred: true, ..PutOptions::default() };
        let mut writes = Vec::new();
        for n in 0..4_500_u32 {
            let living = n % 1_499 == 0;
            let entry = if living { Entry::new("v") } else { mortal("v", START_MS) };
            writes.push(Write::Put(key(n.to_be_bytes()), entry, options));
        }
        store.as_batch().unwrap().apply(writes).await.unwrap();
        for limit in [1, 2, 1_000] {
            let list = List { limit, ..List::all(namespace()) };
            let listed = store.list_all(&list).await.unwrap();
            let found: Vec<&[u8]> = listed.iter().map(|(key, _)| key.bytes()).collect();
            assert_eq!(found, [0_u32, 1_499, 2_998, 4_497].map(u32::to_be_bytes), "{engine}, limit {limit}");
        }
        while store.sweep(1_000).await.unwrap().more {}
        assert_eq!(usage(&*store).await.0, 4, "{engine}");
    }
}

/// One write of some kind, as these random bits say.
async fn write_something(store: &dyn Store, bits: u32, round: u32) {
    let batch = store.as_batch().unwrap();
    let space = if bits >> 7 & 1 == 0 { "test" } else { "else" };
    let name = Key::new(space, [(bits >> 8) as u8 & 63]).unwrap();
    let expires_ms =
        NonZeroU64::new(START_MS + u64::from(bits >> 20 & 3) - 1).filter(|_| bits >> 27 & 1 == 0);
    let entry = Entry { expires_ms, ..Entry::new(vec![0; (bits >> 16 & 1023) as usize]) };
    let options = PutOptions { deferred: true, ..PutOptions::default() };
    let deferred = DeleteOptions { deferred: true, ..DeleteOptions::default() };
    match bits >> 28 {
        0..=1 => {
            let _ = store.delete(&name, deferred).await.unwrap();
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
                    Write::Put(name.clone(), entry.clone(), options),
                    Write::Delete(key([(bits >> 9) as u8 & 63]), deferred),
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
    for (engine, ..) in ENGINES {
        let folder = TempDir::new().unwrap();
        let clock = FrozenClock::at_wall_ms(START_MS);
        let store = open_at(engine, folder.path(), "capacity=60000", &clock).unwrap();
        let mut writers = Vec::new();
        for seed in 1..5_u32 {
            let store = Arc::clone(&store);
            writers.push(tokio::spawn(async move {
                let mut state = seed;
                for round in 0..500 {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    write_something(&*store, state, round).await;
                }
            }));
        }
        for writer in writers {
            writer.await.unwrap();
        }
        store.commit().await.unwrap();
        let counted = usage(&*store).await;
        assert!(counted.0 > 0, "{engine}: the test tests nothing");
        let copy = crashed(folder.path());
        let again = open(engine, copy.path());
        assert_eq!(usage(&*again).await, counted, "{engine}: what is counted on the way is what there is");
        assert_eq!(again.health().await, Health::Up, "{engine}");
        while store.sweep(1_000).await.unwrap().more {}
        let listed = store.list_all(&List::all(namespace())).await.unwrap();
        let bytes: usize = listed.iter().map(|(key, entry)| key.bytes().len() + entry.value.len()).sum();
        assert_eq!(usage(&*store).await, (listed.len() as u64, bytes as u64), "{engine}");
    }
}

/// Every file below a folder that is at least so long, in the order of their names.
fn files(folder: &Path, length: u64) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.extend(files(&path, length));
        } else if path.metadata().unwrap().len() >= length {
            all.push(path);
        }
    }
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_bits_are_flipped_no_value_is_wrong_and_nothing_panics() {
    // fjall's journal is refused as a whole; what it does about its other files is in `fjall_damage`.
    for (engine, ..) in ENGINES.iter().filter(|(engine, ..)| *engine != "fjall") {
        let folder = TempDir::new().unwrap();
        let store = open(engine, folder.path());
        let noise = |n: u64| -> Vec<u8> {
            (0..300).map(|i| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (i % 57)) as u8).collect()
        };
        let deferred = PutOptions { deferred: true, ..PutOptions::default() };
        for n in 0..400_u64 {
            let _ = store.put(&key(n.to_be_bytes()), Entry::new(noise(n)), deferred).await.unwrap();
        }
        store.close().await.unwrap();
        drop(store);
        let found = files(folder.path(), 4_096);
        assert!(!found.is_empty(), "{engine}");
        let (mut refused, mut damaged, mut absent, mut sound) = (0, 0, 0, 0);
        for round in 0..24_u64 {
            let copy = crashed(folder.path());
            let file = &found[round as usize % found.len()];
            let file = copy.path().join(file.strip_prefix(folder.path()).unwrap());
            let mut bytes = std::fs::read(&file).unwrap();
            let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) as u64 + 1;
            let place = (used * round / 24 + round * 37 % 90).min(used - 1) as usize;
            bytes[place] ^= 0x14;
            std::fs::write(&file, bytes).unwrap();
            let store = match open_at(engine, copy.path(), "", &FrozenClock::at_wall_ms(START_MS)) {
                Ok(store) => store,
                Err(error) => {
                    let kind = error.kind();
                    assert!(matches!(kind, ErrorKind::Corrupt | ErrorKind::Config), "{engine}: {error:?}");
                    refused += 1;
                    continue;
                }
            };
            let before = absent;
            for n in 0..400_u64 {
                match store.get(&key(n.to_be_bytes())).await {
                    Ok(Some(entry)) => {
                        assert_eq!(entry.value, noise(n), "{engine}, {place}");
                        sound += 1;
                    }
                    Ok(None) => absent += 1,
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Corrupt, "{engine}: {error:?}");
                        damaged += 1;
                    }
                }
            }
            // What sled cannot read it takes for never written, which the store tells of.
            let told = store.health().await != Health::Up;
            assert!(*engine != "sled" || absent == before || told, "{place}: {} are absent", absent - before);
            // All of it ends, and what it lists is sound.
            for (key, entry) in store.list_all(&List::all(namespace())).await.unwrap_or_default() {
                let n = u64::from_be_bytes(key.bytes().try_into().unwrap());
                assert_eq!(entry.value, noise(n), "{engine}, {place}");
            }
        }
        println!("{engine}: refused {refused}, damaged {damaged}, absent {absent}, sound {sound}");
        assert!(refused + damaged + absent > 0 && sound > 0, "{engine}");
    }
}

/// Not a test of its own: the process that [`nothing_acknowledged_is_lost_when_the_writer_is_killed`] kills.
#[tokio::test(flavor = "multi_thread")]
async fn writer_to_be_killed() {
    let Ok(url) = std::env::var("TERRACE_TEST_ORDERED") else { return };
    let clock = FrozenClock::at_wall_ms(START_MS);
    let store = registry::open(&url, Arc::new(clock), Arc::new(TokioSpawn::current().unwrap())).unwrap();
    let mut out = std::io::stdout();
    for n in 0_u32.. {
        let name = [(n % 50) as u8];
        if n % 7 == 6 {
            let _ = store.remove(&key(name)).await.unwrap();
            writeln!(out, "\nack {} gone", name[0]).unwrap();
        } else {
            let value = n.to_be_bytes().repeat(1 + n as usize % 500);
            // A deadline takes a second row, and so a batch.
            let expires_ms = NonZeroU64::new(START_MS * 2).filter(|_| n.is_multiple_of(3));
            let entry = Entry { expires_ms, ..Entry::new(value) };
            let _ = store.put(&key(name), entry, PutOptions::default()).await.unwrap();
            writeln!(out, "\nack {} {n}", name[0]).unwrap();
        }
        out.flush().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_the_writer_is_killed() {
    for (engine, ..) in ENGINES {
        let folder = TempDir::new().unwrap();
        let mut greatest = Version::ZERO;
        for kill in 0..4_u64 {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "ordered::writer_to_be_killed", "--nocapture", "--test-threads=1"])
                .env("TERRACE_TEST_ORDERED", url(engine, folder.path(), ""))
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
            (&mut lines).take(200 + 37 * kill as usize).for_each(&mut take);
            child.kill().unwrap();
            child.wait().unwrap();
            let complete: Vec<String> = lines.collect();
            // What was printed before the end was acknowledged, too, but for a line cut in the middle.
            complete.into_iter().filter(|line| line.split(' ').count() == 3).for_each(&mut take);
            let store = open(engine, folder.path());
            assert_eq!(store.health().await, Health::Up, "{engine}");
            let next = store.reserve().await.unwrap();
            assert!(next > greatest, "{engine}");
            greatest = next;
            assert!(acknowledged.len() > 20, "{engine}: the writer wrote too little");
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
            assert!(differing <= 1, "{engine}: {differing} acknowledged writes are lost");
            let listed = store.list_all(&List::all(namespace())).await.unwrap();
            assert_eq!(usage(&*store).await.0, listed.len() as u64, "{engine}");
            store.close().await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interval_syncs_and_a_group_waits_for_others() {
    for (engine, ..) in ENGINES.iter().filter(|(engine, ..)| *engine != "sled") {
        let folder = TempDir::new().unwrap();
        let clock = FrozenClock::at_wall_ms(START_MS);
        let store = open_at(engine, folder.path(), "durability=group&group_ms=2", &clock).unwrap();
        let writer = Arc::clone(&store);
        let written = tokio::spawn(async move { writer.put_with(&key("a"), "v").await });
        while clock.sleepers() == 0 {
            tokio::task::yield_now().await;
        }
        assert!(!written.is_finished(), "{engine}");
        clock.advance(Duration::from_millis(2));
        let _ = written.await.unwrap().unwrap();
        let copy = crashed(folder.path());
        assert_eq!(value(&*open(engine, copy.path()), "a").await.unwrap(), "v", "{engine}");
    }
}
