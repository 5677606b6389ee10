//! redis: the contract in a real server, and what happens when that is away, slow, full or somebody else's.

mod cluster;
mod nodes;
mod server;

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use server::Server;
use terrace_backends::redis::{RedisConfig, RedisStore};
use terrace_store::capability::{Change, Write};
use terrace_store::conformance::{self, Subject};
use terrace_store::fakes::FrozenClock;
use terrace_store::tokio_runtime::{TokioClock, TokioSpawn};
use terrace_store::{
    BoxFuture, Durability, Entry, ErrorKind, Health, Key, Namespace, PutOptions, Result, Store, StoreExt,
};

use crate::tls::{self, Authority};

fn key(name: impl AsRef<[u8]>) -> Key {
    Key::new("test", name).unwrap()
}

/// A prefix that no other store of this process has.
fn prefix() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("test{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

fn config_of(server: &Server) -> RedisConfig {
    RedisConfig { prefix: prefix(), ..RedisConfig::new(server.url()) }
}

fn open(config: RedisConfig) -> RedisStore {
    let clock = Arc::new(TokioClock::current().unwrap());
    RedisStore::open(config, clock, Arc::new(TokioSpawn::current().unwrap())).unwrap()
}

struct Redis<'a> {
    server: &'a Server,
    protocol: &'static str,
    last: Mutex<Option<RedisConfig>>,
}

impl Redis<'_> {
    fn open_with(&self, config: RedisConfig, clock: FrozenClock) -> Result<Arc<dyn Store>> {
        let spawn = Arc::new(TokioSpawn::current()?);
        Ok(Arc::new(RedisStore::open(config, Arc::new(clock), spawn)?))
    }
}

impl Subject for Redis<'_> {
    fn open(&self, clock: FrozenClock) -> BoxFuture<'_, Result<Arc<dyn Store>>> {
        let mut config = config_of(self.server);
        config.timeout = Duration::from_secs(20);
        config.url.push_str(self.protocol);
        *self.last.lock().unwrap() = Some(config.clone());
        Box::pin(async move { self.open_with(config, clock) })
    }

    fn reopen(&self, clock: FrozenClock) -> BoxFuture<'_, Result<Option<Arc<dyn Store>>>> {
        let config = self.last.lock().unwrap().clone().unwrap();
        Box::pin(async move { self.open_with(config, clock).map(Some) })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_contract_in_either_protocol() {
    let Some(server) = Server::start(&[]) else { return };
    for protocol in ["", "?protocol=resp3"] {
        let subject = Redis { server: &server, protocol, last: Mutex::default() };
        println!("{}", conformance::all(&subject).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_are_named_keep_the_contract_too() {
    for name in ["TERRACE_TEST_REDIS_URL", "TERRACE_TEST_VALKEY_URL", "TERRACE_TEST_DRAGONFLY_URL"] {
        match std::env::var(name) {
            Ok(url) => {
                let server = Server::elsewhere(url);
                let subject = Redis { server: &server, protocol: "", last: Mutex::default() };
                println!("{name}: {}", conformance::all(&subject).await);
            }
            Err(_) => eprintln!("skipped: {name} names no server"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_of_one_prefix_see_each_other_and_those_of_another_do_not() {
    let Some(server) = Server::start(&[]) else { return };
    let config = config_of(&server);
    let (one, two) = (open(config.clone()), open(config));
    let mut changes =
        two.as_watch().unwrap().watch(&Namespace::new("test").unwrap(), "".into()).await.unwrap();
    let version = one.put_with(&key("a"), "1").await.unwrap().version().unwrap();
    assert_eq!(two.get(&key("a")).await.unwrap().unwrap().version, version);
    assert_eq!(changes.next().await, Some(Change::Put { key: key("a"), version }));
    let other = open(config_of(&server));
    assert_eq!(other.get(&key("a")).await.unwrap(), None);
    assert_eq!(other.as_batch().unwrap().clear(None).await.unwrap(), 0);
    assert!(two.exists(&key("a")).await.unwrap());
    for store in [one, two, other] {
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_fails_the_calls_in_time_and_is_found_when_it_comes_back() {
    let Some(mut server) = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]) else { return };
    let config =
        RedisConfig { timeout: Duration::from_secs(2), durability: Durability::Always, ..config_of(&server) };
    let store = open(config);
    let _ = store.put_with(&key("a"), "1").await.unwrap();
    let mut changes =
        store.as_watch().unwrap().watch(&Namespace::new("test").unwrap(), "".into()).await.unwrap();
    server.kill();
    let began = Instant::now();
    let failed = store.get(&key("a")).await.unwrap_err();
    assert!(failed.is_transient(), "{failed:?}");
    let failed = store.put_with(&key("b"), "2").await.unwrap_err();
    assert!(matches!(failed.kind(), ErrorKind::Network | ErrorKind::Unknown), "{failed:?}");
    assert!(matches!(store.health().await, Health::Down(_)));
    assert!(began.elapsed() < Duration::from_secs(10));
    server.start_again();
    let value = loop {
        match store.get(&key("a")).await {
            Ok(entry) => break entry.unwrap().value,
            Err(error) => {
                assert!(error.is_transient() && began.elapsed() < Duration::from_secs(60), "{error:?}");
            }
        }
    };
    assert_eq!(value, "1");
    assert_eq!(store.health().await, Health::Up);
    // Whoever watches is told that something may have been missed, and goes on.
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
    assert!(tokio::time::timeout(Duration::from_secs(30), told).await.unwrap());
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_leaves_a_write_unknown_and_a_read_late() {
    let Some(server) = Server::start(&[]) else { return };
    let store = open(RedisConfig { timeout: Duration::from_secs(1), ..config_of(&server) });
    let _ = store.put_with(&key("a"), "1").await.unwrap();
    server.pause(true);
    let began = Instant::now();
    let read = store.get(&key("a")).await.unwrap_err();
    assert_eq!(read.kind(), ErrorKind::Timeout, "{read:?}");
    let write = store.put_with(&key("a"), "2").await.unwrap_err();
    assert_eq!(write.kind(), ErrorKind::Unknown, "{write:?}");
    assert!(began.elapsed() < Duration::from_secs(10));
    server.pause(false);
    // No late reply answers another call.
    for n in 0..200_u32 {
        let (key, value) = (key(n.to_be_bytes()), n.to_string());
        match store.put_with(&key, value.clone()).await {
            Ok(_) => match store.get(&key).await {
                Ok(entry) => assert_eq!(entry.unwrap().value, value),
                Err(error) => assert!(error.is_transient(), "{error:?}"),
            },
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::Unknown | ErrorKind::Network), "{error:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_says_so_and_serves_what_it_has() {
    let Some(server) = Server::start(&["--maxmemory", "3mb", "--maxmemory-policy", "noeviction"]) else {
        return;
    };
    let store = open(config_of(&server));
    let mut stored = 0;
    let full = loop {
        match store.put_with(&key(format!("{stored}")), vec![7; 100_000]).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored < 1_000, "3 MB hold no 100 MB");
    };
    assert_eq!(full.kind(), ErrorKind::Full, "{full:?}");
    assert!(full.to_string().contains("maxmemory"), "{full}");
    for n in 0..stored {
        assert_eq!(store.get(&key(format!("{n}"))).await.unwrap().unwrap().value.len(), 100_000);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_a_foreign_key_and_a_ceiling_are_told_in_words() {
    let Some(server) = Server::start(&["--requirepass", "secret"]) else { return };
    let wrong = server.url().replacen("redis://", "redis://:guess@", 1);
    let error = open(RedisConfig::new(wrong)).get(&key("a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    assert!(!error.to_string().contains("guess"), "{error}");
    let right = server.url().replacen("redis://", "redis://:secret@", 1);
    let store = open(RedisConfig::new(right.clone()));
    let _ = store.put_with(&key("a"), "1").await.unwrap();
    let demanding = RedisConfig { durability: Durability::Always, ..RedisConfig::new(right.clone()) };
    let error = open(demanding).get(&key("a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
    assert!(error.to_string().contains("appendonly no"), "{error}");
    let mut raw =
        ::redis::Client::open(right.clone()).unwrap().get_multiplexed_async_connection().await.unwrap();
    let record = [b"{terrace}:e:".as_slice(), key("foreign").flat()].concat();
    let () = ::redis::cmd("LPUSH").arg(&record).arg("x").query_async(&mut raw).await.unwrap();
    let error = store.get(&key("foreign")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
    let () = ::redis::cmd("SET").arg("{other}:v").arg("9").query_async(&mut raw).await.unwrap();
    let newer = RedisConfig { prefix: "other".into(), ..RedisConfig::new(right) };
    let error = open(newer).get(&key("a")).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Config && error.to_string().contains("format 9"), "{error}");
    let nobody = open(RedisConfig::new("redis://127.0.0.1:1")).get(&key("a")).await.unwrap_err();
    assert_eq!(nobody.kind(), ErrorKind::Network, "{nobody:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_in_the_server_is_an_error_and_never_a_value() {
    let Some(server) = Server::start(&[]) else { return };
    let config = config_of(&server);
    let store = open(config.clone());
    let entry = Entry { expires_ms: NonZeroU64::new(u64::MAX), ..Entry::new("value") };
    let _ = store.put(&key("a"), entry, PutOptions::default()).await.unwrap();
    let _ = store.put_with(&key("b"), "whole").await.unwrap();
    let mut raw =
        ::redis::Client::open(server.url()).unwrap().get_multiplexed_async_connection().await.unwrap();
    let record = [format!("{{{}}}:e:", config.prefix).as_bytes(), key("a").flat()].concat();
    let whole: Vec<u8> = ::redis::cmd("GET").arg(&record).query_async(&mut raw).await.unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x40;
        let () = ::redis::cmd("SET").arg(&record).arg(damaged).query_async(&mut raw).await.unwrap();
        match store.get(&key("a")).await {
            Err(error) => assert!(
                matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotSupported),
                "byte {at}: {error:?}"
            ),
            Ok(found) => assert!(found.is_none_or(|found| found.value == "value"), "byte {at}"),
        }
    }
    let () =
        ::redis::cmd("SET").arg(&record).arg(&whole[..whole.len() - 1]).query_async(&mut raw).await.unwrap();
    let list = terrace_store::capability::List::all(Namespace::new("test").unwrap());
    let page = store.as_iterate().unwrap().list(&list, None).await.unwrap();
    assert_eq!(page.entries.iter().map(|(key, _)| key.bytes()).collect::<Vec<_>>(), [b"b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_clear_buried_is_purged_by_sweeps() {
    let Some(server) = Server::start(&[]) else { return };
    let store = open(config_of(&server));
    let writes = |range: std::ops::Range<u32>| {
        let put = |n: u32| Write::Put(key(n.to_be_bytes()), Entry::new("v"), PutOptions::default());
        range.map(put).collect::<Vec<_>>()
    };
    let _ = store.as_batch().unwrap().apply(writes(0..2_500)).await.unwrap();
    assert_eq!(store.as_batch().unwrap().clear(None).await.unwrap(), 2_500);
    let _ = store.as_batch().unwrap().apply(writes(0..10)).await.unwrap();
    let mut sweeps = 0;
    while store.sweep(100).await.unwrap().more {
        sweeps += 1;
        assert!(sweeps < 100);
    }
    let mut raw =
        ::redis::Client::open(server.url()).unwrap().get_multiplexed_async_connection().await.unwrap();
    let records: Vec<Vec<u8>> = ::redis::cmd("KEYS").arg("*:e:*").query_async(&mut raw).await.unwrap();
    assert_eq!(records.len(), 10);
    let heaps: Vec<Vec<u8>> = ::redis::cmd("KEYS").arg("*:g:*").query_async(&mut raw).await.unwrap();
    assert_eq!(heaps.len(), 0);
    assert_eq!(store.as_iterate().unwrap().count(&Namespace::new("test").unwrap()).await.unwrap(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_forgot_its_scripts_gets_them_again() {
    let Some(server) = Server::start(&[]) else { return };
    let store = open(config_of(&server));
    let _ = store.put_with(&key("a"), "1").await.unwrap();
    let mut raw =
        ::redis::Client::open(server.url()).unwrap().get_multiplexed_async_connection().await.unwrap();
    let () = ::redis::cmd("SCRIPT").arg("FLUSH").query_async(&mut raw).await.unwrap();
    let _ = store.put_with(&key("a"), "2").await.unwrap();
    assert_eq!(store.get(&key("a")).await.unwrap().unwrap().value, "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_with_whom_it_should() {
    let authority = Authority::new();
    let Some(server) = Server::start_tls(&authority.cert(), &authority.key(), &authority.ca()) else {
        return;
    };
    tls::is_checked(&authority, |ca| {
        let url = if ca.is_some() { server.url().replace("redis:", "rediss:") } else { server.url() };
        let timeout = Duration::from_secs(3);
        Arc::new(open(RedisConfig { url, tls_ca: ca.map(Into::into), timeout, ..config_of(&server) }))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_of_the_access_list_does_what_it_may_and_nothing_else() {
    #[rustfmt::skip] // A line a user.
    let Some(server) = Server::start(&[
        "--user", "default", "off",
        "--user", "ours", "on", ">secret", "~{mine}*", "&{mine}*", "+@all", "-@admin", "-@dangerous",
        "--user", "reader", "on", ">secret", "~{mine}*", "&{mine}*", "+@read", "+@connection",
    ]) else {
        return;
    };
    let with = |user: &str, prefix: &str| {
        let url = server.url().replace("redis://", &format!("redis://{user}@"));
        open(RedisConfig { url, prefix: prefix.into(), ..RedisConfig::new("") })
    };
    let store = with("ours:secret", "mine");
    let version = store.put_with(&key("a"), "1").await.unwrap().version().unwrap();
    assert_eq!(store.get(&key("a")).await.unwrap().unwrap().version, version);
    let mut changes =
        store.as_watch().unwrap().watch(&Namespace::new("test").unwrap(), Bytes::new()).await.unwrap();
    let _ = store.put_with(&key("a"), "2").await.unwrap();
    assert!(matches!(changes.next().await, Some(Change::Put { .. })));
    assert!(store.remove(&key("a")).await.unwrap());
    for (user, prefix) in [
        ("ours:wrong", "mine"),
        ("nobody:secret", "mine"),
        ("ours:secret", "theirs"),
        ("reader:secret", "mine"),
    ] {
        let error = with(user, prefix).put_with(&key("a"), "3").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{user} {prefix}: {error:?}");
    }
}
