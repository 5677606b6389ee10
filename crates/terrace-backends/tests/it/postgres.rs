//! postgres: the contract in a real server, and what happens when that is away, slow or somebody else's.

mod server;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use server::Server;
use terrace_backends::postgres::{PostgresConfig, PostgresStore};
use terrace_store::capability::{Change, Message};
use terrace_store::conformance::{self, Subject};
use terrace_store::fakes::FrozenClock;
use terrace_store::tokio_runtime::{TokioClock, TokioSpawn};
use terrace_store::{BoxFuture, Durability, ErrorKind, Health, Key, Namespace, Result, Store, StoreExt};

use crate::tls::{self, Authority};

fn key(name: impl AsRef<[u8]>) -> Key {
    Key::new("test", name).unwrap()
}

fn space() -> Namespace {
    Namespace::new("test").unwrap()
}

/// A schema that no other store of this process has.
fn config_of(server: &Server) -> PostgresConfig {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let schema = format!("test{}", NEXT.fetch_add(1, Ordering::Relaxed));
    PostgresConfig { schema, timeout: Duration::from_secs(30), ..PostgresConfig::new(server.url()) }
}

fn open(config: PostgresConfig) -> PostgresStore {
    let clock = Arc::new(TokioClock::current().unwrap());
    PostgresStore::open(config, clock, Arc::new(TokioSpawn::current().unwrap())).unwrap()
}

struct Postgres<'a> {
    server: &'a Server,
    durability: Durability,
    last: Mutex<Option<PostgresConfig>>,
}

impl Postgres<'_> {
    fn open_with(config: PostgresConfig, clock: FrozenClock) -> Result<Arc<dyn Store>> {
        let spawn = Arc::new(TokioSpawn::current()?);
        Ok(Arc::new(PostgresStore::open(config, Arc::new(clock), spawn)?))
    }
}

impl Subject for Postgres<'_> {
    fn open(&self, clock: FrozenClock) -> BoxFuture<'_, Result<Arc<dyn Store>>> {
        let config = PostgresConfig { durability: self.durability, ..config_of(self.server) };
        *self.last.lock().unwrap() = Some(config.clone());
        Box::pin(async move { Self::open_with(config, clock) })
    }

    fn reopen(&self, clock: FrozenClock) -> BoxFuture<'_, Result<Option<Arc<dyn Store>>>> {
        let config = self.last.lock().unwrap().clone().unwrap();
        Box::pin(async move { Self::open_with(config, clock).map(Some) })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_contract() {
    // What the disk promises is tried by itself; here a server that never syncs is quicker.
    let Some(server) = Server::start(&["fsync=off", "full_page_writes=off"]) else { return };
    let subject = Postgres { server: &server, durability: Durability::Never, last: Mutex::default() };
    println!("{}", conformance::all(&subject).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_outlive_a_crash_of_the_server_and_calls_find_it_again() {
    let Some(mut server) = Server::start(&[]) else { return };
    let store = open(config_of(&server));
    for n in 0..100_u32 {
        let _ = store.put_with(&key(n.to_be_bytes()), n.to_string()).await.unwrap();
    }
    let mut changes = store.as_watch().unwrap().watch(&space(), Bytes::new()).await.unwrap();
    server.crash();
    let failed = store.get(&key("a")).await.unwrap_err();
    assert!(failed.is_transient(), "{failed:?}");
    let failed = store.put_with(&key("a"), "1").await.unwrap_err();
    assert!(matches!(failed.kind(), ErrorKind::Network | ErrorKind::Unknown), "{failed:?}");
    assert!(matches!(store.health().await, Health::Down(_)));
    server.start_again();
    for n in 0..100_u32 {
        assert_eq!(store.get(&key(n.to_be_bytes())).await.unwrap().unwrap().value, n.to_string());
    }
    assert_eq!(store.health().await, Health::Up);
    assert_eq!(changes.next().await, Some(Change::Lagged));
    let told = async {
        loop {
            let _ = store.put_with(&key("c"), "3").await.unwrap();
            match tokio::time::timeout(Duration::from_millis(200), changes.next()).await {
                Ok(Some(Change::Put { key: told, .. })) => break told == key("c"),
                Ok(Some(Change::Lagged)) | Err(_) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(60), told).await.unwrap());
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_leaves_a_write_unknown_and_a_read_late() {
    let Some(server) = Server::start(&[]) else { return };
    let store = open(PostgresConfig { timeout: Duration::from_secs(2), ..config_of(&server) });
    let _ = store.put_with(&key("a"), "1").await.unwrap();
    server.pause(true);
    let began = Instant::now();
    let read = store.get(&key("a")).await.unwrap_err();
    assert_eq!(read.kind(), ErrorKind::Timeout, "{read:?}");
    let write = store.put_with(&key("a"), "2").await.unwrap_err();
    assert_eq!(write.kind(), ErrorKind::Unknown, "{write:?}");
    assert!(began.elapsed() < Duration::from_secs(20));
    server.pause(false);
    let value = loop {
        match store.get(&key("a")).await {
            Ok(entry) => break entry.unwrap().value,
            Err(error) => {
                assert!(error.is_transient() && began.elapsed() < Duration::from_secs(60), "{error:?}");
            }
        }
    };
    assert!(value == "1" || value == "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_in_words() {
    let Some(server) = Server::start(&[]) else { return };
    let nowhere = open(PostgresConfig::new("postgres://terrace@127.0.0.1:1/postgres"));
    assert_eq!(nowhere.get(&key("a")).await.unwrap_err().kind(), ErrorKind::Network);
    let missing = open(PostgresConfig::new(server.url().replace("/postgres", "/nothing")));
    let error = missing.get(&key("a")).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Config | ErrorKind::Unavailable), "{error:?}");
    let config = config_of(&server);
    let store = open(config.clone());
    let _ = store.put_with(&key("a"), "1").await.unwrap();
    let (client, connection) = tokio_postgres::connect(&server.url(), tokio_postgres::NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    client.batch_execute(&format!("UPDATE {}.format SET version = 9", config.schema)).await.unwrap();
    let error = open(config).get(&key("a")).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Config && error.to_string().contains("format 9"), "{error}");
    client
        .batch_execute("CREATE SCHEMA foreign_one; CREATE TABLE foreign_one.format (x text)")
        .await
        .unwrap();
    let foreign = PostgresConfig { schema: "foreign_one".into(), ..config_of(&server) };
    let error = open(foreign).get(&key("a")).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Config | ErrorKind::Corrupt), "{error:?}");
    client.batch_execute("CREATE ROLE nobody LOGIN").await.unwrap();
    let denied =
        PostgresConfig { url: server.url().replacen("terrace@", "nobody@", 1), ..config_of(&server) };
    let error = open(denied).get(&key("a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    drop(client);
    driver.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_promises_nothing_is_refused_where_something_is_asked() {
    let Some(server) = Server::start(&["fsync=off"]) else { return };
    let error = open(config_of(&server)).get(&key("a")).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Config && error.to_string().contains("fsync = off"), "{error}");
    let _ = open(PostgresConfig { durability: Durability::Never, ..config_of(&server) })
        .get(&key("a"))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_of_one_schema_share_entries_leases_and_messages_of_any_length() {
    let Some(server) = Server::start(&["fsync=off"]) else { return };
    let config = PostgresConfig { durability: Durability::Never, ..config_of(&server) };
    let (one, two) = (open(config.clone()), open(config));
    let version = one.put_with(&key("a"), "1").await.unwrap().version().unwrap();
    assert_eq!(two.get(&key("a")).await.unwrap().unwrap().version, version);
    let (lock, other) = (one.as_lock().unwrap(), two.as_lock().unwrap());
    let short = Duration::from_millis(300);
    let lease = lock.try_acquire(b"job", short).await.unwrap().unwrap();
    assert_eq!(other.try_acquire(b"job", short).await.unwrap(), None);
    tokio::time::sleep(short * 2).await;
    let next = other.try_acquire(b"job", Duration::from_secs(60)).await.unwrap().unwrap();
    assert!(next.token > lease.token);
    assert!(!lock.renew(&lease).await.unwrap() && !lock.release(&lease).await.unwrap());
    assert!(other.release(&next).await.unwrap());
    let mut listener = two.as_publish().unwrap().subscribe(b"news").await.unwrap();
    for length in [0, 1, 5_000, 5_001, 100_000] {
        let message = Bytes::from(vec![7; length]);
        assert_eq!(one.as_publish().unwrap().publish(b"news", message.clone()).await.unwrap(), 1);
        assert_eq!(listener.next().await, Some(Message::Payload(message)));
    }
    // The key of a change may be too long to be told.
    let mut changes = two.as_watch().unwrap().watch(&space(), Bytes::new()).await.unwrap();
    let _ = one.put_with(&key(vec![b'k'; 20_000]), "1").await.unwrap();
    assert_eq!(changes.next().await, Some(Change::Lagged));
    drop(listener);
    one.close().await.unwrap();
    two.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_reserved_before_a_write_ended_never_overtakes_it() {
    let Some(server) = Server::start(&["fsync=off"]) else { return };
    let config = PostgresConfig { durability: Durability::Never, ..config_of(&server) };
    let (one, two) = (Arc::new(open(config.clone())), open(config));
    for n in 0..200_u32 {
        let writer = Arc::clone(&one);
        let write = tokio::spawn(async move { writer.put_with(&key("a"), n.to_string()).await });
        let ticket = two.reserve().await.unwrap();
        let read = two.get(&key("a")).await.unwrap().map(|entry| entry.value);
        let _ = write.await.unwrap().unwrap();
        let options = terrace_store::PutOptions {
            condition: terrace_store::Condition::Newer(ticket),
            ..Default::default()
        };
        let late = terrace_store::Entry::new(read.clone().unwrap_or_default());
        let stored = two.put(&key("a"), late, options).await.unwrap().version().is_some();
        // It was stored only if what it read was the newest.
        let newest = two.get(&key("a")).await.unwrap().unwrap().value;
        assert!(newest == n.to_string(), "{n}: {newest:?}, read {read:?}, stored {stored}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_with_whom_it_should() {
    let authority = Authority::new();
    authority.give_key_to("postgres");
    let (cert, key) =
        (format!("ssl_cert_file={}", authority.cert()), format!("ssl_key_file={}", authority.key()));
    let Some(server) = Server::start(&["ssl=on", &cert, &key]) else { return };
    server.admit("hostssl all all 127.0.0.1/32 trust\n");
    tls::is_checked(&authority, |ca| {
        let mode = if ca.is_some() { "require" } else { "disable" };
        let url = format!("{}?sslmode={mode}", server.url());
        let timeout = Duration::from_secs(5);
        Arc::new(open(PostgresConfig { url, tls_ca: ca.map(Into::into), timeout, ..config_of(&server) }))
    })
    .await;
}
