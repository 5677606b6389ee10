//! What every store in a server does when that is killed, hangs, is cut off or is not there: one set of tests that each
//! calls with its own server.

use std::time::{Duration, Instant};

use bytes::Bytes;
#[cfg(any(feature = "etcd", feature = "http", feature = "mysql", feature = "nats"))]
use terrace_store::Health;
#[cfg(any(feature = "etcd", feature = "http", feature = "mysql", feature = "nats"))]
use terrace_store::capability::Change;
use terrace_store::{ErrorKind, Key, Namespace, Store, StoreExt};

pub(super) fn key(name: impl AsRef<[u8]>) -> Key {
    Key::new("test", name).unwrap()
}

pub(super) fn space() -> Namespace {
    Namespace::new("test").unwrap()
}

/// Kills a server with `kill`, which leaves its files, and starts it again with `start`: nothing acknowledged is lost,
/// calls fail meanwhile and find it again, and so do watches, which tell of all or that they lagged.
#[cfg(any(feature = "etcd", feature = "http", feature = "mysql", feature = "nats"))]
pub(super) async fn outlives_a_crash(store: &dyn Store, mut kill: impl FnMut(), mut start: impl FnMut()) {
    for n in 0..100_u32 {
        let _ = store.put_with(&key(n.to_be_bytes()), n.to_string()).await.unwrap();
    }
    let mut changes = match store.as_watch() {
        Some(watch) => Some(watch.watch(&space(), Bytes::new()).await.unwrap()),
        None => None,
    };
    kill();
    let failed = store.get(&key("a")).await.unwrap_err();
    assert!(failed.is_transient(), "{failed:?}");
    let failed = store.put_with(&key("a"), "1").await.unwrap_err();
    assert!(
        matches!(failed.kind(), ErrorKind::Network | ErrorKind::Unknown | ErrorKind::Timeout),
        "{failed:?}"
    );
    assert!(matches!(store.health().await, Health::Down(_)));
    start();
    let began = Instant::now();
    for n in 0..100_u32 {
        let entry = loop {
            match store.get(&key(n.to_be_bytes())).await {
                Ok(entry) => break entry,
                Err(error) => {
                    assert!(error.is_transient() && began.elapsed() < Duration::from_secs(60), "{error:?}");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        };
        assert_eq!(entry.unwrap().value, n.to_string());
    }
    assert_eq!(store.health().await, Health::Up);
    let Some(changes) = &mut changes else { return };
    let told = async {
        loop {
            let _ = store.put_with(&key("c"), "3").await;
            match tokio::time::timeout(Duration::from_millis(200), changes.next()).await {
                Ok(Some(Change::Put { key: told, .. })) if told == key("c") => break,
                Ok(Some(_)) | Err(_) => {}
                Ok(None) => panic!("the watch ended"),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), told).await.unwrap();
}

/// Lets a server hang with `pause(true)`: a read is late, a write may have happened, and both are told in time.
pub(super) async fn bears_a_hanging_server(store: &dyn Store, pause: impl Fn(bool)) {
    let _ = store.put_with(&key("a"), "1").await.unwrap();
    pause(true);
    // What is told to stop may still answer for a moment.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let began = Instant::now();
    let read = store.get(&key("a")).await.unwrap_err();
    assert!(matches!(read.kind(), ErrorKind::Timeout | ErrorKind::Network), "{read:?}");
    let write = store.put_with(&key("a"), "2").await.unwrap_err();
    assert!(
        matches!(write.kind(), ErrorKind::Unknown | ErrorKind::Timeout | ErrorKind::Network),
        "{write:?}"
    );
    assert!(began.elapsed() < Duration::from_secs(20));
    pause(false);
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

/// Cuts the connection after ever more bytes of an answer with `cut`: a write that is told to have failed did not
/// happen, one that is unknown happened or not, and no reply ever reaches another call.
pub(super) async fn bears_cut_connections(store: &dyn Store, cut: impl Fn(usize)) {
    let _ = store.put_with(&key("n"), "0").await.unwrap();
    let mut unsure = 0;
    for n in 0..60_u32 {
        let before = read_patiently(store, &key("n")).await;
        cut(1 + (n as usize * 7) % 200);
        let written = store.put_with(&key("n"), format!("v{n}")).await;
        let after = read_patiently(store, &key("n")).await;
        match written {
            Ok(_) => assert_eq!(after, format!("v{n}")),
            Err(error) if error.kind() == ErrorKind::Unknown => {
                unsure += 1;
                assert!(after == before || after == format!("v{n}"), "{after:?}");
            }
            Err(error) => {
                assert!(error.is_transient(), "{error:?}");
                assert_eq!(after, before, "{error:?}");
            }
        }
    }
    println!("{}: {unsure} of 60 writes were unknown", store.name());
}

async fn read_patiently(store: &dyn Store, key: &Key) -> Bytes {
    let began = Instant::now();
    loop {
        match store.get(key).await {
            Ok(entry) => return entry.unwrap().value,
            Err(error) => {
                assert!(error.is_transient() && began.elapsed() < Duration::from_secs(60), "{error:?}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
}
