//! The store `http:` of another Terrace: the whole contract, over a socket, in a log that a server keeps.
//!
//! The log goes by the clock of the trial; the server around it, its connections and their timeouts by the real one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use terrace::backends::disk::{DiskConfig, DiskStore};
use terrace::backends::http::{HttpConfig, HttpStore};
use terrace::backends::wire;
use terrace::tiers::{Foundation, Lower, Options, Tier, Tiers, WriteMode};
use terrace_server::http::{Facts, HttpState, Limits, Live, Setup, serve};
use terrace_server::keyspace::Keyspace;
use terrace_store::capability::{Change, List};
use terrace_store::conformance::{self, Subject};
use terrace_store::fakes::FrozenClock;
use terrace_store::net::Net;
use terrace_store::tokio_runtime::{TokioClock, TokioNet, TokioSpawn};
use terrace_store::{
    BoxFuture, Clock, Durability, Entry, ErrorKind, Key, Namespace, Result, Store, StoreExt,
};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

struct Open;

impl Live for Open {
    fn password(&self) -> Option<Bytes> {
        None
    }
    fn settings(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

/// A server of this process over a folder.
struct Server {
    address: SocketAddr,
    keyspace: Arc<Keyspace>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

impl Server {
    async fn start(folder: &std::path::Path, clock: FrozenClock) -> Result<Self> {
        let spawn = Arc::new(TokioSpawn::current()?);
        let log = DiskStore::open(DiskConfig::new(folder), Arc::new(clock), spawn.clone())?;
        let real: Arc<dyn Clock> = Arc::new(TokioClock::current()?);
        // What is over goes when the trial says so; nobody waits for the task that would see to it.
        let options = Options {
            maintenance: Duration::from_secs(1 << 30),
            close_grace: Duration::ZERO,
            ..Options::default()
        };
        let base = Foundation::new(real, options);
        let lower = Lower::new(Tier::Cold, Arc::new(log), WriteMode::Through);
        let tiers = Tiers::open(base, None, vec![lower], spawn).await?;
        let keyspace = Arc::new(Keyspace::new(tiers, None)?);
        let state = HttpState::new(Setup {
            keyspace: Arc::clone(&keyspace),
            limits: Limits::default(),
            live: Box::new(Open),
            local_names_only: true,
            facts: Facts::default(),
            activity: Box::new(Default::default),
        });
        let listener =
            TokioNet.listen("127.0.0.1:0".parse().expect("an address")).await.expect("a free port");
        let address = listener.local_address();
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(serve(listener, state, None, async move { drop(stopped.await) }));
        Ok(Self { address, keyspace, stop, served })
    }

    async fn end(self) {
        drop(self.stop);
        let _ = self.served.await;
        let _ = self.keyspace.tiers().close().await;
    }

    fn config(&self) -> HttpConfig {
        HttpConfig { timeout: Duration::from_secs(30), ..HttpConfig::new(format!("http://{}", self.address)) }
    }

    fn store(&self, clock: Arc<dyn Clock>) -> Result<HttpStore> {
        HttpStore::open(self.config(), clock, Arc::new(TokioSpawn::current()?))
    }

    fn open(&self) -> HttpStore {
        self.store(Arc::new(TokioClock::current().unwrap())).unwrap()
    }
}

/// Servers of which the last few live: a trial may begin before the one before is forgotten.
#[derive(Default)]
struct Remote(tokio::sync::Mutex<Vec<(TempDir, Server)>>);

impl Subject for Remote {
    fn open(&self, clock: FrozenClock) -> BoxFuture<'_, Result<Arc<dyn Store>>> {
        Box::pin(async move {
            let folder = tempfile::tempdir().expect("a folder");
            let server = Server::start(&folder.path().join("data"), clock.clone()).await?;
            let store = server.store(Arc::new(clock))?;
            let mut servers = self.0.lock().await;
            servers.push((folder, server));
            if servers.len() > 3 {
                let (_folder, server) = servers.remove(0);
                server.end().await;
            }
            Ok(Arc::new(store) as Arc<dyn Store>)
        })
    }

    fn reopen(&self, clock: FrozenClock) -> BoxFuture<'_, Result<Option<Arc<dyn Store>>>> {
        Box::pin(async move {
            let mut servers = self.0.lock().await;
            let Some((folder, server)) = servers.pop() else { return Ok(None) };
            server.end().await;
            let server = Server::start(&folder.path().join("data"), clock.clone()).await?;
            let store = server.store(Arc::new(clock))?;
            servers.push((folder, server));
            Ok(Some(Arc::new(store) as Arc<dyn Store>))
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_keeps_the_contract_over_a_log_in_another_server() {
    let subject = Remote::default();
    let report = conformance::all(&subject).await;
    println!("{report}");
    for suite in ["batch", "transaction", "watch", "reopen"] {
        assert!(report.ran.contains(&suite), "{suite} did not run: {report}");
    }
    for (_folder, server) in subject.0.into_inner() {
        server.end().await;
    }
}

fn key(name: impl AsRef<[u8]>) -> Key {
    Key::new("test", name).unwrap()
}

fn space() -> Namespace {
    Namespace::new("test").unwrap()
}

async fn with_server() -> (TempDir, Server) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), FrozenClock::at_wall_ms(1_700_000_000_000)).await.unwrap();
    (folder, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_of_one_name_share_entries_and_those_of_others_see_nothing() {
    let (_folder, server) = with_server().await;
    let (one, two) = (server.open(), server.open());
    let clock = || Arc::new(TokioClock::current().unwrap());
    let spawn = || Arc::new(TokioSpawn::current().unwrap());
    let other = HttpConfig { prefix: "other".into(), ..server.config() };
    let other = HttpStore::open(other, clock(), spawn()).unwrap();
    let version = one.put_with(&key("a"), "1").await.unwrap().version().unwrap();
    assert_eq!(two.get(&key("a")).await.unwrap().unwrap().version, version);
    assert_eq!(other.get(&key("a")).await.unwrap(), None);
    // A database is cleared or invalidated, and the stores are as they were.
    let redis = server.keyspace.key(0, b"a").unwrap();
    let _ = server.keyspace.set(&redis, Bytes::from("redis"), None).await.unwrap();
    assert_eq!(other.as_batch().unwrap().clear(None).await.unwrap(), 0);
    assert!(server.keyspace.get(&redis).await.unwrap().is_some());
    let tagged = one.put_with(&key("tagged"), "1").tag("users").await.unwrap();
    assert!(tagged.version().is_some());
    server.keyspace.clear(0..16).await.unwrap();
    use terrace::tiers::{Mode, Scope};
    server.keyspace.tiers().invalidate(&Scope::Tag(Bytes::from("users")), Mode::Purge).await.unwrap();
    server.keyspace.tiers().invalidate(&Scope::All, Mode::Purge).await.unwrap();
    server.keyspace.tiers().reclaim().await;
    for name in ["a", "tagged"] {
        assert!(two.get(&key(name)).await.unwrap().is_some(), "{name} is gone");
    }
    assert_eq!(server.keyspace.get(&redis).await.unwrap().map(|value| value.bytes), None);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_large_values_are_read_and_listed_a_message_at_a_time() {
    let (_folder, server) = with_server().await;
    let store = server.open();
    let value = |n: u8| Bytes::from(vec![n; wire::FULL / 3]);
    let keys: Vec<Key> = (0..9_u8).map(|n| key([n])).collect();
    let put = |n: u8| {
        terrace_store::capability::Write::Put(
            key([n]),
            Entry::new(value(n)),
            terrace_store::PutOptions::default(),
        )
    };
    assert_eq!(store.as_batch().unwrap().apply((0..9).map(put).collect()).await.unwrap().len(), 9);
    let found = store.get_many(&keys).await.unwrap();
    assert!(found.iter().zip(0..).all(|(entry, n)| entry.as_ref().unwrap().value == value(n)));
    let page = store.list(&List::all(space()), None).await.unwrap();
    assert!(page.entries.len() < 9 && page.next.is_some(), "{}", page.entries.len());
    let all = store.list_all(&List::all(space())).await.unwrap();
    assert!(all.len() == 9 && all.iter().zip(0..).all(|((_, entry), n)| entry.value == value(n)));
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_durability_than_the_server_has_is_refused_with_its_ceiling() {
    let (_folder, server) = with_server().await;
    let config = HttpConfig { durability: Durability::Always, ..server.config() };
    let clock = Arc::new(TokioClock::current().unwrap());
    let store = HttpStore::open(config, clock, Arc::new(TokioSpawn::current().unwrap())).unwrap();
    let error = store.get(&key("a")).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Config && error.to_string().contains("ceiling"), "{error}");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_keeps_to_its_prefix_however_long_that_is() {
    let (_folder, server) = with_server().await;
    let store = server.open();
    let mut changes = store.as_watch().unwrap().watch(&space(), Bytes::new()).await.unwrap();
    let version = store.put_with(&key("a"), "1").await.unwrap().version().unwrap();
    let told = tokio::time::timeout(Duration::from_secs(10), changes.next()).await.unwrap();
    assert_eq!(told, Some(Change::Put { key: key("a"), version }));
    // A prefix that is longer than what is sent of it.
    let long = vec![b'x'; 60_000];
    let mut narrow = store.as_watch().unwrap().watch(&space(), Bytes::from(long.clone())).await.unwrap();
    for name in [&long[..50_000], &long[..]] {
        let _ = store.put_with(&key(name), "1").await.unwrap();
    }
    let told = tokio::time::timeout(Duration::from_secs(10), narrow.next()).await.unwrap();
    assert!(matches!(told, Some(Change::Put { key: told, .. }) if told == key(&long)));
    store.close().await.unwrap();
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_no_messages_are_refused_in_words() {
    let (_folder, server) = with_server().await;
    let ask = |request: String| {
        let address = server.address;
        async move {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            let _ = stream.read_to_string(&mut answer).await;
            answer
        }
    };
    let request = |method: &str, path: &str, kind: &str, body: &str| {
        format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: {kind}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    for (request, status, words) in [
        (request("POST", "/v1/stores/a/batch", "text/plain", "x"), 415, wire::MEDIA),
        (request("POST", "/v1/stores/a/batch", wire::MEDIA, "x"), 400, "does not know"),
        (request("POST", "/v1/stores/a/batch", wire::MEDIA, ""), 400, "cut"),
        (request("POST", "/v1/stores/a/list", wire::MEDIA, "nonsense"), 400, "cut"),
        (request("POST", "/v1/stores/a%2Fb/batch", wire::MEDIA, "\u{1}"), 400, "letters, digits"),
        (request("GET", "/v1/stores/a?x=1", "text/plain", ""), 400, "no parameter"),
        (request("POST", "/v1/stores/a/clear", "application/json", "{}"), 400, "name one thing"),
        (request("POST", "/v1/stores/a/clear", "text/plain", "{\"all\":true}"), 415, "application/json"),
        (request("POST", "/v1/stores/a/sweep", "application/json", "{\"limit\":-1}"), 400, "the body"),
        (request("GET", "/v1/stores/a/batch", "text/plain", ""), 405, "not possible"),
    ] {
        let answer = ask(request.clone()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
        assert!(answer.contains("application/problem+json") && answer.contains(words), "{request}: {answer}");
    }
    let facts = ask(request("GET", "/v1/stores/a", "text/plain", "")).await;
    assert!(facts.contains("\"engine\":\"disk\"") && facts.contains("\"format\":1"), "{facts}");
    server.end().await;
}
