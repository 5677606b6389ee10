//! etcd: the contract in a real cluster of one, and what happens when that is away, slow or somebody else's.

mod server;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use server::Server;
use terrace_backends::etcd::{EtcdConfig, EtcdStore};
use terrace_store::capability::{Change, Write};
use terrace_store::conformance::{self, Subject};
use terrace_store::fakes::FrozenClock;
use terrace_store::tokio_runtime::{TokioClock, TokioSpawn};
use terrace_store::{BoxFuture, Entry, ErrorKind, PutOptions, Result, Store, StoreExt};

use crate::proxy::Proxy;
use crate::remote::{self, key, space};
use crate::tls::{self, Authority};

/// Values and transactions as long as the contract's longest.
const LARGE: &[&str] =
    &["--max-request-bytes", "200000000", "--max-txn-ops", "1000", "--quota-backend-bytes", "8000000000"];

/// A prefix that no other store of this process has.
fn config_of(server: &Server) -> EtcdConfig {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let prefix = format!("test{}", NEXT.fetch_add(1, Ordering::Relaxed));
    EtcdConfig { prefix, timeout: Duration::from_secs(30), ..EtcdConfig::new(server.url()) }
}

fn open(config: EtcdConfig) -> EtcdStore {
    let clock = Arc::new(TokioClock::current().unwrap());
    EtcdStore::open(config, clock, Arc::new(TokioSpawn::current().unwrap())).unwrap()
}

struct Etcd<'a> {
    server: &'a Server,
    last: Mutex<Option<EtcdConfig>>,
}

impl Etcd<'_> {
    fn open_with(config: EtcdConfig, clock: FrozenClock) -> Result<Arc<dyn Store>> {
        Ok(Arc::new(EtcdStore::open(config, Arc::new(clock), Arc::new(TokioSpawn::current()?))?))
    }
}

impl Subject for Etcd<'_> {
    fn open(&self, clock: FrozenClock) -> BoxFuture<'_, Result<Arc<dyn Store>>> {
        let config = EtcdConfig { max_txn_ops: 1000, ..config_of(self.server) };
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
    println!("{}", conformance::all(&Etcd { server: &server, last: Mutex::default() }).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_outlive_a_crash_of_the_server_and_calls_find_it_again() {
    let Some(server) = Server::start(&[]) else { return };
    let store = open(EtcdConfig { timeout: Duration::from_secs(3), ..config_of(&server) });
    let server = Mutex::new(server);
    let kill = || server.lock().unwrap().process.kill();
    remote::outlives_a_crash(&store, kill, || server.lock().unwrap().start_again()).await;
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_goes_on_after_a_break_without_losing_a_change() {
    let Some(mut server) = Server::start(&[]) else { return };
    let (one, two) = (config_of(&server), config_of(&server));
    let store = open(EtcdConfig { prefix: one.prefix.clone(), ..two });
    let mut changes = store.as_watch().unwrap().watch(&space(), Bytes::new()).await.unwrap();
    let first = store.put_with(&key("a"), "1").await.unwrap().version().unwrap();
    assert_eq!(changes.next().await, Some(Change::Put { key: key("a"), version: first }));
    server.process.kill();
    server.start_again();
    // Written before the watch has noticed anything, perhaps.
    let second = loop {
        match store.put_with(&key("a"), "2").await {
            Ok(written) => break written.version().unwrap(),
            Err(error) => assert!(error.is_transient() || error.kind() == ErrorKind::Unknown, "{error:?}"),
        }
    };
    loop {
        let told = tokio::time::timeout(Duration::from_secs(60), changes.next()).await.unwrap();
        match told {
            Some(Change::Put { version, .. }) if version == second => break,
            Some(Change::Put { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_leaves_a_write_unknown_and_a_read_late() {
    let Some(server) = Server::start(&[]) else { return };
    let store = open(EtcdConfig { timeout: Duration::from_secs(2), ..config_of(&server) });
    remote::bears_a_hanging_server(&store, |hang| server.process.pause(hang)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_leaves_no_doubt_but_the_one_that_is_told() {
    let Some(server) = Server::start(&[]) else { return };
    let proxy = Proxy::to(server.port);
    let url = format!("etcd://127.0.0.1:{}", proxy.port);
    let store = open(EtcdConfig { url, timeout: Duration::from_secs(3), ..config_of(&server) });
    remote::bears_cut_connections(&store, |bytes| proxy.cut_after(bytes)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_in_words() {
    let Some(server) = Server::start(&[]) else { return };
    let short = Duration::from_secs(2);
    let nowhere = open(EtcdConfig { timeout: short, ..EtcdConfig::new("etcd://127.0.0.1:1") });
    let error = nowhere.get(&key("a")).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Network | ErrorKind::Timeout), "{error:?}");
    let config = config_of(&server);
    let store = open(config.clone());
    // Larger than what a member takes unless it is told otherwise.
    let error = store.put_with(&key("a"), vec![7; 4 << 20]).await.unwrap_err();
    assert!(
        error.kind() == ErrorKind::Invalid && error.to_string().contains("--max-request-bytes"),
        "{error}"
    );
    assert_eq!(store.get(&key("a")).await.unwrap(), None);
    let mut transaction = store.as_transact().unwrap().begin().await.unwrap();
    (0..200_u32).for_each(|n| transaction.put(key(n.to_be_bytes()), Entry::new("v")));
    let error = transaction.commit().await.unwrap_err();
    assert!(error.kind() == ErrorKind::Invalid && error.to_string().contains("max_txn_ops"), "{error}");
    // Batches are cut to what a member takes.
    let put = |n: u32| Write::Put(key(n.to_be_bytes()), Entry::new("v"), PutOptions::default());
    assert_eq!(store.as_batch().unwrap().apply((0..200).map(put).collect()).await.unwrap().len(), 200);
    let mut client =
        etcd_client::Client::connect([format!("127.0.0.1:{}", server.port)], None).await.unwrap();
    client.put(format!("{}/v", config.prefix), "terrace 9", None).await.unwrap();
    let error = open(config).get(&key("a")).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Config && error.to_string().contains("terrace 9"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_refused_and_the_right_one_let_in() {
    let Some(server) = Server::start(&[]) else { return };
    let mut client =
        etcd_client::Client::connect([format!("127.0.0.1:{}", server.port)], None).await.unwrap();
    client.user_add("root", "secret", None).await.unwrap();
    client.user_grant_role("root", "root").await.unwrap();
    client.auth_enable().await.unwrap();
    let with = |user: &str| EtcdConfig {
        url: format!("etcd://{user}@127.0.0.1:{}", server.port),
        ..config_of(&server)
    };
    let error = open(with("root:wrong")).get(&key("a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    let error = open(config_of(&server)).get(&key("a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    assert_eq!(open(with("root:secret")).get(&key("a")).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_cluster_refuses_writes_and_goes_on_reading() {
    let Some(server) = Server::start(&["--quota-backend-bytes", "20000000"]) else { return };
    let store = open(config_of(&server));
    let refused = loop {
        static N: AtomicU64 = AtomicU64::new(0);
        let n = N.fetch_add(1, Ordering::Relaxed);
        match store.put_with(&key(n.to_be_bytes()), vec![7; 1 << 20]).await {
            Ok(_) => assert!(n < 100, "it is never full"),
            Err(error) => break error,
        }
    };
    assert!(refused.kind() == ErrorKind::Full && refused.to_string().contains("quota"), "{refused:?}");
    assert!(store.get(&key(0_u64.to_be_bytes())).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_of_one_prefix_share_entries_and_leases() {
    let Some(server) = Server::start(&[]) else { return };
    let config = config_of(&server);
    let (one, two) = (open(config.clone()), open(config));
    let version = one.put_with(&key("a"), "1").await.unwrap().version().unwrap();
    assert_eq!(two.get(&key("a")).await.unwrap().unwrap().version, version);
    let (lock, other) = (one.as_lock().unwrap(), two.as_lock().unwrap());
    let lease = lock.try_acquire(b"job", Duration::from_secs(1)).await.unwrap().unwrap();
    assert_eq!(other.try_acquire(b"job", Duration::from_secs(1)).await.unwrap(), None);
    let next = loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if let Some(next) = other.try_acquire(b"job", Duration::from_secs(60)).await.unwrap() {
            break next;
        }
    };
    assert!(next.token > lease.token);
    assert!(!lock.renew(&lease).await.unwrap() && !lock.release(&lease).await.unwrap());
    assert!(other.renew(&next).await.unwrap() && other.release(&next).await.unwrap());
    // Writers of two processes at once lose nothing of each other's counts.
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
    let iterate = stores[0].as_iterate().unwrap();
    let listed = stores[0].list_all(&terrace_store::capability::List::all(space())).await.unwrap();
    let bytes: usize = listed.iter().map(|(key, entry)| key.bytes().len() + entry.value.len()).sum();
    assert_eq!(iterate.count(&space()).await.unwrap(), listed.len() as u64);
    assert_eq!(iterate.bytes(&space()).await.unwrap(), bytes as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_with_whom_it_should() {
    let authority = Authority::new();
    let Some(server) = Server::start_tls(&authority.cert(), &authority.key()) else { return };
    tls::is_checked(&authority, |ca| {
        let scheme = if ca.is_some() { "etcds" } else { "etcd" };
        let url = format!("{scheme}://127.0.0.1:{}", server.port);
        let timeout = Duration::from_secs(3);
        Arc::new(open(EtcdConfig { url, tls_ca: ca.map(Into::into), timeout, ..config_of(&server) }))
    })
    .await;
}
