//! Objects in memory, in a folder and in S3: the contract in each, and what happens when the server is away, slow, somebody
//! else's, or makes no sense.

mod server;

use std::io::{Read, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use server::Server;
use tempfile::TempDir;
use terrace_backends::object_store::{Bucket, ObjectStore, ObjectStoreConfig, Place};
use terrace_store::capability::{List, Write};
use terrace_store::conformance::{self, Subject};
use terrace_store::fakes::FrozenClock;
use terrace_store::store::FLOOR_RETENTION;
use terrace_store::tokio_runtime::{TokioClock, TokioSpawn};
use terrace_store::{
    BoxFuture, Condition, Durability, Entry, ErrorKind, Health, PutOptions, Result, Store, StoreExt, Written,
};

use crate::proxy::Proxy;
use crate::remote::{self, key, space};

fn open(config: ObjectStoreConfig) -> ObjectStore {
    let clock = Arc::new(TokioClock::current().unwrap());
    ObjectStore::open(config, clock, Arc::new(TokioSpawn::current().unwrap())).unwrap()
}

fn open_with(config: ObjectStoreConfig, clock: FrozenClock) -> Result<Arc<dyn Store>> {
    Ok(Arc::new(ObjectStore::open(config, Arc::new(clock), Arc::new(TokioSpawn::current()?))?))
}

/// Stores that each have a place of their own, and can be opened there again.
struct Places<F> {
    place: F,
    last: Mutex<Option<ObjectStoreConfig>>,
}

impl<F: Fn() -> ObjectStoreConfig + Send + Sync> Places<F> {
    fn of(place: F) -> Self {
        Self { place, last: Mutex::default() }
    }
}

impl<F: Fn() -> ObjectStoreConfig + Send + Sync> Subject for Places<F> {
    fn open(&self, clock: FrozenClock) -> BoxFuture<'_, Result<Arc<dyn Store>>> {
        let config = (self.place)();
        *self.last.lock().unwrap() = Some(config.clone());
        Box::pin(async move { open_with(config, clock) })
    }

    fn reopen(&self, clock: FrozenClock) -> BoxFuture<'_, Result<Option<Arc<dyn Store>>>> {
        let config = self.last.lock().unwrap().clone().unwrap();
        Box::pin(async move {
            match config.place {
                Place::Memory => Ok(None),
                _ => open_with(config, clock).map(Some),
            }
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_the_contract() {
    println!("{}", conformance::all(&Places::of(|| ObjectStoreConfig::new(Place::Memory))).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_keeps_the_contract() {
    let folder = TempDir::new().unwrap();
    let next = Mutex::new(0);
    let place = || {
        let mut next = next.lock().unwrap();
        *next += 1;
        let place = Place::File(folder.path().join(next.to_string()));
        // What is synced is tested by itself: a sync for each of so many writes takes long.
        ObjectStoreConfig { durability: Durability::Never, ..ObjectStoreConfig::new(place) }
    };
    println!("{}", conformance::all(&Places::of(place)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_keeps_the_contract() {
    let Some(server) = Server::start() else { return };
    println!("{}", conformance::all(&Places::of(|| server.config())).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_one_process_s_and_its_entries_outlive_it() {
    let folder = TempDir::new().unwrap();
    let config = ObjectStoreConfig::new(Place::File(folder.path().join("objects")));
    assert_eq!(config.durability, Durability::Always);
    let store = open(config.clone());
    let version = store.put_with(&key("a"), "1").await.unwrap().version().unwrap();
    let other = ObjectStore::open(
        config.clone(),
        Arc::new(TokioClock::current().unwrap()),
        Arc::new(TokioSpawn::current().unwrap()),
    );
    let error = other.err().unwrap();
    assert!(error.kind() == ErrorKind::Config && error.to_string().contains("one process"), "{error}");
    store.flush().await.unwrap();
    store.close().await.unwrap();
    let store = open(config);
    let found = store.get(&key("a")).await.unwrap().unwrap();
    assert_eq!((found.version, &found.value[..]), (version, &b"1"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_write_in_a_folder_never_overtakes_a_later_one() {
    let folder = TempDir::new().unwrap();
    let store = open(ObjectStoreConfig::new(Place::File(folder.path().into())));
    for n in 0..100_u32 {
        let a = key("a");
        let dropped = store.put_with(&a, format!("dropped {n}"));
        let _ = tokio::time::timeout(Duration::from_micros(u64::from(n) * 20), dropped).await;
        let _ = store.put_with(&key("a"), format!("stays {n}")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(store.get(&key("a")).await.unwrap().unwrap().value, format!("stays {n}"));
    }
}

/// Writers of several stores, which stand for processes, add to the same number by compare-and-set.
#[tokio::test(flavor = "multi_thread")]
async fn no_addition_of_many_writers_in_s3_is_lost() {
    let Some(server) = Server::start() else { return };
    let config = server.config();
    let _ = open(config.clone()).put_with(&key("n"), "0").await.unwrap();
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let store = open(config.clone());
            tokio::spawn(async move {
                for _ in 0..15 {
                    loop {
                        let found = store.get(&key("n")).await.unwrap().unwrap();
                        let number: u64 = std::str::from_utf8(&found.value).unwrap().parse().unwrap();
                        let options = PutOptions {
                            condition: Condition::Match(found.version),
                            ..PutOptions::default()
                        };
                        let entry = Entry::new((number + 1).to_string());
                        match store.put(&key("n"), entry, options).await.unwrap() {
                            Written::Stored { version, .. } => {
                                assert!(version > found.version);
                                break;
                            }
                            Written::Conflict { current } => assert!(current > Some(found.version)),
                        }
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(open(config).get(&key("n")).await.unwrap().unwrap().value, "60");
}

/// A ticket of one process, taken before another one writes, is refused after it.
#[tokio::test(flavor = "multi_thread")]
async fn versions_and_clears_in_s3_are_in_one_order_for_all() {
    let Some(server) = Server::start() else { return };
    let config = ObjectStoreConfig { clear_seen_within: Duration::ZERO, ..server.config() };
    let (one, two) = (open(config.clone()), open(config));
    let newer = |version| PutOptions { condition: Condition::Newer(version), ..PutOptions::default() };
    for n in 0..10_u32 {
        let key = key(n.to_be_bytes());
        let ticket = one.reserve().await.unwrap();
        let written = two.put_with(&key, "newer").await.unwrap().version().unwrap();
        assert!(written > ticket && one.reserve().await.unwrap() > written);
        let late = one.put(&key, Entry::new("late"), newer(ticket)).await.unwrap();
        assert_eq!(late, Written::Conflict { current: Some(written) });
    }
    let ticket = one.reserve().await.unwrap();
    assert_eq!(two.as_batch().unwrap().clear(Some(&space())).await.unwrap(), 10);
    assert_eq!(one.get(&key(0_u32.to_be_bytes())).await.unwrap(), None);
    let late = one.put(&key("a"), Entry::new("late"), newer(ticket)).await.unwrap();
    assert_eq!(late, Written::Conflict { current: None });
    let _ = one.put_with(&key("a"), "new").await.unwrap();
    assert_eq!(two.get(&key("a")).await.unwrap().unwrap().value, "new");
    assert_eq!(two.list_all(&List::all(space())).await.unwrap().len(), 1);
}

/// What is over leaves nothing behind in the bucket but the head.
#[tokio::test(flavor = "multi_thread")]
async fn sweeps_and_clears_leave_no_objects_behind() {
    let Some(server) = Server::start() else { return };
    let (clock, config) = (FrozenClock::at_wall_ms(1_700_000_000_000), server.config());
    let Place::S3(bucket) = config.place.clone() else { panic!("{config:?}") };
    let store = open_with(config, clock.clone()).unwrap();
    for n in 0..5_u32 {
        let _ = store.put_with(&key(n.to_be_bytes()), "v").await.unwrap();
        let _ = store.remove(&key(n.to_be_bytes())).await.unwrap();
    }
    let many = (0..20_u32).map(|n| {
        Write::Put(key([&b"x"[..], &n.to_be_bytes()].concat()), Entry::new("v"), PutOptions::default())
    });
    let _ = store.as_batch().unwrap().apply(many.collect()).await.unwrap();
    assert_eq!(store.as_batch().unwrap().clear(Some(&space())).await.unwrap(), 20);
    clock.advance(FLOOR_RETENTION * 3);
    let swept = store.sweep(100).await.unwrap();
    assert!(!swept.more, "{swept:?}");
    let listed = server.ask("GET", &format!("{}?list-type=2", bucket.name));
    assert_eq!(listed.matches("<Key>").count(), 1, "{listed}");
    assert!(listed.contains("<Key>p/head</Key>"), "{listed}");
}

/// Such a server would remove what was written anew since the sweep looked.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_judges_no_removals_keeps_its_floors() {
    for (server, floors) in [(Server::start(), 1), (Server::careless(), 0)] {
        let Some(server) = server else { return };
        let clock = FrozenClock::at_wall_ms(1_700_000_000_000);
        let store = open_with(server.config(), clock.clone()).unwrap();
        let _ = store.put_with(&key("a"), "v").await.unwrap();
        let _ = store.remove(&key("a")).await.unwrap();
        clock.advance(FLOOR_RETENTION * 3);
        assert_eq!(store.sweep(100).await.unwrap().floors, floors);
        let _ = store.put_with(&key("a"), "anew").await.unwrap();
        assert_eq!(store.get(&key("a")).await.unwrap().unwrap().value, "anew");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_find_a_server_again_that_was_away() {
    let Some(server) = Server::start() else { return };
    let config = server.config();
    let Place::S3(bucket) = config.place.clone() else { panic!("{config:?}") };
    let proxy = Proxy::to(server.port);
    let endpoint = Some(format!("http://127.0.0.1:{}", proxy.port));
    let port = proxy.port;
    let store = open(ObjectStoreConfig {
        place: Place::S3(Bucket { endpoint, ..bucket }),
        timeout: Duration::from_secs(3),
        ..config
    });
    for n in 0..20_u32 {
        let _ = store.put_with(&key(n.to_be_bytes()), n.to_string()).await.unwrap();
    }
    drop(proxy);
    let failed = store.get(&key("a")).await.unwrap_err();
    assert!(failed.is_transient(), "{failed:?}");
    let failed = store.put_with(&key("a"), "1").await.unwrap_err();
    assert!(failed.is_transient() || failed.kind() == ErrorKind::Unknown, "{failed:?}");
    assert!(matches!(store.health().await, Health::Down(_)));
    let _proxy = Proxy::at(port, server.port);
    for n in 0..20_u32 {
        assert_eq!(store.get(&key(n.to_be_bytes())).await.unwrap().unwrap().value, n.to_string());
    }
    assert_eq!(store.health().await, Health::Up);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_leaves_a_write_unknown_and_a_read_late() {
    let Some(server) = Server::start() else { return };
    let store = open(ObjectStoreConfig { timeout: Duration::from_secs(2), ..server.config() });
    remote::bears_a_hanging_server(&store, |hang| server.process.pause(hang)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_leaves_no_doubt_but_the_one_that_is_told() {
    let Some(server) = Server::start() else { return };
    let config = server.config();
    let Place::S3(bucket) = config.place.clone() else { panic!("{config:?}") };
    let proxy = Proxy::to(server.port);
    let endpoint = Some(format!("http://127.0.0.1:{}", proxy.port));
    let store = open(ObjectStoreConfig { place: Place::S3(Bucket { endpoint, ..bucket }), ..config });
    remote::bears_cut_connections(&store, |bytes| proxy.cut_after(bytes)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_is_refused_and_the_right_one_let_in() {
    let Some(server) = Server::locked() else { return };
    let (access, secret) = server.access_key();
    let with = |name: &str, access: &str, secret: &str| {
        let access_key = Some((access.to_owned(), secret.to_owned()));
        let bucket = Bucket { access_key, ..server.bucket_named(name) };
        open(ObjectStoreConfig::new(Place::S3(bucket)))
    };
    for (access, secret) in [(&*access, "wrong"), ("AKIA00000000EXAMPLE0", &*secret)] {
        let error = with("bucket", access, secret).get(&key("a")).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Denied && error.to_string().contains("access key"), "{error}");
        assert!(!error.to_string().contains(secret), "{error}");
    }
    // It is let in, and told that there is no such bucket.
    let error = with("nobody-made-it", &access, &secret).put_with(&key("a"), "1").await.unwrap_err();
    assert!(error.kind() == ErrorKind::Config && error.to_string().contains("bucket"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_in_words() {
    let Some(server) = Server::start() else { return };
    let with = |bucket| ObjectStoreConfig {
        timeout: Duration::from_secs(2),
        ..ObjectStoreConfig::new(Place::S3(bucket))
    };
    let missing = open(with(server.bucket_named("nobody-made-it")));
    for error in [
        missing.get(&key("a")).await.unwrap_err(),
        missing.put_with(&key("a"), "1").await.unwrap_err(),
        missing.list_all(&List::all(space())).await.unwrap_err(),
    ] {
        assert!(error.kind() == ErrorKind::Config, "{error:?}");
        assert!(error.to_string().contains("the bucket does not exist"), "{error}");
    }
    let nowhere = Bucket { endpoint: Some("http://127.0.0.1:1".into()), ..server.bucket_named("b") };
    let error = open(with(nowhere)).get(&key("a")).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Network && error.is_transient(), "{error:?}");
    // A bucket that is removed while it is used is no miss.
    let config = server.config();
    let Place::S3(bucket) = config.place.clone() else { panic!("{config:?}") };
    let store = open(config);
    assert_eq!(store.get(&key("a")).await.unwrap(), None);
    for object in ["p/head", ""] {
        let answer = server.ask("DELETE", &format!("{}/{object}", bucket.name));
        assert!(answer.contains(" 204 "), "{answer}");
    }
    let error = store.get(&key("a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
}

/// Answers every request with this.
fn answering(answer: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
                let _ = stream.read(&mut [0; 65_536]);
                let _ = stream.write_all(answer.as_bytes());
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn what_answers_and_is_no_s3_is_no_miss_and_no_hang() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nshort",
        "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 500 Broken\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 301 Moved\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "+OK\r\n",
        "",
    ] {
        let bucket = Bucket {
            name: "b".into(),
            endpoint: Some(format!("http://127.0.0.1:{}", answering(answer))),
            access_key: Some(("a".into(), "b".into())),
            ..Bucket::default()
        };
        let timeout = Duration::from_secs(2);
        let store = open(ObjectStoreConfig { timeout, ..ObjectStoreConfig::new(Place::S3(bucket)) });
        let began = Instant::now();
        let error = store.get(&key("a")).await.unwrap_err();
        assert!(
            !error.to_string().is_empty() && began.elapsed() < Duration::from_secs(10),
            "{answer}: {error}"
        );
        assert!(store.put_with(&key("a"), "1").await.is_err(), "{answer}");
        assert!(store.as_iterate().unwrap().count(&space()).await.is_err(), "{answer}");
        assert!(matches!(store.health().await, Health::Down(_)), "{answer}");
    }
}

/// Damage and strangers are told, never served, and what depends on nothing is written over them.
#[tokio::test(flavor = "multi_thread")]
async fn damage_is_told_and_can_be_written_over() {
    let folder = TempDir::new().unwrap();
    let config = ObjectStoreConfig::new(Place::File(folder.path().into()));
    let store = open(config);
    for n in 0..3_u32 {
        let _ = store.put_with(&key(n.to_be_bytes()), "value").await.unwrap();
    }
    let name: String = 1_u32.to_be_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let object = folder.path().join(format!("d/{:016x}/n74657374/{name}-", 0));
    let whole = std::fs::read(&object).unwrap();
    for at in [3, 20, whole.len() / 2] {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        std::fs::write(&object, &damaged).unwrap();
        let error = store.get(&key(1_u32.to_be_bytes())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
        assert_eq!(store.list_all(&List::all(space())).await.unwrap().len(), 2);
    }
    let written = store.put_with(&key(1_u32.to_be_bytes()), "anew").await.unwrap();
    assert_eq!(
        store.get(&key(1_u32.to_be_bytes())).await.unwrap().unwrap().version,
        written.version().unwrap()
    );
}
