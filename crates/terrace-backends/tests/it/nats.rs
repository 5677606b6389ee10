//! NATS: the contract in a bucket of a real server, and what happens when that is away, slow, full or somebody else's.

mod server;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::jetstream;
use bytes::Bytes;
use server::Server;
use terrace_backends::nats::{NatsConfig, NatsStore};
use terrace_store::capability::{List, Message};
use terrace_store::conformance::{self, Subject};
use terrace_store::fakes::FrozenClock;
use terrace_store::tokio_runtime::{TokioClock, TokioSpawn};
use terrace_store::{
    BoxFuture, Condition, Entry, ErrorKind, Key, PutOptions, Result, Store, StoreExt, Version, Written,
};

use crate::proxy::Proxy;
use crate::remote::{self, key, space};
use crate::tls::{self, Authority};

/// A bucket that no other store of this process has.
fn config_of(server: &Server) -> NatsConfig {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let prefix = format!("test{}", NEXT.fetch_add(1, Ordering::Relaxed));
    NatsConfig { prefix, timeout: Duration::from_secs(30), ..NatsConfig::new(server.url()) }
}

fn open(config: NatsConfig) -> NatsStore {
    let clock = Arc::new(TokioClock::current().unwrap());
    NatsStore::open(config, clock, Arc::new(TokioSpawn::current().unwrap())).unwrap()
}

struct Nats<'a> {
    server: &'a Server,
    last: Mutex<Option<NatsConfig>>,
}

impl Nats<'_> {
    fn open_with(config: NatsConfig, clock: FrozenClock) -> Result<Arc<dyn Store>> {
        Ok(Arc::new(NatsStore::open(config, Arc::new(clock), Arc::new(TokioSpawn::current()?))?))
    }
}

impl Subject for Nats<'_> {
    fn open(&self, clock: FrozenClock) -> BoxFuture<'_, Result<Arc<dyn Store>>> {
        let config = config_of(self.server);
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
    let Some(server) = Server::start("") else { return };
    println!("{}", conformance::all(&Nats { server: &server, last: Mutex::default() }).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_outlive_a_crash_of_the_server_and_calls_find_it_again() {
    let Some(server) = Server::start("") else { return };
    let store = open(NatsConfig { timeout: Duration::from_secs(3), ..config_of(&server) });
    let server = Mutex::new(server);
    let kill = || server.lock().unwrap().process.kill();
    remote::outlives_a_crash(&store, kill, || server.lock().unwrap().start_again()).await;
    // What lists finds the server again, too.
    let listed = store.list_all(&List::all(space())).await.unwrap();
    assert!(listed.len() >= 100, "{}", listed.len());
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_leaves_a_write_unknown_and_a_read_late() {
    let Some(server) = Server::start("") else { return };
    let store = open(NatsConfig { timeout: Duration::from_secs(2), ..config_of(&server) });
    remote::bears_a_hanging_server(&store, |hang| server.process.pause(hang)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_leaves_no_doubt_but_the_one_that_is_told() {
    let Some(server) = Server::start("") else { return };
    let proxy = Proxy::to(server.port);
    let url = format!("nats://127.0.0.1:{}", proxy.port);
    let store = open(NatsConfig { url, timeout: Duration::from_secs(2), ..config_of(&server) });
    remote::bears_cut_connections(&store, |bytes| proxy.cut_after(bytes)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_in_words() {
    let Some(server) = Server::start("") else { return };
    let short = Duration::from_secs(2);
    let nowhere = open(NatsConfig { timeout: short, ..NatsConfig::new("nats://127.0.0.1:1") });
    let error = nowhere.get(&key("a")).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Network | ErrorKind::Timeout), "{error:?}");
    let error = nowhere.put_with(&key("a"), "1").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Network, "{error:?}");
    let config = config_of(&server);
    let _ = open(config.clone()).put_with(&key("a"), "1").await.unwrap();
    let wrong = NatsConfig { replicas: 3, ..config.clone() };
    let error = open(wrong).get(&key("a")).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Config && error.to_string().contains("1 replicas"), "{error}");
    let client = async_nats::connect(server.url()).await.unwrap();
    let context = jetstream::new(client);
    let format = format!("$KV.{}.v", config.prefix);
    context.publish(format, "terrace 9".into()).await.unwrap().await.unwrap();
    let error = open(config).get(&key("a")).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Config && error.to_string().contains("terrace 9"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_bucket_is_refused() {
    let Some(server) = Server::start("") else { return };
    let client = async_nats::connect(server.url()).await.unwrap();
    let context = jetstream::new(client);
    let bucket = |name: &str| jetstream::stream::Config {
        name: format!("KV_{name}"),
        subjects: vec![format!("$KV.{name}.>")],
        max_messages_per_subject: 1,
        allow_direct: true,
        discard: jetstream::stream::DiscardPolicy::New,
        ..Default::default()
    };
    context.create_stream(bucket("used")).await.unwrap();
    context.publish("$KV.used.theirs", "1".into()).await.unwrap().await.unwrap();
    let mortal = jetstream::stream::Config { max_age: Duration::from_secs(60), ..bucket("mortal") };
    context.create_stream(mortal).await.unwrap();
    let memory = jetstream::stream::StorageType::Memory;
    context.create_stream(jetstream::stream::Config { storage: memory, ..bucket("memory") }).await.unwrap();
    for (prefix, words) in
        [("used", "something else"), ("mortal", "max_age"), ("memory", "a restart loses it")]
    {
        let error = open(NatsConfig { prefix: prefix.into(), ..config_of(&server) });
        let error = error.get(&key("a")).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Config && error.to_string().contains(words), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_jetstream_is_refused() {
    let Some(mut server) = Server::start("") else { return };
    server.process.kill();
    let conf = server.folder.path().join("nats.conf");
    std::fs::write(conf, format!("listen: \"127.0.0.1:{}\"\n", server.port)).unwrap();
    server.start_again();
    let error = open(config_of(&server)).get(&key("a")).await.unwrap_err();
    assert!(error.to_string().contains("--jetstream"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_refused_and_the_right_one_let_in() {
    let Some(server) = Server::start("authorization { user: me, password: secret }") else { return };
    let with = |user: &str| NatsConfig {
        url: format!("nats://{user}127.0.0.1:{}", server.port),
        ..config_of(&server)
    };
    for user in ["me:wrong@", ""] {
        let error = open(with(user)).get(&key("a")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
        assert!(!format!("{error:?} {error}").contains("wrong@"), "{error:?}");
    }
    assert_eq!(open(with("me:secret@")).get(&key("a")).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_bucket_refuses_writes_and_goes_on_reading_and_deleting() {
    let Some(server) = Server::start("") else { return };
    let store = open(NatsConfig { capacity: Some(20_000_000), ..config_of(&server) });
    let mut n = 0_u64;
    let refused = loop {
        match store.put_with(&key(n.to_be_bytes()), vec![7; 1 << 20]).await {
            Ok(_) => n += 1,
            Err(error) => break error,
        }
        assert!(n < 100, "it is never full");
    };
    assert!(refused.kind() == ErrorKind::Full && refused.to_string().contains("max_bytes"), "{refused:?}");
    assert!(store.get(&key(0_u64.to_be_bytes())).await.unwrap().is_some());
    assert_eq!(store.get(&key(n.to_be_bytes())).await.unwrap(), None);
    assert!(store.remove(&key(0_u64.to_be_bytes())).await.unwrap());
    let _ = store.put_with(&key(n.to_be_bytes()), vec![7; 1 << 19]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn values_longer_than_a_message_are_whole_and_leave_nothing_behind() {
    let Some(server) = Server::start("max_payload: 32768") else { return };
    let config = config_of(&server);
    let store = open(config.clone());
    let long = |n: u8| vec![n; 1_000_000];
    for n in 0..3 {
        let _ = store.put_with(&key("a"), long(n)).await.unwrap();
        assert_eq!(store.get(&key("a")).await.unwrap().unwrap().value, long(n));
    }
    // A refused one leaves what was there.
    let options = PutOptions { condition: Condition::Match(Version(1)), ..PutOptions::default() };
    let _ = store.put(&key("a"), Entry::new(long(9)), options).await.unwrap();
    assert_eq!(store.get(&key("a")).await.unwrap().unwrap().value, long(2));
    let client = async_nats::connect(server.url()).await.unwrap();
    let stream = jetstream::new(client).get_stream(format!("KV_{}", config.prefix)).await.unwrap();
    let bytes = async || stream.get_info().await.unwrap().state.bytes;
    assert!(bytes().await < 1_200_000, "pieces of what was replaced are there");
    assert!(store.remove(&key("a")).await.unwrap());
    assert!(bytes().await < 10_000, "pieces of what was deleted are there");
    // A key that leaves no room is told of.
    let long = Key::new("test", vec![7; 50_000]).unwrap();
    let error = store.put_with(&long, "1").await.unwrap_err();
    assert!(error.kind() == ErrorKind::Invalid && error.to_string().contains("max_payload"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_of_one_bucket_share_entries_counts_and_messages() {
    let Some(server) = Server::start("") else { return };
    let config = config_of(&server);
    let (one, two) = (open(config.clone()), open(config.clone()));
    let version = one.put_with(&key("a"), "1").await.unwrap().version().unwrap();
    assert_eq!(two.get(&key("a")).await.unwrap().unwrap().version, version);
    let mut told = two.as_publish().unwrap().subscribe(b"news").await.unwrap();
    let publish = one.as_publish().unwrap();
    assert_eq!(publish.publish(b"news", Bytes::from_static(b"1")).await.unwrap(), 1);
    assert_eq!(told.next().await, Some(Message::Payload(Bytes::from_static(b"1"))));
    // Writers of two processes at once lose nothing of each other's counts.
    let writers = [one, two].map(|store| {
        tokio::spawn(async move {
            for n in 0..50_u32 {
                let _ = store.put_with(&key((n % 20).to_be_bytes()), vec![7; n as usize]).await.unwrap();
                let _ = store.remove(&key((n % 7).to_be_bytes())).await.unwrap();
                if n == 25 {
                    let _ = store.clear_namespace(&space()).await.unwrap();
                }
            }
            store
        })
    });
    let mut stores = Vec::new();
    for writer in writers {
        stores.push(writer.await.unwrap());
    }
    for store in &stores {
        let iterate = store.as_iterate().unwrap();
        let listed = store.list_all(&List::all(space())).await.unwrap();
        let bytes: usize = listed.iter().map(|(key, entry)| key.bytes().len() + entry.value.len()).sum();
        assert_eq!(iterate.count(&space()).await.unwrap(), listed.len() as u64);
        assert_eq!(iterate.bytes(&space()).await.unwrap(), bytes as u64);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_went_without_a_word_is_waited_for_once() {
    let Some(server) = Server::start("") else { return };
    let config = config_of(&server);
    let store = open(config.clone());
    let _ = store.put_with(&key("a"), "1").await.unwrap();
    let context = jetstream::new(async_nats::connect(server.url()).await.unwrap());
    // What a process that was killed leaves: base64 of `news`, and somebody's name.
    let left = format!("$KV.{}.l.cbmV3cw.00", config.prefix);
    context.publish(left, Bytes::new()).await.unwrap().await.unwrap();
    let publish = store.as_publish().unwrap();
    let mut told = publish.subscribe(b"news").await.unwrap();
    assert_eq!(publish.publish(b"news", Bytes::from_static(b"1")).await.unwrap(), 1);
    assert_eq!(told.next().await, Some(Message::Payload(Bytes::from_static(b"1"))));
    let began = std::time::Instant::now();
    assert_eq!(publish.publish(b"news", Bytes::from_static(b"2")).await.unwrap(), 1);
    assert!(began.elapsed() < Duration::from_millis(900), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_with_whom_it_should() {
    let authority = Authority::new();
    let settings = format!("tls {{ cert_file: {:?}, key_file: {:?} }}", authority.cert(), authority.key());
    let Some(server) = Server::start(&settings) else { return };
    tls::is_checked(&authority, |ca| {
        let scheme = if ca.is_some() { "natss" } else { "nats" };
        let url = format!("{scheme}://127.0.0.1:{}", server.port);
        let timeout = Duration::from_secs(3);
        Arc::new(open(NatsConfig { url, tls_ca: ca.map(Into::into), timeout, ..config_of(&server) }))
    })
    .await;
}

/// The header of a message as the store draws it, without pieces.
fn header(kind: &[u8; 2], number: u64, flat: &[u8]) -> async_nats::HeaderMap {
    use base64::Engine;
    let mut bytes = kind.to_vec();
    bytes.extend(number.to_be_bytes());
    bytes.extend([0; 40]);
    bytes.extend(flat);
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Terrace", base64::engine::general_purpose::STANDARD_NO_PAD.encode(bytes).as_str());
    headers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clear_whose_caller_has_gone_in_its_midst_is_finished_by_a_sweep() {
    let Some(server) = Server::start("") else { return };
    let config = config_of(&server);
    let store = open(config.clone());
    let mut versions = Vec::new();
    for n in 0..5_u8 {
        versions.push(store.put_with(&key([n]), "v").await.unwrap().version().unwrap());
    }
    let context = jetstream::new(async_nats::connect(server.url()).await.unwrap());
    // Base64 of `test`.
    let floor = format!("$KV.{}.f.ndGVzdA", config.prefix);
    let left = header(b"TA", 0, space().flat_prefix());
    context.publish_with_headers(floor, left, Bytes::new()).await.unwrap().await.unwrap();
    assert_eq!(store.as_iterate().unwrap().count(&space()).await.unwrap(), 0);
    // For conditions it is all gone, as it is for listings.
    let on = |condition| PutOptions { condition, ..PutOptions::default() };
    let changed =
        store.put(&key([3]), Entry::new("changed"), on(Condition::Match(versions[3]))).await.unwrap();
    assert_eq!(changed, Written::Conflict { current: None });
    let made = store.put(&key([4]), Entry::new("made"), on(Condition::Absent)).await.unwrap();
    assert!(matches!(made, Written::Stored { replaced: false, .. }), "{made:?}");
    let _ = store.put_with(&key([9]), "after").await.unwrap();
    let _ = store.sweep(100).await.unwrap();
    for n in 0..4_u8 {
        assert_eq!(store.get(&key([n])).await.unwrap(), None);
    }
    assert_eq!(store.get(&key([4])).await.unwrap().unwrap().value, "made");
    assert_eq!(store.get(&key([9])).await.unwrap().unwrap().value, "after");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_was_judged_before_a_clear_and_stored_after_it_never_was() {
    let Some(server) = Server::start("") else { return };
    let config = config_of(&server);
    let store = open(config.clone());
    let _ = store.put_with(&key("a"), "old").await.unwrap();
    let context = jetstream::new(async_nats::connect(server.url()).await.unwrap());
    let stream = context.get_stream(format!("KV_{}", config.prefix)).await.unwrap();
    let subject = format!("$KV.{}.e.ndGVzdA.kYQ", config.prefix);
    let old = stream.get_last_raw_message_by_subject(&subject).await.unwrap();
    assert_eq!(store.clear_namespace(&space()).await.unwrap(), 1);
    let late = header(b"EG", 1, key("a").flat());
    context.publish_with_headers(subject, late, old.payload).await.unwrap().await.unwrap();
    assert_eq!(store.get(&key("a")).await.unwrap(), None);
    assert!(!store.exists(&key("a")).await.unwrap());
    assert_eq!(store.list_all(&List::all(space())).await.unwrap(), vec![]);
    assert_eq!(store.as_iterate().unwrap().count(&space()).await.unwrap(), 0);
    let absent = PutOptions { condition: Condition::Absent, ..PutOptions::default() };
    let written = store.put(&key("a"), Entry::new("new"), absent).await.unwrap();
    assert!(written.version().is_some());
    assert_eq!(store.get(&key("a")).await.unwrap().unwrap().value, "new");
}
