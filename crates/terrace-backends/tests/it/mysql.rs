//! mysql: the contract in a real MariaDB, and what happens when that is away, slow or somebody else's.

mod server;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mysql_async::prelude::Queryable;
use server::Server;
use terrace_backends::mysql::{MysqlConfig, MysqlStore};
use terrace_store::capability::{List, Write};
use terrace_store::conformance::{self, Subject};
use terrace_store::fakes::FrozenClock;
use terrace_store::tokio_runtime::{TokioClock, TokioSpawn};
use terrace_store::{BoxFuture, Durability, Entry, ErrorKind, PutOptions, Result, Store, StoreExt};

use crate::proxy::Proxy;
use crate::remote::{self, key, space};
use crate::tls::{self, Authority};

/// Values as long as the contract's longest, and no waiting for the disk.
const LARGE: &[&str] =
    &["--max-allowed-packet=256M", "--innodb-log-file-size=1G", "--innodb-flush-log-at-trx-commit=2"];

/// Tables that no other store of this process has.
fn config_of(server: &Server) -> MysqlConfig {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let prefix = format!("test{}", NEXT.fetch_add(1, Ordering::Relaxed));
    MysqlConfig { prefix, timeout: Duration::from_secs(30), ..MysqlConfig::new(server.url()) }
}

fn open(config: MysqlConfig) -> MysqlStore {
    let clock = Arc::new(TokioClock::current().unwrap());
    MysqlStore::open(config, clock, Arc::new(TokioSpawn::current().unwrap())).unwrap()
}

struct Mysql<'a> {
    server: &'a Server,
    last: Mutex<Option<MysqlConfig>>,
}

impl Mysql<'_> {
    fn open_with(config: MysqlConfig, clock: FrozenClock) -> Result<Arc<dyn Store>> {
        Ok(Arc::new(MysqlStore::open(config, Arc::new(clock), Arc::new(TokioSpawn::current()?))?))
    }
}

impl Subject for Mysql<'_> {
    fn open(&self, clock: FrozenClock) -> BoxFuture<'_, Result<Arc<dyn Store>>> {
        let config = MysqlConfig { durability: Durability::Never, ..config_of(self.server) };
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
    let Some(server) = Server::start(LARGE) else { return };
    println!("{}", conformance::all(&Mysql { server: &server, last: Mutex::default() }).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_outlive_a_crash_of_the_server_and_calls_find_it_again() {
    let Some(server) = Server::start(&[]) else { return };
    let store = open(MysqlConfig { timeout: Duration::from_secs(5), ..config_of(&server) });
    let server = Mutex::new(server);
    let kill = || server.lock().unwrap().process.kill();
    remote::outlives_a_crash(&store, kill, || server.lock().unwrap().start_again()).await;
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_leaves_a_write_unknown_and_a_read_late() {
    let Some(server) = Server::start(&[]) else { return };
    let store = open(MysqlConfig { timeout: Duration::from_secs(2), ..config_of(&server) });
    remote::bears_a_hanging_server(&store, |hang| server.process.pause(hang)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_leaves_no_doubt_but_the_one_that_is_told() {
    let Some(server) = Server::start(&[]) else { return };
    let proxy = Proxy::to(server.port);
    let url = format!("mysql://terrace@127.0.0.1:{}/terrace", proxy.port);
    let store = open(MysqlConfig { url, timeout: Duration::from_secs(5), ..config_of(&server) });
    remote::bears_cut_connections(&store, |bytes| proxy.cut_after(bytes)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_in_words() {
    let Some(server) = Server::start(&["--max-allowed-packet=1M"]) else { return };
    let nowhere = open(MysqlConfig::new("mysql://terrace@127.0.0.1:1/terrace"));
    assert_eq!(nowhere.get(&key("a")).await.unwrap_err().kind(), ErrorKind::Network);
    let missing = open(MysqlConfig::new(
        server.url().replace("/terrace", "/nothing").replace("//nothing", "//terrace"),
    ));
    assert_eq!(missing.get(&key("a")).await.unwrap_err().kind(), ErrorKind::Config);
    let config = config_of(&server);
    let store = open(config.clone());
    let _ = store.put_with(&key("a"), "1").await.unwrap();
    let error = store.put_with(&key("a"), vec![7; 4 << 20]).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Unknown), "{error:?}");
    assert_eq!(store.get(&key("a")).await.unwrap().unwrap().value, "1");
    let mut admin = mysql_async::Conn::from_url(server.url()).await.unwrap();
    admin.query_drop(format!("UPDATE {}_format SET version = 9", config.prefix)).await.unwrap();
    let error = open(config).get(&key("a")).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Config && error.to_string().contains("format 9"), "{error}");
    admin.query_drop("CREATE TABLE foreign_format (x TEXT)").await.unwrap();
    let foreign = MysqlConfig { prefix: "foreign".into(), ..config_of(&server) };
    let error = open(foreign).get(&key("a")).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Config | ErrorKind::Corrupt), "{error:?}");
    admin.query_drop("CREATE USER shy@'127.0.0.1' IDENTIFIED BY 'secret'").await.unwrap();
    admin.query_drop("GRANT SELECT ON terrace.* TO shy@'127.0.0.1'").await.unwrap();
    for user in ["shy:wrong", "shy:secret"] {
        let url = server.url().replacen("terrace@", &format!("{user}@"), 1);
        let error = open(MysqlConfig { url, ..config_of(&server) }).get(&key("a")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{user}: {error:?}");
    }
    admin.disconnect().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_promises_less_is_refused_where_more_is_asked() {
    let Some(server) = Server::start(&["--innodb-flush-log-at-trx-commit=2"]) else { return };
    let error = open(config_of(&server)).get(&key("a")).await.unwrap_err();
    let words = "innodb_flush_log_at_trx_commit = 2";
    assert!(error.kind() == ErrorKind::Config && error.to_string().contains(words), "{error}");
    let less = MysqlConfig { durability: Durability::Interval(Duration::from_secs(1)), ..config_of(&server) };
    let store = open(less);
    let _ = store.put_with(&key("a"), "1").await.unwrap();
    store.flush().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_refuses_writes_and_goes_on_reading() {
    let settings = ["--innodb-data-file-path=ibdata1:12M:autoextend:max:40M", "--innodb-file-per-table=0"];
    let Some(server) = Server::start(&settings) else { return };
    let store = open(config_of(&server));
    let mut written = 0_u64;
    let refused = loop {
        match store.put_with(&key(written.to_be_bytes()), vec![7; 1 << 20]).await {
            Ok(_) => assert!(written < 100, "it is never full"),
            Err(error) => break error,
        }
        written += 1;
    };
    assert_eq!(refused.kind(), ErrorKind::Full, "{refused:?}");
    assert!(store.get(&key(0_u64.to_be_bytes())).await.unwrap().is_some());
    assert_eq!(store.get(&key(written.to_be_bytes())).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_of_one_prefix_share_entries_counts_and_leases() {
    let Some(server) = Server::start(LARGE) else { return };
    let config = MysqlConfig { durability: Durability::Never, ..config_of(&server) };
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
    let writers = [one, two].map(|store| {
        tokio::spawn(async move {
            for n in 0..50_u32 {
                let _ = store.put_with(&key((n % 20).to_be_bytes()), vec![7; n as usize]).await.unwrap();
                let _ = store.remove(&key((n % 7).to_be_bytes())).await.unwrap();
            }
            store
        })
    });
    let mut stores = Vec::new();
    for writer in writers {
        stores.push(writer.await.unwrap());
    }
    let listed = stores[0].list_all(&List::all(space())).await.unwrap();
    let bytes: usize = listed.iter().map(|(key, entry)| key.bytes().len() + entry.value.len()).sum();
    let iterate = stores[0].as_iterate().unwrap();
    assert_eq!(iterate.count(&space()).await.unwrap(), listed.len() as u64);
    assert_eq!(iterate.bytes(&space()).await.unwrap(), bytes as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_longer_than_an_index_takes_are_listed_in_order() {
    let Some(server) = Server::start(LARGE) else { return };
    let store = open(MysqlConfig { durability: Durability::Never, ..config_of(&server) });
    // Many share their first bytes, and differ behind what the index holds.
    let long = |n: u32| key([&vec![b'k'; 3_000][..], &(n * 7_919 % 1_500).to_be_bytes()].concat());
    let put = |n: u32| Write::Put(long(n), Entry::new("v"), PutOptions::default());
    store.apply((0..1_500).map(put).collect()).await.unwrap();
    for name in ["a", "z"] {
        let _ = store.put_with(&key(name), "v").await.unwrap();
    }
    let _ = store.put_with(&key(vec![b'k'; 1_990]), "v").await.unwrap();
    for limit in [1_000, 100] {
        let listed = store.list_all(&List { limit, ..List::all(space()) }).await.unwrap();
        assert!(listed.len() == 1_503 && listed.is_sorted_by(|a, b| a.0 < b.0), "{}", listed.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_with_whom_it_should() {
    let authority = Authority::new();
    authority.give_key_to("mysql");
    let (cert, key) = (format!("--ssl-cert={}", authority.cert()), format!("--ssl-key={}", authority.key()));
    let Some(server) = Server::start(&[&cert, &key, &format!("--ssl-ca={}", authority.ca())]) else { return };
    // The user of the tests, and only that one, has to encrypt.
    let mut root = mysql_async::Conn::from_url(&*server.url()).await.unwrap();
    root.query_drop("CREATE USER careful@'127.0.0.1' REQUIRE SSL").await.unwrap();
    root.query_drop("GRANT ALL ON *.* TO careful@'127.0.0.1'").await.unwrap();
    tls::is_checked(&authority, |ca| {
        let url = server.url().replace("terrace@", "careful@");
        let (tls, timeout) = (ca.is_some(), Duration::from_secs(10));
        Arc::new(open(MysqlConfig { url, tls, tls_ca: ca.map(Into::into), timeout, ..config_of(&server) }))
    })
    .await;
}
