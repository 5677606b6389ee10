//! From a URL to a store.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use terrace_backends::registry;
use terrace_store::fakes::FrozenClock;
use terrace_store::tokio_runtime::TokioSpawn;
use terrace_store::{Durability, ErrorKind, Key, Result, Store, StoreExt};

fn open(url: &str) -> Result<Arc<dyn Store>> {
    registry::open(url, Arc::new(FrozenClock::default()), Arc::new(TokioSpawn::current()?))
}

#[test]
fn a_scheme_names_one_store() {
    let mut known: Vec<_> = registry::schemes().collect();
    known.sort_unstable();
    let all = known.len();
    known.dedup();
    assert_eq!(known.len(), all, "{known:?}");
}

/// The schemes of stores in this process that have the names of their stores.
fn embedded() -> impl Iterator<Item = &'static str> {
    let alone = |scheme: &&str| *scheme == "memory" || registry::is_local(scheme);
    registry::schemes().filter(alone).filter(|scheme| *scheme != "object+file")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_scheme_opens_the_store_of_its_name() {
    for scheme in embedded() {
        let folder = TempDir::new().unwrap();
        let path = if scheme == "memory" { String::new() } else { folder.path().display().to_string() };
        // By default redb would wait for others until a clock that stands still has moved.
        let options = if scheme == "redb" { "?durability=always" } else { "" };
        let store = open(&format!("{scheme}:{path}{options}")).unwrap();
        assert_eq!(store.name(), scheme);
        let key = Key::new("n", "k").unwrap();
        let _ = store.put_with(&key, "v").await.unwrap();
        assert_eq!(store.get(&key).await.unwrap().unwrap().value, "v");
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn options_act() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().display();
    let default = open(&format!("fjall:{path}/default")).unwrap();
    assert_eq!(default.capabilities().durability, Durability::Interval(Duration::from_secs(1)));
    // What redb and sled can promise is a matter of their own.
    let all = |scheme: &&str| !["memory", "redb", "sled"].contains(scheme);
    for scheme in embedded().filter(all) {
        for (option, durability) in [
            ("?durability=interval&interval_ms=250", Durability::Interval(Duration::from_millis(250))),
            ("?durability=group&group_ms=1", Durability::Group(Duration::from_millis(1))),
            ("?durability=always", Durability::Always),
            ("?durability=never", Durability::Never),
        ] {
            let store = open(&format!("{scheme}:{path}/{scheme}{option}")).unwrap();
            assert_eq!(store.capabilities().durability, durability);
            store.close().await.unwrap();
        }
    }
}

#[cfg(feature = "memory")]
#[tokio::test(flavor = "multi_thread")]
async fn a_capacity_binds() {
    let folder = TempDir::new().unwrap();
    for url in [
        "memory:?capacity=1000&evict=none".to_owned(),
        #[cfg(feature = "fjall")]
        format!("fjall:{}?capacity=1000&cache_bytes=1000000&memtable_bytes=4000000", folder.path().display()),
    ] {
        let store = open(&url).unwrap();
        let key = Key::new("n", "k").unwrap();
        let refused = store.put_with(&key, vec![0; 2000]).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Full, "{url}");
        let _ = store.put_with(&key, vec![0; 500]).await.unwrap();
    }
    drop(folder);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_knows_is_named_with_what_there_is() {
    for (url, words) in [
        ("redis-but-wrong://host", &["redis-but-wrong", "memory"][..]),
        ("memory:?capacity=5&evikt=all", &["evikt", "evict", "capacity"]),
        ("memory:?evict=all", &["capacity"]),
        ("memory:?evict=some", &["none, expiring or all"]),
        ("memory:/path", &["takes no path"]),
        ("fjall:", &["needs a path"]),
        ("fjall:/tmp/never-made?memtable=5", &["memtable_bytes"]),
        ("fjall:/tmp/never-made?capacity=much", &["capacity", "much"]),
    ] {
        let error = open(url).err().expect("it was opened");
        assert_eq!(error.kind(), ErrorKind::Config, "{url}");
        for word in words {
            assert!(error.to_string().contains(word), "{url}: {error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_a_users_own_opens_under_its_scheme_with_its_options() {
    let mut registry = registry::Registry::default();
    let shared = Arc::new(terrace_store::fakes::MapStore::default());
    let handed_out = shared.clone();
    registry
        .register("shared-map", move |mut url, _clock, _spawn| {
            let wanted: Option<u64> = url.number("least")?;
            url.finish()?;
            assert_eq!(wanted, Some(3));
            Ok(handed_out.clone())
        })
        .unwrap();
    let open = |url: &str| {
        registry.open(url, Arc::new(FrozenClock::default()), Arc::new(TokioSpawn::current().unwrap()))
    };
    let store = open("shared-map:?least=3").unwrap();
    let key = Key::new("n", "k").unwrap();
    let _ = store.put_with(&key, "v").await.unwrap();
    assert_eq!(shared.get(&key).await.unwrap().unwrap().value, "v");
    let misspelt = open("shared-map:?laest=3").err().unwrap().to_string();
    assert!(misspelt.contains("did you mean `least`?"), "{misspelt}");
    let misspelt = open("shard-map:").err().unwrap().to_string();
    assert!(misspelt.contains("did you mean `shared-map`?"), "{misspelt}");
    assert!(registry.knows("shared-map") && registry.schemes().any(|scheme| scheme == "shared-map"));
    assert!(!registry::schemes().any(|scheme| scheme == "shared-map"), "another registry has it not");
}

#[test]
fn a_scheme_that_is_none_or_taken_is_refused() {
    let mut registry = registry::Registry::default();
    let open =
        |_, _, _| -> Result<Arc<dyn Store>> { Ok(Arc::new(terrace_store::fakes::MapStore::default())) };
    for scheme in ["", "Mine", "1st", "a b", "a:b"] {
        let error = registry.register(scheme, open).unwrap_err();
        assert!(error.to_string().contains("is no scheme"), "{error}");
    }
    registry.register("mine+v2", open).unwrap();
    for taken in registry::schemes().chain(["mine+v2"]) {
        assert_eq!(registry.register(taken, open).unwrap_err().kind(), ErrorKind::Config, "{taken}");
    }
}
