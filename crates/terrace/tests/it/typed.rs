//! Caches that hold values of one type.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use terrace::{Cache, ErrorKind, Lookup, Size, Tag, Tier};

/// A value serde knows nothing of: fine as long as it stays in memory.
#[derive(Clone, Debug, PartialEq)]
struct Handle(Arc<str>);

#[tokio::test]
async fn a_value_comes_back_until_it_is_removed() {
    let cache = Cache::<u64, Handle>::builder("handles").hot(1.mib()).build().await.unwrap();
    let handle = Handle("a".into());
    cache.put(1u64, handle.clone()).await.unwrap();
    assert_eq!(cache.get(&1).await.unwrap(), Some(handle.clone()));
    assert!(Arc::ptr_eq(&cache.get(&1).await.unwrap().unwrap().0, &handle.0), "the very object");
    assert!(cache.contains(&1).await.unwrap());
    assert!(cache.remove(&1).await.unwrap());
    assert!(!cache.remove(&1).await.unwrap());
    assert_eq!(cache.get(&1).await.unwrap(), None);
}

#[tokio::test]
async fn many_keys_in_one_call_come_back_in_their_order() {
    let cache = Cache::<String, u64>::builder("n").build().await.unwrap();
    cache.put_many([("a".to_owned(), 1), ("c".to_owned(), 3)]).await.unwrap();
    assert_eq!(cache.get_many(["c", "b", "a"]).await.unwrap(), [Some(3), None, Some(1)]);
}

/// In a cache that large a batch is read in another way than single keys are.
#[tokio::test]
async fn many_keys_of_a_large_cache_are_answered_as_single_ones_are() {
    let folder = tempfile::tempdir().unwrap();
    let cache =
        Cache::<u64, u64>::builder("n").hot(64.mib()).cold(folder.path(), 1.gib()).build().await.unwrap();
    cache.put_many((0..70_000).map(|key| (key, key + 7))).await.unwrap();
    cache.tiers().set_hot_capacity(0);
    cache.tiers().set_hot_capacity(64.mib());
    cache.put_many((0..60_000).map(|key| (key, key + 7))).await.unwrap();
    cache.put(3u64, 0).tag("t").await.unwrap();
    cache.put(4u64, 0).tag("t").await.unwrap();
    cache.invalidate(Tag("t")).await.unwrap();
    cache.put(4u64, 44).await.unwrap();
    let keys: Vec<u64> = (0..50).chain(59_980..60_020).chain(69_990..70_010).chain([5, 5]).collect();
    let hits = || cache.stats().tiers[0].hits;
    let before = hits();
    let values = cache.get_many(&keys).await.unwrap();
    let found = hits() - before;
    for (key, value) in keys.iter().zip(&values) {
        let expected = match key {
            3 => None,
            4 => Some(44),
            0..70_000 => Some(key + 7),
            _ => None,
        };
        assert_eq!(*value, expected, "{key}");
    }
    assert_eq!(found, 49 + 20 + 2, "those in memory");
}

#[tokio::test]
async fn everybody_who_asks_at_once_gets_the_value_of_one_load() {
    let cache = Cache::<String, u64>::builder("n").build().await.unwrap();
    let loads = Arc::new(AtomicU32::new(0));
    let ask = || {
        let loads = Arc::clone(&loads);
        cache.get_or_load("k", move |_| async move {
            tokio::task::yield_now().await;
            Ok::<_, std::io::Error>(u64::from(loads.fetch_add(1, Ordering::SeqCst)) + 7)
        })
    };
    let (a, b, c) = tokio::join!(ask(), ask(), ask());
    assert_eq!([a.unwrap(), b.unwrap(), c.unwrap()], [7, 7, 7]);
    assert_eq!(cache.get("k").await.unwrap(), Some(7));
    assert_eq!(loads.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn the_loaders_own_error_is_told() {
    let cache = Cache::<String, u64>::builder("n").build().await.unwrap();
    let error = cache
        .get_or_load("k", |_| async { Err(std::io::Error::other("the database is asleep")) })
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Load);
    assert!(error.to_string().contains("the database is asleep"), "{error}");
    assert_eq!(cache.get("k").await.unwrap(), None);
}

#[tokio::test]
async fn a_lookup_tells_everything() {
    let cache = Cache::<String, u64>::builder("n").build().await.unwrap();
    assert_eq!(cache.lookup("k").await.unwrap(), Lookup::Miss);
    cache.put("k", 1).ttl("10m").tag("t").await.unwrap();
    let Lookup::Hit(item) = cache.lookup("k").await.unwrap() else { panic!("a hit") };
    assert_eq!((item.value, item.tier), (1, Tier::Hot));
    assert!(item.ttl.unwrap() > std::time::Duration::from_secs(590), "{:?}", item.ttl);
    assert_eq!(item.tags.as_slice(), ["t"]);
    assert!(item.version.0 > 0);
}

#[tokio::test]
async fn what_is_wrong_with_a_call_is_said_in_words() {
    let cache = Cache::<String, u64>::builder("n").build().await.unwrap();
    let error = cache.put("k", 1).ttl("ten minutes").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("1h30m"), "{error}");
    assert_eq!(cache.put("k", 1).ttl("0s").await.unwrap_err().kind(), ErrorKind::Config);
    let tags = (0..17).fold(cache.put("k", 1), |put, n| put.tag(n.to_string()));
    assert_eq!(tags.await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(cache.put("k".repeat(70_000), 1).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(cache.get("k").await.unwrap(), None, "nothing was written");
    assert!(Cache::<u64, u64>::builder("n").ttl("soon").build().await.is_err());
    assert!(Cache::<u64, u64>::builder("n".repeat(300)).build().await.is_err());
}

#[tokio::test]
async fn a_value_heavier_than_the_cache_is_refused_and_the_old_one_is_gone() {
    let cache = Cache::<u64, String>::builder("n")
        .hot(10.kib())
        .weigher(|_, value| value.len() as u64)
        .build()
        .await
        .unwrap();
    cache.put(1u64, "small".to_owned()).await.unwrap();
    let error = cache.put(1u64, "x".repeat(20_000)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full);
    assert_eq!(cache.get(&1).await.unwrap(), None, "the older value would be stale");
}

#[tokio::test]
async fn the_hot_tier_stays_within_its_bytes() {
    let cache = Cache::<u64, String>::builder("n")
        .hot(100.kib())
        .weigher(|_, value| value.len() as u64)
        .build()
        .await
        .unwrap();
    for n in 0..2_000u64 {
        cache.put(n, "x".repeat(500)).await.unwrap();
        let stats = cache.stats();
        assert!(stats.hot_bytes <= stats.hot_capacity, "{stats:?}");
    }
    assert!(cache.stats().hot_entries > 100);
}

#[tokio::test]
async fn clones_are_the_same_cache_and_other_names_are_others() {
    let cache = Cache::<u64, u64>::builder("a").build().await.unwrap();
    let clone = cache.clone();
    clone.put(1u64, 1).await.unwrap();
    assert_eq!(cache.get(&1).await.unwrap(), Some(1));
    cache.clear().await.unwrap();
    assert_eq!(clone.get(&1).await.unwrap(), None);
    cache.close().await.unwrap();
    assert_eq!(clone.put(1u64, 1).await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn a_cache_of_so_many_entries_holds_so_many_whatever_they_weigh() {
    let cache = Cache::<u64, String>::builder("n").hot_entries(1000).build().await.unwrap();
    for n in 0..5_000u64 {
        cache.put(n, "x".repeat(n as usize % 300)).await.unwrap();
    }
    assert_eq!(cache.stats().hot_entries, 1000);
    let mixed = Cache::<u64>::builder("n").hot_entries(10).build().await.unwrap();
    for n in 0..100u64 {
        mixed.put(n, &n.to_string()).await.unwrap();
    }
    assert_eq!(mixed.stats().hot_entries, 10);
}

#[tokio::test]
async fn loaded_values_weigh_what_the_weigher_says_or_their_encoded_length() {
    let weighed =
        Cache::<u64, String>::builder("n").weigher(|_, value| value.len() as u64).build().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let encoded = Cache::<u64, String>::builder("n").cold(folder.path(), 1.gib()).build().await.unwrap();
    let mixed = Cache::<u64>::builder("n").cold(folder.path().join("m"), 1.gib()).build().await.unwrap();
    let long = || async { Ok::<_, std::io::Error>("x".repeat(100_000)) };
    weighed.get_or_load(&1, move |_| long()).await.unwrap();
    encoded.get_or_load(&1, move |_| long()).await.unwrap();
    mixed.get_or_load(&1, move |_| long()).await.unwrap();
    for bytes in [weighed.stats().hot_bytes, encoded.stats().hot_bytes, mixed.stats().hot_bytes] {
        assert!((100_000..101_000).contains(&bytes), "{bytes}");
    }
}
