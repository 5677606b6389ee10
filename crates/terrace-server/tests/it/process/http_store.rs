//! The store `http:` in a real `terrace serve`: killed, paused, cut off, behind a password and behind TLS.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use terrace::backends::http::{HttpConfig, HttpStore};
use terrace_store::conformance::{self, Subject};
use terrace_store::fakes::FrozenClock;
use terrace_store::tokio_runtime::{TokioClock, TokioSpawn};
use terrace_store::{BoxFuture, ErrorKind, Result, Store, StoreExt};

use super::*;
use crate::proxy::Proxy;
use crate::remote::{self, key};

fn open(config: HttpConfig) -> HttpStore {
    let clock = Arc::new(TokioClock::current().unwrap());
    HttpStore::open(config, clock, Arc::new(TokioSpawn::current().unwrap())).unwrap()
}

fn config_of(port: u16) -> HttpConfig {
    HttpConfig { timeout: Duration::from_secs(3), ..HttpConfig::new(format!("http://127.0.0.1:{port}")) }
}

/// A server on this port, with its data in this folder.
fn start(folder: &Path, port: u16) -> Server {
    let (folder, port) = (folder.to_str().unwrap(), port.to_string());
    Server::of(&mut terrace(&["serve", "--port", "0", "--http-port", &port, "--dir", folder]))
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Stores of one server, each with a name of its own.
struct Named(u16);

impl Subject for Named {
    fn open(&self, _: FrozenClock) -> BoxFuture<'_, Result<Arc<dyn Store>>> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let prefix = format!("trial-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let config = HttpConfig { prefix, timeout: Duration::from_secs(30), ..config_of(self.0) };
        Box::pin(async move { Ok(Arc::new(open(config)) as Arc<dyn Store>) })
    }

    fn reopen(&self, _: FrozenClock) -> BoxFuture<'_, Result<Option<Arc<dyn Store>>>> {
        Box::pin(async { Ok(None) })
    }
}

/// All rules of the contract that do not turn the clock, which is the program's own here.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_in_a_real_server_keeps_the_contract() {
    use conformance::{basics, batch, concurrency, conditions, iterate, limits, transaction, watch};
    let (_outer, folder) = folder();
    let server = Server::on(&folder, &[]);
    let subject = Named(server.http.port());
    basics::a_miss_is_not_an_error(&subject).await;
    basics::what_was_put_is_got_until_it_is_deleted(&subject).await;
    basics::a_put_tells_whether_it_replaced_and_a_delete_whether_there_was_one(&subject).await;
    basics::any_bytes_are_a_key_and_a_value(&subject).await;
    basics::namespaces_are_apart(&subject).await;
    basics::compression_never_shows(&subject).await;
    basics::deferred_writes_show_at_once_and_commit(&subject).await;
    basics::a_closed_store_refuses_everything(&subject).await;
    conditions::update_reads_changes_and_writes(&subject).await;
    conditions::versions_grow_with_each_write(&subject).await;
    conditions::a_reserved_version_loses_to_what_happened_since(&subject).await;
    limits::all(&subject).await;
    iterate::a_listing_has_what_it_covers(&subject).await;
    iterate::namespaces_are_listed_apart(&subject).await;
    iterate::what_stays_is_listed_once_whatever_else_changes(&subject).await;
    batch::many_are_got_in_their_order(&subject).await;
    batch::operations_are_applied_in_order(&subject).await;
    batch::a_conflict_keeps_nothing_else_back(&subject).await;
    batch::an_error_leaves_an_atomic_batch_undone(&subject).await;
    concurrency::all(&subject).await;
    transaction::writes_happen_at_the_commit_and_together(&subject).await;
    transaction::of_two_that_read_what_the_other_writes_one_conflicts(&subject).await;
    transaction::transfers_keep_the_total(&subject).await;
    watch::changes_come_in_order(&subject).await;
    watch::a_watch_keeps_to_its_prefix(&subject).await;
    watch::a_slow_watcher_is_told_that_it_lagged(&subject).await;
    watch::changes_of_racing_writers_come_in_the_order_of_versions(&subject).await;
    watch::a_closed_store_ends_its_watches(&subject).await;
    assert_eq!(server.stop().0, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_outlive_a_kill_and_calls_and_watches_find_the_server_again() {
    let ((_outer, folder), port) = (folder(), free_port());
    let server = Mutex::new(Some(start(&folder, port)));
    let store = open(config_of(port));
    let kill = || server.lock().unwrap().take().unwrap().kill();
    remote::outlives_a_crash(&store, kill, || *server.lock().unwrap() = Some(start(&folder, port))).await;
    store.close().await.unwrap();
}

/// Whether every thread of a process has stopped.
fn is_stopped(process: u32) -> bool {
    let stopped = |stat: String| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'));
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten();
    tasks.flatten().all(|task| std::fs::read_to_string(task.path().join("stat")).is_ok_and(stopped))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_leaves_a_write_unknown_and_a_read_late() {
    let (_outer, folder) = folder();
    let server = Server::on(&folder, &[]);
    let store = open(HttpConfig { timeout: Duration::from_secs(4), ..config_of(server.http.port()) });
    let pause = |hang: bool| {
        server.signal(if hang { Signal::STOP } else { Signal::CONT });
        // It takes effect a moment later, for one thread after the other.
        let began = Instant::now();
        while hang && !is_stopped(server.child.id()) {
            assert!(began.elapsed() < PATIENCE, "it does not stop");
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    remote::bears_a_hanging_server(&store, pause).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_leaves_no_doubt_but_the_one_that_is_told() {
    let (_outer, folder) = folder();
    let server = Server::on(&folder, &[]);
    let proxy = Proxy::to(server.http.port());
    let store = open(config_of(proxy.port));
    remote::bears_cut_connections(&store, |bytes| proxy.cut_after(bytes)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_server_is_away_and_its_watchers_come_back() {
    let ((_outer, folder), port) = (folder(), free_port());
    let server = start(&folder, port);
    let store = open(config_of(port));
    let _ = store.put_with(&key("a"), "1").await.unwrap();
    let mut changes = store.as_watch().unwrap().watch(&remote::space(), Default::default()).await.unwrap();
    assert_eq!(server.stop().0, Some(0));
    let error = store.get(&key("a")).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    let _server = start(&folder, port);
    let told = tokio::time::timeout(PATIENCE, changes.next()).await.unwrap();
    assert_eq!(told, Some(terrace_store::capability::Change::Lagged));
    assert_eq!(store.get(&key("a")).await.unwrap().unwrap().value, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_refused_and_the_right_one_let_in() {
    let (outer, _) = folder();
    let file = outer.path().join("password");
    std::fs::write(&file, "open sesame\n").unwrap();
    let server = Server::start(&["--memory", "--requirepass-file", file.to_str().unwrap()]);
    let port = server.http.port();
    let with = |user: &str| HttpConfig::new(format!("http://{user}127.0.0.1:{port}"));
    for wrong in ["", ":sesame@", "default:sesame@", "other:open%20sesame@"] {
        let error = open(with(wrong)).get(&key("a")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{wrong}: {error:?}");
        assert!(!error.to_string().contains("sesame"), "{error}");
    }
    for right in [":open%20sesame@", "default:open%20sesame@"] {
        assert_eq!(open(with(right)).get(&key("a")).await.unwrap(), None, "{right}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_with_whom_the_authority_vouches_for() {
    let (outer, _) = folder();
    let (cert, key_file) = access::certificate(outer.path());
    let stranger = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let strange = outer.path().join("stranger");
    std::fs::write(&strange, stranger.cert.pem()).unwrap();
    let server = Server::start(&["--memory", "--tls-cert", &cert, "--tls-key", &key_file]);
    let port = server.http.port();
    let with = |url: String, ca: Option<&str>| HttpConfig {
        tls_ca: ca.map(PathBuf::from),
        timeout: Duration::from_secs(3),
        ..HttpConfig::new(url)
    };
    let secure = |host: &str| format!("https://{host}:{port}");
    for host in ["localhost", "127.0.0.1"] {
        let store = open(with(secure(host), Some(&cert)));
        let _ = store.put_with(&key("a"), vec![7; 1 << 20]).await.unwrap();
        assert_eq!(store.get(&key("a")).await.unwrap().unwrap().value.len(), 1 << 20);
        let mut changes =
            store.as_watch().unwrap().watch(&remote::space(), Default::default()).await.unwrap();
        let _ = store.put_with(&key("b"), "1").await.unwrap();
        assert!(tokio::time::timeout(PATIENCE, changes.next()).await.unwrap().is_some());
    }
    for ca in [None, Some(strange.to_str().unwrap())] {
        let error = open(with(secure("localhost"), ca)).get(&key("a")).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Network && error.to_string().contains("certificate"), "{error}");
    }
    let error = open(with(format!("http://127.0.0.1:{port}"), None)).get(&key("a")).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Network | ErrorKind::Timeout), "{error:?}");
    let clock = Arc::new(TokioClock::current().unwrap());
    let spawn = Arc::new(TokioSpawn::current().unwrap());
    let refused = HttpStore::open(with(secure("localhost"), Some(&key_file)), clock, spawn).err().unwrap();
    assert!(
        refused.kind() == ErrorKind::Config && refused.to_string().contains("no certificate"),
        "{refused}"
    );
}

#[test]
fn a_store_is_copied_into_a_server_and_out_again_with_all_that_is_known_of_its_entries() {
    let (outer, data) = folder();
    let server = Server::on(&data, &[]);
    let url = format!("http://127.0.0.1:{}?prefix=copied", server.http.port());
    let from = format!("fs:{}", outer.path().join("from").display());
    let to = format!("fs:{}", outer.path().join("to").display());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let all = |url: &str| {
        runtime.block_on(async {
            let clock = Arc::new(TokioClock::current().unwrap());
            let spawn = Arc::new(TokioSpawn::current().unwrap());
            let store = terrace::backends::registry::open(url, clock, spawn).unwrap();
            let list = terrace_store::capability::List::all(remote::space());
            let all = store.list_all(&list).await.unwrap();
            store.close().await.unwrap();
            all
        })
    };
    runtime.block_on(async {
        let clock = Arc::new(TokioClock::current().unwrap());
        let spawn = Arc::new(TokioSpawn::current().unwrap());
        let store = terrace::backends::registry::open(&from, clock, spawn).unwrap();
        for n in 0..500_u32 {
            let key = key(n.to_be_bytes());
            let put = store.put_with(&key, vec![n as u8; 300]).tag("t").metadata("Name", "Wert").deferred();
            let put = if n % 3 == 0 { put.ttl_ms(1 << 40) } else { put };
            let _ = put.await.unwrap();
        }
        store.close().await.unwrap();
    });
    for (from, to) in [(&from, &url), (&url, &to)] {
        let output = run(&["copy", from, to]);
        assert!(output.status.success(), "{}", stderr(&output));
    }
    let (before, between, after) = (all(&from), all(&url), all(&to));
    assert_eq!(before.len(), 500);
    assert!(before == between && between == after, "an entry was changed on its way");
}
